/* SPDX-License-Identifier: Apache-2.0 */
/* Field tables: a tree of JSON into structs, with the path of what is wrong. */
#include <errno.h>
#include <stdio.h>

#include "base/num.h"
#include "fmt/json.h"

#define PATH_MAX_BYTES 256

static const char *type_name(enum json_type t)
{
	static const char *const names[] = {
		[JSON_NULL] = "null",	    [JSON_BOOL] = "a boolean", [JSON_NUMBER] = "a number",
		[JSON_STRING] = "a string", [JSON_ARRAY] = "an array", [JSON_OBJECT] = "an object",
	};

	return names[t];
}

static int wrong_type(const char *path, const char *want, const struct json *v, struct err *e)
{
	return err_set(e, ERR_INVALID, EINVAL, "%s: must be %s, not %s", path, want,
		       type_name(v->type));
}

static int no_memory(const char *path, struct err *e)
{
	return err_set(e, ERR_EXHAUSTED, ENOMEM, "%s: too large", path);
}

static int decode_unsigned(const struct json_field *f, const struct json *v, uint64_t *ret_v,
			   const char *path, struct err *e)
{
	int r = json_u64(v, ret_v);

	if (r == -EINVAL && v->type != JSON_NUMBER)
		return wrong_type(path, "an integer", v, e);
	if (r == 0 && *ret_v >= f->umin && *ret_v <= f->umax)
		return 0;
	return err_set(e, ERR_INVALID, ERANGE, "%s: %s is not an integer from %llu to %llu", path,
		       v->text.p, (unsigned long long) f->umin, (unsigned long long) f->umax);
}

static int decode_signed(const struct json_field *f, const struct json *v, int64_t *ret_v,
			 const char *path, struct err *e)
{
	int r = json_i64(v, ret_v);

	if (r == -EINVAL && v->type != JSON_NUMBER)
		return wrong_type(path, "an integer", v, e);
	if (r == 0 && *ret_v >= f->min && *ret_v <= f->max)
		return 0;
	return err_set(e, ERR_INVALID, ERANGE, "%s: %s is not an integer from %lld to %lld", path,
		       v->text.p, (long long) f->min, (long long) f->max);
}

static int decode_strings(struct arena *a, const struct json *v, const char ***to, size_t *ret_n,
			  const char *path, struct err *e)
{
	const char **z;

	if (v->type != JSON_ARRAY)
		return wrong_type(path, "an array of strings", v, e);
	z = arena_array(a, v->n + 1, sizeof(*z));
	if (!z)
		return no_memory(path, e);
	for (size_t i = 0; i < v->n; i++) {
		if (v->items[i].type != JSON_STRING)
			return err_set(e, ERR_INVALID, EINVAL, "%s[%zu]: must be a string, not %s",
				       path, i, type_name(v->items[i].type));
		z[i] = v->items[i].text.p;
	}
	*to = z;
	*ret_n = v->n;
	return 0;
}

static int decode_map(struct arena *a, const struct json *v, struct json_pair **to, size_t *ret_n,
		      const char *path, struct err *e)
{
	struct json_pair *pairs;

	if (v->type != JSON_OBJECT)
		return wrong_type(path, "an object of strings", v, e);
	pairs = arena_array(a, v->members_n ? v->members_n : 1, sizeof(*pairs));
	if (!pairs)
		return no_memory(path, e);
	for (size_t i = 0; i < v->members_n; i++) {
		const struct json_member *m = &v->members[i];

		if (m->value.type != JSON_STRING)
			return err_set(e, ERR_INVALID, EINVAL,
				       "%s.%.100s: must be a string, not %s", path, m->key.p,
				       type_name(m->value.type));
		pairs[i] = (struct json_pair){ m->key.p, m->value.text.p };
	}
	*to = pairs;
	*ret_n = v->members_n;
	return 0;
}

static int decode_array(struct arena *a, const struct json_table *t, const struct json *v,
			void **to, size_t *ret_n, const char *path, struct err *e)
{
	char *items;

	if (v->type != JSON_ARRAY)
		return wrong_type(path, "an array", v, e);
	items = arena_array(a, v->n ? v->n : 1, t->size);
	if (!items)
		return no_memory(path, e);
	for (size_t i = 0; i < v->n; i++) {
		char at[PATH_MAX_BYTES];
		int r;

		(void) snprintf(at, sizeof(at), "%s[%zu]", path, i);
		r = json_decode(a, &v->items[i], t, items + i * t->size, at, e);
		if (r < 0)
			return r;
	}
	*to = items;
	*ret_n = v->n;
	return 0;
}

