/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/containerfile.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/auto.h"
#include "base/buf.h"
#include "fmt/shown.h"

#define LINE_MAX_BYTES ((size_t) 1 << 20) /* of an instruction, put together */
#define STEPS_MAX      10000

static const char *const names[] = {
	[CONTAINERFILE_ADD] = "ADD",
	[CONTAINERFILE_ARG] = "ARG",
	[CONTAINERFILE_CMD] = "CMD",
	[CONTAINERFILE_COPY] = "COPY",
	[CONTAINERFILE_ENTRYPOINT] = "ENTRYPOINT",
	[CONTAINERFILE_ENV] = "ENV",
	[CONTAINERFILE_EXPOSE] = "EXPOSE",
	[CONTAINERFILE_FROM] = "FROM",
	[CONTAINERFILE_HEALTHCHECK] = "HEALTHCHECK",
	[CONTAINERFILE_LABEL] = "LABEL",
	[CONTAINERFILE_MAINTAINER] = "MAINTAINER",
	[CONTAINERFILE_ONBUILD] = "ONBUILD",
	[CONTAINERFILE_RUN] = "RUN",
	[CONTAINERFILE_SHELL] = "SHELL",
	[CONTAINERFILE_STOPSIGNAL] = "STOPSIGNAL",
	[CONTAINERFILE_USER] = "USER",
	[CONTAINERFILE_VOLUME] = "VOLUME",
	[CONTAINERFILE_WORKDIR] = "WORKDIR",
};

const char *containerfile_name(enum containerfile_kind k)
{
	return names[k];
}

struct reader {
	struct arena *arena;
	struct str rest;     /* of the file; p NULL at its end */
	unsigned int number; /* of the line that was read last */
	char escape;
	struct err *e;
};

static int no_memory(const struct reader *r)
{
	return err_set(r->e, ERR_EXHAUSTED, ENOMEM, "it is too long");
}

static int bad(const struct reader *r, const char *why)
{
	return err_set(r->e, ERR_INVALID, EINVAL, "%s", why);
}

static bool next_line(struct reader *r, struct str *ret)
{
	if (!r->rest.p || !r->rest.n)
		return false;
	*ret = str_cut(r->rest, '\n', &r->rest);
	if (ret->n && ret->p[ret->n - 1] == '\r')
		ret->n--;
	r->number++;
	return true;
}

/* Without the blanks at its front. */
static struct str indented(struct str s)
{
	while (s.n && (*s.p == ' ' || *s.p == '\t')) {
		s.p++;
		s.n--;
	}
	return s;
}

int containerfile_blame(struct str text, const char *file, unsigned int line, struct err *e)
{
	struct str rest = text, here = {};
	size_t n;

	for (unsigned int i = 0; i < line && rest.p; i++)
		here = str_cut(rest, '\n', &rest);
	(void) err_ctx(e, "%s:%u", file, line);
	n = strlen(e->msg);
	here = str_trim(here);
	if (here.n && n < sizeof(e->msg))
		(void) snprintf(e->msg + n, sizeof(e->msg) - n, "\n%6u | %s", line,
				shown_of(here).z);
	return -EINVAL;
}

/* ---- one instruction's parts ---- */

static int find_kind(struct reader *r, struct str name, enum containerfile_kind *ret)
{
	char text[32] = "";
	const char *near;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strlen(names[i]) == name.n && strncasecmp(names[i], name.p, name.n) == 0) {
			*ret = (enum containerfile_kind) i;
			return 0;
		}
	if (name.n < sizeof(text))
		for (size_t i = 0; i < name.n; i++)
			text[i] = name.p[i] >= 'a' && name.p[i] <= 'z' ? (char) (name.p[i] - 32)
								       : name.p[i];
	near = str_nearest(text, names, ARRAY_SIZE(names));
	return err_set(r->e, ERR_INVALID, EINVAL, "there is no instruction '%s'%s%s%s",
		       shown_of(name).z, near ? " (did you mean '" : "", near ? near : "",
		       near ? "'?)" : "");
}

static bool has_flags(enum containerfile_kind k)
{
	return k == CONTAINERFILE_FROM || k == CONTAINERFILE_RUN || k == CONTAINERFILE_COPY ||
	       k == CONTAINERFILE_ADD;
}

static int take_flags(struct reader *r, struct containerfile_step *s)
{
	while (str_starts(s->rest, "--")) {
		struct json_pair *to;
		struct str word, value, key;
		size_t n = 0;
		char quote = 0;

		while (n < s->rest.n && (quote || (s->rest.p[n] != ' ' && s->rest.p[n] != '\t'))) {
			char c = s->rest.p[n++];

			quote = quote ? (c == quote ? 0 : quote) : c == '"' || c == '\'' ? c : 0;
		}
		word = (struct str){ s->rest.p + 2, n - 2 };
		s->rest = str_trim((struct str){ s->rest.p + n, s->rest.n - n });
		if (!word.n)
			return 0; /* "--" ends them */
		key = str_cut(word, '=', &value);
		to = arena_push(r->arena, &s->flags, &s->flags_n, sizeof(*s->flags));
		if (!to || !(to->key = arena_dup(r->arena, key)) ||
		    !(to->value = arena_dup(r->arena, value.p ? value : STR(""))))
			return no_memory(r);
	}
	return 0;
}

