/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>

#include "base/auto.h"
#include "base/num.h"
#include "fmt/gotemplate_tree.h"

#define TEXT_MAX (8u << 20) /* bytes a function may give */

static const struct {
	const char *name;
	enum function fn;
	uint8_t min, max; /* arguments; 255: any */
} functions[] = {
	{ "and", FN_AND, 1, 255 },	 { "eq", FN_EQ, 2, 255 },
	{ "ge", FN_GE, 2, 2 },		 { "gt", FN_GT, 2, 2 },
	{ "index", FN_INDEX, 1, 255 },	 { "join", FN_JOIN, 2, 2 },
	{ "json", FN_JSON, 1, 1 },	 { "le", FN_LE, 2, 2 },
	{ "len", FN_LEN, 1, 1 },	 { "lower", FN_LOWER, 1, 1 },
	{ "lt", FN_LT, 2, 2 },		 { "ne", FN_NE, 2, 2 },
	{ "not", FN_NOT, 1, 1 },	 { "or", FN_OR, 1, 255 },
	{ "pad", FN_PAD, 3, 3 },	 { "print", FN_PRINT, 0, 255 },
	{ "printf", FN_PRINTF, 1, 255 }, { "println", FN_PRINTLN, 0, 255 },
	{ "slice", FN_SLICE, 1, 3 },	 { "split", FN_SPLIT, 2, 2 },
	{ "title", FN_TITLE, 1, 1 },	 { "truncate", FN_TRUNCATE, 2, 2 },
	{ "upper", FN_UPPER, 1, 1 },
};

bool gotemplate_function(struct str name, enum function *ret_fn)
{
	for (size_t i = 0; i < ARRAY_SIZE(functions); i++)
		if (str_is(name, functions[i].name)) {
			*ret_fn = functions[i].fn;
			return true;
		}
	return false;
}

static int no_memory(struct err *e)
{
	return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
}

static enum json_type type_of(const struct json *v)
{
	return v ? v->type : JSON_NULL;
}

bool gotemplate_is_map(const struct json *v)
{
	if (type_of(v) != JSON_OBJECT)
		return false;
	for (size_t i = 0; i < v->members_n; i++)
		if (v->members[i].value.type != JSON_STRING)
			return false;
	return true;
}

bool gotemplate_truth(const struct json *v)
{
	switch (type_of(v)) {
	case JSON_NULL:
		return false;
	case JSON_BOOL:
		return v->boolean;
	case JSON_NUMBER:
		for (size_t i = 0; i < v->text.n && (v->text.p[i] | 0x20) != 'e'; i++)
			if (v->text.p[i] >= '1' && v->text.p[i] <= '9')
				return true;
		return false;
	case JSON_STRING:
		return v->text.n > 0;
	case JSON_ARRAY:
		return v->n > 0;
	case JSON_OBJECT:
		return v->members_n > 0;
	}
	return false;
}

/* Go prints a map's keys in order. */
static void print_object(const struct json *v, struct buf *out)
{
	const char *last = NULL;

	buf_adds(out, "map[");
	for (size_t turn = 0; turn < v->members_n; turn++) {
		const struct json_member *least = NULL;

		for (size_t i = 0; i < v->members_n; i++) {
			const struct json_member *m = &v->members[i];

			if ((!last || strcmp(m->key.p, last) > 0) &&
			    (!least || strcmp(m->key.p, least->key.p) < 0))
				least = m;
		}
		if (!least)
			break;
		last = least->key.p;
		if (turn)
			buf_addc(out, ' ');
		buf_addstr(out, least->key);
		buf_addc(out, ':');
		gotemplate_print(&least->value, out);
	}
	buf_addc(out, ']');
}

void gotemplate_print(const struct json *v, struct buf *out)
{
	switch (type_of(v)) {
	case JSON_NULL:
		buf_adds(out, "<nil>");
		break;
	case JSON_BOOL:
		buf_adds(out, v->boolean ? "true" : "false");
		break;
	case JSON_NUMBER:
	case JSON_STRING:
		buf_addstr(out, v->text);
		break;
	case JSON_ARRAY:
		buf_addc(out, '[');
		for (size_t i = 0; i < v->n; i++) {
			if (i)
				buf_addc(out, ' ');
			gotemplate_print(&v->items[i], out);
		}
		buf_addc(out, ']');
		break;
	case JSON_OBJECT:
		print_object(v, out);
		break;
	}
}

