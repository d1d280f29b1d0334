/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/task/serve.h"

#include <asm/signal.h>

#include "kernel/mm/patch.h"
#include "kernel/mm/space.h"
#include "kernel/syscall/refused.h"
#include "kernel/syscall/syscall.h"
#include "kernel/task/exit.h"
#include "kernel/task/hold.h"
#include "kernel/task/known.h"
#include "kernel/task/oom.h"
#include "kernel/task/seccomp.h"
#include "kernel/task/signal.h"
#include "kernel/task/task.h"
#include "kernel/task/trace.h"

static struct waitq came_in = { LIST_INIT(came_in.waiters) };

struct waitq *task_came_in(void)
{
	return &came_in;
}

/* What signals ask for, before the guest goes on. */
static void settle(struct task *t)
{
	if (t->fiber->interrupted && !t->dying)
		signals_deliver(t);
	if (t->dying)
		task_exit(t, t->process->exit_status);
}

/* Calls that a signal ends, handler or not, were ended by nobody where none has come: all are held.
 */
static bool held_alone(const struct task *t)
{
	return t->call.result == -EINTR && tasks_are_held() && !t->dying &&
	       !t->process->signals->stopping && !(signals_pending(t) & ~t->signals->blocked);
}

static bool again(sysret_t r)
{
	return r == -ERESTARTSYS || r == -ERESTARTNOINTR || r == -ERESTARTNOHAND ||
	       r == -ERESTART_RESTARTBLOCK;
}

/*
 * What a signal interrupted without a handler to run is done again here, where the arguments are
 * still known: the guest's registers are not touched.
 */
static void serve_call(struct task *t, const struct plat_event *e)
{
	struct task_call *c = &t->call;
	nsec_t left = t->fiber->left;

	c->in = true;
	c->nr = e->nr;
	c->began = 0;
	c->told = false;
	memcpy(c->args, e->args, sizeof(c->args));
	if (trace_watched())
		trace_entry(t);
	if (!seccomp_passes(t, &c->result)) {
		if (c->result < 0)
			refused_note(c->nr, c->args, (unsigned int) -c->result | REFUSED_FILTERED);
		/* Never done again, whatever its result looks like. */
		c->in = false;
		plat_user_result(t->user, c->result);
		if (trace_watched())
			trace_exit(t);
		settle(t);
		return;
	}
	do {
		if (c->told)
			trace_entry(t); /* once more: a signal without a handler */
		c->result = syscall_do(t, c->nr, c->args);
		known_served(t);
		/* Nobody is there to come back to, nor for whom to begin again. */
		if (t->user && plat_user_gone(t->user))
			process_kill(t->process, SIGKILL);
		if (c->in && held_alone(t))
			c->result = -ERESTARTNOHAND;
		if (c->in)
			plat_user_result(t->user, c->result);
		if (t->space->starved) {
			/* As if the guest had touched it itself. */
			t->space->starved = false;
			oom_kill(t);
		}
		/* What a signal ends is told before the signal is: trace_signal(). */
		if (trace_watched() && !again(c->result))
			trace_exit(t);
		settle(t);
	} while (c->in && again(c->result));
	c->in = false;
	if (t->fiber->left != left)
		t->usage.switches++;
}

/* An instruction that cannot be may be a call: its event instead. */
static void serve_trap(struct task *t, const struct plat_event *e)
{
	struct plat_event call = { .kind = PLAT_SYSCALL };
	enum space_patched was = PATCHED_NOTHING;
	struct plat_regs r;

	if (e->signal == SIGILL)
		was = space_patched(t->space, e->address);
	if (was == PATCHED_NO_MORE)
		return;
	if (was == PATCHED_NOTHING) {
		signal_trap(t, e->signal, e->code, e->address);
		return;
	}
	plat_user_regs(t->user, &r);
	r.orig_ax = r.ax;
	r.ip = r.cx = e->address + 2;
	r.r11 = r.flags;
	plat_user_set_regs(t->user, &r);
	call.nr = (unsigned int) r.ax;
	memcpy(call.args, (uint64_t[]){ r.di, r.si, r.dx, r.r10, r.r8, r.r9 }, sizeof(call.args));
	serve_call(t, &call);
}

static void serve_fault(struct task *t, const struct plat_event *e)
{
	/* Pages of a file that are not in memory yet are major: whoever fills them parks. */
	nsec_t left = t->fiber->left;
	enum space_fault r = space_fault(t->space, e->address, e->access);

	if (t->fiber->left != left)
		t->usage.major_faults++;
	else
		t->usage.minor_faults++;
	if (r == FAULT_MEMORY)
		oom_kill(t);
	else
		signal_page_fault(t, r, e->address, e->access);
}

/* Until its guest needs something. The time is the guest's for which the fiber had no carrier. */
static void run(struct task *t, struct plat_event *e)
{
	t->away_before = t->fiber->away;
	t->in_user = true;
	plat_user_run(t->user, e);
	t->in_user = false;
	if (t->comes_in) {
		t->comes_in = false;
		(void) waitq_wake(&came_in, 0, 0);
	}
	/* A signal may have woken the fiber meanwhile, which parked again: all its turns' pauses.
	 */
	t->usage.user += t->fiber->away - t->away_before;
}

static void serve(void *task)
{
	struct task *t = task;
	struct plat_event e;

	t->state = TASK_LIVE;
	for (;;) {
		settle(t);
		run(t, &e);
		switch (e.kind) {
		case PLAT_SYSCALL:
			if (e.site)
				space_patch(t->space, e.site, e.nr);
			serve_call(t, &e);
			break;
		case PLAT_FAULT:
			serve_fault(t, &e);
			break;
		case PLAT_TRAP:
			serve_trap(t, &e);
			break;
		case PLAT_KICKED:
			break;
		case PLAT_GONE:
			process_kill(t->process, SIGKILL);
			break;
		}
	}
}

int task_start(struct task *t)
{
	int r = sched_spawn(serve, t, &t->fiber);

	if (r == 0) {
		t->fiber->owner = t;
		/* What came before it ran. */
		signals_recalc(t);
	}
	return r;
}
