/* SPDX-License-Identifier: Apache-2.0 */
/* Files that shared mappings are written through: msync(2). */
#include "kernel/mm/pager.h"
#include "kernel/mm/space_page.h"

/* The first mapping of a file with something to do, in [*at, end); *at is behind it. */
static struct pager *next(const struct space *s, uint64_t *at, uint64_t end)
{
	for (struct tree_node *n = tree_first(&s->vmas); n; n = tree_next(n)) {
		const struct vma *v = container_of(n, struct vma, node);

		if (v->end <= *at || !v->pager || !v->pager->ops->sync || !(v->flags & VMA_SHARED))
			continue;
		if (vma_start(v) >= end)
			return NULL;
		*at = v->end;
		return v->pager;
	}
	return NULL;
}

int space_sync(struct space *s, uint64_t from, uint64_t end)
{
	int r = 0;

	while (from < end) {
		struct pager *p;
		int one;

		sleeplock_take(&s->lock);
		p = next(s, &from, end);
		if (p)
			pager_ref(p);
		sleeplock_give(&s->lock);
		if (!p)
			return r;
		one = p->ops->sync(p);
		pager_unref(p);
		r = r < 0 ? r : one;
	}
	return r;
}