static int take_words(struct reader *r, struct containerfile_step *s)
{
	const struct json *v = NULL;
	const char **words;
	struct err ignored = {};

	if (!s->rest.n || s->rest.p[0] != '[' || json_parse(r->arena, s->rest, &v, &ignored) < 0 ||
	    v->type != JSON_ARRAY)
		return 0;
	words = arena_array(r->arena, v->n + 1, sizeof(*words));
	if (!words)
		return no_memory(r);
	for (size_t i = 0; i < v->n; i++) {
		words[i] = json_string(&v->items[i]);
		if (!words[i])
			return 0;
	}
	s->words = words;
	s->words_n = v->n;
	return 0;
}

/* ---- here-documents ---- */

static bool is_word_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '.' || c == '-';
}

/* "<<NAME", "<<-NAME", "<<'NAME'" at p: what it is called, how long it is; n 0: it is none. */
static struct str heredoc_at(struct str p, bool *ret_tabs, bool *ret_quoted, size_t *ret_n)
{
	size_t at = 2, from;
	char quote = 0;

	*ret_tabs = *ret_quoted = false;
	if (p.n < 3 || p.p[0] != '<' || p.p[1] != '<' || p.p[2] == '<')
		return (struct str){};
	if (p.p[at] == '-') {
		*ret_tabs = true;
		at++;
	}
	if (at < p.n && (p.p[at] == '"' || p.p[at] == '\'')) {
		quote = p.p[at++];
		*ret_quoted = true;
	}
	for (from = at; at < p.n && is_word_char(p.p[at]);)
		at++;
	if (at == from || (quote && (at == p.n || p.p[at] != quote)))
		return (struct str){};
	*ret_n = at + (quote != 0);
	return (struct str){ p.p + from, at - from };
}

static int take_body(struct reader *r, struct containerfile_heredoc *h, bool tabs)
{
	struct buf body = BUF_INIT(LINE_MAX_BYTES);
	struct str line;
	int result = 0;

	for (;;) {
		if (!next_line(r, &line)) {
			result = err_set(r->e, ERR_INVALID, EINVAL,
					 "the here-document '%s' has no end", h->name);
			break;
		}
		while (tabs && line.n && *line.p == '\t') {
			line.p++;
			line.n--;
		}
		if (str_is(line, h->name))
			break;
		buf_addstr(&body, line);
		buf_addc(&body, '\n');
	}
	if (result == 0) {
		char *text = buf_ok(&body)
				     ? arena_dup(r->arena, (struct str){ buf_z(&body), body.n })
				     : NULL;

		h->text = (struct str){ text, body.n };
		result = text ? 0 : no_memory(r);
	}
	buf_fini(&body);
	return result;
}

static int take_heredocs(struct reader *r, struct containerfile_step *s)
{
	char quote = 0;

	if (s->kind != CONTAINERFILE_RUN && s->kind != CONTAINERFILE_COPY &&
	    s->kind != CONTAINERFILE_ADD)
		return 0;
	for (size_t i = 0; i < s->rest.n; i++) {
		struct str here = { s->rest.p + i, s->rest.n - i }, name;
		struct containerfile_heredoc *h;
		bool tabs, quoted;
		size_t n = 0;
		char c = *here.p;
		int result;

		if (c == r->escape && quote != '\'') {
			i++;
			continue;
		}
		if (quote || c == '"' || c == '\'') {
			quote = quote ? (c == quote ? 0 : quote) : c;
			continue;
		}
		if (here.n > 3 && memcmp(here.p, "<<<", 3) == 0) {
			i += 2; /* the shell's own */
			continue;
		}
		name = heredoc_at(here, &tabs, &quoted, &n);
		if (!name.n)
			continue;
		h = arena_push(r->arena, &s->heredocs, &s->heredocs_n, sizeof(*h));
		if (!h || !(h->name = arena_dup(r->arena, name)))
			return no_memory(r);
		h->expand = !quoted;
		result = take_body(r, h, tabs);
		if (result < 0)
			return result;
		i += n - 1;
	}
	return 0;
}

/* ---- one instruction ---- */

/* The last character but blanks, where that is the escape character; else n. */
static size_t continued_at(const struct reader *r, struct str line)
{
	size_t n = line.n;

	while (n && (line.p[n - 1] == ' ' || line.p[n - 1] == '\t'))
		n--;
	return n && line.p[n - 1] == r->escape ? n - 1 : line.n;
}

