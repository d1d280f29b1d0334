/* SPDX-License-Identifier: Apache-2.0 */
/* Clauses are those of the TOML specification 1.0.0. */
#include "fmt/toml.h"

#include <errno.h>
#include <string.h>

#include "base/num.h"
#include "base/utf8.h"

#define KEY_PARTS_MAX 32
#define NUMBER_MAX    64   /* as fmt/json has it */
#define MEMBERS_MAX   4096 /* of a table: looking for one twice is quadratic */

enum made {
	MADE_BY_WAY,	/* on the way to a table that has a header */
	MADE_BY_HEADER, /* [it] */
	MADE_BY_DOTS,	/* it.key = */
	MADE_BY_VALUE,	/* {} and [], to which nothing is added */
	MADE_OF_TABLES, /* [[it]] */
};

/* A value, until the document is whole: its tables may grow until then. */
struct node {
	struct node *next, *first, *last;
	size_t n;
	struct str key;
	struct json v; /* of no table and no array: as it will be */
	enum made made;
	unsigned int depth;
};

struct parser {
	struct arena *arena;
	const char *p, *end;
	struct buf text; /* of a string, while it is read */
	struct node *root, *table;
	const char *why; /* NULL: no memory */
};

static bool fail(struct parser *p, const char *why)
{
	p->why = why;
	return false;
}

/* ---- what the document has between its words ---- */

static int peek(const struct parser *p, size_t ahead)
{
	return (size_t) (p->end - p->p) > ahead ? (unsigned char) p->p[ahead] : -1;
}

static bool take(struct parser *p, char c)
{
	if (peek(p, 0) != (unsigned char) c)
		return false;
	p->p++;
	return true;
}

static void skip_blanks(struct parser *p)
{
	while (peek(p, 0) == ' ' || peek(p, 0) == '\t')
		p->p++;
}

static bool is_newline(const struct parser *p)
{
	return peek(p, 0) == '\n' || (peek(p, 0) == '\r' && peek(p, 1) == '\n');
}

static bool is_control(int c)
{
	return (c >= 0 && c < ' ' && c != '\t') || c == 0x7f;
}

static bool skip_comment(struct parser *p)
{
	if (peek(p, 0) != '#')
		return true;
	while (p->p < p->end && !is_newline(p)) {
		if (is_control(peek(p, 0)))
			return fail(p, "a control character in a comment");
		p->p++;
	}
	return true;
}

static void skip_newline(struct parser *p)
{
	p->p += peek(p, 0) == '\r' ? 2 : 1;
}

/* With comments and the ends of lines: within an array, and between the lines. */
static bool skip_space(struct parser *p)
{
	for (;;) {
		skip_blanks(p);
		if (!skip_comment(p))
			return false;
		if (!is_newline(p))
			return true;
		skip_newline(p);
	}
}

/* ---- strings ---- */

