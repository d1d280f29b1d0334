/* SPDX-License-Identifier: Apache-2.0 */
/* The mount API of file descriptors as glibc declares it. */
#pragma once

#include_next <sys/mount.h>

/* The constants and struct mount_attr; its MS_* are the same as those above. */
#include <fcntl.h>
#include <linux/mount.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

static inline int fsopen(const char *fs, unsigned flags)
{
	return (int) syscall(SYS_fsopen, fs, flags);
}

static inline int fsconfig(int fd, unsigned cmd, const char *key, const void *value, int aux)
{
	return (int) syscall(SYS_fsconfig, fd, cmd, key, value, aux);
}

static inline int fsmount(int fd, unsigned flags, unsigned attrs)
{
	return (int) syscall(SYS_fsmount, fd, flags, attrs);
}

static inline int open_tree(int dirfd, const char *path, unsigned flags)
{
	return (int) syscall(SYS_open_tree, dirfd, path, flags);
}

static inline int move_mount(int from, const char *from_path, int to, const char *to_path,
			     unsigned flags)
{
	return (int) syscall(SYS_move_mount, from, from_path, to, to_path, flags);
}

static inline int mount_setattr(int dirfd, const char *path, unsigned flags,
				struct mount_attr *attr, size_t size)
{
	return (int) syscall(SYS_mount_setattr, dirfd, path, flags, attr, size);
}
