/* SPDX-License-Identifier: Apache-2.0 */
/* Turns and what threads share, by their calls: sched_setattr, ioprio, kcmp; coarse clocks. */
#include <asm/unistd.h>
#include <linux/fcntl.h>
#include <linux/ioprio.h>
#include <linux/kcmp.h>
#include <linux/sched.h>
#include <linux/sched/types.h>
#include <linux/time.h>

#include "kernel/platform/sim/test_run.h"
#include "kernel/syscall/test_guest.h"

#define AT(n) (GUEST_AT + (n))

static struct guest g;

static sysret_t set(const struct sched_attr *a)
{
	return CALL(&g, __NR_sched_setattr, 0, guest_put(&g, 0, a, sizeof(*a)), 0);
}

static void attributes(void)
{
	struct sched_attr a = { .size = sizeof(a), .sched_policy = SCHED_BATCH, .sched_nice = 7 };
	struct sched_attr got;
	uint32_t size;

	CHECK(set(&a) == 0 && g.task->policy == SCHED_BATCH && g.task->nice == 7);
	CHECK(CALL(&g, __NR_sched_getattr, 0, AT(512), sizeof(got), 0) == 0);
	guest_get(&g, 512, &got, sizeof(got));
	CHECK(got.size == sizeof(got) && got.sched_policy == SCHED_BATCH && got.sched_nice == 7);
	a = (struct sched_attr){ .size = 48, .sched_policy = SCHED_FIFO, .sched_priority = 3 };
	CHECK(set(&a) == 0 && g.task->policy == SCHED_FIFO && g.task->priority == 3);
	CHECK(CALL(&g, __NR_sched_getattr, 0, AT(512), 48, 0) == 0);
	guest_get(&g, 512, &got, sizeof(got));
	CHECK(got.size == 48 && got.sched_priority == 3);
	a.sched_flags = SCHED_FLAG_KEEP_ALL;
	a.sched_policy = SCHED_NORMAL;
	CHECK(set(&a) == 0 && g.task->policy == SCHED_FIFO && g.task->priority == 3);
	a = (struct sched_attr){ .size = 48, .sched_policy = SCHED_FIFO };
	CHECK(set(&a) == -EINVAL);
	a.sched_priority = 100;
	CHECK(set(&a) == -EINVAL);
	a = (struct sched_attr){ .size = 48, .sched_policy = SCHED_DEADLINE };
	CHECK(set(&a) == -EINVAL);
	a.sched_runtime = 10000;
	a.sched_deadline = 20000;
	CHECK(set(&a) == -EBUSY);
	a.size = 40;
	CHECK(set(&a) == -E2BIG);
	guest_get(&g, 0, &size, sizeof(size));
	CHECK(size == sizeof(a));
	a.size = sizeof(a);
	CHECK(CALL(&g, __NR_sched_setattr, 99, guest_put(&g, 0, &a, sizeof(a)), 0) == -ESRCH);
	CHECK(CALL(&g, __NR_sched_setattr, 0, AT(0), 1) == -EINVAL &&
	      CALL(&g, __NR_sched_setattr, 0, 0, 0) == -EINVAL &&
	      CALL(&g, __NR_sched_setattr, 0, 8, 0) == -EFAULT);
	CHECK(CALL(&g, __NR_sched_getattr, 0, AT(0), 47, 0) == -EINVAL &&
	      CALL(&g, __NR_sched_getattr, 0, AT(0), 5000, 0) == -EINVAL);
	a = (struct sched_attr){ .size = 48, .sched_policy = SCHED_NORMAL };
	CHECK(set(&a) == 0);
}

