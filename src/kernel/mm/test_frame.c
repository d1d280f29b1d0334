/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/mm/frame.h"

#include "base/test.h"
#include "kernel/platform/sim/sim.h"

#define RAM 8192

static uint64_t state = 88172645463325252u;

static uint64_t number(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	return state ^= state << 17;
}

static bool all(uint64_t f, uint64_t count, unsigned char byte)
{
	const unsigned char *p = frame_ptr(f);

	for (uint64_t n = 0; n < count * PAGE_SIZE; n += 509) {
		if (p[n] != byte)
			return false;
	}
	return true;
}

/* Many runs at once: none overlaps, each is zero when it is given. */
static void runs(void)
{
	static struct {
		uint64_t first;
		unsigned int order;
	} run[200];
	uint64_t used = 0;

	for (size_t n = 0; n < countof(run); n++)
		run[n].first = FRAME_NONE;
	for (int round = 0; round < 20000; round++) {
		size_t n = number() % countof(run);

		if (run[n].first == FRAME_NONE) {
			run[n].order = (unsigned int) (number() % 6);
			run[n].first = frame_alloc(run[n].order);
			if (run[n].first == FRAME_NONE)
				continue;
			uint64_t count = (uint64_t) 1 << run[n].order;

			CHECK(run[n].first % count == 0 && all(run[n].first, count, 0));
			memset(frame_ptr(run[n].first), (int) n + 1, count * PAGE_SIZE);
			used += count;
		} else {
			uint64_t count = (uint64_t) 1 << run[n].order;

			CHECK(all(run[n].first, count, (unsigned char) (n + 1)));
			for (uint64_t f = 0; f < count; f++)
				frame_unref(run[n].first + f);
			run[n].first = FRAME_NONE;
			used -= count;
		}
		CHECK(frame_used() == used);
	}
	for (size_t n = 0; n < countof(run); n++) {
		for (uint64_t f = 0; run[n].first != FRAME_NONE && f < (uint64_t) 1 << run[n].order;
		     f++)
			frame_unref(run[n].first + f);
	}
	CHECK(frame_used() == 0);
}

/* All of it can be had as the largest runs again: nothing stayed in pieces. */
static void whole_again(void)
{
	uint64_t had[RAM >> FRAME_ORDER];

	for (size_t n = 0; n < countof(had); n++) {
		had[n] = frame_alloc(FRAME_ORDER);
		CHECK(had[n] != FRAME_NONE);
	}
	CHECK(frame_alloc(0) == FRAME_NONE);
	for (size_t n = 0; n < countof(had); n++) {
		for (uint64_t f = 0; f < (uint64_t) 1 << FRAME_ORDER; f++)
			frame_unref(had[n] + f);
	}
}

static void owners(void)
{
	uint64_t f = frame_alloc(0);

	CHECK(!frame_shared(f));
	frame_ref(f);
	CHECK(frame_shared(f));
	memset(frame_ptr(f), 7, PAGE_SIZE);
	frame_unref(f);
	CHECK(!frame_shared(f) && all(f, 1, 7) && frame_used() == 1);
	frame_unref(f);
	CHECK(frame_used() == 0);
	frame_trim();
	f = frame_alloc(0);
	CHECK(all(f, 1, 0));
	frame_unref(f);
}

static void budget(void)
{
	uint64_t f[11];

	frame_set_budget(10);
	CHECK(frame_alloc(4) == FRAME_NONE);
	for (size_t n = 0; n < countof(f); n++)
		f[n] = frame_alloc(0);
	CHECK(f[9] != FRAME_NONE && f[10] == FRAME_NONE);
	for (size_t n = 0; n < 10; n++)
		frame_unref(f[n]);
	frame_set_budget(RAM);
}

int main(void)
{
	sim_begin(RAM);
	CHECK(frame_init(RAM) == 0);
	runs();
	whole_again();
	owners();
	budget();
	frame_fini();
	sim_end();
	return test_done();
}
