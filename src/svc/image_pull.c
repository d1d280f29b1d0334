/* SPDX-License-Identifier: Apache-2.0 */
#include "svc/image_pull.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/num.h"
#include "fmt/oci_image.h"
#include "fmt/reference.h"
#include "fmt/shown.h"
#include "image/build.h"
#include "image/content.h"
#include "image/credentials.h"
#include "image/hash.h"
#include "image/registries_read.h"
#include "store/image.h"
#include "store/origin.h"
#include "svc/image.h"
#include "svc/image_find.h"
#include "svc/image_parts.h"
#include "svc/image_trust.h"
#include "svc/svc.h"

#define MANIFEST_MAX	    ((size_t) 4 << 20)
#define CONFIG_MAX	    ((size_t) 8 << 20)
#define LAYER_SHOWN	    12 /* hex digits */
#define MEDIA_DOCKER_CONFIG "application/vnd.docker.container.image.v1+json"
#define MEDIA_DOCKER_OLD    "application/vnd.docker.distribution.manifest.v1" /* and +prettyjws */

struct wanted_platform {
	struct str os, architecture, variant;
};

struct layer {
	char shown[LAYER_SHOWN + 1];
	char part[CONTENT_NAME_MAX]; /* in tmp: what is fetched of it; "" when nothing is */
	int file;		     /* owned; FD_NONE */
	size_t blob;		     /* of pull.blobs, when it is fetched */
	bool fetched;
};

struct pull {
	struct svc *svc;
	const struct svc_image_pull *req;
	struct reference ref, at; /* what it is, where it was found */
	bool chosen;		  /* of what a short name may mean */
	struct wanted_platform platform;
	struct image_trust trust;
	struct registry *registry;
	struct content content;
	struct arena arena;
	struct buf manifest_text, config_text;
	struct oci_manifest *manifest;
	struct oci_image_config *config;
	struct digest top; /* of what the name led to */
	struct layer *layers;
	struct registry_blob *blobs;
	size_t blobs_n;
	pthread_mutex_t mutex; /* of req->told */
};

static int no_memory(struct err *e)
{
	return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left");
}

static void tell(struct pull *p, enum svc_layer_kind kind, size_t i, uint64_t bytes)
{
	struct svc_layer_step step = { .kind = kind, .i = i, .bytes = bytes };

	if (!p->req->told)
		return;
	step.n = p->manifest->layers_n;
	step.layer = p->layers[i].shown;
	step.total = p->manifest->layers[i].size;
	(void) pthread_mutex_lock(&p->mutex);
	p->req->told(p->req->user, &step);
	(void) pthread_mutex_unlock(&p->mutex);
}

static void tell_begin(struct pull *p)
{
	char text[REFERENCE_MAX], at[REFERENCE_MAX];
	struct svc_layer_step step = { .kind = SVC_LAYERS_BEGIN, .n = p->manifest->layers_n };

	reference_text(&p->ref, text);
	reference_text(&p->at, at);
	step.name = reference_familiar_of(text);
	if (!streq(text, at))
		step.from = reference_familiar_of(at);
	if (p->req->told)
		p->req->told(p->req->user, &step);
}

/* ---- what is asked for ---- */

static int parse_platform(struct pull *p, struct err *e)
{
	struct wanted_platform *w = &p->platform;

	if (!p->req->platform) {
		*w = (struct wanted_platform){ STR("linux"), str_of(image_architecture()), {} };
		return 0;
	}
	w->os = str_cut(str_of(p->req->platform), '/', &w->architecture);
	if (w->architecture.p)
		w->architecture = str_cut(w->architecture, '/', &w->variant);
	if (!str_is(w->os, "linux") || !w->architecture.n)
		return err_set(e, ERR_INVALID, EINVAL,
			       "platform '%s': must be linux/ARCHITECTURE[/VARIANT]",
			       shown_of(str_of(p->req->platform)).z);
	return 0;
}

