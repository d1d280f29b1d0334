/* SPDX-License-Identifier: Apache-2.0 */
/* Processors and turns: sched_*, nice. Policies are kept and told; the platform gives the turns. */
#include <linux/sched.h>
#include <linux/sched/types.h>

#include "kernel/platform/platform.h"
#include "kernel/syscall/decode.h"
#include "kernel/task/cred.h"

#define MASK_BYTES ((uint32_t) 8)

/* 0: the caller. */
static int task_of(struct task *t, uint64_t pid, struct task **ret)
{
	int32_t nr = (int32_t) pid;
	struct pid *p;

	*ret = t;
	if (nr == 0)
		return 0;
	p = nr > 0 ? pid_find(nr) : NULL;
	if (!p || !p->task)
		return -ESRCH;
	*ret = p->task;
	return 0;
}

/* Whether the caller may change another one's turns. */
static bool may(const struct task *t, const struct task *other)
{
	return t->cred->euid == other->cred->euid || t->cred->euid == other->cred->uid ||
	       cred_can(t->cred, CAP_SYS_NICE);
}

sysret_t sys_sched_yield(struct task *t, const uint64_t *a)
{
	(void) t;
	(void) a;
	fiber_yield();
	return 0;
}

/* ---- affinity ---- */

static uint64_t online(void)
{
	unsigned int n = plat_cpus();

	return n >= 64 ? UINT64_MAX : ((uint64_t) 1 << n) - 1;
}

sysret_t sys_sched_getaffinity(struct task *t, const uint64_t *a)
{
	struct task *other;
	uint64_t mask;
	int r;

	if ((uint32_t) a[1] < MASK_BYTES || (uint32_t) a[1] % MASK_BYTES)
		return -EINVAL;
	r = task_of(t, a[0], &other);
	if (r < 0)
		return r;
	mask = other->affinity & online();
	if (!mask)
		mask = online();
	r = copy_out(t->space, uva(a[2]), &mask, sizeof(mask));
	return r < 0 ? r : (sysret_t) MASK_BYTES;
}

sysret_t sys_sched_setaffinity(struct task *t, const uint64_t *a)
{
	uint64_t mask = 0;
	struct task *other;
	int r = copy_in(t->space, &mask, uva(a[2]), min_of((uint32_t) a[1], MASK_BYTES));

	if (r == 0)
		r = task_of(t, a[0], &other);
	if (r == 0 && !may(t, other))
		r = -EPERM;
	if (r == 0 && !(mask & online()))
		r = -EINVAL;
	if (r == 0)
		other->affinity = mask & online();
	return r;
}

/* ---- policies ---- */

static bool real_time(unsigned int policy)
{
	return policy == SCHED_FIFO || policy == SCHED_RR;
}

static bool known(unsigned int policy)
{
	return policy == SCHED_NORMAL || policy == SCHED_BATCH || policy == SCHED_IDLE ||
	       real_time(policy);
}

static int set_policy(struct task *t, struct task *other, unsigned int policy, int priority)
{
	uint64_t limit = process_limit(other->process, RLIMIT_RTPRIO);

	if (!known(policy) || (real_time(policy) ? priority < 1 || priority > 99 : priority != 0))
		return -EINVAL;
	if (!may(t, other))
		return -EPERM;
	if (real_time(policy) && !cred_can(t->cred, CAP_SYS_NICE) && (uint64_t) priority > limit)
		return -EPERM;
	other->policy = policy;
	other->priority = (unsigned int) priority;
	return 0;
}

/* Once it is set, it is taken back with rights alone. */
static int may_reset(const struct task *t, const struct task *other, bool reset)
{
	return other->reset_on_fork && !reset && !cred_can(t->cred, CAP_SYS_NICE) ? -EPERM : 0;
}

sysret_t sys_sched_setscheduler(struct task *t, const uint64_t *a)
{
	unsigned int policy = (unsigned int) a[1] & ~(unsigned int) SCHED_RESET_ON_FORK;
	struct task *other;
	int32_t priority;
	int r;

	if ((int) a[1] < 0 || (int) a[0] < 0 || !a[2])
		return -EINVAL;
	r = copy_in(t->space, &priority, uva(a[2]), sizeof(priority));
	if (r == 0)
		r = task_of(t, a[0], &other);
	if (r == 0)
		r = may_reset(t, other, a[1] & SCHED_RESET_ON_FORK);
	if (r == 0)
		r = set_policy(t, other, policy, priority);
	if (r == 0)
		other->reset_on_fork = a[1] & SCHED_RESET_ON_FORK;
	return r;
}

