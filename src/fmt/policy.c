/* SPDX-License-Identifier: Apache-2.0 */
#include "fmt/policy.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fmt/base64.h"
#include "fmt/shown.h"

#define KEY_MAX ((size_t) 64 << 10)

/* A requirement, as the file says it. */
struct said {
	const char *type, *key_type, *key_path, *key_data;
	const char **key_paths, **key_datas;
	size_t key_paths_n, key_datas_n;
	const struct json *identity, *fulcio, *pki;
	const char *rekor_path, *rekor_data;
	const char **rekor_paths, **rekor_datas;
	size_t rekor_paths_n, rekor_datas_n;
};

static const struct json_field said_fields[] = {
	JSON_STRING_FIELD(struct said, type, "type", JSON_REQUIRED),
	JSON_STRING_FIELD(struct said, key_type, "keyType", 0),
	JSON_STRING_FIELD(struct said, key_path, "keyPath", 0),
	JSON_STRINGS_FIELD(struct said, key_paths, key_paths_n, "keyPaths", 0),
	JSON_STRING_FIELD(struct said, key_data, "keyData", 0),
	JSON_STRINGS_FIELD(struct said, key_datas, key_datas_n, "keyDatas", 0),
	JSON_VALUE_FIELD(struct said, identity, "signedIdentity", 0),
	JSON_VALUE_FIELD(struct said, fulcio, "fulcio", 0),
	JSON_VALUE_FIELD(struct said, pki, "pki", 0),
	JSON_STRING_FIELD(struct said, rekor_path, "rekorPublicKeyPath", 0),
	JSON_STRINGS_FIELD(struct said, rekor_paths, rekor_paths_n, "rekorPublicKeyPaths", 0),
	JSON_STRING_FIELD(struct said, rekor_data, "rekorPublicKeyData", 0),
	JSON_STRINGS_FIELD(struct said, rekor_datas, rekor_datas_n, "rekorPublicKeyDatas", 0),
};
static const struct json_table said_table = JSON_TABLE(struct said, said_fields,
						       JSON_UNKNOWN_REFUSE);

/* A signedIdentity, as the file says it. */
struct named {
	const char *type, *reference, *repository, *prefix, *signed_prefix;
};

static const struct json_field named_fields[] = {
	JSON_STRING_FIELD(struct named, type, "type", JSON_REQUIRED),
	JSON_STRING_FIELD(struct named, reference, "dockerReference", 0),
	JSON_STRING_FIELD(struct named, repository, "dockerRepository", 0),
	JSON_STRING_FIELD(struct named, prefix, "prefix", 0),
	JSON_STRING_FIELD(struct named, signed_prefix, "signedPrefix", 0),
};
static const struct json_table named_table = JSON_TABLE(struct named, named_fields,
							JSON_UNKNOWN_REFUSE);

struct document {
	const struct json *otherwise, *transports;
};

static const struct json_field document_fields[] = {
	JSON_VALUE_FIELD(struct document, otherwise, "default", JSON_REQUIRED),
	JSON_VALUE_FIELD(struct document, transports, "transports", 0),
};
static const struct json_table document_table = JSON_TABLE(struct document, document_fields,
							   JSON_UNKNOWN_REFUSE);

void policy_fini(struct policy *p)
{
	arena_fini(&p->arena);
}

static int no_memory(struct err *e)
{
	return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left");
}

static int wrong(struct err *e, const char *path, const char *what)
{
	return err_set(e, ERR_INVALID, EINVAL, "%s: %s", shown_of(str_of(path)).z, what);
}

/* ---- identities ---- */

static const struct {
	const char *type;
	enum policy_match match;
} matches[] = {
	{ "matchRepoDigestOrExact", POLICY_REPO_DIGEST_OR_EXACT },
	{ "matchExact", POLICY_EXACT },
	{ "matchRepository", POLICY_REPOSITORY },
	{ "exactReference", POLICY_EXACT_REFERENCE },
	{ "exactRepository", POLICY_EXACT_REPOSITORY },
	{ "remapIdentity", POLICY_REMAP },
};

/* "host/name", as a scope is written: whole, without a tag. */
static bool is_prefix(const char *text)
{
	return text && *text && !strchr(text, '@') && text[strlen(text) - 1] != '/';
}

