/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pipes and FIFOs: pipe(7). Writes of up to PIPE_BUF bytes are whole; O_DIRECT keeps each write a
 * packet. -EPIPE is the caller's to send SIGPIPE for.
 */
#pragma once

#include "kernel/core/types.h"

struct cred;
struct file;
struct inode;

#define PIPE_SIZE     ((size_t) 64 << 10) /* of a new one */
#define PIPE_SIZE_MAX ((size_t) 1 << 20)  /* /proc/sys/fs/pipe-max-size */

/* flags: O_NONBLOCK, O_DIRECT. -ENOMEM. */
[[nodiscard]] int pipe_make(unsigned int flags, const struct cred *who, struct file **ret_read,
			    struct file **ret_write);
/* inode_ops.open of a FIFO: waits for the other side as fifo(7) says. -ENXIO, -ERESTARTSYS. */
[[nodiscard]] int fifo_open(struct inode *i, struct file *f);

bool file_is_pipe(const struct file *f);
/* F_GETPIPE_SZ; F_SETPIPE_SZ: the size it has now. -EBUSY: more is in it. -EPERM: above the most.
 */
size_t pipe_size(const struct file *f);
[[nodiscard]] int64_t pipe_set_size(struct file *f, size_t size, bool may_exceed);
