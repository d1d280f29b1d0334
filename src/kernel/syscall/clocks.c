/* SPDX-License-Identifier: Apache-2.0 */
/* What time it is, by which clock. */
#include <linux/time.h>

#include "kernel/platform/platform.h"
#include "kernel/syscall/decode.h"
#include "kernel/task/cpu_clock.h"

#define COARSE ((nsec_t) 4000000) /* how fine the clocks are that say so: a jiffy of 250 Hz */

static int clock_now(struct task *t, int clock, nsec_t *ret_now, nsec_t *ret_grain)
{
	struct cpu_clock cpu;
	int r;

	*ret_grain = 1;
	switch (clock) {
	case CLOCK_REALTIME_COARSE:
		*ret_grain = COARSE;
		*ret_now = plat_now(PLAT_REALTIME_COARSE);
		return 0;
	case CLOCK_REALTIME:
	case CLOCK_REALTIME_ALARM:
	case CLOCK_TAI: /* no leap seconds are known: the two are the same, as on Linux then */
		*ret_now = plat_now(PLAT_REALTIME);
		return 0;
	case CLOCK_MONOTONIC_COARSE:
		*ret_grain = COARSE;
		*ret_now = plat_now(PLAT_MONOTONIC_COARSE);
		return 0;
	case CLOCK_MONOTONIC:
	case CLOCK_MONOTONIC_RAW:
	case CLOCK_BOOTTIME:
	case CLOCK_BOOTTIME_ALARM:
		*ret_now = plat_now(PLAT_MONOTONIC);
		return 0;
	default:
		if (clock >= 0 && clock != CLOCK_THREAD_CPUTIME_ID &&
		    clock != CLOCK_PROCESS_CPUTIME_ID)
			return -EINVAL;
		r = cpu_clock_find(t, clock, true, &cpu);
		if (r < 0)
			return r;
		*ret_now = cpu_clock_now(&cpu);
		*ret_grain = cpu.grain;
		return 0;
	}
}

sysret_t sys_clock_gettime(struct task *t, const uint64_t *a)
{
	nsec_t now, grain;
	int r = clock_now(t, (int) a[0], &now, &grain);

	return r < 0 ? r : time_out(t, uva(a[1]), now);
}

sysret_t sys_clock_getres(struct task *t, const uint64_t *a)
{
	nsec_t now, grain;
	int r = clock_now(t, (int) a[0], &now, &grain);

	return r < 0 || !a[1] ? r : time_out(t, uva(a[1]), grain);
}

sysret_t sys_gettimeofday(struct task *t, const uint64_t *a)
{
	nsec_t now = plat_now(PLAT_REALTIME);
	struct __kernel_old_timeval tv = { now / NSEC_PER_SEC, now % NSEC_PER_SEC / 1000 };
	int32_t zone[2] = {}; /* struct timezone: UTC */
	int r = a[0] ? copy_out(t->space, uva(a[0]), &tv, sizeof(tv)) : 0;

	if (r == 0 && a[1])
		r = copy_out(t->space, uva(a[1]), zone, sizeof(zone));
	return r;
}

sysret_t sys_time(struct task *t, const uint64_t *a)
{
	int64_t now = plat_now(PLAT_REALTIME) / NSEC_PER_SEC;
	int r = a[0] ? copy_out(t->space, uva(a[0]), &now, sizeof(now)) : 0;

	return r < 0 ? r : now;
}
