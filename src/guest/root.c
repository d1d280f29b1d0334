/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/root.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "sys/mount.h"

#define DIR_MAX 80

static int mount_lower(const struct agent_create *m, int *ret_fd, struct err *e)
{
	const char *type = *m->lower_type ? m->lower_type : "erofs";
	struct mount_option o[] = { { .key = "source", .value = m->lower }, { .key = "ro" } };
	char why[MOUNT_WHY_MAX];
	int fd = mount_new(type, o, ARRAY_SIZE(o), MOUNT_ATTR_RDONLY, why);

	if (fd < 0)
		return err_sys(e, -fd, "mount %.100s of %.100s%s%s", type, m->lower,
			       *why ? ": " : "", why);
	*ret_fd = fd;
	return 0;
}

struct layers {
	const char *lower, *upper, *work;
	bool user_xattrs; /* Linux 5.11; where the upper's file system gives no trusted ones */
};

/* Overlays take their layers by path, from mounts that are in the tree. */
static int mount_overlay(const struct agent_create *m, const struct layers *l, int *ret_fd,
			 struct err *e)
{
	struct mount_option o[] = {
		{ .key = "lowerdir", .value = l->lower },
		{ .key = "upperdir", .value = l->upper },
		{ .key = "workdir", .value = l->work },
		{ .key = "source", .value = "overlay" },
		{ .key = "userxattr" },
	};
	char why[MOUNT_WHY_MAX];
	int fd;

	/* The kernel splits lists at colons, and knows escapes. */
	if (strpbrk(l->upper, ":,\\") || strpbrk(l->work, ":,\\"))
		return err_set(e, ERR_INVALID, EINVAL, "'%.200s': a path with , : or \\", l->upper);
	fd = mount_new("overlay", o, ARRAY_SIZE(o) - !l->user_xattrs, 0, why);
	if (fd < 0)
		return err_sys(e, -fd, "overlay of %.100s on %.100s%s%s", l->upper, m->lower,
			       *why ? ": " : "", why);
	*ret_fd = fd;
	return 0;
}

/* The upper's own mode and owner are those of "/". Made whole, or not at all. */
static int make_upper(int place_fd, const char *lower)
{
	struct stat st;
	int r = 0;

	if (fstatat(place_fd, "upper", &st, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	if (errno != ENOENT || stat(lower, &st) < 0)
		return -errno;
	if ((mkdirat(place_fd, "new", 0700) < 0 && errno != EEXIST) ||
	    fchownat(place_fd, "new", st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) < 0 ||
	    fchmodat(place_fd, "new", st.st_mode & 07777, 0) < 0 ||
	    renameat(place_fd, "new", place_fd, "upper") < 0)
		r = -errno;
	return r;
}

/* The overlay's upper and work are directories of `fd`, a mount that is attached meanwhile. */
static int mount_on(const struct agent_create *m, const char *dir, int fd, struct root *ret,
		    struct err *e)
{
	char place[DIR_MAX], upper[DIR_MAX + 8], work[DIR_MAX + 8];
	struct layers l = { .lower = dir, .upper = upper, .work = work };
	int r;

	(void) snprintf(place, sizeof(place), "%s.own", dir);
	(void) snprintf(upper, sizeof(upper), "%s/upper", place);
	(void) snprintf(work, sizeof(work), "%s/work", place);
	r = dir_make_all(place, 0700);
	r = r < 0 ? r : mount_attach(fd, AT_FDCWD, place);
	if (r < 0)
		return err_sys(e, -r, "a place for what %.100s lacks", m->lower);
	r = make_upper(fd, dir);
	if (r == 0 && mkdir(work, 0700) < 0 && errno != EEXIST)
		r = -errno;
	if (r < 0)
		r = err_sys(e, -r, "make '%.200s'", upper);
	else
		r = mount_overlay(m, &l, &ret->fd, e);
	if (r == 0 && *m->upper_disk) {
		ret->upper_fd = open(upper, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (ret->upper_fd < 0)
			r = err_sys(e, errno, "open '%.200s'", upper);
	}
	(void) mount_detach(place); /* as the lower's */
	(void) rmdir(place);
	return r;
}

/* A file system of this machine's memory, gone with the root. */
static int mount_scratch(const struct agent_create *m, const char *dir, struct root *ret,
			 struct err *e)
{
	const struct mount_option mode = { .key = "mode", .value = "0755" };
	auto_fd int fd = mount_new("tmpfs", &mode, 1, 0, NULL);

	return fd < 0 ? err_sys(e, -fd, "memory for what %.100s lacks", m->lower)
		      : mount_on(m, dir, fd, ret, e);
}

/*
 * Blocks of deleted files are given back (discard), and what was never written is not written
 * either: the host's file is sparse, and empty where nothing was (noinit_itable).
 */
static int mount_disk(const struct agent_create *m, const char *dir, struct root *ret,
		      struct err *e)
{
	const struct mount_option o[] = {
		{ .key = "source", .value = m->upper_disk },
		{ .key = "discard" },
		{ .key = "noinit_itable" },
		{ .key = "errors", .value = "remount-ro" },
	};
	char why[MOUNT_WHY_MAX];
	auto_fd int fd = mount_new("ext4", o, ARRAY_SIZE(o), 0, why);

	return fd < 0 ? err_sys(e, -fd, "mount the ext4 of %.100s%s%s", m->upper_disk,
				*why ? ": " : "", why)
		      : mount_on(m, dir, fd, ret, e);
}

int root_make(const struct agent_create *m, const char *dir, struct root *ret, struct err *e)
{
	auto_fd int lower = FD_NONE;
	int r = mount_lower(m, &lower, e);

	if (r < 0)
		return r;
	if (!*m->upper && !*m->upper_disk && !m->scratch) {
		ret->fd = take_fd(&lower);
		return 0;
	}
	r = dir_make_all(dir, 0700);
	r = r < 0 ? r : mount_attach(lower, AT_FDCWD, dir);
	if (r < 0)
		return err_sys(e, -r, "attach %.100s", m->lower);
	const struct layers l = {
		.lower = dir, .upper = m->upper, .work = m->work, .user_xattrs = true
	};
	if (*m->upper_disk)
		r = mount_disk(m, dir, ret, e);
	else
		r = m->scratch ? mount_scratch(m, dir, ret, e) : mount_overlay(m, &l, &ret->fd, e);
	(void) mount_detach(dir); /* the overlay has a mount of its own */
	(void) rmdir(dir);
	return r;
}
