/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/fs/text.h"

#include <stdarg.h>

#include "kernel/core/heap.h"

static bool make_room(struct text *t, size_t n)
{
	size_t room = t->room ? t->room : 256;
	char *bytes;

	if (t->failed)
		return false;
	if (n <= t->room - t->len)
		return true;
	while (room < t->len + n)
		room *= 2;
	bytes = room > TEXT_MOST ? NULL : heap_alloc(room);
	if (!bytes) {
		t->failed = -ENOMEM;
		return false;
	}
	if (t->len)
		memcpy(bytes, t->bytes, t->len);
	heap_free(t->bytes);
	t->bytes = bytes;
	t->room = room;
	return true;
}

void text_add(struct text *t, const char *bytes, size_t n)
{
	if (n == 0 || !make_room(t, n))
		return;
	memcpy(t->bytes + t->len, bytes, n);
	t->len += n;
}

void text_pad(struct text *t, size_t from, size_t width)
{
	while (!t->failed && t->len - from < width)
		text_add(t, " ", 1);
}

static void put_wide(struct text *t, const char *s, size_t len, size_t width, bool left)
{
	if (left)
		text_add(t, s, len);
	for (size_t n = len; n < width; n++)
		text_add(t, " ", 1);
	if (!left)
		text_add(t, s, len);
}

static void put_number(struct text *t, uint64_t n, bool minus, unsigned int base, size_t width,
		       bool zeros, bool left)
{
	char digits[80], *end = digits + sizeof(digits), *p = end;

	do
		*--p = "0123456789abcdef"[n % base];
	while (n /= base);
	while (zeros && (size_t) (end - p) + minus < width && p > digits + 1)
		*--p = '0';
	if (minus)
		*--p = '-';
	put_wide(t, p, (size_t) (end - p), width, left);
}

static const char *put_one(struct text *t, const char *fmt, va_list *args)
{
	bool left = false, zeros = false, wide = false;
	size_t width = 0;
	const char *s;
	int64_t d;
	char c;

	for (; *fmt == '-' || *fmt == '0'; fmt++) {
		left = left || *fmt == '-';
		zeros = zeros || *fmt == '0';
	}
	for (; *fmt >= '0' && *fmt <= '9'; fmt++)
		width = width * 10 + (size_t) (*fmt - '0');
	for (; *fmt == 'l' || *fmt == 'z'; fmt++)
		wide = true;
	switch (*fmt) {
	case 's':
		s = va_arg(*args, const char *);
		put_wide(t, s, strlen(s), width, left);
		break;
	case 'c':
		c = (char) va_arg(*args, int);
		text_add(t, &c, 1);
		break;
	case 'd':
		d = wide ? va_arg(*args, long) : va_arg(*args, int);
		put_number(t, d < 0 ? 0 - (uint64_t) d : (uint64_t) d, d < 0, 10, width, zeros,
			   left);
		break;
	case 'u':
	case 'x':
	case 'o':
		put_number(t, wide ? va_arg(*args, unsigned long) : va_arg(*args, unsigned int),
			   false,
			   *fmt == 'u'	 ? 10
			   : *fmt == 'x' ? 16
					 : 8,
			   width, zeros, left);
		break;
	default:
		text_add(t, fmt, 1); /* "%%" */
	}
	return fmt + 1;
}

void text_put(struct text *t, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	while (*fmt) {
		size_t n = 0;

		while (fmt[n] && fmt[n] != '%')
			n++;
		text_add(t, fmt, n);
		fmt += n;
		if (*fmt)
			fmt = put_one(t, fmt + 1, &args);
	}
	va_end(args);
}

void text_escaped(struct text *t, const char *s)
{
	for (; *s; s++) {
		if (*s == ' ' || *s == '\t' || *s == '\n' || *s == '\\')
			text_put(t, "\\%03o", (unsigned int) *s);
		else
			text_add(t, s, 1);
	}
}

void text_fini(struct text *t)
{
	heap_free(t->bytes);
	*t = (struct text){};
}
