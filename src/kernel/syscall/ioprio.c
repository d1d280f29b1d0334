/* SPDX-License-Identifier: Apache-2.0 */
/* ioprio_set(2), ioprio_get(2): kept and told; the host does what is done on disks. */
#include <linux/ioprio.h>
#include <linux/sched.h>

#include "kernel/syscall/decode.h"
#include "kernel/task/cred.h"

/* Of one without a priority of its own: from its nice, as Linux has it. */
static unsigned int effective(const struct task *t)
{
	unsigned int class = IOPRIO_CLASS_BE;

	if (t->io_priority)
		return t->io_priority;
	if (t->policy == SCHED_IDLE)
		class = IOPRIO_CLASS_IDLE;
	else if (t->policy == SCHED_FIFO || t->policy == SCHED_RR)
		class = IOPRIO_CLASS_RT;
	return IOPRIO_PRIO_VALUE(class, (unsigned int) (t->nice + 20) / 5);
}

static bool means(const struct task *t, uint64_t which, int32_t who, const struct task *one)
{
	switch (which) {
	case IOPRIO_WHO_PROCESS:
		return who == 0 ? one == t : (int32_t) one->tid == who;
	case IOPRIO_WHO_PGRP:
		return one->process->group &&
		       (who == 0 ? one->process->group == t->process->group
				 : (int32_t) one->process->group->pid->nr == who);
	default:
		return one->cred->uid == (who == 0 ? t->cred->uid : (uint32_t) who);
	}
}

/* The next one that is meant from number *nr on, or NULL. */
static struct task *next(const struct task *t, const uint64_t *a, uint64_t *nr)
{
	struct pid *p;

	while ((p = pid_next(nr))) {
		struct task *one = p->task;

		(*nr)++;
		if (one && one->state == TASK_LIVE &&
		    means(t, (uint32_t) a[0], (int32_t) a[1], one))
			return one;
	}
	return NULL;
}

static int check(const struct task *t, unsigned int value)
{
	unsigned int level = value & IOPRIO_PRIO_MASK & 7;

	if (value > UINT16_MAX)
		return -EINVAL;
	switch (value >> IOPRIO_CLASS_SHIFT) {
	case IOPRIO_CLASS_RT:
		return cred_can(t->cred, CAP_SYS_NICE) || cred_can(t->cred, CAP_SYS_ADMIN) ? 0
											   : -EPERM;
	case IOPRIO_CLASS_BE:
	case IOPRIO_CLASS_IDLE:
		return 0;
	case IOPRIO_CLASS_NONE:
		return level ? -EINVAL : 0;
	default:
		return -EINVAL;
	}
}

sysret_t sys_ioprio_set(struct task *t, const uint64_t *a)
{
	unsigned int value = (unsigned int) a[2];
	int r = check(t, value), found = -ESRCH;
	struct task *one;
	uint64_t nr = 0;

	if (r < 0)
		return r;
	if ((uint32_t) a[0] < IOPRIO_WHO_PROCESS || (uint32_t) a[0] > IOPRIO_WHO_USER)
		return -EINVAL;
	while ((one = next(t, a, &nr))) {
		if (one->cred->uid != t->cred->euid && one->cred->uid != t->cred->uid &&
		    !cred_can(t->cred, CAP_SYS_NICE))
			return -EPERM;
		one->io_priority = (uint16_t) value;
		found = 0;
	}
	return found;
}

/* A thread's own is told as it was set; of several the best: the lowest number, but for none at
 * all. */
sysret_t sys_ioprio_get(struct task *t, const uint64_t *a)
{
	sysret_t best = -ESRCH;
	struct task *one;
	uint64_t nr = 0;

	if ((uint32_t) a[0] < IOPRIO_WHO_PROCESS || (uint32_t) a[0] > IOPRIO_WHO_USER)
		return -EINVAL;
	while ((one = next(t, a, &nr))) {
		bool own = (uint32_t) a[0] == IOPRIO_WHO_PROCESS;
		sysret_t value = own ? one->io_priority : (sysret_t) effective(one);

		best = best < 0 ? value : min_of(best, value);
	}
	return best;
}