/* Whole lines until one that is not continued. NULL text: there is none left. */
static int collect(struct reader *r, const char **ret_text, size_t *ret_n, unsigned int *ret_line)
{
	auto_buf struct buf b = BUF_INIT(LINE_MAX_BYTES);
	bool within = false, more = true;
	struct str line;

	*ret_text = NULL;
	while (more && next_line(r, &line)) {
		struct str seen = indented(line);
		size_t n;

		if (!seen.n || *seen.p == '#')
			continue; /* also between lines that are one */
		if (!within) {
			*ret_line = r->number;
			line = seen;
		}
		within = true;
		n = continued_at(r, line);
		more = n < line.n;
		buf_add(&b, line.p, n);
	}
	if (!within)
		return 0;
	if (memchr(buf_z(&b), '\0', b.n))
		return bad(r, "a NUL byte");
	*ret_n = b.n;
	*ret_text = buf_ok(&b) ? arena_dup(r->arena, buf_str(&b)) : NULL;
	return *ret_text ? 0 : no_memory(r);
}

static int parse_step(struct reader *r, const char *text, size_t n, struct containerfile_step *s)
{
	struct str whole = str_trim((struct str){ text, n });
	size_t word = 0;
	int result;

	while (word < whole.n && whole.p[word] != ' ' && whole.p[word] != '\t')
		word++;
	result = find_kind(r, (struct str){ whole.p, word }, &s->kind);
	if (result < 0)
		return result;
	s->text = arena_dup(r->arena, whole);
	if (!s->text)
		return no_memory(r);
	s->rest = str_trim((struct str){ whole.p + word, whole.n - word });
	if (has_flags(s->kind)) {
		result = take_flags(r, s);
		if (result < 0)
			return result;
	}
	if (!s->rest.n && !s->flags_n)
		return err_set(r->e, ERR_INVALID, EINVAL, "%s wants something to follow it",
			       names[s->kind]);
	result = take_words(r, s);
	return result < 0 ? result : take_heredocs(r, s);
}

/* "# escape=`" and its kin, which stand before all else. */
static int take_directives(struct reader *r)
{
	struct reader ahead = *r;
	struct str line;

	while (next_line(&ahead, &line)) {
		struct str seen = indented(line), value, key;

		if (!seen.n || *seen.p != '#')
			break;
		key = str_trim(str_cut((struct str){ seen.p + 1, seen.n - 1 }, '=', &value));
		if (!value.p || !key.n || memchr(key.p, ' ', key.n))
			break;
		value = str_trim(value);
		if (key.n == 6 && strncasecmp(key.p, "escape", 6) == 0) {
			if (!str_is(value, "\\") && !str_is(value, "`"))
				return bad(&ahead, "the escape character is \\ or `");
			r->escape = *value.p;
		} else if (!(key.n == 6 && strncasecmp(key.p, "syntax", 6) == 0) &&
			   !(key.n == 5 && strncasecmp(key.p, "check", 5) == 0)) {
			break;
		}
		r->rest = ahead.rest;
		r->number = ahead.number;
	}
	return 0;
}

static int parse(struct reader *r, struct containerfile *ret, unsigned int *ret_line)
{
	int result;

	*ret_line = 1;
	if (str_starts(r->rest, "\xef\xbb\xbf"))
		r->rest = (struct str){ r->rest.p + 3, r->rest.n - 3 };
	result = take_directives(r);
	while (result == 0) {
		struct containerfile_step *s;
		const char *text = NULL;
		size_t n = 0;

		result = collect(r, &text, &n, ret_line);
		if (result < 0 || !text)
			break;
		if (ret->n == STEPS_MAX)
			return bad(r, "too many instructions");
		s = arena_push(r->arena, &ret->steps, &ret->n, sizeof(*s));
		if (!s)
			return no_memory(r);
		s->line = *ret_line;
		result = parse_step(r, text, n, s);
	}
	ret->escape = r->escape;
	return result;
}

int containerfile_parse(struct arena *a, struct str text, const char *file,
			struct containerfile *ret, struct err *e)
{
	struct reader r = { .arena = a, .rest = text, .escape = '\\', .e = e };
	unsigned int line = 1;
	int result;

	*ret = (struct containerfile){};
	result = parse(&r, ret, &line);
	if (result < 0)
		return containerfile_blame(text, file, line, e);
	if (!ret->n)
		return err_set(e, ERR_INVALID, EINVAL, "%s: there is no instruction in it", file);
	return 0;
}

int containerfile_parse_step(struct arena *a, struct str text, char escape,
			     struct containerfile_step *ret, struct err *e)
{
	struct reader r = { .arena = a, .escape = escape, .e = e };

	*ret = (struct containerfile_step){};
	return parse_step(&r, text.p, text.n, ret);
}
