/* SPDX-License-Identifier: Apache-2.0 */
/* `push`: an image to the registry of its name. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "fmt/oci_image.h"
#include "fmt/reference.h"
#include "fmt/shown.h"
#include "image/content.h"
#include "image/hash.h"
#include "image/worker.h"
#include "store/image.h"
#include "store/origin.h"
#include "svc/image.h"
#include "svc/image_find.h"
#include "svc/image_parts.h"
#include "svc/image_pull.h"
#include "svc/svc.h"

#define MANIFEST_MAX ((size_t) 4 << 20)
#define LAYER_SHOWN  12 /* hex digits */
#define SOURCES_MOST 4

struct push {
	struct svc *svc;
	const struct svc_image_push *req;
	struct reference ref;
	struct image *image;
	struct content content;
	struct registry *registry;
	struct arena arena;
	struct store_layer *layers;
	struct buf manifest;
	const char *type;	     /* of it */
	struct registry_send *sends; /* its layers' blobs, and at the end its configuration */
	size_t sends_n;
	size_t *send_of;		    /* of each layer */
	char sources[REGISTRY_SOURCES_MAX]; /* parted by blanks */
	unsigned int sources_n;
};

static int no_memory(struct err *e)
{
	return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left");
}

static int find_layers(struct push *p, struct err *e)
{
	const struct store_image *row = &p->image->row;

	p->layers = arena_array(&p->arena, row->chains_n + 1, sizeof(*p->layers));
	if (!p->layers)
		return no_memory(e);
	for (size_t i = 0; i < row->chains_n; i++) {
		bool found = false;
		int r = store_layer_get(p->svc->store, &p->arena, &row->chains[i], &p->layers[i],
					&found, e);

		if (r < 0)
			return r;
		if (!found)
			return err_set(e, ERR_INTERNAL, 0,
				       "a layer's record is missing: run `atoll system repair`");
	}
	return 0;
}

/* ---- its manifest ---- */

/* Whether the one that it came by is of the layers as they are here. */
static bool is_own(struct push *p, const struct oci_manifest *m)
{
	bool own = m->layers_n == p->image->row.chains_n &&
		   digest_eq(&m->config->digest, &p->image->id);

	for (size_t i = 0; own && i < m->layers_n; i++)
		own = digest_eq(&m->layers[i].digest, &p->layers[i].blob);
	return own;
}

/* 1: it has one. */
static int kept_manifest(struct push *p)
{
	struct oci_manifest *m = NULL;
	struct err ignored = {};
	uint64_t size;
	auto_fd int fd = p->image->row.has_manifest
				 ? content_blob_open(&p->content, &p->image->row.manifest, &size,
						     &ignored)
				 : FD_NONE;

	if (fd < 0 || fd_read_all(fd, &p->manifest) < 0 ||
	    oci_manifest_decode(&p->arena, buf_str(&p->manifest), &m, &ignored) < 0 ||
	    !is_own(p, m) || !m->media_type)
		return 0;
	p->type = m->media_type;
	return 1;
}

static int keep_squeezed(struct push *p, struct store_layer *l, const char *tmp, int fd,
			 const struct unpack_result *res, struct err *e)
{
	int r = 0;

	if (!digest_eq(&res->diff, &l->diff))
		return err_set(e, ERR_INTERNAL, EUCLEAN,
			       "the bytes of a layer are damaged: run `atoll system repair`");
	l->blob = res->packed;
	l->blob_size = res->packed_bytes;
	l->media_type = MEDIA_OCI_LAYER_GZIP;
	if (fdatasync(fd) < 0)
		r = err_sys(e, errno, "sync a compressed layer");
	r = r < 0 ? r : content_blob_keep(&p->content, tmp, &l->blob, e);
	if (r == 0 && fsync(p->content.blobs_fd) < 0)
		r = err_sys(e, errno, "sync a compressed layer");
	return r < 0 ? r : store_layer_repack(p->svc->store, l, e);
}

/*
 * A layer that was made here lies as it was written. From its first push on it is compressed; what
 * a registry has as it is stays so.
 */
static int squeeze_layer(struct push *p, struct store_layer *l, struct err *e)
{
	char tmp[CONTENT_NAME_MAX] = "";
	struct unpack_result res;
	bool known = false;
	uint64_t size;
	int r = streq(l->media_type, MEDIA_OCI_LAYER)
			? store_origin_known(p->svc->store, &l->blob, &known, e)
			: 1;

	if (r != 0 || known)
		return r < 0 ? r : 0;
	auto_fd int in = content_blob_open(&p->content, &l->blob, &size, e);
	auto_fd int out = in < 0 ? FD_NONE : content_tmp_file(&p->content, tmp, e);

	r = in < 0 ? in : out < 0 ? out : worker_squeeze(in, out, &res, e);
	r = r < 0 ? r : keep_squeezed(p, l, tmp, out, &res, e);
	if (r < 0)
		content_tmp_drop(&p->content, tmp);
	return r;
}

