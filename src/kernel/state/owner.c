/* SPDX-License-Identifier: Apache-2.0 */
/* Who is told by signals of what happens to an open file (F_SETOWN, F_SETSIG, O_ASYNC). */
#include "kernel/vfs/owner.h"

#include <asm/fcntl.h>

#include "kernel/state/state.h"
#include "kernel/task/cred.h"
#include "kernel/task/pid.h"
#include "kernel/task/signal.h"
#include "kernel/vfs/file.h"

/* Its number, where anybody still has it. */
static uint32_t told(const struct pid *p)
{
	return p && (p->task || p->process || p->group) ? p->nr : 0;
}

void save_owners(struct state_save *s)
{
	const struct file *f;

	for (uint64_t nr = 0; (f = radix_next(&s->files, &nr)); nr++) {
		const struct file_owner *o = f->owner;

		if (!o)
			continue;
		out_number(s->out, 1);
		out_number(s->out, nr);
		out_number(s->out, told(o->pid));
		out_number(s->out, (uint64_t) o->kind);
		out_number(s->out, o->uid);
		out_number(s->out, o->euid);
		out_number(s->out, (uint64_t) o->nr);
		out_number(s->out, (uint32_t) o->fd);
		out_number(s->out, o->async);
	}
	out_number(s->out, 0);
}

void load_owners(struct state_load *l)
{
	while (in_flag(l->in)) {
		struct file *f = radix_get(&l->objects[STATE_FILE], in_number(l->in, UINT64_MAX));
		struct pid *pid = pid_find((int64_t) in_number(l->in, PID_MOST));
		int kind = (int) in_number(l->in, F_OWNER_PGRP), fd, nr;
		struct cred who = { .uid = (uint32_t) in_number(l->in, UINT32_MAX) };
		struct file_owner *o;

		who.euid = (uint32_t) in_number(l->in, UINT32_MAX);
		nr = (int) in_number(l->in, SIGNALS);
		fd = (int) (int32_t) in_number(l->in, UINT32_MAX);
		/* What is O_PATH tells of nothing. */
		if (!f || !f->ops)
			in_fail(l->in, -EBADMSG);
		if (l->in->error < 0)
			return;
		if (owner_of(f, &o) < 0) {
			in_fail(l->in, -ENOMEM);
			return;
		}
		owner_set(o, pid, kind, &who);
		o->nr = nr;
		o->fd = fd;
		if (in_flag(l->in) && owner_async(f, fd, true) < 0)
			in_fail(l->in, -ENOMEM);
	}
}
