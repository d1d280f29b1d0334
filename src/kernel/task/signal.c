/* SPDX-License-Identifier: Apache-2.0 */
/* What threads and processes have of signals, and how it is passed on. Sending: signal_send.c. */
#include "kernel/task/signal.h"

#include <linux/sched.h>
#include <linux/signal.h>

#include "kernel/core/heap.h"
#include "kernel/task/hold.h"
#include "kernel/task/limit_cpu.h"
#include "kernel/task/task.h"
#include "kernel/task/timers.h"

static struct heap_cache of_tasks = HEAP_CACHE_INIT(struct task_signals);
static struct heap_cache of_processes = HEAP_CACHE_INIT(struct process_signals);
static struct heap_cache all_handlers = HEAP_CACHE_INIT(struct signal_handlers);

#define UNBLOCKABLE (SIGNAL_BIT(SIGKILL) | SIGNAL_BIT(SIGSTOP))
#define HANDLER_DFL ((uint64_t) 0)
#define HANDLER_IGN ((uint64_t) 1)

/* ---- handlers ---- */

static struct signal_handlers *handlers_new(const struct signal_handlers *from)
{
	struct signal_handlers *h = heap_cache_alloc(&all_handlers);

	if (!h)
		return NULL;
	if (from)
		memcpy(h->actions, from->actions, sizeof(h->actions));
	h->owners = 1;
	waitq_init(&h->arrived);
	return h;
}

static void handlers_unref(struct signal_handlers *h)
{
	if (!h || --h->owners > 0)
		return;
	/* An epoll that watches the signalfd of a process that is gone hears nothing any more. */
	list_each_safe(l, &h->arrived.waiters) list_remove(l);
	heap_cache_free(&all_handlers, h);
}

/* Functions of a program that is gone, or CLONE_CLEAR_SIGHAND. */
static void handlers_reset(struct signal_handlers *h)
{
	for (size_t n = 0; n < SIGNALS; n++) {
		struct signal_action *a = &h->actions[n];

		*a = (struct signal_action){
			.handler = a->handler == HANDLER_IGN ? HANDLER_IGN : HANDLER_DFL,
		};
	}
}

/* ---- lives ---- */

static void drop(struct task *t, bool process_too)
{
	heap_cache_free(&of_tasks, t->signals);
	t->signals = NULL;
	handlers_unref(t->handlers);
	t->handlers = NULL;
	if (process_too) {
		heap_cache_free(&of_processes, t->process->signals);
		t->process->signals = NULL;
	}
}

int signals_clone(struct task *t, const struct task *from, uint64_t flags)
{
	struct process *p = t->process;
	bool first = !p->signals;

	/* What a signal is to do is done first: a child would not have it, a stop would miss it. */
	if (from && from->fiber && from->fiber->interrupted)
		return -ERESTARTNOINTR;
	t->signals = heap_cache_alloc(&of_tasks);
	if (first)
		p->signals = heap_cache_alloc(&of_processes);
	if (from && flags & CLONE_SIGHAND) {
		t->handlers = from->handlers;
		t->handlers->owners++;
	} else {
		t->handlers = handlers_new(from ? from->handlers : NULL);
	}
	if (!t->signals || !p->signals || !t->handlers) {
		drop(t, first);
		return -ENOMEM;
	}
	if (flags & CLONE_CLEAR_SIGHAND)
		handlers_reset(t->handlers);
	signal_queue_init(&t->signals->pending);
	t->signals->stack.flags = SS_DISABLE;
	if (from) {
		t->signals->blocked = from->signals->blocked;
		if (!(flags & CLONE_VM) || flags & CLONE_VFORK)
			t->signals->stack = from->signals->stack;
	}
	if (first) {
		signal_queue_init(&p->signals->pending);
		waitq_init(&p->signals->go_on);
		p->signals->protected = p->pid == 1;
	}
	return 0;
}

void signals_share(struct task *t, const struct task *with)
{
	with->handlers->owners++;
	handlers_unref(t->handlers);
	t->handlers = with->handlers;
}

