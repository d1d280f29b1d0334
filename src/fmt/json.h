/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON (RFC 8259): one strict parser into an arena, lookups on the tree, field tables that decode
 * objects into structs, and a streaming writer. yajl does the lexing: of the libraries at hand it
 * alone reports keys in order (duplicates can be refused) and hands numbers over as text (integers
 * stay exact to 64 bits, unsigned too), and it is the quickest to start.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json_member;

struct json {
	enum json_type type;
	union {
		bool boolean;
		struct str text; /* string, or a number as written; NUL-terminated in the arena */
		struct {
			struct json *items; /* array */
			size_t n;
		};
		struct {
			struct json_member *members; /* object, in the order of the document */
			size_t members_n;
		};
	};
};

struct json_member {
	struct str key; /* NUL-terminated */
	struct json value;
};

#define JSON_DEPTH_MAX 64
#define JSON_TEXT_MAX  (8u << 20) /* bytes of a document, unless the caller bounds it lower */

/*
 * Parse one whole document; everything lives in the arena, nothing refers to `text` afterwards.
 * Refused (ERR_INVALID): bad syntax or UTF-8, NUL in strings, depth, duplicate keys, trailing
 * bytes, numbers such as 1e999. EXHAUSTED: more than the arena's maximum.
 */
[[nodiscard]] int json_parse(struct arena *a, struct str text, const struct json **ret_root,
			     struct err *e);

/* The member of an object, or NULL: also when v is NULL or no object. */
const struct json *json_get(const struct json *v, const char *key);

/* -EINVAL when v is not of the type, -ERANGE when it does not fit. v may be NULL (-EINVAL). */
[[nodiscard]] int json_u64(const struct json *v, uint64_t *ret_v);
[[nodiscard]] int json_i64(const struct json *v, int64_t *ret_v);
const char *json_string(const struct json *v); /* NULL when it is no string */

/*
 * Field tables. Each field of an object names a type, an offset in the struct and its bounds.
 *
 *	static const struct json_field fields[] = {
 *		JSON_STRING_FIELD(struct user, name, "name", JSON_REQUIRED),
 *		JSON_U32_FIELD(struct user, uid, "uid", 0, UINT32_MAX, 0),
 *		JSON_OBJECT_FIELD(struct user, home, "home", &home_table, 0),   pointer to struct,
 *NULL if absent JSON_ARRAY_FIELD(struct user, groups, groups_n, "groups", &group_table, 0),
 *	};
 *	static const struct json_table user_table = JSON_TABLE(struct user, fields,
 *JSON_UNKNOWN_IGNORE);
 */
enum json_kind {
	JSON_KIND_STRING,  /* const char *; NULL when absent */
	JSON_KIND_STRINGS, /* const char **, NULL-terminated, and size_t count */
	JSON_KIND_BOOL,	   /* bool */
	JSON_KIND_U32,
	JSON_KIND_U64,
	JSON_KIND_I64,
	JSON_KIND_OBJECT, /* pointer to a struct by `table` */
	JSON_KIND_ARRAY,  /* array of structs by `table`, and size_t count */
	JSON_KIND_MAP,	  /* struct json_pair *, and size_t count: string to string */
	JSON_KIND_VALUE,  /* const struct json *: the tree itself */
	JSON_KIND_CUSTOM, /* by `decode` */
};

#define JSON_REQUIRED 1u /* absent or null is an error */
#define JSON_SET      2u /* `present` offset holds a bool set when the key was there and not null */
#define JSON_REFUSED  4u /* known, and not supported: an error when present and not null */

#define JSON_NONE SIZE_MAX /* no such offset */

struct json_pair {
	const char *key;
	const char *value;
};

enum json_unknown { JSON_UNKNOWN_IGNORE, JSON_UNKNOWN_REFUSE };

struct json_table;

