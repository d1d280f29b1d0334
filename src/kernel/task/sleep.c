/* SPDX-License-Identifier: Apache-2.0 */
/* nanosleep(2) and clock_nanosleep(2). */
#include <linux/time.h>

#include "kernel/core/clock.h"
#include "kernel/mm/uio.h"
#include "kernel/task/restart.h"
#include "kernel/task/signal.h"
#include "kernel/task/task.h"
#include "kernel/task/timers.h"

struct sleep {
	nsec_t deadline; /* PLAT_MONOTONIC */
	uint64_t rest;	 /* where what is left is told; 0: nowhere */
};

static int until(nsec_t deadline)
{
	int r = 0;

	while (r == 0) {
		r = fiber_interrupted();
		if (r == 0)
			r = fiber_park_until(deadline);
	}
	return r == -ETIMEDOUT ? 0 : r;
}

static sysret_t sleep_span(struct task *t, const struct sleep *s)
{
	struct __kernel_timespec left;
	nsec_t n;

	if (until(s->deadline) == 0)
		return 0;
	n = s->deadline - plat_now(PLAT_MONOTONIC);
	if (n <= 0)
		return 0;
	left = clock_spec(n);
	if (s->rest && copy_out(t->space, uva(s->rest), &left, sizeof(left)) < 0)
		return -EFAULT;
	return restart_set(t, sleep_again, s, sizeof(*s));
}

sysret_t sleep_again(struct task *t)
{
	struct sleep s;

	memcpy(&s, t->signals->restart.of, sizeof(s));
	return sleep_span(t, &s);
}

void sleep_later(struct restart *r, nsec_t span)
{
	struct sleep s;

	memcpy(&s, r->of, sizeof(s));
	s.deadline += span;
	memcpy(r->of, &s, sizeof(s));
}

static sysret_t sleep_by(struct task *t, bool realtime, bool absolute, uint64_t time, uint64_t rest)
{
	struct __kernel_timespec spec;
	nsec_t n, now = plat_now(PLAT_MONOTONIC);

	if (copy_in(t->space, &spec, uva(time), sizeof(spec)) < 0)
		return -EFAULT;
	if (!clock_nsec(&spec, &n))
		return -EINVAL;
	if (!absolute)
		return sleep_span(t, &(struct sleep){ clock_add(n, now), rest });
	if (realtime)
		n = max_of(n - (plat_now(PLAT_REALTIME) - now), (nsec_t) 0);
	return until(n) < 0 ? -ERESTARTNOHAND : 0;
}

sysret_t sys_nanosleep(struct task *t, const uint64_t *a)
{
	return sleep_by(t, false, false, a[0], a[1]);
}

sysret_t sys_clock_nanosleep(struct task *t, const uint64_t *a)
{
	switch ((int) a[0]) {
	case CLOCK_REALTIME:
	case CLOCK_TAI:
	case CLOCK_MONOTONIC:
	case CLOCK_BOOTTIME:
		return sleep_by(t, a[0] == CLOCK_REALTIME || a[0] == CLOCK_TAI,
				a[1] & TIMER_ABSTIME, a[2], a[3]);
	case CLOCK_PROCESS_CPUTIME_ID:
	case CLOCK_THREAD_CPUTIME_ID:
	case CLOCK_MONOTONIC_RAW:
	case CLOCK_REALTIME_COARSE:
	case CLOCK_MONOTONIC_COARSE:
	case CLOCK_REALTIME_ALARM:
	case CLOCK_BOOTTIME_ALARM:
		return -EOPNOTSUPP;
	default:
		return -EINVAL;
	}
}
