/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/syscall/owners.h"

#include <asm/fcntl.h>

#include "kernel/fs/dnotify.h"
#include "kernel/syscall/decode.h"
#include "kernel/task/cred.h"
#include "kernel/task/signal_queue.h"
#include "kernel/vfs/owner.h"

/* id 0: nobody. */
static sysret_t set(struct task *t, struct file *f, int kind, int64_t id)
{
	struct file_owner *o;
	struct pid *p = NULL;
	int r;

	if (id != 0) {
		p = id > 0 ? pid_find(id) : NULL;
		if (!p || (kind == F_OWNER_TID	 ? !p->task
			   : kind == F_OWNER_PID ? !p->process
						 : !p->group))
			return -ESRCH;
	}
	r = owner_of(f, &o);
	if (r == 0)
		owner_set(o, p, kind, t->cred);
	return r;
}

static bool lives(const struct file_owner *o)
{
	return o && o->pid &&
	       (o->kind == F_OWNER_TID	 ? o->pid->task != NULL
		: o->kind == F_OWNER_PID ? o->pid->process != NULL
					 : o->pid->group != NULL);
}

static sysret_t set_ex(struct task *t, struct file *f, uva_t from)
{
	struct f_owner_ex x;
	int r = copy_in(t->space, &x, from, sizeof(x));

	if (r < 0)
		return r;
	if (x.type != F_OWNER_TID && x.type != F_OWNER_PID && x.type != F_OWNER_PGRP)
		return -EINVAL;
	return set(t, f, x.type, x.pid);
}

static sysret_t get_ex(struct task *t, const struct file_owner *o, uva_t to)
{
	const struct f_owner_ex x = { .type = o ? o->kind : F_OWNER_TID,
				      .pid = lives(o) ? (int) o->pid->nr : 0 };

	return copy_out(t->space, to, &x, sizeof(x));
}

static sysret_t set_signal(struct file *f, uint64_t nr)
{
	struct file_owner *o;
	int r;

	if (nr > SIGNALS)
		return -EINVAL;
	r = owner_of(f, &o);
	if (r == 0)
		o->nr = (int) nr;
	return r;
}

sysret_t owner_call(struct task *t, struct file *f, unsigned int command, uint64_t arg)
{
	const struct file_owner *o = f->owner;
	uint32_t uids[2] = {};
	int64_t id = (int32_t) arg;

	switch (command) {
	case F_SETOWN:
		/* A group is a negative number. */
		if (id == INT32_MIN)
			return -EINVAL;
		return id < 0 ? set(t, f, F_OWNER_PGRP, -id) : set(t, f, F_OWNER_PID, id);
	case F_GETOWN:
		if (!lives(o))
			return 0;
		return o->kind == F_OWNER_PGRP ? -(sysret_t) o->pid->nr : (sysret_t) o->pid->nr;
	case F_SETOWN_EX:
		return set_ex(t, f, uva(arg));
	case F_GETOWN_EX:
		return get_ex(t, o, uva(arg));
	case F_GETOWNER_UIDS:
		if (o) {
			uids[0] = o->uid;
			uids[1] = o->euid;
		}
		return copy_out(t->space, uva(arg), uids, sizeof(uids));
	case F_SETSIG:
		return set_signal(f, arg);
	case F_GETSIG:
		return o ? o->nr : 0;
	default:
		return -EINVAL;
	}
}

sysret_t notify_call(struct task *t, struct file *f, const uint64_t *a)
{
	int r = dnotify_set(f, t->files, (int) a[0], (uint32_t) a[2]);

	if (r == 0 && f->owner)
		owner_default(f->owner, t);
	return r;
}