struct json_field {
	const char *key;
	enum json_kind kind;
	unsigned flags;
	size_t offset;
	size_t count_offset;   /* for STRINGS, ARRAY, MAP */
	size_t present_offset; /* for JSON_SET */
	int64_t min;	       /* I64 */
	uint64_t umin, umax;   /* U32, U64 */
	int64_t max;
	const struct json_table *table;
	/* CUSTOM: fill the member at `to`; path names it for messages. */
	int (*decode)(struct arena *a, const struct json *v, void *to, const char *path,
		      struct err *e);
};

struct json_table {
	size_t size;
	const struct json_field *fields;
	size_t n;
	enum json_unknown unknown;
};

#define JSON_TABLE(type, array, unknown_)                                                          \
	{                                                                                          \
		.size = sizeof(type), .fields = (array), .n = sizeof(array) / sizeof((array)[0]),  \
		.unknown = (unknown_)                                                              \
	}
#define JSON_FIELD_(type, member, key_, kind_, flags_)                                             \
	.key = (key_), .kind = (kind_), .flags = (flags_), .offset = offsetof(type, member),       \
	.count_offset = JSON_NONE, .present_offset = JSON_NONE
#define JSON_STRING_FIELD(type, member, key_, flags_)                                              \
	{                                                                                          \
		JSON_FIELD_(type, member, key_, JSON_KIND_STRING, flags_)                          \
	}
#define JSON_BOOL_FIELD(type, member, key_, flags_)                                                \
	{                                                                                          \
		JSON_FIELD_(type, member, key_, JSON_KIND_BOOL, flags_)                            \
	}
#define JSON_U32_FIELD(type, member, key_, lo, hi, flags_)                                         \
	{                                                                                          \
		JSON_FIELD_(type, member, key_, JSON_KIND_U32, flags_), .umin = (lo), .umax = (hi) \
	}
#define JSON_U64_FIELD(type, member, key_, lo, hi, flags_)                                         \
	{                                                                                          \
		JSON_FIELD_(type, member, key_, JSON_KIND_U64, flags_), .umin = (lo), .umax = (hi) \
	}
#define JSON_I64_FIELD(type, member, key_, lo, hi, flags_)                                         \
	{                                                                                          \
		JSON_FIELD_(type, member, key_, JSON_KIND_I64, flags_), .min = (lo), .max = (hi)   \
	}
/* With a bool member that tells whether the key was there. */
#define JSON_U64_OPT(type, member, present, key_, lo, hi)                                          \
	{                                                                                          \
		.key = (key_), .kind = JSON_KIND_U64, .flags = JSON_SET,                           \
		.offset = offsetof(type, member), .count_offset = JSON_NONE,                       \
		.present_offset = offsetof(type, present), .umin = (lo), .umax = (hi)              \
	}
#define JSON_U32_OPT(type, member, present, key_, lo, hi)                                          \
	{                                                                                          \
		.key = (key_), .kind = JSON_KIND_U32, .flags = JSON_SET,                           \
		.offset = offsetof(type, member), .count_offset = JSON_NONE,                       \
		.present_offset = offsetof(type, present), .umin = (lo), .umax = (hi)              \
	}
#define JSON_I64_OPT(type, member, present, key_, lo, hi)                                          \
	{                                                                                          \
		.key = (key_), .kind = JSON_KIND_I64, .flags = JSON_SET,                           \
		.offset = offsetof(type, member), .count_offset = JSON_NONE,                       \
		.present_offset = offsetof(type, present), .min = (lo), .max = (hi)                \
	}
#define JSON_BOOL_OPT(type, member, present, key_)                                                 \
	{                                                                                          \
		.key = (key_), .kind = JSON_KIND_BOOL, .flags = JSON_SET,                          \
		.offset = offsetof(type, member), .count_offset = JSON_NONE,                       \
		.present_offset = offsetof(type, present)                                          \
	}
#define JSON_OBJECT_FIELD(type, member, key_, table_, flags_)                                      \
	{                                                                                          \
		JSON_FIELD_(type, member, key_, JSON_KIND_OBJECT, flags_), .table = (table_)       \
	}
