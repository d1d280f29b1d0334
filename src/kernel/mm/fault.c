/* SPDX-License-Identifier: Apache-2.0 */
/* Pages that are touched: found, copied where they are shared, shown to the platform. */
#include <linux/mman.h>

#include "kernel/core/heap.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/pager.h"
#include "kernel/mm/space.h"
#include "kernel/mm/space_page.h"

/* Pages around the one that is touched are made right with it: one mapping of the platform serves
 * all. */
#define AROUND_ORDER 4
#define AROUND	     ((uint64_t) 1 << AROUND_ORDER)
/* Who goes on where the last window ended gets larger ones: memory of its own, at most; */
#define GROWN_ORDER 7
#define GROWN	    ((uint64_t) 1 << GROWN_ORDER)
/* and where so many windows were wanted the next are twice as large, so often: of a file, of which
 * what is cached costs little; of memory. */
#define FILE_EACH   1u
#define FILE_TWICE  4u
#define FRESH_EACH  4u
#define FRESH_TWICE 2u
/* What is mapped of a file at its place, as a dynamic linker does, is used: if it is no more; and
 * what it may write to, which it copies. */
#define EXPECTED	((uint64_t) 512)
#define EXPECTED_COPIES ((uint64_t) 64)

static enum space_fault fault_of(int r)
{
	return r == 0 ? FAULT_DONE : r == -ENOMEM ? FAULT_MEMORY : FAULT_BEHIND;
}

int space_enter(struct space *s, uint64_t at, uint64_t frame, bool writable)
{
	uint64_t index = at >> PAGE_SHIFT;
	void *old = radix_get(&s->pages, index);

	if (radix_set(&s->pages, index, page_entry(frame, writable)) < 0) {
		frame_unref(frame);
		return -ENOMEM;
	}
	if (old)
		frame_unref(page_frame(old));
	else
		s->resident++;
	return 0;
}

typedef int map_fn(struct plat_space *s, uint64_t at, uint64_t pages, uint64_t frame,
		   unsigned int prot);

static int show(struct space *s, const struct vma *v, uint64_t from, uint64_t to, map_fn *map)
{
	uint64_t index = from >> PAGE_SHIFT, run = 0, length = 0, frame = 0;
	bool writable = false;
	int r = 0;

	for (; r == 0; index++) {
		void *e = index < to >> PAGE_SHIFT ? radix_get(&s->pages, index) : NULL;
		unsigned int prot = v->prot & ~(unsigned int) PROT_WRITE;

		if (e && length && page_frame(e) == frame + length &&
		    page_writable(e) == writable) {
			length++;
			continue;
		}
		if (length)
			r = map(s->plat, run << PAGE_SHIFT, length, frame,
				writable ? v->prot : prot);
		length = 0;
		if (e) {
			run = index;
			length = 1;
			frame = page_frame(e);
			writable = page_writable(e);
		}
		if (index >= to >> PAGE_SHIFT)
			break;
	}
	return r;
}

int space_show(struct space *s, const struct vma *v, uint64_t from, uint64_t to)
{
	return show(s, v, from, to, plat_map);
}

/* So many pages around `at` within v. */
static void around(const struct vma *v, uint64_t at, uint64_t pages, uint64_t *ret_from,
		   uint64_t *ret_to)
{
	uint64_t from = at & ~(pages * PAGE_SIZE - 1), to = from + pages * PAGE_SIZE;

	*ret_from = max_of(from, vma_start(v));
	*ret_to = min_of(to, v->end);
}

/* The window around `at` within v. */
static void window(const struct vma *v, uint64_t at, uint64_t *ret_from, uint64_t *ret_to)
{
	around(v, at, AROUND, ret_from, ret_to);
}

/* How many pages before `at`, `most` at most, are one's own. */
static uint64_t own_before(const struct space *s, const struct vma *v, uint64_t at, uint64_t most)
{
	uint64_t n = 0;

	while (n < most && at - vma_start(v) > n * PAGE_SIZE) {
		const void *e = radix_get(&s->pages, (at >> PAGE_SHIFT) - n - 1);

		if (!e || !page_writable(e))
			break;
		n++;
	}
	return n;
}

