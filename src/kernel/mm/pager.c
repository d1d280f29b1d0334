/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/mm/pager.h"

#include "kernel/mm/frame.h"
#include "kernel/mm/space.h"

/* An entry of `pages`: the frame's number, and whether it is still being filled; or a hole, through
 * which nothing shows. */
#define FILLING 2u
#define HOLE	((void *) (uintptr_t) 4)

static void *entry(uint64_t frame, bool filling)
{
	return (void *) (uintptr_t) (frame << 2 | (filling ? FILLING : 0) | 1);
}

static uint64_t entry_frame(const void *e)
{
	return (uintptr_t) e >> 2;
}

static bool entry_filling(const void *e)
{
	return (uintptr_t) e & FILLING;
}

void pager_init(struct pager *p, const struct pager_ops *ops, uint64_t size)
{
	*p = (struct pager){ .ops = ops, .size = size };
	list_init(&p->mappings);
	waitq_init(&p->filled);
}

void pager_fini(struct pager *p)
{
	pager_drop(p, 0, UINT64_MAX);
}

void pager_ref(struct pager *p)
{
	if (p->owners++ == 0 && p->ops->hold)
		p->ops->hold(p);
}

void pager_unref(struct pager *p)
{
	if (--p->owners == 0 && p->ops->release)
		p->ops->release(p);
}

void pager_lay(struct pager *p, struct pager *below)
{
	p->below = below;
	p->below_size = min_of(p->size, below->size);
}

/* Whether the page begins in what is below. */
static bool is_below(const struct pager *p, uint64_t index)
{
	return p->below && index <= UINT64_MAX >> PAGE_SHIFT && index << PAGE_SHIFT < p->below_size;
}

/* Whether it is the whole page of what is below: not one that was cut since. */
static bool shows_through(const struct pager *p, uint64_t index)
{
	return is_below(p, index) && (p->below_size - (index << PAGE_SHIFT) >= PAGE_SIZE ||
				      p->below_size == p->below->size);
}

static bool inside(const struct pager *p, uint64_t index)
{
	return index < (p->size >> PAGE_SHIFT) + ((p->size & (PAGE_SIZE - 1)) != 0);
}

bool pager_cached(struct pager *p, uint64_t index, uint64_t *ret_frame)
{
	void *e = inside(p, index) ? radix_get(&p->pages, index) : NULL;

	if (!e && shows_through(p, index))
		return pager_cached(p->below, index, ret_frame);
	if (!e || e == HOLE || entry_filling(e))
		return false;
	*ret_frame = entry_frame(e);
	frame_ref(*ret_frame);
	return true;
}

/* A page that is not there: its place is taken first, so that others wait for it and fill none. */
static int fill(struct pager *p, uint64_t index)
{
	bool hole = radix_get(&p->pages, index) == HOLE, kept = true, counted;
	uint64_t frame = frame_alloc(0), at = index << PAGE_SHIFT;
	int r = 0;

	if (frame == FRAME_NONE)
		return -ENOMEM;
	if (radix_set(&p->pages, index, entry(frame, true)) < 0) {
		frame_unref(frame);
		return -ENOMEM;
	}
	frame_ref(frame);
	if (p->ops->fill)
		r = p->ops->fill(p, index, frame_ptr(frame));
	counted = r == 0;
	if (r == 0 && !hole && is_below(p, index)) {
		int64_t n = pager_read(p->below, at, frame_ptr(frame),
				       (size_t) min_of(p->below_size - at, PAGE_SIZE));

		r = n < 0 ? (int) n : 0;
	}
	/* It may have been dropped meanwhile, and be filled anew by another. */
	if (radix_get(&p->pages, index) != entry(frame, true)) {
		kept = false;
	} else if (r < 0) {
		kept = false;
		if (hole) /* into the slot that is there */
			(void) radix_set(&p->pages, index, HOLE);
		else
			(void) radix_take(&p->pages, index);
		frame_unref(frame);
	} else {
		/* The slot is there: nothing is allocated. */
		(void) radix_set(&p->pages, index, entry(frame, false));
		p->resident++;
		/* Who mapped zeros there, or what is below, looks again. */
		if (p->ops->sparse)
			space_forget(p, index, index + 1);
	}
	if (counted && !kept && p->ops->dropped)
		p->ops->dropped(p, 1);
	frame_unref(frame);
	(void) waitq_wake(&p->filled, 0, 0);
	return r;
}

