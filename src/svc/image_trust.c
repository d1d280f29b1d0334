/* SPDX-License-Identifier: Apache-2.0 */
#include "svc/image_trust.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "fmt/base64.h"
#include "fmt/oci_image.h"
#include "fmt/shown.h"
#include "fmt/signature.h"
#include "image/policy_read.h"
#include "image/worker.h"
#include "svc/image_find.h"

#define MANIFEST_MAX ((size_t) 4 << 20)
#define KEYS_MAX     64
#define ARENA_MAX    ((size_t) 64 << 20)

struct signature {
	struct str payload, bytes;
};

struct check {
	struct image_trust *trust;
	const struct image_trust_subject *subject;
	const struct policy_rule *rule;
	struct arena arena;
	struct signature *signatures;
	size_t signatures_n;
	bool fetched;
	/* Why none would do: what is worse is told. */
	enum why { NONE, UNREADABLE, OTHER_KEY, OTHER_DIGEST, OTHER_NAME } why;
	char why_text[200];
};

static int no_memory(struct err *e)
{
	return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left");
}

int image_trust_read(struct image_trust *t, struct err *e)
{
	return policy_read(&t->policy, e);
}

void image_trust_fini(struct image_trust *t)
{
	policy_fini(&t->policy);
}

/* As "policy.json's rule docker "x" (reject)". */
static int refuse(const struct image_trust *t, const struct policy_rule *rule,
		  const struct policy_requirement *q, enum err_kind kind, struct err *e,
		  const char *why)
{
	char name[160];

	policy_rule_name(rule, name);
	return err_set(e, kind, kind == ERR_UNSUPPORTED ? EOPNOTSUPP : EACCES, "%s of %s, %s: %s",
		       name, t->policy.file ? t->policy.file : "", policy_kind_name(q), why);
}

int image_trust_may(const struct image_trust *t, const struct reference *ref, struct err *e)
{
	const struct policy_rule *rule = policy_find(&t->policy, ref);

	for (size_t i = 0; i < rule->n; i++) {
		const struct policy_requirement *q = &rule->requirements[i];
		char why[200];

		if (q->kind == POLICY_REJECT)
			return refuse(t, rule, q, ERR_DENIED, e,
				      "such images are refused: change the rule if this one is to "
				      "be had");
		if (!q->unsupported)
			continue;
		(void) snprintf(why, sizeof(why),
				"it asks for %s, which is not supported: sigstoreSigned with keys "
				"is",
				q->unsupported);
		return refuse(t, rule, q, ERR_UNSUPPORTED, e, why);
	}
	return 0;
}

/* ---- what signatures there are ---- */

[[gnu::format(printf, 3, 4)]] static void note(struct check *k, enum why why, const char *fmt, ...)
{
	va_list ap;

	if (why < k->why)
		return;
	k->why = why;
	va_start(ap, fmt);
	(void) vsnprintf(k->why_text, sizeof(k->why_text), fmt, ap);
	va_end(ap);
}

static int copy_of(struct check *k, struct str text, struct str *ret, struct err *e)
{
	char *p = arena_dup(&k->arena, text);

	*ret = (struct str){ p, text.n };
	return p ? 0 : no_memory(e);
}

static int fetch_one(struct check *k, const struct oci_descriptor *d, struct err *e)
{
	auto_buf struct buf payload = BUF_INIT(SIGNATURE_PAYLOAD_MAX);
	auto_buf struct buf bytes = BUF_INIT(SIGNATURE_MAX);
	const char *text = json_pair_find(d->annotations, d->annotations_n, SIGNATURE_ANNOTATION);
	char hex[DIGEST_TEXT_MAX], what[REGISTRY_WHAT_MAX], type[REGISTRY_TYPE_MAX];
	struct signature *s;
	struct err why = {};
	int r;

	if (!d->media_type || !streq(d->media_type, SIGNATURE_MEDIA))
		return 0; /* something else that is kept there */
	if (!text || base64_read(str_of(text), &bytes) < 0 || !buf_ok(&bytes) || !bytes.n ||
	    d->size > SIGNATURE_PAYLOAD_MAX) {
		note(k, UNREADABLE, "a signature is too large, or no base64");
		return 0;
	}
	digest_text(&d->digest, hex);
	(void) snprintf(what, sizeof(what), "blobs/%s", hex);
	r = registry_document(k->subject->registry, what, (size_t) d->size, &payload, type, e);
	if (r < 0)
		return r;
	if (image_check(what, buf_str(&payload), &d->digest, d->size, &why) < 0) {
		note(k, UNREADABLE, "%s", why.msg);
		return 0;
	}
	s = arena_push(&k->arena, &k->signatures, &k->signatures_n, sizeof(*s));
	r = s ? copy_of(k, buf_str(&payload), &s->payload, e) : no_memory(e);
	return r < 0 ? r : copy_of(k, buf_str(&bytes), &s->bytes, e);
}

/* Beside one manifest. */
static int fetch_beside(struct check *k, const struct digest *d, struct err *e)
{
	auto_buf struct buf text = BUF_INIT(MANIFEST_MAX);
	char tag[SIGNATURE_TAG_MAX], what[REGISTRY_WHAT_MAX], type[REGISTRY_TYPE_MAX];
	struct oci_manifest *m = NULL;
	struct err why = {};
	int r;

	signature_tag(d, tag);
	(void) snprintf(what, sizeof(what), "manifests/%s", tag);
	r = registry_document(k->subject->registry, what, MANIFEST_MAX, &text, type, &why);
	if (r < 0 && why.kind == ERR_NOT_FOUND)
		return 0;
	if (r < 0) {
		*e = why;
		return err_ctx(e, "signatures");
	}
	if (oci_manifest_decode(&k->arena, buf_str(&text), &m, &why) < 0) {
		note(k, UNREADABLE, "what the registry has at %s is no manifest: %s", tag, why.msg);
		return 0;
	}
	for (size_t i = 0; i < m->layers_n && k->signatures_n < SIGNATURES_MAX && r == 0; i++)
		r = fetch_one(k, &m->layers[i], e);
	return r < 0 ? err_ctx(e, "signatures") : 0;
}

