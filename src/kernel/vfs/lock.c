/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/vfs/lock.h"

#include <asm/fcntl.h>

#include "kernel/core/heap.h"
#include "kernel/vfs/inode.h"

#define CHAIN_MOST 10 /* how far a circle of waiting owners is looked for */

struct lock {
	struct list link; /* in inode.locks */
	struct lock_request as;
};

/* Who waits, and for what: for circles. On the waiter's stack. */
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
	list_each(l, &i->locks)
	{
		const struct lock *k = list_entry(l, struct lock, link);

		if (k->as.kind != q->kind || k->as.owner == q->owner || !overlap(&k->as, q) ||
		    (k->as.type == F_RDLCK && q->type == F_RDLCK))
			continue;
		*ret = k->as;
		return true;
	}
	return false;
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
	heap_cache_free(&locks, k);
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
			list_push(&k->link, &(*spare)->link);
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
	list_push(&i->locks, &k->link);
}

static int wait_for_it(struct inode *i, const struct lock_request *q)
{
	struct waiting w = { .inode = i, .wanted = q };
	struct lock_request other;
	int r = 0;

	list_push(all_waiting(), &w.link);
	while (r == 0 && lock_in_the_way(i, q, &other)) {
		/* flock(2) knows no circles. */
		if (q->kind == LOCK_RANGE && q->pid >= 0 && circle(q, other.owner)) {
			r = -EDEADLK;
			break;
		}
		r = waitq_wait(freed(), !lock_in_the_way(i, q, &other), NSEC_NEVER,
			       fiber_interrupted());
	}
	list_remove(&w.link);
	return r;
}

int lock_set(struct inode *i, const struct lock_request *q, bool wait)
{
	struct lock_request other;
	struct lock *made, *spare;
	int r = 0;

	if (q->type != F_UNLCK && lock_in_the_way(i, q, &other))
		r = wait ? wait_for_it(i, q) : -EAGAIN;
	if (r < 0)
		return r;
	made = heap_cache_alloc(&locks);
	spare = made ? heap_cache_alloc(&locks) : NULL;
	if (!spare) {
		heap_cache_free(&locks, made);
		return -ENOLCK;
	}
	carve(i, q, &spare);
	if (q->type == F_UNLCK) {
		heap_cache_free(&locks, made);
	} else {
		made->as = *q;
		put(i, made);
	}
	heap_cache_free(&locks, spare);
	/* A lock that became one of readers lets others in, too. */
	(void) waitq_wake(freed(), 0, 0);
	return 0;
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
