/* SPDX-License-Identifier: Apache-2.0 */
/* Sending: what is ignored, what is queued where, and who is interrupted for it. */
#include <linux/audit.h>
#include <linux/poll.h>
#include <linux/signal.h>

#include "kernel/task/cred.h"
#include "kernel/task/signal.h"
#include "kernel/task/task.h"
#include "kernel/task/wait.h"

#define HANDLER_DFL ((uint64_t) 0)
#define HANDLER_IGN ((uint64_t) 1)
#define STOPS                                                                                      \
	(SIGNAL_BIT(SIGSTOP) | SIGNAL_BIT(SIGTSTP) | SIGNAL_BIT(SIGTTIN) | SIGNAL_BIT(SIGTTOU))

static struct signal_action *action_of(const struct task *t, int nr)
{
	return &t->handlers->actions[nr - 1];
}

/* One of p's threads that has all it needs, the leader if it lives; NULL: all are gone. */
static struct task *any_thread(const struct process *p)
{
	if (!p->signals || p->zombie)
		return NULL;
	if (p->leader && p->leader->signals)
		return p->leader;
	for (struct list *l = p->threads.next; l != &p->threads; l = l->next) {
		if (task_of_list(l)->signals)
			return task_of_list(l);
	}
	return NULL;
}

static bool ignored(const struct task *t, int nr, bool force)
{
	uint64_t handler = action_of(t, nr)->handler;

	/* What is blocked may have a handler by the time that it is not. */
	if ((t->signals->blocked | t->signals->awaited) & SIGNAL_BIT(nr))
		return false;
	if (t->process->signals->protected && handler == HANDLER_DFL &&
	    !(force && (nr == SIGKILL || nr == SIGSTOP)))
		return true;
	return handler == HANDLER_IGN || (handler == HANDLER_DFL && signal_ignored_by_default(nr));
}

static void flush_all(struct process *p, uint64_t set)
{
	signal_queue_flush(&p->signals->pending, set);
	list_each(l, &p->threads)
	{
		struct task *t = task_of_list(l);

		if (t->signals)
			signal_queue_flush(&t->signals->pending, set);
	}
}

/* SIGCONT: whatever becomes of it, the process goes on. */
static void go_on(struct process *p)
{
	struct process_signals *s = p->signals;

	flush_all(p, STOPS);
	if (!s->stopping)
		return;
	s->stopping = false;
	if (s->all_stopped) {
		s->all_stopped = false;
		process_continued(p);
		signal_child(p, CLD_CONTINUED, SIGCONT);
	}
	(void) waitq_wake(&s->go_on, 0, 0);
}

/* What a signal does by being sent; false: it is ignored. */
static bool prepare(struct task *t, int nr, bool force)
{
	struct process *p = t->process;

	if (p->exiting)
		return false;
	if (STOPS & SIGNAL_BIT(nr))
		flush_all(p, SIGNAL_BIT(SIGCONT));
	else if (nr == SIGCONT)
		go_on(p);
	return !ignored(t, nr, force);
}

static bool wants(const struct task *t, int nr)
{
	if (!t->signals || t->dying || t->signals->blocked & SIGNAL_BIT(nr))
		return false;
	if (nr == SIGKILL)
		return true;
	/* Who has one to take already looks for more. */
	return !t->signals->stopped && (!t->fiber || !t->fiber->interrupted);
}

/* It is in a queue: who shall take it. t: the one thread, or any of the process. */
static void notify(struct task *t, int nr, bool whole)
{
	struct process *p = t->process;
	struct task *who = wants(t, nr) ? t : NULL;

	(void) waitq_wake(&t->handlers->arrived, POLLIN | POLLRDNORM, 0);
	if (whole) {
		for (struct list *l = p->threads.next; !who && l != &p->threads; l = l->next) {
			if (wants(task_of_list(l), nr))
				who = task_of_list(l);
		}
	}
	if (!who)
		return;
	if (nr == SIGKILL ||
	    (action_of(who, nr)->handler == HANDLER_DFL && !p->signals->protected &&
	     !signal_ignored_by_default(nr) && !signal_stops_by_default(nr) &&
	     !(who->signals->awaited & SIGNAL_BIT(nr)))) {
		process_kill(p, nr);
		return;
	}
	task_interrupt(who);
}