/* ---- its documents ---- */

static bool is_type(const char *type, const char *media)
{
	return type && streq(type, media);
}

static bool is_index(const char *type)
{
	return is_type(type, MEDIA_OCI_INDEX) || is_type(type, MEDIA_DOCKER_INDEX);
}

static int fetch(struct pull *p, const char *kind, const struct digest *d, uint64_t size,
		 size_t max, struct buf *text, char type[static REGISTRY_TYPE_MAX], struct err *e)
{
	char hex[DIGEST_TEXT_MAX], what[REGISTRY_WHAT_MAX];
	int r;

	digest_text(d, hex);
	(void) snprintf(what, sizeof(what), "%s/%s", kind, hex);
	buf_clear(text);
	if (size > max)
		return err_set(e, ERR_INVALID, EFBIG, "%s has %llu bytes, more than are allowed",
			       what, (unsigned long long) size);
	r = registry_document(p->registry, what, size == UINT64_MAX ? max : (size_t) size, text,
			      type, e);
	return r < 0 ? r : image_check(what, buf_str(text), d, size, e);
}

static bool fits(const struct wanted_platform *w, const struct oci_platform *p)
{
	return p && p->os && p->architecture && str_is(w->os, p->os) &&
	       str_is(w->architecture, p->architecture) &&
	       (!w->variant.n || (p->variant && str_is(w->variant, p->variant)));
}

static int choose(struct pull *p, struct str text, const struct oci_descriptor **ret_d,
		  struct err *e)
{
	struct oci_index *x = NULL;
	char all[160] = "";
	int r = oci_index_decode(&p->arena, text, &x, e);

	if (r < 0)
		return r;
	for (size_t i = 0; i < x->manifests_n; i++) {
		const struct oci_platform *has = x->manifests[i].platform;
		size_t n = strlen(all);

		if (fits(&p->platform, has)) {
			*ret_d = &x->manifests[i];
			return 0;
		}
		/* Attestations call themselves unknown. */
		if (has && has->os && has->architecture && !streq(has->os, "unknown"))
			(void) snprintf(all + n, sizeof(all) - n, "%s%.12s/%.12s%s%.8s",
					n ? ", " : "", has->os, has->architecture,
					has->variant ? "/" : "", has->variant ? has->variant : "");
	}
	return err_set(e, ERR_NOT_FOUND, ENOENT, "it is not there for %.*s/%.*s, but for: %s",
		       (int) p->platform.os.n, p->platform.os.p, (int) p->platform.architecture.n,
		       p->platform.architecture.p, all[0] ? shown_of(str_of(all)).z : "nothing");
}

static int fetch_manifest(struct pull *p, struct err *e)
{
	struct image_found found;
	const struct oci_descriptor *d = NULL;
	char *type = found.type;
	int r = image_find(p->req, &p->trust, &p->manifest_text, &found, e);

	if (r < 0)
		return r;
	p->registry = found.registry;
	p->ref = found.ref;
	p->at = found.at;
	p->chosen = found.chosen;
	p->top = hash_of(buf_str(&p->manifest_text));
	if (is_index(type)) {
		r = choose(p, buf_str(&p->manifest_text), &d, e);
		r = r < 0 ? r
			  : fetch(p, "manifests", &d->digest, d->size, MANIFEST_MAX,
				  &p->manifest_text, type, e);
	}
	if (r < 0)
		return r;
	if (strncmp(type, MEDIA_DOCKER_OLD, sizeof(MEDIA_DOCKER_OLD) - 1) == 0)
		return err_set(
			e, ERR_UNSUPPORTED, EOPNOTSUPP,
			"its manifest is of docker's schema 1, which nobody writes any more: "
			"have it pushed again");
	if (is_index(type))
		return err_set(e, ERR_INVALID, ELOOP, "an index in an index");
	return oci_manifest_decode(&p->arena, buf_str(&p->manifest_text), &p->manifest, e);
}

