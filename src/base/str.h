/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A borrowed view of bytes: pointer and length, not NUL-terminated. Owned, growing text is
 * struct buf (base/buf.h).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct str {
	const char *p;
	size_t n;
};

#define STR(literal) ((struct str){ "" literal, sizeof(literal) - 1 })

static inline struct str str_of(const char *z)
{
	return (struct str){ z, z ? strlen(z) : 0 };
}

static inline bool str_eq(struct str a, struct str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool str_is(struct str a, const char *z)
{
	/* Mostly they differ at once: this is asked for each member of each object of JSON. */
	return a.n && a.p[0] != z[0] ? false : str_eq(a, str_of(z));
}

static inline bool streq(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

bool str_starts(struct str s, const char *prefix);
bool str_ends(struct str s, const char *suffix);

/* The part before the first sep, and *rest after it; *rest.p is NULL when sep is absent. */
struct str str_cut(struct str s, char sep, struct str *rest);

struct str str_trim(struct str s); /* without blanks, tabs and line ends on both sides */

/*
 * The word of words[0..n) nearest to s by edit distance, or NULL when none is near enough to be
 * a likely slip. For "did you mean".
 */
const char *str_nearest(const char *s, const char *const *words, size_t n);

/* strdup of a view; NULL when out of memory. Gives. */
char *str_dup(struct str s);
