/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A descriptor of the host as an open file of the guest: what this process was given for the
 * guest's standard input, output and error. Whoever reads or writes waits as a fiber, never as this
 * process, and O_NONBLOCK is not set on what others share. Each kind is asked in its own way:
 *
 *	sockets		MSG_DONTWAIT
 *	pipes, FIFOs	RWF_NOWAIT (Linux 6.4); before that only what poll(2) has said is possible,
 *			PIPE_BUF bytes at a time, which waits for another reader or writer of the
 *			same pipe that comes in between
 *	terminals	only with O_NONBLOCK set by who gave them: an open of its own
 *	regular files,	as they are: they wait for their storage alone
 *	null, zero, full, random, urandom
 *
 * Opened again by /proc/PID/fd it is the same, within the access that the host's has.
 */
#pragma once

#include "kernel/core/types.h"

struct cred;
struct file;

/*
 * Takes fd, on success. who: its owner, as stat(2) shows it. -EOPNOTSUPP: another kind, or a
 * terminal that is not non-blocking; -ENOMEM, -errno.
 */
[[nodiscard]] int host_descriptor(int fd, const struct cred *who, struct file **ret);
/* It is one of those with a number, of its first opener's; and which, of any file; -1: of none. */
void host_descriptor_mark(struct file *f, unsigned int nr);
int host_descriptor_marked(const struct file *f);
