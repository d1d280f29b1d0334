/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/mm/detach.h"

#include "kernel/mm/pager.h"
#include "kernel/mm/space.h"
#include "kernel/mm/space_page.h"

/* A piece shows the page that a whole mapping at `at` would have there. */
static bool is_piece(const struct vma *v, uint64_t at)
{
	return v->first == (vma_start(v) - at) >> PAGE_SHIFT;
}

/* The pager of the first piece at `at` or behind it. */
static struct pager *first_of(const struct space *s, uint64_t at, const struct pager_ops *kind)
{
	for (struct tree_node *n = tree_from(&s->vmas, at); n; n = tree_next(n)) {
		const struct vma *v = container_of(n, struct vma, node);

		if (v->pager && v->pager->ops == kind && is_piece(v, at))
			return v->pager;
	}
	return NULL;
}

int space_detach(struct space *s, uint64_t at, const struct pager_ops *kind)
{
	struct tree_node *n, *next;
	struct pager *p;

	if (at & (PAGE_SIZE - 1))
		return -EINVAL;
	sleeplock_take(&s->lock);
	p = first_of(s, at, kind);
	if (p)
		pager_ref(p);
	for (n = p ? tree_from(&s->vmas, at) : NULL; n; n = next) {
		struct vma *v = container_of(n, struct vma, node);

		next = tree_next(n);
		if (v->end - at > page_up(p->size))
			break;
		if (v->pager != p || !is_piece(v, at))
			continue;
		space_drop_pages(s, vma_start(v), v->end);
		vma_free(v);
	}
	sleeplock_give(&s->lock);
	if (p)
		pager_unref(p);
	return p ? 0 : -EINVAL;
}
