/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/vfs/lock.h"

#include <asm/fcntl.h>

#include "kernel/core/heap.h"
#include "kernel/fs/text.h"
#include "kernel/vfs/inode.h"

#define CHAIN_MOST 10 /* how far a circle of waiting owners is looked for */

struct lock {
	struct list link; /* in inode.locks */
	struct list all;  /* in all_held() */
	struct inode *inode;
	struct lock_request as;
};

/* Who waits, and for what: for circles, and to be shown. On the waiter's stack. */
struct waiting {
	struct list link;
	struct inode *inode;
	const struct lock_request *wanted;
};

static struct heap_cache locks = HEAP_CACHE_INIT(struct lock);

/* All that wait, of all files; one queue, as there are few. */
static struct list *all_waiting(void)
{
	static struct list all;

	if (!all.next)
		list_init(&all);
	return &all;
}

static struct list *all_held(void)
{
	static struct list all;

	if (!all.next)
		list_init(&all);
	return &all;
}

static struct waitq *freed(void)
{
	static struct waitq q;

	if (!q.waiters.next)
		waitq_init(&q);
	return &q;
}

static bool overlap(const struct lock_request *a, const struct lock_request *b)
{
	return a->first <= b->last && b->first <= a->last;
}

bool lock_in_the_way(const struct inode *i, const struct lock_request *q, struct lock_request *ret)
{
	bool any = false;

	list_each(l, &i->locks)
	{
		const struct lock *k = list_entry(l, struct lock, link);

		if (k->as.kind != q->kind || k->as.owner == q->owner || !overlap(&k->as, q) ||
		    (k->as.type == F_RDLCK && q->type == F_RDLCK))
			continue;
		if (!any || k->as.first < ret->first)
			*ret = k->as;
		any = true;
	}
	return any;
}

/* Whether who is in the way waits, over others, for q's owner. */
static bool circle(const struct lock_request *q, const void *blocker)
{
	for (int n = 0; n < CHAIN_MOST; n++) {
		const struct waiting *found = NULL;
		struct lock_request next;

		list_each(l, all_waiting())
		{
			const struct waiting *w = list_entry(l, struct waiting, link);

			if (w->wanted->owner == blocker)
				found = w;
		}
		if (!found || !lock_in_the_way(found->inode, found->wanted, &next))
			return false;
		if (next.owner == q->owner)
			return true;
		blocker = next.owner;
	}
	return false;
}

static void lock_free(struct lock *k)
{
	list_remove(&k->link);
	list_remove(&k->all);
	heap_cache_free(&locks, k);
}

/* Before another of its inode, or their head. */
static void hang(struct list *at, struct inode *i, struct lock *k)
{
	k->inode = i;
	list_push(at, &k->link);
	list_push(all_held(), &k->all);
}

/* Whether one of the owner's would be cut in two. */
static bool splits(const struct inode *i, const struct lock_request *q)
{
	list_each(l, &i->locks)
	{
		const struct lock *k = list_entry(l, struct lock, link);

		if (k->as.kind == q->kind && k->as.owner == q->owner && k->as.first < q->first &&
		    k->as.last > q->last)
			return true;
	}
	return false;
}

/* The range is nobody's of this owner. *spare: for one that is cut in two; NULL when it was used.
 */
static void carve(struct inode *i, const struct lock_request *q, struct lock **spare)
{
	list_each_safe(l, &i->locks)
	{
		struct lock *k = list_entry(l, struct lock, link);

		if (k->as.kind != q->kind || k->as.owner != q->owner || !overlap(&k->as, q))
			continue;
		if (k->as.first < q->first && k->as.last > q->last) {
			(*spare)->as = k->as;
			(*spare)->as.first = q->last + 1;
			hang(&k->link, i, *spare);
			*spare = NULL;
			k->as.last = q->first - 1;
			return; /* no other one of the owner's is there */
		}
		if (k->as.first < q->first)
			k->as.last = q->first - 1;
		else if (k->as.last > q->last)
			k->as.first = q->last + 1;
		else
			lock_free(k);
	}
}

/* Takes k: one with those beside it that are the same. */
static void put(struct inode *i, struct lock *k)
{
	list_each_safe(l, &i->locks)
	{
		struct lock *o = list_entry(l, struct lock, link);

		if (o->as.kind != k->as.kind || o->as.owner != k->as.owner ||
		    o->as.type != k->as.type || o->as.first > k->as.last + 1 ||
		    k->as.first > o->as.last + 1)
			continue;
		k->as.first = min_of(k->as.first, o->as.first);
		k->as.last = max_of(k->as.last, o->as.last);
		lock_free(o);
	}
	hang(&i->locks, i, k);
}