/* Up to where [at, to) was never touched. */
static uint64_t untouched_upto(const struct space *s, uint64_t at, uint64_t to)
{
	uint64_t index = at >> PAGE_SHIFT;

	return radix_next(&s->pages, &index) ? min_of(to, index << PAGE_SHIFT) : to;
}

/* From where to `at` nothing was ever touched, `from` at the earliest. */
static uint64_t untouched_from(const struct space *s, uint64_t from, uint64_t at)
{
	while (at > from && !radix_get(&s->pages, (at >> PAGE_SHIFT) - 1))
		at -= PAGE_SIZE;
	return at;
}

/* [from, to) gets frames, in as few runs as there are: how far it came. */
static uint64_t fill(struct space *s, uint64_t from, uint64_t to)
{
	unsigned int order = GROWN_ORDER;
	uint64_t at = from, frame, end;

	while (at < to) {
		while (PAGE_SIZE << order > to - at)
			order--;
		while ((frame = frame_alloc(order)) == FRAME_NONE && order > 0)
			order--;
		if (frame == FRAME_NONE)
			return at;
		for (end = at + (PAGE_SIZE << order); at < end; at += PAGE_SIZE, frame++) {
			uint64_t reached = at;

			if (space_enter(s, at, frame, true) == 0)
				continue;
			while ((at += PAGE_SIZE) < end)
				frame_unref(++frame);
			return reached;
		}
	}
	return at;
}

/* Behind what is one's own already: as much again, as long as it was never touched. */
static uint64_t grown(const struct space *s, const struct vma *v, uint64_t at, uint64_t to)
{
	uint64_t end = min_of(at + own_before(s, v, at, GROWN) * PAGE_SIZE, v->end);

	end = untouched_upto(s, at + PAGE_SIZE, end);
	return max_of(to, end);
}

/* What is read of a window that was written to will be written to: one fault for both. */
static bool near_own(const struct space *s, const struct vma *v, uint64_t page)
{
	uint64_t from, to;

	if (!(v->prot & PROT_WRITE) || !frame_plenty())
		return false;
	window(v, page, &from, &to);
	for (; from < to; from += PAGE_SIZE) {
		const void *e = radix_get(&s->pages, from >> PAGE_SHIFT);

		if (e && page_writable(e))
			return true;
	}
	return false;
}

/* Memory of one's own that was never written to, and at `at` not touched or only read. What is
 * written to comes with the rest of its window, as far as there is memory. */
static enum space_fault fresh(struct space *s, struct vma *v, uint64_t at, bool write)
{
	uint64_t page = page_down(at), from = page, to = page + PAGE_SIZE, zero;
	unsigned int twice = frame_plenty() ? min_of(v->windows / FRESH_EACH, FRESH_TWICE) : 0;
	int r = 0;

	if (write || near_own(s, v, page)) {
		around(v, at, AROUND << twice, &from, &to);
		v->windows++;
		from = untouched_from(s, from, page);
		to = untouched_upto(s, page + PAGE_SIZE, to);
		if (from == page && frame_plenty())
			to = grown(s, v, page, to);
		if (fill(s, from, to) <= page && fill(s, page, page + PAGE_SIZE) == page)
			return FAULT_MEMORY;
	} else {
		zero = frame_zero();
		r = zero == FRAME_NONE ? -ENOMEM : space_enter(s, page, zero, false);
	}
	if (r == 0)
		r = space_show(s, v, from, to);
	return fault_of(r);
}

/* Not one's own yet, and there: others look at it, or nobody does any more. */
static bool to_copy(const struct space *s, uint64_t at, bool shared)
{
	const void *e = radix_get(&s->pages, at >> PAGE_SHIFT);

	return e && !page_writable(e) && frame_shared(page_frame(e)) == shared;
}

/*
 * From `at` on: who writes to one page after the other gets copies in longer and longer runs, as
 * many as there are pages of its own just before, a window at most. A power of two of them.
 */
static unsigned int copy_order(const struct space *s, const struct vma *v, uint64_t at)
{
	uint64_t before = own_before(s, v, at, AROUND), after = 1;
	unsigned int order = 0;

	while (after < before && v->end - at > after * PAGE_SIZE &&
	       to_copy(s, at + after * PAGE_SIZE, true))
		after++;
	while ((uint64_t) 2 << order <= after)
		order++;
	return order;
}

