/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/mm/pager.h"

#include "kernel/mm/frame.h"
#include "kernel/mm/space.h"

/* An entry of `pages`: the frame's number, and whether it is still being filled. */
#define FILLING 2u

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

static bool inside(const struct pager *p, uint64_t index)
{
	return index < (p->size >> PAGE_SHIFT) + ((p->size & (PAGE_SIZE - 1)) != 0);
}

bool pager_cached(struct pager *p, uint64_t index, uint64_t *ret_frame)
{
	void *e = inside(p, index) ? radix_get(&p->pages, index) : NULL;

	if (!e || entry_filling(e))
		return false;
	*ret_frame = entry_frame(e);
	frame_ref(*ret_frame);
	return true;
}

/* A page that is not there: its place is taken first, so that others wait for it and fill none. */
static int fill(struct pager *p, uint64_t index)
{
	uint64_t frame = frame_alloc(0);
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
	/* It may have been dropped meanwhile, and be filled anew by another. */
	if (radix_get(&p->pages, index) == entry(frame, true)) {
		if (r < 0) {
			(void) radix_take(&p->pages, index);
			frame_unref(frame);
		} else {
			/* The slot is there: nothing is allocated. */
			(void) radix_set(&p->pages, index, entry(frame, false));
			p->resident++;
			/* Who mapped zeros there looks again. */
			if (p->ops->sparse)
				space_forget(p, index, index + 1);
		}
	}
	frame_unref(frame);
	(void) waitq_wake(&p->filled, 0, 0);
	return r;
}

int pager_page(struct pager *p, uint64_t index, bool write, uint64_t *ret_frame)
{
	for (;;) {
		void *e;
		int r;

		if (!inside(p, index))
			return -ENXIO;
		e = radix_get(&p->pages, index);
		if (e && entry_filling(e)) {
			r = waitq_wait(&p->filled, radix_get(&p->pages, index) != e, NSEC_NEVER, 0);
		} else if (e) {
			if (!write || !p->ops->touch)
				break;
			r = p->ops->touch(p, index);
			if (r == 0 && radix_get(&p->pages, index) == e)
				break;
		} else if (!write && p->ops->sparse) {
			*ret_frame = frame_zero();
			return *ret_frame == FRAME_NONE ? -ENOMEM : 0;
		} else {
			r = fill(p, index);
		}
		if (r < 0)
			return r;
	}
	return pager_cached(p, index, ret_frame) ? 0 : -ENXIO;
}

void pager_drop(struct pager *p, uint64_t first, uint64_t last)
{
	uint64_t index = first, before = p->resident;
	void *e;

	space_forget(p, first, last);
	while ((e = radix_next(&p->pages, &index)) && index < last) {
		(void) radix_take(&p->pages, index);
		if (!entry_filling(e))
			p->resident--;
		frame_unref(entry_frame(e));
	}
	if (p->ops->dropped && before != p->resident)
		p->ops->dropped(p, before - p->resident);
	(void) waitq_wake(&p->filled, 0, 0);
}

void pager_resize(struct pager *p, uint64_t size)
{
	uint64_t old = p->size, end, within = size & (PAGE_SIZE - 1);
	void *e;

	p->size = size;
	if (size >= old)
		return;
	end = (size >> PAGE_SHIFT) + (within != 0);
	pager_drop(p, end, UINT64_MAX);
	e = within ? radix_get(&p->pages, size >> PAGE_SHIFT) : NULL;
	if (e && !entry_filling(e))
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