static bool take_code(struct parser *p, size_t digits)
{
	uint32_t c = 0;

	for (size_t i = 0; i < digits; i++, p->p++) {
		int d = peek(p, 0);
		uint32_t v = d >= '0' && d <= '9'   ? (uint32_t) (d - '0')
			     : d >= 'a' && d <= 'f' ? (uint32_t) (d - 'a') + 10
			     : d >= 'A' && d <= 'F' ? (uint32_t) (d - 'A') + 10
						    : 16;

		if (v == 16)
			return fail(p, "\\u wants 4 hex digits, \\U wants 8");
		c = c << 4 | v;
	}
	if (c == 0 || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return fail(p, "an escape of no character");
	utf8_put(&p->text, c);
	return true;
}

static bool take_escape(struct parser *p, bool lines)
{
	static const char from[] = "btnfr\"\\", to[] = "\b\t\n\f\r\"\\";
	int c = peek(p, 0);
	const char *at = c > 0 ? strchr(from, c) : NULL;
	const char *here = p->p;

	if (at) {
		p->p++;
		buf_addc(&p->text, to[at - from]);
		return true;
	}
	if (c == 'u' || c == 'U') {
		p->p++;
		return take_code(p, c == 'u' ? 4 : 8);
	}
	skip_blanks(p);
	if (!lines || !is_newline(p)) {
		p->p = here;
		return fail(p, "an unknown escape");
	}
	while (is_newline(p)) {
		skip_newline(p);
		skip_blanks(p);
	}
	return true;
}

/* As many as end a string of lines; up to two more belong to it. */
static bool take_end_of_lines(struct parser *p, char quote, bool *ret_end)
{
	size_t n = 0;

	while (peek(p, n) == (unsigned char) quote)
		n++;
	p->p += n;
	*ret_end = n >= 3;
	if (n > 5)
		return fail(p, "too many quotes");
	for (size_t i = 0; i < (n >= 3 ? n - 3 : n); i++)
		buf_addc(&p->text, quote);
	return true;
}

static bool take_chars(struct parser *p, char quote, bool lines)
{
	bool end = false;

	while (p->p < p->end) {
		int c = peek(p, 0);

		if (c == (unsigned char) quote && !lines) {
			p->p++;
			return true;
		}
		if (c == (unsigned char) quote) {
			if (!take_end_of_lines(p, quote, &end))
				return false;
			if (end)
				return true;
		} else if (c == '\\' && quote == '"') {
			p->p++;
			if (!take_escape(p, lines))
				return false;
		} else if (is_newline(p) && lines) {
			skip_newline(p);
			buf_addc(&p->text, '\n');
		} else if (is_control(c)) {
			return fail(p, c == '\n' ? "the string does not end on its line"
						 : "a control character in a string");
		} else {
			buf_addc(&p->text, *p->p++);
		}
	}
	return fail(p, "the string does not end");
}

static bool keep_text(struct parser *p, struct str *ret)
{
	const struct str text = { buf_z(&p->text), p->text.n };
	char *copy = buf_ok(&p->text) ? arena_dup(p->arena, text) : NULL;

	*ret = (struct str){ copy, p->text.n };
	return copy || fail(p, NULL);
}

static bool take_string(struct parser *p, bool may_have_lines, struct str *ret)
{
	char quote = *p->p;
	bool lines = peek(p, 1) == (unsigned char) quote && peek(p, 2) == (unsigned char) quote;

	if (lines && !may_have_lines)
		return fail(p, "a key does not have several lines");
	p->p += lines ? 3 : 1;
	if (lines && is_newline(p))
		skip_newline(p);
	buf_clear(&p->text);
	return take_chars(p, quote, lines) && keep_text(p, ret);
}

/* ---- keys ---- */

static bool is_bare(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '-';
}

static bool take_key(struct parser *p, struct str parts[static KEY_PARTS_MAX], size_t *ret_n)
{
	size_t n = 0;

	do {
		const char *from;

		skip_blanks(p);
		if (n == KEY_PARTS_MAX)
			return fail(p, "a key of too many parts");
		from = p->p;
		if (peek(p, 0) == '"' || peek(p, 0) == '\'') {
			if (!take_string(p, false, &parts[n++]))
				return false;
		} else {
			while (is_bare(peek(p, 0)))
				p->p++;
			if (p->p == from)
				return fail(p, "a key is missing");
			buf_clear(&p->text);
			buf_add(&p->text, from, (size_t) (p->p - from));
			if (!keep_text(p, &parts[n++]))
				return false;
		}
		skip_blanks(p);
	} while (take(p, '.'));
	*ret_n = n;
	return true;
}

/* ---- the tree ---- */

static struct node *find(const struct node *table, struct str key)
{
	for (struct node *c = table->first; c; c = c->next)
		if (str_eq(c->key, key))
			return c;
	return NULL;
}

static struct node *add(struct parser *p, struct node *to, struct str key, enum json_type type,
			enum made made)
{
	struct node *c;

	if (to->depth + 1 >= JSON_DEPTH_MAX) {
		(void) fail(p, "nested too deeply");
		return NULL;
	}
	if (to->n >= MEMBERS_MAX) {
		(void) fail(p, "too many members in one table or array");
		return NULL;
	}
	c = arena_alloc(p->arena, sizeof(*c));
	if (!c) {
		(void) fail(p, NULL);
		return NULL;
	}
	*c = (struct node){ .key = key, .made = made, .depth = to->depth + 1 };
	c->v.type = type;
	if (to->last)
		to->last->next = c;
	else
		to->first = c;
	to->last = c;
	to->n++;
	return c;
}

/* A part of a header before its last, or of a dotted key: the table it leads to. */
static struct node *step(struct parser *p, struct node *from, struct str key, bool dots)
{
	struct node *to = find(from, key);

	if (!to)
		return add(p, from, key, JSON_OBJECT, dots ? MADE_BY_DOTS : MADE_BY_WAY);
	if (!dots && to->made == MADE_OF_TABLES)
		return to->last;
	if (to->v.type == JSON_OBJECT && to->made != MADE_BY_VALUE &&
	    (!dots || to->made == MADE_BY_DOTS))
		return to;
	(void) fail(p, to->v.type == JSON_OBJECT ? "a table that is whole is added to"
						 : "a key has a value already");
	return NULL;
}

static struct node *new_member(struct parser *p, struct node *table)
{
	struct str parts[KEY_PARTS_MAX];
	size_t n;

	if (!take_key(p, parts, &n))
		return NULL;
	for (size_t i = 0; i + 1 < n && table; i++)
		table = step(p, table, parts[i], true);
	if (table && find(table, parts[n - 1])) {
		(void) fail(p, "a key is there twice");
		return NULL;
	}
	return table ? add(p, table, parts[n - 1], JSON_NULL, MADE_BY_VALUE) : NULL;
}

static bool take_header(struct parser *p)
{
	struct str parts[KEY_PARTS_MAX];
	struct node *to = p->root, *found;
	bool of_array;
	size_t n;

	p->p++;
	of_array = take(p, '[');
	if (!take_key(p, parts, &n))
		return false;
	if (!take(p, ']') || (of_array && !take(p, ']')))
		return fail(p, "a header does not end with ]");
	for (size_t i = 0; i + 1 < n && to; i++)
		to = step(p, to, parts[i], false);
	if (!to)
		return false;
	found = find(to, parts[n - 1]);
	if (of_array) {
		if (!found)
			found = add(p, to, parts[n - 1], JSON_ARRAY, MADE_OF_TABLES);
		else if (found->made != MADE_OF_TABLES)
			return fail(p, "what is there already is no array of tables");
		p->table = found ? add(p, found, STR(""), JSON_OBJECT, MADE_BY_HEADER) : NULL;
	} else if (!found) {
		p->table = add(p, to, parts[n - 1], JSON_OBJECT, MADE_BY_HEADER);
	} else if (found->made == MADE_BY_WAY) {
		found->made = MADE_BY_HEADER;
		p->table = found;
	} else {
		return fail(p, "a table is there twice");
	}
	return p->table != NULL;
}

/* ---- numbers, dates ---- */

static bool is_digit(char c, unsigned int base)
{
	return base == 16
		       ? (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')
	       : base == 8 ? c >= '0' && c <= '7'
	       : base == 2 ? c == '0' || c == '1'
			   : c >= '0' && c <= '9';
}

static struct str rest_of(struct str s, size_t n)
{
	return (struct str){ s.p + n, s.n - n };
}

/* Digits with single '_' between them, from the front of *s; whether there are any. */
static bool cut_digits(struct str *s, unsigned int base, struct buf *to)
{
	size_t i = 0;

	while (i < s->n &&
	       (is_digit(s->p[i], base) || (s->p[i] == '_' && i && s->p[i - 1] != '_' &&
					    i + 1 < s->n && is_digit(s->p[i + 1], base)))) {
		if (s->p[i] != '_')
			buf_addc(to, s->p[i]);
		i++;
	}
	*s = rest_of(*s, i);
	return i > 0;
}

static bool set_text(struct parser *p, struct node *to, enum json_type type)
{
	to->v.type = type;
	return keep_text(p, &to->v.text);
}

static bool take_based(struct parser *p, struct str t, unsigned int base, struct node *to)
{
	struct str s = rest_of(t, 2);
	uint64_t v = 0;

	buf_clear(&p->text);
	if (!cut_digits(&s, base, &p->text) || s.n)
		return fail(p, "a number with other characters than its digits");
	for (size_t i = 0; i < p->text.n; i++) {
		char c = p->text.p[i];
		unsigned int d = (unsigned int) (c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);

		if (!mul_u64(v, base, &v) || !add_u64(v, d, &v) || v > INT64_MAX)
			return fail(p, "an integer beyond 64 bits");
	}
	buf_clear(&p->text);
	buf_addf(&p->text, "%llu", (unsigned long long) v);
	return set_text(p, to, JSON_NUMBER);
}

/* 1: it is one; 0: something else. */
static bool take_decimal(struct parser *p, struct str t, struct node *to, bool *ret_is)
{
	struct str s = t;
	bool whole = true;
	size_t sign, first;
	int64_t v;

	buf_clear(&p->text);
	if (s.n && (s.p[0] == '-' || s.p[0] == '+')) {
		if (s.p[0] == '-')
			buf_addc(&p->text, '-');
		s = rest_of(s, 1);
	}
	sign = p->text.n;
	first = s.n;
	*ret_is = cut_digits(&s, 10, &p->text);
	if (*ret_is && p->text.p[sign] == '0' && first - s.n > 1)
		*ret_is = false; /* a zero before it: it may be a date */
	if (*ret_is && s.n && s.p[0] == '.') {
		whole = false;
		buf_addc(&p->text, '.');
		s = rest_of(s, 1);
		*ret_is = cut_digits(&s, 10, &p->text);
	}
	if (*ret_is && s.n && (s.p[0] == 'e' || s.p[0] == 'E')) {
		whole = false;
		buf_addc(&p->text, 'e');
		s = rest_of(s, 1);
		if (s.n && (s.p[0] == '-' || s.p[0] == '+')) {
			buf_addc(&p->text, s.p[0]);
			s = rest_of(s, 1);
		}
		*ret_is = cut_digits(&s, 10, &p->text);
	}
	*ret_is = *ret_is && !s.n;
	if (!*ret_is)
		return true;
	if (p->text.n > NUMBER_MAX)
		return fail(p, "a number of too many digits");
	if (whole && num_parse_i64(buf_str(&p->text), INT64_MIN, INT64_MAX, &v) < 0)
		return fail(p, "an integer beyond 64 bits");
	return set_text(p, to, JSON_NUMBER);
}

/* "dd-dd" by a pattern: 'd' is a digit, anything else is itself. Moves *s past it. */
static bool cut_shape(struct str *s, const char *shape)
{
	size_t n = strlen(shape);

	if (s->n < n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (shape[i] == 'd' ? !is_digit(s->p[i], 10) : s->p[i] != shape[i])
			return false;
	*s = rest_of(*s, n);
	return true;
}

static unsigned int two(const char *p)
{
	return (unsigned int) (p[0] - '0') * 10 + (unsigned int) (p[1] - '0');
}

static bool cut_time(struct str *s)
{
	const char *p = s->p;

	if (!cut_shape(s, "dd:dd:dd") || two(p) > 23 || two(p + 3) > 59 || two(p + 6) > 60)
		return false;
	if (!s->n || s->p[0] != '.')
		return true;
	*s = rest_of(*s, 1);
	p = s->p;
	while (s->n && is_digit(s->p[0], 10))
		*s = rest_of(*s, 1);
	return s->p > p;
}

static bool cut_date(struct str *s)
{
	const char *p = s->p;

	return cut_shape(s, "dddd-dd-dd") && two(p + 5) >= 1 && two(p + 5) <= 12 &&
	       two(p + 8) >= 1 && two(p + 8) <= 31;
}

static bool is_date(struct str s)
{
	struct str time = s;

	if (cut_time(&time))
		return time.n == 0;
	if (!cut_date(&s))
		return false;
	if (!s.n)
		return true;
	if (s.p[0] != 'T' && s.p[0] != 't' && s.p[0] != ' ')
		return false;
	s = rest_of(s, 1);
	if (!cut_time(&s))
		return false;
	if (s.n == 1 && (s.p[0] == 'Z' || s.p[0] == 'z'))
		return true;
	return !s.n || ((cut_shape(&s, "+dd:dd") || cut_shape(&s, "-dd:dd")) && !s.n &&
			two(s.p - 5) < 24 && two(s.p - 2) < 60);
}

static bool is_not_finite(struct str s)
{
	if (s.n && (s.p[0] == '-' || s.p[0] == '+'))
		s = rest_of(s, 1);
	return str_is(s, "inf") || str_is(s, "nan");
}

static struct str cut_word(struct parser *p)
{
	struct str t = { p->p, 0 }, probe;

	while (is_bare(peek(p, 0)) || peek(p, 0) == '+' || peek(p, 0) == '.' || peek(p, 0) == ':')
		p->p++;
	t.n = (size_t) (p->p - t.p);
	probe = t;
	/* A blank may part a date from its time. */
	if (cut_date(&probe) && !probe.n && peek(p, 0) == ' ' && peek(p, 1) >= '0' &&
	    peek(p, 1) <= '9') {
		p->p++;
		while (is_bare(peek(p, 0)) || peek(p, 0) == '+' || peek(p, 0) == '.' ||
		       peek(p, 0) == ':')
			p->p++;
		t.n = (size_t) (p->p - t.p);
	}
	return t;
}

static bool take_scalar(struct parser *p, struct node *to)
{
	struct str t = cut_word(p);
	bool is = false;

	if (str_is(t, "true") || str_is(t, "false")) {
		to->v.type = JSON_BOOL;
		to->v.boolean = t.n == 4;
		return true;
	}
	if (str_starts(t, "0x") || str_starts(t, "0o") || str_starts(t, "0b"))
		return take_based(p, t, t.p[1] == 'x' ? 16 : t.p[1] == 'o' ? 8 : 2, to);
	if (!take_decimal(p, t, to, &is))
		return false;
	if (is)
		return true;
	if (!is_date(t) && !is_not_finite(t))
		return fail(p,
			    t.n ? "a value that is none: text wants quotes" : "a value is missing");
	buf_clear(&p->text);
	buf_addstr(&p->text, t);
	return set_text(p, to, JSON_STRING);
}

/* ---- values ---- */

static bool take_value(struct parser *p, struct node *to);

static bool take_array(struct parser *p, struct node *to)
{
	p->p++;
	to->v.type = JSON_ARRAY;
	for (;;) {
		struct node *item;

		if (!skip_space(p))
			return false;
		if (take(p, ']'))
			return true;
		item = add(p, to, STR(""), JSON_NULL, MADE_BY_VALUE);
		if (!item || !take_value(p, item) || !skip_space(p))
			return false;
		if (take(p, ']'))
			return true;
		if (!take(p, ','))
			return fail(p, "an array wants ',' or ']'");
	}
}

/* Within the braces dotted keys make tables, too; with their end all of it is whole. */
static void close_tables(struct node *table)
{
	for (struct node *c = table->first; c; c = c->next) {
		if (c->v.type == JSON_OBJECT && c->made == MADE_BY_DOTS) {
			c->made = MADE_BY_VALUE;
			close_tables(c);
		}
	}
}

static bool take_braces(struct parser *p, struct node *to)
{
	p->p++;
	to->v.type = JSON_OBJECT;
	skip_blanks(p);
	if (take(p, '}'))
		return true;
	for (;;) {
		struct node *member = new_member(p, to);

		if (!member)
			return false;
		if (!take(p, '='))
			return fail(p, "'=' is missing after a key");
		skip_blanks(p);
		if (!take_value(p, member))
			return false;
		skip_blanks(p);
		if (take(p, '}'))
			break;
		if (!take(p, ','))
			return fail(p, "a table in braces wants ',' or '}', on one line");
	}
	close_tables(to);
	return true;
}

/* Its depth is bounded by add(). */
static bool take_value(struct parser *p, struct node *to)
{
	switch (peek(p, 0)) {
	case '"':
	case '\'':
		to->v.type = JSON_STRING;
		return take_string(p, true, &to->v.text);
	case '[':
		return take_array(p, to);
	case '{':
		return take_braces(p, to);
	default:
		return take_scalar(p, to);
	}
}

static bool take_line(struct parser *p)
{
	if (peek(p, 0) == '[') {
		if (!take_header(p))
			return false;
	} else {
		struct node *member = new_member(p, p->table);

		if (!member)
			return false;
		if (!take(p, '='))
			return fail(p, "'=' is missing after a key");
		skip_blanks(p);
		if (!take_value(p, member))
			return false;
	}
	skip_blanks(p);
	if (!skip_comment(p))
		return false;
	return p->p == p->end || is_newline(p) || fail(p, "more on the line than belongs there");
}

static bool take_document(struct parser *p)
{
	while (p->p < p->end) {
		if (!skip_space(p))
			return false;
		if (p->p < p->end && !take_line(p))
			return false;
	}
	return true;
}

/* ---- out of it ---- */

static bool give(struct arena *a, const struct node *n, struct json *to)
{
	struct json_member *members = NULL;
	struct json *items = NULL;
	size_t i = 0;

	*to = n->v;
	if (n->v.type == JSON_OBJECT) {
		members = n->n ? arena_array(a, n->n, sizeof(*members)) : NULL;
		to->members = members;
		to->members_n = n->n;
	} else if (n->v.type == JSON_ARRAY) {
		items = n->n ? arena_array(a, n->n, sizeof(*items)) : NULL;
		to->items = items;
		to->n = n->n;
	} else {
		return true;
	}
	if (n->n && !members && !items)
		return false;
	for (const struct node *c = n->first; c; c = c->next, i++) {
		if (members)
			members[i].key = c->key;
		if (!give(a, c, members ? &members[i].value : &items[i]))
			return false;
	}
	return true;
}

static unsigned int line_of(struct str text, const char *at)
{
	unsigned int line = 1;

	for (const char *p = text.p; p < at; p++)
		line += *p == '\n';
	return line;
}

static int refuse(struct str text, const char *at, const char *why, struct err *e)
{
	return err_set(e, ERR_INVALID, EINVAL, "not valid TOML, line %u: %s", line_of(text, at),
		       why);
}

static int no_memory(struct err *e)
{
	return err_set(e, ERR_EXHAUSTED, ENOMEM, "TOML document too large");
}

int toml_parse(struct arena *a, struct str text, const struct json **ret_root, struct err *e)
{
	struct node root = { .made = MADE_BY_HEADER };
	struct parser p = { .arena = a,
			    .p = text.p,
			    .end = text.p + text.n,
			    .text = BUF_INIT(TOML_TEXT_MAX),
			    .root = &root,
			    .table = &root };
	struct json *out = arena_alloc(a, sizeof(*out));
	bool good;

	if (!out || text.n > TOML_TEXT_MAX)
		return no_memory(e);
	for (struct str s = text; s.n;) {
		size_t n = utf8_length(s);

		if (!n)
			return refuse(text, s.p, "not UTF-8", e);
		s = rest_of(s, n);
	}
	root.v.type = JSON_OBJECT;
	if (str_starts(text, "\xef\xbb\xbf"))
		p.p += 3;
	good = take_document(&p);
	buf_fini(&p.text);
	if (!good && p.why)
		return refuse(text, p.p, p.why, e);
	if (!good || !give(a, &root, out))
		return no_memory(e);
	*ret_root = out;
	return 0;
}
