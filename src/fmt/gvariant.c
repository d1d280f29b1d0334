/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/gvariant.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/auto.h"
#include "base/num.h"
#include "base/utf8.h"
#include "fmt/dbus.h"

#define DEPTH_MAX  32
#define NUMBER_MAX 64 /* characters */

enum kind { BOOLEAN, WHOLE, REAL, STRING, BYTES, ARRAY, TUPLE, DICT, VARIANT };

struct gvariant {
	enum kind kind;
	struct str type; /* as written, or what it was found to be; empty: not known yet */
	bool negative;
	uint64_t magnitude; /* of whole numbers and booleans */
	double real;
	struct str text;	 /* of strings and bytes */
	struct gvariant **items; /* of a DICT: key, value, key, value ... */
	size_t n;
};

struct parser {
	struct arena *a;
	struct str rest;
	unsigned depth;
	const char *why;
};

static const struct {
	const char *word;
	char type;
} words[] = {
	{ "boolean", 'b' }, { "byte", 'y' },   { "int16", 'n' },      { "uint16", 'q' },
	{ "int32", 'i' },   { "uint32", 'u' }, { "int64", 'x' },      { "uint64", 't' },
	{ "double", 'd' },  { "string", 's' }, { "objectpath", 'o' }, { "signature", 'g' },
};

static int wrong(struct parser *p, const char *why)
{
	p->why = why;
	return -EINVAL;
}

static int parse_value(struct parser *p, struct gvariant **ret_v);

/* ---- reading the text ------------------------------------------------------------------ */

static char peek(struct parser *p)
{
	while (p->rest.n > 0 && memchr(" \t\r\n", p->rest.p[0], 4))
		p->rest = (struct str){ p->rest.p + 1, p->rest.n - 1 };
	return p->rest.n > 0 ? p->rest.p[0] : 0;
}

static void drop(struct parser *p, size_t n)
{
	p->rest = (struct str){ p->rest.p + n, p->rest.n - n };
}

static bool take(struct parser *p, char c)
{
	if (peek(p) != c)
		return false;
	drop(p, 1);
	return true;
}

static struct str take_while(struct parser *p, const char *extra)
{
	size_t n = 0;

	while (n < p->rest.n) {
		char c = p->rest.p[n];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      (c && strchr(extra, c))))
			break;
		n++;
	}
	struct str got = { p->rest.p, n };

	drop(p, n);
	return got;
}

/* \uXXXX and \UXXXXXXXX of a string, \ooo of bytes. */
static int parse_code(struct parser *p, size_t digits, unsigned base, uint32_t *ret_c)
{
	uint32_t c = 0;

	for (size_t i = 0; i < digits; i++) {
		char d = p->rest.n > i ? p->rest.p[i] : 0;
		uint32_t v = d >= '0' && d <= '9'   ? (uint32_t) (d - '0')
			     : d >= 'a' && d <= 'f' ? (uint32_t) (d - 'a' + 10)
			     : d >= 'A' && d <= 'F' ? (uint32_t) (d - 'A' + 10)
						    : 99;

		if (v >= base)
			return wrong(p, "a broken escape in a string");
		c = c * base + v;
	}
	drop(p, digits);
	*ret_c = c;
	return 0;
}