static int check_identity(struct policy_identity *id, const struct named *n, const char *path,
			  struct err *e)
{
	bool by_reference = id->match == POLICY_EXACT_REFERENCE;
	bool by_repository = id->match == POLICY_EXACT_REPOSITORY,
	     remaps = id->match == POLICY_REMAP;
	struct reference ref;
	struct err why = {};

	if (!!n->reference != by_reference || !!n->repository != by_repository ||
	    !!n->prefix != remaps || !!n->signed_prefix != remaps)
		return wrong(e, path, "it has keys that do not belong to its type, or lacks one");
	id->reference = by_reference ? n->reference : n->repository;
	id->prefix = n->prefix;
	id->signed_prefix = n->signed_prefix;
	if (id->reference && reference_parse(str_of(id->reference), &ref, &why) < 0)
		return wrong(e, path, why.msg);
	if (by_reference && !ref.tag[0] && !ref.has_digest)
		return wrong(e, path, "dockerReference must have a tag or a digest");
	if (by_repository && (ref.tag[0] || ref.has_digest))
		return wrong(e, path, "dockerRepository must have no tag and no digest");
	if (remaps && (!is_prefix(id->prefix) || !is_prefix(id->signed_prefix)))
		return wrong(e, path, "prefix and signedPrefix must be HOST[:PORT][/NAME...]");
	return 0;
}

static int take_identity(struct policy *p, const struct json *v, struct policy_identity *id,
			 const char *path, struct err *e)
{
	struct named n = {};
	char at[160];
	int r;

	if (!v || v->type == JSON_NULL)
		return 0; /* as it is zeroed */
	(void) snprintf(at, sizeof(at), "%s.signedIdentity", path);
	r = json_decode(&p->arena, v, &named_table, &n, at, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < sizeof(matches) / sizeof(matches[0]); i++) {
		if (streq(n.type, matches[i].type)) {
			id->match = matches[i].match;
			return check_identity(id, &n, at, e);
		}
	}
	return wrong(e, at,
		     "its type is none of matchExact, matchRepoDigestOrExact, "
		     "matchRepository, exactReference, exactRepository and remapIdentity");
}

/* ---- requirements ---- */

static int take_key_datas(struct policy *p, const char *const *texts, size_t n,
			  struct policy_requirement *q, const char *path, struct err *e)
{
	q->keys = arena_array(&p->arena, n + 1, sizeof(*q->keys));
	if (!q->keys)
		return no_memory(e);
	for (size_t i = 0; i < n; i++) {
		auto_buf struct buf key = BUF_INIT(KEY_MAX);
		char *copy;

		if (base64_read(str_of(texts[i]), &key) < 0 || !buf_ok(&key) || !key.n)
			return wrong(e, path, "a key's data is no base64 of a public key (PEM)");
		copy = arena_dup(&p->arena, buf_str(&key));
		if (!copy)
			return no_memory(e);
		q->keys[q->keys_n++] = (struct str){ copy, key.n };
	}
	return 0;
}

static int take_keys(struct policy *p, const struct said *s, struct policy_requirement *q,
		     const char *path, struct err *e)
{
	int ways = !!s->key_path + !!s->key_paths + !!s->key_data + !!s->key_datas + !!s->fulcio +
		   !!s->pki;

	if (ways != 1)
		return wrong(e, path,
			     "exactly one of keyPath, keyPaths, keyData, keyDatas, fulcio "
			     "and pki is to be given");
	if ((s->key_paths && !s->key_paths_n) || (s->key_datas && !s->key_datas_n))
		return wrong(e, path, "no key");
	if (s->key_paths) {
		q->key_paths = s->key_paths;
		q->key_paths_n = s->key_paths_n;
	} else if (s->key_path) {
		q->key_paths = arena_array(&p->arena, 1, sizeof(*q->key_paths));
		if (!q->key_paths)
			return no_memory(e);
		q->key_paths[0] = s->key_path;
		q->key_paths_n = 1;
	} else if (s->key_datas) {
		return take_key_datas(p, s->key_datas, s->key_datas_n, q, path, e);
	} else if (s->key_data) {
		return take_key_datas(p, (const char *const[]){ s->key_data }, 1, q, path, e);
	}
	return 0;
}

static const char *rekor_of(const struct said *s)
{
	return s->rekor_path || s->rekor_paths || s->rekor_data || s->rekor_datas
		       ? "rekorPublicKey... (entries of a transparency log)"
		       : NULL;
}