sysret_t sys_sched_getscheduler(struct task *t, const uint64_t *a)
{
	struct task *other;
	int r = (int) a[0] < 0 ? -EINVAL : task_of(t, a[0], &other);

	return r < 0		      ? r
	       : other->reset_on_fork ? (sysret_t) other->policy | SCHED_RESET_ON_FORK
				      : (sysret_t) other->policy;
}

sysret_t sys_sched_setparam(struct task *t, const uint64_t *a)
{
	struct task *other;
	int32_t priority;
	int r;

	if ((int) a[0] < 0 || !a[1])
		return -EINVAL;
	r = copy_in(t->space, &priority, uva(a[1]), sizeof(priority));
	if (r == 0)
		r = task_of(t, a[0], &other);
	return r < 0 ? r : set_policy(t, other, other->policy, priority);
}

sysret_t sys_sched_getparam(struct task *t, const uint64_t *a)
{
	struct task *other;
	int32_t priority;
	int r;

	if ((int) a[0] < 0 || !a[1])
		return -EINVAL;
	r = task_of(t, a[0], &other);
	if (r < 0)
		return r;
	priority = real_time(other->policy) ? (int32_t) other->priority : 0;
	return copy_out(t->space, uva(a[1]), &priority, sizeof(priority));
}

#define ATTR_LEAST 48 /* SCHED_ATTR_SIZE_VER0 */
#define ATTR_KNOWN ((uint64_t) (SCHED_FLAG_RESET_ON_FORK | SCHED_FLAG_KEEP_ALL))

/* How large the guest's struct sched_attr is: its first word. */
static int attr_in(struct task *t, uva_t from, struct sched_attr *ret)
{
	const uint32_t known = sizeof(*ret);
	uint32_t size;
	int r = copy_in(t->space, &size, from, sizeof(size));

	if (r < 0)
		return r;
	size = size ?: ATTR_LEAST;
	if (size >= ATTR_LEAST && size <= PAGE_SIZE)
		r = struct_in(t, ret, known, from, size, ATTR_LEAST);
	else
		r = -E2BIG;
	/* It is told what would be understood. */
	if (r == -E2BIG && copy_out(t->space, from, &known, sizeof(known)) < 0)
		r = -EFAULT;
	return r;
}

/* What a deadline asks for is refused as where no time is left to be promised: none ever is. */
static int deadline(const struct task *t, const struct sched_attr *a)
{
	uint64_t period = a->sched_period ?: a->sched_deadline;

	if (a->sched_priority || !a->sched_deadline || a->sched_runtime < 1024 ||
	    a->sched_runtime > a->sched_deadline || a->sched_deadline > period || period >> 63)
		return -EINVAL;
	return cred_can(t->cred, CAP_SYS_NICE) ? -EBUSY : -EPERM;
}

static int set_nice(struct task *t, struct task *other, int nice);

static int set_attr(struct task *t, struct task *other, const struct sched_attr *a)
{
	unsigned int policy = a->sched_policy;
	int priority = (int) a->sched_priority, nice = max_of(-20, a->sched_nice), r;

	nice = min_of(19, nice);

	if (a->sched_flags & SCHED_FLAG_KEEP_POLICY)
		policy = other->policy;
	if (a->sched_flags & SCHED_FLAG_KEEP_PARAMS)
		priority = real_time(policy) ? (int) other->priority : 0;
	if (policy == SCHED_DEADLINE)
		return deadline(t, a);
	if (a->sched_priority > 99)
		return -EINVAL;
	r = may_reset(t, other, a->sched_flags & SCHED_FLAG_RESET_ON_FORK);
	if (r == 0)
		r = set_policy(t, other, policy, priority);
	if (r == 0)
		other->reset_on_fork = a->sched_flags & SCHED_FLAG_RESET_ON_FORK;
	if (r == 0 && !real_time(policy) && !(a->sched_flags & SCHED_FLAG_KEEP_PARAMS))
		r = set_nice(t, other, nice);
	return r;
}

sysret_t sys_sched_setattr(struct task *t, const uint64_t *a)
{
	struct sched_attr attr = {};
	struct task *other;
	int r;

	if ((int) a[0] < 0 || !a[1] || (uint32_t) a[2])
		return -EINVAL;
	r = attr_in(t, uva(a[1]), &attr);
	if (r < 0)
		return r;
	if ((int32_t) attr.sched_policy < 0 || attr.sched_flags & ~ATTR_KNOWN)
		return -EINVAL;
	r = task_of(t, a[0], &other);
	return r < 0 ? r : set_attr(t, other, &attr);
}

