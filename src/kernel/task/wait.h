/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for children: wait4(2), waitid(2), and what children tell of themselves. */
#pragma once

#include "kernel/task/task.h"

struct wait_request {
	int kind; /* P_ALL, P_PID, P_PGID of linux/wait.h, and no other; a pidfd is P_PID with `pid`
		   */
	int64_t id;	 /* of P_PID and P_PGID, where pid is NULL; P_PGID 0: the caller's group */
	struct pid *pid; /* borrowed, kept by the caller; or NULL */
	/* WEXITED, WSTOPPED, WCONTINUED, WNOHANG, WNOWAIT, __WNOTHREAD, __WCLONE, __WALL. wait4's
	 * WUNTRACED is WSTOPPED; it adds WEXITED. At least one of the first three. */
	unsigned int options;
};

struct wait_result {
	uint32_t pid, uid;
	int status;		 /* as wait4 gives it */
	int code, value;	 /* as waitid does: CLD_*, exit code or signal */
	struct task_usage usage; /* of the child with those it waited for: an end's */
};

/* The child's number; 0: WNOHANG, and none has anything to tell. -ECHILD, -EINVAL, -ERESTARTSYS. */
sysret_t task_wait(struct task *t, const struct wait_request *q, struct wait_result *ret);

/* CLD_* of a status as wait4 gives it: EXITED, KILLED, DUMPED. */
int wait_code(int status);

/* Job control (signal.h calls them): all threads of p have stopped by this signal; p goes on. Its
 * parent's wait is woken; SIGCHLD is the caller's to send. */
void process_stopped(struct process *p, int signal);
void process_continued(struct process *p);

/* What a task has used until now, and a process: living threads and those that ended. */
void task_usage(const struct task *t, struct task_usage *ret);
void process_usage(const struct process *p, struct task_usage *ret);
void usage_add(struct task_usage *to, const struct task_usage *more);
