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

/* Large pieces given back are given again, as if they were new, and are not counted meanwhile. */
static void large_again(void)
{
	size_t before = heap_used();

	for (unsigned int n = 0; n < 8; n++) {
		char *p = heap_alloc(60000), *q = heap_alloc(20000 + n * 4096), *r;

		r = heap_alloc(30000);
		CHECK(p && q && r && heap_used() >= before + 110000);
		for (size_t b = 0; b < 30000; b += 100)
			CHECK(p[b] == 0 && p[30000 + b] == 0 && r[b] == 0);
		memset(p, 1, 60000);
		memset(q, 2, 20000 + n * 4096);
		memset(r, 3, 30000);
		CHECK(p[0] == 1 && p[59999] == 1 && q[0] == 2);
		heap_free(p);
		heap_free(q);
		heap_free(r);
		CHECK(heap_used() == before);
	}
	heap_budget(before + 65536);
	CHECK(!heap_alloc(66000));
	heap_budget(SIZE_MAX);
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
	large_again();
	budget();
	sim_end();
	return test_done();
}
