/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Address spaces: what is mapped, and of private memory the pages that were written to. Pages that
 * processes share since a fork are saved once, and are shared again.
 */
#include <linux/mman.h>

#include "kernel/ipc/shm_segment.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/pager.h"
#include "kernel/mm/patch.h"
#include "kernel/mm/space.h"
#include "kernel/mm/space_page.h"
#include "kernel/state/state.h"

#define NO_MORE	 UINT64_MAX
#define PROT_ALL (PROT_READ | PROT_WRITE | PROT_EXEC)
#define VMA_ALL                                                                                    \
	(VMA_SHARED | VMA_GROWSDOWN | VMA_LOCKED | VMA_DONTFORK | VMA_WIPEONFORK | VMA_READONLY |  \
	 VMA_DONTDUMP)

enum source { SOURCE_NONE, SOURCE_FILE, SOURCE_SHM, SOURCE_SEGMENT };

/* ---- saving ---- */

/* What a mapping shows. */
static void save_source(struct state_save *s, const struct vma *v)
{
	struct inode *i = v->name ? v->name->inode : NULL;
	const struct shm *segment = v->pager ? shm_of_pager(v->pager) : NULL;
	uint64_t nr;

	if (!v->pager) {
		out_number(s->out, SOURCE_NONE);
	} else if (segment) {
		out_number(s->out, SOURCE_SEGMENT);
		out_number(s->out, (uint64_t) segment->ipc.id);
	} else if (!i || v->pager != &i->pager) {
		save_refuse(s, "memory of a device mapped:", v->name ? v->name->name : "");
	} else if (state_has_super(s->host, v->name->super, &nr) && !state_is_orphan(i)) {
		out_number(s->out, SOURCE_FILE);
		save_dentry(s, v->name);
	} else {
		out_number(s->out, SOURCE_SHM);
		save_shm(s, i, v->name->name);
	}
	out_number(s->out, v->first);
}

/* Whether the page is the file's own, which comes from there again. */
static bool is_of_file(const struct vma *v, uint64_t at, uint64_t frame)
{
	uint64_t of_file;

	if (!v->pager || !pager_cached(v->pager, vma_index(v, at), &of_file))
		return false;
	frame_unref(of_file);
	return of_file == frame;
}

static void save_pages(struct state_save *s, const struct space *space, const struct vma *v,
		       uint64_t zero)
{
	uint64_t index = vma_start(v) >> PAGE_SHIFT, end = v->end >> PAGE_SHIFT;
	void *e;

	for (; s->out->error == 0 && (e = radix_next(&space->pages, &index)) && index < end;
	     index++) {
		uint64_t frame = page_frame(e);

		if (frame == zero || is_of_file(v, index << PAGE_SHIFT, frame))
			continue;
		out_number(s->out, index);
		out_number(s->out, save_frame(s, frame));
	}
	out_number(s->out, NO_MORE);
}

void save_space(struct state_save *s, struct space *space)
{
	uint64_t zero = frame_zero();

	if (save_known(s, STATE_SPACE, space))
		return;
	frame_unref(zero);
	/* What stands in place of code is the platform's; it comes again where calls come often. */
	if (!s->dry && s->out->error == 0) {
		sleeplock_take(&space->lock);
		s->out->error = space_unpatch(space, 0, plat_user_high());
		sleeplock_give(&space->lock);
	}
	out_bytes(s->out, &space->limits, sizeof(space->limits));
	out_number(s->out, space->top);
	out_number(s->out, space->brk_start);
	out_number(s->out, space->brk);
	out_number(s->out, space->count);
	for (struct tree_node *n = tree_first(&space->vmas); n && s->out->error == 0;
	     n = tree_next(n)) {
		const struct vma *v = container_of(n, struct vma, node);

		out_number(s->out, vma_start(v));
		out_number(s->out, v->end);
		out_number(s->out, v->prot);
		out_number(s->out, v->flags);
		save_source(s, v);
		if (!(v->flags & VMA_SHARED))
			save_pages(s, space, v, zero);
	}
}

/* ---- loading ---- */