static int wait_for_it(struct inode *i, const struct lock_request *q)
{
	struct waiting w = { .inode = i, .wanted = q };
	struct lock_request other;
	struct waiter waiter;
	int r = 0;

	waiter_init(&waiter);
	list_push(all_waiting(), &w.link);
	waitq_add(freed(), &waiter);
	/* Each time somebody else may be in the way, and close a circle. flock(2) and locks of open
	 * files know none. */
	while (r == 0 && lock_in_the_way(i, q, &other)) {
		if (q->kind == LOCK_RANGE && q->pid >= 0 && circle(q, other.owner))
			r = -EDEADLK;
		if (r == 0)
			r = fiber_interrupted();
		if (r == 0)
			fiber_park();
	}
	waitq_remove(&waiter);
	list_remove(&w.link);
	return r;
}

int lock_set(struct inode *i, const struct lock_request *q, bool wait)
{
	struct lock *made = NULL, *spare = NULL;
	bool unlock = q->type == F_UNLCK;
	struct lock_request other;
	int r = 0;

	if (!unlock && lock_in_the_way(i, q, &other))
		r = wait ? wait_for_it(i, q) : -EAGAIN;
	if (r < 0)
		return r;
	if (!unlock)
		made = heap_cache_alloc(&locks);
	if (splits(i, q))
		spare = heap_cache_alloc(&locks);
	if ((!unlock && !made) || (splits(i, q) && !spare)) {
		heap_cache_free(&locks, made);
		heap_cache_free(&locks, spare);
		return -ENOLCK;
	}
	carve(i, q, &spare);
	if (made) {
		made->as = *q;
		put(i, made);
	}
	/* A lock that became one of readers lets others in, too. */
	(void) waitq_wake(freed(), 0, 0);
	return 0;
}

bool lock_at(uint64_t nr, struct inode **ret_inode, struct lock_request *ret)
{
	list_each(l, all_held())
	{
		const struct lock *k = list_entry(l, struct lock, all);

		if (nr-- > 0)
			continue;
		*ret_inode = k->inode;
		*ret = k->as;
		return true;
	}
	return false;
}

void lock_drop(struct inode *i, const void *owner)
{
	bool any = false;

	list_each_safe(l, &i->locks)
	{
		struct lock *k = list_entry(l, struct lock, link);

		if (k->as.owner == owner) {
			lock_free(k);
			any = true;
		}
	}
	if (any)
		(void) waitq_wake(freed(), 0, 0);
}

/* ---- shown ---- */

static void show(struct text *to, const struct inode *i, const struct lock_request *q)
{
	const char *kind = q->kind == LOCK_WHOLE ? "FLOCK " : q->pid < 0 ? "OFDLCK" : "POSIX ";
	uint64_t dev = i->super->dev;

	text_put(to, "%s ADVISORY  %s %d %02x:%02x:%lu ", kind,
		 q->type == F_RDLCK ? "READ" : "WRITE", q->pid, (unsigned int) (dev >> 8 & 0xfff),
		 (unsigned int) (dev & 0xff), i->ino);
	if (q->last == LOCK_END)
		text_put(to, "%lu EOF\n", q->first);
	else
		text_put(to, "%lu %lu\n", q->first, q->last);
}

static bool is_same(const struct lock_request *a, const struct lock_request *b)
{
	return a->kind == b->kind && a->owner == b->owner && a->type == b->type &&
	       a->first == b->first && a->last == b->last;
}

void lock_table(struct text *to)
{
	unsigned int number = 0;

	list_each(l, all_held())
	{
		const struct lock *k = list_entry(l, struct lock, all);

		text_put(to, "%u: ", ++number);
		show(to, k->inode, &k->as);
		list_each(v, all_waiting())
		{
			const struct waiting *w = list_entry(v, struct waiting, link);
			struct lock_request by;

			/* Below the first that it waits for. */
			if (w->inode != k->inode || !lock_in_the_way(w->inode, w->wanted, &by) ||
			    !is_same(&by, &k->as))
				continue;
			text_put(to, "%u: -> ", number);
			show(to, w->inode, w->wanted);
		}
	}
}

void lock_lines(const struct inode *i, const void *owner, const void *other, struct text *to)
{
	unsigned int number = 0;

	list_each(l, &i->locks)
	{
		const struct lock *k = list_entry(l, struct lock, link);

		if (k->as.owner != owner && k->as.owner != other)
			continue;
		text_put(to, "lock:\t%u: ", ++number);
		show(to, i, &k->as);
	}
}
