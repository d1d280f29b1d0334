/* SPDX-License-Identifier: Apache-2.0 */
#include "svc/image_search.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "base/utf8.h"
#include "fmt/json.h"
#include "fmt/reference.h"
#include "fmt/shown.h"
#include "fmt/url.h"
#include "image/registries_read.h"
#include "svc/image_find.h"
#include "svc/svc.h"

#define ANSWER_MAX ((size_t) 8 << 20)
#define PAGE	   1000u
#define PAGES_MOST 1000u
#define TERM_MAX   100

struct search {
	struct svc *svc;
	const struct svc_search *q;
	struct str words;
	const char *host;
	struct registry *registry;
	struct svc_searched *to;
	size_t before; /* what others found */
};

static int no_memory(struct err *e)
{
	return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left");
}

void svc_searched_fini(struct svc_searched *r)
{
	arena_fini(&r->arena);
}

/* ---- what is found ---- */

static bool is_full(const struct search *s)
{
	return s->to->n - s->before >= s->q->limit;
}

/* On one line, without what a terminal obeys. */
static const char *on_a_line(struct arena *a, const char *text)
{
	auto_buf struct buf out = BUF_INIT((size_t) 64 << 10);
	struct str s = str_of(text ? text : "");

	while (s.n) {
		size_t n = utf8_length(s);
		unsigned char c = (unsigned char) s.p[0];
		/* C0, DEL, and C1, whose characters are c2 80 to c2 9f */
		bool obeyed = n == 0 || c < ' ' || c == 0x7f ||
			      (c == 0xc2 && (unsigned char) s.p[1] < 0xa0);

		if (obeyed)
			buf_addc(&out, ' ');
		else
			buf_add(&out, s.p, n);
		s = (struct str){ s.p + (n ? n : 1), s.n - (n ? n : 1) };
	}
	return arena_dup(a, str_trim((struct str){ buf_z(&out), out.n }));
}

static bool fits(enum svc_search_want want, bool is)
{
	return want == SVC_SEARCH_ANY || is == (want == SVC_SEARCH_ONLY);
}

/* Whatever is no image's name is passed over. */
static int add(struct search *s, const char *name, const struct json *more, struct err *e)
{
	struct arena *a = &s->to->arena;
	const struct json *official = json_get(more, "is_official");
	const struct json *automated = json_get(more, "is_automated");
	struct svc_search_hit hit = {
		.index = s->host,
		.official = official && official->type == JSON_BOOL && official->boolean,
		.automated = automated && automated->type == JSON_BOOL && automated->boolean,
	}, *to;
	char whole[2 * REFERENCE_MAX];
	struct reference ref;
	struct err why = {};

	if (!name || snprintf(whole, sizeof(whole), "%s/%s", s->host, name) >= REFERENCE_MAX ||
	    reference_parse(str_of(whole), &ref, &why) < 0 || ref.tag[0] || ref.has_digest)
		return 0;
	if (json_u64(json_get(more, "star_count"), &hit.stars) < 0)
		hit.stars = 0;
	if (hit.stars < s->q->stars || !fits(s->q->official, hit.official) ||
	    !fits(s->q->automated, hit.automated))
		return 0;
	to = arena_push(a, &s->to->items, &s->to->n, sizeof(*to));
	hit.name = arena_strdup(a, reference_familiar(&ref));
	hit.description = on_a_line(a, json_string(json_get(more, "description")));
	if (!to || !hit.name || !hit.description)
		return no_memory(e);
	*to = hit;
	return 0;
}

/* ---- how it is asked for ---- */

static int ask(struct search *s, const char *path, struct arena *a, const struct json **ret_root,
	       struct err *e)
{
	auto_buf struct buf text = BUF_INIT(ANSWER_MAX);
	char type[REGISTRY_TYPE_MAX];
	int r = registry_document(s->registry, path, ANSWER_MAX, &text, type, e);

	if (r == 0 && json_parse(a, buf_str(&text), ret_root, e) < 0)
		r = err_ctx(e, "what %s answers", s->host);
	return r;
}

static int by_search(struct search *s, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(8 * ANSWER_MAX);
	auto_buf struct buf path = BUF_INIT(REGISTRY_WHAT_MAX - 1);
	const struct json *root = NULL, *results;
	struct str words = s->words;
	int r;

	/* As docker does: it does not know its own images by that. */
	if (streq(s->host, "docker.io") && str_starts(words, "library/"))
		words = (struct str){ words.p + 8, words.n - 8 };
	buf_adds(&path, "/v1/search?q=");
	url_escape(&path, words);
	buf_addf(&path, "&n=%llu", (unsigned long long) s->q->limit);
	r = ask(s, buf_z(&path), &a, &root, e);
	results = r < 0 ? NULL : json_get(root, "results");
	if (r == 0 && (!results || results->type != JSON_ARRAY))
		r = err_set(e, ERR_REMOTE, EPROTO, "%s answers a search with nonsense", s->host);
	for (size_t i = 0; r == 0 && i < results->n && !is_full(s); i++)
		r = add(s, json_string(json_get(&results->items[i], "name")), &results->items[i],
			e);
	return r;
}

static bool holds(const char *name, struct str words)
{
	return words.n == 0 || memmem(name, strlen(name), words.p, words.n);
}

