/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/mm/space.h"

#include <linux/mman.h>

#include "kernel/core/heap.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/pager.h"
#include "kernel/mm/patch.h"
#include "kernel/mm/space_page.h"
#include "kernel/vfs/dentry.h"

/* Between a stack that may grow and what is mapped below it: Linux's stack_guard_gap. */
#define GUARD_GAP (256 * PAGE_SIZE)

static struct heap_cache spaces = HEAP_CACHE_INIT(struct space);
static struct heap_cache vmas = HEAP_CACHE_INIT(struct vma);

struct space *space_new(const struct space_limits *limits)
{
	struct space *s = heap_cache_alloc(&spaces);

	if (!s)
		return NULL;
	s->plat = plat_space_new();
	if (!s->plat) {
		heap_cache_free(&spaces, s);
		return NULL;
	}
	s->owners = 1;
	s->limits = *limits;
	s->top = plat_user_high();
	sleeplock_init(&s->lock);
	return s;
}

void space_ref(struct space *s)
{
	s->owners++;
}

void space_unref(struct space *s)
{
	struct tree_node *n;

	if (!s || --s->owners > 0)
		return;
	while ((n = tree_first(&s->vmas))) {
		struct vma *v = container_of(n, struct vma, node);

		space_drop_pages(s, vma_start(v), v->end);
		vma_free(v);
	}
	radix_fini(&s->pages);
	plat_space_free(s->plat);
	heap_cache_free(&spaces, s);
}

/* ---- vmas ---- */

static bool private_data(const struct vma *v)
{
	return (v->prot & PROT_WRITE) && !(v->flags & (VMA_SHARED | VMA_GROWSDOWN));
}

static void count(struct space *s, const struct vma *v, int sign)
{
	uint64_t pages = vma_pages(v) * (uint64_t) (int64_t) sign;

	s->mapped += pages;
	s->count += (unsigned int) sign;
	if (private_data(v))
		s->data += pages;
	if (v->flags & VMA_LOCKED)
		s->locked += pages;
}

struct vma *vma_new(struct space *s, const struct vma *like, uint64_t from, uint64_t to)
{
	struct vma *v = heap_cache_alloc(&vmas);

	if (!v)
		return NULL;
	*v = (struct vma){ .end = to,
			   .space = s,
			   .prot = like->prot,
			   .flags = like->flags,
			   .pager = like->pager,
			   .first = like->first,
			   .name = like->name };
	list_init(&v->of_pager);
	tree_insert(&s->vmas, &v->node, from);
	if (v->name)
		dentry_ref(v->name);
	if (v->pager) {
		pager_ref(v->pager);
		list_push(&v->pager->mappings, &v->of_pager);
		if (v->pager->ops->attached)
			v->pager->ops->attached(v->pager);
	}
	count(s, v, 1);
	return v;
}

static struct vma *vma_next(const struct vma *v)
{
	struct tree_node *n = tree_next(&v->node);

	return n ? container_of(n, struct vma, node) : NULL;
}

/* Free below a stack that may grow: not up to its last byte. */
static uint64_t usable_end(const struct vma *next)
{
	uint64_t gap = next->flags & VMA_GROWSDOWN ? GUARD_GAP : 0;

	return vma_start(next) > gap ? vma_start(next) - gap : 0;
}

/* Its place is one with what is free on both sides: what is known begins above that. */
static void became_free(const struct vma *v)
{
	struct space *s = v->space;
	const struct vma *next;

	if (s->above == 0 || v->end <= s->above)
		return;
	next = vma_next(v);
	s->above = next && vma_start(next) < s->top ? usable_end(next) : 0;
}

void vma_free(struct vma *v)
{
	struct dentry *name = v->name;
	struct pager *p = v->pager;

	count(v->space, v, -1);
	became_free(v);
	tree_remove(&v->space->vmas, &v->node);
	list_remove(&v->of_pager);
	heap_cache_free(&vmas, v);
	if (p && p->ops->detached)
		p->ops->detached(p);
	if (p)
		pager_unref(p);
	if (name)
		dentry_unref(name);
}

struct vma *space_find(const struct space *s, uint64_t at)
{
	struct tree_node *n = tree_upto(&s->vmas, at);
	struct vma *v = n ? container_of(n, struct vma, node) : NULL;

