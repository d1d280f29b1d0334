/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers from text and arithmetic on untrusted numbers. The only home of strtol's kin.
 * All return 0 or -errno: -EINVAL for what is no number, -ERANGE for one out of bounds.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

[[nodiscard]] int num_parse_u64(struct str s, uint64_t min, uint64_t max, uint64_t *ret_v);
[[nodiscard]] int num_parse_i64(struct str s, int64_t min, int64_t max, int64_t *ret_v);
[[nodiscard]] int num_parse_u32(struct str s, uint32_t min, uint32_t max, uint32_t *ret_v);
[[nodiscard]] int num_parse_octal(struct str s, uint32_t max, uint32_t *ret_v);
/* A decimal fraction such as "1.5" in units of 1/scale: "1.5" with scale 1000 is 1500. */
[[nodiscard]] int num_parse_fixed(struct str s, uint32_t scale, uint64_t max, uint64_t *ret_v);
/* Bytes with docker's suffixes: b k m g t p, also kb and kib, powers of 1024; fractions allowed. */
[[nodiscard]] int num_parse_bytes(struct str s, uint64_t *ret_v);
/* An Ethernet address, "02:00:00:00:aB:01". */
[[nodiscard]] int num_parse_mac(struct str s, uint8_t ret_mac[static 6]);

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline int64_t min_i64(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

[[nodiscard]] static inline bool add_u64(uint64_t a, uint64_t b, uint64_t *ret_v)
{
	return !__builtin_add_overflow(a, b, ret_v);
}

[[nodiscard]] static inline bool mul_u64(uint64_t a, uint64_t b, uint64_t *ret_v)
{
	return !__builtin_mul_overflow(a, b, ret_v);
}

[[nodiscard]] static inline bool mul_size(size_t a, size_t b, size_t *ret_v)
{
	return !__builtin_mul_overflow(a, b, ret_v);
}

/* Whether [off, off + len) lies within [0, max). */
static inline bool range_in(uint64_t off, uint64_t len, uint64_t max)
{
	return off <= max && len <= max - off;
}
