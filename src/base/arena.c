/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct arena_block {
	struct arena_block *before;
	size_t cap;
	size_t used;
	alignas(max_align_t) char bytes[];
};

#define BLOCK_MIN 8000

void arena_fini(struct arena *a)
{
	struct arena_block *b = a->last;

	while (b) {
		struct arena_block *before = b->before;

		free(b);
		b = before;
	}
	a->last = NULL;
	a->used = 0;
}

void *arena_alloc(struct arena *a, size_t n)
{
	const size_t align = alignof(max_align_t);
	struct arena_block *b = a->last;
	void *p;

	if (n > SIZE_MAX / 2)
		return NULL;
	n = (n + align - 1) & ~(align - 1);
	if (n > a->max || a->used > a->max - n)
		return NULL;
	if (!b || b->cap - b->used < n) {
		size_t cap = n > BLOCK_MIN ? n : BLOCK_MIN;

		b = calloc(1, sizeof(*b) + cap);
		if (!b)
			return NULL;
		b->cap = cap;
		b->before = a->last;
		a->last = b;
	}
	p = b->bytes + b->used;
	b->used += n;
	a->used += n;
	return p;
}

void *arena_array(struct arena *a, size_t count, size_t size)
{
	size_t n;

	if (__builtin_mul_overflow(count, size, &n))
		return NULL;
	return arena_alloc(a, n);
}

char *arena_dup(struct arena *a, struct str s)
{
	char *p = arena_alloc(a, s.n + 1);

	if (p && s.n)
		memcpy(p, s.p, s.n);
	return p;
}

char *arena_strdup(struct arena *a, const char *z)
{
	return arena_dup(a, str_of(z));
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	char *p;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		return NULL;
	p = arena_alloc(a, (size_t) n + 1);
	if (!p)
		return NULL;
	va_start(ap, fmt);
	(void) vsnprintf(p, (size_t) n + 1, fmt, ap);
	va_end(ap);
	return p;
}

void *arena_push(struct arena *a, void *array_p, size_t *count, size_t size)
{
	char **array = array_p;
	size_t n = *count;

	/* Capacities are 4, 8, 16...: full exactly when the count is 0 or such a power. */
	if (n == 0 || (n >= 4 && (n & (n - 1)) == 0)) {
		char *grown = arena_array(a, n ? 2 * n : 4, size);

		if (!grown)
			return NULL;
		if (n)
			memcpy(grown, *array, n * size);
		*array = grown;
	}
	*count = n + 1;
	return *array + n * size;
}