	return v && at < v->end ? v : NULL;
}

struct vma *space_after(const struct space *s, uint64_t at)
{
	struct vma *v = space_find(s, at);
	struct tree_node *n = v ? NULL : tree_from(&s->vmas, at);

	return v ? v : n ? container_of(n, struct vma, node) : NULL;
}

int vma_split(struct space *s, uint64_t at)
{
	struct vma *v = space_find(s, at);
	uint64_t end;

	if (!v || vma_start(v) == at)
		return 0;
	if (s->count >= s->limits.mappings)
		return -ENOMEM;
	end = v->end;
	count(s, v, -1);
	v->end = at;
	count(s, v, 1);
	{
		struct vma like = *v;
		struct vma *upper;

		like.first = vma_index(v, at);
		upper = vma_new(s, &like, at, end);
		if (upper)
			return 0;
	}
	count(s, v, -1);
	v->end = end;
	count(s, v, 1);
	return -ENOMEM;
}

static bool one(const struct vma *a, const struct vma *b)
{
	return a->end == vma_start(b) && a->prot == b->prot && a->flags == b->flags &&
	       a->pager == b->pager && a->name == b->name &&
	       (!a->pager || a->first + vma_pages(a) == b->first);
}

void vma_join(struct space *s, uint64_t from, uint64_t to)
{
	struct vma *v = from ? space_find(s, from - 1) : NULL;

	if (!v)
		v = space_after(s, from);
	while (v && vma_start(v) <= to) {
		struct vma *next = vma_next(v);
		uint64_t end;

		if (!next || !one(v, next)) {
			v = next;
			continue;
		}
		end = next->end;
		vma_free(next);
		count(s, v, -1);
		v->end = end;
		count(s, v, 1);
	}
}

/* ---- pages ---- */

static void unshow(struct space *s, uint64_t first, uint64_t pages)
{
	/* Platforms take away what is there without memory of their own. */
	if (pages > 0 && plat_unmap(s->plat, first << PAGE_SHIFT, pages) < 0)
		plat_panic("space: pages cannot be taken away");
}

void space_drop_pages(struct space *s, uint64_t from, uint64_t to)
{
	uint64_t index = from >> PAGE_SHIFT, end = to >> PAGE_SHIFT, run = index, length = 0;
	void *e;

	while (radix_next(&s->pages, &index) && index < end) {
		if (index != run + length) {
			unshow(s, run, length);
			run = index;
			length = 0;
		}
		length++;
		index++;
	}
	if (length == 0)
		return;
	unshow(s, run, length);
	if (plat_space_commit(s->plat) < 0)
		plat_panic("space: pages cannot be taken away");
	/* Only now does nobody write to the frames any more. */
	index = from >> PAGE_SHIFT;
	while ((e = radix_next(&s->pages, &index)) && index < end) {
		(void) radix_take(&s->pages, index);
		s->resident--;
		frame_unref(page_frame(e));
	}
}

void space_forget(struct pager *p, uint64_t first, uint64_t last)
{
	list_each(l, &p->mappings)
	{
		struct vma *v = list_entry(l, struct vma, of_pager);
		uint64_t end = v->first + vma_pages(v), from = max_of(first, v->first);
		uint64_t to = min_of(last, end);

		if (from < to)
			space_drop_pages(v->space, vma_start(v) + ((from - v->first) << PAGE_SHIFT),
					 vma_start(v) + ((to - v->first) << PAGE_SHIFT));
	}
}

/* ---- where ---- */

static bool valid(uint64_t at, uint64_t len)
{
	uint64_t end;

	return !(at & (PAGE_SIZE - 1)) && len > 0 && uva_end(uva(at), len, &end) &&
	       at >= plat_user_low() && end <= plat_user_high();
}

/* The highest free place below s->top, or 0. It is looked for below where none that is long enough
 * can be: a program that maps much is not slower for what it has. */
