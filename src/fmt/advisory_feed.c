/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/advisory_feed.h"

#include <errno.h>
#include <stdlib.h>

#include "base/auto.h"
#include "base/num.h"
#include "fmt/distro.h"
#include "fmt/json.h"
#include "fmt/shown.h"

#define PIECE_ARENA ((size_t) 64 << 20)
#define DEBSECAN    "VERSION 1\n"

static int damaged(struct err *e, const char *what, struct str about)
{
	return err_set(e, ERR_INVALID, EBADMSG, "%s is damaged at '%s'", what,
		       shown_of((struct str){ about.p, about.n < 60 ? about.n : 60 }).z);
}

int advisory_feed_tell(struct advisory_feed *f, const struct advisory *a, struct err *e)
{
	int r = f->told(f->user, a);

	return r < 0 ? err_sys(e, -r, "keep an advisory") : 0;
}

/* ---- pieces of large JSON ---- */

static void skip_blanks(struct str *s)
{
	while (s->n && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r')) {
		s->p++;
		s->n--;
	}
}

static bool eat(struct str *s, char c)
{
	skip_blanks(s);
	if (!s->n || *s->p != c)
		return false;
	s->p++;
	s->n--;
	return true;
}

/* Bytes of the string that s begins with, 0: it does not end. */
static size_t string_length(struct str s)
{
	for (size_t i = 1; i < s.n; i++) {
		if (s.p[i] == '\\')
			i++;
		else if (s.p[i] == '"')
			return i + 1;
	}
	return 0;
}

static size_t value_length(struct str s)
{
	size_t depth = 0, i = 0;

	while (i < s.n) {
		char c = s.p[i];

		if (c == '"') {
			size_t n = string_length((struct str){ s.p + i, s.n - i });

			if (!n)
				return 0;
			i += n;
			if (!depth)
				return i;
			continue;
		}
		if (c == '{' || c == '[')
			depth++;
		else if ((c == ',' || c == '}' || c == ']') && !depth)
			return i;
		else if ((c == '}' || c == ']') && --depth == 0)
			return i + 1;
		i++;
	}
	return 0;
}

bool json_pieces_open(struct json_pieces *p, struct str text)
{
	*p = (struct json_pieces){ .rest = text };
	skip_blanks(&p->rest);
	p->kind = p->rest.n ? *p->rest.p : '\0';
	return (p->kind == '{' || p->kind == '[') && eat(&p->rest, p->kind);
}

int json_pieces_next(struct json_pieces *p, struct str *ret_key, struct str *ret_value)
{
	struct str key = { 0 };
	size_t n;

	if (eat(&p->rest, p->kind == '{' ? '}' : ']')) {
		skip_blanks(&p->rest);
		return p->rest.n ? -EINVAL : 0;
	}
	if (p->begun && !eat(&p->rest, ','))
		return -EINVAL;
	p->begun = true;
	skip_blanks(&p->rest);
	if (p->kind == '{') {
		n = p->rest.n && *p->rest.p == '"' ? string_length(p->rest) : 0;
		if (!n)
			return -EINVAL;
		key = (struct str){ p->rest.p + 1, n - 2 };
		p->rest = (struct str){ p->rest.p + n, p->rest.n - n };
		if (!eat(&p->rest, ':'))
			return -EINVAL;
		skip_blanks(&p->rest);
	}
	n = value_length(p->rest);
	if (!n)
		return -EINVAL;
	*ret_key = key;
	*ret_value = (struct str){ p->rest.p, n };
	p->rest = (struct str){ p->rest.p + n, p->rest.n - n };
	return 1;
}

/* ---- the tracker: package -> CVE -> releases -> status ---- */

static enum severity of_urgency(const char *urgency)
{
	static const struct {
		const char *word;
		enum severity severity;
	} words[] = {
		{ "unimportant", SEVERITY_NEGLIGIBLE },
		{ "low", SEVERITY_LOW },
		{ "medium", SEVERITY_MEDIUM },
		{ "high", SEVERITY_HIGH },
	};

	for (size_t i = 0; urgency && i < ARRAY_SIZE(words); i++)
		if (str_starts(str_of(urgency), words[i].word)) /* "low**": somebody looked */
			return words[i].severity;
	return SEVERITY_UNKNOWN;
}

static int tracker_release(struct advisory_feed *f, struct advisory *a, struct arena *arena,
			   const struct json_member *m, struct err *e)
{
	const char *status = json_string(json_get(&m->value, "status"));
	const char *fixed = json_string(json_get(&m->value, "fixed_version"));
	const struct distro_release *known = distro_by_codename("debian", m->key);
	const char *ecosystem, *when;

	if (!status || (!streq(status, "open") && !streq(status, "resolved")))
		return 0; /* undetermined */
	if (streq(status, "resolved") && (!fixed || streq(fixed, "0")))
		return 0; /* never was */
	ecosystem = arena_printf(arena, "Debian:%s", known ? known->version : m->key.p);
	when = fixed && streq(status, "resolved") ? arena_printf(arena, "I0 F%s", fixed) : "I0";
	if (!ecosystem || !when)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left");
	a->ecosystem = str_of(ecosystem);
	a->when = str_of(when);
	a->severity = of_urgency(json_string(json_get(&m->value, "urgency")));
	return advisory_feed_tell(f, a, e);
}

static int tracker_one(struct advisory_feed *f, struct str package, struct str id, struct str text,
		       struct err *e)
{
	auto_arena struct arena arena = ARENA_INIT(PIECE_ARENA);
	struct advisory a = { .package = package, .id = id };
	const struct json *root, *releases;
	const char *summary;
	int r = json_parse(&arena, text, &root, e);

