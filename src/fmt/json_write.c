/* SPDX-License-Identifier: Apache-2.0 */
/* The streaming writer. */
#include <assert.h>

#include "base/utf8.h"
#include "fmt/json.h"

static void new_line(struct json_writer *w)
{
	if (!w->pretty)
		return;
	buf_addc(w->out, '\n');
	for (unsigned i = 0; i < w->depth * w->indent; i++)
		buf_addc(w->out, ' ');
}

static void add_escaped(struct buf *b, unsigned char c)
{
	switch (c) {
	case '"':
	case '\\':
		buf_addf(b, "\\%c", c);
		return;
	case '\n':
		buf_adds(b, "\\n");
		return;
	case '\r':
		buf_adds(b, "\\r");
		return;
	case '\t':
		buf_adds(b, "\\t");
		return;
	case '\b':
		buf_adds(b, "\\b");
		return;
	case '\f':
		buf_adds(b, "\\f");
		return;
	}
	buf_addf(b, "\\u%04x", c);
}

static void add_text(struct buf *b, struct str s)
{
	buf_addc(b, '"');
	while (s.n) {
		size_t plain = 0, n;

		while (plain < s.n && s.p[plain] >= 0x20 && s.p[plain] != '"' && s.p[plain] != '\\')
			plain++;
		buf_add(b, s.p, plain);
		s.p += plain;
		s.n -= plain;
		if (s.n == 0)
			break;
		n = utf8_length(s);
		if (n == 0) {
			buf_adds(b, "\xef\xbf\xbd");
			n = 1;
		} else if (n == 1) {
			add_escaped(b, (unsigned char) s.p[0]);
		} else {
			buf_add(b, s.p, n);
		}
		s.p += n;
		s.n -= n;
	}
	buf_addc(b, '"');
}

static void begin(struct json_writer *w, const char *key)
{
	if (w->comma)
		buf_addc(w->out, ',');
	if (w->depth)
		new_line(w);
	if (key) {
		add_text(w->out, str_of(key));
		buf_adds(w->out, w->pretty ? ": " : ":");
	}
	w->comma = true;
}

static void open_level(struct json_writer *w, const char *key, bool array)
{
	assert(w->depth < JSON_DEPTH_MAX);
	begin(w, key);
	buf_addc(w->out, array ? '[' : '{');
	w->is_array = w->is_array << 1 | array;
	w->depth++;
	w->comma = false;
}

void json_w_object(struct json_writer *w, const char *key)
{
	open_level(w, key, false);
}

void json_w_array(struct json_writer *w, const char *key)
{
	open_level(w, key, true);
}

void json_w_end(struct json_writer *w)
{
	bool array = w->is_array & 1;

	assert(w->depth > 0);
	w->depth--;
	w->is_array >>= 1;
	if (w->comma)
		new_line(w);
	buf_addc(w->out, array ? ']' : '}');
	w->comma = true;
}

void json_w_str(struct json_writer *w, const char *key, struct str s)
{
	begin(w, key);
	add_text(w->out, s);
}

void json_w_string(struct json_writer *w, const char *key, const char *z)
{
	if (z)
		json_w_str(w, key, str_of(z));
	else
		json_w_null(w, key);
}

void json_w_u64(struct json_writer *w, const char *key, uint64_t v)
{
	begin(w, key);
	buf_addf(w->out, "%llu", (unsigned long long) v);
}

void json_w_i64(struct json_writer *w, const char *key, int64_t v)
{
	begin(w, key);
	buf_addf(w->out, "%lld", (long long) v);
}

void json_w_fixed(struct json_writer *w, const char *key, int64_t v, unsigned decimals)
{
	uint64_t u = v < 0 ? 0 - (uint64_t) v : (uint64_t) v, unit = 1;

	assert(decimals < 19);
	for (unsigned i = 0; i < decimals; i++)
		unit *= 10;
	begin(w, key);
	buf_addf(w->out, "%s%llu", v < 0 ? "-" : "", (unsigned long long) (u / unit));
	if (decimals)
		buf_addf(w->out, ".%0*llu", (int) decimals, (unsigned long long) (u % unit));
}

void json_w_bool(struct json_writer *w, const char *key, bool v)
{
	begin(w, key);
	buf_adds(w->out, v ? "true" : "false");
}

void json_w_null(struct json_writer *w, const char *key)
{
	begin(w, key);
	buf_adds(w->out, "null");
}

void json_w_strings(struct json_writer *w, const char *key, const char *const *z)
{
	if (!z) {
		json_w_null(w, key);
		return;
	}
	json_w_array(w, key);
	for (; *z; z++)
		json_w_string(w, NULL, *z);
	json_w_end(w);
}

void json_w_value(struct json_writer *w, const char *key, const struct json *v)
{
	switch (v->type) {
	case JSON_NULL:
		json_w_null(w, key);
		break;
	case JSON_BOOL:
		json_w_bool(w, key, v->boolean);
		break;
	case JSON_NUMBER:
		begin(w, key);
		buf_addstr(w->out, v->text);
		break;
	case JSON_STRING:
		json_w_str(w, key, v->text);
		break;
	case JSON_ARRAY:
		json_w_array(w, key);
		for (size_t i = 0; i < v->n; i++)
			json_w_value(w, NULL, &v->items[i]);
		json_w_end(w);
		break;
	case JSON_OBJECT:
		json_w_object(w, key);
		for (size_t i = 0; i < v->members_n; i++)
			json_w_value(w, v->members[i].key.p, &v->members[i].value);
		json_w_end(w);
		break;
	}
}
