/* SPDX-License-Identifier: Apache-2.0 */
/* `load`: images out of a docker archive or an OCI layout. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/auto.h"
#include "fmt/oci_image.h"
#include "fmt/reference.h"
#include "fmt/shown.h"
#include "image/archive.h"
#include "image/build.h"
#include "image/content.h"
#include "image/hash.h"
#include "store/event.h"
#include "store/image.h"
#include "svc/image.h"
#include "svc/image_parts.h"
#include "svc/svc.h"

#define DOCUMENT_MAX ((size_t) 8 << 20)
#define INDEX_DEPTH  4 /* of indexes that point to indexes */

struct load {
	struct svc *svc;
	const struct svc_image_load *req;
	struct content content;
	struct archive archive;
	struct svc_image_result *result;
};

static void told(const struct load *l, const char *what, uint64_t done, uint64_t total)
{
	if (l->req->progress && l->req->progress->told)
		l->req->progress->told(l->req->progress->user, what, done, total);
}

/* Where the layers of one image are. */
struct parts {
	const char **names;		 /* in the archive, bottom to top */
	const struct oci_descriptor *of; /* their descriptors, or NULL */
	size_t n;
	const struct digest *manifest; /* or NULL */
};

static int unpack_layers(struct load *l, struct build *b, const struct oci_image_config *c,
			 const struct parts *ps, struct err *e)
{
	for (size_t i = 0; i < ps->n; i++) {
		struct archive_part p;
		struct build_source src = { .range = true,
					    .diff = &c->diff_ids[i],
					    .packed = ps->of ? &ps->of[i].digest : NULL };
		int r = archive_part(&l->archive, ps->names[i], &p, e);

		if (r < 0)
			return r;
		src.fd = p.fd;
		src.off = p.off;
		src.size = p.size;
		told(l, ps->names[i], i, ps->n);
		if (ps->of && ps->of[i].size != p.size)
			r = err_set(e, ERR_INVALID, EBADMSG,
				    "layer %zu is %llu bytes, the manifest says %llu", i + 1,
				    (unsigned long long) p.size,
				    (unsigned long long) ps->of[i].size);
		else
			r = build_layer(b, &src, e);
		archive_part_fini(&p);
		if (r < 0)
			return r;
	}
	return 0;
}

static int build_image(struct load *l, struct str config, const struct oci_image_config *c,
		       const struct parts *ps, const char *const *names, size_t names_n,
		       struct digest *id, bool *existed, struct err *e)
{
	struct build *b = build_new(&l->content);
	int r;

	if (!b)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left");
	r = unpack_layers(l, b, c, ps, e);
	if (r == 0)
		r = build_finish(b, config, ps->manifest, names, names_n, id, existed, e);
	build_free(b);
	return r;
}

/* Load it unless it is there; give it its names either way. */
static int load_image(struct load *l, struct str config, const struct parts *ps,
		      const char *const *names, size_t names_n, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT((size_t) 64 << 20);
	struct digest id = hash_of(config);
	struct oci_image_config *c = NULL;
	struct store_image row;
	char hex[DIGEST_HEX_MAX];
	bool existed = false;
	auto_fd int lock = FD_NONE;
	int r = oci_image_config_decode(&a, config, &c, e);

	if (r < 0)
		return r;
	if (c->diff_ids_n != ps->n)
		return err_set(e, ERR_INVALID, EBADMSG,
			       "the image's configuration names %zu layers, the archive has %zu",
			       c->diff_ids_n, ps->n);
	if (c->os && *c->os && !streq(c->os, "linux"))
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP, "the image is for %s, not linux",
			       shown_of(str_of(c->os)).z);
	lock = content_lock(&l->content, &id, e);
	if (lock < 0)
		return lock;
	digest_hex(&id, hex);
	r = store_image_by_prefix(l->svc->store, &a, str_of(hex), &row, &existed, e);
	for (size_t i = 0; i < names_n && r == 0 && existed; i++)
		r = store_image_tag(l->svc->store, &id, names[i], e);
	if (r == 0 && !existed)
		r = build_image(l, config, c, ps, names, names_n, &id, &existed, e);
	if (r == 0)
		r = image_event(l->svc->store, "load", &id, names_n ? names[0] : NULL, e);
	return r < 0 ? r : image_result_add(l->result, &id, names, names_n, existed, e);
}

