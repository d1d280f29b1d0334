/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the system calls that make, remove and change names mean: open with its flags, mkdir, mknod,
 * symlink, link, unlink, rmdir, rename. Permissions, sticky directories, read-only mounts, what is
 * mounted on. May park.
 */
#pragma once

#include "kernel/vfs/file.h"
#include "kernel/vfs/walk.h"

/* openat2's flags (O_*) and mode (umask applied by the caller): an open file of the caller's. */
[[nodiscard]] int names_open(const struct walk *w, const char *text, unsigned int flags,
			     uint32_t mode, struct file **ret);
/* O_TMPFILE: a new file of the file system that this directory is of; with O_EXCL it never gets a
 * name. -EOPNOTSUPP: it has no such. */
[[nodiscard]] int names_open_nameless(const struct walk *w, const char *text, unsigned int flags,
				      uint32_t mode, struct file **ret);
/* mode has the type: S_IFDIR, S_IFREG, S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK, S_IFLNK with `target`.
 */
[[nodiscard]] int names_create(const struct walk *w, const char *text, uint32_t mode, uint64_t rdev,
			       const char *target);
/* flags: AT_REMOVEDIR or 0. */
[[nodiscard]] int names_remove(const struct walk *w, const char *text, unsigned int flags);
[[nodiscard]] int names_link(const struct path *what, const struct walk *w, const char *text);
/* flags: RENAME_NOREPLACE, RENAME_EXCHANGE; RENAME_WHITEOUT is -EINVAL once all else is right. */
[[nodiscard]] int names_rename(const struct walk *from, const char *old, const struct walk *to,
			       const char *text, unsigned int flags);
/* Whether a path may be written to: -EROFS, or what inode_may gives. */
[[nodiscard]] int names_may_write(const struct path *p, const struct cred *who);
