/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A terminal and the session that it controls know each other: the terminal by the session's
 * number, which stays nobody else's, and the session owns the terminal.
 */
#include <asm/ioctls.h>
#include <asm/signal.h>

#include "kernel/fs/tty.h"
#include "kernel/task/cred.h"
#include "kernel/task/signal.h"
#include "kernel/task/task.h"

static struct session *session_of(const struct tty *t)
{
	return t->session ? t->session->session : NULL;
}

void tty_signal_foreground(struct tty *t, int signal)
{
	if (t->foreground && t->foreground->group)
		signal_group(t->foreground->group, signal);
}

void tty_signal_leader(struct tty *t)
{
	const struct session *s = session_of(t);

	if (!s || !s->leader)
		return;
	signal_process(s->leader, SIGHUP);
	signal_process(s->leader, SIGCONT);
}

int tty_check(struct tty *t, int signal)
{
	struct task *self = this_task();
	struct process *p = self ? self->process : NULL;

	if (!p || process_tty(p) != t || !t->foreground || p->group->pid == t->foreground)
		return 0;
	if (signal_deaf(self, signal))
		return signal == SIGTTIN ? -EIO : 0;
	if (group_orphaned(p->group, NULL))
		return -EIO;
	signal_group(p->group, signal);
	return -ERESTARTSYS;
}

static void set_foreground(struct tty *t, struct pid *p)
{
	struct pid *old = t->foreground;

	if (p)
		pid_ref(p);
	t->foreground = p;
	if (old)
		pid_unref(old);
}

void tty_let_go(struct tty *t)
{
	struct session *s = session_of(t);
	struct pid *old = t->session;

	if (!old)
		return;
	if (s && s->tty == t)
		s->tty = NULL;
	t->session = NULL;
	set_foreground(t, NULL);
	pid_unref(old);
	tty_unref(t);
}

void tty_leader_leaves(struct session *s, bool exiting)
{
	struct tty *t = s->tty;

	if (!t)
		return;
	tty_signal_foreground(t, SIGHUP);
	if (!exiting)
		tty_signal_foreground(t, SIGCONT);
	tty_let_go(t);
}

void tty_control(struct tty *t, struct process *p)
{
	struct session *s = p->group->session;

	tty_let_go(t);
	t->session = s->pid;
	pid_ref(t->session);
	t->owners++;
	s->tty = t;
	p->no_tty = false;
	set_foreground(t, p->group->pid);
}

int tty_load_job(struct tty *t, uint32_t session, uint32_t foreground)
{
	struct pid *p = pid_find(session);
	struct session *s = p ? p->session : NULL;

	if (!s || !s->leader || s->tty || t->session)
		return -EBADMSG;
	t->session = p;
	pid_ref(p);
	t->owners++;
	s->tty = t;
	set_foreground(t, foreground ? pid_find(foreground) : NULL);
	return 0;
}

static bool leads(const struct process *p)
{
	return p->group && p->group->session->leader == p;
}

void tty_opened(struct tty *t)
{
	struct process *p = this_task() ? this_task()->process : NULL;

	if (p && leads(p) && !p->group->session->tty && !session_of(t))
		tty_control(t, p);
}

static int set_control(struct tty *t, uint64_t force)
{
	const struct task *self = this_task();
	struct process *p = self ? self->process : NULL;

	if (!p || !leads(p))
		return -EPERM;
	if (p->group->session->tty == t)
		return 0;
	if (p->group->session->tty)
		return -EPERM;
	if (session_of(t) && !(force == 1 && cred_can(self->cred, CAP_SYS_ADMIN)))
		return -EPERM;
	tty_control(t, p);
	return 0;
}

static int give_up(struct tty *t)
{
	struct process *p = this_task() ? this_task()->process : NULL;

	if (!p || process_tty(p) != t)
		return -ENOTTY;
	if (leads(p))
		tty_leader_leaves(p->group->session, false);
	p->no_tty = true;
	return 0;
}

static int set_group(struct tty *t, uint64_t arg, struct space *s)
{
	struct process *p = this_task() ? this_task()->process : NULL;
	struct pid *to;
	int32_t nr;
	int r = tty_check(t, SIGTTOU);

	if (r < 0)
		return r == -EIO ? -ENOTTY : r;
	if (!p || process_tty(p) != t)
		return -ENOTTY;
	if (copy_in(s, &nr, uva(arg), sizeof(nr)) < 0)
		return -EFAULT;
	if (nr < 0)
		return -EINVAL;
	to = pid_find(nr);
	if (!to || !to->group)
		return -ESRCH;
	if (to->group->session != p->group->session)
		return -EPERM;
	set_foreground(t, to);
	return 0;
}

sysret_t tty_job_ioctl(struct tty *t, bool master, unsigned int request, uint64_t arg,
		       struct space *s)
{
	const struct task *self = this_task();
	int32_t nr;

	switch (request) {
	case TIOCSCTTY:
		return set_control(t, arg);
	case TIOCNOTTY:
		return give_up(t);
	case TIOCSPGRP:
		return set_group(t, arg, s);
	case TIOCGPGRP:
	case TIOCGSID:
		if (!master && (!self || process_tty(self->process) != t))
			return -ENOTTY;
		if (request == TIOCGSID && !t->session)
			return -ENOTTY;
		nr = request == TIOCGSID ? (int32_t) t->session->nr
		     : t->foreground	 ? (int32_t) t->foreground->nr
					 : 0;
		return copy_out(s, uva(arg), &nr, sizeof(nr));
	default:
		return -ENOTTY;
	}
}
