/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/task/hold.h"

#include <asm/unistd_64.h>

#include "kernel/core/heap.h"
#include "kernel/task/pid.h"
#include "kernel/task/signal.h"
#include "kernel/task/task.h"

static struct {
	bool on, failed;
	struct waitq standing, go_on;
} hold = { .standing = { LIST_INIT(hold.standing.waiters) },
	   .go_on = { LIST_INIT(hold.go_on.waiters) } };

bool tasks_are_held(void)
{
	return hold.on;
}

/* The next task that has a fiber, from this number on. */
static struct task *task_from(uint64_t *nr)
{
	struct pid *p;

	for (; (p = pid_next(nr)); ++*nr) {
		if (p->task && p->task->fiber)
			return p->task;
	}
	return NULL;
}

static struct task *who_runs(void)
{
	struct task *t;

	for (uint64_t nr = 1; (t = task_from(&nr)); nr++) {
		if (!t->held)
			return t;
	}
	return NULL;
}

static void recalc_all(void)
{
	struct task *t;

	for (uint64_t nr = 1; (t = task_from(&nr)); nr++) {
		if (t->signals)
			signals_recalc(t);
	}
}

int tasks_hold(nsec_t deadline, struct task **ret_who)
{
	struct task *t;
	int r;

	if (hold.on)
		return -EBUSY;
	hold.on = true;
	hold.failed = false;
	/* Also who is interrupted already, and stands for a signal that stops. */
	for (uint64_t nr = 1; (t = task_from(&nr)); nr++)
		task_interrupt(t);
	r = waitq_wait(&hold.standing, hold.failed || !who_runs(), deadline, 0);
	if (r == 0 && !hold.failed)
		return 0;
	*ret_who = who_runs();
	tasks_let_go();
	return hold.failed ? -ENOMEM : r;
}

void tasks_let_go(void)
{
	hold.on = false;
	(void) waitq_wake(&hold.go_on, 0, 0);
	recalc_all();
}

static struct held *note(struct task *t)
{
	struct held *h = heap_alloc(sizeof(*h));
	struct task_call *c = &t->call;
	uint64_t components;
	size_t size = plat_fp_size(&components);

	if (!h)
		return NULL;
	h->fp = size > 0 ? heap_alloc(size) : NULL;
	if (size > 0 && !h->fp) {
		heap_free(h);
		return NULL;
	}
	plat_user_regs(t->user, &h->regs);
	if (h->fp)
		plat_user_fp(t->user, h->fp);
	if (!c->in)
		return h;
	if (c->result == -ERESTARTSYS || c->result == -ERESTARTNOINTR ||
	    c->result == -ERESTARTNOHAND || c->result == -ERESTART_RESTARTBLOCK) {
		/* The instruction is two bytes long. */
		h->regs.ax = c->result == -ERESTART_RESTARTBLOCK ? __NR_restart_syscall : c->nr;
		h->regs.ip -= 2;
	} else {
		h->regs.ax = (uint64_t) c->result;
	}
	return h;
}

void task_left(void)
{
	if (hold.on)
		(void) waitq_wake(&hold.standing, 0, 0);
}

void task_stand(struct task *t)
{
	struct held *h = note(t);

	if (!h)
		hold.failed = true;
	t->held = h;
	(void) waitq_wake(&hold.standing, 0, 0);
	(void) waitq_wait(&hold.go_on, !hold.on || t->dying, NSEC_NEVER, 0); /* cannot fail */
	t->held = NULL;
	if (h)
		heap_free(h->fp);
	heap_free(h);
}
