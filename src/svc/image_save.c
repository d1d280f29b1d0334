/* SPDX-License-Identifier: Apache-2.0 */
/* `save`: images into a docker archive or an OCI layout, as a tar; the same images, the same bytes.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "fmt/oci_image.h"
#include "fmt/tar_write.h"
#include "image/content.h"
#include "image/hash.h"
#include "image/worker.h"
#include "store/image.h"
#include "svc/image.h"
#include "svc/image_disk.h"
#include "svc/image_parts.h"
#include "svc/svc.h"

struct save {
	struct svc *svc;
	const struct svc_image_save *req;
	struct content content;
	struct arena arena;
	const char **written; /* names of members so far */
	size_t written_n;
};

static int no_memory(struct err *e)
{
	return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left to save");
}

static int put(struct save *s, const void *p, size_t n, struct err *e)
{
	int r = fd_write_all(s->req->out_fd, p, n);

	return r < 0 ? err_sys(e, -r, "write the archive") : 0;
}

/* False in *ret_missing when a member of the name is there already: images share layers. */
static int put_header(struct save *s, const char *name, uint64_t size, bool *ret_missing,
		      struct err *e)
{
	auto_buf struct buf b = BUF_INIT(1u << 20);
	const struct tar_entry n = {
		.name = str_of(name), .type = TAR_FILE, .mode = 0644, .size = size
	};
	const char **slot;

	*ret_missing = false;
	for (size_t i = 0; i < s->written_n; i++)
		if (streq(s->written[i], name))
			return 0;
	slot = arena_push(&s->arena, &s->written, &s->written_n, sizeof(*s->written));
	if (!slot || !(*slot = arena_strdup(&s->arena, name)))
		return no_memory(e);
	tar_write_header(&b, &n);
	if (!buf_ok(&b))
		return no_memory(e);
	*ret_missing = true;
	return put(s, b.p, b.n, e);
}

static int put_padding(struct save *s, uint64_t size, struct err *e)
{
	static const char zeros[TAR_BLOCK];

	return put(s, zeros, tar_padding(size), e);
}

static int put_text(struct save *s, const char *name, struct str text, struct err *e)
{
	bool missing = false;
	int r = put_header(s, name, text.n, &missing, e);

	if (r == 0 && missing)
		r = put(s, text.p, text.n, e);
	return r == 0 && missing ? put_padding(s, text.n, e) : r;
}

static int put_file(struct save *s, const char *name, int fd, uint64_t size, struct err *e)
{
	char chunk[65536 / 8];
	uint64_t at = 0;
	bool missing = false;
	int r = put_header(s, name, size, &missing, e);

	if (!missing)
		return r;
	while (r == 0 && at < size) {
		ssize_t n = pread(fd, chunk, sizeof(chunk), (off_t) at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, errno, "read a blob");
		if (n == 0)
			return err_set(
				e, ERR_INTERNAL, EIO,
				"a blob is shorter than recorded: run `atoll system repair`");
		if ((uint64_t) n > size - at)
			n = (ssize_t) (size - at);
		r = put(s, chunk, (size_t) n, e);
		at += (uint64_t) n;
	}
	return r == 0 ? put_padding(s, size, e) : r;
}

static int put_blob(struct save *s, const char *name, const struct digest *d, uint64_t *ret_size,
		    struct err *e)
{
	uint64_t size = 0;
	auto_fd int fd = content_blob_open(&s->content, d, &size, e);

	if (fd < 0)
		return fd;
	*ret_size = size;
	return put_file(s, name, fd, size, e);
}

/* A layer as a plain tar: what readers of docker archives of any age take. */
static int put_plain_layer(struct save *s, const char *name, const struct store_layer *l,
			   struct err *e)
{
	char tmp[CONTENT_NAME_MAX];
	struct unpack_result res;
	uint64_t size = 0;
	auto_fd int out = FD_NONE;
	auto_fd int fd = content_blob_open(&s->content, &l->blob, &size, e);
	int r;

	if (fd < 0)
		return fd;
	if (digest_eq(&l->blob, &l->diff))
		return put_file(s, name, fd, size, e);
	out = content_tmp_file(&s->content, tmp, e);
	if (out < 0)
		return out;
	content_tmp_drop(&s->content, tmp);
	r = worker_expand(fd, out, 0, &res, e);
	return r < 0 ? r : put_file(s, name, out, res.tar_bytes, e);
}

