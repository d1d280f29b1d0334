/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole files and directories by descriptor: bounded reads, full writes, atomic durable
 * replacement. For our own state and for the kernel's files, not for paths inside an image
 * (sys/path.h). All return 0 (or a descriptor or count) or -errno. dirfd may be AT_FDCWD.
 */
#pragma once

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/str.h"

[[nodiscard]] int fd_write_all(int fd, const void *p, size_t n);
/* To the end; the buffer's maximum bounds it: -EFBIG. */
[[nodiscard]] int fd_read_all(int fd, struct buf *ret_text);

[[nodiscard]] int file_read(int dirfd, const char *path, struct buf *ret_text);
/* Write into what exists (procfs, cgroup files): one write(2), no creation. */
[[nodiscard]] int file_put(int dirfd, const char *path, struct str text);
/*
 * Replace `name` in dirfd: temporary file, and rename over it. durable: fsync of the file and of
 * the directory, so that a power cut leaves the old or the new text.
 */
[[nodiscard]] int file_replace(int dirfd, const char *name, struct str text, mode_t mode,
			       bool durable);

/* An iterator over the directory `name` in dirfd ("." for dirfd itself); NULL with errno. */
[[nodiscard]] DIR *dir_open(int dirfd, const char *name);
/* The next name but "." and "..", NULL at the end or on an error (errno, 0 at the end). */
struct dirent *dir_next(DIR *d);

/* mkdir -p of every component of an absolute or relative path, with mode for what is made. */
[[nodiscard]] int dir_make_all(const char *path, mode_t mode);
