/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "fmt/gotemplate_tree.h"

/*
 * A cursor over the text. Outside of {{ }} it stands in literal text; `end` is the end of the
 * action being parsed, so that no token reads past its braces.
 */
struct parser {
	struct arena *arena;
	struct str text;
	uint32_t at;
	uint32_t end;	/* of the current action: the offset of its "}}" or " -}}" */
	uint32_t after; /* the offset behind it */
	unsigned depth;
	unsigned loops;
	struct err *e;
};

int gotemplate_error(struct err *e, struct str text, uint32_t at, const char *fmt, ...)
{
	uint32_t line = 1, column = 1;
	char message[320];
	va_list ap;

	for (uint32_t i = 0; i < at && i < text.n; i++) {
		column++;
		if (text.p[i] == '\n') {
			line++;
			column = 1;
		}
	}
	va_start(ap, fmt);
	(void) vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	return err_set(e, ERR_INVALID, EINVAL, "template: %u:%u: %s", line, column, message);
}

#define fail(p, at_, ...) gotemplate_error((p)->e, (p)->text, (at_), __VA_ARGS__)

static int no_memory(struct parser *p)
{
	return err_set(p->e, ERR_EXHAUSTED, ENOMEM, "template: too large");
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c & 0x80);
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Skips blanks within the action; 0 at its end. */
static char peek(struct parser *p)
{
	while (p->at < p->end && is_blank(p->text.p[p->at]))
		p->at++;
	return p->at < p->end ? p->text.p[p->at] : 0;
}

static char here(const struct parser *p)
{
	return p->at < p->end ? p->text.p[p->at] : 0;
}

static struct str word(struct parser *p)
{
	struct str w = { p->text.p + p->at, 0 };

	while (p->at < p->end && (is_alpha(here(p)) || is_digit(here(p)))) {
		p->at++;
		w.n++;
	}
	return w;
}

/* Whether the next word is `z`; it is consumed when so. */
static bool take_word(struct parser *p, const char *z)
{
	uint32_t start;

	if (!is_alpha(peek(p)))
		return false;
	start = p->at;
	if (str_is(word(p), z))
		return true;
	p->at = start;
	return false;
}

/*
 * Find the end of the action that starts at p->at (behind "{{"): the next "}}" outside of quotes.
 * Sets end (before a trim marker) and after; *ret_trim says whether blanks behind it go.
 */
static int bound_action(struct parser *p, bool *ret_trim)
{
	uint32_t start = p->at;
	char quote = 0;

	for (uint32_t i = p->at; i < p->text.n; i++) {
		char c = p->text.p[i];

		if (quote) {
			if (c == '\\' && quote == '"')
				i++;
			else if (c == quote)
				quote = 0;
			else if (c == '\n' && quote == '"')
				break;
			continue;
		}
		if (c == '"' || c == '`') {
			quote = c;
		} else if (c == '}' && i + 1 < p->text.n && p->text.p[i + 1] == '}') {
			p->end = i;
			p->after = i + 2;
			*ret_trim = i >= start + 2 && p->text.p[i - 1] == '-' &&
				    is_blank(p->text.p[i - 2]);
			if (*ret_trim)
				p->end = i - 1;
			return 0;
		}
	}
	return fail(p, start, quote ? "unterminated string" : "unclosed action: no \"}}\"");
}

static struct json *new_json(struct parser *p, enum json_type type)
{
	struct json *v = arena_alloc(p->arena, sizeof(*v));

	if (v)
		v->type = type;
	return v;
}

/* A quoted or raw string at p->at; escapes as in Go, without octal. */
static int parse_string(struct parser *p, const struct json **ret_v)
{
	uint32_t start = p->at;
	char quote = here(p), c;
	struct json *v = new_json(p, JSON_STRING);
	char *to = arena_alloc(p->arena, p->end - p->at + 1);
	size_t n = 0;

	if (!v || !to)
		return no_memory(p);
	for (p->at++; (c = here(p)) && c != quote; p->at++) {
		static const char from[] = "nrt\\\"'abfv", by[] = "\n\r\t\\\"'\a\b\f\v";
		const char *esc;

		if (c != '\\' || quote == '`') {
			to[n++] = c;
			continue;
		}
		p->at++;
		esc = here(p) ? strchr(from, here(p)) : NULL;
		if (!esc)
			return fail(p, p->at, "unknown escape in a string");
		to[n++] = by[esc - from];
	}
	if (c != quote)
		return fail(p, start, "unterminated string");
	p->at++;
	v->text = (struct str){ to, n };
	*ret_v = v;
	return 0;
}

