/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/format.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/str.h"
#include "fmt/gotemplate.h"

#define CELLS_MAX   (256u << 20) /* bytes of a whole table */
#define COLUMNS_MAX 64
#define COLUMN_MIN  10
#define COLUMN_GAP  3

/* In a shell's single quotes "\t" is two characters; docker takes them for a tab all the same. */
static const char *unescape(struct arena *a, const char *text)
{
	char *clean = arena_strdup(a, text), *to = clean;

	for (const char *p = clean; p && *p; p++) {
		if (*p == '\\' && (p[1] == 't' || p[1] == 'n'))
			*to++ = *++p == 't' ? '\t' : '\n';
		else
			*to++ = *p;
	}
	if (to)
		*to = 0;
	return clean;
}

static int add_titles(struct format *f, struct err *e)
{
	struct gotemplate_env env = { .header = true };
	struct json *titles = row_new(f->arena), *hidden = row_new(f->arena);

	for (size_t i = 0; i < f->columns_n; i++)
		row_text(f->arena, titles, f->columns[i].field, f->columns[i].title);
	row_text(f->arena, hidden, "Label", "LABEL");
	env.hidden = hidden;
	if (gotemplate_run(f->template, titles, &env, f->arena, &f->cells, e) < 0)
		return err_ctx(e, "--format");
	buf_addc(&f->cells, '\n');
	return 0;
}

int format_init(struct format *f, struct arena *a, const char *user, const char *standard,
		const struct format_column *columns, size_t n, struct err *e)
{
	const char *text = user ? user : standard;

	*f = (struct format){ .arena = a, .columns = columns, .columns_n = n };
	f->cells = BUF_INIT(CELLS_MAX);
	if (streq(text, "json"))
		return 0;
	if (streq(text, "table"))
		text = standard;
	if (text == standard)
		f->standard = standard;
	text = unescape(a, text);
	if (!text)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "--format: out of memory");
	if (str_starts(str_of(text), "table ")) {
		f->table = true;
		text += 6;
	}
	if (gotemplate_parse(a, str_of(text), &f->template, e) < 0)
		return err_ctx(e, "--format");
	return f->table ? add_titles(f, e) : 0;
}

bool format_wants(const struct format *f, const char *field)
{
	size_t n = strlen(field);

	/* A user's template may reach all of them by other ways than by name: {{json .}}, range. */
	if (!f->standard)
		return true;
	for (const char *p = f->standard; (p = strstr(p, "{{.")); p += 3)
		if (strncmp(p + 3, field, n) == 0 && p[3 + n] == '}')
			return true;
	return false;
}

void format_fini(struct format *f)
{
	buf_fini(&f->cells);
}

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct json_member *) a)->key.p,
		      ((const struct json_member *) b)->key.p);
}

/* Docker's JSON of a row has its members in the order of their names. */
static const struct json *sorted(struct arena *a, const struct json *row)
{
	struct json *copy = arena_alloc(a, sizeof(*copy));
	struct json_member *m = arena_array(a, row->members_n + 1, sizeof(*m));

	if (!copy || !m)
		return row;
	memcpy(m, row->members, row->members_n * sizeof(*m));
	qsort(m, row->members_n, sizeof(*m), by_key);
	*copy = *row;
	copy->members = m;
	return copy;
}

int format_row(struct format *f, const struct json *row, const struct json *hidden, struct buf *out,
	       struct err *e)
{
	struct gotemplate_env env = { .hidden = hidden };
	struct json_writer w = JSON_WRITER(out);

	if (f->columns_n && !f->standard)
		row = sorted(f->arena, row);
	if (!f->template) {
		json_w_value(&w, NULL, row);
		buf_addc(out, '\n');
		return 0;
	}
	if (gotemplate_run(f->template, row, &env, f->arena, f->table ? &f->cells : out, e) < 0)
		return err_ctx(e, "--format");
	buf_addc(f->table ? &f->cells : out, '\n');
	return 0;
}

int format_end(struct format *f, struct buf *out, struct err *e)
{
	if (!f->table)
		return 0;
	if (!buf_ok(&f->cells))
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "the table is too large");
	table_align(buf_str(&f->cells), out);
	return 0;
}

static size_t characters(struct str s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		n += (s.p[i] & 0xc0) != 0x80;
	return n;
}

void table_align(struct str cells, struct buf *out)
{
	size_t widths[COLUMNS_MAX] = { 0 };

	for (struct str rest = cells, line; rest.p && rest.n;) {
		line = str_cut(rest, '\n', &rest);
		for (size_t i = 0; line.p && i < COLUMNS_MAX; i++) {
			size_t w = characters(str_cut(line, '\t', &line)) + COLUMN_GAP;

			if (w < COLUMN_MIN)
				w = COLUMN_MIN;
			if (line.p && w > widths[i]) /* the last cell widens nothing */
				widths[i] = w;
		}
	}
	for (struct str rest = cells, line; rest.p && rest.n;) {
		line = str_cut(rest, '\n', &rest);
		for (size_t i = 0; line.p; i++) {
			struct str cell = str_cut(line, '\t', &line);
			size_t w = characters(cell);

			buf_addstr(out, cell);
			for (; line.p && i < COLUMNS_MAX && w < widths[i]; w++)
				buf_addc(out, ' ');
		}
		buf_addc(out, '\n');
	}
}

struct json *row_new(struct arena *a)
{
	struct json *row = arena_alloc(a, sizeof(*row));

	if (row)
		row->type = JSON_OBJECT;
	return row;
}

void row_value(struct arena *a, struct json *row, const char *key, struct json value)
{
	struct json_member *m = row ? arena_push(a, &row->members, &row->members_n, sizeof(*m))
				    : NULL;

	if (!m)
		return;
	m->key = str_of(key);
	m->value = value;
}

void row_text(struct arena *a, struct json *row, const char *key, const char *text)
{
	row_value(a, row, key,
		  (struct json){ .type = JSON_STRING, .text = str_of(text ? text : "") });
}

void row_textf(struct arena *a, struct json *row, const char *key, const char *fmt, ...)
{
	char small[256];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(small, sizeof(small), fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t) n < sizeof(small)) {
		row_text(a, row, key, arena_dup(a, (struct str){ small, (size_t) n }));
	} else {
		auto_buf struct buf text = BUF_INIT(64u << 10);

		va_start(ap, fmt);
		buf_vaddf(&text, fmt, ap);
		va_end(ap);
		row_text(a, row, key, arena_dup(a, buf_str(&text)));
	}
}

const struct json *row_labels(struct arena *a, const char *json)
{
	const struct json *labels;
	struct err e;

	if (!json || json_parse(a, str_of(json), &labels, &e) < 0)
		return row_new(a); /* a record can't hold anything but an object */
	return labels;
}

const char *labels_text(struct arena *a, const struct json *labels)
{
	auto_buf struct buf text = BUF_INIT(1u << 20);

	for (size_t i = 0; labels && labels->type == JSON_OBJECT && i < labels->members_n; i++) {
		const char *value = json_string(&labels->members[i].value);

		buf_addf(&text, "%s%s=%s", i ? "," : "", labels->members[i].key.p,
			 value ? value : "");
	}
	return arena_dup(a, (struct str){ buf_z(&text), text.n });
}
