/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/mm/lock.h"

#include "kernel/mm/frame.h"
#include "kernel/mm/pager.h"
#include "kernel/mm/space_page.h"

static struct vma *next_of(const struct vma *v)
{
	struct tree_node *n = tree_next(&v->node);

	return n ? container_of(n, struct vma, node) : NULL;
}

bool space_mapped(const struct space *s, uint64_t at, uint64_t len, bool *ret_locked)
{
	uint64_t end;

	*ret_locked = false;
	if (!uva_end(uva(at), len, &end))
		return false;
	while (at < end) {
		const struct vma *v = space_find(s, at);

		if (!v)
			return false;
		*ret_locked |= v->flags & VMA_LOCKED;
		at = v->end;
	}
	return true;
}

/* What of [at, end) does not count as locked yet. */
static uint64_t not_locked(const struct space *s, uint64_t at, uint64_t end)
{
	uint64_t pages = 0;

	for (const struct vma *v = space_after(s, at); v && vma_start(v) < end; v = next_of(v)) {
		if (!(v->flags & VMA_LOCKED))
			pages += (min_of(end, v->end) - max_of(at, vma_start(v))) >> PAGE_SHIFT;
	}
	return pages;
}

static int mark(struct space *s, uint64_t at, uint64_t end, bool lock)
{
	int r = vma_split(s, at);

	if (r == 0)
		r = vma_split(s, end);
	for (struct vma *v = space_after(s, at); r == 0 && v && vma_start(v) < end;
	     v = next_of(v)) {
		if (lock == !!(v->flags & VMA_LOCKED))
			continue;
		v->flags ^= VMA_LOCKED;
		s->locked += lock ? vma_pages(v) : -vma_pages(v);
	}
	vma_join(s, at, end);
	return r;
}

/* Each page as its mapping allows; what cannot be had is left. */
static void make_there(struct space *s, uint64_t at, uint64_t end)
{
	const struct vma *v;

	for (; at < end && (v = space_after(s, at)) && vma_start(v) < end; at += PAGE_SIZE) {
		/* Pages of shared memory that are holes shall be there, too. */
		unsigned int access = v->prot & PLAT_WRITE ? PLAT_WRITE : PLAT_READ;

		at = max_of(at, vma_start(v));
		if (!v->prot)
			at = v->end - PAGE_SIZE;
		else if (space_frame(s, at, access) == FRAME_NONE &&
			 space_fault(s, at, access) == FAULT_MEMORY)
			return;
	}
}

int space_lock(struct space *s, uint64_t at, uint64_t len, bool lock, bool populate, bool free)
{
	uint64_t start = page_down(at), end;
	bool any;
	int r = 0;

	if (!uva_end(uva(at), len, &end) || end > plat_user_high())
		return len > plat_user_high() ? -EINVAL : -ENOMEM;
	end = page_up(end);
	if (start == end)
		return 0;
	sleeplock_take(&s->lock);
	if (!space_mapped(s, start, end - start, &any))
		r = -ENOMEM;
	else if (lock && !free &&
		 s->locked + not_locked(s, start, end) > s->limits.locked >> PAGE_SHIFT)
		r = -ENOMEM;
	if (r == 0)
		r = mark(s, start, end, lock);
	sleeplock_give(&s->lock);
	if (r == 0 && populate)
		make_there(s, start, end);
	return r;
}

int space_lock_all(struct space *s, bool lock, bool populate, bool free)
{
	uint64_t low = plat_user_low(), high = plat_user_high();
	int r = 0;

	sleeplock_take(&s->lock);
	if (lock && !free && s->mapped > s->limits.locked >> PAGE_SHIFT)
		r = -ENOMEM;
	if (r == 0)
		r = mark(s, low, high, lock);
	sleeplock_give(&s->lock);
	if (r == 0 && populate)
		make_there(s, low, high);
	return r;
}

int space_resident(const struct space *s, uint64_t at, size_t pages, uint8_t *to)
{
	for (size_t n = 0; n < pages; n++, at += PAGE_SIZE) {
		const struct vma *v = space_find(s, at);
		uint64_t frame;
		bool there;

		if (!v)
			return -ENOMEM;
		there = radix_get(&s->pages, at >> PAGE_SHIFT);
		if (!there && v->pager && pager_cached(v->pager, vma_index(v, at), &frame)) {
			frame_unref(frame);
			there = true;
		}
		to[n] = there;
	}
	return 0;
}
