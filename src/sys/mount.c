/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/mount.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"

#ifndef STATX_MNT_ID_UNIQUE /* Linux 6.8 */
#define STATX_MNT_ID_UNIQUE 0x4000u
#endif

/* The file system context's log: lines of "e text"; the last error is what went wrong. */
static void read_why(int fs, char *ret_why)
{
	char line[MOUNT_WHY_MAX];
	ssize_t n;

	ret_why[0] = '\0';
	while ((n = read(fs, line, sizeof(line) - 1)) > 2) {
		line[n] = '\0';
		if (line[n - 1] == '\n')
			line[n - 1] = '\0';
		if (line[0] == 'e')
			(void) snprintf(ret_why, MOUNT_WHY_MAX, "%s", line + 2);
	}
}

static int configure(int fs, const struct mount_option *o)
{
	int r;

	if (o->is_fd)
		r = fsconfig(fs, FSCONFIG_SET_FD, o->key, NULL, o->fd);
	else if (o->value)
		r = fsconfig(fs, FSCONFIG_SET_STRING, o->key, o->value, 0);
	else
		r = fsconfig(fs, FSCONFIG_SET_FLAG, o->key, NULL, 0);
	return r < 0 ? -errno : 0;
}

int mount_file_system(const char *fstype, const struct mount_option *opts, size_t n, char *ret_why)
{
	auto_fd int fs = fsopen(fstype, FSOPEN_CLOEXEC);
	int r = 0;

	if (ret_why)
		ret_why[0] = '\0';
	if (fs < 0)
		return -errno;
	for (size_t i = 0; i < n && r == 0; i++)
		r = configure(fs, &opts[i]);
	if (r == 0 && fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		r = -errno;
	if (r < 0) {
		if (ret_why)
			read_why(fs, ret_why);
		return r;
	}
	return take_fd(&fs);
}

int mount_made_of(int fs, uint64_t attr)
{
	int fd = fsmount(fs, FSMOUNT_CLOEXEC, (unsigned) attr);

	return fd < 0 ? -errno : fd;
}

int mount_new(const char *fstype, const struct mount_option *opts, size_t n, uint64_t attr,
	      char *ret_why)
{
	auto_fd int fs = mount_file_system(fstype, opts, n, ret_why);

	return fs < 0 ? fs : mount_made_of(fs, attr);
}

int mount_clone(int dirfd, const char *path, bool recursive)
{
	int fd = open_tree(dirfd, path,
			   OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC |
				   (unsigned) (path[0] ? 0 : AT_EMPTY_PATH) |
				   (unsigned) (recursive ? AT_RECURSIVE : 0));

	return fd < 0 ? -errno : fd;
}

int mount_attach(int mount_fd, int dirfd, const char *path)
{
	unsigned flags = MOVE_MOUNT_F_EMPTY_PATH | (path[0] ? 0u : MOVE_MOUNT_T_EMPTY_PATH);

	return move_mount(mount_fd, "", dirfd, path, flags) < 0 ? -errno : 0;
}

int mount_change(int dirfd, const char *path, bool recursive, const struct mount_change *c)
{
	struct mount_attr a = {
		.attr_set = c->set,
		.attr_clr = c->clear,
		.propagation = c->propagation,
		.userns_fd = (c->set & MOUNT_ATTR_IDMAP) ? (uint64_t) (unsigned) c->userns_fd : 0,
	};
	unsigned flags = (unsigned) (path[0] ? 0 : AT_EMPTY_PATH) |
			 (unsigned) (recursive ? AT_RECURSIVE : 0);

	return mount_setattr(dirfd, path, flags, &a, sizeof(a)) < 0 ? -errno : 0;
}

int mount_detach(const char *path)
{
	return umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 ? -errno : 0;
}

int mount_id(int fd, uint64_t *ret_id, bool *ret_is_root)
{
	struct statx sx = {};

	if (statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, STATX_MNT_ID, &sx) < 0)
		return -errno;
	if (ret_id)
		*ret_id = sx.stx_mnt_id;
	if (ret_is_root)
		*ret_is_root = (sx.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
	return 0;
}

bool mount_sorted(int fd)
{
	struct statx sx = {};

	/* The id that nothing else ever has is what they are sorted by, and came with it. */
	return statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, STATX_MNT_ID_UNIQUE, &sx) == 0 &&
	       (sx.stx_mask & STATX_MNT_ID_UNIQUE);
}
