/* SPDX-License-Identifier: Apache-2.0 */
#include "svc/image_find.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "fmt/shown.h"
#include "image/credentials.h"
#include "image/hash.h"
#include "image/registries_read.h"
#include "svc/image_trust.h"

static int no_memory(struct err *e)
{
	return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left");
}

int image_registry_open(const char *name, const struct registry_options *options,
			struct registry **ret_g, struct err *e)
{
	struct registry_login *login = calloc(1, sizeof(*login));
	struct registry_options o = *options;
	const char *slash = strchr(name, '/'); /* a parsed name has one */
	char host[REFERENCE_NAME_MAX + 1];
	int r = login && slash ? 0 : no_memory(e);

	o.login_as = login;
	if (r == 0) {
		memcpy(host, name, (size_t) (slash - name));
		host[slash - name] = '\0';
		r = credentials_find(host, slash + 1, login, e);
	}
	if (r == 0)
		r = registry_open(host, slash + 1, &o, ret_g, e);
	if (login)
		explicit_bzero(login, sizeof(*login));
	free(login);
	return r;
}

int image_registry_may(const char *name, bool *no_verify, struct err *e)
{
	auto_registries struct registries c = REGISTRIES_INIT;
	struct reference ref = {};
	bool insecure = false;
	int r = registries_read(&c, e);

	(void) snprintf(ref.name, sizeof(ref.name), "%s", name);
	r = r < 0 ? r : registries_check(&c, &ref, &insecure, e);
	if (r == 0 && insecure)
		*no_verify = true;
	return r;
}

int image_check(const char *what, struct str text, const struct digest *want, uint64_t size,
		struct err *e)
{
	struct digest got = hash_of(text);
	char hex[DIGEST_TEXT_MAX];

	if (text.n == size && digest_eq(&got, want))
		return 0;
	digest_text(&got, hex);
	return err_set(e, ERR_INVALID, EBADMSG,
		       "%s: the registry gives other bytes: %zu of them, which hash to %s", what,
		       text.n, hex);
}

/* ---- what is meant ---- */

struct search {
	const struct svc_image_pull *req;
	const struct image_trust *trust;
	struct registries conf;
	struct reference *refs;
	size_t refs_n;
	struct tried {
		const char *name;
		struct err why;
	} * tried; /* in conf's arena */
	size_t tried_n;
	struct buf *text;
};

static void name_of(const struct reference *ref, char ret[static REFERENCE_MAX])
{
	struct reference whole = *ref;

	reference_default_tag(&whole);
	if (whole.has_digest)
		whole.tag[0] = '\0'; /* the digest says more */
	reference_text(&whole, ret);
}

static int choose(struct search *s, bool *ret_chosen, struct err *e)
{
	size_t n = s->refs_n, i = 0;
	const char **names;
	int r;

	if (n < 2 || s->conf.mode == REGISTRIES_DISABLED)
		return 0;
	if (!s->req->choose && s->conf.mode == REGISTRIES_PERMISSIVE)
		return 0;
	names = arena_array(&s->conf.arena, n, sizeof(*names));
	for (size_t k = 0; names && k < n; k++) {
		char name[REFERENCE_MAX];

		name_of(&s->refs[k], name);
		names[k] = arena_strdup(&s->conf.arena, name);
		if (!names[k])
			return no_memory(e);
	}
	if (!names)
		return no_memory(e);
	if (!s->req->choose)
		return err_set(e, ERR_INVALID, EINVAL,
			       "it may be %s, %s%s: give the whole name (short-name-mode is "
			       "\"enforcing\", and there is no terminal to ask)",
			       names[0], names[1], n > 2 ? ", ..." : "");
	r = s->req->choose(s->req->user, s->req->image, names, n, &i, e);
	if (r < 0)
		return r;
	s->refs += min_u64(i, n - 1);
	s->refs_n = 1;
	*ret_chosen = true;
	return 0;
}

