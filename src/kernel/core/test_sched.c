/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/core/sched.h"

#include "base/test.h"
#include "kernel/platform/sim/sim.h"

static struct waitq queue;
static int value, waiting, order[8], ordered;

static void consumer(void *arg)
{
	int want = *(int *) arg;

	waiting++;
	CHECK(waitq_wait(&queue, value >= want, NSEC_NEVER, 0) == 0);
	waiting--;
	order[ordered++] = want;
	fiber_exit();
}

static void producer(void *arg)
{
	(void) arg;
	for (int n = 0; n < 3; n++) {
		value++;
		CHECK(waitq_wake(&queue, 0, 0) > 0);
		fiber_yield();
		fiber_yield();
	}
	fiber_exit();
}

static void wakes(void)
{
	static int wants[] = { 3, 1, 2 };
	struct fiber *f;

	waitq_init(&queue);
	for (size_t n = 0; n < countof(wants); n++)
		CHECK(sched_spawn(consumer, &wants[n], &f) == 0);
	sim_run();
	CHECK(waiting == 3 && ordered == 0);
	CHECK(sched_spawn(producer, NULL, &f) == 0);
	sim_run();
	CHECK(waiting == 0 && ordered == 3 && order[0] == 1 && order[1] == 2 && order[2] == 3);
}

static void sleeper(void *arg)
{
	nsec_t *ret_after = arg, from = plat_now(PLAT_MONOTONIC);

	CHECK(waitq_wait(&queue, false, from + *ret_after, 0) == -ETIMEDOUT);
	*ret_after = plat_now(PLAT_MONOTONIC) - from;
	fiber_exit();
}

static void deadlines(void)
{
	nsec_t times[] = { 5 * NSEC_PER_SEC, 1, 3 * NSEC_PER_SEC, -1 };
	nsec_t begun = sim_now();
	struct fiber *f;

	for (size_t n = 0; n < countof(times); n++)
		CHECK(sched_spawn(sleeper, &times[n], &f) == 0);
	sim_run();
	CHECK(times[0] == 5 * NSEC_PER_SEC && times[1] == 1 && times[2] == 3 * NSEC_PER_SEC);
	CHECK(times[3] == 0);
	CHECK(sim_now() - begun == 5 * NSEC_PER_SEC);
}

static void stopped(void *arg)
{
	*(int *) arg = waitq_wait(&queue, false, NSEC_NEVER, value < 0 ? -EINTR : 0);
	fiber_exit();
}

/* What stops a wait is looked at after each wake-up, and before the first. */
static void stops(void)
{
	struct fiber *f;
	int got = 1;

	value = 0;
	CHECK(sched_spawn(stopped, &got, &f) == 0);
	sim_run();
	CHECK(got == 1);
	value = -1;
	fiber_wake(f);
	sim_run();
	CHECK(got == -EINTR);
	got = 1;
	CHECK(sched_spawn(stopped, &got, &f) == 0);
	sim_run();
	CHECK(got == -EINTR);
}

static int told;

static bool tell(struct waiter *w, unsigned int events)
{
	told += (int) events;
	waitq_remove(w);
	return events != 4;
}

static void notified(void)
{
	struct waiter w[4] = {};

	waitq_init(&queue);
	for (size_t n = 0; n < countof(w); n++) {
		list_init(&w[n].link);
		w[n].notify = tell;
		w[n].exclusive = n > 0;
		waitq_add(&queue, &w[n]);
	}
	w[3].events = 2;
	CHECK(waitq_wake(&queue, 1, 1) == 2 && told == 2); /* who is not exclusive, and one */
	CHECK(waitq_wake(&queue, 4, 1) == 1 &&
	      told == 6); /* told, counts not; the last waits for 2 */
	CHECK(waitq_wake(&queue, 3, 1) == 1 && told == 9);
	CHECK(list_empty(&queue.waiters));
}

static struct sleeplock lock;
static int inside, most, passed;

static void locker(void *arg)
{
	(void) arg;
	for (int n = 0; n < 10; n++) {
		sleeplock_take(&lock);
		inside++;
		most = max_of(most, inside);
		CHECK(fiber_park_until(plat_now(PLAT_MONOTONIC) + 1000) == -ETIMEDOUT);
		inside--;
		sleeplock_give(&lock);
		passed++;
	}
	fiber_exit();
}

static void excluded(void)
{
	struct fiber *f;

	sleeplock_init(&lock);
	for (int n = 0; n < 5; n++)
		CHECK(sched_spawn(locker, NULL, &f) == 0);
	sim_run();
	CHECK(most == 1 && passed == 50 && inside == 0);
}

static void no_memory(void)
{
	struct fiber *f = NULL;

	for (unsigned long n = 1; n < 3; n++) {
		sim_fail_at(n);
		int r = sched_spawn(locker, NULL, &f);

		sim_fail_at(0);
		CHECK(r == -ENOMEM || r == 0);
		if (r == 0)
			sim_run();
	}
}

int main(void)
{
	sim_begin(1);
	wakes();
	deadlines();
	stops();
	notified();
	excluded();
	no_memory();
	sim_end();
	return test_done();
}
