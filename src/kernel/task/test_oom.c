/* SPDX-License-Identifier: Apache-2.0 */
/* Who ends when there is no more memory: guests that take more than there is. */
#include "kernel/task/oom.h"

#include <linux/mman.h>

#include "kernel/task/test_life_calls.h"

#define PLACE  ((uint64_t) 0x10000000)
#define LARGE  300 /* pages */
#define SMALL  200
#define BUDGET 450 /* more than the larger one has, less than both */

static uint64_t budget_before;

static void map_room(struct task *t)
{
	struct space_mapping m = { .at = PLACE,
				   .len = (uint64_t) 1024 * PAGE_SIZE,
				   .prot = PROT_READ | PROT_WRITE,
				   .fixed = true };
	uint64_t at;

	CHECK(space_map(t->space, &m, &at) == 0);
}

static void protect(struct task *t)
{
	t->process->oom_score_adj = -1000;
	CHECK(oom_badness(t->process) == OOM_NEVER);
}

static void offer(struct task *t)
{
	t->process->oom_score_adj = 900;
}

static void take(uint64_t pages)
{
	const uint32_t v = 1;

	like(map_room);
	/* The sim's processor faults twice for an access; each time somebody may end. */
	for (uint64_t n = 0; n < pages; n++)
		CHECK(sim_write(PLACE + n * PAGE_SIZE, &v, sizeof(v)) ||
		      sim_write(PLACE + n * PAGE_SIZE, &v, sizeof(v)));
}

static void large(void *arg)
{
	(void) arg;
	take(LARGE);
	sleeps(NULL);
}

static void large_and_protected(void *arg)
{
	(void) arg;
	like(protect);
	take(LARGE);
	sleeps(NULL);
}

static void offered(void *arg)
{
	(void) arg;
	like(offer);
	sleeps(NULL);
}

static void small(void *arg)
{
	(void) arg;
	take(SMALL);
	sim_sys(EXIT, 7);
}

static void till_it_sleeps(void)
{
	CHECK(sim_sys(SLEEP, 1) == -ETIMEDOUT);
}

/* Not who asked for the last page, but who has most of them. */
static void the_largest(void *arg)
{
	sysret_t big = fork_to(large, NULL), little;

	(void) arg;
	till_it_sleeps();
	little = fork_to(small, NULL);
	CHECK(end_of(little) == 7 << 8 && end_of(big) == SIGKILL);
	sim_sys(EXIT, 0);
}

/* Who is protected stays: the one that asked is the next. */
static void not_the_protected(void *arg)
{
	sysret_t big = fork_to(large_and_protected, NULL), little;

	(void) arg;
	like(protect);
	till_it_sleeps();
	little = fork_to(small, NULL);
	sim_sys(SLEEP, NSEC_PER_SEC / 1000);
	/* It inherited that: then it is itself. */
	CHECK(end_of(little) == SIGKILL && sim_sys(SEND, big, SIGKILL) == 0);
	CHECK(end_of(big) == SIGKILL);
	sim_sys(EXIT, 0);
}

/* Small as it is, it is offered; what that frees is not enough, and the largest follows. */
static void who_is_offered(void *arg)
{
	sysret_t first = fork_to(offered, NULL), big = fork_to(large, NULL), little;

	(void) arg;
	till_it_sleeps();
	little = fork_to(small, NULL);
	CHECK(end_of(little) == 7 << 8);
	CHECK(end_of(first) == SIGKILL && end_of(big) == SIGKILL);
	sim_sys(EXIT, 0);
}

/* Two threads of one space: it is theirs, and both end. */
static void shared(void *arg)
{
	(void) arg;
	like(map_room);
	CHECK(fork_with(CLONE_VM, SIGCHLD, sleeps, NULL) > 1);
	for (uint64_t n = 0; n < 1000; n++)
		poke(PLACE + n * PAGE_SIZE, 1);
	CHECK(false);
}

static void all_that_share(void *arg)
{
	struct wait_result w;
	sysret_t pid = fork_to(shared, NULL);

	(void) arg;
	CHECK(end_of(pid) == SIGKILL);
	CHECK(wait_for(-1, WEXITED, &w) > 0 && w.status == SIGKILL); /* its child, now ours */
	sim_sys(EXIT, 0);
}

static int within(void (*main)(void *arg))
{
	int status;

	frame_set_budget(frame_used() + BUDGET);
	status = run(main);
	frame_set_budget(budget_before);
	return status;
}

static void body(void *arg)
{
	struct mount_space *m = life_root();

	(void) arg;
	budget_before = frame_budget();
	CHECK(within(the_largest) == 0);
	CHECK(within(not_the_protected) == 0);
	CHECK(within(who_is_offered) == 0);
	CHECK(within(all_that_share) == 0);
	mount_space_unref(m);
}

int main(void)
{
	return test_run(4096, body);
}