static int parse_escape(struct parser *p, bool bytes, struct buf *b)
{
	static const char from[] = "abfnrtv\\'\"", to[] = "\a\b\f\n\r\t\v\\'\"";
	uint32_t code = 0;
	char c = p->rest.n > 0 ? p->rest.p[0] : 0;
	const char *at = c ? strchr(from, c) : NULL;
	int r;

	if (bytes && c >= '0' && c <= '3') {
		r = parse_code(p, 3, 8, &code);
		if (r == 0)
			buf_addc(b, (char) code);
		return r;
	}
	if (p->rest.n > 0)
		drop(p, 1);
	if (at) {
		buf_addc(b, to[at - from]);
		return 0;
	}
	if (bytes || (c != 'u' && c != 'U'))
		return wrong(p, "an unknown escape in a string");
	r = parse_code(p, c == 'u' ? 4 : 8, 16, &code);
	if (r < 0)
		return r;
	if (code == 0 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return wrong(p, "an escape that is no character");
	utf8_put(b, code);
	return 0;
}

/* After the prefix of bytes. A string holds no NUL; bytes end with one, as in C. */
static int parse_string(struct parser *p, bool bytes, struct gvariant *v)
{
	auto_buf struct buf b = BUF_INIT(GVARIANT_TEXT_MAX);
	char quote = p->rest.p[0];

	drop(p, 1);
	for (;;) {
		char c = p->rest.n > 0 ? p->rest.p[0] : 0;

		if (p->rest.n == 0 || c == 0)
			return wrong(p, "a string without an end");
		drop(p, 1);
		if (c == quote)
			break;
		if (c != '\\') {
			buf_addc(&b, c);
			continue;
		}
		int r = parse_escape(p, bytes, &b);

		if (r < 0)
			return r;
	}
	if (bytes)
		buf_addc(&b, 0);
	v->kind = bytes ? BYTES : STRING;
	v->text = (struct str){ arena_dup(p->a, (struct str){ buf_z(&b), b.n }), b.n };
	return buf_ok(&b) && v->text.p ? 0 : -ENOMEM;
}

static int parse_number(struct parser *p, struct gvariant *v)
{
	char text[NUMBER_MAX + 1], *end = text;

	v->negative = peek(p) == '-';
	if (v->negative || peek(p) == '+')
		drop(p, 1);
	struct str s = take_while(p, ".+-");

	v->kind = WHOLE;
	if (s.n == 0 || s.n > NUMBER_MAX || s.p[0] < '0' || s.p[0] > '9')
		return wrong(p, "neither a value nor a number");
	if (str_starts(s, "0x") || str_starts(s, "0X")) {
		for (size_t i = 2; i < s.n; i++) {
			struct parser one = { .rest = { s.p + i, 1 } };
			uint32_t d;

			if (parse_code(&one, 1, 16, &d) < 0 || v->magnitude >> 60)
				return wrong(p, "a number that is none, or too large");
			v->magnitude = v->magnitude << 4 | d;
		}
		return s.n > 2 ? 0 : wrong(p, "a number that is none, or too large");
	}
	if (!memchr(s.p, '.', s.n) && !memchr(s.p, 'e', s.n) && !memchr(s.p, 'E', s.n)) {
		/* C would read a leading zero as octal, people as decimal. */
		if ((s.n > 1 && s.p[0] == '0') ||
		    num_parse_u64(s, 0, UINT64_MAX, &v->magnitude) < 0)
			return wrong(p, "a number that is none, or too large");
		return 0;
	}
	for (size_t i = 0; i < s.n; i++) {
		if (!strchr("0123456789.eE+-", s.p[i]))
			return wrong(p, "a number that is none, or too large");
		text[i] = s.p[i];
	}
	text[s.n] = 0;
	v->kind = REAL;
	v->real = strtod(text, &end);
	if (*end || !isfinite(v->real))
		return wrong(p, "a number that is none, or too large");
	if (v->negative)
		v->real = -v->real;
	return 0;
}

static int add(struct parser *p, struct gvariant *v)
{
	struct gvariant **slot = arena_push(p->a, &v->items, &v->n, sizeof(*v->items));

	return slot ? parse_value(p, slot) : -ENOMEM;
}

static int parse_items(struct parser *p, struct gvariant *v, char close)
{
	bool pair = v->kind == DICT, comma = false;

	drop(p, 1);
	while (!take(p, close)) {
		if (v->n > 0 && !comma)
			return wrong(p, "a list without its end, or without a comma");
		int r = add(p, v);

		if (r == 0 && pair)
			r = take(p, ':') ? add(p, v) : wrong(p, "a dictionary's key without ':'");
		if (r < 0)
			return r;
		comma = take(p, ',');
		/* Only a tuple may end with one, and one of one item must. */
		if (v->kind == TUPLE ? !comma && v->n == 1 : comma && peek(p) == close)
			return wrong(p, v->kind == TUPLE ? "a tuple of one item without ','"
							 : "a ',' too many");
	}
	if (v->kind == TUPLE && v->n == 0)
		return wrong(p, "an empty tuple, which D-Bus does not have");
	return 0;
}

static int parse_variant(struct parser *p, struct gvariant *v)
{
	v->kind = VARIANT;
	drop(p, 1);
	int r = add(p, v);

	return r < 0 || take(p, '>') ? r : wrong(p, "a variant without '>'");
}

/* A word: true, false, or the name of a type before its value. */
static int parse_word(struct parser *p, struct gvariant *v)
{
	struct str w = take_while(p, "");

	if (str_is(w, "true") || str_is(w, "false")) {
		v->kind = BOOLEAN;
		v->magnitude = str_is(w, "true");
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		struct gvariant *inner;

		if (!str_is(w, words[i].word))
			continue;
		int r = parse_value(p, &inner);

		if (r < 0)
			return r;
		if (inner->type.n)
			return wrong(p, "two types for one value");
		*v = *inner;
		v->type = (struct str){ &words[i].type, 1 };
		return 0;
	}
	if (str_is(w, "just") || str_is(w, "nothing"))
		return wrong(p, "a maybe, which D-Bus does not have");
	return wrong(p, "an unknown word");
}

static int parse_typed(struct parser *p, struct gvariant *v)
{
	struct gvariant *inner;

	drop(p, 1);
	struct str type = take_while(p, "(){}");

	if (!dbus_type_valid(type) || memchr(type.p, 'h', type.n))
		return wrong(p, "no type after '@'");
	int r = parse_value(p, &inner);

	if (r < 0)
		return r;
	if (inner->type.n)
		return wrong(p, "two types for one value");
	*v = *inner;
	v->type = type;
	return 0;
}

static int parse_value(struct parser *p, struct gvariant **ret_v)
{
	struct gvariant *v = arena_alloc(p->a, sizeof(*v));
	char c = peek(p);
	int r;

	if (!v)
		return -ENOMEM;
	if (++p->depth > DEPTH_MAX)
		return wrong(p, "nested too deep");
	if (c == '[' || c == '(' || c == '{') {
		v->kind = c == '[' ? ARRAY : c == '(' ? TUPLE : DICT;
		r = parse_items(p, v, c == '[' ? ']' : c == '(' ? ')' : '}');
	} else if (c == '<') {
		r = parse_variant(p, v);
	} else if (c == '@') {
		r = parse_typed(p, v);
	} else if (c == '\'' || c == '"') {
		r = parse_string(p, false, v);
	} else if (c == 'b' && p->rest.n > 1 && memchr("'\"", p->rest.p[1], 2)) {
		drop(p, 1);
		r = parse_string(p, true, v);
	} else if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) {
		r = parse_word(p, v);
	} else {
		r = parse_number(p, v);
	}
	p->depth--;
	*ret_v = v;
	return r;
}