static int parse_number(struct parser *p, const struct json **ret_v)
{
	uint32_t start = p->at;
	struct json *v = new_json(p, JSON_NUMBER);
	bool dot = false;

	if (here(p) == '-' || here(p) == '+')
		p->at++;
	if (!is_digit(here(p)))
		return fail(p, start, "bad number");
	while (is_digit(here(p)) || (here(p) == '.' && !dot)) {
		dot = dot || here(p) == '.';
		p->at++;
	}
	if (is_alpha(here(p)) || here(p) == '.')
		return fail(p, start, "bad number");
	if (p->text.p[start] == '+')
		start++;
	if (!v)
		return no_memory(p);
	v->text.p = arena_dup(p->arena, (struct str){ p->text.p + start, p->at - start });
	v->text.n = p->at - start;
	if (!v->text.p)
		return no_memory(p);
	*ret_v = v;
	return 0;
}

static int parse_pipeline(struct parser *p, char closer, struct pipeline **ret_pipe);

static int parse_fields(struct parser *p, struct expr *x)
{
	while (here(p) == '.') {
		struct str *f;

		p->at++;
		if (!is_alpha(here(p)))
			return fail(p, p->at, "a field's name is missing after \".\"");
		f = arena_push(p->arena, &x->fields, &x->fields_n, sizeof(*f));
		if (!f)
			return no_memory(p);
		*f = word(p);
	}
	return 0;
}

static int parse_word(struct parser *p, struct expr *x, bool first)
{
	struct str w = word(p);
	struct json *v;

	if (str_is(w, "true") || str_is(w, "false")) {
		v = new_json(p, JSON_BOOL);
		if (!v)
			return no_memory(p);
		v->boolean = w.p[0] == 't';
		x->kind = EXPR_LITERAL;
		x->literal = v;
		return 0;
	}
	if (str_is(w, "nil")) {
		x->kind = EXPR_LITERAL;
		return 0;
	}
	if (!gotemplate_function(w, &x->fn))
		return fail(p, x->at, "function \"%.*s\" not defined", (int) (w.n & 63), w.p);
	if (!first)
		return fail(p, x->at, "function \"%.*s\" needs parentheses here", (int) (w.n & 63),
			    w.p);
	x->kind = EXPR_CALL;
	return 0;
}

static int parse_operand(struct parser *p, struct expr *x, bool first)
{
	char c = peek(p);
	int r;

	x->at = p->at;
	if (c == '.') {
		x->kind = EXPR_DOT;
		if (p->at + 1 < p->end && is_alpha(p->text.p[p->at + 1]))
			return parse_fields(p, x);
		p->at++;
		return 0;
	}
	if (c == '$') {
		p->at++;
		x->var = word(p);
		x->kind = x->var.n ? EXPR_VAR : EXPR_ROOT;
		return parse_fields(p, x);
	}
	if (c == '"' || c == '`') {
		x->kind = EXPR_LITERAL;
		return parse_string(p, &x->literal);
	}
	if (is_digit(c) || c == '-' || c == '+') {
		x->kind = EXPR_LITERAL;
		return parse_number(p, &x->literal);
	}
	if (c == '(') {
		struct pipeline *pipe = NULL;

		p->at++;
		x->kind = EXPR_PIPE;
		r = parse_pipeline(p, ')', &pipe);
		x->pipe = pipe;
		return r < 0 ? r : parse_fields(p, x);
	}
	if (is_alpha(c))
		return parse_word(p, x, first);
	if (!c)
		return fail(p, p->at, "missing value");
	return fail(p, p->at, "unexpected \"%c\" in operand", c >= ' ' && c < 127 ? c : '?');
}

static int parse_command(struct parser *p, struct command *c)
{
	c->at = p->at;
	for (;;) {
		char next = peek(p);
		struct expr *x;
		int r;

		if (!next || next == '|' || next == ')')
			break;
		x = arena_push(p->arena, &c->operands, &c->n, sizeof(*x));
		if (!x)
			return no_memory(p);
		r = parse_operand(p, x, c->n == 1);
		if (r < 0)
			return r;
		next = here(p);
		if (next && !is_blank(next) && next != '|' && next != ')')
			return fail(p, p->at, "unexpected \"%c\" after a value",
				    next >= ' ' && next < 127 ? next : '?');
	}
	if (!c->n)
		return fail(p, p->at, "missing value");
	if (c->n > 1 && c->operands[0].kind != EXPR_CALL && !c->operands[0].fields_n)
		return fail(p, c->operands[1].at, "can't give an argument to a non-function");
	return 0;
}

