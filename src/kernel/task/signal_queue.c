/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/task/signal_queue.h"

#include <linux/signal.h>

#include "kernel/core/heap.h"
#include "kernel/core/radix.h"

/* What a thread did itself comes before what others sent it: signal(7). */
#define SYNCHRONOUS                                                                                \
	(SIGNAL_BIT(SIGSEGV) | SIGNAL_BIT(SIGBUS) | SIGNAL_BIT(SIGILL) | SIGNAL_BIT(SIGTRAP) |     \
	 SIGNAL_BIT(SIGFPE) | SIGNAL_BIT(SIGSYS))

static struct heap_cache entries = HEAP_CACHE_INIT(struct signal_entry);

/* How many entries each user answers for; none: it is not there. */
static struct radix counts;

static uintptr_t count_of(uint32_t uid)
{
	return (uintptr_t) radix_get(&counts, uid);
}

struct signal_entry *signal_entry_new(uint32_t uid, uint64_t limit)
{
	uintptr_t count = count_of(uid);
	struct signal_entry *e;

	if (count >= limit)
		return NULL;
	e = heap_cache_alloc(&entries);
	if (!e || radix_set(&counts, uid, (void *) (count + 1)) < 0) {
		heap_cache_free(&entries, e);
		return NULL;
	}
	list_init(&e->link);
	e->uid = uid;
	return e;
}

/* e is out of its queue. ret: who takes it; NULL: nobody does. */
static void let_go(struct signal_entry *e, struct signal_info *ret)
{
	uintptr_t count;

	if (ret)
		*ret = e->info;
	if (e->taken) {
		e->taken(e, ret);
		return;
	}
	count = count_of(e->uid);
	if (count > 1)
		(void) radix_set(&counts, e->uid, (void *) (count - 1)); /* a slot that is there */
	else
		(void) radix_take(&counts, e->uid);
	heap_cache_free(&entries, e);
}

void signal_queue_put(struct signal_queue *q, int nr, struct signal_entry *e)
{
	q->set |= SIGNAL_BIT(nr);
	if (!e)
		return;
	e->queue = q;
	list_push(&q->entries, &e->link);
}

bool signal_queue_take(struct signal_queue *q, uint64_t of, struct signal_info *ret)
{
	uint64_t set = q->set & of;
	struct signal_entry *first = NULL;
	int nr;

	if (!set)
		return false;
	if (set & SYNCHRONOUS)
		set &= SYNCHRONOUS;
	nr = __builtin_ctzll(set) + 1;
	q->set &= ~SIGNAL_BIT(nr);
	list_each(l, &q->entries)
	{
		struct signal_entry *e = list_entry(l, struct signal_entry, link);

		if (e->info.nr != nr)
			continue;
		if (first) {
			q->set |= SIGNAL_BIT(nr);
			break;
		}
		first = e;
	}
	if (!first) {
		*ret = (struct signal_info){ .nr = nr, .code = SI_USER };
		return true;
	}
	list_remove(&first->link);
	let_go(first, ret);
	return true;
}

void signal_queue_flush(struct signal_queue *q, uint64_t of)
{
	if (!(q->set & of))
		return;
	q->set &= ~of;
	list_each_safe(l, &q->entries)
	{
		struct signal_entry *e = list_entry(l, struct signal_entry, link);

		if (!(SIGNAL_BIT(e->info.nr) & of))
			continue;
		list_remove(&e->link);
		let_go(e, NULL);
	}
}

void signal_entry_cancel(struct signal_entry *e)
{
	struct signal_queue *q = e->queue;

	if (list_empty(&e->link))
		return;
	list_remove(&e->link);
	q->set &= ~SIGNAL_BIT(e->info.nr);
	list_each(l, &q->entries)
	{
		if (list_entry(l, struct signal_entry, link)->info.nr == e->info.nr)
			q->set |= SIGNAL_BIT(e->info.nr);
	}
}