/* ---- types ----------------------------------------------------------------------------- */

/* The first complete type of a valid signature. */
static struct str first_type(struct str s)
{
	size_t n = 0;

	while (n < s.n && s.p[n] == 'a')
		n++;
	if (n < s.n && (s.p[n] == '(' || s.p[n] == '{')) {
		for (unsigned open = 0; n < s.n; n++) {
			if (s.p[n] == '(' || s.p[n] == '{')
				open++;
			else if ((s.p[n] == ')' || s.p[n] == '}') && --open == 0)
				break;
		}
	}
	return (struct str){ s.p, n < s.n ? n + 1 : s.n };
}

static bool whole_fits(const struct gvariant *v, char type)
{
	static const struct {
		char type;
		uint64_t above, below; /* largest magnitudes of either sign */
	} ranges[] = {
		{ 'y', UINT8_MAX, 0 },	{ 'n', INT16_MAX, (uint64_t) INT16_MAX + 1 },
		{ 'q', UINT16_MAX, 0 }, { 'i', INT32_MAX, (uint64_t) INT32_MAX + 1 },
		{ 'u', UINT32_MAX, 0 }, { 'x', INT64_MAX, (uint64_t) INT64_MAX + 1 },
		{ 't', UINT64_MAX, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		if (ranges[i].type == type)
			return v->magnitude <= (v->negative ? ranges[i].below : ranges[i].above);
	}
	return type == 'd';
}

static int assume(struct parser *p, struct gvariant *v, struct str type, bool set);
static int infer(struct parser *p, struct gvariant *v);

static int assume_items(struct parser *p, struct gvariant *v, size_t first, size_t step,
			struct str type, bool set)
{
	for (size_t i = first; i < v->n; i += step) {
		int r = assume(p, v->items[i], type, set);

		if (r < 0)
			return r;
	}
	return 0;
}

static int assume_tuple(struct parser *p, struct gvariant *v, struct str types, bool set)
{
	for (size_t i = 0; i < v->n; i++) {
		struct str one = first_type(types);
		int r = one.n ? assume(p, v->items[i], one, set)
			      : wrong(p, "a tuple of another length");

		if (r < 0)
			return r;
		types = (struct str){ types.p + one.n, types.n - one.n };
	}
	return types.n == 0 ? 0 : wrong(p, "a tuple of another length");
}

static bool signature_valid(struct str s)
{
	if (s.n > DBUS_NAME_MAX)
		return false;
	while (s.n > 0) {
		struct str one = first_type(s);

		if (!dbus_type_valid(one))
			return false;
		s = (struct str){ s.p + one.n, s.n - one.n };
	}
	return true;
}

/* Whether the value can be of this type, with all that is in it; set: then it is. */
static int assume(struct parser *p, struct gvariant *v, struct str type, bool set)
{
	static const char other[] = "a value of another type than said, or than its neighbours";
	char t = type.p[0];
	bool fits = false;
	int r = 0;

	if (v->type.n && !str_eq(v->type, type))
		return wrong(p, other);
	switch (v->kind) {
	case BOOLEAN:
		fits = t == 'b';
		break;
	case WHOLE:
		if (memchr("ynqiuxt", t, 7) && !whole_fits(v, t))
			return wrong(p, "a number that its type cannot hold");
		fits = whole_fits(v, t);
		break;
	case REAL:
		fits = t == 'd';
		break;
	case STRING:
		fits = t == 's' || (t == 'o' && dbus_object_path_valid(v->text)) ||
		       (t == 'g' && signature_valid(v->text));
		break;
	case BYTES:
		fits = str_is(type, "ay");
		break;
	case VARIANT:
		fits = t == 'v';
		r = fits && set ? infer(p, v->items[0]) : 0;
		break;
	case ARRAY:
		fits = t == 'a' && type.p[1] != '{';
		r = fits ? assume_items(p, v, 0, 1, (struct str){ type.p + 1, type.n - 1 }, set)
			 : 0;
		break;
	case DICT:
		fits = t == 'a' && type.p[1] == '{';
		if (fits) {
			r = assume_items(p, v, 0, 2, (struct str){ type.p + 2, 1 }, set);
			r = r < 0 ? r
				  : assume_items(p, v, 1, 2, (struct str){ type.p + 3, type.n - 4 },
						 set);
		}
		break;
	case TUPLE:
		fits = t == '(';
		r = fits ? assume_tuple(p, v, (struct str){ type.p + 1, type.n - 2 }, set) : 0;
		break;
	}
	if (r == 0 && !fits)
		return wrong(p, other);
	if (r == 0 && set)
		v->type = type;
	return r;
}

static int guess(struct parser *p, struct gvariant *v, struct str *ret_type);

/*
 * One type for items that may each leave it open: the first of theirs that serves for all. A plain
 * number is an int32 only when none of its neighbours says more.
 */
static int guess_common(struct parser *p, struct gvariant *v, size_t first, size_t step,
			struct str *ret_type)
{
	int r = wrong(p, "an empty list without its type");

	for (size_t i = first; i < v->n; i += step) {
		r = guess(p, v->items[i], ret_type);
		r = r < 0 ? r : assume_items(p, v, first, step, *ret_type, false);
		if (r == 0 || r == -ENOMEM)
			return r;
	}
	return r;
}

static int guess_list(struct parser *p, struct gvariant *v, struct buf *type)
{
	struct str one = { NULL, 0 }, two = { NULL, 0 };
	int r = 0;

	if (v->kind == TUPLE) {
		buf_addc(type, '(');
		for (size_t i = 0; i < v->n && r == 0; i++) {
			r = guess(p, v->items[i], &one);
			if (r == 0)
				buf_addstr(type, one);
		}
		buf_addc(type, ')');
		return r;
	}
	r = guess_common(p, v, 0, v->kind == DICT ? 2 : 1, &one);
	if (r == 0 && v->kind == DICT)
		r = guess_common(p, v, 1, 2, &two);
	if (r < 0)
		return r;
	buf_adds(type, v->kind == DICT ? "a{" : "a");
	buf_addstr(type, one);
	if (v->kind == DICT) {
		buf_addstr(type, two);
		buf_addc(type, '}');
	}
	return 0;
}

/* Its type, by itself. */
static int guess(struct parser *p, struct gvariant *v, struct str *ret_type)
{
	auto_buf struct buf type = BUF_INIT(DBUS_NAME_MAX);
	int r = 0;

	if (v->type.n) {
		*ret_type = v->type;
		return 0;
	}
	switch (v->kind) {
	case BOOLEAN:
		*ret_type = STR("b");
		return 0;
	case WHOLE:
		*ret_type = STR("i");
		return 0;
	case REAL:
		*ret_type = STR("d");
		return 0;
	case STRING:
		*ret_type = STR("s");
		return 0;
	case BYTES:
		*ret_type = STR("ay");
		return 0;
	case VARIANT:
		*ret_type = STR("v");
		return 0;
	case ARRAY:
	case DICT:
	case TUPLE:
		r = guess_list(p, v, &type);
		break;
	}
	if (r < 0)
		return r;
	if (!buf_ok(&type) || !dbus_type_valid(buf_str(&type)))
		return wrong(p, "no type that D-Bus has");
	*ret_type = (struct str){ arena_dup(p->a, buf_str(&type)), type.n };
	return ret_type->p ? 0 : -ENOMEM;
}

static int infer(struct parser *p, struct gvariant *v)
{
	struct str type;
	int r = guess(p, v, &type);

	return r < 0 ? r : assume(p, v, type, true);
}

int gvariant_parse(struct arena *a, struct str text, const struct gvariant **ret_v,
		   const char **ret_why)
{
	struct parser p = { .a = a, .rest = text };
	struct gvariant *v;
	int r;

	if (text.n > GVARIANT_TEXT_MAX) {
		*ret_why = "longer than 4096 bytes";
		return -EINVAL;
	}
	r = parse_value(&p, &v);
	if (r == 0 && (peek(&p), p.rest.n > 0))
		r = wrong(&p, "more than one value");
	r = r < 0 ? r : infer(&p, v);
	if (r == 0) {
		/* As a text of its own: it may be a part of another now. */
		char *own = arena_dup(a, v->type);

		if (!own)
			return -ENOMEM;
		v->type.p = own;
		*ret_v = v;
	} else if (r == -EINVAL) {
		*ret_why = p.why;
	}
	return r;
}

const char *gvariant_type(const struct gvariant *v)
{
	return v->type.p;
}

int gvariant_seconds(const struct gvariant *v, uint64_t *ret_usec)
{
	if (v->kind == REAL) {
		double usec = v->real * 1e6;

		if (usec < 0 || usec >= 0x1p64)
			return -ERANGE;
		*ret_usec = (uint64_t) usec;
		return 0;
	}
	uint64_t usec;

	if (v->kind != WHOLE)
		return -EINVAL;
	if ((v->negative && v->magnitude) || !mul_u64(v->magnitude, 1000000, &usec))
		return -ERANGE;
	*ret_usec = usec;
	return 0;
}

/* ---- writing --------------------------------------------------------------------------- */

static void write_number(struct buf *b, const struct gvariant *v)
{
	uint64_t bits = v->negative ? ~v->magnitude + 1 : v->magnitude;
	double real = v->kind == REAL ? v->real
		      : v->negative   ? -(double) v->magnitude
				      : (double) v->magnitude;

	switch (v->type.p[0]) {
	case 'y':
		dbus_u8(b, (uint8_t) (bits & UINT8_MAX));
		return;
	case 'n':
	case 'q':
		dbus_u16(b, (uint16_t) (bits & UINT16_MAX));
		return;
	case 'i':
	case 'u':
		dbus_u32(b, (uint32_t) (bits & UINT32_MAX));
		return;
	case 'd':
		memcpy(&bits, &real, sizeof(bits));
		break;
	default: /* x t */
		break;
	}
	dbus_u64(b, bits);
}

static void write_value(struct buf *b, const struct gvariant *v)
{
	struct dbus_array a;

	switch (v->kind) {
	case BOOLEAN:
		dbus_bool(b, v->magnitude != 0);
		return;
	case WHOLE:
	case REAL:
		write_number(b, v);
		return;
	case STRING:
		if (v->type.p[0] == 'g')
			dbus_signature(b, v->text);
		else
			dbus_string(b, v->text);
		return;
	case BYTES:
		a = dbus_array(b, 1);
		buf_addstr(b, v->text);
		dbus_array_end(b, a);
		return;
	case VARIANT:
		gvariant_write(b, v->items[0]);
		return;
	case TUPLE:
		dbus_align(b, 8);
		for (size_t i = 0; i < v->n; i++)
			write_value(b, v->items[i]);
		return;
	case ARRAY:
	case DICT:
		a = dbus_array(b, dbus_alignment(v->type.p[1]));
		for (size_t i = 0; i < v->n; i++) {
			if (v->kind == DICT && i % 2 == 0)
				dbus_align(b, 8);
			write_value(b, v->items[i]);
		}
		dbus_array_end(b, a);
		return;
	}
}

void gvariant_write(struct buf *b, const struct gvariant *v)
{
	dbus_signature(b, v->type);
	write_value(b, v);
}