/* What is pending for the process, and `lost` no longer taken by t: others may have to come. */
static void pass_on(const struct task *t, uint64_t lost)
{
	struct process *p = t->process;
	uint64_t left = p->signals->pending.set & lost;

	list_each(l, &p->threads)
	{
		struct task *other = task_of_list(l);

		if (!left)
			return;
		if (other == t || !other->signals || other->dying ||
		    !(left & ~other->signals->blocked))
			continue;
		left &= other->signals->blocked;
		task_interrupt(other);
	}
}

void signals_end(struct task *t)
{
	struct process *p = t->process;

	if (!t->signals)
		return;
	signal_queue_flush(&t->signals->pending, UINT64_MAX);
	if (p->signals) {
		pass_on(t, UINT64_MAX);
		t->signals->stopped = false;
	}
	drop(t, false);
	if (p->signals)
		signals_stop_check(p);
}

void signals_end_process(struct process *p)
{
	limit_cpu_end(p);
	if (!p->signals)
		return;
	timers_end(p);
	signal_queue_flush(&p->signals->pending, UINT64_MAX);
	heap_cache_free(&of_processes, p->signals);
	p->signals = NULL;
}

int signals_unshare(struct task *t)
{
	struct signal_handlers *own;

	if (t->handlers->owners == 1)
		return 0;
	own = handlers_new(t->handlers);
	if (!own)
		return -ENOMEM;
	handlers_unref(t->handlers);
	t->handlers = own;
	return 0;
}

void signals_exec(struct task *t)
{
	handlers_reset(t->handlers);
	t->signals->stack = (struct signal_stack){ .flags = SS_DISABLE };
	t->signals->restart.go_on = NULL;
	timers_exec(t->process);
}

/* ---- what is pending ---- */

uint64_t signals_pending(const struct task *t)
{
	return t->signals->pending.set | t->process->signals->pending.set;
}

void signals_recalc(struct task *t)
{
	if (t->dying || t->process->signals->stopping || tasks_are_held() ||
	    signals_pending(t) & ~t->signals->blocked) {
		if (!t->fiber || !t->fiber->interrupted)
			task_interrupt(t);
	} else if (t->fiber) {
		fiber_undisturbed(t->fiber);
	}
}

bool signals_take(struct task *t, uint64_t of, struct signal_info *ret)
{
	bool found = signal_queue_take(&t->signals->pending, of, ret) ||
		     signal_queue_take(&t->process->signals->pending, of, ret);

	if (found)
		signals_recalc(t);
	return found;
}

bool signal_deaf(const struct task *t, int nr)
{
	return t->signals->blocked & SIGNAL_BIT(nr) ||
	       t->handlers->actions[nr - 1].handler == HANDLER_IGN;
}

/* ---- masks ---- */

void signals_block(struct task *t, uint64_t set)
{
	uint64_t more;

	set &= ~UNBLOCKABLE;
	more = set & ~t->signals->blocked;
	t->signals->blocked = set;
	if (more)
		pass_on(t, more);
	signals_recalc(t);
}

void signals_block_for_call(struct task *t, uint64_t set)
{
	t->signals->saved = t->signals->blocked;
	t->signals->put_back = true;
	signals_block(t, set);
}

void signals_call_over(struct task *t, bool interrupted)
{
	if (!t->signals->put_back || interrupted)
		return;
	t->signals->put_back = false;
	signals_block(t, t->signals->saved);
}

/* ---- what a number is ---- */

bool signal_ignored_by_default(int nr)
{
	return nr == SIGCHLD || nr == SIGCONT || nr == SIGURG || nr == SIGWINCH;
}

bool signal_stops_by_default(int nr)
{
	return nr == SIGSTOP || nr == SIGTSTP || nr == SIGTTIN || nr == SIGTTOU;
}

bool signal_dumps_by_default(int nr)
{
	return nr == SIGQUIT || nr == SIGILL || nr == SIGTRAP || nr == SIGABRT || nr == SIGFPE ||
	       nr == SIGSEGV || nr == SIGBUS || nr == SIGSYS || nr == SIGXCPU || nr == SIGXFSZ;
}
