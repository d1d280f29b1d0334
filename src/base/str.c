/* SPDX-License-Identifier: Apache-2.0 */
#include "base/str.h"

#include <stdint.h>
#include <stdlib.h>

bool str_starts(struct str s, const char *prefix)
{
	size_t n = strlen(prefix);

	return s.n >= n && memcmp(s.p, prefix, n) == 0;
}

bool str_ends(struct str s, const char *suffix)
{
	size_t n = strlen(suffix);

	return s.n >= n && memcmp(s.p + s.n - n, suffix, n) == 0;
}

struct str str_cut(struct str s, char sep, struct str *rest)
{
	const char *at = s.n ? memchr(s.p, sep, s.n) : NULL;
	size_t n;

	if (!at) {
		*rest = (struct str){ NULL, 0 };
		return s;
	}
	n = (size_t) (at - s.p);
	*rest = (struct str){ at + 1, s.n - n - 1 };
	return (struct str){ s.p, n };
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

struct str str_trim(struct str s)
{
	while (s.n && is_blank(s.p[0])) {
		s.p++;
		s.n--;
	}
	while (s.n && is_blank(s.p[s.n - 1]))
		s.n--;
	return s;
}

#define NEAREST_MAX 64

/*
 * Edits that lead from one to the other: a character more, less or another, or two neighbours
 * swapped, the commonest slip of all. Both at most NEAREST_MAX long.
 */
static size_t distance(const char *a, size_t na, const char *b, size_t nb)
{
	uint8_t rows[3][NEAREST_MAX + 1]; /* row i is rows[i % 3] */

	for (size_t j = 0; j <= nb; j++)
		rows[0][j] = (uint8_t) j;
	for (size_t i = 1; i <= na; i++) {
		uint8_t *older = rows[(i + 1) % 3], *old = rows[(i + 2) % 3], *now = rows[i % 3];

		now[0] = (uint8_t) i;
		for (size_t j = 1; j <= nb; j++) {
			uint8_t best = (uint8_t) (old[j - 1] + (a[i - 1] != b[j - 1]));

			if (old[j] + 1 < best)
				best = (uint8_t) (old[j] + 1);
			if (now[j - 1] + 1 < best)
				best = (uint8_t) (now[j - 1] + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    older[j - 2] + 1 < best)
				best = (uint8_t) (older[j - 2] + 1);
			now[j] = best;
		}
	}
	return rows[na % 3][nb];
}

const char *str_nearest(const char *s, const char *const *words, size_t n)
{
	size_t ns = strlen(s), best = SIZE_MAX;
	const char *ret = NULL;

	if (ns == 0 || ns > NEAREST_MAX)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		size_t nw = strlen(words[i]), d;

		if (nw == 0 || nw > NEAREST_MAX)
			continue;
		d = distance(s, ns, words[i], nw);
		if (d < best) {
			best = d;
			ret = words[i];
		}
	}
	return best <= 1 + ns / 4 && best < ns ? ret : NULL;
}

char *str_dup(struct str s)
{
	char *p = malloc(s.n + 1);

	if (!p)
		return NULL;
	if (s.n)
		memcpy(p, s.p, s.n);
	p[s.n] = '\0';
	return p;
}
