/* SPDX-License-Identifier: Apache-2.0 */
/* Limits and what was used: rlimits, rusage, times. */
#include "kernel/task/limit.h"
#include <linux/resource.h>

#include "kernel/platform/platform.h"
#include "kernel/syscall/decode.h"
#include "kernel/syscall/usage.h"
#include "kernel/task/wait.h"

#define TICK (NSEC_PER_SEC / 100) /* of times(2): USER_HZ */

sysret_t sys_prlimit64(struct task *t, const uint64_t *a)
{
	struct task_limit new, old;
	sysret_t r = a[2] ? copy_in(t->space, &new, uva(a[2]), sizeof(new)) : 0;

	if (r == 0)
		r = task_prlimit(t, (int32_t) a[0], (uint32_t) a[1], a[2] ? &new : NULL, &old);
	if (r == 0 && a[3])
		r = copy_out(t->space, uva(a[3]), &old, sizeof(old));
	return r;
}

sysret_t sys_getrlimit(struct task *t, const uint64_t *a)
{
	struct task_limit old;
	sysret_t r = task_prlimit(t, 0, (uint32_t) a[0], NULL, &old);

	return r < 0 ? r : copy_out(t->space, uva(a[1]), &old, sizeof(old));
}

sysret_t sys_setrlimit(struct task *t, const uint64_t *a)
{
	struct task_limit new;
	int r = copy_in(t->space, &new, uva(a[1]), sizeof(new));

	return r < 0 ? r : task_prlimit(t, 0, (uint32_t) a[0], &new, NULL);
}

/* ---- what was used ---- */

static struct __kernel_old_timeval timeval(nsec_t n)
{
	return (struct __kernel_old_timeval){ n / NSEC_PER_SEC, n % NSEC_PER_SEC / 1000 };
}

int usage_out(struct task *t, uva_t to, const struct task_usage *u)
{
	/* struct rusage: its first two members are struct timeval. */
	struct {
		struct __kernel_old_timeval user, system;
		int64_t maxrss, ixrss, idrss, isrss, minflt, majflt, nswap, inblock, oublock,
			msgsnd, msgrcv, nsignals, nvcsw, nivcsw;
	} out = { .user = timeval(u->user),
		  .system = timeval(u->system),
		  .maxrss = (int64_t) (u->most_resident << PAGE_SHIFT >> 10),
		  .minflt = (int64_t) u->minor_faults,
		  .majflt = (int64_t) u->major_faults,
		  .nvcsw = (int64_t) u->switches,
		  .nivcsw = (int64_t) u->preempted };

	return copy_out(t->space, to, &out, sizeof(out));
}

sysret_t sys_getrusage(struct task *t, const uint64_t *a)
{
	struct task_usage u = {};

	switch ((int) a[0]) {
	case RUSAGE_SELF:
		process_usage(t->process, &u);
		break;
	case RUSAGE_CHILDREN:
		u = t->process->children_usage;
		break;
	case RUSAGE_THREAD:
		task_usage(t, &u);
		break;
	default:
		return -EINVAL;
	}
	return usage_out(t, uva(a[1]), &u);
}

sysret_t sys_times(struct task *t, const uint64_t *a)
{
	const struct task_usage *children = &t->process->children_usage;
	struct task_usage u = {};
	int64_t out[4]; /* struct tms */
	int r = 0;

	process_usage(t->process, &u);
	out[0] = u.user / TICK;
	out[1] = u.system / TICK;
	out[2] = children->user / TICK;
	out[3] = children->system / TICK;
	if (a[0])
		r = copy_out(t->space, uva(a[0]), out, sizeof(out));
	return r < 0 ? r : plat_now(PLAT_MONOTONIC) / TICK;
}