static int give_text(struct arena *a, struct buf *text, const struct json **ret_v, struct err *e)
{
	struct json *v = arena_alloc(a, sizeof(*v));

	if (!buf_ok(text) || !v)
		return no_memory(e);
	v->type = JSON_STRING;
	v->text.p = arena_dup(a, buf_str(text));
	v->text.n = text->n;
	if (!v->text.p)
		return no_memory(e);
	*ret_v = v;
	return 0;
}

static const struct json *give_bool(bool b)
{
	static const struct json yes = { .type = JSON_BOOL, .boolean = true };
	static const struct json no = { .type = JSON_BOOL, .boolean = false };

	return b ? &yes : &no;
}

/* A number in units of 1e-9, as far as it fits. */
static int number(const struct json *v, bool *ret_negative, uint64_t *ret_whole, uint64_t *ret_nano)
{
	struct str fraction, s = v->text, whole;

	*ret_negative = s.n && s.p[0] == '-';
	if (*ret_negative) {
		s.p++;
		s.n--;
	}
	whole = str_cut(s, '.', &fraction);
	if (num_parse_u64(whole, 0, UINT64_MAX, ret_whole) < 0)
		return -EINVAL;
	*ret_nano = 0;
	if (fraction.p) {
		char text[64];

		(void) snprintf(text, sizeof(text), "0.%.*s", (int) (fraction.n & 31), fraction.p);
		return num_parse_fixed(str_of(text), 1000000000, UINT64_MAX, ret_nano);
	}
	return 0;
}

static int compare_numbers(const struct json *x, const struct json *y, int *ret_order)
{
	uint64_t xw, yw, xn, yn;
	bool xm, ym;
	int order;

	if (number(x, &xm, &xw, &xn) < 0 || number(y, &ym, &yw, &yn) < 0)
		return -EINVAL;
	xm = xm && (xw || xn); /* -0 is 0 */
	ym = ym && (yw || yn);
	if (xm != ym) {
		*ret_order = xm ? -1 : 1;
		return 0;
	}
	order = xw != yw ? (xw < yw ? -1 : 1) : xn != yn ? (xn < yn ? -1 : 1) : 0;
	*ret_order = xm ? -order : order;
	return 0;
}

static int compare(const struct json *x, const struct json *y, bool ordered, int *ret_order,
		   struct err *e)
{
	if (type_of(x) == JSON_NULL && type_of(y) == JSON_NULL && !ordered) {
		*ret_order = 0;
		return 0;
	}
	if (type_of(x) != type_of(y)) {
		if (!ordered && (type_of(x) == JSON_NULL || type_of(y) == JSON_NULL)) {
			*ret_order = 1;
			return 0;
		}
		return err_set(e, ERR_INVALID, EINVAL, "incompatible types for comparison");
	}
	if (x->type == JSON_STRING) {
		size_t n = x->text.n < y->text.n ? x->text.n : y->text.n;
		int order = n ? memcmp(x->text.p, y->text.p, n) : 0;

		*ret_order = order ? order : x->text.n < y->text.n ? -1 : x->text.n > y->text.n;
		return 0;
	}
	if (x->type == JSON_NUMBER && compare_numbers(x, y, ret_order) == 0)
		return 0;
	if (x->type == JSON_BOOL && !ordered) {
		*ret_order = x->boolean != y->boolean;
		return 0;
	}
	return err_set(e, ERR_INVALID, EINVAL, "these types can't be compared");
}

static int call_compare(enum function fn, const struct json *const *args, size_t n,
			const struct json **ret_v, struct err *e)
{
	bool ordered = fn != FN_EQ && fn != FN_NE, result = false;
	int order = 0;

	for (size_t i = 1; i < n && !result; i++) {
		int r = compare(args[0], args[i], ordered, &order, e);

		if (r < 0)
			return r;
		result = (fn == FN_EQ && order == 0) || (fn == FN_NE && order != 0) ||
			 (fn == FN_LT && order < 0) || (fn == FN_LE && order <= 0) ||
			 (fn == FN_GT && order > 0) || (fn == FN_GE && order >= 0);
	}
	*ret_v = give_bool(result);
	return 0;
}

