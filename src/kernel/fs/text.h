/* SPDX-License-Identifier: Apache-2.0 */
/* A text that grows: what generated files say. A failure is remembered and told once, at the end.
 */
#pragma once

#include "kernel/core/types.h"

#define TEXT_MOST ((size_t) 16 << 20)

struct text {
	char *bytes; /* of the heap */
	size_t len, room;
	int failed; /* 0, -ENOMEM */
};

void text_add(struct text *t, const char *bytes, size_t n);
/* printf's %s %c %d %u %x %o and %%, with l, '-', '0' and a width. */
[[gnu::format(printf, 2, 3)]] void text_put(struct text *t, const char *fmt, ...);
/* Blanks until the line, which began at `from`, is this long. */
void text_pad(struct text *t, size_t from, size_t width);
/* Blanks, newlines and backslashes as \ooo: what mountinfo does with names. */
void text_escaped(struct text *t, const char *s);
void text_fini(struct text *t);
