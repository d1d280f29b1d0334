/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inodes of what is in no file system that could be mounted: pipes, sockets, eventfds. Each has a
 * number of its own, which readlink of /proc/PID/fd shows: "pipe:[7]".
 */
#pragma once

#include "kernel/vfs/inode.h"

struct file;
struct file_ops;

/* Two files of one inode: what pipe(2) makes. NULL: no memory. */
[[nodiscard]] struct inode *anon_inode(uint32_t mode, const struct cred *who);
/* A file of such an inode. kind: "pipe" is shown as pipe:[INO]; "[eventfd]" as
 * anon_inode:[eventfd]. */
[[nodiscard]] int anon_file(struct inode *i, const char *kind, const struct file_ops *ops,
			    unsigned int flags, void *own, struct file **ret);
