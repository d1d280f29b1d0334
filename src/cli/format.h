/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows for people and for programs: each row is a JSON object, and what is printed is always a Go
 * template run over it: a verb's own table is "table {{.ID}}\t{{.Names}}" with the titles of its
 * columns on top. `--format json` prints the objects, one a line; `--format TEMPLATE` and
 * `--format 'table TEMPLATE'` are the user's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "fmt/json.h"

struct gotemplate;

struct format_column {
	const char *field; /* "ID" */
	const char *title; /* "CONTAINER ID" */
};

struct format {
	struct arena *arena;		   /* borrowed */
	const struct gotemplate *template; /* NULL: JSON */
	const struct format_column *columns;
	size_t columns_n;
	bool table;
	const char *standard; /* the verb's own template, where it is what is run; else NULL */
	struct buf cells;     /* of a table: lines of cells between tabs */
};

/*
 * user: --format's value, or NULL for `standard`, the verb's own template. The word "table" alone
 * is the standard too.
 */
[[nodiscard]] int format_init(struct format *f, struct arena *a, const char *user,
			      const char *standard, const struct format_column *columns, size_t n,
			      struct err *e);
void format_fini(struct format *f);
#define auto_format __attribute__((cleanup(format_fini)))

/* Whether the template can name the field: what it can't need not be worked out for each row. */
bool format_wants(const struct format *f, const char *field);

/* hidden: further members a template can name but `json .` does not show, or NULL. */
[[nodiscard]] int format_row(struct format *f, const struct json *row, const struct json *hidden,
			     struct buf *out, struct err *e);
/* The table, aligned; nothing more for other formats. */
[[nodiscard]] int format_end(struct format *f, struct buf *out, struct err *e);

/* A row being made. Failure shows in format_row(), as a field that is missing. */
struct json *row_new(struct arena *a);
void row_text(struct arena *a, struct json *row, const char *key, const char *text);
[[gnu::format(printf, 4, 5)]] void row_textf(struct arena *a, struct json *row, const char *key,
					     const char *fmt, ...);
void row_value(struct arena *a, struct json *row, const char *key, struct json value);
/* Map of strings for {{.Label "key"}}, from a JSON object's text or NULL. */
const struct json *row_labels(struct arena *a, const char *json);

/* "a=b,c=d" of a JSON object's text, as docker's .Labels. */
const char *labels_text(struct arena *a, const struct json *labels);

/*
 * Align lines of cells between tabs: every column as wide as its widest cell and three blanks, at
 * least ten characters, as docker's tables. The last cell of a line is not padded.
 */
void table_align(struct str cells, struct buf *out);
