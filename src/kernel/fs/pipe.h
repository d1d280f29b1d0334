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

/*
 * What splice(2) and its kin do, in pipe_pass.c: each waits for bytes or room once, unless nonblock
 * (-EAGAIN), and then goes on as far as it can without. How many bytes; of sources 0 at the end. No
 * byte that was not taken is lost. -EPIPE, -ERESTARTSYS.
 */

/* Of `in` to who takes them: it gives how many it took. Nobody else reads meanwhile. */
typedef int64_t pipe_taker(void *arg, const char *bytes, size_t n);
[[nodiscard]] int64_t pipe_pour(struct file *in, size_t n, bool nonblock, pipe_taker *take,
				void *arg);
/* Into `out` from who gives them: at most so many into `to`. Nobody else writes meanwhile. */
typedef int64_t pipe_giver(void *arg, char *to, size_t room);
[[nodiscard]] int64_t pipe_fill(struct file *out, size_t n, bool nonblock, pipe_giver *give,
				void *arg);
/* From one to another; keep: they stay in the first, too. */
[[nodiscard]] int64_t pipe_pass(struct file *in, struct file *out, size_t n, bool nonblock,
				bool keep);
/* Whether both are ends of one pipe. */
bool pipe_same(const struct file *a, const struct file *b);

bool file_is_pipe(const struct file *f);
/* F_GETPIPE_SZ; F_SETPIPE_SZ: the size it has now. -EBUSY: more is in it. -EPERM: above the most.
 */
size_t pipe_size(const struct file *f);
[[nodiscard]] int64_t pipe_set_size(struct file *f, size_t size, bool may_exceed);