int gotemplate_index(const struct json *v, const struct json *const *keys, size_t n,
		     const struct json **ret_v, struct err *e)
{
	static const struct json empty = { .type = JSON_STRING, .text = { "", 0 } };
	uint64_t i;

	for (size_t k = 0; k < n; k++) {
		const struct json *key = keys[k], *found;

		switch (type_of(v)) {
		case JSON_ARRAY:
			if (type_of(key) != JSON_NUMBER || json_u64(key, &i) < 0)
				return err_set(e, ERR_INVALID, EINVAL,
					       "an array is indexed by a number");
			if (i >= v->n)
				return err_set(e, ERR_INVALID, EINVAL,
					       "index %llu is out of range: %zu elements",
					       (unsigned long long) i, v->n);
			v = &v->items[i];
			break;
		case JSON_OBJECT:
			if (type_of(key) != JSON_STRING)
				return err_set(e, ERR_INVALID, EINVAL,
					       "an object is indexed by a string");
			found = json_get(v, key->text.p);
			if (!found && gotemplate_is_map(v))
				found = &empty;
			v = found;
			break;
		case JSON_NULL:
			return err_set(e, ERR_INVALID, EINVAL, "nil can't be indexed");
		case JSON_BOOL:
		case JSON_NUMBER:
		case JSON_STRING:
			return err_set(e, ERR_INVALID, EINVAL,
				       "only arrays and objects can be indexed");
		}
	}
	*ret_v = v;
	return 0;
}

static int call_len(const struct json *v, struct arena *a, const struct json **ret_v, struct err *e)
{
	struct json *len = arena_alloc(a, sizeof(*len));
	size_t n = 0;

	if (!len)
		return no_memory(e);
	switch (type_of(v)) {
	case JSON_STRING:
		n = v->text.n;
		break;
	case JSON_ARRAY:
		n = v->n;
		break;
	case JSON_OBJECT:
		n = v->members_n;
		break;
	case JSON_NULL:
	case JSON_BOOL:
	case JSON_NUMBER:
		return err_set(e, ERR_INVALID, EINVAL, "len of a value without a length");
	}
	len->type = JSON_NUMBER;
	len->text.p = arena_printf(a, "%zu", n);
	if (!len->text.p)
		return no_memory(e);
	len->text.n = strlen(len->text.p);
	*ret_v = len;
	return 0;
}

static int call_join(const struct json *list, const struct json *sep, struct arena *a,
		     const struct json **ret_v, struct err *e)
{
	auto_buf struct buf text = BUF_INIT(TEXT_MAX);

	if (type_of(sep) != JSON_STRING || (type_of(list) != JSON_ARRAY && type_of(list)))
		return err_set(e, ERR_INVALID, EINVAL, "join needs an array and a string");
	for (size_t i = 0; list && list->type == JSON_ARRAY && i < list->n; i++) {
		if (i)
			buf_addstr(&text, sep->text);
		gotemplate_print(&list->items[i], &text);
	}
	return give_text(a, &text, ret_v, e);
}

static int call_split(const struct json *s, const struct json *sep, struct arena *a,
		      const struct json **ret_v, struct err *e)
{
	struct json *list = arena_alloc(a, sizeof(*list));
	struct str rest;

	if (type_of(s) != JSON_STRING || type_of(sep) != JSON_STRING || !sep->text.n)
		return err_set(e, ERR_INVALID, EINVAL, "split needs a string and a separator");
	if (!list)
		return no_memory(e);
	list->type = JSON_ARRAY;
	for (rest = s->text; rest.p;) {
		const char *at = memmem(rest.p, rest.n, sep->text.p, sep->text.n);
		struct str part = { rest.p, at ? (size_t) (at - rest.p) : rest.n };
		struct json *item = arena_push(a, &list->items, &list->n, sizeof(*item));

		if (!item)
			return no_memory(e);
		item->type = JSON_STRING;
		item->text = (struct str){ arena_dup(a, part), part.n };
		if (!item->text.p)
			return no_memory(e);
		rest.n -= at ? part.n + sep->text.n : rest.n;
		rest.p = at ? at + sep->text.n : NULL;
	}
	*ret_v = list;
	return 0;
}