	if (r < 0)
		return r;
	releases = json_get(root, "releases");
	summary = json_string(json_get(root, "description"));
	a.summary = str_of(summary ? summary : "");
	for (size_t i = 0; releases && releases->type == JSON_OBJECT && i < releases->members_n;
	     i++) {
		r = tracker_release(f, &a, &arena, &releases->members[i], e);
		if (r < 0)
			return r;
	}
	return 0;
}

static int read_tracker(struct advisory_feed *f, struct str text, struct err *e)
{
	struct json_pieces packages, ids;
	struct str package, all, id, one;
	int more;

	if (!json_pieces_open(&packages, text))
		return damaged(e, "the tracker's data", text);
	while ((more = json_pieces_next(&packages, &package, &all)) > 0) {
		if (!json_pieces_open(&ids, all) || ids.kind != '{')
			return damaged(e, "the tracker's data", all);
		while ((more = json_pieces_next(&ids, &id, &one)) > 0) {
			int r = tracker_one(f, package, id, one, e);

			if (r < 0)
				return r;
		}
		if (more < 0)
			return damaged(e, "the tracker's data", ids.rest);
	}
	return more < 0 ? damaged(e, "the tracker's data", packages.rest) : 0;
}

/* ---- debsecan: three blocks of lines; ids, packages, and binaries of sources ---- */

struct debsecan_id {
	struct str id, summary;
};

static int debsecan_line(struct advisory_feed *f, const struct debsecan_id *ids, size_t ids_n,
			 const char *ecosystem, struct str line, struct err *e)
{
	auto_buf struct buf when = BUF_INIT(ADVISORY_WHEN_MAX);
	struct str rest = line, package = str_cut(rest, ',', &rest);
	struct str index = str_cut(rest, ',', &rest), flags = str_cut(rest, ',', &rest);
	struct str unstable = str_cut(rest, ',', &rest);
	uint64_t at;

	if (!rest.p || flags.n < 4 || (flags.p[0] != 'S' && flags.p[0] != 'B') || !index.n ||
	    num_parse_u64(index, 0, ids_n ? ids_n - 1 : 0, &at) < 0 || !ids_n)
		return damaged(e, "the debsecan feed", line);
	buf_adds(&when, flags.p[0] == 'B' ? "B I0" : "I0");
	if (unstable.n) {
		buf_adds(&when, flags.p[3] == 'F' ? " F" : " U");
		buf_addstr(&when, unstable);
	}
	while (rest.p && rest.n) {
		struct str other = str_trim(str_cut(rest, ' ', &rest));

		if (!other.n)
			continue;
		buf_adds(&when, " N");
		buf_addstr(&when, other);
	}
	if (!buf_ok(&when))
		return damaged(e, "the debsecan feed", line);
	const struct advisory a = {
		.ecosystem = str_of(ecosystem),
		.package = package,
		.id = ids[at].id,
		.summary = ids[at].summary,
		.when = buf_str(&when),
		.severity = flags.p[1] == 'H'	? SEVERITY_HIGH
			    : flags.p[1] == 'M' ? SEVERITY_MEDIUM
			    : flags.p[1] == 'L' ? SEVERITY_LOW
						: SEVERITY_UNKNOWN,
	};
	return advisory_feed_tell(f, &a, e);
}

static int read_debsecan(struct advisory_feed *f, struct str text, struct err *e)
{
	const struct distro_release *known =
		f->release ? distro_by_codename("debian", str_of(f->release)) : NULL;
	auto_arena struct arena arena = ARENA_INIT((size_t) 256 << 20);
	struct debsecan_id *ids = NULL, *slot;
	const char *ecosystem;
	size_t n = 0;
	struct str line;

	if (!f->release)
		return err_set(
			e, ERR_INVALID, EINVAL,
			"a debsecan feed does not say which release it is of: name it, as in "
			"--release bookworm");
	ecosystem = arena_printf(&arena, "Debian:%s", known ? known->version : f->release);
	(void) str_cut(text, '\n', &text); /* its version */
	while ((line = str_cut(text, '\n', &text)).n) {
		struct str rest, id = str_cut(line, ',', &rest);

		(void) str_cut(rest.p ? rest : line, ',', &rest); /* flags that say nothing */
		slot = rest.p ? arena_push(&arena, &ids, &n, sizeof(*slot)) : NULL;
		if (!slot)
			return damaged(e, "the debsecan feed", line);
		*slot = (struct debsecan_id){ id, rest };
	}
	if (!ecosystem)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left");
	if (!text.p)
		return damaged(e, "the debsecan feed", line);
	while ((line = str_cut(text, '\n', &text)).n) {
		int r = debsecan_line(f, ids, n, ecosystem, line, e);

		if (r < 0)
			return r;
	}
	return 0;
}

int advisory_feed_read(struct advisory_feed *f, struct str text, struct err *e)
{
	struct json_pieces p;
	struct str key = { 0 }, value = STR("{");

	if (str_starts(text, DEBSECAN))
		return read_debsecan(f, text, e);
	if (!json_pieces_open(&p, text))
		return err_set(e, ERR_INVALID, EINVAL,
			       "this is no feed of advisories that is known: the tracker's JSON, "
			       "debsecan's, OSV's JSON, or an archive (zip, tar) of these");
	if (p.kind == '[')
		return advisory_feed_osv(f, text, e);
	/* In the tracker's data every value is an object; OSV's has an id. */
	if (json_pieces_next(&p, &key, &value) < 0)
		return damaged(e, "the JSON", text);
	return *value.p == '{' && !str_is(key, "database_specific") ? read_tracker(f, text, e)
								    : advisory_feed_osv(f, text, e);
}
