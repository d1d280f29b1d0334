/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/task/wait.h"

#include <asm-generic/siginfo.h>
#include <asm/signal.h>
#include <linux/wait.h>

#include "kernel/mm/space.h"
#include "kernel/task/cred.h"

/* ---- what was used ---- */

void usage_add(struct task_usage *to, const struct task_usage *more)
{
	to->user += more->user;
	to->system += more->system;
	to->minor_faults += more->minor_faults;
	to->major_faults += more->major_faults;
	to->switches += more->switches;
	to->preempted += more->preempted;
	to->read += more->read;
	to->written += more->written;
	to->reads += more->reads;
	to->writes += more->writes;
	to->most_resident = max_of(to->most_resident, more->most_resident);
}

void task_usage(const struct task *t, struct task_usage *ret)
{
	*ret = t->usage;
	if (!t->fiber)
		return;
	ret->system += fiber_ran(t->fiber);
	/* It gave its carrier away as it went to its guest. */
	if (t->in_user && t->fiber != fiber_now())
		ret->user += t->fiber->away - t->away_before + plat_now(PLAT_MONOTONIC) -
			     t->fiber->left;
	if (t->space)
		ret->most_resident = max_of(ret->most_resident, t->space->resident);
}

void process_usage(const struct process *p, struct task_usage *ret)
{
	*ret = p->dead;
	list_each(l, (struct list *) (uintptr_t) &p->threads)
	{
		struct task_usage one;

		task_usage(task_of_list(l), &one);
		usage_add(ret, &one);
	}
}

/* ---- waiting ---- */

int wait_code(int status)
{
	return status & 0x80 ? CLD_DUMPED : status & 0x7f ? CLD_KILLED : CLD_EXITED;
}

static bool asked_for(const struct task *t, const struct wait_request *q, const struct process *p)
{
	bool clone = p->exit_signal != SIGCHLD;

	switch (q->kind) {
	case P_PID:
		if (q->pid ? p->id != q->pid : (int64_t) p->pid != q->id)
			return false;
		break;
	case P_PGID:
		if (!p->group ||
		    (q->id ? (int64_t) p->group->pid->nr != q->id : p->group != t->process->group))
			return false;
		break;
	default:
		break;
	}
	if (q->options & __WNOTHREAD && p->parent_tid != t->tid)
		return false;
	return q->options & __WALL || clone == !!(q->options & __WCLONE);
}

static void about(const struct process *p, struct wait_result *ret)
{
	*ret = (struct wait_result){ .pid = p->pid, .uid = p->leader->cred->uid };
	process_usage(p, &ret->usage);
	usage_add(&ret->usage, &p->children_usage);
}

/* Whether p has to tell what is asked for; then it is told. */
static bool tells(struct process *p, const struct wait_request *q, struct process *parent,
		  struct wait_result *ret)
{
	bool keep = q->options & WNOWAIT;

	if (p->zombie) {
		if (!(q->options & WEXITED))
			return false;
		about(p, ret);
		ret->status = p->exit_status;
		ret->code = wait_code(p->exit_status);
		ret->value = p->exit_status & 0x7f ? p->exit_status & 0x7f : p->exit_status >> 8;
		if (!keep) {
			usage_add(&parent->children_usage, &ret->usage);
			process_free(p);
		}
		return true;
	}
	if (p->stop == STOP_STOPPED && q->options & WSTOPPED) {
		about(p, ret);
		ret->status = p->stop_signal << 8 | 0x7f;
		ret->code = CLD_STOPPED;
		ret->value = p->stop_signal;
	} else if (p->stop == STOP_CONTINUED && q->options & WCONTINUED) {
		about(p, ret);
		ret->status = 0xffff;
		ret->code = CLD_CONTINUED;
		ret->value = SIGCONT;
	} else {
		return false;
	}
	if (!keep)
		p->stop = STOP_NONE;
	return true;
}

/* A child's number, 0: none has anything to tell, -ECHILD: none could. */
static sysret_t look(struct task *t, const struct wait_request *q, struct wait_result *ret)
{
	sysret_t r = -ECHILD;

	list_each_safe(l, &t->process->children)
	{
		struct process *p = list_entry(l, struct process, in_parent);

		if (!asked_for(t, q, p))
			continue;
		if (tells(p, q, t->process, ret))
			return ret->pid;
		r = 0;
	}
	return r;
}

sysret_t task_wait(struct task *t, const struct wait_request *q, struct wait_result *ret)
{
	sysret_t r = 0;
	int stopped;

	if (q->options & ~(unsigned int) (WNOHANG | WNOWAIT | WEXITED | WSTOPPED | WCONTINUED |
					  __WNOTHREAD | __WCLONE | __WALL) ||
	    !(q->options & (WEXITED | WSTOPPED | WCONTINUED)) ||
	    (q->kind != P_ALL && q->kind != P_PID && q->kind != P_PGID))
		return -EINVAL;
	stopped = waitq_wait(&t->process->child_changed,
			     (r = look(t, q, ret)) != 0 || q->options & WNOHANG, NSEC_NEVER,
			     fiber_interrupted());
	return stopped < 0 ? stopped : r;
}

void process_stopped(struct process *p, int signal)
{
	p->stop = STOP_STOPPED;
	p->stop_signal = signal;
	if (p->parent)
		(void) waitq_wake(&p->parent->child_changed, 0, 0);
}

void process_continued(struct process *p)
{
	p->stop = STOP_CONTINUED;
	if (p->parent)
		(void) waitq_wake(&p->parent->child_changed, 0, 0);
}