/* *ret_to: up to where they are one's own now. */
static int copy(struct space *s, const struct vma *v, uint64_t at, uint64_t *ret_to)
{
	unsigned int order = copy_order(s, v, at);
	uint64_t first = order > 0 ? frame_alloc_unclean(order) : FRAME_NONE;
	int r = 0;

	if (first == FRAME_NONE) {
		order = 0;
		first = frame_alloc_unclean(0);
	}
	if (first == FRAME_NONE)
		return -ENOMEM;
	*ret_to = at + (PAGE_SIZE << order);
	for (uint64_t n = 0; n < (uint64_t) 1 << order; n++) {
		uint64_t page = at + n * PAGE_SIZE;
		const void *e = radix_get(&s->pages, page >> PAGE_SHIFT);

		if (r < 0) {
			frame_unref(first + n);
			continue;
		}
		memcpy(frame_ptr(first + n), frame_ptr(page_frame(e)), PAGE_SIZE);
		r = space_enter(s, page, first + n, true);
	}
	return r;
}

/* Those in [from, to) that nobody else has any more. Their entries are there: it cannot fail. */
static void take_back(struct space *s, uint64_t from, uint64_t to)
{
	for (uint64_t at = from; at < to; at += PAGE_SIZE) {
		uint64_t index = at >> PAGE_SHIFT;

		if (to_copy(s, at, false))
			(void) radix_set(&s->pages, index,
					 page_entry(page_frame(radix_get(&s->pages, index)), true));
	}
}

/* A page that is there, and written to, and not one's own: a copy; alone on it: made writable. */
static enum space_fault own(struct space *s, const struct vma *v, uint64_t at)
{
	uint64_t from = page_down(at), to = from + PAGE_SIZE;
	int r = 0;

	if (to_copy(s, from, true)) {
		r = copy(s, v, from, &to);
	} else {
		window(v, at, &from, &to);
		take_back(s, from, to);
	}
	if (r == 0)
		r = space_show(s, v, from, to);
	return fault_of(r);
}

/* The window of the file around `at`, as far as v shows it. */
static void file_window(const struct vma *v, uint64_t at, uint64_t *ret_from, uint64_t *ret_to)
{
	uint64_t size = PAGER_WINDOW << min_of(v->windows / FILE_EACH, FILE_TWICE);
	uint64_t before = vma_index(v, at) & (size - 1), page = page_down(at);
	uint64_t first = vma_start(v) >> PAGE_SHIFT, n = page >> PAGE_SHIFT;

	*ret_from = page - (min_of(before, n - first) << PAGE_SHIFT);
	*ret_to = min_of(page + ((size - before) << PAGE_SHIFT), v->end);
}

/* The page at `a` comes, to be read, if it is cached; false: it is there, or there is no memory. */
static bool neighbour(struct space *s, const struct vma *v, uint64_t a)
{
	uint64_t frame;

	if (radix_get(&s->pages, a >> PAGE_SHIFT))
		return false;
	return !pager_cached(v->pager, vma_index(v, a), &frame) ||
	       space_enter(s, a, frame, false) == 0;
}

/* What is cached of the file around `page` comes, to be read: of [*from, *to), as far as nothing
 * is there yet, which it then is. */
static void neighbours(struct space *s, const struct vma *v, uint64_t page, uint64_t *from,
		       uint64_t *to)
{
	uint64_t low = page, high = page + PAGE_SIZE;

	while (low > *from && neighbour(s, v, low - PAGE_SIZE))
		low -= PAGE_SIZE;
	while (high < *to && neighbour(s, v, high))
		high += PAGE_SIZE;
	*from = low;
	*to = high;
}

/* Copies of what is cached of the file in [from, to) come, to be written to, in as few runs as
 * there are: how far it came. */
