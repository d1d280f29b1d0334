/* SPDX-License-Identifier: Apache-2.0 */
#include "image/build.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "image/hash.h"
#include "store/image.h"

struct build *build_new(struct content *c)
{
	struct build *b = calloc(1, sizeof(*b));

	if (b)
		b->content = c;
	return b;
}

static void drop_layer(struct content *c, struct build_layer *l)
{
	close_fd(&l->dir_fd);
	content_tmp_drop(c, l->stage);
	content_tmp_drop(c, l->blob_tmp);
	l->stage[0] = l->blob_tmp[0] = '\0';
}

void build_free(struct build *b)
{
	if (!b)
		return;
	for (size_t i = 0; i < b->n; i++)
		drop_layer(b->content, &b->layers[i]);
	free(b);
}

static int add_existing(struct build *b, const struct store_layer *row, struct err *e)
{
	struct build_layer *l = &b->layers[b->n];
	char hex[DIGEST_HEX_MAX];
	int fd;

	digest_hex(&row->chain, hex);
	fd = openat(b->content->layers_fd, hex, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, errno, "layer %s is recorded, but its directory is missing", hex);
	*l = (struct build_layer){ .chain = row->chain,
				   .diff = row->diff,
				   .blob = row->blob,
				   .blob_size = row->blob_size,
				   .size = row->size,
				   .existed = true,
				   .dir_fd = fd };
	b->n++;
	return 0;
}

static int find_layer(struct build *b, const struct digest *chain, bool *ret_found, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(1u << 20);
	struct store_layer row = {};
	int r = store_layer_get(b->content->store, &a, chain, &row, ret_found, e);

	return r == 0 && *ret_found ? add_existing(b, &row, e) : r;
}

int build_base(struct build *b, const struct digest *chains, size_t n, struct err *e)
{
	for (size_t i = 0; i < n; i++) {
		bool found = false;
		int r = find_layer(b, &chains[i], &found, e);

		if (r < 0)
			return r;
		if (!found)
			return err_set(e, ERR_NOT_FOUND, ENOENT,
				       "a layer of the image is gone: load it again");
	}
	return 0;
}

static struct digest chain_upon(const struct build *b, const struct digest *diff)
{
	return hash_chain(b->n ? &b->layers[b->n - 1].chain : NULL, diff);
}

