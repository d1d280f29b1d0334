/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/vfs/owner.h"

#include <asm/fcntl.h>
#include <asm/siginfo.h>
#include <asm/signal.h>
#include <linux/poll.h>

#include "kernel/core/heap.h"
#include "kernel/task/cred.h"
#include "kernel/task/pid.h"
#include "kernel/task/signal.h"
#include "kernel/task/task.h"
#include "kernel/vfs/file.h"

static struct heap_cache owners = HEAP_CACHE_INIT(struct file_owner);

int owner_of(struct file *f, struct file_owner **ret)
{
	struct file_owner *o = f->owner;

	if (!o) {
		o = heap_cache_alloc(&owners);
		if (!o)
			return -ENOMEM;
		o->file = f;
		f->owner = o;
	}
	*ret = o;
	return 0;
}

void owner_set(struct file_owner *o, struct pid *pid, int kind, const struct cred *who)
{
	if (pid)
		pid_ref(pid);
	if (o->pid)
		pid_unref(o->pid);
	o->pid = pid;
	o->kind = kind;
	o->uid = who->uid;
	o->euid = who->euid;
}

void owner_default(struct file_owner *o, struct task *t)
{
	if (!o->pid)
		owner_set(o, t->process->id, F_OWNER_PID, t->cred);
}

void owner_free(struct file *f)
{
	struct file_owner *o = f->owner;

	if (!o)
		return;
	if (o->async)
		waitq_remove(&o->waiter);
	if (o->pid)
		pid_unref(o->pid);
	f->owner = NULL;
	heap_cache_free(&owners, o);
}

/* ---- telling ---- */

/* Who named the owner may send it signals, as kill(2) has it. */
static bool may(const struct file_owner *o, const struct task *t)
{
	const struct cred *c = t->cred;

	return o->euid == 0 || o->euid == c->suid || o->euid == c->uid || o->uid == c->suid ||
	       o->uid == c->uid;
}

static void tell_task(const struct file_owner *o, struct task *t, const struct signal_info *info)
{
	if (!may(o, t))
		return;
	/* Where a real-time one has no room, SIGIO says that something was lost. */
	if (!o->nr || (o->kind == F_OWNER_TID ? signal_send_task(t, info, true)
					      : signal_send_process(t->process, info, true)) < 0)
		signal_process(t->process, SIGIO);
}

void owner_tell(const struct file_owner *o, int fd, int reason, unsigned int events)
{
	const struct signal_info info = { .nr = o->nr,
					  .code = reason,
					  .poll = { .band = events, .fd = fd } };

	if (!o->pid)
		return;
	if (o->kind == F_OWNER_TID) {
		if (o->pid->task)
			tell_task(o, o->pid->task, &info);
	} else if (o->kind == F_OWNER_PID) {
		if (o->pid->process && o->pid->process->leader)
			tell_task(o, o->pid->process->leader, &info);
	} else if (o->pid->group) {
		list_each(l, &o->pid->group->members)
		{
			struct process *p = list_entry(l, struct process, in_group);

			if (p->leader)
				tell_task(o, p->leader, &info);
		}
	}
}

/* ---- O_ASYNC ---- */

static bool became_ready(struct waiter *w, unsigned int events)
{
	const struct file_owner *o = container_of(w, struct file_owner, waiter);
	static const struct {
		unsigned int events;
		int reason;
	} reasons[] = { { POLLIN | POLLRDNORM, POLL_IN },
			{ POLLOUT | POLLWRNORM, POLL_OUT },
			{ POLLERR, POLL_ERR },
			{ POLLPRI, POLL_PRI },
			{ POLLHUP, POLL_HUP } };

	if (!events)
		events = o->file->ops->poll(o->file, NULL);
	/* A pipe's ends share a queue. */
	if (!file_can_read(o->file))
		events &= ~(unsigned int) (POLLIN | POLLRDNORM);
	if (!file_can_write(o->file))
		events &= ~(unsigned int) (POLLOUT | POLLWRNORM);
	for (size_t n = 0; n < countof(reasons); n++) {
		if (events & reasons[n].events) {
			owner_tell(o, o->fd, reasons[n].reason, events & reasons[n].events);
			break;
		}
	}
	return false; /* who waits by a call is woken all the same */
}

int owner_async(struct file *f, int fd, bool on)
{
	struct file_owner *o;
	int r;

	if (!f->ops->poll || on == !!(f->flags & FASYNC))
		return 0;
	r = owner_of(f, &o);
	if (r < 0)
		return r;
	o->fd = fd;
	if (on) {
		waiter_init(&o->waiter);
		o->waiter.notify = became_ready;
		(void) f->ops->poll(f, &o->waiter);
		f->flags |= FASYNC;
	} else {
		waitq_remove(&o->waiter);
		f->flags &= ~(unsigned int) FASYNC;
	}
	o->async = on;
	return 0;
}