static int mean(struct search *s, bool *ret_chosen, struct err *e)
{
	const struct str text = str_of(s->req->image);
	int r = registries_read(&s->conf, e);

	r = r < 0 ? r : registries_meant(&s->conf, text, &s->refs, &s->refs_n, e);
	if (r == 0 && s->refs_n == 0) {
		s->refs = arena_alloc(&s->conf.arena, sizeof(*s->refs));
		s->refs_n = 1;
		r = s->refs ? reference_parse(text, &s->refs[0], e) : no_memory(e);
	}
	return r < 0 ? r : choose(s, ret_chosen, e);
}

/* ---- where it is ---- */

/* last: there is no other place. */
static int try(struct search *s, const struct registries_place *at, bool last,
	       struct image_found *ret, struct err *e)
{
	const struct registry_options o = { .no_verify = s->req->no_verify || at->insecure,
					    .once = !last };
	char what[REGISTRY_WHAT_MAX], digest[DIGEST_TEXT_MAX] = "";
	const struct reference *ref = &at->ref;
	struct registry *g = NULL;
	int r;

	if (ref->has_digest)
		digest_text(&ref->digest, digest);
	(void) snprintf(what, sizeof(what), "manifests/%s", ref->has_digest ? digest : ref->tag);
	buf_clear(s->text);
	r = image_registry_open(ref->name, &o, &g, e);
	r = r < 0 ? r : registry_document(g, what, s->text->max, s->text, ret->type, e);
	if (r == 0 && ref->has_digest)
		r = image_check(what, buf_str(s->text), &ref->digest, s->text->n, e);
	if (r < 0) {
		registry_close(g);
		return r;
	}
	ret->registry = g;
	ret->at = *ref;
	return 0;
}

/* Whether there is room to remember it. */
static bool remember(struct search *s, const struct reference *ref, const struct err *why)
{
	struct tried *t = arena_push(&s->conf.arena, &s->tried, &s->tried_n, sizeof(*t));
	char name[REFERENCE_MAX];

	name_of(ref, name);
	if (t) {
		t->name = arena_strdup(&s->conf.arena, name);
		t->why = *why;
	}
	return t && t->name;
}

/* 1: it is there. */
static int try_all(struct search *s, struct reference *ref, bool last, struct image_found *ret,
		   struct err *e)
{
	struct registries_place *places = NULL;
	struct err why = {};
	size_t n = 0;

	reference_default_tag(ref);
	if (ref->has_digest)
		ref->tag[0] = '\0';
	if (image_trust_may(s->trust, ref, &why) < 0 ||
	    registries_places(&s->conf, ref, &places, &n, &why) < 0)
		return remember(s, ref, &why) ? 0 : no_memory(e);
	for (size_t i = 0; i < n; i++) {
		if (try(s, &places[i], last && i + 1 == n, ret, &why) == 0) {
			ret->ref = *ref;
			return 1;
		}
		if (!remember(s, &places[i].ref, &why))
			return no_memory(e);
	}
	return 0;
}

static int tell_tried(const struct search *s, struct err *e)
{
	const struct err *last = &s->tried[s->tried_n - 1].why;
	char all[440] = "";

	if (s->tried_n == 1) {
		*e = *last;
		return last->sys > 0 ? -last->sys : -EIO;
	}
	for (size_t i = 0; i < s->tried_n; i++) {
		size_t n = strlen(all), room = sizeof(all) - n;
		size_t share = (sizeof(all) - 1 - n) / (s->tried_n - i);
		const struct tried *t = &s->tried[i];

		(void) snprintf(all + n, min_u64(share + 1, room), "%s%s: %s", i ? "; " : "",
				t->name, t->why.msg);
	}
	return err_set(e, last->kind, last->sys, "none of %zu places has it: %s", s->tried_n, all);
}

int image_find(const struct svc_image_pull *req, const struct image_trust *trust, struct buf *text,
	       struct image_found *ret, struct err *e)
{
	struct search s = { .req = req, .trust = trust, .conf = REGISTRIES_INIT, .text = text };
	int r;

	*ret = (struct image_found){};
	r = mean(&s, &ret->chosen, e);
	for (size_t i = 0; i < s.refs_n && r == 0; i++)
		r = try_all(&s, &s.refs[i], i + 1 == s.refs_n, ret, e);
	if (r == 0)
		r = tell_tried(&s, e);
	registries_fini(&s.conf);
	return r < 0 ? r : 0;
}