/* It is the image's id, and the image may be there. */
static int find_config(struct pull *p, struct err *e)
{
	const struct oci_descriptor *c = p->manifest->config;
	char hex[DIGEST_HEX_MAX], ignored[REGISTRY_TYPE_MAX];
	struct store_image row;
	bool found = false;
	int r;

	digest_hex(&c->digest, hex);
	r = store_image_by_prefix(p->svc->store, &p->arena, str_of(hex), &row, &found, e);
	if (r < 0)
		return r;
	if (!found || row.config.n != c->size)
		return fetch(p, "blobs", &c->digest, c->size, CONFIG_MAX, &p->config_text, ignored,
			     e);
	buf_add(&p->config_text, row.config.p, row.config.n);
	return buf_ok(&p->config_text) ? 0 : no_memory(e);
}

/* A signature of the index is one of each manifest that it names. */
static int check_trust(struct pull *p, struct err *e)
{
	const struct digest digests[] = { p->top, hash_of(buf_str(&p->manifest_text)) };
	const struct image_trust_subject s = {
		.ref = &p->ref,
		.registry = p->registry,
		.digests = digests,
		.digests_n = digest_eq(&digests[0], &digests[1]) ? 1 : 2,
	};

	return image_trust_check(&p->trust, &s, e);
}

static int fetch_config(struct pull *p, struct err *e)
{
	const struct oci_manifest *m = p->manifest;
	const char *type = m->config->media_type;
	int r;

	if (type && !streq(type, MEDIA_OCI_CONFIG) && !streq(type, MEDIA_DOCKER_CONFIG))
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "it is no image, but an artifact of type %s",
			       shown_of(str_of(type)).z);
	r = find_config(p, e);
	r = r < 0 ? r : oci_image_config_decode(&p->arena, buf_str(&p->config_text), &p->config, e);
	if (r < 0)
		return r;
	if (p->config->diff_ids_n != m->layers_n)
		return err_set(e, ERR_INVALID, EBADMSG,
			       "the image's configuration names %zu layers, its manifest %zu",
			       p->config->diff_ids_n, m->layers_n);
	if (p->config->os && *p->config->os && !streq(p->config->os, "linux"))
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP, "the image is for %s, not linux",
			       shown_of(str_of(p->config->os)).z);
	if (p->config->architecture && !str_is(p->platform.architecture, p->config->architecture))
		svc_notice(p->svc, "the image is for linux/%s, not for linux/%.*s",
			   shown_of(str_of(p->config->architecture)).z,
			   (int) p->platform.architecture.n, p->platform.architecture.p);
	return 0;
}

/* ---- its layers ---- */

static void moved(void *user, size_t blob, uint64_t bytes, bool whole)
{
	struct pull *p = user;

	for (size_t i = 0; i < p->manifest->layers_n; i++) {
		if (p->layers[i].fetched && p->layers[i].blob == blob) {
			tell(p, whole ? SVC_LAYER_FETCHED : SVC_LAYER_GOES_ON, i, bytes);
			return;
		}
	}
}

static int has_layer(struct pull *p, const struct digest *chain, bool *ret_found, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(1u << 20);
	struct store_layer row;

	return store_layer_get(p->content.store, &a, chain, &row, ret_found, e);
}

static int want(struct pull *p, size_t i, struct err *e)
{
	const struct oci_descriptor *d = &p->manifest->layers[i];
	struct layer *l = &p->layers[i];
	struct registry_blob *b = &p->blobs[p->blobs_n];
	struct err none = {};
	uint64_t size;
	int fd = content_blob_open(&p->content, &d->digest, &size, &none);

	if (fd >= 0 && size == d->size) {
		l->file = fd; /* another image has it, upon other layers */
		return 0;
	}
	if (fd >= 0)
		(void) close(fd);
	*b = (struct registry_blob){ .digest = d->digest, .size = d->size };
	l->file = content_part_open(&p->content, &d->digest, l->part, &b->have, e);
	if (l->file < 0)
		return l->file;
	if (b->have > b->size) /* what is that? */
		b->have = 0;
	b->file = l->file;
	l->fetched = true;
	l->blob = p->blobs_n++;
	return 0;
}

