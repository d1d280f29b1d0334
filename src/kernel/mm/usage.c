/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/mm/usage.h"

#include "kernel/mm/frame.h"
#include "kernel/mm/pager.h"
#include "kernel/mm/space_page.h"

/* Whether it is the pager's own page, and not a copy of it. */
static bool of_pager(const struct vma *v, uint64_t at, uint64_t frame)
{
	uint64_t cached;

	if (!v->pager || !pager_cached(v->pager, vma_index(v, at), &cached))
		return false;
	frame_unref(cached);
	return cached == frame;
}

void vma_usage(const struct vma *v, struct vma_usage *ret)
{
	uint64_t index = vma_start(v) >> PAGE_SHIFT, end = v->end >> PAGE_SHIFT;
	uint64_t zero = frame_zero();
	void *e;

	*ret = (struct vma_usage){};
	for (; (e = radix_next(&v->space->pages, &index)) && index < end; index++) {
		uint64_t frame = page_frame(e);
		bool file = of_pager(v, index << PAGE_SHIFT, frame);

		/* Nobody pays for the page of zeros. */
		if (frame == zero)
			continue;
		ret->resident++;
		if (!file)
			ret->anonymous++;
		/* A file's page is its pager's, and here. */
		if (file ? v->flags & VMA_SHARED : frame_shared(frame))
			ret->shared++;
	}
	if (zero != FRAME_NONE)
		frame_unref(zero);
}
