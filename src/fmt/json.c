/* SPDX-License-Identifier: Apache-2.0 */
/* The parser: yajl's events become a tree in the arena. */
#include "fmt/json.h"

#include <errno.h>
#include <yajl/yajl_parse.h>

#include "base/auto.h"
#include "base/num.h"

struct level {
	struct json *v;
	struct str key; /* of the member being read */
};

struct parse {
	struct arena *arena;
	struct level levels[JSON_DEPTH_MAX];
	size_t depth;
	struct json root;
	bool have_root;
	const char *problem; /* why a callback refused; NULL: out of memory */
	struct str about;
};

static int refuse(struct parse *p, const char *problem, struct str about)
{
	p->problem = problem;
	p->about = about;
	return 0;
}

/* Above this many members a sorted look would pay; the refusal of duplicates is quadratic below. */
#define MEMBERS_MAX 65536

static struct json *add_value(struct parse *p)
{
	struct level *l;
	struct json_member *m;

	if (p->depth == 0) {
		p->have_root = true;
		return &p->root;
	}
	l = &p->levels[p->depth - 1];
	if (l->v->type == JSON_ARRAY)
		return arena_push(p->arena, &l->v->items, &l->v->n, sizeof(struct json));
	m = arena_push(p->arena, &l->v->members, &l->v->members_n, sizeof(*m));
	if (!m)
		return NULL;
	m->key = l->key;
	return &m->value;
}

static int on_null(void *ctx)
{
	struct json *v = add_value(ctx);

	if (v)
		v->type = JSON_NULL;
	return v != NULL;
}

static int on_boolean(void *ctx, int boolean)
{
	struct json *v = add_value(ctx);

	if (v) {
		v->type = JSON_BOOL;
		v->boolean = boolean != 0;
	}
	return v != NULL;
}

static int add_text(struct parse *p, enum json_type type, struct str text)
{
	struct json *v = add_value(p);
	char *copy = v ? arena_dup(p->arena, text) : NULL;

	if (!copy)
		return 0;
	v->type = type;
	v->text = (struct str){ copy, text.n };
	return 1;
}

static int on_number(void *ctx, const char *text, size_t n)
{
	struct parse *p = ctx;

	if (n > 64)
		return refuse(p, "number too long", (struct str){ text, 64 });
	return add_text(p, JSON_NUMBER, (struct str){ text, n });
}

static int on_string(void *ctx, const unsigned char *text, size_t n)
{
	struct parse *p = ctx;

	if (n && memchr(text, '\0', n))
		return refuse(p, "a string holds a NUL byte", STR(""));
	return add_text(p, JSON_STRING, (struct str){ (const char *) text, n });
}

static int open_level(struct parse *p, enum json_type type)
{
	struct json *v;

	if (p->depth == JSON_DEPTH_MAX)
		return refuse(p, "nested too deeply", STR(""));
	v = add_value(p);
	if (!v)
		return 0;
	v->type = type;
	p->levels[p->depth++] = (struct level){ .v = v };
	return 1;
}

static int on_start_map(void *ctx)
{
	return open_level(ctx, JSON_OBJECT);
}

static int on_start_array(void *ctx)
{
	return open_level(ctx, JSON_ARRAY);
}

static int on_end(void *ctx)
{
	struct parse *p = ctx;

	p->depth--;
	return 1;
}

static int on_map_key(void *ctx, const unsigned char *text, size_t n)
{
	struct parse *p = ctx;
	struct level *l = &p->levels[p->depth - 1];
	struct str key = { (const char *) text, n };
	char *copy;

	if (n && memchr(text, '\0', n))
		return refuse(p, "a key holds a NUL byte", STR(""));
	if (l->v->members_n >= MEMBERS_MAX)
		return refuse(p, "too many members in one object", STR(""));
	for (size_t i = 0; i < l->v->members_n; i++)
		if (str_eq(l->v->members[i].key, key))
			return refuse(p, "duplicate key", key);
	copy = arena_dup(p->arena, key);
	if (!copy)
		return 0;
	l->key = (struct str){ copy, n };
	return 1;
}

