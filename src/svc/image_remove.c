/* SPDX-License-Identifier: Apache-2.0 */
/* `image rm` and `image prune`: names first, records with the last name, bytes with the records. */
#include <errno.h>
#include <string.h>

#include "base/auto.h"
#include "fmt/reference.h"
#include "image/content.h"
#include "store/image.h"
#include "svc/image.h"
#include "svc/image_parts.h"
#include "svc/svc.h"

static int no_memory(struct err *e)
{
	return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left");
}

static int gone(struct svc_image_removed *out, bool deleted, const char *what, struct err *e)
{
	struct svc_image_gone *g = arena_push(&out->arena, &out->items, &out->n, sizeof(*g));

	if (!g || !(g->what = arena_strdup(&out->arena, what)))
		return no_memory(e);
	g->deleted = deleted;
	return 0;
}

static int untag(struct svc *s, const struct digest *id, const char *name,
		 struct svc_image_removed *out, struct err *e)
{
	bool found = false;
	int r = store_image_untag(s->store, name, &found, e);

	if (r == 0 && found)
		r = image_event(s->store, "untag", id, name, e);
	return r < 0 || !found ? r : gone(out, false, reference_familiar_of(name), e);
}

static int delete (struct svc *s, const struct digest *id, struct svc_image_removed *out,
		   struct err *e)
{
	char text[DIGEST_TEXT_MAX];
	int r = store_image_remove(s->store, id, e);

	if (r == 0)
		r = image_event(s->store, "delete", id, NULL, e);
	digest_text(id, text);
	return r < 0 ? r : gone(out, true, text, e);
}

/* Where images are being added right now, what is left waits for the next removal or prune. */
static int sweep(struct svc *s, struct svc_image_removed *out, struct err *e)
{
	struct content content;
	struct err busy = {};
	uint64_t bytes = 0;
	int r = content_open(&content, s->store, CONTENT_SWEEP, &busy);

	if (r < 0) {
		if (busy.kind == ERR_CONFLICT)
			return 0;
		*e = busy;
		return r;
	}
	r = content_sweep(&content, &bytes, e);
	out->reclaimed += bytes;
	content_close(&content);
	return r;
}

static int in_use(const struct image *im, struct err *e)
{
	return err_set(e, ERR_CONFLICT, EBUSY,
		       "image %.19s is used by %llu workload%s or snapshots: remove them first "
		       "(atoll rm, atoll snapshot rm), or take its names away with -f",
		       im->id_text, (unsigned long long) im->row.pins,
		       im->row.pins == 1 ? "" : "s");
}

static int remove_image(struct svc *s, const struct image *im, bool force,
			struct svc_image_removed *out, struct err *e)
{
	bool by_name = im->name[0] != '\0';
	int r = 0;

	if (by_name && im->row.names_n > 1)
		return untag(s, &im->id, im->name, out, e);
	if (!by_name && im->row.names_n > 1 && !force)
		return err_set(e, ERR_CONFLICT, EBUSY,
			       "image %.19s has %zu names: remove it by those, or with -f",
			       im->id_text, im->row.names_n);
	if (im->row.pins && !force)
		return in_use(im, e);
	for (size_t i = 0; i < im->row.names_n && r == 0; i++)
		r = untag(s, &im->id, im->row.names[i], out, e);
	if (r < 0 || im->row.pins)
		return r; /* the workloads keep it, without a name */
	r = delete (s, &im->id, out, e);
	return r < 0 ? r : sweep(s, out, e);
}

int svc_image_remove(struct svc *s, const char *ref, bool force,
		     struct svc_image_removed *ret_removed, struct err *e)
{
	auto_image struct image *im = NULL;
	int r;

	*ret_removed = (struct svc_image_removed){ .arena = ARENA_INIT((size_t) 64 << 20) };
	r = svc_store(s, e);
	if (r == 0)
		r = image_resolve(s->store, ref, &im, e);
	return r < 0 ? r : remove_image(s, im, force, ret_removed, e);
}

int svc_image_prune(struct svc *s, bool all, const struct svc_image_filter *f,
		    struct svc_image_removed *ret_removed, struct err *e)
{
	struct svc_image_filter filter = f ? *f : (struct svc_image_filter){};
	struct svc_image_list list = {};
	int r;

	*ret_removed = (struct svc_image_removed){ .arena = ARENA_INIT((size_t) 64 << 20) };
	if (all)
		filter.all = true;
	else
		filter.dangling = SVC_DANGLING_ONLY;
	r = svc_image_list(s, &filter, &list, e);
	for (size_t i = 0; i < list.n && r == 0; i++) {
		auto_image struct image *im = NULL;
		struct err busy = {};

		if (list.items[i].containers)
			continue;
		if (image_resolve(s->store, list.items[i].id, &im, &busy) < 0)
			continue; /* gone meanwhile */
		r = remove_image(s, im, true, ret_removed, &busy);
		if (r < 0 && busy.kind == ERR_CONFLICT)
			r = 0; /* taken into use meanwhile */
		else if (r < 0)
			*e = busy;
	}
	svc_image_list_fini(&list);
	return r < 0 ? r : sweep(s, ret_removed, e);
}

int image_remove_all(struct svc *s, const struct digest *ids, size_t n,
		     struct svc_image_removed *out, struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		struct err busy = {};

		r = delete (s, &ids[i], out, &busy);
		if (r < 0 && (busy.kind == ERR_CONFLICT || busy.kind == ERR_NOT_FOUND))
			r = 0; /* taken into use meanwhile, or gone */
		else if (r < 0)
			*e = busy;
	}
	return r < 0 ? r : sweep(s, out, e);
}

void svc_image_removed_fini(struct svc_image_removed *r)
{
	arena_fini(&r->arena);
}