static uint64_t place(struct space *s, uint64_t len)
{
	bool known = s->above > 0 && s->above <= s->top && len > s->longest;
	uint64_t end = known ? s->above : s->top, longest = known ? s->longest : 0;
	struct tree_node *n = tree_upto(&s->vmas, end - 1);

	for (;;) {
		struct vma *v = n ? container_of(n, struct vma, node) : NULL;
		uint64_t low = v ? v->end : plat_user_low();
		uint64_t room = end > low ? end - low : 0;

		if (room >= len) {
			s->above = end;
			s->longest = longest;
			return end - len;
		}
		if (!v)
			return 0;
		longest = max_of(longest, room);
		end = min_of(end, usable_end(v));
		n = tree_prev(n);
	}
}

static bool is_free(const struct space *s, uint64_t at, uint64_t len)
{
	struct vma *v = space_after(s, at);

	return !v || vma_start(v) >= at + len;
}

static int limits_allow(const struct space *s, uint64_t pages, unsigned int prot,
			unsigned int flags)
{
	bool data = (prot & PROT_WRITE) && !(flags & (VMA_SHARED | VMA_GROWSDOWN));

	if (pages > (s->limits.size >> PAGE_SHIFT) ||
	    s->mapped > (s->limits.size >> PAGE_SHIFT) - pages)
		return -ENOMEM;
	if (data && s->data + pages > s->limits.data >> PAGE_SHIFT)
		return -ENOMEM;
	if (flags & VMA_LOCKED && s->locked + pages > s->limits.locked >> PAGE_SHIFT)
		return -EAGAIN;
	return 0;
}

/* ---- what programs ask for ---- */

static int clear(struct space *s, uint64_t at, uint64_t len)
{
	struct vma *v;
	int r = vma_split(s, at);

	if (r == 0)
		r = vma_split(s, at + len);
	if (r < 0)
		return r;
	space_drop_pages(s, at, at + len);
	while ((v = space_after(s, at)) && vma_start(v) < at + len)
		vma_free(v);
	return 0;
}

int space_unmap(struct space *s, uint64_t at, uint64_t len)
{
	int r;

	if (len > plat_user_high() || !valid(at, page_up(len)))
		return -EINVAL;
	sleeplock_take(&s->lock);
	r = clear(s, at, page_up(len));
	sleeplock_give(&s->lock);
	return r;
}

static int choose(struct space *s, const struct space_mapping *m, uint64_t len, uint64_t *ret_at)
{
	uint64_t at = m->fixed ? m->at : page_down(m->at);

	if (m->fixed && !valid(at, len))
		return at & (PAGE_SIZE - 1) ? -EINVAL : at < plat_user_low() ? -EPERM : -ENOMEM;
	if (m->fixed && m->noreplace && !is_free(s, at, len))
		return -EEXIST;
	if (m->fixed) {
		*ret_at = at;
		return 0;
	}
	if (!at || !valid(at, len) || !is_free(s, at, len))
		at = place(s, len);
	if (!at)
		return -ENOMEM;
	*ret_at = at;
	return 0;
}

/* All its pages now; what cannot be had comes, or fails, with the access. */
static void populate(struct space *s, uint64_t at, uint64_t len, unsigned int prot)
{
	unsigned int access = prot & PROT_WRITE ? PLAT_WRITE : PLAT_READ;

	for (uint64_t end = at + len; prot && at < end; at += PAGE_SIZE) {
		if (space_frame(s, at, access) == FRAME_NONE &&
		    space_fault(s, at, access) != FAULT_DONE)
			return;
	}
}

int space_map(struct space *s, const struct space_mapping *m, uint64_t *ret_at)
{
	uint64_t len = page_up(m->len), at;
	struct vma like = {
		.prot = m->prot, .flags = m->flags, .pager = m->pager, .name = m->name
	};
	int r = 0;

	if (m->len == 0 || m->offset & (PAGE_SIZE - 1))
		return -EINVAL;
	if (len < m->len || len > plat_user_high())
		return -ENOMEM;
	if (m->flags & VMA_READONLY && m->flags & VMA_SHARED && m->prot & PROT_WRITE)
		return -EACCES;
	sleeplock_take(&s->lock);
	r = limits_allow(s, len >> PAGE_SHIFT, m->prot, m->flags);
	if (r == 0)
		r = choose(s, m, len, &at);
	if (r == 0 && m->fixed)
		r = clear(s, at, len);
	if (r == 0 && s->count >= s->limits.mappings)
		r = -ENOMEM;
	if (r == 0) {
		like.first = m->offset >> PAGE_SHIFT;
		if (!vma_new(s, &like, at, at + len))
			r = -ENOMEM;
	}
	if (r == 0)
		vma_join(s, at, at + len);
	if (r == 0 && m->expected)
		space_expect(s, at, len, m->expected);
	sleeplock_give(&s->lock);
	if (r < 0)
		return r;
	if (m->populate || m->flags & VMA_LOCKED)
		populate(s, at, len, m->prot);
	*ret_at = at;
	return 0;
}

