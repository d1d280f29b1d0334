/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owned, growing bytes, always NUL-terminated, with a maximum set at init. Failure (out of
 * memory, or past the maximum) is sticky: write all, then check buf_ok() once at the end.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

struct buf {
	char *p; /* never NULL after a successful write; NUL-terminated; owned */
	size_t n;
	size_t cap;
	size_t max; /* bytes, without the NUL */
	bool failed;
};

#define BUF_INIT(max_bytes) ((struct buf){ .max = (max_bytes) })

void buf_fini(struct buf *b);
#define auto_buf __attribute__((cleanup(buf_fini)))

static inline bool buf_ok(const struct buf *b)
{
	return !b->failed;
}

/* 0, -ENOMEM, or -EFBIG when the maximum was the reason. */
[[nodiscard]] int buf_error(const struct buf *b);

static inline struct str buf_str(const struct buf *b)
{
	return (struct str){ b->p, b->n };
}

/* The text, "" when nothing was written. Borrowed until the next write. */
static inline const char *buf_z(const struct buf *b)
{
	return b->p ? b->p : "";
}

void buf_add(struct buf *b, const void *p, size_t n);
void buf_adds(struct buf *b, const char *z);
void buf_addstr(struct buf *b, struct str s);
void buf_addc(struct buf *b, char c);
[[gnu::format(printf, 2, 3)]] void buf_addf(struct buf *b, const char *fmt, ...);
[[gnu::format(printf, 2, 0)]] void buf_vaddf(struct buf *b, const char *fmt, va_list ap);

/* Room for n more bytes, or NULL; the caller fills it and adds to b->n with buf_grew(). */
char *buf_room(struct buf *b, size_t n);
void buf_grew(struct buf *b, size_t n);

void buf_drop_front(struct buf *b, size_t n); /* forget the first n bytes */
void buf_clear(struct buf *b);		      /* empty, and no longer failed */

/* Gives the text as a malloc'ed string; NULL when failed. The buffer is empty afterwards. */
char *buf_take(struct buf *b);