static void disks(void)
{
	const unsigned int best = IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, 4),
			   real = IOPRIO_PRIO_VALUE(IOPRIO_CLASS_RT, 2);

	CHECK(CALL(&g, __NR_ioprio_get, IOPRIO_WHO_PROCESS, 0) == 0 &&
	      CALL(&g, __NR_ioprio_get, IOPRIO_WHO_PGRP, 0) == best);
	CHECK(CALL(&g, __NR_ioprio_set, IOPRIO_WHO_PROCESS, 0, real) == 0);
	CHECK(CALL(&g, __NR_ioprio_get, IOPRIO_WHO_PROCESS, g.task->tid) == real &&
	      CALL(&g, __NR_ioprio_get, IOPRIO_WHO_PGRP, 0) == real &&
	      CALL(&g, __NR_ioprio_get, IOPRIO_WHO_USER, 0) == real);
	g.cred->effective = 0;
	CHECK(CALL(&g, __NR_ioprio_set, IOPRIO_WHO_PROCESS, 0, real) == -EPERM);
	g.cred->effective = UINT64_MAX;
	CHECK(CALL(&g, __NR_ioprio_set, 9, 0, best) == -EINVAL &&
	      CALL(&g, __NR_ioprio_set, IOPRIO_WHO_PROCESS, 0, 7 << 13) == -EINVAL &&
	      CALL(&g, __NR_ioprio_set, IOPRIO_WHO_PROCESS, 0, 1) == -EINVAL &&
	      CALL(&g, __NR_ioprio_set, IOPRIO_WHO_PROCESS, 99, best) == -ESRCH &&
	      CALL(&g, __NR_ioprio_get, IOPRIO_WHO_PROCESS, 99) == -ESRCH);
	CHECK(CALL(&g, __NR_ioprio_set, IOPRIO_WHO_PROCESS, 0, 0) == 0 &&
	      CALL(&g, __NR_ioprio_get, IOPRIO_WHO_PROCESS, 0) == 0);
}

static sysret_t compare(uint64_t type, uint64_t a, uint64_t b)
{
	return CALL(&g, __NR_kcmp, g.task->tid, g.task->tid, type, a, b);
}

static void comparing(void)
{
	const uint64_t name = guest_text(&g, 0, "/f");
	sysret_t a = CALL(&g, __NR_open, name, O_CREAT | O_RDWR, 0600), b, c, r;

	b = CALL(&g, __NR_open, name, O_RDWR, 0);
	c = CALL(&g, __NR_dup, (uint64_t) a);
	CHECK(a >= 0 && b >= 0 && c >= 0 && compare(KCMP_FILE, (uint64_t) a, (uint64_t) c) == 0);
	r = compare(KCMP_FILE, (uint64_t) a, (uint64_t) b);
	CHECK((r == 1 || r == 2) && compare(KCMP_FILE, (uint64_t) b, (uint64_t) a) == 3 - r);
	CHECK(compare(KCMP_FILE, (uint64_t) a, 99) == -EBADF);
	for (uint64_t type = KCMP_VM; type <= KCMP_SYSVSEM; type++)
		CHECK(compare(type, 0, 0) == 0);
	CHECK(compare(KCMP_TYPES, 0, 0) == -EINVAL);
	CHECK(CALL(&g, __NR_kcmp, g.task->tid, 99, KCMP_VM) == -ESRCH);
	CHECK(CALL(&g, __NR_close, (uint64_t) a) + CALL(&g, __NR_close, (uint64_t) b) +
		      CALL(&g, __NR_close, (uint64_t) c) ==
	      0);
}

static nsec_t now(uint64_t clock)
{
	struct __kernel_timespec t = {};

	CHECK(CALL(&g, __NR_clock_gettime, clock, AT(0)) == 0);
	guest_get(&g, 0, &t, sizeof(t));
	return t.tv_sec * NSEC_PER_SEC + t.tv_nsec;
}

static void clocks(void)
{
	(void) fiber_park_until(plat_now(PLAT_MONOTONIC) + 1234567);
	CHECK(now(CLOCK_MONOTONIC_COARSE) < now(CLOCK_MONOTONIC) &&
	      now(CLOCK_MONOTONIC) - now(CLOCK_MONOTONIC_COARSE) < 4000000);
	CHECK(now(CLOCK_REALTIME_COARSE) < now(CLOCK_REALTIME) &&
	      now(CLOCK_REALTIME) - now(CLOCK_REALTIME_COARSE) < 4000000);
}

static void all(void *arg)
{
	(void) arg;
	guest_begin(&g);
	attributes();
	disks();
	comparing();
	clocks();
	guest_end(&g);
}

int main(void)
{
	return test_run(8192, all);
}