/* The stored form of what an archive calls an image; a bad name is dropped with a word. */
static int stored_name(struct load *l, struct arena *a, const char *text, const char **list,
		       size_t *n, struct err *e)
{
	struct reference ref = {};
	struct err bad = {};
	char *name;

	if (reference_parse(str_of(text), &ref, &bad) < 0) {
		svc_notice(l->svc, "a name in the archive is not used: %s", bad.msg);
		return 0;
	}
	ref.has_digest = false;
	reference_default_tag(&ref);
	name = arena_alloc(a, REFERENCE_MAX);
	if (!name)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left");
	reference_text(&ref, name);
	list[(*n)++] = name;
	return 0;
}

static int load_docker_one(struct load *l, const struct docker_archive_image *im, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT((size_t) 4 << 20);
	auto_buf struct buf config = BUF_INIT(DOCUMENT_MAX);
	const struct parts ps = { .names = im->layers, .n = im->layers_n };
	const char **names = arena_array(&a, im->repo_tags_n + 1, sizeof(*names));
	size_t n = 0;
	int r = archive_read(&l->archive, im->config, &config, e);

	if (r == 0 && !names)
		r = err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left");
	for (size_t i = 0; i < im->repo_tags_n && r == 0; i++)
		r = stored_name(l, &a, im->repo_tags[i], names, &n, e);
	return r < 0 ? r : load_image(l, buf_str(&config), &ps, names, n, e);
}

static int load_docker(struct load *l, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT((size_t) 32 << 20);
	auto_buf struct buf text = BUF_INIT(DOCUMENT_MAX);
	struct docker_archive_image *images = NULL;
	size_t n = 0;
	int r = archive_read(&l->archive, "manifest.json", &text, e);

	if (r == 0)
		r = docker_archive_decode(&a, buf_str(&text), &images, &n, e);
	if (r == 0 && n == 0)
		r = err_set(e, ERR_INVALID, EINVAL, "the archive holds no image");
	for (size_t i = 0; i < n && r == 0; i++)
		r = load_docker_one(l, &images[i], e);
	return r;
}

/* A document of an OCI layout, checked against the digest that names it. */
static int read_blob(struct load *l, const struct digest *d, struct buf *ret_text, struct err *e)
{
	char hex[DIGEST_HEX_MAX], name[DIGEST_HEX_MAX + 16];
	struct digest got;
	int r;

	digest_hex(d, hex);
	(void) snprintf(name, sizeof(name), "blobs/sha256/%s", hex);
	r = archive_read(&l->archive, name, ret_text, e);
	if (r < 0)
		return r;
	got = hash_of(buf_str(ret_text));
	if (!digest_eq(&got, d))
		return err_set(e, ERR_INVALID, EBADMSG, "the bytes of %s hash to something else",
			       name);
	return 0;
}

static int load_manifest(struct load *l, const struct oci_descriptor *d, const char *const *names,
			 size_t names_n, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT((size_t) 32 << 20);
	auto_buf struct buf text = BUF_INIT(DOCUMENT_MAX), config = BUF_INIT(DOCUMENT_MAX);
	struct oci_manifest *m = NULL;
	struct digest kept;
	struct parts ps = {};
	int r = read_blob(l, &d->digest, &text, e);

	if (r == 0)
		r = oci_manifest_decode(&a, buf_str(&text), &m, e);
	if (r == 0)
		r = read_blob(l, &m->config->digest, &config, e);
	if (r == 0)
		r = content_blob_put(&l->content, buf_str(&text), &kept, e);
	if (r < 0)
		return r;
	ps.names = arena_array(&a, m->layers_n + 1, sizeof(*ps.names));
	ps.of = m->layers;
	ps.n = m->layers_n;
	ps.manifest = &kept;
	for (size_t i = 0; i < m->layers_n; i++) {
		char hex[DIGEST_HEX_MAX];

		digest_hex(&m->layers[i].digest, hex);
		if (!ps.names || !(ps.names[i] = arena_printf(&a, "blobs/sha256/%s", hex)))
			return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left");
	}
	return load_image(l, buf_str(&config), &ps, names, names_n, e);
}

static bool is_index(const struct oci_descriptor *d)
{
	return d->media_type &&
	       (streq(d->media_type, MEDIA_OCI_INDEX) || streq(d->media_type, MEDIA_DOCKER_INDEX));
}