/* "$x := ", "$x = ", "$i, $v := " in front of a pipeline, if it is there. */
static int parse_declaration(struct parser *p, struct pipeline *pipe)
{
	uint32_t start = p->at;

	while (peek(p) == '$' && pipe->vars_n < 2) {
		p->at++;
		pipe->vars[pipe->vars_n] = word(p);
		if (!pipe->vars[pipe->vars_n++].n)
			break;
		if (peek(p) == ',') {
			p->at++;
			continue;
		}
		if (here(p) == ':' && p->at + 1 < p->end && p->text.p[p->at + 1] == '=') {
			p->at += 2;
			return 0;
		}
		if (here(p) == '=') {
			p->at++;
			pipe->assign = true;
			return 0;
		}
		break;
	}
	if (pipe->vars_n == 2)
		return fail(p, start, "expected := after two variables");
	pipe->vars_n = 0;
	p->at = start;
	return 0;
}

/* Up to the closer ')', or the end of the action when closer is 0. */
static int parse_pipeline(struct parser *p, char closer, struct pipeline **ret_pipe)
{
	struct pipeline *pipe = arena_alloc(p->arena, sizeof(*pipe));
	int r;

	if (!pipe)
		return no_memory(p);
	if (++p->depth > GOTEMPLATE_DEPTH_MAX)
		return fail(p, p->at, "nested too deeply");
	(void) peek(p);
	pipe->at = p->at;
	r = parse_declaration(p, pipe);
	while (r == 0) {
		struct command *c = arena_push(p->arena, &pipe->commands, &pipe->n, sizeof(*c));
		char next;

		if (!c)
			return no_memory(p);
		r = parse_command(p, c);
		if (r < 0)
			break;
		if (pipe->n > 1 && c->operands[0].kind != EXPR_CALL && !c->operands[0].fields_n)
			return fail(p, c->at, "a value can't be piped into a non-function");
		next = peek(p);
		if (next == '|') {
			p->at++;
			continue;
		}
		if (next != closer)
			return fail(p, p->at,
				    closer ? "unclosed left parenthesis"
					   : "unexpected right parenthesis");
		if (closer)
			p->at++;
		break;
	}
	p->depth--;
	*ret_pipe = pipe;
	return r;
}

/* What ended a list of nodes. */
enum stop { STOP_EOF, STOP_END, STOP_ELSE };

static int parse_list(struct parser *p, struct node **ret_first, enum stop *ret_stop);

/* Behind the action that has been read: on with literal text. */
static void leave_action(struct parser *p, bool trim)
{
	p->at = p->after;
	while (trim && p->at < p->text.n && is_blank(p->text.p[p->at]))
		p->at++;
}

/* An if, range or with whose keyword has been read; its action is still open. */
static int parse_block(struct parser *p, struct node *node, bool trim)
{
	enum stop stop = STOP_EOF;
	bool inner_trim = false;
	int r;

	if (++p->depth > GOTEMPLATE_DEPTH_MAX)
		return fail(p, node->at, "nested too deeply");
	r = parse_pipeline(p, 0, &node->pipe);
	if (r < 0)
		return r;
	if (node->pipe->vars_n == 2 && node->kind != NODE_RANGE)
		return fail(p, node->pipe->at, "two variables are only for range");
	leave_action(p, trim);
	p->loops += node->kind == NODE_RANGE;
	r = parse_list(p, &node->body, &stop);
	p->loops -= node->kind == NODE_RANGE;
	if (r < 0)
		return r;
	/* The action of `else` or `end` is open, behind its word. */
	if (stop == STOP_ELSE && node->kind != NODE_RANGE && is_alpha(peek(p))) {
		struct node *chain = arena_alloc(p->arena, sizeof(*chain));

		if (!chain)
			return no_memory(p);
		chain->at = p->at;
		chain->kind = node->kind;
		if (!take_word(p, node->kind == NODE_IF ? "if" : "with"))
			return fail(p, p->at, "unexpected word after else");
		node->otherwise = chain;
		inner_trim = p->text.p[p->end] == '-';
		r = parse_block(p, chain, inner_trim);
		p->depth--;
		return r; /* the chain's `end` closes this one too */
	}
	if (stop == STOP_ELSE) {
		if (peek(p))
			return fail(p, p->at, "unexpected text after else");
		leave_action(p, p->text.p[p->end] == '-');
		r = parse_list(p, &node->otherwise, &stop);
		if (r < 0)
			return r;
	}
	if (stop != STOP_END)
		return fail(p, node->at,
			    stop == STOP_EOF ? "no {{end}} for this" : "a second {{else}}");
	if (peek(p))
		return fail(p, p->at, "unexpected text after end");
	leave_action(p, p->text.p[p->end] == '-');
	p->depth--;
	return 0;
}