/* Which layers are to be fetched; and that is begun. */
static int want_layers(struct pull *p, struct err *e)
{
	size_t n = p->manifest->layers_n;
	struct digest chain;
	bool found = true;
	int r = 0;

	p->layers = arena_array(&p->arena, n + 1, sizeof(*p->layers));
	p->blobs = arena_array(&p->arena, n + 1, sizeof(*p->blobs));
	if (!p->layers || !p->blobs)
		return no_memory(e);
	for (size_t i = 0; i < n; i++) {
		char hex[DIGEST_HEX_MAX];

		digest_hex(&p->manifest->layers[i].digest, hex);
		p->layers[i] = (struct layer){ .file = FD_NONE };
		memcpy(p->layers[i].shown, hex, LAYER_SHOWN);
	}
	tell_begin(p);
	for (size_t i = 0; i < n && r == 0; i++) {
		chain = hash_chain(i ? &chain : NULL, &p->config->diff_ids[i]);
		if (found)
			r = has_layer(p, &chain, &found, e);
		if (r == 0 && !found)
			r = want(p, i, e);
		if (r == 0)
			tell(p, p->layers[i].file >= 0 ? SVC_LAYER_WAITS : SVC_LAYER_EXISTS, i, 0);
	}
	return r < 0 || !p->blobs_n
		       ? r
		       : registry_blobs(p->registry, p->blobs, p->blobs_n, moved, p, e);
}

static int unpack_fetched(struct pull *p, struct build *b, size_t i, struct err *e)
{
	struct layer *l = &p->layers[i];
	struct registry_blob *blob = &p->blobs[l->blob];
	const struct oci_descriptor *d = &p->manifest->layers[i];
	char own[CONTENT_NAME_MAX];
	struct build_source src = { .fd = blob->pipe,
				    .diff = &p->config->diff_ids[i],
				    .packed = &d->digest,
				    .tmp_name = own };
	struct err why = {};
	int r = content_tmp_link(&p->content, l->part, own, e);

	if (r < 0)
		return r;
	r = build_layer(b, &src, &why);
	close_fd(&blob->pipe);
	/* What the network has to say explains the rest; and what came of it is kept. */
	if (registry_blob_wait(p->registry, l->blob, e) < 0)
		return -EIO;
	content_tmp_drop(&p->content, l->part);
	if (r < 0)
		*e = why;
	return r;
}

static int unpack_layers(struct pull *p, struct build *b, struct err *e)
{
	for (size_t i = 0; i < p->manifest->layers_n; i++) {
		struct layer *l = &p->layers[i];
		const struct oci_descriptor *d = &p->manifest->layers[i];
		struct build_source src = { .fd = l->file,
					    .range = true,
					    .size = d->size,
					    .diff = &p->config->diff_ids[i],
					    .packed = &d->digest };
		int r = l->fetched ? unpack_fetched(p, b, i, e) : build_layer(b, &src, e);

		if (r < 0)
			return r;
		if (l->file >= 0)
			tell(p, SVC_LAYER_COMPLETE, i, d->size);
		close_fd(&l->file);
	}
	return 0;
}

static int fetch_image(struct pull *p, const char *name, struct digest *id, struct err *e)
{
	struct build *b = build_new(&p->content);
	const char *const names[] = { name };
	struct digest manifest;
	bool existed;
	int r = b ? want_layers(p, e) : no_memory(e);

	r = r < 0 ? r : unpack_layers(p, b, e);
	r = r < 0 ? r : content_blob_put(&p->content, buf_str(&p->manifest_text), &manifest, e);
	r = r < 0 ? r
		  : build_finish(b, buf_str(&p->config_text), &manifest, names, 1, id, &existed, e);
	build_free(b);
	return r;
}