static int call_case(enum function fn, const struct json *v, struct arena *a,
		     const struct json **ret_v, struct err *e)
{
	auto_buf struct buf text = BUF_INIT(TEXT_MAX);
	bool start = true;

	if (type_of(v) != JSON_STRING)
		return err_set(e, ERR_INVALID, EINVAL, "upper, lower and title need a string");
	for (size_t i = 0; i < v->text.n; i++) {
		char c = v->text.p[i];
		bool lower = c >= 'a' && c <= 'z', upper = c >= 'A' && c <= 'Z';

		if ((fn == FN_UPPER || (fn == FN_TITLE && start)) && lower)
			c = (char) (c - 'a' + 'A');
		else if (fn == FN_LOWER && upper)
			c = (char) (c - 'A' + 'a');
		start = !(lower || upper || (c >= '0' && c <= '9') || c == '_' || c == '\'' ||
			  (c & 0x80));
		buf_addc(&text, c);
	}
	return give_text(a, &text, ret_v, e);
}

/* The first n characters (not bytes). */
static int call_truncate(const struct json *v, const struct json *len, struct arena *a,
			 const struct json **ret_v, struct err *e)
{
	auto_buf struct buf text = BUF_INIT(TEXT_MAX);
	uint64_t left;

	if (type_of(v) != JSON_STRING || json_u64(len, &left) < 0)
		return err_set(e, ERR_INVALID, EINVAL, "truncate needs a string and a length");
	for (size_t i = 0; i < v->text.n; i++) {
		if ((v->text.p[i] & 0xc0) != 0x80 && left-- == 0)
			break;
		buf_addc(&text, v->text.p[i]);
	}
	return give_text(a, &text, ret_v, e);
}

static int call_pad(const struct json *v, const struct json *before, const struct json *after,
		    struct arena *a, const struct json **ret_v, struct err *e)
{
	auto_buf struct buf text = BUF_INIT(TEXT_MAX);
	uint64_t n, m;

	if (type_of(v) != JSON_STRING || json_u64(before, &n) < 0 || json_u64(after, &m) < 0 ||
	    n > 1000 || m > 1000)
		return err_set(e, ERR_INVALID, EINVAL, "pad needs a string and two widths");
	/* As docker: nothing stays nothing. */
	if (v->text.n)
		buf_addf(&text, "%*s%s%*s", (int) n, "", v->text.p, (int) m, "");
	return give_text(a, &text, ret_v, e);
}

static int call_slice(const struct json *const *args, size_t n, struct arena *a,
		      const struct json **ret_v, struct err *e)
{
	const struct json *v = args[0];
	uint64_t from = 0, to, len;
	struct json *part = arena_alloc(a, sizeof(*part));

	if (type_of(v) != JSON_STRING && type_of(v) != JSON_ARRAY)
		return err_set(e, ERR_INVALID, EINVAL, "slice needs a string or an array");
	len = to = v->type == JSON_STRING ? v->text.n : v->n;
	if ((n > 1 && json_u64(args[1], &from) < 0) || (n > 2 && json_u64(args[2], &to) < 0) ||
	    from > to || to > len)
		return err_set(e, ERR_INVALID, EINVAL, "slice bounds are out of range");
	if (!part)
		return no_memory(e);
	*part = *v;
	if (v->type == JSON_STRING) {
		part->text.n = to - from;
		part->text.p = arena_dup(a, (struct str){ v->text.p + from, to - from });
		if (!part->text.p)
			return no_memory(e);
	} else {
		part->n = to - from;
		part->items = v->n ? v->items + from : v->items;
	}
	*ret_v = part;
	return 0;
}

static int call_print(enum function fn, const struct json *const *args, size_t n, struct arena *a,
		      const struct json **ret_v, struct err *e)
{
	auto_buf struct buf text = BUF_INIT(TEXT_MAX);

	for (size_t i = 0; i < n; i++) {
		/* As Go: println always parts operands, print only where neither is a string. */
		if (i && (fn == FN_PRINTLN ||
			  (type_of(args[i]) != JSON_STRING && type_of(args[i - 1]) != JSON_STRING)))
			buf_addc(&text, ' ');
		gotemplate_print(args[i], &text);
	}
	if (fn == FN_PRINTLN)
		buf_addc(&text, '\n');
	return give_text(a, &text, ret_v, e);
}

/* A directive of printf: %[-0+ #][width][.precision]verb. */
struct directive {
	bool left, zero, plus;
	uint32_t width;
	int precision; /* -1: none */
	char verb;
};

static struct directive parse_directive(struct str format, size_t *i)
{
	struct directive d = { .precision = -1 };