/* [first, first + count) into the frames from `frame` on: of how many. */
static uint64_t fill_frames(struct pager *p, uint64_t first, uint64_t count, uint64_t frame,
			    enum pager_ahead how)
{
	uint64_t n = 0;

	if (p->ops->fill_ahead)
		return p->ops->fill_ahead(p, first, count, frame_ptr(frame), how) < 0 ? 0 : count;
	while (n < count && p->ops->fill(p, first + n, frame_ptr(frame + n)) == 0)
		n++;
	return n;
}

/* The window of `index`, of which nothing is there; how much of it came. */
static uint64_t fill_window(struct pager *p, uint64_t index, enum pager_ahead how)
{
	uint64_t first = index & ~(PAGER_WINDOW - 1), at = first, count = 0, frame, n, filled;
	unsigned int order = 0;

	if (radix_next(&p->pages, &at) && at < first + PAGER_WINDOW)
		return 0;
	while (count < PAGER_WINDOW && inside(p, first + count))
		count++;
	while ((uint64_t) 1 << order < count)
		order++;
	frame = frame_plenty() ? frame_alloc(order) : FRAME_NONE;
	if (frame == FRAME_NONE)
		return 0;
	filled = fill_frames(p, first, count, frame, how);
	/* While that parked another may have come, or the end. */
	for (n = 0; n < filled; n++) {
		if (!inside(p, first + n) || radix_get(&p->pages, first + n) ||
		    radix_set(&p->pages, first + n, entry(frame + n, false)) < 0)
			break;
		p->resident++;
	}
	if (n < filled && p->ops->dropped)
		p->ops->dropped(p, filled - n);
	for (at = n; at < (uint64_t) 1 << order; at++)
		frame_unref(frame + at);
	return n;
}

int pager_page(struct pager *p, uint64_t index, bool write, uint64_t *ret_frame)
{
	for (;;) {
		void *e;
		int r;

		if (!inside(p, index))
			return -ENXIO;
		e = radix_get(&p->pages, index);
		if (e && e != HOLE && entry_filling(e)) {
			r = waitq_wait(&p->filled, radix_get(&p->pages, index) != e, NSEC_NEVER, 0);
		} else if (e && e != HOLE) {
			if (!write || !p->ops->touch)
				break;
			r = p->ops->touch(p, index);
			if (r == 0 && radix_get(&p->pages, index) == e)
				break;
		} else if (!write && !e && shows_through(p, index)) {
			r = pager_page(p->below, index, false, ret_frame);
			if (r == 0 && !radix_get(&p->pages, index) && shows_through(p, index))
				return 0;
			if (r == 0)
				frame_unref(*ret_frame); /* written to meanwhile */
		} else if (!write && p->ops->sparse && (e == HOLE || !is_below(p, index))) {
			*ret_frame = frame_zero();
			return *ret_frame == FRAME_NONE ? -ENOMEM : 0;
		} else {
			r = 0;
			if (!p->ops->ahead ||
			    fill_window(p, index, PAGER_NEAR) <= index % PAGER_WINDOW)
				r = fill(p, index);
		}
		if (r < 0)
			return r;
	}
	return pager_cached(p, index, ret_frame) ? 0 : -ENXIO;
}

void pager_give(struct pager *p, uint64_t index, uint64_t frame)
{
	if (!inside(p, index) || radix_get(&p->pages, index) ||
	    radix_set(&p->pages, index, entry(frame, false)) < 0)
		frame_unref(frame);
	else
		p->resident++;
}

/* Which of p and what is below it has page `index`, or would. */
static struct pager *has_page(struct pager *p, uint64_t index)
{
	while (!radix_get(&p->pages, index) && shows_through(p, index))
		p = p->below;
	return p;
}

void pager_around(struct pager *p, uint64_t index)
{
	p = has_page(p, index);
	if (p->ops->ahead && inside(p, index) && !radix_get(&p->pages, index))
		(void) fill_window(p, index, PAGER_ANYHOW);
}