static int fetch(struct check *k, struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < k->subject->digests_n && r == 0 && !k->fetched; i++)
		r = fetch_beside(k, &k->subject->digests[i], e);
	k->fetched = true;
	return r;
}

/* ---- whether one of them will do ---- */

struct keys {
	int fds[KEYS_MAX]; /* owned */
	size_t n;
};

static int open_keys(const struct image_trust *t, const struct policy_requirement *q,
		     struct keys *keys, struct err *e)
{
	int r = 0;

	if (q->key_paths_n + q->keys_n > KEYS_MAX)
		return err_set(e, ERR_EXHAUSTED, E2BIG, "%s: more than %d keys", t->policy.file,
			       KEYS_MAX);
	for (size_t i = 0; i < q->key_paths_n && r == 0; i++) {
		int fd = open(q->key_paths[i], O_RDONLY | O_CLOEXEC | O_NOCTTY);

		if (fd < 0)
			r = err_sys(e, errno, "the key %s, which %s names",
				    shown_of(str_of(q->key_paths[i])).z, t->policy.file);
		else
			keys->fds[keys->n++] = fd;
	}
	for (size_t i = 0; i < q->keys_n && r == 0; i++) {
		int fd = worker_text_file(q->keys[i], e);

		if (fd < 0)
			r = fd;
		else
			keys->fds[keys->n++] = fd;
	}
	return r;
}

static void close_keys(struct keys *keys)
{
	while (keys->n)
		close_fd(&keys->fds[--keys->n]);
}

/* 1: by it the requirement is met. What is signed is looked at once it is known by whom. */
static int try_one(struct check *k, const struct policy_requirement *q, const struct keys *keys,
		   const struct signature *s, struct err *e)
{
	const struct verify_request v = { .payload = s->payload,
					  .signature = s->bytes,
					  .key_fds = keys->fds,
					  .keys_n = keys->n };
	const struct image_trust_subject *subject = k->subject;
	struct signature_payload p;
	struct verify_result is = {};
	struct image_verified *out;
	char text[REFERENCE_MAX];
	struct err why = {};
	bool same = false;
	int r;

	for (size_t i = 0; i < keys->n; i++)
		if (lseek(keys->fds[i], 0, SEEK_SET) < 0)
			return err_sys(e, errno, "read a key again");
	r = worker_verify(&v, &is, e);
	if (r < 0)
		return err_ctx(e, "the keys of sigstoreSigned in %s", k->trust->policy.file);
	if (!is.good) {
		note(k, OTHER_KEY,
		     "the signature that is there is by none of its keys, or of "
		     "other bytes");
		return 0;
	}
	if (signature_payload_decode(s->payload, &p, &why) < 0) {
		note(k, OTHER_DIGEST, "%s", why.msg);
		return 0;
	}
	for (size_t i = 0; i < subject->digests_n; i++)
		same = same || digest_eq(&p.digest, &subject->digests[i]);
	if (!same) {
		note(k, OTHER_DIGEST, "the signature is of another image's digest");
		return 0;
	}
	reference_text(&p.ref, text);
	if (!policy_identity_fits(&q->identity, subject->ref, &p.ref)) {
		note(k, OTHER_NAME,
		     "the signature is of the name '%s' (signedIdentity says which "
		     "one is asked for)",
		     shown_of(str_of(text)).z);
		return 0;
	}
	out = arena_push(&k->trust->policy.arena, &k->trust->verified, &k->trust->verified_n,
			 sizeof(*out));
	if (!out)
		return no_memory(e);
	*out = (struct image_verified){ .digest = p.digest, .key = is.print };
	memcpy(out->identity, text, sizeof(out->identity));
	return 1;
}

static int check_signed(struct check *k, const struct policy_requirement *q, struct err *e)
{
	struct keys keys = { .n = 0 };
	int r = open_keys(k->trust, q, &keys, e);

	r = r < 0 ? r : fetch(k, e);
	for (size_t i = 0; i < k->signatures_n && r == 0; i++)
		r = try_one(k, q, &keys, &k->signatures[i], e);
	close_keys(&keys);
	if (r != 0)
		return r < 0 ? r : 0;
	return refuse(k->trust, k->rule, q, ERR_DENIED, e,
		      k->why == NONE ? "the registry has no signature of it: have it signed, or "
				       "change the rule"
				     : k->why_text);
}

int image_trust_check(struct image_trust *t, const struct image_trust_subject *s, struct err *e)
{
	struct check k = { .trust = t,
			   .subject = s,
			   .rule = policy_find(&t->policy, s->ref),
			   .arena = ARENA_INIT(ARENA_MAX) };
	int r = image_trust_may(t, s->ref, e);

	for (size_t i = 0; i < k.rule->n && r == 0; i++)
		if (k.rule->requirements[i].kind == POLICY_SIGSTORE)
			r = check_signed(&k, &k.rule->requirements[i], e);
	arena_fini(&k.arena);
	return r;
}