static uint64_t own_copies(struct space *s, const struct vma *v, uint64_t from, uint64_t to)
{
	while (from < to) {
		unsigned int order = AROUND_ORDER;
		uint64_t first, frame, n, size;

		while (order > 0 && PAGE_SIZE << (order - 1) >= to - from)
			order--;
		first = frame_alloc_unclean(order);
		if (first == FRAME_NONE)
			return from;
		size = (uint64_t) 1 << order;
		for (n = 0; n < size && from < to; n++, from += PAGE_SIZE) {
			if (radix_get(&s->pages, from >> PAGE_SHIFT) ||
			    !pager_cached(v->pager, vma_index(v, from), &frame))
				break;
			memcpy(frame_ptr(first + n), frame_ptr(frame), PAGE_SIZE);
			frame_unref(frame);
			if (space_enter(s, from, first + n, true) < 0) {
				n++;
				break;
			}
		}
		if (n == size)
			continue;
		for (; n < size; n++)
			frame_unref(first + n);
		return from;
	}
	return from;
}

/* One page that was never there, and its bytes. */
static int own_copy(struct space *s, uint64_t page, uint64_t frame)
{
	uint64_t copy = frame_alloc_unclean(0);

	if (copy == FRAME_NONE)
		return -ENOMEM;
	memcpy(frame_ptr(copy), frame_ptr(frame), PAGE_SIZE);
	return space_enter(s, page, copy, true);
}

/* What a program is sure to write to soon where it writes to `page`, of a file that it has copies
 * of: all, where that is not much; else twice as much as it has before that. */
static void to_own(const struct space *s, const struct vma *v, uint64_t page, uint64_t *ret_from,
		   uint64_t *ret_to)
{
	uint64_t before = own_before(s, v, page, AROUND);

	*ret_from = page;
	*ret_to = min_of(page + (before ? 2 * before : 1) * PAGE_SIZE, v->end);
	if (vma_pages(v) > AROUND || !frame_plenty())
		return;
	*ret_from = vma_start(v);
	*ret_to = v->end;
}

/* A page of a file or of shared memory. The pager may park; the mapping is looked at again then. */
static enum space_fault from_pager(struct space *s, struct vma *v, uint64_t at, unsigned int access)
{
	bool write = access & PLAT_WRITE, shared = v->flags & VMA_SHARED;
	uint64_t page = page_down(at), from = page, to = page + PAGE_SIZE, frame;
	struct pager *p = v->pager;
	int r;

	pager_ref(p);
	pager_around(p, vma_index(v, page));
	r = pager_page(p, vma_index(v, page), write && shared, &frame);
	pager_unref(p);
	if (r < 0)
		return fault_of(r);
	if (write && !shared) {
		to_own(s, v, page, &from, &to);
		if (own_copies(s, v, from, to) <= page && own_copies(s, v, page, to) == page)
			r = own_copy(s, page, frame);
		frame_unref(frame);
	} else {
		r = space_enter(s, page, frame, write);
	}
	if (r == 0 && !write) {
		file_window(v, at, &from, &to);
		neighbours(s, v, page, &from, &to);
		v->windows++;
	}
	if (r == 0)
		r = space_show(s, v, from, to);
	return fault_of(r);
}

/* What is cached of the file in [from, to) comes, as copies where it may be written to: up to where
 * it came. */
static uint64_t foresee(struct space *s, const struct vma *v, uint64_t from, uint64_t to)
{
	pager_ahead(v->pager, vma_index(v, from), vma_index(v, to));
	if (v->prot & PROT_WRITE)
		return own_copies(s, v, from, to);
	for (uint64_t a = from; a < to; a += PAGE_SIZE)
		(void) neighbour(s, v, a);
	return to;
}

int space_foresee(struct space *s, uint64_t from, uint64_t to)
{
	struct vma *v;
	int r = 0;

	sleeplock_take(&s->lock);
	v = space_find(s, from);
	if (v && v->pager && !(v->flags & VMA_SHARED)) {
		to = foresee(s, v, from, min_of(to, v->end));
		r = space_show(s, v, from, to);
	}
	sleeplock_give(&s->lock);
	return r;
}

/* The first part of a library, which its dynamic linker maps with all the rest, and then the other
 * parts over that: at the second one, v, it is known. */
static void expect_first(struct space *s, const struct vma *v)
{
	struct tree_node *n = tree_prev(&v->node);
	const struct vma *first = n ? container_of(n, struct vma, node) : NULL;

	if (!first || first->pager != v->pager || first->end != vma_start(v) || first->first > 0 ||
	    first->first + vma_pages(first) != v->first || first->flags || !first->prot ||
	    first->prot & PROT_WRITE || vma_pages(first) > EXPECTED ||
	    untouched_upto(s, vma_start(first), first->end) < first->end)
		return;
	(void) foresee(s, first, vma_start(first), first->end);
	(void) show(s, first, vma_start(first), first->end, plat_map_ahead);
}