sysret_t sys_sched_getattr(struct task *t, const uint64_t *a)
{
	struct sched_attr attr = { .size = sizeof(attr) };
	uint32_t room = (uint32_t) a[2];
	struct task *other;
	int r;

	if ((int) a[0] < 0 || !a[1] || room > PAGE_SIZE || room < ATTR_LEAST || (uint32_t) a[3])
		return -EINVAL;
	r = task_of(t, a[0], &other);
	if (r < 0)
		return r;
	attr.size = min_of(attr.size, room);
	attr.sched_policy = other->policy;
	if (real_time(other->policy))
		attr.sched_priority = other->priority;
	else
		attr.sched_nice = other->nice;
	if (other->reset_on_fork)
		attr.sched_flags = SCHED_FLAG_RESET_ON_FORK;
	attr.sched_util_max = 1024;
	return copy_out(t->space, uva(a[1]), &attr, attr.size);
}

static sysret_t priority_bound(uint64_t policy, int real)
{
	unsigned int p = (unsigned int) policy;

	return real_time(p) ? real : known(p) || p == SCHED_DEADLINE ? 0 : -EINVAL;
}

sysret_t sys_sched_get_priority_max(struct task *t, const uint64_t *a)
{
	(void) t;
	return priority_bound(a[0], 99);
}

sysret_t sys_sched_get_priority_min(struct task *t, const uint64_t *a)
{
	(void) t;
	return priority_bound(a[0], 1);
}

sysret_t sys_sched_rr_get_interval(struct task *t, const uint64_t *a)
{
	static const nsec_t round_robin = 100000000, fair = 4000000;
	struct task *other;
	int r = (int) a[0] < 0 ? -EINVAL : task_of(t, a[0], &other);

	if (r < 0)
		return r;
	return time_out(t, uva(a[1]),
			other->policy == SCHED_RR     ? round_robin
			: other->policy == SCHED_FIFO ? 0
						      : fair);
}

/* ---- nice ---- */

#define PRIO_PROCESS 0
#define PRIO_PGRP    1
#define PRIO_USER    2

/* RLIMIT_NICE 20 allows nice 0, 40 nice -20. */
static int set_nice(struct task *t, struct task *other, int nice)
{
	uint64_t limit = process_limit(other->process, RLIMIT_NICE);
	bool free = cred_can(t->cred, CAP_SYS_NICE);

	if (!may(t, other))
		return -EPERM;
	if (nice < other->nice && !free && (uint64_t) (20 - nice) > limit)
		return -EACCES;
	other->nice = nice;
	return 0;
}

/* Runs `what` for each task that which and who name: set: setpriority, else the lowest nice. */
static int each(struct task *t, uint64_t which, uint64_t who, bool set, int *nice)
{
	int found = -ESRCH, lowest = 20;
	int32_t id = (int32_t) who;
	uint64_t nr = 0;
	struct pid *p;

	if (which > PRIO_USER)
		return -EINVAL;
	for (; (p = pid_next(&nr)); nr++) {
		struct task *one = p->task;
		bool meant;

		if (!one || one->state != TASK_LIVE)
			continue;
		if (which == PRIO_PROCESS)
			meant = id == 0 ? one == t : (int32_t) one->tid == id;
		else if (which == PRIO_PGRP)
			meant = one->process->group &&
				(id == 0 ? one->process->group == t->process->group
					 : (int32_t) one->process->group->pid->nr == id);
		else
			meant = one->cred->uid == (id == 0 ? t->cred->uid : (uint32_t) id);
		if (!meant)
			continue;
		if (set) {
			int r = set_nice(t, one, *nice);

			found = found == -ESRCH || r < 0 ? r : found;
		} else {
			lowest = min_of(lowest, one->nice);
			found = 0;
		}
	}
	if (!set)
		*nice = lowest;
	return found;
}

sysret_t sys_setpriority(struct task *t, const uint64_t *a)
{
	int nice = (int) a[2];

	nice = max_of(-20, nice);
	nice = min_of(19, nice);
	return each(t, (uint32_t) a[0], a[1], true, &nice);
}

/* As the call gives it: 1 ... 40, so that no result looks as an error. */
sysret_t sys_getpriority(struct task *t, const uint64_t *a)
{
	int nice = 0, r = each(t, (uint32_t) a[0], a[1], false, &nice);

	return r < 0 ? r : 20 - nice;
}