static bool is_manifest(const struct oci_descriptor *d)
{
	return !d->media_type || streq(d->media_type, MEDIA_OCI_MANIFEST) ||
	       streq(d->media_type, MEDIA_DOCKER_MANIFEST);
}

/* Whether this machine runs it; what says nothing may. Attestations call themselves unknown. */
static bool fits(const struct oci_descriptor *d)
{
	const struct oci_platform *p = d->platform;

	if (!p)
		return true;
	return (!p->os || streq(p->os, "linux")) &&
	       (!p->architecture || streq(p->architecture, image_architecture()));
}

static int load_index(struct load *l, struct str text, unsigned depth, const char *const *names,
		      size_t names_n, struct err *e);

static int load_descriptor(struct load *l, const struct oci_descriptor *d, unsigned depth,
			   const char *const *names, size_t names_n, struct err *e)
{
	auto_buf struct buf text = BUF_INIT(DOCUMENT_MAX);
	int r;

	if (!is_index(d))
		return load_manifest(l, d, names, names_n, e);
	if (depth >= INDEX_DEPTH)
		return err_set(e, ERR_INVALID, ELOOP, "indexes nested more than %d deep",
			       INDEX_DEPTH);
	r = read_blob(l, &d->digest, &text, e);
	return r < 0 ? r : load_index(l, buf_str(&text), depth + 1, names, names_n, e);
}

/* names: of the descriptor that led here; at the top each manifest brings its own. */
static int load_index(struct load *l, struct str text, unsigned depth, const char *const *names,
		      size_t names_n, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT((size_t) 32 << 20);
	struct oci_index *x = NULL;
	size_t used = 0;
	int r = oci_index_decode(&a, text, &x, e);

	if (r < 0)
		return r;
	for (size_t i = 0; i < x->manifests_n && r == 0; i++) {
		const struct oci_descriptor *d = &x->manifests[i];
		const char *own[2] = {}, *full, *ref;
		size_t own_n = 0;

		if ((!is_index(d) && !is_manifest(d)) || !fits(d))
			continue;
		used++;
		full = json_pair_find(d->annotations, d->annotations_n, "io.containerd.image.name");
		ref = json_pair_find(d->annotations, d->annotations_n,
				     "org.opencontainers.image.ref.name");
		if (depth == 0 && (full || ref))
			r = stored_name(l, &a, full ? full : ref, own, &own_n, e);
		if (r == 0)
			r = load_descriptor(l, d, depth, depth ? names : own,
					    depth ? names_n : own_n, e);
		if (depth)
			break; /* of one image, the first that fits */
	}
	if (r == 0 && used == 0)
		r = err_set(e, ERR_NOT_FOUND, ENOENT,
			    "the archive has no image for linux/%s, which this machine runs",
			    image_architecture());
	return r;
}

static int load_oci(struct load *l, struct err *e)
{
	auto_buf struct buf text = BUF_INIT(DOCUMENT_MAX);
	int r = archive_read(&l->archive, "index.json", &text, e);

	return r < 0 ? r : load_index(l, buf_str(&text), 0, NULL, 0, e);
}

int svc_image_load(struct svc *s, const struct svc_image_load *req,
		   struct svc_image_result *ret_result, struct err *e)
{
	struct load l = { .svc = s, .req = req, .result = ret_result };
	int r;

	image_result_init(ret_result);
	r = svc_store(s, e);
	if (r < 0)
		return r;
	r = content_open(&l.content, s->store, CONTENT_ADD, e);
	if (r < 0)
		return err_ctx(e, "load");
	r = archive_open(&l.archive, &l.content, req->path, req->fd, e);
	if (r == 0) {
		if (archive_has(&l.archive, "oci-layout") && archive_has(&l.archive, "index.json"))
			r = load_oci(&l, e);
		else if (archive_has(&l.archive, "manifest.json"))
			r = load_docker(&l, e);
		else
			r = err_set(
				e, ERR_INVALID, EINVAL,
				"neither a docker archive (manifest.json) nor an OCI layout "
				"(oci-layout, index.json); a root file system's tar is taken by "
				"`atoll import`");
	}
	archive_close(&l.archive);
	content_close(&l.content);
	return r < 0 ? err_ctx(e, "load") : 0;
}
