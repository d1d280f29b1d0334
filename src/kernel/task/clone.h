/* SPDX-License-Identifier: Apache-2.0 */
/*
 * More of a task: clone(2), clone3(2), fork, vfork. Namespaces (CLONE_NEW*) are -EINVAL, as where a
 * kernel is built without them; CLONE_PTRACE and CLONE_UNTRACED, without ptrace, and CLONE_IO mean
 * nothing.
 */
#pragma once

#include "kernel/core/types.h"

struct task;

struct clone_request {
	uint64_t flags; /* CLONE_*, without the signal in its lowest byte */
	int exit_signal;
	uva_t pidfd, child_tid, parent_tid; /* where the flags ask for them */
	uint64_t stack;			    /* sp of the child; 0: as the caller's */
	uint64_t tls;			    /* CLONE_SETTLS: fs_base */
};

/*
 * The child's number to the caller. CLONE_VFORK: after its execve or end (or when the caller is
 * killed). -EINVAL; -EAGAIN: RLIMIT_NPROC, or no number is free; -ENOMEM, -EMFILE, -EFAULT (a pidfd
 * that cannot be told).
 */
sysret_t task_clone(struct task *t, const struct clone_request *q);

/* Who waits for a vfork child goes on: its execve and its exit. */
void vfork_done(struct task *child);
