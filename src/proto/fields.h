/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Structs as fields {tag, length, bytes}, little-endian, by static tables: what the messages of
 * all our protocols consist of. A tag is the field's place in its struct's table, from 1; each at
 * most once, in rising order. Fields that say nothing (0, false, "", an empty list, no descriptor)
 * are left out. Not the messages' headers, nor how they travel.
 *
 * Numbers are uint64_t throughout, so that one table serves. Strings are never NULL once decoded:
 * "" when absent. Descriptors are FD_NONE when absent.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"

#define FIELD_FDS_MAX 8 /* descriptors of one message */

struct field_strings {
	const char **v; /* NULL-terminated */
	size_t n;
};

/* What every list of structs is made like: struct { struct THING *v; size_t n; }. */
struct field_list {
	void *v;
	size_t n;
};

enum field_kind {
	FIELD_U64,
	FIELD_BOOL,
	FIELD_STRING,
	FIELD_DATA, /* struct str: any bytes */
	FIELD_STRINGS,
	FIELD_FD,
	FIELD_LIST, /* of structs; these have no descriptors */
};

struct field_layout;
struct field {
	enum field_kind kind;
	size_t offset;
	uint64_t max;			 /* U64: the highest value taken, 0: any */
	const struct field_layout *list; /* LIST: its members' */
};
struct field_layout {
	const struct field *v;
	size_t n;
	size_t size; /* bytes of the struct */
};

#define FIELD(type, member, kind_)                                                                 \
	{                                                                                          \
		.kind = (kind_), .offset = offsetof(struct type, member)                           \
	}
#define FIELD_NUMBER(type, member) FIELD(type, member, FIELD_U64)
#define FIELD_NUMBER_MAX(type, member, max_)                                                       \
	{                                                                                          \
		.kind = FIELD_U64, .offset = offsetof(struct type, member), .max = (max_)          \
	}
#define FIELD_LIST_OF(type, member, layout_)                                                       \
	{                                                                                          \
		.kind = FIELD_LIST, .offset = offsetof(struct type, member), .list = (layout_)     \
	}
#define FIELD_LAYOUT(type, table)                                                                  \
	{                                                                                          \
		(table), sizeof(table) / sizeof((table)[0]), sizeof(struct type)                   \
	}

void field_put_le(struct buf *b, uint64_t v, size_t bytes);
uint64_t field_get_le(const char *p, size_t bytes);

/* A zeroed struct becomes one whose fields are all absent. */
void fields_init(const struct field_layout *l, void *p);
void fields_close_fds(const struct field_layout *l, void *p);

/* Append its fields. ret_fds: gets the descriptors, borrowed. Gives how many fields there are. */
size_t fields_encode(const struct field_layout *l, const void *p, struct buf *out,
		     int ret_fds[static FIELD_FDS_MAX], size_t *ret_fds_n);
/*
 * All `count` fields that `bytes` consist of, into a struct after fields_init(). Strings borrow
 * from `bytes`, lists live in the arena; descriptors that are taken become FD_NONE in fds.
 * 0, -EBADMSG, -ENOMEM.
 */
[[nodiscard]] int fields_decode(const struct field_layout *l, struct arena *a, struct str bytes,
				size_t count, int *fds, size_t fds_n, void *ret_p);