static int squeeze_layers(struct push *p, struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < p->image->row.chains_n && r == 0; i++)
		r = squeeze_layer(p, &p->layers[i], e);
	return r;
}

static int make_manifest(struct push *p, struct err *e)
{
	struct oci_descriptor config = { .media_type = MEDIA_OCI_CONFIG,
					 .digest = p->image->id,
					 .size = p->image->row.config.n };
	struct oci_manifest m = { .media_type = MEDIA_OCI_MANIFEST,
				  .config = &config,
				  .layers_n = p->image->row.chains_n };

	m.layers = arena_array(&p->arena, m.layers_n + 1, sizeof(*m.layers));
	if (!m.layers)
		return no_memory(e);
	for (size_t i = 0; i < m.layers_n; i++)
		m.layers[i] = (struct oci_descriptor){ .media_type = p->layers[i].media_type,
						       .digest = p->layers[i].blob,
						       .size = p->layers[i].blob_size };
	buf_clear(&p->manifest);
	oci_manifest_write(&p->manifest, &m);
	p->type = MEDIA_OCI_MANIFEST;
	return buf_ok(&p->manifest) ? 0 : no_memory(e);
}

/* ---- its bytes ---- */

static void tell(struct push *p, enum svc_layer_kind kind, size_t i, uint64_t bytes)
{
	struct svc_layer_step step = { .kind = kind, .i = i, .n = p->image->row.chains_n };
	char hex[DIGEST_HEX_MAX];

	if (!p->req->told)
		return;
	digest_hex(&p->layers[i].blob, hex);
	hex[LAYER_SHOWN] = '\0';
	step.layer = hex;
	step.bytes = bytes;
	step.total = p->layers[i].blob_size;
	step.from = p->sends[p->send_of[i]].from;
	p->req->told(p->req->user, &step);
}

static void tell_begin(struct push *p)
{
	char name[REFERENCE_MAX];
	const struct svc_layer_step step = { .kind = SVC_LAYERS_BEGIN,
					     .name = reference_familiar_of(name),
					     .n = p->image->row.chains_n };

	reference_text(&p->ref, name);
	if (p->req->told)
		p->req->told(p->req->user, &step);
}

static void moved(void *user, size_t send, uint64_t bytes, bool whole)
{
	static const enum svc_layer_kind ends[] = { [REGISTRY_SENT] = SVC_LAYER_COMPLETE,
						    [REGISTRY_EXISTED] = SVC_LAYER_EXISTS,
						    [REGISTRY_MOUNTED] = SVC_LAYER_MOUNTED };
	struct push *p = user;

	for (size_t i = 0; i < p->image->row.chains_n; i++)
		if (p->send_of[i] == send)
			tell(p, whole ? ends[p->sends[send].how] : SVC_LAYER_GOES_ON, i, bytes);
}

/* Some of them: each is a right that is asked for. */
static bool may_mount(struct push *p, const char *from)
{
	size_t n = strlen(p->sources), more = strlen(from);
	struct str rest = { p->sources, n };

	while (rest.p && rest.n)
		if (str_is(str_cut(rest, ' ', &rest), from))
			return true;
	if (p->sources_n == SOURCES_MOST || n + 1 + more >= sizeof(p->sources))
		return false;
	(void) snprintf(p->sources + n, sizeof(p->sources) - n, "%s%s", n ? " " : "", from);
	p->sources_n++;
	return true;
}

static int add_send(struct push *p, const struct digest *blob, uint64_t size, int file,
		    struct err *e)
{
	struct registry_send *s = &p->sends[p->sends_n++];
	int r;

	*s = (struct registry_send){ .digest = *blob, .size = size, .file = file };
	r = store_origin_find(p->svc->store, &p->arena, blob, p->ref.name, &s->from, e);
	if (s->from && !may_mount(p, s->from))
		s->from = NULL;
	return r;
}

/* Layers that are the same bytes are sent once. */
static int add_layer(struct push *p, size_t i, struct err *e)
{
	const struct digest *blob = &p->layers[i].blob;
	uint64_t size = 0;
	int file;

	for (size_t k = 0; k < p->sends_n; k++) {
		if (digest_eq(&p->sends[k].digest, blob)) {
			p->send_of[i] = k;
			return 0;
		}
	}
	file = content_blob_open(&p->content, blob, &size, e);
	if (file < 0)
		return file;
	p->send_of[i] = p->sends_n;
	return add_send(p, blob, size, file, e);
}