/* Whether all of [at, at + len) is mapped. */
static bool covered(const struct space *s, uint64_t at, uint64_t len)
{
	uint64_t end = at + len;

	for (struct vma *v = space_find(s, at); v; v = space_find(s, at)) {
		at = v->end;
		if (at >= end)
			return true;
	}
	return false;
}

/* What may be written is shown so when it is written to: copies, dirty marks. */
static int reshow(struct space *s, const struct vma *v)
{
	uint64_t index = vma_start(v) >> PAGE_SHIFT, end = v->end >> PAGE_SHIFT;
	unsigned int prot = v->prot & ~(unsigned int) PROT_WRITE;
	uint64_t run = index, length = 0;
	void *e;
	int r = 0;

	if (!v->prot) {
		/* Nothing to be seen: out of the platform's, the frames stay for when it may be
		 * again. */
		return plat_unmap(s->plat, vma_start(v), vma_pages(v));
	}
	while (r == 0 && (e = radix_next(&s->pages, &index)) && index < end) {
		/* The slot is there: nothing is allocated. */
		(void) radix_set(&s->pages, index, page_entry(page_frame(e), false));
		if (index != run + length) {
			r = length ? plat_protect(s->plat, run << PAGE_SHIFT, length, prot) : 0;
			run = index;
			length = 0;
		}
		length++;
		index++;
	}
	return r < 0 || !length ? r : plat_protect(s->plat, run << PAGE_SHIFT, length, prot);
}

int space_protect(struct space *s, uint64_t at, uint64_t len, unsigned int prot)
{
	uint64_t end = at + page_up(len);
	int r = 0;

	if (at & (PAGE_SIZE - 1))
		return -EINVAL;
	if (len == 0)
		return 0;
	if (len > plat_user_high() || !valid(at, page_up(len)))
		return -ENOMEM;
	sleeplock_take(&s->lock);
	if (!covered(s, at, page_up(len)))
		r = -ENOMEM;
	for (struct vma *v = space_find(s, at); r == 0 && v && vma_start(v) < end;
	     v = vma_next(v)) {
		if (prot & PROT_WRITE && v->flags & VMA_READONLY && v->flags & VMA_SHARED)
			r = -EACCES;
	}
	/* Who may write writes to what is his own, not to what stands in place of it. */
	if (r == 0 && prot & PROT_WRITE)
		r = space_unpatch(s, at, end);
	if (r == 0)
		r = vma_split(s, at);
	if (r == 0)
		r = vma_split(s, end);
	for (struct vma *v = space_find(s, at); r == 0 && v && vma_start(v) < end;
	     v = vma_next(v)) {
		bool hidden = v->prot == 0;

		if (v->prot == prot)
			continue;
		count(s, v, -1);
		v->prot = prot;
		count(s, v, 1);
		/* What was hidden comes back page by page, as it is touched. */
		if (!hidden)
			r = reshow(s, v);
	}
	if (plat_space_commit(s->plat) < 0 && r == 0)
		r = -ENOMEM;
	vma_join(s, at, end);
	sleeplock_give(&s->lock);
	return r;
}

/* Pages move with what they hold. */
static int move_pages(struct space *s, uint64_t from, uint64_t to, uint64_t len)
{
	uint64_t index = from >> PAGE_SHIFT, end = (from + len) >> PAGE_SHIFT;
	uint64_t by = (to >> PAGE_SHIFT) - index;
	void *e;

	while ((e = radix_next(&s->pages, &index)) && index < end) {
		if (radix_set(&s->pages, index + by, page_entry(page_frame(e), false)) < 0)
			return -ENOMEM;
		s->resident++;
		frame_ref(page_frame(e));
		index++;
	}
	return 0;
}

