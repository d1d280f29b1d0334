/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/task/cpu_clock.h"

#include <linux/time.h>

#include "kernel/task/pid.h"
#include "kernel/task/task.h"
#include "kernel/task/wait.h"

/* Below the complement of the number: of a thread or process, and which time (Linux:
 * include/linux/posix-timers.h). */
#define OF_THREAD   4u
#define WHICH(bits) ((bits) &3u)
#define WHICH_PROF  0u
#define WHICH_USER  1u
#define WHICH_SCHED 2u
#define JIFFY	    ((nsec_t) 4000000) /* of 250 Hz: how fine the first two say they are */

int cpu_clock_find(struct task *t, int clock, bool reads, struct cpu_clock *ret)
{
	uint32_t bits = (uint32_t) clock, nr = ~bits >> 3;
	struct pid *pid;

	if (clock == CLOCK_PROCESS_CPUTIME_ID || clock == CLOCK_THREAD_CPUTIME_ID) {
		bits = WHICH_SCHED | (clock == CLOCK_THREAD_CPUTIME_ID ? OF_THREAD : 0);
		nr = 0;
	}
	if (WHICH(bits) > WHICH_SCHED)
		return -EINVAL;
	*ret = (struct cpu_clock){
		.task = bits & OF_THREAD ? t : NULL,
		.process = t->process,
		.user = WHICH(bits) == WHICH_USER,
		.grain = WHICH(bits) == WHICH_SCHED ? 1 : JIFFY,
	};
	if (nr == 0)
		return 0;
	pid = pid_find(nr);
	if (!pid)
		return -EINVAL;
	if (bits & OF_THREAD) {
		ret->task = pid->task;
		return pid->task && pid->task->process == t->process ? 0 : -EINVAL;
	}
	if (reads && pid->task == t)
		return 0;
	ret->process = pid->process;
	return pid->process ? 0 : -EINVAL;
}

nsec_t cpu_clock_now(const struct cpu_clock *c)
{
	struct task_usage u;

	if (c->task)
		task_usage(c->task, &u);
	else
		process_usage(c->process, &u);
	return c->user ? u.user : u.user + u.system;
}