static int send(struct task *t, bool whole, const struct signal_info *info, bool inside)
{
	struct signal_queue *q = whole ? &t->process->signals->pending : &t->signals->pending;
	uint64_t limit = process_limit(t->process, RLIMIT_SIGPENDING);
	struct signal_entry *e = NULL;

	if (!prepare(t, info->nr, !inside))
		return 0;
	if (info->nr < SIGRTMIN && q->set & SIGNAL_BIT(info->nr))
		return 0;
	/* A standard one that is no sigqueue's has its memory above the limit, too. */
	if (info->nr < SIGRTMIN && info->code >= 0)
		limit = UINT64_MAX;
	if (info->nr != SIGKILL) {
		e = signal_entry_new(t->cred->uid, limit);
		if (e)
			e->info = *info;
		else if (info->nr >= SIGRTMIN && info->code != SI_USER)
			return -EAGAIN;
	}
	signal_queue_put(q, info->nr, e);
	notify(t, info->nr, whole);
	return 0;
}

int signal_send_task(struct task *t, const struct signal_info *info, bool inside)
{
	return t->signals && t->process->signals ? send(t, false, info, inside) : 0;
}

int signal_send_process(struct process *p, const struct signal_info *info, bool inside)
{
	struct task *t = any_thread(p);

	return t ? send(t, true, info, inside) : 0;
}

bool signal_send_entry(struct process *p, struct task *t, struct signal_entry *e)
{
	bool whole = !t;
	int nr = e->info.nr;

	if (!list_empty(&e->link))
		return false;
	if (whole)
		t = any_thread(p);
	if (!t || !t->signals || !prepare(t, nr, false)) {
		e->taken(e, NULL);
		return true;
	}
	signal_queue_put(whole ? &p->signals->pending : &t->signals->pending, nr, e);
	notify(t, nr, whole);
	return true;
}

/* ---- by the kernel ---- */

static struct signal_info of_kernel(int nr)
{
	return (struct signal_info){ .nr = nr, .code = SI_KERNEL };
}

void signal_task(struct task *t, int nr)
{
	struct signal_info info = of_kernel(nr);

	(void) signal_send_task(t, &info, false); /* no code of sigqueue: it cannot fail */
}

void signal_process(struct process *p, int nr)
{
	struct signal_info info = of_kernel(nr);

	(void) signal_send_process(p, &info, false); /* as above */
}

void signal_group(struct group *g, int nr)
{
	list_each(l, &g->members) signal_process(list_entry(l, struct process, in_group), nr);
}

/* As signal_trap(), whatever is known of it. fatal: no handler counts. */
static void force(struct task *t, const struct signal_info *info, bool fatal)
{
	uint64_t bit = SIGNAL_BIT(info->nr);
	struct signal_action *a = action_of(t, info->nr);
	struct signal_entry *e;

	if (fatal || t->signals->blocked & bit || a->handler == HANDLER_IGN)
		a->handler = HANDLER_DFL;
	t->signals->blocked &= ~bit;
	if (a->handler == HANDLER_DFL)
		t->process->signals->protected = false;
	if (!(t->signals->pending.set & bit)) {
		e = signal_entry_new(t->cred->uid, UINT64_MAX);
		if (e)
			e->info = *info;
		signal_queue_put(&t->signals->pending, info->nr, e);
		(void) waitq_wake(&t->handlers->arrived, POLLIN | POLLRDNORM, 0);
	}
	signals_recalc(t);
}

void signal_trap(struct task *t, int nr, int code, uint64_t address)
{
	struct signal_info info = { .nr = nr, .code = code, .fault = { .address = address } };
	uint64_t vector = nr == SIGFPE	  ? 0
			  : nr == SIGTRAP ? 3
			  : nr == SIGILL  ? 6
			  : nr == SIGBUS  ? 17
					  : 13;

	t->signals->trap = (struct signal_trap){ .vector = vector };
	force(t, &info, false);
}

