/* SPDX-License-Identifier: Apache-2.0 */
/* System V message queues. */
#include "kernel/ipc/msg.h"

#include "kernel/syscall/decode.h"

#define HEAD sizeof(int64_t) /* of struct msgbuf: the type */

sysret_t sys_msgget(struct task *t, const uint64_t *a)
{
	return msg_get(t, (int32_t) a[0], (int) a[1]);
}

sysret_t sys_msgsnd(struct task *t, const uint64_t *a)
{
	struct message *m;
	int64_t type;
	sysret_t r = copy_in(t->space, &type, uva(a[1]), sizeof(type));

	if (r < 0)
		return r;
	if (a[2] > msg_limits()->message || type < 1 || (int32_t) a[0] < 0)
		return -EINVAL;
	m = message_new((size_t) a[2]);
	if (!m)
		return -ENOMEM;
	m->type = type;
	r = copy_in(t->space, m->text, uva(a[1] + HEAD), m->len);
	if (r == 0)
		r = msg_send(t, (int32_t) a[0], m, (int) a[3]);
	if (r < 0)
		message_free(m);
	return r;
}

sysret_t sys_msgrcv(struct task *t, const uint64_t *a)
{
	struct message *m;
	sysret_t r = msg_receive(t, (int32_t) a[0], a[2], (int64_t) a[3], (int) a[4], &m);
	size_t n;

	if (r < 0)
		return r;
	/* What cannot be told is lost, as in Linux. */
	n = (size_t) min_of(a[2], (uint64_t) m->len);
	r = copy_out(t->space, uva(a[1]), &m->type, sizeof(m->type));
	if (r == 0)
		r = copy_out(t->space, uva(a[1] + HEAD), m->text, n);
	message_free(m);
	return r < 0 ? r : (sysret_t) n;
}

sysret_t sys_msgctl(struct task *t, const uint64_t *a)
{
	int32_t id = (int32_t) a[0];
	int how = (int) a[1];
	uva_t buf = uva(a[2]);
	struct msqid64_ds ds;
	struct msginfo info;
	sysret_t r;

	if (id < 0)
		return -EINVAL;
	switch (how) {
	case IPC_INFO:
	case MSG_INFO:
		r = msg_totals(&info, how == MSG_INFO);
		return struct_out(t, buf, &info, sizeof(info), r);
	case IPC_STAT:
	case MSG_STAT:
	case MSG_STAT_ANY:
		r = msg_stat(t, id, how, &ds);
		return r < 0 ? r : struct_out(t, buf, &ds, sizeof(ds), r);
	case IPC_SET:
		r = copy_in(t->space, &ds, buf, sizeof(ds));
		return r < 0 ? r : msg_set(t, id, &ds);
	case IPC_RMID:
		return msg_remove(t, id);
	default:
		return -EINVAL;
	}
}
