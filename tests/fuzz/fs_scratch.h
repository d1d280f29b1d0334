/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shares for the fuzz targets of the file server: a small file system in memory, which is gone with
 * its descriptor, beside what no request may reach or change. It takes root.
 */
#pragma once

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "device/fs_session.h"
#include "sys/mount.h"

#define SCRATCH_FDS  24 /* few, so that some have to be closed */
#define SCRATCH_TEXT "untouched"

struct scratch {
	int fs, back; /* the file system; the working directory it was called in */
	struct fs_share shares[3];
};

static inline void scratch_must(bool good, const char *what)
{
	if (!good) {
		perror(what);
		abort();
	}
}

static inline void scratch_put(int dir, const char *name)
{
	auto_fd int fd = openat(dir, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	scratch_must(fd >= 0 && write(fd, SCRATCH_TEXT, 9) == 9, name);
}

static inline void scratch_check(int dir, const char *name)
{
	auto_fd int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	char text[16];
	struct stat st;

	scratch_must(fd >= 0 && fstat(fd, &st) == 0 && st.st_mode == (S_IFREG | 0644) &&
			     st.st_nlink == 1 && st.st_uid == 0 &&
			     read(fd, text, sizeof(text)) == 9 &&
			     memcmp(text, SCRATCH_TEXT, 9) == 0,
		     name);
}

static inline int scratch_open(int dir, const char *name, int flags)
{
	int fd = openat(dir, name, flags | O_CLOEXEC);

	scratch_must(fd >= 0, name);
	return fd;
}

static inline void scratch_init(struct scratch *s)
{
	static const struct mount_option opts[] = {
		{ .key = "size", .value = "8m", .fd = FD_NONE },
		{ .key = "nr_inodes", .value = "2000", .fd = FD_NONE },
	};
	char why[MOUNT_WHY_MAX];

	(void) umask(022);
	s->back = scratch_open(AT_FDCWD, ".", O_PATH);
	s->fs = mount_new("tmpfs", opts, ARRAY_SIZE(opts), MOUNT_ATTR_NODEV, why);
	scratch_must(s->fs >= 0, "a file system of its own (as root)");
	for (const char *const *d = (const char *const[]){ "rw", "rw/d", "rw/d/e", "ro", NULL }; *d;
	     d++)
		scratch_must(mkdirat(s->fs, *d, 0755) == 0, *d);
	scratch_put(s->fs, "outside");
	scratch_put(s->fs, "ro/kept");
	scratch_put(s->fs, "rw/f");
	scratch_put(s->fs, "rw/d/g");
	scratch_must(symlinkat("../outside", s->fs, "rw/l") == 0, "l");
	scratch_must(symlinkat("..", s->fs, "rw/up") == 0, "up");
	s->shares[0] = (struct fs_share){ .name = "rw", .fd = scratch_open(s->fs, "rw", O_PATH) };
	s->shares[1] = (struct fs_share){ .name = "ro",
					  .fd = scratch_open(s->fs, "ro", O_RDONLY),
					  .read_only = true };
	s->shares[2] = (struct fs_share){ .name = "file",
					  .fd = scratch_open(s->fs, "ro/kept", O_PATH),
					  .read_only = true };
}

/* After the server has ended: nothing but the share was changed, and the caller is who he was. */
static inline void scratch_fini(struct scratch *s)
{
	(void) umask(022);
	scratch_must(fchdir(s->back) == 0, "go back");
	scratch_must(setfsuid((uid_t) -1) == 0 && setfsgid((gid_t) -1) == 0, "ids");
	scratch_check(s->fs, "outside");
	scratch_check(s->fs, "ro/kept");
	(void) close(s->fs);
	(void) close(s->back);
}
