/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/core/heap.h"

#include "base/test.h"
#include "kernel/platform/sim/sim.h"

struct odd {
	char bytes[72];
};

static void whole_and_zeroed(void)
{
	static struct heap_cache odds = HEAP_CACHE_INIT(struct odd);
	static struct odd *all[5000];

	for (size_t n = 0; n < countof(all); n++) {
		struct odd *o = all[n] = heap_cache_alloc(&odds);
		bool zero = true;

		CHECK(o && (uintptr_t) o % 16 == 0);
		for (size_t b = 0; b < sizeof(o->bytes); b++)
			zero = zero && o->bytes[b] == 0;
		CHECK(zero);
		memset(o, (int) n, sizeof(*o));
	}
	for (size_t n = 0; n < countof(all); n += 2) {
		heap_cache_free(&odds, all[n]);
		all[n] = NULL;
	}
	for (size_t n = 1; n < countof(all); n += 2) {
		bool same = true;

		for (size_t b = 0; b < sizeof(struct odd); b++)
			same = same && all[n]->bytes[b] == (char) n;
		CHECK(same);
	}
	for (size_t n = 0; n < countof(all); n++)
		heap_cache_free(&odds, all[n]);
	CHECK(heap_used() <= (64 << 10));
}

static void sizes(void)
{
	for (size_t n = 0; n < 300000; n = n * 3 / 2 + 1) {
		char *p = heap_alloc(n);

		CHECK(p);
		memset(p, 0xff, n);
		heap_free(p);
		p = heap_alloc(n);
		CHECK(p && (n == 0 || (p[0] == 0 && p[n - 1] == 0)));
		heap_free(p);
	}
	CHECK(!heap_alloc(SIZE_MAX) && !heap_alloc(SIZE_MAX - 4096));
	heap_free(NULL);
}

static void budget(void)
{
	static char *all[1000];
	size_t n = 0, before = heap_used();

	heap_budget(before + (1 << 20));
	while (n < countof(all) && (all[n] = heap_alloc(10000)))
		n++;
	CHECK(n > 50 && n < 110);
	CHECK(heap_used() <= before + (1 << 20));
	while (n > 0)
		heap_free(all[--n]);
	all[0] = heap_alloc(10000);
	CHECK(all[0]);
	heap_free(all[0]);
	heap_budget(SIZE_MAX);
}

int main(void)
{
	sim_begin(1);
	whole_and_zeroed();
	sizes();
	budget();
	sim_end();
	return test_done();
}
