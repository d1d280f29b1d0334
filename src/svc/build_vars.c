/* SPDX-License-Identifier: Apache-2.0 */
/* What ARG and ENV say, and where it is asked for. */
#include <errno.h>
#include <string.h>

#include "fmt/shellword.h"
#include "svc/build_parts.h"
#include "svc/image_parts.h"

struct scope {
	const struct builder *b;
	const struct build_state *st; /* NULL: before the stages */
	struct arena *arena;
};

static const char *find_pair(const struct json_pair *v, size_t n, struct str name, bool *ret_there)
{
	for (size_t i = n; i > 0; i--)
		if (str_is(name, v[i - 1].key)) {
			*ret_there = true;
			return v[i - 1].value;
		}
	*ret_there = false;
	return NULL;
}

/* Known to all builds: docker's "automatic platform ARGs". */
static const char *of_platform(struct arena *a, struct str name)
{
	static const char *const prefixes[] = { "TARGET", "BUILD" };

	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
		struct str rest = { name.p + strlen(prefixes[i]), 0 };

		if (!str_starts(name, prefixes[i]))
			continue;
		rest.n = name.n - strlen(prefixes[i]);
		if (str_is(rest, "PLATFORM"))
			return arena_printf(a, "linux/%s", image_architecture());
		if (str_is(rest, "OS"))
			return "linux";
		if (str_is(rest, "ARCH"))
			return image_architecture();
		if (str_is(rest, "VARIANT"))
			return "";
	}
	return NULL;
}

static const char *get(void *user, struct str name)
{
	const struct scope *s = user;
	bool there;
	const char *value;

	if (!s->st) {
		value = find_pair(s->b->args, s->b->args_n, name, &there);
		return there ? value : of_platform(s->arena, name);
	}
	for (size_t i = s->st->run.env_n; i > 0; i--) {
		const char *pair = s->st->run.env[i - 1];

		if (strncmp(pair, name.p, name.n) == 0 && pair[name.n] == '=')
			return pair + name.n + 1;
	}
	return find_pair(s->st->args, s->st->args_n, name, &there);
}

static struct shellword scope_words(struct builder *b, struct scope *s)
{
	return (struct shellword){
		.arena = &b->arena, .escape = b->cf.escape, .get = get, .user = s
	};
}

int build_word(struct builder *b, const struct build_state *st, struct str text, const char **ret,
	       struct err *e)
{
	struct scope s = { b, st, &b->arena };
	const struct shellword w = scope_words(b, &s);

	return shellword_one(&w, text, ret, e);
}

int build_words(struct builder *b, const struct build_state *st, struct str text, const char ***ret,
		size_t *ret_n, struct err *e)
{
	struct scope s = { b, st, &b->arena };
	const struct shellword w = scope_words(b, &s);

	return shellword_list(&w, text, ret, ret_n, e);
}

static bool is_name(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
		      (i && c >= '0' && c <= '9')))
			return false;
	}
	return s.n > 0;
}

/* What --build-arg says; then the default; then what stood before the first FROM. */
static const char *value_of(struct builder *b, const struct build_state *st, struct str name,
			    const char *otherwise)
{
	bool there;
	const char *value = find_pair(b->req->args, b->req->args_n, name, &there);

	if (there || otherwise)
		return there ? value : otherwise;
	if (!st)
		return NULL;
	value = find_pair(b->args, b->args_n, name, &there);
	return there ? value : of_platform(&b->arena, name);
}

int build_arg(struct builder *b, struct build_state *st, const struct containerfile_step *s,
	      struct err *e)
{
	const char **words;
	size_t n;
	int r = build_words(b, st, s->rest, &words, &n, e);

	for (size_t i = 0; i < n && r == 0; i++) {
		struct str value, name = str_cut(str_of(words[i]), '=', &value);
		struct json_pair *to;

		if (!is_name(name))
			return err_set(e, ERR_INVALID, EINVAL,
				       "ARG wants NAME or NAME=DEFAULT, not '%.60s'", words[i]);
		to = st ? arena_push(&b->arena, &st->args, &st->args_n, sizeof(*to))
			: arena_push(&b->arena, &b->args, &b->args_n, sizeof(*to));
		if (!to || !(to->key = arena_dup(&b->arena, name)))
			return build_no_memory(e);
		to->value = value_of(b, st, name, value.p);
	}
	return r;
}

const char *build_path(struct builder *b, const struct build_state *st, const char *path)
{
	const char *base = st->run.working_dir ? st->run.working_dir : "/";
	struct str rest = str_of(path[0] == '/' ? path
						: arena_printf(&b->arena, "%s/%s", base, path));
	char *out = rest.p ? arena_alloc(&b->arena, rest.n + 2) : NULL;
	size_t n = 0;

	while (out && rest.p) {
		struct str part = str_cut(rest, '/', &rest);

		if (!part.n || str_is(part, "."))
			continue;
		if (str_is(part, "..")) {
			while (n > 0 && out[--n] != '/')
				;
			continue;
		}
		out[n++] = '/';
		memcpy(out + n, part.p, part.n);
		n += part.n;
	}
	if (out && n == 0)
		out[n++] = '/';
	if (out)
		out[n] = '\0';
	return out;
}