static int refuse_word(struct parser *p)
{
	static const char *const words[] = { "define", "template", "block" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (take_word(p, words[i]))
			return fail(p, p->at, "{{%s}} is not supported", words[i]);
	return 0;
}

/* One action; p->at stands behind "{{" and its trim marker. *ret_stop set when it ends a list. */
static int parse_action(struct parser *p, struct node *node, bool trim, enum stop *ret_stop,
			bool *ret_stopped)
{
	int r;

	if (take_word(p, "end") || take_word(p, "else")) {
		*ret_stop = p->text.p[p->at - 1] == 'd' ? STOP_END : STOP_ELSE;
		*ret_stopped = true;
		return 0;
	}
	if (take_word(p, "if"))
		node->kind = NODE_IF;
	else if (take_word(p, "range"))
		node->kind = NODE_RANGE;
	else if (take_word(p, "with"))
		node->kind = NODE_WITH;
	else
		node->kind = NODE_ACTION;
	if (node->kind != NODE_ACTION)
		return parse_block(p, node, trim);
	if (take_word(p, "break"))
		node->kind = NODE_BREAK;
	else if (take_word(p, "continue"))
		node->kind = NODE_CONTINUE;
	if (node->kind != NODE_ACTION) {
		if (!p->loops || peek(p))
			return fail(p, node->at, "break and continue stand alone, within range");
		leave_action(p, trim);
		return 0;
	}
	r = refuse_word(p);
	if (r == 0)
		r = parse_pipeline(p, 0, &node->pipe);
	if (r < 0)
		return r;
	if (node->pipe->vars_n == 2)
		return fail(p, node->pipe->at, "two variables are only for range");
	leave_action(p, trim);
	return 0;
}

static bool comment(struct parser *p)
{
	struct str rest = { p->text.p + p->at, p->end - p->at };

	rest = str_trim(rest);
	return str_starts(rest, "/*") && str_ends(rest, "*/") && rest.n >= 4;
}

static struct node *append(struct parser *p, struct node ***tail, enum node_kind kind)
{
	struct node *node = arena_alloc(p->arena, sizeof(*node));

	if (!node)
		return NULL;
	node->kind = kind;
	node->at = p->at;
	**tail = node;
	*tail = &node->next;
	return node;
}

static int parse_list(struct parser *p, struct node **ret_first, enum stop *ret_stop)
{
	struct node **tail = ret_first;

	*ret_stop = STOP_EOF;
	while (p->at < p->text.n) {
		struct str rest = { p->text.p + p->at, p->text.n - p->at };
		const char *open = memmem(rest.p, rest.n, "{{", 2);
		struct str text = { rest.p, open ? (size_t) (open - rest.p) : rest.n };
		bool trim_after = false, stopped = false;
		struct node *node;
		int r;

		p->at += (uint32_t) text.n;
		if (open) {
			p->at += 2;
			if (p->at + 1 < p->text.n && p->text.p[p->at] == '-' &&
			    is_blank(p->text.p[p->at + 1])) {
				p->at++;
				while (text.n && is_blank(text.p[text.n - 1]))
					text.n--;
			}
		}
		if (text.n) {
			node = append(p, &tail, NODE_TEXT);
			if (!node)
				return no_memory(p);
			node->text = text;
		}
		if (!open)
			break;
		r = bound_action(p, &trim_after);
		if (r < 0)
			return r;
		if (comment(p)) {
			leave_action(p, trim_after);
			continue;
		}
		node = arena_alloc(p->arena, sizeof(*node));
		if (!node)
			return no_memory(p);
		node->at = p->at;
		r = parse_action(p, node, trim_after, ret_stop, &stopped);
		if (r < 0 || stopped)
			return r;
		*tail = node;
		tail = &node->next;
	}
	return 0;
}

int gotemplate_parse(struct arena *a, struct str text, const struct gotemplate **ret_t,
		     struct err *e)
{
	struct parser p = { .arena = a, .text = text, .e = e };
	struct gotemplate *t = arena_alloc(a, sizeof(*t));
	enum stop stop;
	int r;

	if (!t)
		return no_memory(&p);
	if (text.n > GOTEMPLATE_TEXT_MAX)
		return err_set(e, ERR_INVALID, E2BIG, "template: longer than %u bytes",
			       GOTEMPLATE_TEXT_MAX);
	t->text = text;
	r = parse_list(&p, &t->first, &stop);
	if (r < 0)
		return r;
	if (stop != STOP_EOF)
		return fail(&p, p.at, "unexpected {{%s}}", stop == STOP_END ? "end" : "else");
	*ret_t = t;
	return 0;
}
