/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The words of Atoll's kernel. Its rooms include the compiler's freestanding headers, Linux's uapi
 * headers (<linux/...>, <asm/...>: byte layouts and numbers) and each other; no libc's.
 */
#pragma once

#include <linux/errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a system call gives: a result, or -errno, as the guest sees it. */
typedef int64_t sysret_t;
typedef int64_t nsec_t;

#define NSEC_PER_SEC ((nsec_t) 1000000000)
#define NSEC_NEVER   INT64_MAX

/* An address in a guest's memory. It cannot be dereferenced: mm/uio.h copies. */
typedef struct {
	uint64_t v;
} uva_t;

static inline uva_t uva(uint64_t v)
{
	return (uva_t){ v };
}

/* Whether [a, a + len) does not wrap; its end in *ret_end. */
[[nodiscard]] static inline bool uva_end(uva_t a, uint64_t len, uint64_t *ret_end)
{
	return !__builtin_add_overflow(a.v, len, ret_end);
}

#define PAGE_SHIFT 12
#define PAGE_SIZE  ((uint64_t) 1 << PAGE_SHIFT)

static inline uint64_t page_down(uint64_t v)
{
	return v & ~(PAGE_SIZE - 1);
}

/* Rounded up; wraps to 0 within a page of the end of numbers, which callers exclude. */
static inline uint64_t page_up(uint64_t v)
{
	return (v + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
}

#define container_of(p, type, member) ((type *) (void *) ((char *) (p) -offsetof(type, member)))
#define countof(a)		      (sizeof(a) / sizeof((a)[0]))
#define min_of(a, b)                                                                               \
	({                                                                                         \
		typeof(a) a_ = (a);                                                                \
		typeof(b) b_ = (b);                                                                \
		a_ < b_ ? a_ : b_;                                                                 \
	})
#define max_of(a, b)                                                                               \
	({                                                                                         \
		typeof(a) a_ = (a);                                                                \
		typeof(b) b_ = (b);                                                                \
		a_ > b_ ? a_ : b_;                                                                 \
	})

/* The compiler's own calls; the platform's C library has them, and here who includes its
 * <string.h>. */
#ifndef _STRING_H
void *memcpy(void *restrict to, const void *restrict from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int byte, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);
#endif
