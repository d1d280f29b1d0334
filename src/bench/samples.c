/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/samples.h"

#include <stdlib.h>

void samples_add(struct samples *s, uint64_t v)
{
	if (s->n < SAMPLES_MAX)
		s->v[s->n++] = v;
}

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;

	return (x > y) - (x < y);
}

/* Nearest rank: the smallest value that at least `percent` of all do not exceed. */
static size_t rank(size_t n, unsigned percent)
{
	size_t r = (n * percent + 99) / 100;

	return r ? r - 1 : 0;
}

struct figure samples_figure(struct samples *s)
{
	if (s->n == 0)
		return (struct figure){ .known = false };
	qsort(s->v, s->n, sizeof(s->v[0]), ascending);
	return (struct figure){
		.known = true,
		.median = s->v[rank(s->n, 50)],
		.p99 = s->v[rank(s->n, 99)],
		.n = (uint32_t) s->n,
	};
}