static int take_sigstore(struct policy *p, const struct said *s, struct policy_requirement *q,
			 const char *path, struct err *e)
{
	int r;

	if (s->key_type)
		return wrong(e, path, "keyType does not belong to sigstoreSigned");
	q->kind = POLICY_SIGSTORE;
	r = take_keys(p, s, q, path, e);
	if (r < 0)
		return r;
	q->unsupported = s->fulcio ? "fulcio (keys by certificates)"
			 : s->pki  ? "pki (keys by certificates)"
				   : rekor_of(s);
	return take_identity(p, s->identity, &q->identity, path, e);
}

static int take_requirement(struct policy *p, const struct json *v, struct policy_requirement *q,
			    const char *path, struct err *e)
{
	struct said s = {};
	int r = json_decode(&p->arena, v, &said_table, &s, path, e);

	if (r < 0)
		return r;
	if (streq(s.type, "sigstoreSigned"))
		return take_sigstore(p, &s, q, path, e);
	if (streq(s.type, "signedBy")) {
		q->kind = POLICY_UNSUPPORTED;
		q->unsupported = "signedBy (signatures of GPG)";
		return take_identity(p, s.identity, &q->identity, path, e);
	}
	if (streq(s.type, "insecureAcceptAnything"))
		q->kind = POLICY_ACCEPT;
	else if (streq(s.type, "reject"))
		q->kind = POLICY_REJECT;
	else
		return err_set(e, ERR_INVALID, EINVAL,
			       "%s: type '%s' is none of insecureAcceptAnything, reject, "
			       "sigstoreSigned and signedBy",
			       shown_of(str_of(path)).z, shown_of(str_of(s.type)).z);
	return v->members_n == 1 ? 0 : wrong(e, path, "it has keys that do not belong to its type");
}

static int take_rule(struct policy *p, const struct json *v, const char *scope,
		     struct policy_rule *rule, const char *path, struct err *e)
{
	rule->scope = scope;
	if (v->type != JSON_ARRAY || !v->n)
		return wrong(e, path, "must be an array of requirements, one at least");
	rule->requirements = arena_array(&p->arena, v->n, sizeof(*rule->requirements));
	if (!rule->requirements)
		return no_memory(e);
	rule->n = v->n;
	for (size_t i = 0; i < v->n; i++) {
		char at[128];
		int r;

		(void) snprintf(at, sizeof(at), "%.100s[%zu]", path, i);
		r = take_requirement(p, &v->items[i], &rule->requirements[i], at, e);
		if (r < 0)
			return r;
	}
	return 0;
}

static int take_docker(struct policy *p, const struct json *v, struct err *e)
{
	int r = 0;

	if (v->type != JSON_OBJECT)
		return wrong(e, "transports.docker", "must be an object");
	p->rules = arena_array(&p->arena, v->members_n + 1, sizeof(*p->rules));
	if (!p->rules)
		return no_memory(e);
	for (size_t i = 0; i < v->members_n && r == 0; i++) {
		const struct json_member *m = &v->members[i];
		char at[128];

		(void) snprintf(at, sizeof(at), "transports.docker.\"%.60s\"", shown_of(m->key).z);
		if (strchr(m->key.p, '*') &&
		    (strncmp(m->key.p, "*.", 2) != 0 || strpbrk(m->key.p + 2, "*/@:")))
			return wrong(e, at, "a '*' stands for *.DOMAIN only");
		r = take_rule(p, &m->value, m->key.p, &p->rules[p->rules_n++], at, e);
	}
	return r;
}

static int take(struct policy *p, struct str text, struct err *e)
{
	struct document d = {};
	const struct json *docker;
	int r = json_parse(&p->arena, text, &p->tree, e);

	r = r < 0 ? r : json_decode(&p->arena, p->tree, &document_table, &d, "", e);
	r = r < 0 ? r : take_rule(p, d.otherwise, NULL, &p->otherwise, "default", e);
	if (r == 0 && d.transports && d.transports->type != JSON_OBJECT)
		r = wrong(e, "transports", "must be an object");
	docker = r < 0 ? NULL : json_get(d.transports, "docker");
	return docker ? take_docker(p, docker, e) : r;
}

int policy_parse(struct policy *p, struct str text, const char *file, struct err *e)
{
	int r = 0;

	p->file = arena_strdup(&p->arena, file);
	r = p->file ? take(p, text, e) : no_memory(e);
	return r < 0 ? err_ctx(e, "%s", file) : 0;
}

