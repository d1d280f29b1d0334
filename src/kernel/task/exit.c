/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/task/exit.h"

#include <asm/signal.h>
#include <linux/poll.h>

#include "kernel/fs/tty.h"
#include "kernel/mm/space.h"
#include "kernel/mm/uio.h"
#include "kernel/task/clone.h"
#include "kernel/task/futex.h"
#include "kernel/task/hold.h"
#include "kernel/task/known.h"
#include "kernel/task/signal.h"
#include "kernel/task/task.h"
#include "kernel/task/trace.h"
#include "kernel/task/wait.h"

void task_leave_space(struct task *t)
{
	uva_t word = t->clear_child_tid;

	t->usage.most_resident = max_of(t->usage.most_resident, t->space->resident);
	if (t->robust_list.v)
		futex_robust_exit(t->space, t->robust_list, t->tid);
	t->robust_list = t->clear_child_tid = uva(0);
	/* Alone, nobody waits for it; a process that dumps its core keeps it, too. */
	if (word.v && t->space->owners > 1 && zero_out(t->space, word, sizeof(uint32_t)) == 0)
		(void) futex_wake(t->space, word, 1); /* a bad address is the guest's */
	vfork_done(t);
}

/* ---- children ---- */

/* Whose children they are from now on: the nearest subreaper, init, nobody. */
static struct process *reaper_of(const struct process *p)
{
	struct process *init = pid_space_init(p->id->space);

	for (struct process *q = p->parent; q; q = q->parent) {
		if (q->subreaper && !q->zombie)
			return q;
	}
	return init && init != p && !init->zombie ? init : NULL;
}

/* A zombie's parent learns of it, or there is none to. */
static void tell_end(struct process *p)
{
	int status = p->exit_status, killed = status & 0x7f;
	struct process *parent = p->parent;
	bool unwanted = !parent || (p->exit_signal == SIGCHLD && signals_no_zombies(parent));

	if (parent && p->exit_signal)
		signal_child(p, wait_code(status), killed ? killed : status >> 8);
	if (!parent && p->ended)
		p->ended(p, status, p->ended_arg);
	if (unwanted)
		process_free(p);
	if (parent)
		(void) waitq_wake(&parent->child_changed, 0, 0);
}

/* A group that nobody looks after any more, with stopped jobs in it: POSIX, _exit(). */
static void group_left(struct group *g, const struct process *but)
{
	bool stopped = false;

	if (!group_orphaned(g, but))
		return;
	list_each(l, &g->members)
	{
		const struct process *p = list_entry(l, struct process, in_group);

		stopped |= p != but && !p->zombie && process_stops(p);
	}
	if (stopped) {
		signal_group(g, SIGHUP);
		signal_group(g, SIGCONT);
	}
}

static void children_go(struct process *p)
{
	struct process *to = reaper_of(p);
	struct list *l;

	while ((l = list_pop(&p->children))) {
		struct process *child = list_entry(l, struct process, in_parent);
		struct group *g = child->group;

		child->parent = to;
		known_forget_process(child);
		child->parent_tid = to ? to->pid : 0;
		child->exit_signal = SIGCHLD;
		if (to)
			list_push(&to->children, l);
		if (g && g != p->group && p->group && g->session == p->group->session)
			group_left(g, NULL);
		if (child->zombie)
			tell_end(child);
	}
}

/* This thread's children have another one of its process as their maker. */
static void maker_ends(struct task *t)
{
	struct process *p = t->process;

	list_each_safe(l, &p->children)
	{
		struct process *child = list_entry(l, struct process, in_parent);

		if (child->parent_tid != t->tid)
			continue;
		if (!list_empty(&p->threads))
			child->parent_tid = task_of_list(p->threads.next)->tid;
		list_each_safe(m, &child->threads)
		{
			struct task *u = task_of_list(m);

			if (u->pdeath_signal)
				signal_process(child, u->pdeath_signal);
		}
	}
}

/* ---- processes ---- */

static bool childless(struct process *init)
{
	list_each_safe(l, &init->children)
	{
		struct process *p = list_entry(l, struct process, in_parent);

		if (p->zombie)
			process_free(p);
	}
	return list_empty(&init->children);
}

/* With init all others end, before it. */
static void end_all(struct process *init)
{
	uint64_t nr = 1;
	struct pid *p;

	for (; (p = pid_next(&nr)); nr++) {
		if (p->process && p->process != init)
			process_kill(p->process, SIGKILL);
	}
	(void) waitq_wait(&init->child_changed, childless(init), NSEC_NEVER, 0); /* cannot fail */
}

static void process_end(struct process *p)
{
	struct process *parent = p->parent;
	struct session *s = p->group->session;

	p->zombie = true;
	if (s->leader == p) {
		tty_leader_leaves(s, true);
		s->leader = NULL;
	}
	children_go(p);
	if (parent && parent->group && parent->group != p->group && parent->group->session == s)
		group_left(p->group, p);
	signals_end_process(p);
	(void) waitq_wake(&p->id->ended, POLLIN | POLLRDNORM, 0);
	tell_end(p);
}

/* ---- threads ---- */

void task_exit(struct task *t, int status)
{
	struct process *p = t->process;
	struct fiber *f = t->fiber;
	bool leads = t == p->leader;

	t->dying = true;
	if (leads && !p->exiting)
		p->exit_status = status;
	task_leave_space(t);
	task_release_parts(t);
	if (p->thread_count == 1 && p == pid_space_init(p->id->space))
		end_all(p);
	task_usage(t, &t->usage);
	usage_add(&p->dead, &t->usage);
	/* From here on nothing parks. */
	if (trace_watched())
		trace_end(t);
	list_remove(&t->in_process);
	p->thread_count--;
	t->state = TASK_ENDED;
	maker_ends(t);
	signals_end(t);
	t->fiber = NULL;
	f->owner = NULL;
	task_left();
	if (!leads)
		task_free(t);
	(void) waitq_wake(&p->threads_ended, 0, 0);
	if (p->thread_count == 0)
		process_end(p);
	fiber_exit();
}

void task_exit_group(struct task *t, int status)
{
	process_kill(t->process, status);
	task_exit(t, status);
}