/* Its owner of the name is the caller's. */
static void load_source(struct state_load *l, struct vma *like, struct inode **ret_shm)
{
	uint64_t source = in_number(l->in, SOURCE_SEGMENT);
	char shown[256];

	*ret_shm = NULL;
	if (source == SOURCE_FILE) {
		like->name = load_dentry(l);
		if (like->name && !inode_is(like->name->inode, S_IFREG))
			in_fail(l->in, -EBADMSG);
		if (like->name)
			like->pager = &like->name->inode->pager;
	} else if (source == SOURCE_SHM) {
		*ret_shm = load_shm(l, shown);
		if (*ret_shm) {
			inode_ref(*ret_shm);
			like->name = dentry_root(*ret_shm, shown);
			like->pager = &(*ret_shm)->pager;
			if (!like->name)
				in_fail(l->in, -ENOMEM);
		}
	} else if (source == SOURCE_SEGMENT) {
		struct shm *segment = shm_find((int32_t) in_number(l->in, INT32_MAX));

		if (segment) {
			like->name = segment->name;
			dentry_ref(like->name);
			like->pager = &segment->pager;
		} else {
			in_fail(l->in, -EBADMSG);
		}
	}
	like->first = in_number(l->in, NO_MORE >> PAGE_SHIFT);
}

static void load_pages(struct state_load *l, struct space *space, const struct vma *v)
{
	uint64_t index;

	while (l->in->error == 0 && (index = in_number(l->in, NO_MORE)) != NO_MORE) {
		uint64_t frame = load_frame(l, in_number(l->in, NO_MORE));

		if (frame == FRAME_NONE)
			return;
		if (index < vma_start(v) >> PAGE_SHIFT || index >= v->end >> PAGE_SHIFT) {
			frame_unref(frame);
			in_fail(l->in, -EBADMSG);
		} else if (space_enter(space, index << PAGE_SHIFT, frame, false) < 0) {
			in_fail(l->in, -ENOMEM);
		}
	}
}

/* Where it may be: behind `from`, within the guest's addresses. */
static bool place(struct state_load *l, uint64_t from, uint64_t *ret_start, uint64_t *ret_end)
{
	uint64_t start = in_number(l->in, plat_user_high()),
		 end = in_number(l->in, plat_user_high());

	*ret_start = start;
	*ret_end = end;
	if (start < from || end <= start || (start | end) & (PAGE_SIZE - 1))
		in_fail(l->in, -EBADMSG);
	return l->in->error == 0;
}

static void load_vma(struct state_load *l, struct space *space, uint64_t *from)
{
	uint64_t start, end;
	struct vma like = {}, *v = NULL;
	struct inode *shm;

	if (!place(l, *from, &start, &end))
		return;
	*from = end;
	like.prot = (unsigned int) in_number(l->in, PROT_ALL);
	like.flags = (unsigned int) in_number(l->in, VMA_ALL);
	load_source(l, &like, &shm);
	if ((like.flags & VMA_SHARED && !like.pager) ||
	    (like.flags & VMA_SHARED && like.flags & VMA_READONLY && like.prot & PROT_WRITE))
		in_fail(l->in, -EBADMSG);
	if (l->in->error == 0) {
		v = vma_new(space, &like, start, end);
		if (!v)
			in_fail(l->in, -ENOMEM);
	}
	if (like.name)
		dentry_unref(like.name);
	if (v && !(v->flags & VMA_SHARED))
		load_pages(l, space, v);
	if (v && l->in->error == 0 && v->prot && space_show(space, v, start, end) < 0)
		in_fail(l->in, -ENOMEM);
}

struct space *load_space(struct state_load *l)
{
	uint64_t nr, count, from = plat_user_low();
	struct space_limits limits;
	struct space *space = load_known(l, STATE_SPACE, &nr);

	if (space || l->in->error < 0)
		return space;
	in_bytes(l->in, &limits, sizeof(limits));
	space = space_new(&limits);
	load_meet(l, STATE_SPACE, nr, space);
	if (l->in->error < 0)
		return NULL;
	space->top = min_of(in_number(l->in, NO_MORE), plat_user_high());
	space->brk_start = in_number(l->in, plat_user_high());
	space->brk = in_number(l->in, plat_user_high());
	count = in_number(l->in, limits.mappings);
	for (uint64_t n = 0; n < count && l->in->error == 0; n++)
		load_vma(l, space, &from);
	if (l->in->error == 0 && plat_space_commit(space->plat) < 0)
		in_fail(l->in, -ENOMEM);
	return l->in->error < 0 ? NULL : space;
}
