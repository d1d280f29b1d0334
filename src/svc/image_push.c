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
#include "store/image.h"
#include "svc/image.h"
#include "svc/image_find.h"
#include "svc/image_parts.h"
#include "svc/image_pull.h"
#include "svc/svc.h"

#define MANIFEST_MAX ((size_t) 4 << 20)
#define LAYER_SHOWN  12 /* hex digits */

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
	const char *type; /* of it */
};

static int no_memory(struct err *e)
{
	return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left");
}

static void tell(const struct push *p, const char *name, const char *layer, bool existed)
{
	const struct svc_push_step step = { .name = name, .layer = layer, .existed = existed };

	if (p->req->told)
		p->req->told(p->req->user, &step);
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

static int send_layers(struct push *p, struct err *e)
{
	for (size_t i = 0; i < p->image->row.chains_n; i++) {
		char hex[DIGEST_HEX_MAX];
		uint64_t size = 0;
		bool existed = false;
		auto_fd int fd = content_blob_open(&p->content, &p->layers[i].blob, &size, e);
		int r = fd < 0 ? fd
			       : registry_send_blob(p->registry, &p->layers[i].blob, fd, size,
						    &existed, e);

		if (r < 0)
			return r;
		digest_hex(&p->layers[i].blob, hex);
		hex[LAYER_SHOWN] = '\0';
		tell(p, NULL, hex, existed);
	}
	return 0;
}

static int send_config(struct push *p, struct err *e)
{
	const struct str text = p->image->row.config;
	auto_fd int fd = memfd_create("config", MFD_CLOEXEC);
	bool existed;
	int r = fd < 0 ? -errno : fd_write_all(fd, text.p, text.n);

	return r < 0 ? err_sys(e, -r, "keep the configuration")
		     : registry_send_blob(p->registry, &p->image->id, fd, text.n, &existed, e);
}

static int send_image(struct push *p, struct err *e)
{
	char what[REGISTRY_WHAT_MAX], name[REFERENCE_MAX];
	bool no_verify = p->req->no_verify;
	int r;

	reference_text(&p->ref, name);
	(void) snprintf(what, sizeof(what), "manifests/%s", p->ref.tag);
	r = image_registry_may(p->ref.name, &no_verify, e);
	r = r < 0 ? r : image_registry_open(p->ref.name, true, no_verify, &p->registry, e);
	if (r < 0)
		return r;
	tell(p, reference_familiar_of(name), NULL, false);
	r = send_layers(p, e);
	r = r < 0 ? r : send_config(p, e);
	r = r < 0 ? r
		  : registry_send_document(p->registry, what, p->type, buf_str(&p->manifest), e);
	return r < 0 ? r : image_event(p->svc->store, "push", &p->image->id, name, e);
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
	if (r == 0 && !kept_manifest(p))
		r = make_manifest(p, e);
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
	content_close(&p.content);
	image_free(p.image);
	buf_fini(&p.manifest);
	arena_fini(&p.arena);
	return r < 0 ? err_ctx(e, "push %s", shown_of(str_of(req->image)).z) : 0;
}