/* Under the lock of the image: who wants the same waits, and then finds it. */
static int take_image(struct pull *p, struct svc_image_result *result, struct err *e)
{
	struct digest id = hash_of(buf_str(&p->config_text));
	struct store_image row;
	char hex[DIGEST_HEX_MAX], name[REFERENCE_MAX];
	const char *const names[] = { name };
	bool existed = false;
	auto_fd int lock = content_lock(&p->content, &id, e);
	int r;

	if (lock < 0)
		return lock;
	reference_text(&p->ref, name);
	digest_hex(&id, hex);
	r = store_image_by_prefix(p->svc->store, &p->arena, str_of(hex), &row, &existed, e);
	if (r == 0 && existed) {
		p->layers = NULL;
		registry_hang_up(p->registry);
		r = store_image_tag(p->svc->store, &id, name, e);
	} else if (r == 0) {
		r = fetch_image(p, name, &id, e);
	}
	if (r == 0)
		r = image_event(p->svc->store, "pull", &id, name, e);
	return r < 0 ? r : image_result_add(result, &id, names, 1, existed, e);
}

/* Who pushes one of them elsewhere in that registry need not send it. No harm without. */
static void note_origins(struct pull *p)
{
	size_t n = p->manifest->layers_n;
	struct digest *blobs = arena_array(&p->arena, n + 1, sizeof(*blobs));
	struct err ignored = {};

	for (size_t i = 0; blobs && i < n; i++)
		blobs[i] = p->manifest->layers[i].digest;
	if (blobs)
		(void) store_origin_add(p->svc->store, blobs, n, p->at.name, &ignored);
}

/* The next time it means the same. */
static void keep_alias(struct pull *p)
{
	const struct str bare = reference_bare(str_of(p->req->image));
	char name[REFERENCE_NAME_MAX + 1];
	struct err e = {};

	(void) snprintf(name, sizeof(name), "%.*s", (int) bare.n, bare.p);
	if (p->chosen && registries_keep_alias(name, p->ref.name, &e) < 0)
		svc_notice(p->svc, "what '%s' means is not remembered: %s", name, e.msg);
}

static void end(struct pull *p)
{
	registry_close(p->registry);
	for (size_t i = 0; p->layers && i < p->manifest->layers_n; i++)
		close_fd(&p->layers[i].file);
	for (size_t i = 0; i < p->blobs_n; i++)
		close_fd(&p->blobs[i].pipe);
	content_close(&p->content);
	buf_fini(&p->manifest_text);
	buf_fini(&p->config_text);
	arena_fini(&p->arena);
	image_trust_fini(&p->trust);
	(void) pthread_mutex_destroy(&p->mutex);
}

int svc_image_pull(struct svc *s, const struct svc_image_pull *req,
		   struct svc_image_result *ret_result, struct digest *ret_digest, struct err *e)
{
	struct pull p = {
		.svc = s,
		.req = req,
		.trust = IMAGE_TRUST_INIT,
		.content = { .layers_fd = FD_NONE, .blobs_fd = FD_NONE, .tmp_fd = FD_NONE },
		.arena = ARENA_INIT((size_t) 64 << 20),
		.manifest_text = BUF_INIT(MANIFEST_MAX),
		.config_text = BUF_INIT(CONFIG_MAX)
	};
	int r;