static int make_stage(struct build *b, struct build_layer *l, struct err *e)
{
	struct content *c = b->content;

	content_tmp_name(c, "layer", l->stage);
	if (mkdirat(c->tmp_fd, l->stage, 0755) < 0) {
		int sys = errno;

		l->stage[0] = '\0';
		return err_sys(e, sys, "make a directory in %s", paths_tmp(&c->store->paths).z);
	}
	l->dir_fd = openat(c->tmp_fd, l->stage, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	/* The root is the archive's to change; without an entry for it, it is this. */
	if (l->dir_fd < 0 || fchmod(l->dir_fd, 0755) < 0)
		return err_sys(e, errno, "open a directory in %s", paths_tmp(&c->store->paths).z);
	return 0;
}

static int verify(const struct build_source *src, const struct unpack_result *res, size_t index,
		  struct err *e)
{
	char want[DIGEST_TEXT_MAX], got[DIGEST_TEXT_MAX];

	if (src->packed && !digest_eq(src->packed, &res->packed)) {
		digest_text(src->packed, want);
		digest_text(&res->packed, got);
		return err_set(e, ERR_INVALID, EBADMSG,
			       "layer %zu: its bytes hash to %s, the manifest says %s", index, got,
			       want);
	}
	if (src->diff && !digest_eq(src->diff, &res->diff)) {
		digest_text(src->diff, want);
		digest_text(&res->diff, got);
		return err_set(e, ERR_INVALID, EBADMSG,
			       "layer %zu: its content hashes to %s, the configuration says %s",
			       index, got, want);
	}
	return 0;
}

static int unpack(struct build *b, const struct build_source *src, struct build_layer *l,
		  struct err *e)
{
	int lower[OCI_LAYERS_MAX];
	auto_fd int blob = FD_NONE;
	struct unpack_request q = { .in_fd = src->fd,
				    .in_range = src->range,
				    .in_off = src->off,
				    .in_size = src->size,
				    .lower_fds = lower,
				    .lower_n = b->n,
				    .copy_fd = FD_NONE };
	struct unpack_result res;
	int r = make_stage(b, l, e);

	if (r < 0)
		return r;
	for (size_t i = 0; i < b->n; i++)
		lower[i] = b->layers[b->n - 1 - i].dir_fd;
	q.dir_fd = l->dir_fd;
	if (src->tmp_name) {
		memcpy(l->blob_tmp, src->tmp_name, strlen(src->tmp_name) + 1);
	} else {
		blob = content_tmp_file(b->content, l->blob_tmp, e);
		if (blob < 0)
			return blob;
		q.copy_fd = blob;
	}
	r = worker_unpack(&q, &res, e);
	if (r == 0)
		r = verify(src, &res, b->n + 1, e);
	if (r < 0)
		return r;
	l->diff = res.diff;
	l->blob = res.packed;
	l->format = res.format;
	l->blob_size = res.packed_bytes;
	l->size = res.file_bytes;
	l->chain = chain_upon(b, &res.diff);
	return 0;
}

int build_layer(struct build *b, const struct build_source *src, struct err *e)
{
	struct build_layer *l = &b->layers[b->n];
	bool found = false;
	int r;

	if (b->n == OCI_LAYERS_MAX)
		return err_set(e, ERR_EXHAUSTED, E2BIG, "more than %d layers", OCI_LAYERS_MAX);
	if (src->diff) {
		struct digest chain = chain_upon(b, src->diff);

		r = find_layer(b, &chain, &found, e);
		if (r < 0 || found)
			return r;
	}
	*l = (struct build_layer){ .dir_fd = FD_NONE };
	r = unpack(b, src, l, e);
	if (r < 0) {
		drop_layer(b->content, l);
		return r;
	}
	b->n++;
	return 0;
}

int build_made(struct build *b, const struct build_made *m, struct err *e)
{
	struct build_layer *l = &b->layers[b->n];
	struct digest chain = chain_upon(b, &m->diff);
	bool found = false;
	int r;

	if (b->n == OCI_LAYERS_MAX)
		return err_set(e, ERR_EXHAUSTED, E2BIG, "more than %d layers", OCI_LAYERS_MAX);
	r = find_layer(b, &chain, &found, e);
	if (r < 0 || found) {
		content_tmp_drop(b->content, m->stage);
		content_tmp_drop(b->content, m->blob);
		return r;
	}
	*l = (struct build_layer){ .chain = chain,
				   .diff = m->diff,
				   .blob = m->diff,
				   .format = UNPACK_TAR,
				   .blob_size = m->bytes,
				   .size = m->file_bytes };
	(void) snprintf(l->stage, sizeof(l->stage), "%s", m->stage);
	(void) snprintf(l->blob_tmp, sizeof(l->blob_tmp), "%s", m->blob);
	l->dir_fd = openat(b->content->tmp_fd, l->stage,
			   O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	/* As of one that is unpacked; its tar has no entry for it. */
	if (l->dir_fd < 0 || fchmod(l->dir_fd, 0755) < 0) {
		r = err_sys(e, errno, "open a layer that was made");
		drop_layer(b->content, l);
		return r;
	}
	b->n++;
	return 0;
}

/* Within the store's write: nobody else moves layers meanwhile. */
static int place_layer(struct build *b, struct build_layer *l, struct err *e)
{
	static const char *const media[] = { [UNPACK_TAR] = MEDIA_OCI_LAYER,
					     [UNPACK_GZIP] = MEDIA_OCI_LAYER_GZIP,
					     [UNPACK_ZSTD] = MEDIA_OCI_LAYER_ZSTD };
	auto_arena struct arena a = ARENA_INIT(1u << 20);
	struct content *c = b->content;
	struct store_layer row = { .chain = l->chain,
				   .diff = l->diff,
				   .blob = l->blob,
				   .media_type = media[l->format],
				   .blob_size = l->blob_size,
				   .size = l->size };
	struct store_layer there;
	char hex[DIGEST_HEX_MAX], gone[CONTENT_NAME_MAX];
	bool found = false;
	int r = store_layer_get(c->store, &a, &l->chain, &there, &found, e);

	if (r < 0 || found)
		return r; /* another process was quicker; the stage is dropped later */
	digest_hex(&l->chain, hex);
	if (renameat(c->tmp_fd, l->stage, c->layers_fd, hex) < 0) {
		if (errno != ENOTEMPTY && errno != EEXIST)
			return err_sys(e, errno, "keep layer %s", hex);
		/* Without a record it is what a crash left: out of the way with it. */
		content_tmp_name(c, "gone", gone);
		if (renameat(c->layers_fd, hex, c->tmp_fd, gone) < 0 ||
		    renameat(c->tmp_fd, l->stage, c->layers_fd, hex) < 0)
			return err_sys(e, errno, "keep layer %s", hex);
		content_tmp_drop(c, gone);
	}
	l->stage[0] = '\0';
	r = content_blob_keep(c, l->blob_tmp, &l->blob, e);
	if (r < 0)
		return r;
	l->blob_tmp[0] = '\0';
	return store_layer_add(c->store, &row, e);
}

static int record(struct build *b, const struct store_image *im, bool *ret_new, struct err *e)
{
	int r = store_write(b->content->store, STORE_DURABLE, e);

	if (r < 0)
		return r;
	for (size_t i = 0; i < b->n && r == 0; i++)
		if (!b->layers[i].existed)
			r = place_layer(b, &b->layers[i], e);
	/* The names must be on disk before the records that rely on them. */
	if (r == 0 && (fsync(b->content->layers_fd) < 0 || fsync(b->content->blobs_fd) < 0))
		r = err_sys(e, errno, "sync the layers");
	if (r == 0)
		r = store_image_add(b->content->store, im, ret_new, e);
	if (r < 0) {
		store_rollback(b->content->store);
		return r;
	}
	return store_commit(b->content->store, e);
}

int build_finish(struct build *b, struct str config, const struct digest *manifest,
		 const char *const *names, size_t names_n, struct digest *ret_id, bool *ret_existed,
		 struct err *e)
{
	auto_arena struct arena a = ARENA_INIT((size_t) 64 << 20);
	struct oci_image_config *c = NULL;
	struct store_image im = { .config = config,
				  .added = clock_wall(),
				  .has_manifest = manifest != NULL,
				  .names_n = names_n };
	bool is_new = false;
	int r = oci_image_config_decode(&a, config, &c, e);

	if (r < 0)
		return r;
	if (c->diff_ids_n != b->n)
		return err_set(e, ERR_INVALID, EINVAL,
			       "the configuration names %zu layers, the image has %zu",
			       c->diff_ids_n, b->n);
	if (manifest)
		im.manifest = *manifest;
	im.chains = arena_array(&a, b->n + 1, sizeof(*im.chains));
	im.names = arena_array(&a, names_n + 1, sizeof(*im.names));
	if (!im.chains || !im.names)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left");
	for (size_t i = 0; i < b->n; i++) {
		im.chains[i] = b->layers[i].chain;
		im.size += b->layers[i].size;
	}
	im.chains_n = b->n;
	for (size_t i = 0; i < names_n; i++)
		im.names[i] = names[i];
	if (c->created && clock_parse(str_of(c->created), &im.created) < 0)
		im.created = 0; /* a time nobody understands is no time */
	r = content_blob_put(b->content, config, &im.id, e);
	/* One flush for all that was written: a record never outlives a power cut its data did not.
	 */
	if (r == 0 && syncfs(b->content->layers_fd) < 0)
		r = err_sys(e, errno, "sync the layers");
	if (r == 0)
		r = record(b, &im, &is_new, e);
	if (r < 0)
		return r;
	*ret_id = im.id;
	*ret_existed = !is_new;
	return 0;
}
