/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of signals before the guest goes on: handlers, stops, ends. */
#include <asm/unistd_64.h>
#include <linux/signal.h>

#include "kernel/task/hold.h"
#include "kernel/task/signal.h"
#include "kernel/task/signal_frame.h"
#include "kernel/task/task.h"
#include "kernel/task/trace.h"

#define HANDLER_DFL ((uint64_t) 0)
#define HANDLER_IGN ((uint64_t) 1)

/* t parks until the process goes on or ends. */
static void stop_here(struct task *t)
{
	struct process_signals *s = t->process->signals;

	t->signals->stopped = true;
	signals_stop_check(t->process);
	(void) waitq_wait(&s->go_on, !s->stopping || t->dying || tasks_are_held(), NSEC_NEVER,
			  0); /* no end but that */
	t->signals->stopped = false;
}

static void begin_stop(struct process *p, int nr)
{
	if (p->signals->stopping)
		return;
	p->signals->stopping = true;
	p->signals->stop_signal = nr;
	list_each(l, &p->threads)
	{
		if (task_of_list(l)->signals)
			task_interrupt(task_of_list(l));
	}
}

static void by_default(struct task *t, int nr)
{
	struct process *p = t->process;

	if (signal_ignored_by_default(nr) || (p->signals->protected && nr != SIGSTOP))
		return;
	if (!signal_stops_by_default(nr))
		process_kill(p, nr);
	/* POSIX: nobody could let an orphaned group go on. */
	else if (nr == SIGSTOP || !group_orphaned(p->group, NULL))
		begin_stop(p, nr);
}

/* What the call that the signal came into gives the handler's program. */
static void end_call(struct task *t, struct plat_regs *regs, bool restarts)
{
	sysret_t r = t->call.result;

	if (!t->call.in)
		return;
	t->call.in = false;
	if ((r == -ERESTARTSYS && !restarts) || r == -ERESTARTNOHAND ||
	    r == -ERESTART_RESTARTBLOCK) {
		regs->ax = (uint64_t) -EINTR;
	} else if (r == -ERESTARTSYS || r == -ERESTARTNOINTR) {
		/* The instruction is two bytes long. */
		regs->ax = t->call.nr;
		regs->ip -= 2;
	}
}

static void handle(struct task *t, const struct signal_info *info)
{
	struct task_signals *s = t->signals;
	struct signal_action *a = &t->handlers->actions[info->nr - 1], was = *a;
	struct plat_regs regs;
	int r;

	if (a->flags & SA_RESETHAND)
		a->handler = HANDLER_DFL;
	plat_user_regs(t->user, &regs);
	end_call(t, &regs, was.flags & SA_RESTART);
	r = signal_frame_push(t, &was, info, s->put_back ? s->saved : s->blocked, &regs);
	plat_user_set_regs(t->user, &regs);
	if (r < 0) {
		signal_frame_failed(t, info->nr);
		return;
	}
	s->put_back = false;
	if (s->stack.flags & SS_AUTODISARM)
		s->stack = (struct signal_stack){ .flags = SS_DISABLE };
	signals_block(t,
		      s->blocked | was.mask | (was.flags & SA_NODEFER ? 0 : SIGNAL_BIT(info->nr)));
}

void signals_deliver(struct task *t)
{
	struct task_signals *s = t->signals;
	struct signal_info info;

	while (!t->dying) {
		if (tasks_are_held()) {
			task_stand(t);
		} else if (t->process->signals->stopping) {
			stop_here(t);
		} else if (signals_take(t, ~s->blocked, &info)) {
			uint64_t handler = t->handlers->actions[info.nr - 1].handler;

			if (trace_watched())
				trace_signal(t, &info);
			if (handler == HANDLER_DFL)
				by_default(t, info.nr);
			else if (handler != HANDLER_IGN)
				handle(t, &info);
		} else if (s->put_back) {
			signals_call_over(t, false);
		} else {
			break;
		}
	}
	if (t->call.in && t->call.result == -ERESTART_RESTARTBLOCK)
		t->call.nr = __NR_restart_syscall;
	signals_recalc(t);
}