/* One image with its layers' records, and the names it is saved under. */
struct saved {
	struct image *im;
	struct store_layer *layers;
	const char **names; /* stored */
	size_t names_n;
};

static int add_name(struct save *s, struct saved *v, const char *name, struct err *e)
{
	const char **slot;

	for (size_t i = 0; i < v->names_n; i++)
		if (streq(v->names[i], name))
			return 0;
	slot = arena_push(&s->arena, &v->names, &v->names_n, sizeof(*v->names));
	return slot && (*slot = arena_strdup(&s->arena, name)) ? 0 : no_memory(e);
}

static int find_layers(struct save *s, struct saved *v, struct err *e)
{
	v->layers = arena_array(&s->arena, v->im->row.chains_n + 1, sizeof(*v->layers));
	if (!v->layers)
		return no_memory(e);
	for (size_t i = 0; i < v->im->row.chains_n; i++) {
		bool found = false;
		int r = store_layer_get(s->svc->store, &s->arena, &v->im->row.chains[i],
					&v->layers[i], &found, e);

		if (r < 0)
			return r;
		if (!found)
			return err_set(e, ERR_INTERNAL, 0,
				       "a layer's record is missing: run `atoll system repair`");
	}
	return 0;
}

/* Images named twice are saved once, under both names. */
static int collect(struct save *s, struct saved *all, size_t *ret_n, struct err *e)
{
	size_t n = 0;

	for (size_t i = 0; i < s->req->images_n; i++) {
		struct image *im = NULL;
		size_t at = 0;
		int r = image_resolve(s->svc->store, s->req->images[i], &im, e);

		if (r < 0) {
			*ret_n = n;
			return r;
		}
		while (at < n && !digest_eq(&all[at].im->id, &im->id))
			at++;
		if (at == n) {
			all[n++].im = im;
			r = find_layers(s, &all[at], e);
		}
		if (r == 0 && im->name[0])
			r = add_name(s, &all[at], im->name, e);
		if (all[at].im != im)
			image_free(im);
		if (r < 0) {
			*ret_n = n;
			return r;
		}
	}
	*ret_n = n;
	return 0;
}

static int save_docker(struct save *s, const struct saved *all, size_t n, struct err *e)
{
	auto_buf struct buf manifest = BUF_INIT(64u << 20);
	struct json_writer w = JSON_WRITER(&manifest);
	int r = 0;

	json_w_array(&w, NULL);
	for (size_t i = 0; i < n && r == 0; i++) {
		const struct saved *v = &all[i];
		char hex[DIGEST_HEX_MAX], name[DIGEST_HEX_MAX + 16];

		digest_hex(&v->im->id, hex);
		(void) snprintf(name, sizeof(name), "%s.json", hex);
		r = put_text(s, name, v->im->row.config, e);
		json_w_object(&w, NULL);
		json_w_string(&w, "Config", name);
		json_w_array(&w, "RepoTags");
		for (size_t k = 0; k < v->names_n; k++)
			json_w_string(&w, NULL, reference_familiar_of(v->names[k]));
		json_w_end(&w);
		json_w_array(&w, "Layers");
		for (size_t k = 0; k < v->im->row.chains_n && r == 0; k++) {
			digest_hex(&v->layers[k].diff, hex);
			(void) snprintf(name, sizeof(name), "%s/layer.tar", hex);
			r = put_plain_layer(s, name, &v->layers[k], e);
			json_w_string(&w, NULL, name);
		}
		json_w_end(&w);
		json_w_end(&w);
	}
	json_w_end(&w);
	if (r < 0)
		return r;
	return buf_ok(&manifest) ? put_text(s, "manifest.json", buf_str(&manifest), e)
				 : no_memory(e);
}

static const char *blob_name(struct save *s, const struct digest *d)
{
	char hex[DIGEST_HEX_MAX];

	digest_hex(d, hex);
	return arena_printf(&s->arena, "blobs/sha256/%s", hex);
}

