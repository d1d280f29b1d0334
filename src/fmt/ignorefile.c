/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/ignorefile.h"

#include <errno.h>
#include <string.h>

#include "fmt/shown.h"

#define STEPS_MAX 200000u /* of one match: patterns of many stars are slow */

/* The class at p ("[a-z]"), of which *ret_end is what follows; -EINVAL where it is none. */
static int class_fits(const char *p, char c, const char **ret_end)
{
	bool not = false, found = false;

	p++;
	if (*p == '^') {
		not = true;
		p++;
	}
	for (bool first = true; first || *p != ']'; first = false) {
		char lo, hi;

		if (*p == ']' || *p == '-' || !*p)
			return -EINVAL;
		lo = *p == '\\' ? *++p : *p;
		if (!lo)
			return -EINVAL;
		hi = lo;
		p++;
		if (*p == '-') {
			p++;
			hi = *p == '\\' ? *++p : *p;
			if (!hi || hi == ']')
				return -EINVAL;
			p++;
		}
		found = found || (lo <= c && c <= hi);
	}
	*ret_end = p + 1;
	return found != not ;
}

static bool match(const char *p, const char *s, unsigned int *steps)
{
	for (;;) {
		const char *end;

		if (++*steps > STEPS_MAX)
			return false;
		if (!*p)
			return !*s;
		if (p[0] == '*' && p[1] == '*') {
			p += 2 + (p[2] == '/');
			if (!*p)
				return true;
			/* Any number of directories: where one begins, where it was "**" and '/'.
			 */
			for (bool at_start = true; *s; at_start = *s == '/', s++)
				if ((p[-1] != '/' || at_start) && match(p, s, steps))
					return true;
			return match(p, s, steps);
		}
		if (*p == '*') {
			while (*p == '*')
				p++;
			for (;; s++) {
				if (match(p, s, steps))
					return true;
				if (!*s || *s == '/')
					return false;
			}
		}
		if (!*s)
			return false;
		switch (*p) {
		case '?':
			if (*s == '/')
				return false;
			p++;
			break;
		case '[':
			if (*s == '/' || class_fits(p, *s, &end) <= 0)
				return false;
			p = end;
			break;
		case '\\':
			p++;
			[[fallthrough]];
		default:
			if (*p != *s)
				return false;
			p++;
		}
		s++;
	}
}

bool ignore_fits(const char *pattern, const char *name)
{
	unsigned int steps = 0;

	return match(pattern, name, &steps);
}

int ignore_check(const char *pattern)
{
	for (const char *p = pattern; *p;) {
		if (*p == '[') {
			if (class_fits(p, 'x', &p) < 0)
				return -EINVAL;
			continue;
		}
		if (*p == '\\' && !*++p)
			return -EINVAL;
		p++;
	}
	return 0;
}

/* Without ".", "..", empty components and slashes at both ends. */
static const char *clean(struct arena *a, struct str text)
{
	char *out = arena_alloc(a, text.n + 1);
	size_t n = 0;

	for (struct str rest = text; out && rest.p;) {
		struct str part = str_cut(rest, '/', &rest);

		if (!part.n || str_is(part, "."))
			continue;
		if (str_is(part, "..")) {
			while (n > 0 && out[--n] != '/')
				;
			continue;
		}
		if (n)
			out[n++] = '/';
		memcpy(out + n, part.p, part.n);
		n += part.n;
	}
	if (out)
		out[n] = '\0';
	return out;
}

int ignorefile_parse(struct arena *a, struct str text, struct ignorefile *ret, struct err *e)
{
	unsigned int number = 0;

	*ret = (struct ignorefile){};
	if (str_starts(text, "\xef\xbb\xbf"))
		text = (struct str){ text.p + 3, text.n - 3 };
	for (struct str rest = text; rest.p;) {
		struct str line = str_cut(rest, '\n', &rest);
		struct ignore_pattern p = {}, *to;

		number++;
		if (line.n && line.p[0] == '#')
			continue;
		line = str_trim(line);
		if (line.n && line.p[0] == '!') {
			p.except = true;
			line = str_trim((struct str){ line.p + 1, line.n - 1 });
		}
		if (!line.n)
			continue;
		if (memchr(line.p, '\0', line.n))
			return err_set(e, ERR_INVALID, EINVAL, "line %u: a NUL byte", number);
		p.text = clean(a, line);
		if (p.text && ignore_check(p.text) < 0)
			return err_set(e, ERR_INVALID, EINVAL, "line %u: '%s' is no pattern",
				       number, shown_of(line).z);
		if (p.text && !*p.text)
			continue;
		to = p.text ? arena_push(a, &ret->v, &ret->n, sizeof(*ret->v)) : NULL;
		if (!to)
			return err_set(e, ERR_EXHAUSTED, ENOMEM, "too many patterns");
		*to = p;
		ret->has_exceptions = ret->has_exceptions || p.except;
	}
	return 0;
}

/* Itself, or a directory that it is in. */
static bool is_meant(const char *pattern, const char *name)
{
	char part[4096];

	if (ignore_fits(pattern, name))
		return true;
	for (const char *slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/')) {
		size_t n = (size_t) (slash - name);

		if (n >= sizeof(part))
			return false;
		memcpy(part, name, n);
		part[n] = '\0';
		if (ignore_fits(pattern, part))
			return true;
	}
	return false;
}

bool ignorefile_has(const struct ignorefile *f, const char *name)
{
	bool out = false;

	for (size_t i = 0; i < f->n; i++)
		if (f->v[i].except == out && is_meant(f->v[i].text, name))
			out = !f->v[i].except;
	return out;
}