void pager_ahead(struct pager *p, uint64_t first, uint64_t last)
{
	for (uint64_t index = first; index < last; index = (index | (PAGER_WINDOW - 1)) + 1) {
		struct pager *q = has_page(p, index);

		if (q->ops->ahead && inside(q, index) && !radix_get(&q->pages, index))
			(void) fill_window(q, index, PAGER_AT_HAND); /* or when it is touched */
	}
}

void pager_drop(struct pager *p, uint64_t first, uint64_t last)
{
	uint64_t index = first, before = p->resident;
	void *e;

	space_forget(p, first, last);
	while ((e = radix_next(&p->pages, &index)) && index < last) {
		(void) radix_take(&p->pages, index);
		if (e == HOLE)
			continue;
		if (!entry_filling(e))
			p->resident--;
		frame_unref(entry_frame(e));
	}
	if (p->ops->dropped && before != p->resident)
		p->ops->dropped(p, before - p->resident);
	(void) waitq_wake(&p->filled, 0, 0);
}

int pager_punch(struct pager *p, uint64_t first, uint64_t last)
{
	int r = 0;

	pager_drop(p, first, last);
	for (uint64_t index = first; r == 0 && index < last && is_below(p, index); index++)
		r = radix_set(&p->pages, index, HOLE);
	return r;
}

uint64_t pager_seek(const struct pager *p, uint64_t index, bool hole)
{
	uint64_t end = (p->size >> PAGE_SHIFT) + ((p->size & (PAGE_SIZE - 1)) != 0);

	if (!p->ops->sparse)
		return hole ? max_of(index, end) : index;
	while (index < end) {
		void *e = radix_get(&p->pages, index);
		bool is_hole = e ? e == HOLE : !is_below(p, index);

		if (is_hole == hole)
			return index;
		/* Behind what is below only pages of its own are none. */
		if (!e && is_hole && !radix_next(&p->pages, &index))
			return end;
		if (e || !is_hole)
			index++;
	}
	return max_of(index, end);
}

bool pager_ready(struct pager *p, uint64_t index)
{
	void *e = inside(p, index) ? radix_get(&p->pages, index) : HOLE;
	uint64_t frame;

	if (e == HOLE || (!e && p->ops->sparse && !is_below(p, index)))
		return true;
	if (!pager_cached(p, index, &frame))
		return false;
	frame_unref(frame);
	return true;
}

void pager_resize(struct pager *p, uint64_t size)
{
	uint64_t old = p->size, end, within = size & (PAGE_SIZE - 1);
	void *e;

	p->size = size;
	p->below_size = min_of(p->below_size, size);
	if (size >= old)
		return;
	end = (size >> PAGE_SHIFT) + (within != 0);
	pager_drop(p, end, UINT64_MAX);
	e = within ? radix_get(&p->pages, size >> PAGE_SHIFT) : NULL;
	if (e && e != HOLE && !entry_filling(e))
		memset((char *) frame_ptr(entry_frame(e)) + within, 0, PAGE_SIZE - within);
}

/* Page by page; from or to is NULL. */
static int64_t move(struct pager *p, uint64_t at, char *to, const char *from, size_t n)
{
	size_t done = 0;

	while (done < n && at < p->size) {
		uint64_t within = at & (PAGE_SIZE - 1),
			 there = min_of(PAGE_SIZE - within, p->size - at);
		size_t part = min_of(n - done, (size_t) there);
		uint64_t frame;
		int r = pager_page(p, at >> PAGE_SHIFT, from != NULL, &frame);

		if (r < 0)
			return done ? (int64_t) done : r == -ENXIO ? 0 : r;
		if (from)
			memcpy((char *) frame_ptr(frame) + within, from + done, part);
		else
			memcpy(to + done, (char *) frame_ptr(frame) + within, part);
		frame_unref(frame);
		done += part;
		at += part;
	}
	return (int64_t) done;
}

int64_t pager_read(struct pager *p, uint64_t at, void *to, size_t n)
{
	return move(p, at, to, NULL, n);
}

int64_t pager_write(struct pager *p, uint64_t at, const void *from, size_t n)
{
	return move(p, at, NULL, from, n);
}