static const yajl_callbacks callbacks = {
	.yajl_null = on_null,
	.yajl_boolean = on_boolean,
	.yajl_number = on_number,
	.yajl_string = on_string,
	.yajl_start_map = on_start_map,
	.yajl_map_key = on_map_key,
	.yajl_end_map = on_end,
	.yajl_start_array = on_start_array,
	.yajl_end_array = on_end,
};

static unsigned line_of(struct str text, size_t at)
{
	unsigned line = 1;

	for (size_t i = 0; i < at && i < text.n; i++)
		line += text.p[i] == '\n';
	return line;
}

static int syntax_error(yajl_handle h, struct str text, struct err *e)
{
	unsigned char *why = yajl_get_error(h, 0, (const unsigned char *) text.p, text.n);
	struct str rest,
		first = str_cut(str_trim(str_of(why ? (const char *) why : "")), '\n', &rest);
	int r;

	if (str_starts(first, "parse error: ") || str_starts(first, "lexical error: "))
		(void) str_cut(first, ' ', &first);
	if (str_starts(first, "error: "))
		(void) str_cut(first, ' ', &first);
	r = err_set(e, ERR_INVALID, EINVAL, "not valid JSON, line %u: %.*s",
		    line_of(text, yajl_get_bytes_consumed(h)),
		    (int) (first.n > 200 ? 200 : first.n), first.p ? first.p : "");
	if (why)
		yajl_free_error(h, why);
	return r;
}

static int parse_error(yajl_handle h, const struct parse *p, yajl_status status, struct str text,
		       struct err *e)
{
	if (status == yajl_status_error)
		return syntax_error(h, text, e);
	if (!p->problem)
		return err_set(e, ERR_EXHAUSTED, ENOMEM,
			       "JSON document too large for its limit of %zu bytes", p->arena->max);
	return err_set(e, ERR_INVALID, EINVAL, "not valid JSON, line %u: %s%s%.*s%s",
		       line_of(text, yajl_get_bytes_consumed(h)), p->problem,
		       p->about.n ? " '" : "", (int) (p->about.n > 100 ? 100 : p->about.n),
		       p->about.p ? p->about.p : "", p->about.n ? "'" : "");
}

int json_parse(struct arena *a, struct str text, const struct json **ret_root, struct err *e)
{
	struct parse p = { .arena = a };
	yajl_handle h;
	yajl_status status;
	struct json *root;
	int r = 0;

	if (text.n > JSON_TEXT_MAX)
		return err_set(e, ERR_EXHAUSTED, EFBIG, "JSON document larger than %u bytes",
			       JSON_TEXT_MAX);
	if (str_trim(text).n == 0)
		return err_set(e, ERR_INVALID, EINVAL, "not valid JSON: empty");
	h = yajl_alloc(&callbacks, NULL, &p);
	if (!h)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	status = yajl_parse(h, (const unsigned char *) (text.n ? text.p : ""), text.n);
	if (status == yajl_status_ok)
		status = yajl_complete_parse(h);
	if (status != yajl_status_ok)
		r = parse_error(h, &p, status, text, e);
	yajl_free(h);
	if (r < 0)
		return r;
	if (!p.have_root || p.depth)
		return err_set(e, ERR_INVALID, EINVAL, "not valid JSON: empty");
	root = arena_alloc(a, sizeof(*root));
	if (!root)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	*root = p.root;
	*ret_root = root;
	return 0;
}

const struct json *json_get(const struct json *v, const char *key)
{
	if (!v || v->type != JSON_OBJECT)
		return NULL;
	for (size_t i = 0; i < v->members_n; i++)
		if (str_is(v->members[i].key, key))
			return &v->members[i].value;
	return NULL;
}

int json_u64(const struct json *v, uint64_t *ret_v)
{
	if (!v || v->type != JSON_NUMBER)
		return -EINVAL;
	return num_parse_u64(v->text, 0, UINT64_MAX, ret_v);
}

int json_i64(const struct json *v, int64_t *ret_v)
{
	if (!v || v->type != JSON_NUMBER)
		return -EINVAL;
	return num_parse_i64(v->text, INT64_MIN, INT64_MAX, ret_v);
}

const char *json_string(const struct json *v)
{
	return v && v->type == JSON_STRING ? v->text.p : NULL;
}
