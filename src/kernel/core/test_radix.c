/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/core/radix.h"

#include "base/test.h"
#include "kernel/core/heap.h"
#include "kernel/platform/sim/sim.h"

static char things[200];

static void far_apart(void)
{
	static const uint64_t at[] = { 0,
				       1,
				       63,
				       64,
				       65,
				       4095,
				       4096,
				       1u << 20,
				       (uint64_t) 1 << 36,
				       UINT64_MAX / 2,
				       UINT64_MAX - 1,
				       UINT64_MAX };
	struct radix r = {};
	uint64_t index = 0;

	CHECK(!radix_next(&r, &index));
	for (size_t n = countof(at); n-- > 0;)
		CHECK(radix_set(&r, at[n], &things[n]) == 0);
	for (size_t n = 0; n < countof(at); n++) {
		CHECK(radix_get(&r, at[n]) == &things[n]);
		CHECK(radix_next(&r, &index) == &things[n] && index == at[n]);
		index++;
	}
	CHECK(!radix_get(&r, 2) && !radix_get(&r, 1u << 21));
	for (size_t n = 0; n < countof(at); n++) {
		CHECK(radix_take(&r, at[n]) == &things[n] && !radix_take(&r, at[n]));
		for (size_t later = n + 1; later < countof(at); later++)
			CHECK(radix_get(&r, at[later]) == &things[later]);
	}
	CHECK(!r.root && !r.levels);
}

static void gaps(void)
{
	struct radix r = {};
	uint64_t index = 99;

	for (uint64_t n = 0; n < 130; n++)
		CHECK(radix_set(&r, n, &things[n]) == 0);
	CHECK(!radix_gap(&r, 0, 130, &index) && index == 99);
	CHECK(radix_gap(&r, 0, 131, &index) && index == 130);
	CHECK(radix_take(&r, 64) == &things[64]);
	CHECK(radix_gap(&r, 3, 131, &index) && index == 64);
	radix_fini(&r);
	CHECK(!radix_get(&r, 3));
}

/* Whatever allocation fails: the index is not there, all others are. */
static void no_memory(void)
{
	for (unsigned long n = 1; n < 8; n++) {
		struct radix r = {};

		CHECK(radix_set(&r, 5, &things[5]) == 0);
		heap_fail_at(n);
		int set = radix_set(&r, (uint64_t) 1 << 30, &things[6]);
		heap_fail_at(0);
		CHECK(set == 0 || set == -ENOMEM);
		CHECK((set == 0) == (radix_get(&r, (uint64_t) 1 << 30) == &things[6]));
		CHECK(radix_get(&r, 5) == &things[5]);
		CHECK(set < 0 || n > 5);
		radix_fini(&r);
	}
}

int main(void)
{
	sim_begin(1);
	far_apart();
	gaps();
	no_memory();
	sim_end();
	return test_done();
}
