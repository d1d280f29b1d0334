/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

void buf_fini(struct buf *b)
{
	free(b->p);
	b->p = NULL;
	b->n = b->cap = 0;
}

int buf_error(const struct buf *b)
{
	if (!b->failed)
		return 0;
	return b->cap == SIZE_MAX ? -EFBIG : -ENOMEM;
}

/* cap is no longer a size once failed: SIZE_MAX then tells "too big" from "no memory". */
static char *buf_fail(struct buf *b, bool too_big)
{
	b->failed = true;
	b->cap = too_big ? SIZE_MAX : 0;
	return NULL;
}

char *buf_room(struct buf *b, size_t n)
{
	size_t want, cap;
	char *p;

	if (b->failed)
		return NULL;
	if (n > b->max || b->n > b->max - n)
		return buf_fail(b, true);
	want = b->n + n + 1;
	if (want <= b->cap)
		return b->p + b->n;
	cap = b->cap ? b->cap : 64;
	while (cap < want)
		cap += cap / 2;
	if (cap > b->max + 1)
		cap = b->max + 1;
	p = realloc(b->p, cap);
	if (!p)
		return buf_fail(b, false);
	b->p = p;
	b->cap = cap;
	b->p[b->n] = '\0';
	return b->p + b->n;
}

void buf_grew(struct buf *b, size_t n)
{
	assert(!b->failed && b->n + n < b->cap);
	b->n += n;
	b->p[b->n] = '\0';
}

void buf_add(struct buf *b, const void *p, size_t n)
{
	char *to = buf_room(b, n);

	if (!to)
		return;
	if (n)
		memcpy(to, p, n);
	buf_grew(b, n);
}

void buf_adds(struct buf *b, const char *z)
{
	buf_add(b, z, strlen(z));
}

void buf_addstr(struct buf *b, struct str s)
{
	buf_add(b, s.p, s.n);
}

void buf_addc(struct buf *b, char c)
{
	buf_add(b, &c, 1);
}

void buf_vaddf(struct buf *b, const char *fmt, va_list ap)
{
	va_list again;
	int n;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	if (n < 0) {
		(void) buf_fail(b, false);
	} else if (buf_room(b, (size_t) n)) {
		(void) vsnprintf(b->p + b->n, (size_t) n + 1, fmt, again);
		buf_grew(b, (size_t) n);
	}
	va_end(again);
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buf_vaddf(b, fmt, ap);
	va_end(ap);
}

void buf_drop_front(struct buf *b, size_t n)
{
	assert(n <= b->n);
	if (n == 0)
		return;
	memmove(b->p, b->p + n, b->n - n + 1);
	b->n -= n;
}

void buf_clear(struct buf *b)
{
	if (b->failed) {
		free(b->p);
		b->p = NULL;
		b->cap = 0;
	}
	b->failed = false;
	b->n = 0;
	if (b->p)
		b->p[0] = '\0';
}

char *buf_take(struct buf *b)
{
	char *p;

	if (!b->failed && !b->p)
		(void) buf_room(b, 0);
	p = b->failed ? NULL : b->p;
	if (!p)
		free(b->p);
	b->p = NULL;
	b->n = b->cap = 0;
	return p;
}
