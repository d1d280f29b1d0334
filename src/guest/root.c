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

/* The upper is a file system of this machine's memory, gone with the root. */
static int mount_scratch(const struct agent_create *m, const char *dir, int *ret_fd, struct err *e)
{
	const struct mount_option mode = { .key = "mode", .value = "0755" };
	char place[DIR_MAX], upper[DIR_MAX + 8], work[DIR_MAX + 8];
	struct layers l = { .lower = dir, .upper = upper, .work = work };
	auto_fd int fd = mount_new("tmpfs", &mode, 1, 0, NULL);
	int r;

	(void) snprintf(place, sizeof(place), "%s.own", dir);
	(void) snprintf(upper, sizeof(upper), "%s/upper", place);
	(void) snprintf(work, sizeof(work), "%s/work", place);
	r = fd < 0 ? fd : dir_make_all(place, 0700);
	r = r < 0 ? r : mount_attach(fd, AT_FDCWD, place);
	if (r < 0)
		return err_sys(e, -r, "memory for what %.100s lacks", m->lower);
	if (mkdir(upper, 0755) < 0 || mkdir(work, 0700) < 0)
		r = err_sys(e, errno, "make '%.200s'", upper);
	else
		r = mount_overlay(m, &l, ret_fd, e);
	(void) mount_detach(place); /* as the lower's */
	(void) rmdir(place);
	return r;
}

int root_make(const struct agent_create *m, const char *dir, int *ret_fd, struct err *e)
{
	auto_fd int lower = FD_NONE;
	int r = mount_lower(m, &lower, e);

	if (r < 0)
		return r;
	if (!*m->upper && !m->scratch) {
		*ret_fd = take_fd(&lower);
		return 0;
	}
	r = dir_make_all(dir, 0700);
	r = r < 0 ? r : mount_attach(lower, AT_FDCWD, dir);
	if (r < 0)
		return err_sys(e, -r, "attach %.100s", m->lower);
	const struct layers l = {
		.lower = dir, .upper = m->upper, .work = m->work, .user_xattrs = true
	};
	r = m->scratch ? mount_scratch(m, dir, ret_fd, e) : mount_overlay(m, &l, ret_fd, e);
	(void) mount_detach(dir); /* the overlay has a mount of its own */
	(void) rmdir(dir);
	return r;
}