	for (; *i < format.n && strchr("-0+ #", format.p[*i]); ++*i) {
		d.left = d.left || format.p[*i] == '-';
		d.zero = d.zero || format.p[*i] == '0';
		d.plus = d.plus || format.p[*i] == '+';
	}
	for (; *i < format.n && format.p[*i] >= '0' && format.p[*i] <= '9'; ++*i)
		if (d.width < 1000)
			d.width = d.width * 10 + (uint32_t) (format.p[*i] - '0');
	if (*i < format.n && format.p[*i] == '.') {
		d.precision = 0;
		for (++*i; *i < format.n && format.p[*i] >= '0' && format.p[*i] <= '9'; ++*i)
			if (d.precision < 1000)
				d.precision = d.precision * 10 + (format.p[*i] - '0');
	}
	d.verb = *i < format.n ? format.p[*i] : 0;
	return d;
}

static void print_quoted(const struct json *v, struct buf *out)
{
	buf_addc(out, '"');
	for (size_t i = 0; i < v->text.n; i++) {
		char c = v->text.p[i];

		if (c == '"' || c == '\\')
			buf_addc(out, '\\');
		if (c == '\n')
			buf_adds(out, "\\n");
		else if (c == '\t')
			buf_adds(out, "\\t");
		else if ((unsigned char) c < ' ')
			buf_addf(out, "\\x%02x", (unsigned) (unsigned char) c);
		else
			buf_addc(out, c);
	}
	buf_addc(out, '"');
}

static void print_fraction(const struct json *v, const struct directive *d, struct buf *out)
{
	int digits = d->precision < 0 ? 6 : d->precision > 9 ? 9 : d->precision;
	uint64_t whole, nano, unit = 1;
	bool negative;

	if (number(v, &negative, &whole, &nano) < 0) {
		buf_addstr(out, v->text);
		return;
	}
	for (int i = digits; i < 9; i++)
		unit *= 10;
	nano = (nano + unit / 2) / unit;
	if (nano >= 1000000000 / unit) { /* rounded up to a whole one */
		whole++;
		nano = 0;
	}
	buf_addf(out, "%s%llu", negative ? "-" : "", (unsigned long long) whole);
	if (digits)
		buf_addf(out, ".%0*llu", digits, (unsigned long long) nano);
}

/* One value by one directive, without padding; false when the verb does not suit it. */
static bool print_by(const struct json *v, const struct directive *d, struct buf *out)
{
	enum json_type type = type_of(v);
	uint64_t u;

	switch (d->verb) {
	case 'v':
		gotemplate_print(v, out);
		return true;
	case 's':
		if (type == JSON_NUMBER || type == JSON_BOOL || type == JSON_NULL)
			return false;
		gotemplate_print(v, out);
		if (d->precision >= 0 && out->n > (size_t) d->precision)
			out->n = (size_t) d->precision;
		return true;
	case 'q':
		if (type != JSON_STRING)
			return false;
		print_quoted(v, out);
		return true;
	case 'd':
		if (type != JSON_NUMBER)
			return false;
		if (d->plus && v->text.p[0] != '-')
			buf_addc(out, '+');
		buf_addstr(out, v->text);
		return true;
	case 'f':
		if (type != JSON_NUMBER)
			return false;
		print_fraction(v, d, out);
		return true;
	case 't':
		if (type != JSON_BOOL)
			return false;
		gotemplate_print(v, out);
		return true;
	case 'x':
	case 'X':
		if (type == JSON_NUMBER && json_u64(v, &u) == 0) {
			buf_addf(out, d->verb == 'x' ? "%llx" : "%llX", (unsigned long long) u);
			return true;
		}
		if (type != JSON_STRING)
			return false;
		for (size_t i = 0; i < v->text.n; i++)
			buf_addf(out, d->verb == 'x' ? "%02x" : "%02X",
				 (unsigned) (unsigned char) v->text.p[i]);
		return true;
	}
	return false;
}

static void print_padded(const struct json *v, const struct directive *d, struct buf *out)
{
	auto_buf struct buf text = BUF_INIT(TEXT_MAX);
	size_t width = 0, pad;

	if (!print_by(v, d, &text)) {
		buf_clear(&text);
		buf_addf(&text, "%%!%c(", d->verb >= ' ' && d->verb < 127 ? d->verb : '?');
		gotemplate_print(v, &text);
		buf_addc(&text, ')');
	}
	for (size_t i = 0; i < text.n; i++)
		width += (text.p[i] & 0xc0) != 0x80;
	pad = d->width > width ? d->width - width : 0;
	if (pad && !d->left && d->zero && type_of(v) == JSON_NUMBER) {
		size_t sign = text.n && (text.p[0] == '-' || text.p[0] == '+');

		buf_add(out, text.p, sign);
		for (; pad; pad--)
			buf_addc(out, '0');
		buf_add(out, text.p + sign, text.n - sign);
		return;
	}
	if (!d->left)
		buf_addf(out, "%*s", (int) pad, "");
	buf_add(out, text.p, text.n);
	if (d->left)
		buf_addf(out, "%*s", (int) pad, "");
}

