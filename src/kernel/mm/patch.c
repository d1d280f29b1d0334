/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Code of the guest's that the platform puts something quicker in place of. The page that is
 * changed is the guest's own afterwards, as after a write of its own: what others look at, and the
 * file, stays as it is. It is exchanged as a whole, so that nobody ever runs a part of it.
 */
#include "kernel/mm/patch.h"

#include <linux/mman.h>

#include "kernel/mm/frame.h"
#include "kernel/mm/pager.h"
#include "kernel/mm/space.h"
#include "kernel/mm/space_page.h"
#include "kernel/mm/uio.h"

/* What stands at the entry has another owner, until commit(): others are running it. */
static uint64_t keep(const void *e)
{
	uint64_t frame = page_frame(e);

	frame_ref(frame);
	return frame;
}

/* What is entered is seen, and what stood there comes free only then. */
static int commit(struct space *s, uint64_t was)
{
	int r = plat_space_commit(s->plat);

	frame_unref(was);
	return r;
}

/* A copy of the page with the call that stands so far into it patched, or FRAME_NONE. */
static uint64_t patched_copy(struct space *s, const void *page, uint64_t behind, unsigned int nr)
{
	uint64_t within = behind - page_down(behind - 1), frame = frame_alloc_unclean(0);
	size_t has = min_of(within, (uint64_t) PLAT_SITE);
	unsigned char code[PLAT_SITE], *copy, *last;

	if (frame == FRAME_NONE)
		return frame;
	copy = memcpy(frame_ptr(frame), page, PAGE_SIZE);
	last = copy + within - has;
	memset(code, PLAT_NOT_CODE, PLAT_SITE - has);
	memcpy(code + PLAT_SITE - has, last, has);
	if (!plat_patch(s->plat, behind, nr, code)) {
		frame_unref(frame);
		return FRAME_NONE;
	}
	memcpy(last, code + PLAT_SITE - has, has);
	return frame;
}

void space_patch(struct space *s, uint64_t behind, unsigned int nr)
{
	uint64_t page = page_down(behind - 1), frame, was;
	struct vma *v;
	const void *e;

	sleeplock_take(&s->lock);
	v = space_find(s, page);
	e = radix_get(&s->pages, page >> PAGE_SHIFT);
	/* Where the guest may write, it may be doing so. */
	if (v && e && (v->prot & PROT_EXEC) && !(v->prot & PROT_WRITE) &&
	    !(v->flags & VMA_SHARED)) {
		was = keep(e);
		frame = patched_copy(s, frame_ptr(was), behind, nr);
		if (frame != FRAME_NONE && space_enter(s, page, frame, true) == 0)
			(void) space_show(s, v, page, page + PAGE_SIZE);
		/* What could not be shown faults, and comes then. */
		(void) commit(s, was);
	}
	sleeplock_give(&s->lock);
}

/* As it was: the file's own page where nothing else was changed, or a copy. */
static int unpatch(struct space *s, uint64_t page)
{
	struct vma *v = space_find(s, page);
	const void *e = radix_get(&s->pages, page >> PAGE_SHIFT);
	uint64_t frame, of_file, was;
	int r;

	if (!v || !e || v->flags & VMA_SHARED)
		return 0;
	frame = frame_alloc_unclean(0);
	if (frame == FRAME_NONE)
		return -ENOMEM;
	memcpy(frame_ptr(frame), frame_ptr(page_frame(e)), PAGE_SIZE);
	if (!plat_unpatch(s->plat, page, frame_ptr(frame))) {
		frame_unref(frame);
		return 0;
	}
	was = keep(e);
	if (!v->pager || !pager_cached(v->pager, vma_index(v, page), &of_file)) {
		r = space_enter(s, page, frame, true);
	} else if (memcmp(frame_ptr(of_file), frame_ptr(frame), PAGE_SIZE) != 0) {
		frame_unref(of_file);
		r = space_enter(s, page, frame, true);
	} else {
		frame_unref(frame);
		r = space_enter(s, page, of_file, false);
	}
	/* Who has no access sees it when that comes. */
	if (r == 0 && v->prot)
		r = space_show(s, v, page, page + PAGE_SIZE);
	return commit(s, was) < 0 && r == 0 ? -ENOMEM : r;
}

int space_unpatch(struct space *s, uint64_t from, uint64_t to)
{
	uint64_t at = plat_patch_next(s->plat, from);
	int r = 0;

	for (; r == 0 && at < to; at = plat_patch_next(s->plat, page_down(at) + PAGE_SIZE))
		r = unpatch(s, page_down(at));
	return r;
}

enum space_patched space_patched(struct space *s, uint64_t at)
{
	unsigned char code[PLAT_JUMP];

	if (at < PAGE_SIZE || at >= plat_user_high() ||
	    copy_in(s, code, uva(at - PLAT_JUMP_BAD), PLAT_JUMP) < 0)
		return PATCHED_NOTHING;
	switch (plat_patched(s->plat, at, code)) {
	case PLAT_NOT_PATCHED:
		break;
	case PLAT_PATCHED_CALL:
		return PATCHED_CALL;
	case PLAT_PATCHED_INSIDE:
		sleeplock_take(&s->lock);
		/* Without memory it comes once more. */
		(void) unpatch(s, page_down(at));
		sleeplock_give(&s->lock);
		return PATCHED_NO_MORE;
	case PLAT_UNPATCHED:
		return PATCHED_NO_MORE;
	}
	return PATCHED_NOTHING;
}
