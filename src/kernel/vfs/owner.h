/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is told by a signal of what happens to an open file (F_SETOWN, F_SETSIG of fcntl(2)): that it
 * became readable or writable (O_ASYNC), that somebody wants what a lease keeps, that a directory
 * changed (F_NOTIFY).
 */
#pragma once

#include "kernel/core/sched.h"

struct cred;
struct file;
struct pid;
struct task;

struct file_owner {
	struct file *file;
	struct pid *pid;    /* owned; NULL: nobody is told */
	int kind;	    /* F_OWNER_TID, F_OWNER_PID, F_OWNER_PGRP */
	uint32_t uid, euid; /* of who named it: may it send? */
	int nr;		    /* F_SETSIG; 0: SIGIO, that tells no more */
	bool async;	    /* O_ASYNC: `waiter` stands in the file's queues */
	int fd;		    /* by which it was set */
	struct waiter waiter;
};

/* The file's, made when it is wanted first. -ENOMEM. */
[[nodiscard]] int owner_of(struct file *f, struct file_owner **ret);
/* pid: borrowed; NULL: nobody. */
void owner_set(struct file_owner *o, struct pid *pid, int kind, const struct cred *who);
/* The caller's process, where nobody was named. */
void owner_default(struct file_owner *o, struct task *t);
/* O_ASYNC on or off. Files that are not waited for have none: nothing is done. -ENOMEM. */
[[nodiscard]] int owner_async(struct file *f, int fd, bool on);
/* reason: POLL_* of sigaction(2), with what poll(2) says of it. */
void owner_tell(const struct file_owner *o, int fd, int reason, unsigned int events);
/* The file's last owner is gone. */
void owner_free(struct file *f);