void space_expect(struct space *s, uint64_t at, uint64_t len, enum space_expected when)
{
	struct vma *v = space_find(s, at);
	uint64_t to = at + len;

	if (!v || v->flags || !v->prot || !frame_plenty())
		return;
	if (v->pager && len > (v->prot & PROT_WRITE ? EXPECTED_COPIES : EXPECTED) * PAGE_SIZE)
		return;
	if (v->pager) {
		expect_first(s, v);
		to = foresee(s, v, at, to);
	} else if (v->prot & PROT_WRITE) {
		to = fill(s, at, min_of(to, at + GROWN * PAGE_SIZE / 2));
	} else {
		return;
	}
	/* Or it faults. */
	(void) show(s, v, at, to, when == EXPECTED_SOON ? plat_map_ahead : plat_map);
}

/* A stack grows down to `at`, within its limit and clear of what is mapped below. */
static struct vma *grow_down(struct space *s, uint64_t at)
{
	struct vma *v = space_after(s, at), *below, like;
	uint64_t start = page_down(at), old;

	if (!v || !(v->flags & VMA_GROWSDOWN) || start < plat_user_low())
		return NULL;
	old = vma_start(v);
	if (v->end - start > s->limits.stack)
		return NULL;
	if (s->mapped + ((old - start) >> PAGE_SHIFT) > s->limits.size >> PAGE_SHIFT)
		return NULL;
	{
		struct tree_node *n = tree_prev(&v->node);

		below = n ? container_of(n, struct vma, node) : NULL;
	}
	/* Linux's stack_guard_gap: 256 pages. */
	if (below && start < below->end + 256 * PAGE_SIZE)
		return NULL;
	like = *v;
	if (!vma_new(s, &like, start, old))
		return NULL;
	vma_join(s, start, old);
	return space_find(s, at);
}

static enum space_fault resolve(struct space *s, uint64_t at, unsigned int access)
{
	struct vma *v = space_find(s, at);
	void *e;

	if (!v)
		v = grow_down(s, at);
	if (!v)
		return FAULT_NOTHING;
	/* x86-64: what can be written or executed can be read. */
	if ((access & ~v->prot) && !(access == PLAT_READ && v->prot))
		return FAULT_DENIED;
	e = radix_get(&s->pages, at >> PAGE_SHIFT);
	if (e && !(access & PLAT_WRITE)) {
		/* There, and hidden by the platform or by an earlier protection. */
		return fault_of(space_show(s, v, page_down(at), page_down(at) + PAGE_SIZE));
	}
	if (e && page_writable(e))
		return fault_of(space_show(s, v, page_down(at), page_down(at) + PAGE_SIZE));
	if (e && !v->pager && frame_is_zero(page_frame(e)) && frame_plenty())
		return fresh(s, v, at, true);
	if (e && !(v->flags & VMA_SHARED))
		return own(s, v, at);
	if (v->pager)
		return from_pager(s, v, at, access);
	return fresh(s, v, at, access & PLAT_WRITE);
}

enum space_fault space_fault(struct space *s, uint64_t at, unsigned int access)
{
	enum space_fault f;

	if (at < plat_user_low() || at >= plat_user_high())
		return FAULT_NOTHING;
	sleeplock_take(&s->lock);
	f = resolve(s, at, access);
	if (plat_space_commit(s->plat) < 0 && f == FAULT_DONE)
		f = FAULT_MEMORY;
	sleeplock_give(&s->lock);
	return f;
}

uint64_t space_frame(const struct space *s, uint64_t at, unsigned int access)
{
	struct vma *v = space_find(s, at);
	void *e = v ? radix_get(&s->pages, at >> PAGE_SHIFT) : NULL;

	if (!e || ((access & ~v->prot) && !(access == PLAT_READ && v->prot)))
		return FRAME_NONE;
	return access & PLAT_WRITE && !page_writable(e) ? FRAME_NONE : page_frame(e);
}
