/* SPDX-License-Identifier: Apache-2.0 */
/*
 * getrlimit(2), setrlimit(2), prlimit(2). Who enforces what: AS, DATA, STACK, MEMLOCK mm/space.h;
 * NOFILE whoever makes a descriptor, by process_limit(); FSIZE file_write(); NPROC clone and
 * execve; NICE and RTPRIO setpriority and sched_setscheduler; SIGPENDING, CPU signal.h.
 */
#pragma once

#include "kernel/task/task.h"

/* pid 0: the caller's own. new, ret_old: or NULL. -EINVAL, -ESRCH, -EPERM. */
sysret_t task_prlimit(struct task *t, int32_t pid, unsigned int what, const struct task_limit *new,
		      struct task_limit *ret_old);
/* Those that mm enforces for t; one with CAP_IPC_LOCK locks without a bound. */
struct space_limits;
void limits_of_space(const struct task *t, struct space_limits *ret);
/*
 * Of all tasks there are, zombies among them, at most so many: what clone would make beyond is
 * -EAGAIN, and counted. 0: no limit. Processes that the kernel is told to run from outside are not
 * held back, as what is moved into a cgroup is not (its pids.max).
 */
void limit_tasks(uint64_t most);
/* Those of another space of numbers; the above is the first's, the others the running task's. */
void limit_tasks_in(struct pid_space *s, uint64_t most);
uint64_t limit_tasks_most(void);
/* How often it was in the way. */
uint64_t limit_tasks_refused(void);
bool limit_tasks_passed(void);
/* Whether one more task of this user is too many: RLIMIT_NPROC, with those whom it does not bind.
 */
bool limit_nproc_passed(const struct task *t, unsigned int more);
