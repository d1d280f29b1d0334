/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/root.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "sys/mount.h"

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

/*
 * Overlays take their layers by path, from mounts that are in the tree. userxattr: the host's file
 * server gives no trusted xattrs; Linux 5.11.
 */
static int mount_overlay(const struct agent_create *m, const char *lower, int *ret_fd,
			 struct err *e)
{
	struct mount_option o[] = {
		{ .key = "lowerdir", .value = lower },	 { .key = "upperdir", .value = m->upper },
		{ .key = "workdir", .value = m->work },	 { .key = "userxattr" },
		{ .key = "source", .value = "overlay" },
	};
	char why[MOUNT_WHY_MAX];
	int fd;

	/* The kernel splits lists at colons, and knows escapes. */
	if (strpbrk(m->upper, ":,\\") || strpbrk(m->work, ":,\\"))
		return err_set(e, ERR_INVALID, EINVAL, "'%.200s': a path with , : or \\", m->upper);
	fd = mount_new("overlay", o, ARRAY_SIZE(o), 0, why);
	if (fd < 0)
		return err_sys(e, -fd, "overlay of %.100s on %.100s%s%s", m->upper, m->lower,
			       *why ? ": " : "", why);
	*ret_fd = fd;
	return 0;
}

int root_make(const struct agent_create *m, const char *dir, int *ret_fd, struct err *e)
{
	auto_fd int lower = FD_NONE;
	int r = mount_lower(m, &lower, e);

	if (r < 0)
		return r;
	if (!*m->upper) {
		*ret_fd = take_fd(&lower);
		return 0;
	}
	r = dir_make_all(dir, 0700);
	r = r < 0 ? r : mount_attach(lower, AT_FDCWD, dir);
	if (r < 0)
		return err_sys(e, -r, "attach %.100s", m->lower);
	r = mount_overlay(m, dir, ret_fd, e);
	(void) mount_detach(dir); /* the overlay has a mount of its own */
	(void) rmdir(dir);
	return r;
}
