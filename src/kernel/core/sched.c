/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/core/sched.h"

#include "kernel/core/heap.h"
#include "kernel/platform/platform.h"

static struct {
	struct list queue; /* of fibers that can run */
	struct tree timers;
} sched = { .queue = LIST_INIT(sched.queue) };

void sched_enter(void)
{
	plat_lock();
}

/* Those that are due by now, and no others: one that sets itself again at once would keep the
 * carrier here. */
static void fire_due(void)
{
	struct tree_node *n = tree_first(&sched.timers);
	nsec_t now = n ? plat_now(PLAT_MONOTONIC) : 0;

	while ((n = tree_first(&sched.timers)) && (nsec_t) n->key <= now) {
		struct ktimer *t = container_of(n, struct ktimer, node);

		tree_remove(&sched.timers, n);
		t->fire(t);
	}
}

void sched_run(void)
{
	struct carrier *c = plat_carrier();
	struct list *l;

	fire_due();
	while ((l = list_pop(&sched.queue))) {
		struct fiber *f = list_entry(l, struct fiber, link);

		f->since = plat_now(PLAT_MONOTONIC);
		if (f->left)
			f->away += f->since - f->left;
		fiber_switch(&c->base, f, false);
		if (list_empty(&sched.queue))
			fire_due();
	}
}

nsec_t sched_leave(void)
{
	struct tree_node *n = tree_first(&sched.timers);
	nsec_t at = n ? (nsec_t) n->key : NSEC_NEVER;

	plat_unlock();
	return at;
}

int sched_spawn(void (*entry)(void *arg), void *arg, struct fiber **ret_fiber)
{
	struct fiber *f = fiber_new(entry, arg);

	if (!f)
		return -ENOMEM;
	*ret_fiber = f;
	list_push(&sched.queue, &f->link);
	return 0;
}

struct fiber *fiber_now(void)
{
	struct carrier *c = plat_carrier();

	return c->now == &c->base ? NULL : c->now;
}

void fiber_exit(void)
{
	struct carrier *c = plat_carrier();

	list_remove(&c->now->link);
	fiber_switch(c->now, &c->base, true);
	plat_panic("fiber: one that ended runs");
}

/* The running fiber, for what a carrier's own stack cannot do. */
static struct fiber *self(void)
{
	struct fiber *f = fiber_now();

	if (!f)
		plat_panic("fiber: a carrier's own stack cannot wait");
	return f;
}

/* Gives the turn away; `f` is where somebody will find it. */
static void leave_turn(struct fiber *f)
{
	f->left = plat_now(PLAT_MONOTONIC);
	f->ran += f->left - f->since;
	fiber_switch(f, &plat_carrier()->base, false);
}

nsec_t fiber_ran(const struct fiber *f)
{
	return f->ran + (f == fiber_now() ? plat_now(PLAT_MONOTONIC) - f->since : 0);
}

void fiber_park(void)
{
	struct fiber *f = self();

	while (!f->woken)
		leave_turn(f);
	f->woken = false;
}

struct alarm {
	struct ktimer timer;
	struct fiber *fiber;
	bool rung;
};

static void ring(struct ktimer *t)
{
	struct alarm *a = container_of(t, struct alarm, timer);

	a->rung = true;
	fiber_wake(a->fiber);
}

int fiber_park_until(nsec_t deadline)
{
	struct alarm a = { .timer.fire = ring, .fiber = self() };

	if (deadline == NSEC_NEVER) {
		fiber_park();
		return 0;
	}
	if (a.fiber->woken) {
		a.fiber->woken = false;
		return 0;
	}
	ktimer_set(&a.timer, deadline);
	fiber_park();
	ktimer_cancel(&a.timer);
	return a.rung ? -ETIMEDOUT : 0;
}

void fiber_wake(struct fiber *f)
{
	if (f->woken)
		return;
	f->woken = true;
	if (f == fiber_now() || !list_empty(&f->link))
		return;
	/* No kick: who wakes holds the lock, and runs what can run before it gives the lock back.
	 */
	list_push(&sched.queue, &f->link);
}

void fiber_yield(void)
{
	struct fiber *f = self();

	list_push(&sched.queue, &f->link);
	leave_turn(f);
}

void fiber_interrupt(struct fiber *f)
{
	f->interrupted = true;
	fiber_wake(f);
}

void fiber_undisturbed(struct fiber *f)
{
	f->interrupted = false;
}

int fiber_interrupted(void)
{
	const struct fiber *f = fiber_now();

	return f && f->interrupted ? -ERESTARTSYS : 0;
}

void ktimer_set(struct ktimer *t, nsec_t at)
{
	struct tree_node *first = tree_first(&sched.timers);

	ktimer_cancel(t);
	/* Times before the start of the clock are due at once. */
	tree_insert(&sched.timers, &t->node, (uint64_t) max_of(at, (nsec_t) 0));
	if (!first || t->node.key < first->key)
		plat_kick();
}

void ktimer_cancel(struct ktimer *t)
{
	if (tree_has(&t->node))
		tree_remove(&sched.timers, &t->node);
}

bool ktimer_pending(const struct ktimer *t)
{
	return tree_has(&t->node);
}

nsec_t ktimer_at(const struct ktimer *t)
{
	return (nsec_t) t->node.key;
}

void waiter_init(struct waiter *w)
{
	*w = (struct waiter){ .fiber = fiber_now() };
	list_init(&w->link);
}

void waitq_add(struct waitq *q, struct waiter *w)
{
	if (w->exclusive)
		list_push(&q->waiters, &w->link);
	else
		list_push(q->waiters.next, &w->link);
}

void waitq_remove(struct waiter *w)
{
	list_remove(&w->link);
}

unsigned int waitq_wake(struct waitq *q, unsigned int events, unsigned int most)
{
	unsigned int told = 0, counted = 0;

	list_each_safe(l, &q->waiters)
	{
		struct waiter *w = list_entry(l, struct waiter, link);
		bool counts = w->exclusive;

		if (events && w->events && !(events & w->events))
			continue;
		if (w->notify)
			counts = w->notify(w, events) && counts;
		else
			fiber_wake(w->fiber);
		told++;
		if (counts && most && ++counted == most)
			break;
	}
	return told;
}

void sleeplock_init(struct sleeplock *l)
{
	l->holder = NULL;
	waitq_init(&l->waiters);
}

void sleeplock_take(struct sleeplock *l)
{
	struct waiter w;

	if (!l->holder) {
		l->holder = fiber_now();
		return;
	}
	if (l->holder == fiber_now())
		plat_panic("sleeplock: taken twice");
	waiter_init(&w);
	w.exclusive = true;
	waitq_add(&l->waiters, &w);
	while (l->holder)
		fiber_park();
	waitq_remove(&w);
	l->holder = fiber_now();
}

void sleeplock_give(struct sleeplock *l)
{
	if (l->holder != fiber_now())
		plat_panic("sleeplock: given back by another");
	l->holder = NULL;
	(void) waitq_wake(&l->waiters, 0, 1);
}