static int grow_in_place(struct space *s, struct vma *v, uint64_t end)
{
	struct vma like = *v;
	uint64_t from = v->end;

	like.first = vma_index(v, from);
	if (!vma_new(s, &like, from, end))
		return -ENOMEM;
	vma_join(s, from, end);
	return 0;
}

static int move_vma(struct space *s, struct vma *v, uint64_t at, uint64_t old_len, uint64_t new_len,
		    const struct space_mapping *where, bool keep, uint64_t *ret_at)
{
	struct vma like = *v, *made;
	uint64_t to;
	int r = choose(s, where, new_len, &to);

	if (r == 0 && where->fixed)
		r = clear(s, to, new_len);
	if (r < 0)
		return r;
	like.first = vma_index(&like, at);
	made = vma_new(s, &like, to, to + new_len);
	if (!made)
		return -ENOMEM;
	/* Code that was patched goes on where it was. */
	r = space_unpatch(s, at, at + old_len);
	if (r == 0)
		r = move_pages(s, at, to, min_of(old_len, new_len));
	if (r < 0) {
		space_drop_pages(s, to, to + new_len);
		vma_free(made);
		return r;
	}
	if (keep)
		space_drop_pages(s, at, at + old_len); /* MREMAP_DONTUNMAP: mapped, and empty */
	else
		r = clear(s, at, old_len);
	*ret_at = to;
	return r;
}

int space_remap(struct space *s, uint64_t at, uint64_t old_len, uint64_t new_len,
		unsigned int flags, uint64_t wish, uint64_t *ret_at)
{
	struct space_mapping where = { .at = wish, .fixed = flags & MREMAP_FIXED };
	bool keep = flags & MREMAP_DONTUNMAP;
	struct vma *v;
	int r = 0;

	if (flags & ~(unsigned int) (MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP) ||
	    at & (PAGE_SIZE - 1) || new_len == 0 || new_len > plat_user_high() ||
	    old_len > plat_user_high() || ((where.fixed || keep) && !(flags & MREMAP_MAYMOVE)))
		return -EINVAL;
	old_len = page_up(old_len);
	new_len = page_up(new_len);
	if ((keep && old_len != new_len) ||
	    (where.fixed &&
	     (!valid(wish, new_len) || (wish < at + old_len && at < wish + new_len))))
		return -EINVAL;
	sleeplock_take(&s->lock);
	v = space_find(s, at);
	if (!v || old_len > v->end - at)
		r = -EFAULT;
	else if (old_len == 0 && !(v->flags & VMA_SHARED))
		r = -EINVAL;
	else if (new_len > old_len)
		r = limits_allow(s, (new_len - old_len) >> PAGE_SHIFT, v->prot, v->flags);
	if (r < 0) {
		;
	} else if (!where.fixed && !keep && new_len <= old_len) {
		r = new_len < old_len ? clear(s, at + new_len, old_len - new_len) : 0;
		*ret_at = at;
	} else if (!where.fixed && !keep && old_len && v->end == at + old_len &&
		   valid(at, new_len) && is_free(s, v->end, new_len - old_len)) {
		r = grow_in_place(s, v, at + new_len);
		*ret_at = at;
	} else if (!(flags & MREMAP_MAYMOVE)) {
		r = -ENOMEM;
	} else {
		r = move_vma(s, v, at, old_len, new_len, &where, keep || !old_len, ret_at);
	}
	sleeplock_give(&s->lock);
	return r;
}

uint64_t space_brk(struct space *s, uint64_t wish)
{
	uint64_t old = page_up(s->brk), end = page_up(wish), at;
	struct space_mapping heap = { .at = old,
				      .len = end - old,
				      .prot = PROT_READ | PROT_WRITE,
				      .fixed = true,
				      .noreplace = true,
				      .expected = EXPECTED_NEXT };

	if (wish < s->brk_start || wish > plat_user_high())
		return s->brk;
	if (wish - s->brk_start > s->limits.data)
		return s->brk;
	if (end > old && space_map(s, &heap, &at) < 0)
		return s->brk;
	if (end < old && space_unmap(s, end, old - end) < 0)
		return s->brk;
	return s->brk = wish;
}

