/* SPDX-License-Identifier: Apache-2.0 */
/* The list of calls against the headers and the kernel; every call with hostile arguments. */
#include <asm/unistd.h>

#include "kernel/core/heap.h"
#include "kernel/platform/sim/test_run.h"
#include "kernel/syscall/list/calls.h"
#include "kernel/syscall/test_guest.h"

/* Newer than the headers may be. */
#ifndef __NR_cachestat
#define __NR_cachestat 451
#endif
#ifndef __NR_fchmodat2
#define __NR_fchmodat2 452
#endif

struct expected {
	unsigned int nr;
	int error; /* 0: served */
};

#define FULL(n, call)		{ n, 0 },
#define PART(n, call, missing)	{ n, 0 },
#define DENY(n, call, err, why) { n, err },
#define NONE(n, call)		{ n, ENOSYS },

static const struct expected expected[] = {
#include "kernel/syscall/list/calls.inc"
};

#undef FULL
#undef PART
#undef DENY
#undef NONE

/* Served calls have the numbers of the headers. */
static void of_headers(void)
{
#define FULL(n, call)	       CHECK(n == __NR_##call);
#define PART(n, call, missing) CHECK(n == __NR_##call);
#define DENY(n, call, err, why)
#define NONE(n, call)
#include "kernel/syscall/list/calls.inc"
}

static void of_list(struct guest *g)
{
	size_t n;
	const struct call_info *all = call_list(&n);

	CHECK(n == countof(expected));
	for (size_t k = 0; k < n; k++) {
		bool served = all[k].state == CALL_FULL || all[k].state == CALL_PART;

		CHECK(all[k].nr == expected[k].nr && all[k].nr < SYSCALL_END);
		CHECK(k == 0 || all[k].nr > all[k - 1].nr);
		CHECK(served == !all[k].error && served == !expected[k].error);
		CHECK((all[k].state == CALL_PART || all[k].state == CALL_DENY) == !!all[k].words);
		CHECK(strlen(call_state_text(all[k].state)) > 0);
		if (!served)
			CHECK(CALL(g, all[k].nr, 1, 2, 3, 4, 5, 6) == -expected[k].error);
	}
	CHECK(CALL(g, SYSCALL_END, 0) == -ENOSYS && CALL(g, UINT32_MAX, 0) == -ENOSYS);
	CHECK(CALL(g, 400, 0) == -ENOSYS); /* no call */
}

static uint32_t dice(void)
{
	static uint64_t state = 88172645463325252;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t) (state >> 16);
}

#define READONLY (GUEST_AT + 32 * PAGE_SIZE)

static uint64_t hostile(void)
{
	const uint64_t end = GUEST_AT + GUEST_PAGES * PAGE_SIZE;
	const uint64_t values[] = { 0,
				    1,
				    2,
				    3,
				    4,
				    5,
				    7,
				    8,
				    64,
				    4095,
				    PAGE_SIZE,
				    (uint64_t) -1,
				    (uint64_t) -100, /* AT_FDCWD */
				    INT32_MAX,
				    (uint64_t) INT32_MIN,
				    UINT32_MAX,
				    INT64_MAX,
				    (uint64_t) INT64_MIN,
				    GUEST_AT,
				    GUEST_AT + 1,
				    GUEST_AT + PAGE_SIZE - 3,
				    GUEST_AT + 2 * PAGE_SIZE,
				    end - 1,
				    end - 7,
				    end,
				    READONLY,
				    READONLY + PAGE_SIZE - 2,
				    8,
				    0xffff800000000000,
				    0x7fffffffffff,
				    (uint64_t) 1 << 62,
				    1000000 };

	return values[dice() % countof(values)];
}

/* One of each kind, so that descriptors 0 ... 7 and more mean something. */
static void open_all(struct guest *g)
{
	uint64_t path = guest_text(g, 0, "/f"), dir = guest_text(g, 64, "/"), q = GUEST_AT + 128;

	CHECK(CALL(g, __NR_open, path, 0102 | 04000, 0600) >= 0);
	CHECK(CALL(g, __NR_open, dir, 0, 0) >= 0);
	CHECK(CALL(g, __NR_pipe2, q, 04000) == 0);
	CHECK(CALL(g, __NR_eventfd2, 3, 04000) >= 0);
	CHECK(CALL(g, __NR_epoll_create1, 0) >= 0);
	CHECK(CALL(g, __NR_timerfd_create, 1, 04000) >= 0);
	CHECK(CALL(g, __NR_memfd_create, path, 0) >= 0);
	CHECK(CALL(g, __NR_socketpair, 1, 1 | 04000, 0, q) == 0);
	CHECK(CALL(g, __NR_socket, 1, 2 | 04000, 0) >= 0);
	CHECK(CALL(g, __NR_socket, 2, 2 | 04000, 0) >= 0);
	CHECK(CALL(g, __NR_socket, 10, 1 | 04000, 0) >= 0);
	CHECK(CALL(g, __NR_socket, 16, 3 | 04000, 0) >= 0);
	CHECK(CALL(g, __NR_pidfd_open, 1, 0) >= 0);
}

/* What is there now may be anything but harmful: texts, small numbers, addresses. */
static void fill(struct guest *g)
{
	uint64_t words[64];

	for (size_t n = 0; n < countof(words); n++)
		words[n] = dice() % 4 ? hostile() : dice();
	(void) !copy_out(g->task->space, uva(GUEST_AT), words, sizeof(words));
	(void) !copy_out(g->task->space, uva(GUEST_AT + 2 * PAGE_SIZE), "/f\0/d/./../l", 13);
}

/* Those do not come back to who calls, or need a program that runs: test_programs.c. */
static bool comes_back(unsigned int nr)
{
	return nr != __NR_exit && nr != __NR_exit_group && nr != __NR_rt_sigreturn &&
	       nr != __NR_execve && nr != __NR_execveat && nr != __NR_clone && nr != __NR_clone3 &&
	       nr != __NR_fork && nr != __NR_vfork;
}

static void every_call(void)
{
	for (size_t k = 0; k < countof(expected); k++) {
		unsigned int nr = expected[k].nr;
		struct guest g;

		if (expected[k].error || !comes_back(nr))
			continue;
		guest_begin(&g);
		CHECK(CALL(&g, __NR_mmap, READONLY, PAGE_SIZE, PROT_READ, 0x32, -1, 0) > 0);
		open_all(&g);
		for (int n = 0; n < 300; n++) {
			uint64_t a[6];
			sysret_t r;

			fill(&g);
			for (size_t i = 0; i < 6; i++)
				a[i] = hostile();
			r = guest_call(&g, nr, a);
			if (r < 0 && r > -4096 && !(r < -200 && r > -512) && r > -517)
				r = 0;
			if (r < 0)
				(void) fprintf(stderr, "call %u gives %lld\n", nr, (long long) r);
			CHECK(r >= 0);
		}
		guest_end(&g);
		CHECK(frame_used() <= 1);
	}
}

static bool finished;

static void body(void *arg)
{
	struct guest g;

	(void) arg;
	of_headers();
	guest_begin(&g);
	of_list(&g);
	guest_end(&g);
	every_call();
	finished = true;
}

int main(void)
{
	int r = test_run(4096, body);

	/* No call waits for what nobody can end. */
	return finished ? r : 1;
}
