/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Little-endian numbers and counted bytes one behind the other: appended to a buf, taken from a
 * view. Both failures stick: pack all, unpack all, then ask once. No names, no versions: who packs
 * and who unpacks agree on the order.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/le.h"
#include "base/str.h"

static inline void pack_u8(struct buf *b, uint8_t v)
{
	buf_add(b, &v, sizeof(v));
}

static inline void pack_u16(struct buf *b, uint16_t v)
{
	v = htole16(v);
	buf_add(b, &v, sizeof(v));
}

static inline void pack_u32(struct buf *b, uint32_t v)
{
	v = htole32(v);
	buf_add(b, &v, sizeof(v));
}

static inline void pack_u64(struct buf *b, uint64_t v)
{
	v = htole64(v);
	buf_add(b, &v, sizeof(v));
}

/* Their number first. */
static inline void pack_bytes(struct buf *b, const void *p, size_t n)
{
	if (n > UINT32_MAX) {
		b->failed = true;
		return;
	}
	pack_u32(b, (uint32_t) n);
	buf_add(b, p, n);
}

struct unpack {
	struct str rest; /* borrowed */
	bool failed;	 /* there was less than was asked for: zeros and nothing from then on */
};

static inline struct unpack unpack_of(struct str s)
{
	return (struct unpack){ .rest = s };
}

/* The next n bytes, or NULL. */
static inline const void *unpack_raw(struct unpack *u, size_t n)
{
	const char *p = u->rest.p;

	if (u->failed || n > u->rest.n) {
		u->failed = true;
		return NULL;
	}
	u->rest.p += n;
	u->rest.n -= n;
	return p;
}

static inline uint8_t unpack_u8(struct unpack *u)
{
	const uint8_t *p = unpack_raw(u, 1);

	return p ? *p : 0;
}

static inline uint16_t unpack_u16(struct unpack *u)
{
	const void *p = unpack_raw(u, 2);

	return p ? load_le16(p) : 0;
}

static inline uint32_t unpack_u32(struct unpack *u)
{
	const void *p = unpack_raw(u, 4);

	return p ? load_le32(p) : 0;
}

static inline uint64_t unpack_u64(struct unpack *u)
{
	const void *p = unpack_raw(u, 8);

	return p ? load_le64(p) : 0;
}

static inline struct str unpack_bytes(struct unpack *u)
{
	uint32_t n = unpack_u32(u);
	const char *p = unpack_raw(u, n);

	return p ? (struct str){ p, n } : (struct str){ "", 0 };
}

/* Everything was there, and there is no more. */
static inline bool unpack_done(const struct unpack *u)
{
	return !u->failed && u->rest.n == 0;
}