	image_result_init(ret_result);
	(void) pthread_mutex_init(&p.mutex, NULL); /* cannot fail so */
	r = parse_platform(&p, e);
	r = r < 0 ? r : svc_store(s, e);
	r = r < 0 ? r : image_trust_read(&p.trust, e);
	r = r < 0 ? r : fetch_manifest(&p, e);
	r = r < 0 ? r : check_trust(&p, e);
	r = r < 0 ? r : fetch_config(&p, e);
	r = r < 0 ? r : content_open(&p.content, s->store, CONTENT_ADD, e);
	r = r < 0 ? r : take_image(&p, ret_result, e);
	if (r == 0) {
		*ret_digest = p.top;
		keep_alias(&p);
		note_origins(&p);
	}
	end(&p);
	if (r < 0) {
		svc_image_result_fini(ret_result);
		return err_ctx(e, "pull %s", shown_of(str_of(req->image)).z);
	}
	return 0;
}

/* ---- who asks ---- */

/* "https://index.docker.io/v1/", as docker's users write it, is docker.io. */
static int server_name(const char *text, char ret_host[static REFERENCE_NAME_MAX + 1],
		       struct err *e)
{
	struct reference ref = {};
	char probe[REFERENCE_MAX];
	struct str s = str_of(text), rest;
	const char *slash;

	if (str_starts(s, "https://"))
		s = (struct str){ s.p + 8, s.n - 8 };
	else if (str_starts(s, "http://"))
		s = (struct str){ s.p + 7, s.n - 7 };
	s = str_cut(s, '/', &rest);
	if (!s.n || str_is(s, "index.docker.io") || str_is(s, "registry-1.docker.io"))
		s = STR("docker.io");
	/* What a reference takes for a registry is one. */
	(void) snprintf(probe, sizeof(probe), "%.*s%s/a", (int) min_u64(s.n, 300), s.p,
			memchr(s.p, '.', s.n) || memchr(s.p, ':', s.n) || str_is(s, "localhost")
				? ""
				: ".");
	if (reference_parse(str_of(probe), &ref, e) < 0 || !(slash = strchr(ref.name, '/')))
		return err_set(e, ERR_INVALID, EINVAL, "'%s' is no registry: HOST[:PORT]",
			       shown_of(str_of(text)).z);
	memcpy(ret_host, ref.name, (size_t) (slash - ref.name));
	ret_host[slash - ref.name] = '\0';
	return 0;
}

/* Where the registry gives an identity token that is kept, and not the password. */
static int keep_login(struct registry *g, const char *host, const struct registry_login *login,
		      struct svc_login_kept *ret_kept, struct err *e)
{
	struct registry_login *kept = calloc(1, sizeof(*kept));
	int r = kept ? registry_identity(g, kept->secret, e) : no_memory(e);

	if (r == 0) {
		kept->identity = kept->secret[0];
		memcpy(kept->user, login->user, sizeof(kept->user));
		if (!kept->identity)
			memcpy(kept->secret, login->secret, sizeof(kept->secret));
		r = credentials_keep(host, kept, ret_kept->where, e);
		ret_kept->identity = kept->identity;
	}
	if (kept)
		explicit_bzero(kept, sizeof(*kept));
	free(kept);
	return r;
}

int svc_login(const char *server, const struct registry_login *login, bool no_verify,
	      struct svc_login_kept *ret_kept, struct err *e)
{
	struct registry_options o = { .no_verify = no_verify, .login = true, .login_as = login };
	char host[REFERENCE_NAME_MAX + 1];
	struct registry *g = NULL;
	int r = server_name(server, host, e);

	r = r < 0 ? r : image_registry_may(host, &o.no_verify, e);
	r = r < 0 ? r : registry_open(host, "", &o, &g, e);
	r = r < 0 ? r : keep_login(g, host, login, ret_kept, e);
	registry_close(g);
	return r;
}

int svc_logout(const char *server, char ret_where[static 512], struct err *e)
{
	char host[REFERENCE_NAME_MAX + 1];
	bool known = false;
	int r = server_name(server, host, e);

	r = r < 0 ? r : credentials_forget(host, &known, ret_where, e);
	if (r == 0 && !known)
		r = err_set(e, ERR_NOT_FOUND, ENOENT, "nobody is logged in to %s by %s", host,
			    ret_where);
	return r;
}
