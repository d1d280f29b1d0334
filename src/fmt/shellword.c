/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/shellword.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "fmt/shown.h"

#define WORD_MAX ((size_t) 1 << 20)
#define NESTED	 8 /* ${A:-${B:-...}} */

struct state {
	const struct shellword *w;
	struct str text;
	size_t at;
	unsigned int depth;
	struct err *e;
};

static int bad(const struct state *s, const char *why)
{
	return err_set(s->e, ERR_INVALID, EINVAL, "'%s': %s", shown_of(s->text).z, why);
}

static int no_memory(const struct state *s)
{
	return err_set(s->e, ERR_EXHAUSTED, ENOMEM, "a word is too long");
}

static bool is_first(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static struct str name_at(const struct state *s)
{
	size_t n = 0;
	const char *p = s->text.p + s->at;

	if (s->at < s->text.n && is_first(*p))
		while (s->at + n < s->text.n && (is_first(p[n]) || is_digit(p[n])))
			n++;
	return (struct str){ p, n };
}

static int word(struct state *s, bool to_blank, struct buf *out, bool *ret_any);

/* ---- ${...} ---- */

/* The rest up to the brace that closes it, as it stands. */
static int operand(struct state *s, struct str *ret)
{
	size_t from = s->at, depth = 1;
	char quote = 0;

	for (; s->at < s->text.n; s->at++) {
		char c = s->text.p[s->at];

		if (c == s->w->escape && quote != '\'' && s->at + 1 < s->text.n)
			s->at++;
		else if (quote)
			quote = c == quote ? 0 : quote;
		else if (c == '\'' || c == '"')
			quote = c;
		else if (c == '{' && s->at > 0 && s->text.p[s->at - 1] == '$')
			depth++;
		else if (c == '}' && --depth == 0)
			break;
	}
	if (s->at == s->text.n)
		return bad(s, "'${' is not closed by '}'");
	*ret = (struct str){ s->text.p + from, s->at - from };
	s->at++;
	return 0;
}

static int expand(struct state *s, struct str text, struct buf *out)
{
	struct state inner = { s->w, text, 0, s->depth + 1, s->e };
	bool any;

	if (inner.depth > NESTED)
		return bad(s, "variables are nested too deeply");
	return word(&inner, false, out, &any);
}

/* Without the shortest or longest part that fits, at the front or at the end. */
static void strip(struct str value, const char *pattern, bool front, bool longest, char *scratch,
		  struct buf *out)
{
	size_t kept = value.n; /* of the front: what goes; else what stays */
	bool found = false;

	for (size_t i = 0; i <= value.n; i++) {
		size_t n = longest == front ? value.n - i : i;
		struct str part = front ? (struct str){ value.p, n }
					: (struct str){ value.p + n, value.n - n };

		memcpy(scratch, part.p, part.n);
		scratch[part.n] = '\0';
		if (fnmatch(pattern, scratch, 0) == 0) {
			kept = n;
			found = true;
			break;
		}
	}
	if (!found)
		buf_addstr(out, value);
	else if (front)
		buf_add(out, value.p + kept, value.n - kept);
	else
		buf_add(out, value.p, kept);
}

/* How long the longest part is that begins at p and fits; 0: none. */
static size_t fits(struct str p, const char *pattern, char *scratch)
{
	for (size_t n = p.n; n > 0; n--) {
		memcpy(scratch, p.p, n);
		scratch[n] = '\0';
		if (fnmatch(pattern, scratch, 0) == 0)
			return n;
	}
	return 0;
}

static void replace(struct str value, const char *pattern, const char *with, bool all,
		    char *scratch, struct buf *out)
{
	bool done = false;

	for (size_t i = 0; i < value.n;) {
		struct str rest = { value.p + i, value.n - i };
		size_t n = done ? 0 : fits(rest, pattern, scratch);

		if (n == 0) {
			buf_addc(out, value.p[i++]);
			continue;
		}
		buf_adds(out, with);
		i += n;
		done = !all;
	}
}

#define PATTERN_VALUE_MAX 4096 /* looking for patterns takes time by its square */

static int by_pattern(struct state *s, char op, bool twice, struct str value, struct buf *out)
{
	auto_buf struct buf pattern = BUF_INIT(WORD_MAX), with = BUF_INIT(WORD_MAX);
	char scratch[PATTERN_VALUE_MAX + 1];
	struct str text, after = {};
	int r = operand(s, &text);

	if (r < 0)
		return r;
	if (value.n > PATTERN_VALUE_MAX)
		return bad(s, "the variable's value is too long for a pattern");
	if (op == '/')
		text = str_cut(text, '/', &after);
	r = expand(s, text, &pattern);
	if (r == 0 && after.p)
		r = expand(s, after, &with);
	if (r < 0)
		return r;
	if (op == '/')
		replace(value, buf_z(&pattern), buf_z(&with), twice, scratch, out);
	else
		strip(value, buf_z(&pattern), op == '#', twice, scratch, out);
	return 0;
}

static int by_default(struct state *s, char op, struct str name, const char *value, bool there,
		      struct buf *out)
{
	auto_buf struct buf why = BUF_INIT(WORD_MAX);
	struct str text;
	int r = operand(s, &text);

	if (r < 0)
		return r;
	if (op == '+')
		return there ? expand(s, text, out) : 0;
	if (there) {
		buf_adds(out, value);
		return 0;
	}
	if (op == '-')
		return expand(s, text, out);
	r = expand(s, text, &why);
	return r < 0 ? r
		     : err_set(s->e, ERR_INVALID, EINVAL, "%s: %s", shown_of(name).z,
			       why.n ? shown_of(buf_str(&why)).z : "it is not set");
}

static int braced(struct state *s, struct buf *out)
{
	struct str name = name_at(s);
	const char *value;
	bool colon, twice;
	char op;

	if (!name.n)
		return bad(s, "'${' wants the name of a variable");
	s->at += name.n;
	value = s->w->get(s->w->user, name);
	if (s->at < s->text.n && s->text.p[s->at] == '}') {
		s->at++;
		buf_adds(out, value ? value : "");
		return 0;
	}
	colon = s->at < s->text.n && s->text.p[s->at] == ':';
	s->at += colon;
	op = s->at < s->text.n ? s->text.p[s->at] : '\0';
	s->at++;
	if (op && strchr("-+?", op))
		return by_default(s, op, name, value, value && (!colon || *value), out);
	if (colon || !op || !strchr("#%/", op))
		return bad(s, "'${NAME' is followed by none of } - + ? # % /");
	twice = s->at < s->text.n && s->text.p[s->at] == op;
	s->at += twice;
	return by_pattern(s, op, twice, str_of(value ? value : ""), out);
}

static int variable(struct state *s, struct buf *out)
{
	struct str name;
	const char *value;

	s->at++; /* the $ */
	if (s->at < s->text.n && s->text.p[s->at] == '{') {
		s->at++;
		return braced(s, out);
	}
	name = name_at(s);
	if (!name.n) {
		buf_addc(out, '$');
		return 0;
	}
	s->at += name.n;
	value = s->w->get(s->w->user, name);
	buf_adds(out, value ? value : "");
	return 0;
}

/* ---- words ---- */

static int single_quoted(struct state *s, struct buf *out)
{
	const char *end = memchr(s->text.p + s->at, '\'', s->text.n - s->at);

	if (!end)
		return bad(s, "a single quote is not closed");
	buf_add(out, s->text.p + s->at, (size_t) (end - s->text.p) - s->at);
	s->at = (size_t) (end - s->text.p) + 1;
	return 0;
}

static int double_quoted(struct state *s, struct buf *out)
{
	while (s->at < s->text.n) {
		char c = s->text.p[s->at];
		int r = 0;

		if (c == '"') {
			s->at++;
			return 0;
		}
		if (c == '$') {
			r = variable(s, out);
		} else if (c == s->w->escape && s->at + 1 < s->text.n) {
			char next = s->text.p[s->at + 1];

			if (next != '"' && next != '$' && next != s->w->escape)
				buf_addc(out, c);
			buf_addc(out, next);
			s->at += 2;
		} else {
			buf_addc(out, c);
			s->at++;
		}
		if (r < 0)
			return r;
	}
	return bad(s, "a double quote is not closed");
}

/* One word from here on, or all there is. any: also an empty one in quotes. */
static int word(struct state *s, bool to_blank, struct buf *out, bool *ret_any)
{
	*ret_any = false;
	while (s->at < s->text.n) {
		char c = s->text.p[s->at];
		int r = 0;

		if (to_blank && is_blank(c))
			break;
		*ret_any = true;
		if (c == '\'' || c == '"') {
			s->at++;
			r = c == '"' ? double_quoted(s, out) : single_quoted(s, out);
		} else if (c == '$') {
			r = variable(s, out);
		} else if (c == s->w->escape && s->at + 1 < s->text.n) {
			buf_addc(out, s->text.p[s->at + 1]);
			s->at += 2;
		} else {
			buf_addc(out, c);
			s->at++;
		}
		if (r < 0)
			return r;
	}
	return 0;
}

int shellword_one(const struct shellword *w, struct str text, const char **ret, struct err *e)
{
	struct state s = { .w = w, .text = text, .e = e };
	auto_buf struct buf out = BUF_INIT(WORD_MAX);
	bool any;
	int r = word(&s, false, &out, &any);

	if (r < 0)
		return r;
	*ret = buf_ok(&out) ? arena_strdup(w->arena, buf_z(&out)) : NULL;
	return *ret ? 0 : no_memory(&s);
}

int shellword_list(const struct shellword *w, struct str text, const char ***ret, size_t *ret_n,
		   struct err *e)
{
	struct state s = { .w = w, .text = text, .e = e };
	const char **list = NULL, **end;
	size_t n = 0, ends = 0;

	for (;;) {
		auto_buf struct buf out = BUF_INIT(WORD_MAX);
		const char **to;
		bool any;
		int r;

		while (s.at < text.n && is_blank(text.p[s.at]))
			s.at++;
		r = word(&s, true, &out, &any);
		if (r < 0)
			return r;
		if (!any)
			break;
		to = arena_push(w->arena, &list, &n, sizeof(*list));
		if (!to || !buf_ok(&out) || !(*to = arena_strdup(w->arena, buf_z(&out))))
			return no_memory(&s);
	}
	ends = n;
	end = arena_push(w->arena, &list, &ends, sizeof(*list)); /* NULL */
	*ret = list;
	*ret_n = n;
	return end ? 0 : no_memory(&s);
}
