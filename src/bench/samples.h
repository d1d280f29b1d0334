/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bounded set of measured values and what is reported of it: the median and the 99th percentile
 * (by rank: a value that was measured, never one between two).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SAMPLES_MAX = 1024 };

struct samples {
	uint64_t v[SAMPLES_MAX];
	size_t n;
};

struct figure { /* unit by context: ns, bytes, a count */
	bool known;
	uint64_t median, p99;
	uint32_t n;
};

void samples_add(struct samples *s, uint64_t v); /* past the maximum: dropped */
struct figure samples_figure(struct samples *s); /* sorts them; none: not known */

/* One value that is not a sample of many. */
static inline struct figure figure_of(uint64_t v)
{
	return (struct figure){ .known = true, .median = v, .p99 = v, .n = 1 };
}