void signal_call(struct task *t, unsigned int nr, int32_t error, uint64_t at)
{
	struct signal_info info = {
		.nr = SIGSYS,
		.error = error,
		.code = SYS_SECCOMP,
		.call = { .address = at, .nr = (int32_t) nr, .arch = AUDIT_ARCH_X86_64 },
	};

	force(t, &info, false);
}

void signal_page_fault(struct task *t, enum space_fault what, uint64_t address, unsigned int access)
{
	struct signal_info info = {
		.nr = what == FAULT_BEHIND ? SIGBUS : SIGSEGV,
		.code = what == FAULT_BEHIND	? BUS_ADRERR
			: what == FAULT_NOTHING ? SEGV_MAPERR
						: SEGV_ACCERR,
		.fault = { .address = address },
	};

	if (what == FAULT_DONE)
		return;
	if (what == FAULT_MEMORY) {
		process_kill(t->process, SIGKILL);
		return;
	}
	/* Intel SDM 3, 4.7: from user mode, a page that is there, a write, a fetch. */
	t->signals->trap = (struct signal_trap){
		.vector = 14,
		.error = 4 | (what == FAULT_DENIED ? 1 : 0) | (access & PLAT_WRITE ? 2 : 0) |
			 (access & PLAT_EXEC ? 16 : 0),
		.address = address,
	};
	force(t, &info, false);
}

void signal_frame_failed(struct task *t, int nr)
{
	struct signal_info info = of_kernel(SIGSEGV);

	/* Of a guest that is gone the registers are zeros, where no stack is: not its fault. */
	if (plat_user_gone(t->user)) {
		process_kill(t->process, SIGKILL);
		return;
	}
	force(t, &info, nr == SIGSEGV);
}

/* ---- children ---- */

bool signals_no_zombies(const struct process *parent)
{
	const struct task *t = any_thread(parent);
	const struct signal_action *a = t ? action_of(t, SIGCHLD) : NULL;

	return a && (a->handler == HANDLER_IGN || a->flags & SA_NOCLDWAIT);
}

#define TICK (NSEC_PER_SEC / 100)

void signal_child(struct process *child, int code, int status)
{
	struct process *parent = child->parent;
	bool end = code == CLD_EXITED || code == CLD_KILLED || code == CLD_DUMPED;
	struct task *t = parent ? any_thread(parent) : NULL;
	struct signal_info info = {
		.nr = end ? child->exit_signal : SIGCHLD,
		.code = code,
		.child = {
			.pid = child->pid,
			.uid = child->leader ? child->leader->cred->uid : 0,
			.status = status,
			.user = child->dead.user / TICK,
			.system = child->dead.system / TICK,
		},
	};

	if (!t || info.nr == 0)
		return;
	if (info.nr == SIGCHLD && (action_of(t, SIGCHLD)->handler == HANDLER_IGN ||
				   (!end && action_of(t, SIGCHLD)->flags & SA_NOCLDSTOP)))
		return;
	(void) signal_send_process(parent, &info, false); /* no code of sigqueue: it cannot fail */
}

/* ---- stops ---- */

bool process_stops(const struct process *p)
{
	return p->signals && p->signals->all_stopped;
}

void signals_stop_check(struct process *p)
{
	struct process_signals *s = p->signals;
	bool some = false;

	if (!s->stopping || s->all_stopped)
		return;
	list_each(l, &p->threads)
	{
		const struct task *t = task_of_list(l);

		if (!t->signals)
			continue;
		if (!t->signals->stopped)
			return;
		some = true;
	}
	if (!some)
		return;
	s->all_stopped = true;
	process_stopped(p, s->stop_signal);
	signal_child(p, CLD_STOPPED, s->stop_signal);
}

void signals_forget(struct process *p, int nr)
{
	flush_all(p, SIGNAL_BIT(nr));
	list_each(l, &p->threads)
	{
		if (task_of_list(l)->signals)
			signals_recalc(task_of_list(l));
	}
}
