/* SPDX-License-Identifier: Apache-2.0 */
/* What of glibc's malloc heap.c has, and what it has no use for. */
#pragma once

#include_next <malloc.h>

#define M_TRIM_THRESHOLD (-1)
#define M_TOP_PAD	 (-2)

/* Gives the pages of freed blocks back to the kernel; 1 when there were some. */
int malloc_trim(size_t pad);

static inline int mallopt(int, int)
{
	return 1; /* nothing is given back before malloc_trim() */
}
