/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times as guests write them, and as the kernel counts them: nanoseconds. What a guest asks for
 * beyond the end of numbers (292 years) is that end, as Linux has it.
 */
#pragma once

#include <linux/time_types.h>

#include "kernel/core/types.h"

#define CLOCK_LAST (NSEC_NEVER - 1)

/* False: negative, or nanoseconds that are no fraction (EINVAL). */
[[nodiscard]] static inline bool clock_nsec(const struct __kernel_timespec *t, nsec_t *ret)
{
	nsec_t n;

	if (t->tv_sec < 0 || t->tv_nsec < 0 || t->tv_nsec >= NSEC_PER_SEC)
		return false;
	if (__builtin_mul_overflow((nsec_t) t->tv_sec, NSEC_PER_SEC, &n) ||
	    __builtin_add_overflow(n, (nsec_t) t->tv_nsec, &n))
		n = CLOCK_LAST;
	*ret = min_of(n, CLOCK_LAST);
	return true;
}

static inline struct __kernel_timespec clock_spec(nsec_t n)
{
	return (struct __kernel_timespec){ n / NSEC_PER_SEC, n % NSEC_PER_SEC };
}

/* both: not negative */
static inline nsec_t clock_add(nsec_t a, nsec_t b)
{
	nsec_t n;

	return __builtin_add_overflow(a, b, &n) ? CLOCK_LAST : min_of(n, CLOCK_LAST);
}