#define JSON_VALUE_FIELD(type, member, key_, flags_)                                               \
	{                                                                                          \
		JSON_FIELD_(type, member, key_, JSON_KIND_VALUE, flags_)                           \
	}
#define JSON_CUSTOM_FIELD(type, member, key_, decode_, flags_)                                     \
	{                                                                                          \
		JSON_FIELD_(type, member, key_, JSON_KIND_CUSTOM, flags_), .decode = (decode_)     \
	}
#define JSON_COUNTED_(type, member, count, key_, kind_, flags_)                                    \
	.key = (key_), .kind = (kind_), .flags = (flags_), .offset = offsetof(type, member),       \
	.count_offset = offsetof(type, count), .present_offset = JSON_NONE
#define JSON_STRINGS_FIELD(type, member, count, key_, flags_)                                      \
	{                                                                                          \
		JSON_COUNTED_(type, member, count, key_, JSON_KIND_STRINGS, flags_)                \
	}
#define JSON_ARRAY_FIELD(type, member, count, key_, table_, flags_)                                \
	{                                                                                          \
		JSON_COUNTED_(type, member, count, key_, JSON_KIND_ARRAY, flags_),                 \
			.table = (table_)                                                          \
	}
#define JSON_MAP_FIELD(type, member, count, key_, flags_)                                          \
	{                                                                                          \
		JSON_COUNTED_(type, member, count, key_, JSON_KIND_MAP, flags_)                    \
	}
#define JSON_REFUSED_FIELD(key_)                                                                   \
	{                                                                                          \
		.key = (key_), .kind = JSON_KIND_VALUE, .flags = JSON_REFUSED,                     \
		.offset = JSON_NONE, .count_offset = JSON_NONE, .present_offset = JSON_NONE        \
	}

/*
 * Decode an object into *to (table->size bytes, zeroed by the caller). Errors name the field by
 * its whole path ("linux.resources.memory.limit: not an integer"); ERR_INVALID, EXHAUSTED, or
 * UNSUPPORTED for a refused key. `path` prefixes it, "" at the root. null counts as absent.
 */
[[nodiscard]] int json_decode(struct arena *a, const struct json *v, const struct json_table *table,
			      void *to, const char *path, struct err *e);

/*
 * The writer: json_w_object(&w, NULL); json_w_string(&w, "key", "text"); json_w_end(&w). The key is
 * NULL in arrays and at the root. Failure is the buffer's. Bytes that are not UTF-8 become U+FFFD.
 */
struct json_writer {
	struct buf *out; /* borrowed */
	unsigned depth;
	uint64_t is_array; /* bit per level */
	bool comma;	   /* something stands before on this level */
	bool pretty;
	unsigned indent; /* blanks per level when pretty */
};

#define JSON_WRITER(buf_p) ((struct json_writer){ .out = (buf_p) })
#define JSON_WRITER_PRETTY(buf_p, blanks)                                                          \
	((struct json_writer){ .out = (buf_p), .pretty = true, .indent = (blanks) })

void json_w_object(struct json_writer *w, const char *key);
void json_w_array(struct json_writer *w, const char *key);
void json_w_end(struct json_writer *w); /* of the innermost object or array */
void json_w_string(struct json_writer *w, const char *key, const char *z); /* NULL writes null */
void json_w_str(struct json_writer *w, const char *key, struct str s);
void json_w_u64(struct json_writer *w, const char *key, uint64_t v);
void json_w_i64(struct json_writer *w, const char *key, int64_t v);
/* v / 10^decimals, for the few floating-point figures there are. */
void json_w_fixed(struct json_writer *w, const char *key, int64_t v, unsigned decimals);
void json_w_bool(struct json_writer *w, const char *key, bool v);
void json_w_null(struct json_writer *w, const char *key);
void json_w_value(struct json_writer *w, const char *key, const struct json *v); /* a whole tree */
void json_w_strings(struct json_writer *w, const char *key,
		    const char *const *z); /* NULL-terminated; NULL writes null */