/* Config, layers and manifest of one image; its manifest's descriptor in *ret_d. */
static int save_oci_one(struct save *s, const struct saved *v, struct oci_descriptor *ret_d,
			struct err *e)
{
	auto_buf struct buf text = BUF_INIT(8u << 20);
	struct oci_descriptor config = { .media_type = MEDIA_OCI_CONFIG,
					 .digest = v->im->id,
					 .size = v->im->row.config.n };
	struct oci_manifest m = { .config = &config, .layers_n = v->im->row.chains_n };
	const char *name = blob_name(s, &v->im->id);
	int r = name ? put_text(s, name, v->im->row.config, e) : no_memory(e);

	m.layers = arena_array(&s->arena, m.layers_n + 1, sizeof(*m.layers));
	if (r == 0 && !m.layers)
		r = no_memory(e);
	for (size_t i = 0; i < m.layers_n && r == 0; i++) {
		const struct store_layer *l = &v->layers[i];

		m.layers[i] = (struct oci_descriptor){ .media_type = l->media_type,
						       .digest = l->blob };
		name = blob_name(s, &l->blob);
		r = name ? put_blob(s, name, &l->blob, &m.layers[i].size, e) : no_memory(e);
	}
	if (r < 0)
		return r;
	oci_manifest_write(&text, &m);
	if (!buf_ok(&text))
		return no_memory(e);
	*ret_d = (struct oci_descriptor){ .media_type = MEDIA_OCI_MANIFEST,
					  .digest = hash_of(buf_str(&text)),
					  .size = text.n };
	name = blob_name(s, &ret_d->digest);
	return name ? put_text(s, name, buf_str(&text), e) : no_memory(e);
}

static int save_oci(struct save *s, const struct saved *all, size_t n, struct err *e)
{
	auto_buf struct buf text = BUF_INIT(8u << 20);
	struct oci_index x = {};
	int r = put_text(s, "oci-layout", STR("{\"imageLayoutVersion\":\"1.0.0\"}"), e);

	for (size_t i = 0; i < n && r == 0; i++) {
		struct oci_descriptor d;
		size_t k = 0;

		r = save_oci_one(s, &all[i], &d, e);
		do { /* once for each name, or once without */
			struct oci_descriptor *slot = arena_push(&s->arena, &x.manifests,
								 &x.manifests_n, sizeof(*slot));

			if (r == 0 && !slot)
				r = no_memory(e);
			if (r < 0)
				break;
			*slot = d;
			if (!all[i].names_n)
				break;
			slot->annotations = arena_array(&s->arena, 2, sizeof(*slot->annotations));
			if (!slot->annotations) {
				r = no_memory(e);
				break;
			}
			slot->annotations_n = 2;
			slot->annotations[0] = (struct json_pair){ "io.containerd.image.name",
								   all[i].names[k] };
			slot->annotations[1] = (struct json_pair){
				"org.opencontainers.image.ref.name", all[i].names[k]
			};
		} while (++k < all[i].names_n);
	}
	if (r < 0)
		return r;
	oci_index_write(&text, &x);
	return buf_ok(&text) ? put_text(s, "index.json", buf_str(&text), e) : no_memory(e);
}

int svc_image_save(struct svc *svc, const struct svc_image_save *req, struct err *e)
{
	static const char end[2 * TAR_BLOCK];
	struct save s = { .svc = svc, .req = req, .arena = ARENA_INIT((size_t) 256 << 20) };
	struct saved *all;
	size_t n = 0;
	int r = svc_store(svc, e);

	if (r < 0)
		return r;
	if (req->format == SVC_IMAGE_EROFS) {
		r = image_disk_save(svc, req, e);
		return r < 0 ? err_ctx(e, "save") : 0;
	}
	r = content_open(&s.content, svc->store, CONTENT_ADD, e);
	if (r < 0)
		return err_ctx(e, "save");
	all = arena_array(&s.arena, req->images_n + 1, sizeof(*all));
	r = all ? collect(&s, all, &n, e) : no_memory(e);
	if (r == 0)
		r = req->format == SVC_IMAGE_OCI ? save_oci(&s, all, n, e)
						 : save_docker(&s, all, n, e);
	if (r == 0)
		r = put(&s, end, sizeof(end), e);
	for (size_t i = 0; i < n; i++)
		image_free(all[i].im);
	arena_fini(&s.arena);
	content_close(&s.content);
	return r < 0 ? err_ctx(e, "save") : 0;
}
