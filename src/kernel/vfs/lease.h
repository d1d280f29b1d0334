/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leases (fcntl(2), F_SETLEASE): the holder of an open file is told by a signal before somebody
 * else opens the file in a way that conflicts, or truncates it, who waits until the holder has let
 * go or LEASE_BREAK_TIME is over.
 */
#pragma once

#include "kernel/core/types.h"

struct file;
struct inode;
struct task;

#define LEASE_BREAK_TIME 45 /* seconds: /proc/sys/fs/lease-break-time */

/* F_SETLEASE. type: F_RDLCK, F_WRLCK, F_UNLCK. -EAGAIN, -EACCES, -EINVAL, -ENOMEM. */
[[nodiscard]] int lease_set(struct task *t, struct file *f, int fd, int type);
/* F_GETLEASE: what it is, or becomes. */
int lease_get(const struct file *f);
/* Before i is opened, or truncated: write. nonblock: -EAGAIN instead of waiting. -ERESTARTSYS.
 * May park. */
[[nodiscard]] int lease_break(struct inode *i, bool write, bool nonblock);
/* Of a file, for checkpoints. */
struct lease_state {
	int fd, type, target; /* target: what it has to become, when `left` is over; or `type` */
	nsec_t left;
};
/* False: it has none. */
bool lease_tell(const struct file *f, struct lease_state *ret);
/* As it was. -EINVAL: none is so, or it has one; -ENOMEM. */
[[nodiscard]] int lease_load(struct file *f, const struct lease_state *one);
/* The file is closed. */
void lease_drop(struct file *f);