static int call_printf(const struct json *const *args, size_t n, struct arena *a,
		       const struct json **ret_v, struct err *e)
{
	auto_buf struct buf text = BUF_INIT(TEXT_MAX);
	struct str format;
	size_t next = 1;

	if (type_of(args[0]) != JSON_STRING)
		return err_set(e, ERR_INVALID, EINVAL, "printf needs a format");
	format = args[0]->text;
	for (size_t i = 0; i < format.n; i++) {
		struct directive d;

		if (format.p[i] != '%') {
			buf_addc(&text, format.p[i]);
			continue;
		}
		i++;
		d = parse_directive(format, &i);
		if (d.verb == '%')
			buf_addc(&text, '%');
		else if (!d.verb)
			buf_adds(&text, "%!(NOVERB)");
		else if (next >= n)
			buf_addf(&text, "%%!%c(MISSING)", d.verb);
		else
			print_padded(args[next++], &d, &text);
	}
	if (next < n)
		buf_adds(&text, "%!(EXTRA)");
	return give_text(a, &text, ret_v, e);
}

static int call_json(const struct json *v, struct arena *a, const struct json **ret_v,
		     struct err *e)
{
	auto_buf struct buf text = BUF_INIT(TEXT_MAX);
	struct json_writer w = JSON_WRITER(&text);

	if (v)
		json_w_value(&w, NULL, v);
	else
		json_w_null(&w, NULL);
	return give_text(a, &text, ret_v, e);
}

int gotemplate_call(enum function fn, const struct json *const *args, size_t n,
		    const struct gotemplate_env *env, struct arena *a, const struct json **ret_v,
		    struct err *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(functions); i++)
		if (functions[i].fn == fn &&
		    (n < functions[i].min || (functions[i].max != 255 && n > functions[i].max)))
			return err_set(e, ERR_INVALID, EINVAL,
				       "wrong number of arguments for %s: %zu", functions[i].name,
				       n);
	switch (fn) {
	case FN_AND:
	case FN_OR:
		return err_set(e, ERR_INTERNAL, 0, "and, or belong to the interpreter");
	case FN_EQ:
	case FN_NE:
	case FN_LT:
	case FN_LE:
	case FN_GT:
	case FN_GE:
		return call_compare(fn, args, n, ret_v, e);
	case FN_NOT:
		*ret_v = give_bool(!gotemplate_truth(args[0]));
		return 0;
	case FN_INDEX:
		return env->header ? (*ret_v = args[0], 0)
				   : gotemplate_index(args[0], args + 1, n - 1, ret_v, e);
	case FN_LEN:
		return call_len(args[0], a, ret_v, e);
	case FN_JSON:
		return env->header ? (*ret_v = args[0], 0) : call_json(args[0], a, ret_v, e);
	case FN_JOIN:
		return env->header ? (*ret_v = args[0], 0)
				   : call_join(args[0], args[1], a, ret_v, e);
	case FN_SPLIT:
		return env->header ? (*ret_v = args[0], 0)
				   : call_split(args[0], args[1], a, ret_v, e);
	case FN_TRUNCATE:
		return env->header ? (*ret_v = args[0], 0)
				   : call_truncate(args[0], args[1], a, ret_v, e);
	case FN_PAD:
		return call_pad(args[0], args[1], args[2], a, ret_v, e);
	case FN_SLICE:
		return env->header ? (*ret_v = args[0], 0) : call_slice(args, n, a, ret_v, e);
	case FN_LOWER:
	case FN_UPPER:
	case FN_TITLE:
		return call_case(fn, args[0], a, ret_v, e);
	case FN_PRINT:
	case FN_PRINTLN:
		return call_print(fn, args, n, a, ret_v, e);
	case FN_PRINTF:
		return call_printf(args, n, a, ret_v, e);
	}
	return err_set(e, ERR_INTERNAL, 0, "no such function");
}
