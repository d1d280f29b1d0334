/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/kmod.h"

#include <errno.h>

struct str kmod_name_of(struct str path)
{
	const char *slash = path.n ? memrchr(path.p, '/', path.n) : NULL;
	struct str name = path;

	if (slash)
		name = (struct str){ slash + 1, path.n - (size_t) (slash + 1 - path.p) };
	const char *end = name.n ? memmem(name.p, name.n, ".ko", 3) : NULL;
	if (end)
		name.n = (size_t) (end - name.p);
	return name;
}

static char one(char c)
{
	return c == '-' ? '_' : c;
}

static bool same(struct str a, struct str b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		if (one(a.p[i]) != one(b.p[i]))
			return false;
	return true;
}

/* The next line that is not empty, without the line's end. */
static bool next_line(struct str *rest, struct str *ret_line)
{
	while (rest->p && rest->n) {
		struct str line = str_trim(str_cut(*rest, '\n', rest));

		if (line.n) {
			*ret_line = line;
			return true;
		}
	}
	return false;
}

/* The next word of a line; empty at its end. */
static struct str next_word(struct str *rest)
{
	*rest = str_trim(*rest);
	for (size_t i = 0; i < rest->n; i++)
		if (rest->p[i] == ' ' || rest->p[i] == '\t') {
			struct str word = { rest->p, i };

			*rest = (struct str){ rest->p + i, rest->n - i };
			return word;
		}
	struct str word = *rest;

	*rest = (struct str){ rest->p, 0 };
	return word;
}

bool kmod_is_builtin(const struct kmod_index *x, struct str name)
{
	struct str line, rest = x->builtin;

	while (next_line(&rest, &line))
		if (same(kmod_name_of(line), name))
			return true;
	return false;
}

bool kmod_find(const struct kmod_index *x, struct str name, struct str *ret_path,
	       struct str *ret_needs)
{
	struct str line, rest = x->dep;

	while (next_line(&rest, &line)) {
		struct str needs, path = str_trim(str_cut(line, ':', &needs));

		if (!needs.p || !path.n || !same(kmod_name_of(path), name))
			continue;
		*ret_path = path;
		*ret_needs = str_trim(needs);
		return true;
	}
	return false;
}

static int append(struct arena *a, struct kmod_list *list, struct str path)
{
	for (size_t i = 0; i < list->n; i++)
		if (str_eq(list->v[i], path))
			return 0;
	if (list->n == KMOD_LIST_MAX)
		return -E2BIG;
	struct str *slot = arena_push(a, &list->v, &list->n, sizeof(*list->v));
	if (!slot)
		return -ENOMEM;
	*slot = path;
	return 0;
}

/* The needed ones, the last first, then the module itself. */
static int append_all(struct arena *a, struct kmod_list *list, struct str path, struct str needs)
{
	while (needs.n) {
		const char *blank = memrchr(needs.p, ' ', needs.n);
		size_t at = blank ? (size_t) (blank + 1 - needs.p) : 0;
		int r = append(a, list, (struct str){ needs.p + at, needs.n - at });

		if (r < 0)
			return r;
		needs = str_trim((struct str){ needs.p, at });
	}
	return append(a, list, path);
}

/* Records "MODULE.alias=NAME", each ended by a NUL. */
static bool builtin_has_alias(const struct kmod_index *x, struct str alias)
{
	struct str rest = x->builtin_modinfo;

	while (rest.p && rest.n) {
		struct str value, record = str_cut(rest, '\0', &rest);

		(void) str_cut(record, '.', &value);
		if (value.p && str_starts(value, "alias=") &&
		    same((struct str){ value.p + 6, value.n - 6 }, alias))
			return true;
	}
	return false;
}

/* All loadable modules of that very alias (no pattern). */
static int add_aliased(const struct kmod_index *x, struct str alias, struct arena *a,
		       struct kmod_list *list)
{
	struct str line, rest = x->alias, path, needs;
	int r = 0;

	if (kmod_is_builtin(x, alias) || builtin_has_alias(x, alias))
		return 0;
	if (kmod_find(x, alias, &path, &needs))
		return append_all(a, list, path, needs);
	while (r >= 0 && next_line(&rest, &line)) {
		if (!str_is(next_word(&line), "alias") || !same(next_word(&line), alias))
			continue;
		if (kmod_find(x, next_word(&line), &path, &needs))
			r = append_all(a, list, path, needs);
	}
	return r;
}

/* "softdep NAME pre: A B post: C": those that should be loaded before it. */
static int add_soft(const struct kmod_index *x, struct str name, struct arena *a,
		    struct kmod_list *list)
{
	struct str line, rest = x->softdep;
	int r = 0;

	while (r >= 0 && next_line(&rest, &line)) {
		bool before = false;

		if (!str_is(next_word(&line), "softdep") || !same(next_word(&line), name))
			continue;
		for (struct str word = next_word(&line); r >= 0 && word.n;
		     word = next_word(&line)) {
			if (str_is(word, "pre:"))
				before = true;
			else if (str_is(word, "post:"))
				before = false;
			else if (before)
				r = add_aliased(x, word, a, list);
		}
	}
	return r;
}

int kmod_add(const struct kmod_index *x, struct str name, struct arena *a, struct kmod_list *list)
{
	struct str path, needs;
	int r = 0;

	if (!kmod_find(x, name, &path, &needs))
		return kmod_is_builtin(x, name) ? KMOD_BUILTIN : KMOD_MISSING;
	for (struct str rest = needs, word = next_word(&rest); r >= 0 && word.n;
	     word = next_word(&rest))
		r = add_soft(x, kmod_name_of(word), a, list);
	if (r >= 0)
		r = add_soft(x, name, a, list);
	if (r >= 0)
		r = append_all(a, list, path, needs);
	return r < 0 ? r : KMOD_LISTED;
}
