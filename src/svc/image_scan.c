/* SPDX-License-Identifier: Apache-2.0 */
#include "svc/image_scan.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "fmt/distro.h"
#include "image/content.h"
#include "image/resolve.h"
#include "image/worker.h"
#include "svc/heal.h"
#include "svc/image_parts.h"
#include "svc/tree_end.h"

#define REPORT_MAX ((size_t) 512 << 20)

static int scan_tree(const struct scan_bases *b, int dir_fd, struct arena *a,
		     struct scan_report *ret, struct err *e)
{
	auto_fd int out = memfd_create("scan", MFD_CLOEXEC);
	auto_buf struct buf text = BUF_INIT(REPORT_MAX);
	const struct scan_request q = {
		.dir_fd = dir_fd, .base_fds = b->fds, .bases_n = b->n, .out_fd = out
	};
	uint64_t packages;
	int r;

	if (out < 0)
		return err_sys(e, errno, "keep what a scan finds");
	r = worker_scan(&q, &packages, e);
	if (r < 0)
		return r;
	r = lseek(out, 0, SEEK_SET) < 0 ? -errno : fd_read_all(out, &text);
	if (r < 0)
		return err_sys(e, -r, "read what a scan found");
	r = scan_report_read(a, buf_str(&text), ret, e);
	if (r == 0)
		scan_report_sort(ret->findings, ret->findings_n);
	return r;
}

int svc_scan_image(struct svc *s, const struct scan_bases *b, const struct image *im,
		   struct arena *a, struct scan_target *ret, struct err *e)
{
	auto_content struct content c = { .layers_fd = FD_NONE,
					  .blobs_fd = FD_NONE,
					  .tmp_fd = FD_NONE };
	struct scan_target t = { .name = im->name[0] ? im->name : im->id_text,
				 .created = im->row.created };
	auto_fd int tree = FD_NONE;
	int r;

	if (!im->row.chains_n)
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP, "image '%.100s' has no layers",
			       t.name);
	r = content_open(&c, s->store, CONTENT_ADD, e); /* none of them is swept meanwhile */
	r = r < 0 ? r : image_tree(s, im, FD_NONE, &tree, e);
	r = r < 0 ? r : scan_tree(b, tree, a, &t.report, e);
	t.name = arena_strdup(a, t.name);
	if (r == 0 && !t.name)
		r = err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	if (r == 0)
		*ret = t;
	return r;
}

static int scan_workload(struct svc *s, const struct scan_bases *b, const struct workload_record *w,
			 struct arena *a, struct scan_target *ret, struct err *e)
{
	auto_tree_root struct tree_root root = TREE_ROOT_INIT;
	auto_image struct image *im = NULL;
	auto_fd int dir = FD_NONE;
	struct err ignored;
	int r = tree_layers(s, w, &root, e);

	r = r < 0 ? r : tree_root_dir(&root, &dir, e);
	ret->workload = true;
	if (image_resolve(s->store, *w->image_id ? w->image_id : w->image, &im, &ignored) == 0)
		ret->created = im->row.created;
	return r < 0 ? r : scan_tree(b, dir, a, &ret->report, e);
}

int svc_scan(struct svc *s, const struct scan_bases *b, const char *ref, struct arena *a,
	     struct scan_target *ret, struct err *e)
{
	auto_image struct image *im = NULL;
	struct scan_target t = { .name = arena_strdup(a, ref) };
	struct workload_record w;
	struct err none;
	int r = svc_store(s, e);

	r = r < 0 ? r : image_resolve(s->store, ref, &im, e);
	if (r == 0) {
		r = svc_scan_image(s, b, im, a, &t, e);
		t.name = arena_strdup(a, ref); /* as it was asked for */
	} else if (im == NULL && e->kind == ERR_NOT_FOUND) {
		if (heal_find(s, ref, a, &w, &none) >= 0)
			r = scan_workload(s, b, &w, a, &t, e);
		else if (none.kind != ERR_NOT_FOUND)
			*e = none;
	}
	if (r < 0)
		return err_ctx(e, "scan '%.100s'", ref);
	*ret = t;
	return t.name ? 0 : err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
}

struct scan_support scan_support(const struct os_release *o, nsec_t now)
{
	const struct distro_release *r = distro_release(o);
	char today[CLOCK_RFC3339_MAX];

	clock_rfc3339(now, today);
	return r && r->end
		       ? (struct scan_support){ r->end, strncmp(today, r->end, strlen(r->end)) > 0 }
		       : (struct scan_support){ 0 };
}