/* A page of its list; gives the last name, "" where there is no more. */
static int one_page(struct search *s, char last[static REFERENCE_MAX], struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(8 * ANSWER_MAX);
	auto_buf struct buf path = BUF_INIT(REGISTRY_WHAT_MAX - 1);
	const struct json *root = NULL, *list;
	char latest[REFERENCE_MAX] = "";
	int r;

	buf_addf(&path, "/v2/_catalog?n=%u", PAGE);
	if (*last) {
		buf_adds(&path, "&last=");
		url_escape(&path, str_of(last));
	}
	if (!buf_ok(&path))
		return err_set(e, ERR_REMOTE, EPROTO, "%s lists nonsense", s->host);
	r = ask(s, buf_z(&path), &a, &root, e);
	list = r < 0 ? NULL : json_get(root, "repositories");
	if (r == 0 && list && list->type == JSON_NULL)
		list = NULL;
	else if (r == 0 && (!list || list->type != JSON_ARRAY))
		r = err_set(e, ERR_REMOTE, EPROTO, "%s lists nonsense", s->host);
	for (size_t i = 0; r == 0 && list && i < list->n && !is_full(s); i++) {
		const char *name = json_string(&list->items[i]);

		if (!name || strlen(name) > REFERENCE_NAME_MAX)
			continue;
		if (streq(name, last)) /* it does not know pages, and begins again */
			break;
		(void) snprintf(latest, sizeof(latest), "%s", name);
		if (holds(name, s->words))
			r = add(s, name, NULL, e);
	}
	memcpy(last, latest, sizeof(latest));
	return r;
}

static int by_list(struct search *s, struct err *e)
{
	char last[REFERENCE_MAX] = "";
	size_t pages = 0;
	int r;

	do
		r = one_page(s, last, e);
	while (r == 0 && *last && !is_full(s) && ++pages < PAGES_MOST);
	return r;
}

static int search_registry(struct search *s, struct err *e)
{
	struct err first = {};
	int r = by_search(s, &first);

	if (r < 0 && !streq(s->host, "docker.io") && by_list(s, e) == 0)
		return 0;
	/* What says more of the two. */
	if (r < 0 && (streq(s->host, "docker.io") ||
		      (e->kind == ERR_NOT_FOUND && first.kind != ERR_NOT_FOUND)))
		*e = first;
	return r;
}

static int search_one(struct search *s, struct err *e)
{
	struct registry_options o = { .no_verify = s->q->no_verify, .search = true };
	char name[REFERENCE_NAME_MAX + 2];
	int r = image_registry_may(s->host, &o.no_verify, e);

	s->before = s->to->n;
	(void) snprintf(name, sizeof(name), "%s/", s->host);
	r = r < 0 ? r : image_registry_open(name, &o, &s->registry, e);
	r = r < 0 ? r : search_registry(s, e);
	registry_close(s->registry);
	s->registry = NULL;
	return r;
}

/* ---- where ---- */

static int cut_host(struct search *s, char host[static REFERENCE_NAME_MAX + 1], struct err *e)
{
	struct str term = str_of(s->q->term), rest, first = str_cut(term, '/', &rest);
	char probe[REFERENCE_MAX];
	struct reference ref;

	host[0] = '\0';
	s->words = term;
	if (!term.n || term.n > TERM_MAX)
		return err_set(e, ERR_INVALID, EINVAL,
			       "what is searched for has 1 to %d characters", TERM_MAX);
	if (!rest.p)
		return 0;
	(void) snprintf(probe, sizeof(probe), "%.*s/a", (int) first.n, first.p);
	if (reference_is_short(str_of(probe)))
		return 0;
	if (reference_parse(str_of(probe), &ref, e) < 0)
		return -EINVAL;
	(void) snprintf(host, REFERENCE_NAME_MAX + 1, "%.*s", (int) strcspn(ref.name, "/"),
			ref.name);
	s->words = rest;
	return 0;
}

static int search_all(struct search *s, const char *const *hosts, size_t n, struct err *e)
{
	bool one = false;

	for (size_t i = 0; i < n; i++) {
		struct err why = {};

		s->host = arena_strdup(&s->to->arena, hosts[i]);
		if (!s->host)
			return no_memory(e);
		if (search_one(s, &why) == 0) {
			one = true;
		} else if (n == 1) {
			*e = why;
			return -EIO;
		} else {
			svc_notice(s->svc, "search %s: %s", hosts[i], why.msg);
		}
	}
	return one ? 0
		   : err_set(e, ERR_REMOTE, EIO, "none of %zu registries answers the search", n);
}

int svc_image_search(struct svc *svc, const struct svc_search *q, struct svc_searched *ret,
		     struct err *e)
{
	auto_registries struct registries conf = REGISTRIES_INIT;
	struct search s = { .svc = svc, .q = q, .to = ret };
	char host[REFERENCE_NAME_MAX + 1];
	const char *hub = "docker.io", *named = host;
	int r = cut_host(&s, host, e);

	*ret = (struct svc_searched){ .arena = ARENA_INIT((size_t) 64 << 20) };
	r = r < 0 ? r : registries_read(&conf, e);
	if (r == 0 && *host)
		r = search_all(&s, &named, 1, e);
	else if (r == 0 && conf.search_n)
		r = search_all(&s, conf.search, conf.search_n, e);
	else if (r == 0)
		r = search_all(&s, &hub, 1, e);
	if (r < 0) {
		svc_searched_fini(ret);
		return err_ctx(e, "search %s", shown_of(str_of(q->term)).z);
	}
	return 0;
}