static int advise(struct space *s, struct vma *v, uint64_t from, uint64_t to, int advice)
{
	switch (advice) {
	case MADV_DONTNEED:
	case MADV_FREE:
		if (v->flags & VMA_LOCKED)
			return -EINVAL;
		if (advice == MADV_FREE && (v->pager || v->flags & VMA_SHARED))
			return -EINVAL;
		space_drop_pages(s, from, to);
		return 0;
	case MADV_REMOVE:
		if (!v->pager || !(v->flags & VMA_SHARED) || v->flags & VMA_LOCKED)
			return -EINVAL;
		if (v->flags & VMA_READONLY)
			return -EACCES;
		if (v->pager->ops->may_punch && v->pager->ops->may_punch(v->pager) < 0)
			return -EPERM;
		return pager_punch(v->pager, vma_index(v, from), vma_index(v, to));
	default:
		return 0;
	}
}

/* The flag that an advice sets, or clears. */
static bool advice_flag(int advice, unsigned int *ret_set, unsigned int *ret_clear)
{
	*ret_set = *ret_clear = 0;
	switch (advice) {
	case MADV_DONTFORK:
		*ret_set = VMA_DONTFORK;
		return true;
	case MADV_DOFORK:
		*ret_clear = VMA_DONTFORK;
		return true;
	case MADV_WIPEONFORK:
		*ret_set = VMA_WIPEONFORK;
		return true;
	case MADV_KEEPONFORK:
		*ret_clear = VMA_WIPEONFORK;
		return true;
	case MADV_DONTDUMP:
		*ret_set = VMA_DONTDUMP;
		return true;
	case MADV_DODUMP:
		*ret_clear = VMA_DONTDUMP;
		return true;
	default:
		return false;
	}
}

static bool known_advice(int advice)
{
	unsigned int a, b;

	switch (advice) {
	case MADV_NORMAL:
	case MADV_RANDOM:
	case MADV_SEQUENTIAL:
	case MADV_WILLNEED:
	case MADV_DONTNEED:
	case MADV_FREE:
	case MADV_REMOVE:
	case MADV_HUGEPAGE:
	case MADV_NOHUGEPAGE:
	case MADV_COLD:
	case MADV_PAGEOUT:
	case MADV_POPULATE_READ:
	case MADV_POPULATE_WRITE:
		return true;
	default:
		return advice_flag(advice, &a, &b);
	}
}

int space_advise(struct space *s, uint64_t at, uint64_t len, int advice)
{
	uint64_t end = at + page_up(len);
	unsigned int set, clears;
	bool flag = advice_flag(advice, &set, &clears), gap = false;
	int r = 0;

	if (at & (PAGE_SIZE - 1) || !known_advice(advice) || len > plat_user_high())
		return -EINVAL;
	if (len == 0)
		return 0;
	if (!valid(at, page_up(len)))
		return -ENOMEM;
	if (advice == MADV_POPULATE_READ || advice == MADV_POPULATE_WRITE) {
		unsigned int access = advice == MADV_POPULATE_READ ? PLAT_READ : PLAT_WRITE;

		for (; at < end; at += PAGE_SIZE) {
			enum space_fault f = space_fault(s, at, access);

			if (f != FAULT_DONE)
				return f == FAULT_BEHIND   ? -EFAULT
				       : f == FAULT_DENIED ? -EINVAL
							   : -ENOMEM;
		}
		return 0;
	}
	sleeplock_take(&s->lock);
	gap = !covered(s, at, page_up(len));
	if (flag) {
		r = vma_split(s, at);
		if (r == 0)
			r = vma_split(s, end);
	}
	for (struct vma *v = space_after(s, at), *next; r == 0 && v && vma_start(v) < end;
	     v = next) {
		uint64_t from = max_of(at, vma_start(v)), to = min_of(end, v->end);

		next = vma_next(v);
		if (advice == MADV_WIPEONFORK && (v->pager || v->flags & VMA_SHARED))
			r = -EINVAL;
		else if (flag)
			v->flags = (v->flags | set) & ~clears;
		else
			r = advise(s, v, from, to, advice);
	}
	if (flag)
		vma_join(s, at, end);
	sleeplock_give(&s->lock);
	return r < 0 ? r : gap ? -ENOMEM : 0;
}