static int decode_object(struct arena *a, const struct json_table *t, const struct json *v,
			 void **to, const char *path, struct err *e)
{
	void *o = arena_alloc(a, t->size);
	int r;

	if (!o)
		return no_memory(path, e);
	r = json_decode(a, v, t, o, path, e);
	if (r == 0)
		*to = o;
	return r;
}

static int decode_u32(const struct json_field *f, const struct json *v, uint32_t *to,
		      const char *path, struct err *e)
{
	uint64_t u = 0;
	int r = decode_unsigned(f, v, &u, path, e);

	if (r == 0)
		*to = (uint32_t) u;
	return r;
}

static int decode_field(struct arena *a, const struct json_field *f, const struct json *v, char *o,
			const char *path, struct err *e)
{
	void *to = o + f->offset;
	size_t *n = f->count_offset == JSON_NONE ? NULL : (void *) (o + f->count_offset);

	switch (f->kind) {
	case JSON_KIND_STRING:
		if (v->type != JSON_STRING)
			return wrong_type(path, "a string", v, e);
		*(const char **) to = v->text.p;
		return 0;
	case JSON_KIND_BOOL:
		if (v->type != JSON_BOOL)
			return wrong_type(path, "a boolean", v, e);
		*(bool *) to = v->boolean;
		return 0;
	case JSON_KIND_U32:
		return decode_u32(f, v, to, path, e);
	case JSON_KIND_U64:
		return decode_unsigned(f, v, to, path, e);
	case JSON_KIND_I64:
		return decode_signed(f, v, to, path, e);
	case JSON_KIND_STRINGS:
		return decode_strings(a, v, to, n, path, e);
	case JSON_KIND_MAP:
		return decode_map(a, v, to, n, path, e);
	case JSON_KIND_ARRAY:
		return decode_array(a, f->table, v, to, n, path, e);
	case JSON_KIND_OBJECT:
		return decode_object(a, f->table, v, to, path, e);
	case JSON_KIND_VALUE:
		*(const struct json **) to = v;
		return 0;
	case JSON_KIND_CUSTOM:
		return f->decode(a, v, to, path, e);
	}
	return 0;
}

static int check_unknown(const struct json *v, const struct json_table *t, const char *path,
			 const char *dot, struct err *e)
{
	if (t->unknown == JSON_UNKNOWN_IGNORE)
		return 0;
	for (size_t i = 0; i < v->members_n; i++) {
		bool known = false;

		for (size_t j = 0; j < t->n && !known; j++)
			known = str_is(v->members[i].key, t->fields[j].key);
		if (!known)
			return err_set(e, ERR_INVALID, EINVAL, "%s%s%.100s: unknown key", path, dot,
				       v->members[i].key.p);
	}
	return 0;
}

/*
 * "a.b" of "a" and "b", cut at its end where it is too long. Made for each member that is there, in
 * case it is wrong: snprintf() would be most of what decoding costs.
 */
static void member_path(char to[static PATH_MAX_BYTES], const char *path, const char *key)
{
	size_t n = 0;

	for (const char *p = path; *p && n < PATH_MAX_BYTES - 1;)
		to[n++] = *p++;
	if (n > 0 && n < PATH_MAX_BYTES - 1)
		to[n++] = '.';
	for (const char *p = key; *p && n < PATH_MAX_BYTES - 1;)
		to[n++] = *p++;
	to[n] = '\0';
}

int json_decode(struct arena *a, const struct json *v, const struct json_table *table, void *to,
		const char *path, struct err *e)
{
	const char *dot = path[0] ? "." : "";
	char at[PATH_MAX_BYTES];
	int r;

	if (v->type != JSON_OBJECT)
		return wrong_type(path[0] ? path : "document", "an object", v, e);
	r = check_unknown(v, table, path, dot, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < table->n; i++) {
		const struct json_field *f = &table->fields[i];
		const struct json *m = json_get(v, f->key);

		if (!m || m->type == JSON_NULL) {
			if (f->flags & JSON_REQUIRED)
				return err_set(e, ERR_INVALID, EINVAL, "%s%s%s: missing", path, dot,
					       f->key);
			continue;
		}
		member_path(at, path, f->key);
		if (f->flags & JSON_REFUSED)
			return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP, "%s: not supported", at);
		r = decode_field(a, f, m, to, at, e);
		if (r < 0)
			return r;
		if (f->flags & JSON_SET)
			*(bool *) ((char *) to + f->present_offset) = true;
	}
	return 0;
}
