/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/task/timer.h"

#include <linux/signal.h>

#include "kernel/core/clock.h"
#include "kernel/core/heap.h"
#include "kernel/task/pid.h"
#include "kernel/task/signal.h"
#include "kernel/task/task.h"
#include "kernel/task/timers.h"
#include "kernel/task/wait.h"

static struct heap_cache all = HEAP_CACHE_INIT(struct timers);

/* How often processor time is looked at, and one tried again whose signal nobody takes. */
#define STEP ((nsec_t) 1000000)

nsec_t timer_now(const struct timer *t)
{
	struct task_usage u = {};

	switch (t->clock) {
	case TIMER_THREAD:
		if (t->measured->task)
			task_usage(t->measured->task, &u);
		return u.user + u.system;
	case TIMER_PROCESS:
		process_usage(t->process, &u);
		return u.user + u.system;
	case TIMER_PROCESS_USER:
		process_usage(t->process, &u);
		return u.user;
	default:
		return plat_now(PLAT_MONOTONIC);
	}
}

/* Threads cannot spend more than each the time that goes by. */
static void arm(struct timer *t)
{
	nsec_t left;

	if (t->clock == TIMER_WALL) {
		ktimer_set(&t->due, t->at);
		return;
	}
	left = t->at - timer_now(t);
	if (t->clock != TIMER_THREAD && t->process->thread_count > 1)
		left /= (nsec_t) t->process->thread_count;
	ktimer_set(&t->due, clock_add(plat_now(PLAT_MONOTONIC), max_of(left, STEP)));
}

/* Who is in its own program comes in, and its time is known. */
static void measure(const struct timer *t)
{
	list_each(l, &t->process->threads)
	{
		struct task *one = task_of_list(l);

		if (one->in_user && one->user)
			plat_user_kick(one->user);
	}
}

/* Its times until now are over: how many after the first. */
static uint64_t forward(struct timer *t, nsec_t now)
{
	uint64_t missed = (uint64_t) (max_of(now - t->at, (nsec_t) 0) / t->interval);
	nsec_t next;

	if (__builtin_mul_overflow((nsec_t) (missed + 1), t->interval, &next) ||
	    __builtin_add_overflow(next, t->at, &next))
		next = CLOCK_LAST;
	t->at = next;
	return missed;
}

/* ret NULL: nobody takes it. */
static void taken(struct signal_entry *e, struct signal_info *ret)
{
	struct timer *t = container_of(e, struct timer, entry);
	uint64_t missed;

	if (!t->at)
		return;
	missed = forward(t, timer_now(t));
	if (ret) {
		t->overrun = (int32_t) min_of(missed, (uint64_t) INT32_MAX);
		if (ret->code == SI_TIMER)
			ret->timer.overrun = t->overrun;
	} else if (t->at - timer_now(t) < STEP) {
		t->at = clock_add(timer_now(t), STEP);
	}
	arm(t);
}

static void fire(struct ktimer *k)
{
	struct timer *t = container_of(k, struct timer, due);
	struct task *who = t->told ? t->told->task : NULL;

	if (t->clock != TIMER_WALL && timer_now(t) < t->at) {
		measure(t);
		arm(t);
		return;
	}
	if (!t->interval) {
		t->at = 0;
		t->overrun = 0;
	}
	if (t->told && (!who || who->process != t->process)) {
		t->at = 0; /* the thread is gone */
		return;
	}
	(void) signal_send_entry(t->process, who, &t->entry); /* it is in no queue */
}

void timer_init(struct timer *t, struct process *p, enum timer_clock clock)
{
	*t = (struct timer){ .process = p, .clock = clock };
	list_init(&t->entry.link);
	t->entry.taken = taken;
	t->due.fire = fire;
}

void timer_fini(struct timer *t)
{
	ktimer_cancel(&t->due);
	signal_entry_cancel(&t->entry);
	if (t->told)
		pid_unref(t->told);
	if (t->measured)
		pid_unref(t->measured);
	t->told = t->measured = NULL;
}

void timer_set(struct timer *t, nsec_t first, nsec_t interval, bool absolute)
{
	ktimer_cancel(&t->due);
	signal_entry_cancel(&t->entry);
	t->at = 0;
	t->interval = interval;
	t->overrun = 0;
	if (!first)
		return;
	t->at = absolute ? max_of(first, (nsec_t) 1) : clock_add(first, timer_now(t));
	if (t->entry.info.nr)
		arm(t);
}

nsec_t timer_left(const struct timer *t)
{
	nsec_t now, left;

	if (!t->at)
		return 0;
	now = timer_now(t);
	left = t->at - now;
	if (left > 0)
		return left;
	if (t->interval)
		return t->interval - (-left % t->interval);
	/* Due, and not told yet; or nobody is to be told. */
	return t->entry.info.nr ? 1 : 0;
}

struct timers *timers_of(struct process *p, bool make)
{
	static const enum timer_clock clocks[] = { TIMER_WALL, TIMER_PROCESS_USER, TIMER_PROCESS };
	static const int signals[] = { SIGALRM, SIGVTALRM, SIGPROF };
	struct timers *s = p->signals->timers;

	if (s || !make)
		return s;
	s = heap_cache_alloc(&all);
	if (!s)
		return NULL;
	for (size_t n = 0; n < countof(s->interval); n++) {
		timer_init(&s->interval[n], p, clocks[n]);
		s->interval[n].entry.info = (struct signal_info){ .nr = signals[n],
								  .code = SI_KERNEL };
	}
	p->signals->timers = s;
	return s;
}

void timers_end(struct process *p)
{
	struct timers *s = p->signals->timers;

	if (!s)
		return;
	timers_exec(p);
	for (size_t n = 0; n < countof(s->interval); n++)
		timer_fini(&s->interval[n]);
	p->signals->timers = NULL;
	heap_cache_free(&all, s);
}