/* ---- which rule ---- */

static const struct policy_rule *find_scope(const struct policy *p, struct str scope)
{
	for (size_t i = 0; i < p->rules_n; i++)
		if (str_is(scope, p->rules[i].scope))
			return &p->rules[i];
	return NULL;
}

/* "a.example.com:5000" is of "*.example.com" and "*.com". */
static const struct policy_rule *find_domain(const struct policy *p, struct str host)
{
	struct str rest = str_cut(host, ':', &(struct str){});

	while (str_cut(rest, '.', &rest).n && rest.p) {
		for (size_t i = 0; i < p->rules_n; i++)
			if (strncmp(p->rules[i].scope, "*.", 2) == 0 &&
			    str_is(rest, p->rules[i].scope + 2))
				return &p->rules[i];
	}
	return NULL;
}

const struct policy_rule *policy_find(const struct policy *p, const struct reference *ref)
{
	const struct policy_rule *found;
	char text[REFERENCE_MAX];
	struct str scope;

	reference_text(ref, text);
	found = find_scope(p, str_of(text));
	for (scope = str_of(ref->name); !found;) {
		const char *slash;

		found = find_scope(p, scope);
		slash = memrchr(scope.p, '/', scope.n);
		if (!slash)
			break;
		scope.n = (size_t) (slash - scope.p);
	}
	found = found ? found : find_domain(p, scope);
	found = found ? found : find_scope(p, STR(""));
	return found ? found : &p->otherwise;
}

void policy_rule_name(const struct policy_rule *rule, char ret[static 160])
{
	if (!rule->scope)
		(void) snprintf(ret, 160, "the default");
	else
		(void) snprintf(ret, 160, "docker \"%s\"", shown_of(str_of(rule->scope)).z);
}

const char *policy_kind_name(const struct policy_requirement *q)
{
	switch (q->kind) {
	case POLICY_ACCEPT:
		return "insecureAcceptAnything";
	case POLICY_REJECT:
		return "reject";
	case POLICY_SIGSTORE:
		return "sigstoreSigned";
	case POLICY_UNSUPPORTED:
		return "signedBy";
	}
	return "";
}

/* ---- whose name ---- */

static bool same_text(const struct reference *a, const struct reference *b)
{
	char one[REFERENCE_MAX], two[REFERENCE_MAX];

	reference_text(a, one);
	reference_text(b, two);
	return streq(one, two);
}

static bool fits_or_by_digest(const struct reference *ref, const struct reference *is)
{
	if (ref->tag[0])
		return same_text(ref, is);
	return ref->has_digest && streq(ref->name, is->name);
}

/* The name with its other beginning; false: it is none. */
static bool remap(const struct policy_identity *id, struct reference *ref)
{
	char text[REFERENCE_MAX], moved[2 * REFERENCE_MAX];
	size_t n = strlen(id->prefix);
	struct err ignored;

	reference_text(ref, text);
	if (strncmp(text, id->prefix, n) != 0 || !strchr("/:@", text[n]))
		return true; /* it is as it is; the end of the text counts, too */
	if (snprintf(moved, sizeof(moved), "%s%s", id->signed_prefix, text + n) >=
	    (int) sizeof(moved))
		return false;
	return reference_parse(str_of(moved), ref, &ignored) == 0;
}

bool policy_identity_fits(const struct policy_identity *id, const struct reference *ref,
			  const struct reference *is)
{
	struct reference other = {};
	struct err ignored;

	switch (id->match) {
	case POLICY_REPO_DIGEST_OR_EXACT:
		return fits_or_by_digest(ref, is);
	case POLICY_EXACT:
		return (ref->tag[0] || ref->has_digest) && same_text(ref, is);
	case POLICY_REPOSITORY:
		return streq(ref->name, is->name);
	case POLICY_EXACT_REFERENCE:
		return reference_parse(str_of(id->reference), &other, &ignored) == 0 &&
		       same_text(&other, is);
	case POLICY_EXACT_REPOSITORY:
		return reference_parse(str_of(id->reference), &other, &ignored) == 0 &&
		       streq(other.name, is->name);
	case POLICY_REMAP:
		other = *ref;
		return remap(id, &other) && fits_or_by_digest(&other, is);
	}
	return false;
}
