/* SPDX-License-Identifier: Apache-2.0 */
/* Images that are made here: `import` of a root file system, `commit` of a workload's changes. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "fmt/changes.h"
#include "fmt/oci_image.h"
#include "image/build.h"
#include "image/content.h"
#include "image/worker.h"
#include "store/image.h"
#include "svc/image.h"
#include "svc/image_make.h"
#include "svc/image_parts.h"
#include "svc/svc.h"

static int no_memory(struct err *e)
{
	return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left");
}

static int apply_changes(struct arena *a, struct oci_run_config *c, const char *const *changes,
			 size_t n, struct err *e)
{
	for (size_t i = 0; i < n; i++) {
		int r = changes_apply(a, c, str_of(changes[i]), e);

		if (r < 0)
			return r;
	}
	return 0;
}

/* "os/arch[/variant]"; only linux can run here. */
static int set_platform(struct arena *a, struct oci_image_config *c, const char *platform,
			struct err *e)
{
	struct str arch = {}, variant = {}, os;

	c->os = "linux";
	c->architecture = image_architecture();
	if (!platform)
		return 0;
	os = str_cut(str_of(platform), '/', &arch);
	if (arch.p)
		arch = str_cut(arch, '/', &variant);
	if (!str_is(os, "linux") || !arch.n)
		return err_set(e, ERR_INVALID, EINVAL,
			       "platform '%s': must be linux/ARCHITECTURE[/VARIANT]", platform);
	c->architecture = arena_dup(a, arch);
	c->variant = variant.n ? arena_dup(a, variant) : NULL;
	return c->architecture ? 0 : no_memory(e);
}

int image_history_add(struct arena *a, struct oci_image_config *c, const struct oci_history *h,
		      struct err *e)
{
	struct oci_history *grown = arena_array(a, c->history_n + 1, sizeof(*grown));

	if (!grown)
		return no_memory(e);
	if (c->history_n)
		memcpy(grown, c->history, c->history_n * sizeof(*grown));
	grown[c->history_n++] = *h;
	c->history = grown;
	return 0;
}

static int set_created(struct arena *a, struct oci_image_config *c, nsec_t now, struct err *e)
{
	char text[CLOCK_RFC3339_MAX];

	clock_rfc3339(now, text);
	c->created = arena_strdup(a, text);
	return c->created ? 0 : no_memory(e);
}

int image_from_tree(struct svc *s, const struct image_tree *t, struct svc_image_result *ret_result,
		    struct err *e)
{
	auto_arena struct arena a = ARENA_INIT((size_t) 64 << 20);
	auto_buf struct buf text = BUF_INIT(8u << 20);
	struct oci_run_config run = {};
	struct oci_image_config c = { .config = &run, .comment = t->comment };
	struct oci_history h = { .created_by = t->created_by, .comment = t->comment };
	struct build_source src = { .fd = t->fd };
	struct build *b = build_new(t->content);
	const char *names[] = { t->name };
	struct digest id;
	bool existed = false;
	int r = b ? set_platform(&a, &c, t->platform, e) : no_memory(e);

	if (r == 0)
		r = apply_changes(&a, &run, t->changes, t->changes_n, e);
	if (r == 0)
		r = build_layer(b, &src, e);
	if (r == 0)
		r = set_created(&a, &c, t->created, e);
	if (r == 0) {
		h.created = c.created;
		c.diff_ids = &b->layers[0].diff;
		c.diff_ids_n = 1;
		r = image_history_add(&a, &c, &h, e);
	}
	if (r == 0) {
		oci_image_config_write(&text, &c);
		r = buf_ok(&text) ? build_finish(b, buf_str(&text), NULL, names, t->name ? 1 : 0,
						 &id, &existed, e)
				  : no_memory(e);
	}
	build_free(b);
	if (r == 0)
		r = image_event(s->store, "import", &id, t->name, e);
	return r < 0 ? r : image_result_add(ret_result, &id, names, t->name ? 1 : 0, existed, e);
}

int svc_image_import(struct svc *s, const struct svc_image_import *req,
		     struct svc_image_result *ret_result, struct err *e)
{
	auto_content struct content content = { .layers_fd = FD_NONE,
						.blobs_fd = FD_NONE,
						.tmp_fd = FD_NONE };
	auto_fd int own = FD_NONE;
	char name[REFERENCE_MAX] = "";
	struct image_tree t = { .content = &content,
				.fd = req->fd,
				.platform = req->platform,
				.changes = req->changes,
				.changes_n = req->changes_n,
				.comment = req->message ? req->message : "imported" };
	int64_t epoch;
	int r;

