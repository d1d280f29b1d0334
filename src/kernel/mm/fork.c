/* SPDX-License-Identifier: Apache-2.0 */
/* A space like another one: what is shared, and what is copied at once. */
#include <linux/mman.h>

#include "kernel/mm/frame.h"
#include "kernel/mm/pager.h"
#include "kernel/mm/space.h"
#include "kernel/mm/space_page.h"

/* Copies are made in runs of so many at most, each mapped at once. */
#define RUN_ORDER 4

/* Of a mapping with more of them only what is written to is copied, when it is. */
#define FEW 32u

/* The pages of v are the child's, too, and nobody's to write to any more. */
static int share_pages(struct space *s, struct space *child, struct vma *v)
{
	uint64_t index = vma_start(v) >> PAGE_SHIFT, end = v->end >> PAGE_SHIFT, run = index,
		 length = 0;
	bool shared = v->flags & VMA_SHARED;
	void *e;
	int r = 0;

	/* A file's or shared pages come by themselves, from the pager. */
	while (r == 0 && !shared && (e = radix_next(&s->pages, &index)) && index < end) {
		frame_ref(page_frame(e));
		r = space_enter(child, index << PAGE_SHIFT, page_frame(e), false);
		if (page_writable(e)) {
			(void) radix_set(&s->pages, index, page_entry(page_frame(e), false));
			if (index != run + length) {
				if (length && r == 0)
					r = plat_protect(s->plat, run << PAGE_SHIFT, length,
							 v->prot & ~(unsigned int) PROT_WRITE);
				run = index;
				length = 0;
			}
			length++;
		}
		index++;
	}
	if (length && r == 0)
		r = plat_protect(s->plat, run << PAGE_SHIFT, length,
				 v->prot & ~(unsigned int) PROT_WRITE);
	return r;
}

/* Those that are written to, in v. */
static unsigned int owned(const struct space *s, const struct vma *v)
{
	uint64_t index = vma_start(v) >> PAGE_SHIFT, end = v->end >> PAGE_SHIFT;
	unsigned int n = 0;
	void *e;

	for (; n <= FEW && (e = radix_next(&s->pages, &index)) && index < end; index++)
		n += page_writable(e);
	return n;
}

/* From index on, those in a row that are written to: as copies for the child; how many. */
static uint64_t copy_run(struct space *s, struct space *child, uint64_t index, uint64_t end)
{
	uint64_t length = 1, first, n;
	unsigned int order = 0;
	const void *e;

	while (order < RUN_ORDER) {
		for (; length < (uint64_t) 2 << order && index + length < end; length++) {
			e = radix_get(&s->pages, index + length);
			if (!e || !page_writable(e))
				break;
		}
		if (length < (uint64_t) 2 << order)
			break;
		order++;
	}
	first = frame_alloc_unclean(order);
	if (first == FRAME_NONE)
		return 0;
	length = (uint64_t) 1 << order;
	for (n = 0; n < length; n++) {
		e = radix_get(&s->pages, index + n);
		memcpy(frame_ptr(first + n), frame_ptr(page_frame(e)), PAGE_SIZE);
		if (space_enter(child, (index + n) << PAGE_SHIFT, first + n, true) < 0)
			break;
	}
	for (uint64_t left = n + 1; left < length; left++)
		frame_unref(first + left);
	return n;
}

/* As share_pages(), but what is written to is the child's own from the start. */
static int copy_pages(struct space *s, struct space *child, struct vma *v)
{
	uint64_t index = vma_start(v) >> PAGE_SHIFT, end = v->end >> PAGE_SHIFT, n;
	void *e;
	int r = 0;

	while (r == 0 && (e = radix_next(&s->pages, &index)) && index < end) {
		n = 1;
		if (page_writable(e)) {
			n = copy_run(s, child, index, end);
			r = n > 0 ? 0 : -ENOMEM;
		} else {
			frame_ref(page_frame(e));
			r = space_enter(child, index << PAGE_SHIFT, page_frame(e), false);
		}
		index += n;
	}
	return r;
}

static int fork_vma(struct space *s, struct space *child, struct vma *v, unsigned int *copies)
{
	struct vma like = *v;
	unsigned int few;
	int r;

	/* Locks are not inherited: mlock(2). */
	like.flags &= ~(unsigned int) VMA_LOCKED;
	if (!vma_new(child, &like, vma_start(v), v->end))
		return -ENOMEM;
	if (v->flags & VMA_WIPEONFORK)
		return 0;
	few = *copies > 0 && !(v->flags & VMA_SHARED) ? owned(s, v) : 0;
	if (few > 0 && few <= FEW && few <= *copies) {
		*copies -= few;
		r = copy_pages(s, child, v);
	} else {
		r = share_pages(s, child, v);
	}
	return r < 0 || !v->prot ? r : space_show(child, v, vma_start(v), v->end);
}

struct space *space_fork(struct space *s, unsigned int copies)
{
	struct space *child = space_new(&s->limits);
	int r = child ? 0 : -ENOMEM;

	if (r < 0)
		return NULL;
	/* Other threads might write while it is copied; and memory that is short is shared. */
	if (s->owners > 1 || frame_budget() - frame_used() < (uint64_t) copies * 16)
		copies = 0;
	sleeplock_take(&s->lock);
	child->top = s->top;
	child->brk_start = s->brk_start;
	child->brk = s->brk;
	r = plat_patches_copy(child->plat, s->plat);
	for (struct tree_node *n = tree_first(&s->vmas); r == 0 && n; n = tree_next(n)) {
		struct vma *v = container_of(n, struct vma, node);

		if (!(v->flags & VMA_DONTFORK))
			r = fork_vma(s, child, v, &copies);
	}
	/* The parent must not write to what the child has by now. */
	if (plat_space_commit(s->plat) < 0 && r == 0)
		r = -ENOMEM;
	if (r == 0)
		r = plat_space_commit(child->plat);
	sleeplock_give(&s->lock);
	if (r < 0) {
		space_unref(child);
		return NULL;
	}
	return child;
}