static int add_config(struct push *p, struct err *e)
{
	const struct str text = p->image->row.config;
	auto_fd int file = memfd_create("config", MFD_CLOEXEC);
	int r = file < 0 ? -errno : fd_write_all(file, text.p, text.n);

	return r < 0 ? err_sys(e, -r, "keep the configuration")
		     : add_send(p, &p->image->id, text.n, take_fd(&file), e);
}

static int collect(struct push *p, struct err *e)
{
	size_t n = p->image->row.chains_n;
	int r = 0;

	p->sends = arena_array(&p->arena, n + 1, sizeof(*p->sends));
	p->send_of = arena_array(&p->arena, n + 1, sizeof(*p->send_of));
	if (!p->sends || !p->send_of)
		return no_memory(e);
	for (size_t i = 0; i < n && r == 0; i++)
		r = add_layer(p, i, e);
	return r < 0 ? r : add_config(p, e);
}

/* Who pushes one of them elsewhere in that registry need not send it. No harm without. */
static void note_origins(struct push *p)
{
	size_t n = p->image->row.chains_n;
	struct digest *blobs = arena_array(&p->arena, n + 1, sizeof(*blobs));
	struct err ignored = {};

	for (size_t i = 0; blobs && i < n; i++)
		blobs[i] = p->layers[i].blob;
	if (blobs)
		(void) store_origin_add(p->svc->store, blobs, n, p->ref.name, &ignored);
}

static int send_image(struct push *p, struct err *e)
{
	struct registry_options o = { .no_verify = p->req->no_verify,
				      .push = true,
				      .sources = p->sources };
	char what[REGISTRY_WHAT_MAX], name[REFERENCE_MAX];
	int r;

	reference_text(&p->ref, name);
	(void) snprintf(what, sizeof(what), "manifests/%s", p->ref.tag);
	r = image_registry_may(p->ref.name, &o.no_verify, e);
	r = r < 0 ? r : collect(p, e);
	r = r < 0 ? r : image_registry_open(p->ref.name, &o, &p->registry, e);
	if (r < 0)
		return r;
	tell_begin(p);
	for (size_t i = 0; i < p->image->row.chains_n; i++)
		tell(p, SVC_LAYER_WAITS, i, 0);
	r = registry_send_blobs(p->registry, p->sends, p->sends_n, moved, p, e);
	r = r < 0 ? r
		  : registry_send_document(p->registry, what, p->type, buf_str(&p->manifest), e);
	if (r < 0)
		return r;
	note_origins(p);
	return image_event(p->svc->store, "push", &p->image->id, name, e);
}

static int push(struct push *p, struct err *e)
{
	int r = reference_parse(str_of(p->req->image), &p->ref, e);

	if (r < 0)
		return r;
	if (p->ref.has_digest)
		return err_set(e, ERR_INVALID, EINVAL,
			       "a digest is what comes of a push: give a tag");
	r = svc_store(p->svc, e);
	r = r < 0 ? r : image_resolve(p->svc->store, p->req->image, &p->image, e);
	/* What was found by a name without a registry has the whole one. */
	if (r == 0 && p->image->name[0])
		r = reference_parse(str_of(p->image->name), &p->ref, e);
	reference_default_tag(&p->ref);
	/* Nobody takes its bytes away meanwhile. */
	r = r < 0 ? r : content_open(&p->content, p->svc->store, CONTENT_ADD, e);
	r = r < 0 ? r : find_layers(p, e);
	if (r == 0 && !kept_manifest(p)) {
		r = squeeze_layers(p, e);
		r = r < 0 ? r : make_manifest(p, e);
	}
	return r < 0 ? r : send_image(p, e);
}

int svc_image_push(struct svc *s, const struct svc_image_push *req,
		   struct svc_image_pushed *ret_pushed, struct err *e)
{
	struct push p = {
		.svc = s,
		.req = req,
		.content = { .layers_fd = FD_NONE, .blobs_fd = FD_NONE, .tmp_fd = FD_NONE },
		.arena = ARENA_INIT((size_t) 64 << 20),
		.manifest = BUF_INIT(MANIFEST_MAX)
	};
	int r = push(&p, e);

	if (r == 0) {
		reference_text(&p.ref, ret_pushed->name);
		ret_pushed->digest = hash_of(buf_str(&p.manifest));
		ret_pushed->size = p.manifest.n;
	}
	registry_close(p.registry);
	for (size_t i = 0; i < p.sends_n; i++)
		close_fd(&p.sends[i].file);
	content_close(&p.content);
	image_free(p.image);
	buf_fini(&p.manifest);
	arena_fini(&p.arena);
	return r < 0 ? err_ctx(e, "push %s", shown_of(str_of(req->image)).z) : 0;
}