	image_result_init(ret_result);
	r = req->name ? image_stored_name(req->name, name, e) : 0;
	if (r == 0)
		r = image_epoch(clock_wall() / NSEC_PER_SEC, &epoch, e);
	if (r == 0)
		r = svc_store(s, e);
	if (r == 0)
		r = content_open(&content, s->store, CONTENT_ADD, e);
	if (r == 0 && req->path) {
		own = open(req->path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
		if (own < 0)
			r = err_sys(e, errno, "open %s", req->path);
		t.fd = own;
	}
	if (r == 0) {
		t.name = req->name ? name : NULL;
		t.created = epoch * NSEC_PER_SEC;
		r = image_from_tree(s, &t, ret_result, e);
	}
	return r < 0 ? err_ctx(e, "import") : 0;
}

/* Unpacked again: the directory stays whose it is. */
static int unpack_layer(struct build *b, int fd, const char *tmp,
			const struct unpack_result *packed, struct err *e)
{
	struct build_source src = { .fd = fd,
				    .range = true,
				    .tmp_name = tmp,
				    .size = packed->tar_bytes,
				    .diff = &packed->diff };
	int r = build_layer(b, &src, e);

	/* A layer that was there already has no use for the file. */
	if (r == 0 && b->layers[b->n - 1].existed)
		content_tmp_drop(b->content, tmp);
	return r;
}

/* What changed, as a tar in tmp; then as a layer. */
static int commit_layer(struct build *b, const struct image_step *t, struct err *e)
{
	struct content *c = b->content;
	char tmp[CONTENT_NAME_MAX];
	auto_fd int fd = content_tmp_file(c, tmp, e);
	const struct pack_request pack = { .dir_fd = t->upper_fd,
					   .out_fd = fd,
					   .overlay_upper = true,
					   .mtime_max = t->mtime_max };
	struct build_made made = { .stage = t->upper_tmp, .blob = tmp };
	struct unpack_result packed;
	int r;

	if (fd < 0)
		return fd;
	r = worker_pack(&pack, &packed, e);
	if (r < 0) {
		content_tmp_drop(c, tmp);
		return r;
	}
	/* Not if there is in the directory what is not in the tar, or another time. */
	if (!t->upper_tmp || packed.left_out || t->mtime_max != INT64_MAX)
		return unpack_layer(b, fd, tmp, &packed, e);
	made.diff = packed.diff;
	made.bytes = packed.tar_bytes;
	made.file_bytes = packed.file_bytes;
	return build_made(b, &made, e);
}

int image_step(const struct image_step *t, struct digest *ret_id, bool *ret_existed, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT((size_t) 1 << 20);
	auto_buf struct buf text = BUF_INIT(8u << 20);
	struct build *b = build_new(t->content);
	struct oci_image_config c = *t->config;
	int r = b ? build_base(b, t->chains, t->chains_n, e) : no_memory(e);

	if (r == 0 && t->upper_fd >= 0)
		r = commit_layer(b, t, e);
	c.diff_ids = r == 0 ? arena_array(&a, b->n + 1, sizeof(*c.diff_ids)) : NULL;
	if (r == 0 && !c.diff_ids)
		r = no_memory(e);
	if (r == 0) {
		for (size_t i = 0; i < b->n; i++)
			c.diff_ids[i] = b->layers[i].diff;
		c.diff_ids_n = b->n;
		oci_image_config_write(&text, &c);
		r = buf_ok(&text) ? build_finish(b, buf_str(&text), NULL, t->names, t->names_n,
						 ret_id, ret_existed, e)
				  : no_memory(e);
	}
	build_free(b);
	return r;
}

static int commit_config(struct arena *a, const struct svc_image_commit *req,
			 struct oci_image_config *c, struct err *e)
{
	struct oci_history h = { .created_by = req->created_by,
				 .author = req->author,
				 .comment = req->message };
	struct oci_run_config *run = arena_alloc(a, sizeof(*run));
	int64_t epoch;
	int r = image_epoch(clock_wall() / NSEC_PER_SEC, &epoch, e);

	if (r < 0)
		return r;
	if (!run)
		return no_memory(e);
	*run = *(req->config ? req->config : c->config);
	c->config = run;
	r = apply_changes(a, run, req->changes, req->changes_n, e);
	if (r < 0)
		return r;
	if (req->author)
		c->author = req->author;
	c->comment = req->message;
	r = set_created(a, c, epoch * NSEC_PER_SEC, e);
	h.created = c->created;
	return r < 0 ? r : image_history_add(a, c, &h, e);
}

static int commit(struct svc *s, const struct svc_image_commit *req, struct content *content,
		  const char *name, struct svc_image_result *ret_result, struct err *e)
{
	auto_image struct image *im = NULL;
	const char *names[] = { name };
	struct image_step t = { .content = content,
				.upper_fd = req->upper_fd,
				.mtime_max = INT64_MAX,
				.names = names,
				.names_n = name ? 1 : 0 };
	struct digest id;
	bool existed = false;
	int r = image_resolve(s->store, req->base_id, &im, e);

	if (r == 0)
		r = commit_config(&im->arena, req, im->config, e);
	if (r == 0) {
		t.chains = im->row.chains;
		t.chains_n = im->row.chains_n;
		t.config = im->config;
		r = image_step(&t, &id, &existed, e);
	}
	if (r == 0)
		r = image_event(s->store, "commit", &id, name, e);
	return r < 0 ? r : image_result_add(ret_result, &id, names, name ? 1 : 0, existed, e);
}

int svc_image_commit(struct svc *s, const struct svc_image_commit *req,
		     struct svc_image_result *ret_result, struct err *e)
{
	auto_content struct content content = { .layers_fd = FD_NONE,
						.blobs_fd = FD_NONE,
						.tmp_fd = FD_NONE };
	char name[REFERENCE_MAX] = "";
	int r;

	image_result_init(ret_result);
	r = req->name ? image_stored_name(req->name, name, e) : 0;
	if (r == 0)
		r = svc_store(s, e);
	if (r == 0)
		r = content_open(&content, s->store, CONTENT_ADD, e);
	if (r == 0)
		r = commit(s, req, &content, req->name ? name : NULL, ret_result, e);
	return r < 0 ? err_ctx(e, "commit") : 0;
}
