/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What programs compiled with _FORTIFY_SOURCE call, and musl does not have: Debian's static
 * libraries, and our own code by include/. A destination too small for what is written ends it.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#undef memcpy
#undef memmove
#undef memset
#undef vsnprintf

void *__memcpy_chk(void *to, const void *from, size_t n, size_t room);
void *__memmove_chk(void *to, const void *from, size_t n, size_t room);
void *__memset_chk(void *to, int c, size_t n, size_t room);
int __vsnprintf_chk(char *to, size_t n, int flag, size_t room, const char *fmt, va_list args);
int __snprintf_chk(char *to, size_t n, int flag, size_t room, const char *fmt, ...);
int __sprintf_chk(char *to, int flag, size_t room, const char *fmt, ...);
int __fprintf_chk(FILE *f, int flag, const char *fmt, ...);
int fcntl64(int fd, int op, ...);

static void check(size_t n, size_t room)
{
	if (n > room)
		abort();
}

void *__memcpy_chk(void *to, const void *from, size_t n, size_t room)
{
	check(n, room);
	return memcpy(to, from, n);
}

void *__memmove_chk(void *to, const void *from, size_t n, size_t room)
{
	check(n, room);
	return memmove(to, from, n);
}

void *__memset_chk(void *to, int c, size_t n, size_t room)
{
	check(n, room);
	return memset(to, c, n);
}

[[gnu::format(printf, 5, 0)]] int __vsnprintf_chk(char *to, size_t n, int, size_t room,
						  const char *fmt, va_list args)
{
	check(n, room);
	return vsnprintf(to, n, fmt, args);
}

[[gnu::format(printf, 5, 6)]] int __snprintf_chk(char *to, size_t n, int, size_t room,
						 const char *fmt, ...)
{
	va_list args;
	int r;

	check(n, room);
	va_start(args, fmt);
	r = vsnprintf(to, n, fmt, args);
	va_end(args);
	return r;
}

[[gnu::format(printf, 4, 5)]] int __sprintf_chk(char *to, int, size_t room, const char *fmt, ...)
{
	va_list args;
	int r;

	va_start(args, fmt);
	r = vsnprintf(to, room, fmt, args);
	va_end(args);
	check(r < 0 ? 0 : (size_t) r + 1, room);
	return r;
}

[[gnu::format(printf, 3, 4)]] int __fprintf_chk(FILE *f, int, const char *fmt, ...)
{
	va_list args;
	int r;

	va_start(args, fmt);
	r = vfprintf(f, fmt, args);
	va_end(args);
	return r;
}

/* glibc's name of fcntl() in what was compiled for 64-bit offsets; its third argument is a word. */
int fcntl64(int fd, int op, ...)
{
	va_list args;
	unsigned long arg;

	va_start(args, op);
	arg = va_arg(args, unsigned long);
	va_end(args);
	return fcntl(fd, op, arg);
}
