/* SPDX-License-Identifier: Apache-2.0 */
/* POSIX message queues. */
#include "kernel/fs/mqueue.h"

#include <asm/fcntl.h>

#include "kernel/platform/platform.h"
#include "kernel/syscall/decode.h"
#include "kernel/task/signal_queue.h"

/* A name longer than all that can be is told so. */
static int64_t name_in(struct task *t, char name[static NAME_LONGEST + 1], uint64_t from)
{
	return copy_text(t->space, name, uva(from), NAME_LONGEST + 1);
}

sysret_t sys_mq_open(struct task *t, const uint64_t *a)
{
	unsigned int flags = (unsigned int) a[1];
	char name[NAME_LONGEST + 1];
	struct mq_attr attr;
	struct file *f;
	int64_t r = 0;

	if (a[3])
		r = copy_in(t->space, &attr, uva(a[3]), sizeof(attr));
	if (r == 0)
		r = name_in(t, name, a[0]);
	if (r >= 0)
		r = mqueue_open(t, name, flags, (uint32_t) a[2], a[3] ? &attr : NULL, &f);
	/* Descriptors of queues are always closed by execve(2). */
	return r < 0 ? r : fd_new(t, f, true);
}

sysret_t sys_mq_unlink(struct task *t, const uint64_t *a)
{
	char name[NAME_LONGEST + 1];
	int64_t r = name_in(t, name, a[0]);

	return r < 0 ? r : mqueue_unlink(t, name);
}

/* ---- messages ---- */

/* An absolute time of CLOCK_REALTIME, in PLAT_MONOTONIC's. */
static int deadline(struct task *t, uint64_t from, nsec_t *ret)
{
	nsec_t n;
	int r;

	*ret = NSEC_NEVER;
	if (!from)
		return 0;
	r = time_in(t, uva(from), &n);
	if (r == 0)
		*ret = max_of(n - (plat_now(PLAT_REALTIME) - plat_now(PLAT_MONOTONIC)), (nsec_t) 0);
	return r;
}

static sysret_t send(struct task *t, struct file *f, const uint64_t *a, nsec_t until)
{
	struct mqueue_message *m;
	uint64_t most;
	int r = mqueue_size(f, true, &most);

	if (r < 0)
		return r;
	if (a[2] > most)
		return -EMSGSIZE;
	m = mqueue_message_new((size_t) a[2]);
	if (!m)
		return -ENOMEM;
	m->priority = (uint32_t) a[3];
	r = copy_in(t->space, m->text, uva(a[1]), m->len);
	if (r == 0)
		r = mqueue_send(f, t, m, until);
	if (r < 0)
		mqueue_message_free(m);
	return r;
}

sysret_t sys_mq_timedsend(struct task *t, const uint64_t *a)
{
	auto_file struct file *f = NULL;
	nsec_t until;
	int r = deadline(t, a[4], &until);

	if (r == 0 && (uint32_t) a[3] >= MQ_PRIO_MAX)
		r = -EINVAL;
	if (r == 0)
		r = fd_file(t, a[0], &f);
	return r < 0 ? r : send(t, f, a, until);
}

static sysret_t receive(struct task *t, struct file *f, const uint64_t *a, nsec_t until)
{
	struct mqueue_message *m;
	uint64_t most;
	sysret_t n;
	int r = mqueue_size(f, false, &most);

	if (r < 0)
		return r;
	if (a[2] < most)
		return -EMSGSIZE;
	r = mqueue_receive(f, until, &m);
	if (r < 0)
		return r;
	/* What cannot be told is lost, as in Linux. */
	n = (sysret_t) m->len;
	r = copy_out(t->space, uva(a[1]), m->text, m->len);
	if (r == 0 && a[3])
		r = copy_out(t->space, uva(a[3]), &m->priority, sizeof(m->priority));
	mqueue_message_free(m);
	return r < 0 ? r : n;
}

sysret_t sys_mq_timedreceive(struct task *t, const uint64_t *a)
{
	auto_file struct file *f = NULL;
	nsec_t until;
	int r = deadline(t, a[4], &until);

	if (r == 0)
		r = fd_file(t, a[0], &f);
	return r < 0 ? r : receive(t, f, a, until);
}

/* ---- the rest ---- */

/* struct sigevent of 64 bits, as far as anything here needs it. */
struct event {
	uint64_t value;
	int32_t nr, notify;
	uint64_t rest[6];
};
enum { NOTIFY_BY_SIGNAL, NOTIFY_NOT_AT_ALL }; /* SIGEV_SIGNAL, SIGEV_NONE */

sysret_t sys_mq_notify(struct task *t, const uint64_t *a)
{
	auto_file struct file *f = NULL;
	struct event e = {};
	int r = a[1] ? copy_in(t->space, &e, uva(a[1]), sizeof(e)) : 0;

	/* SIGEV_THREAD tells through a netlink socket, and there are none. */
	if (r == 0 && e.notify != NOTIFY_BY_SIGNAL && e.notify != NOTIFY_NOT_AT_ALL)
		r = -EINVAL;
	if (r == 0 && e.notify == NOTIFY_BY_SIGNAL && (e.nr < 0 || e.nr > SIGNALS))
		r = -EINVAL;
	if (r == 0)
		r = fd_file(t, a[0], &f);
	if (r < 0)
		return r;
	if (!a[1])
		return mqueue_unnotify(f, t);
	return mqueue_notify(f, t, e.notify == NOTIFY_BY_SIGNAL ? e.nr : 0, e.value);
}

sysret_t sys_mq_getsetattr(struct task *t, const uint64_t *a)
{
	auto_file struct file *f = NULL;
	struct mq_attr new = {}, old;
	int r = a[1] ? copy_in(t->space, &new, uva(a[1]), sizeof(new)) : 0;

	if (r == 0 && new.mq_flags & ~(long) O_NONBLOCK)
		r = -EINVAL;
	if (r == 0)
		r = fd_file(t, a[0], &f);
	if (r == 0)
		r = mqueue_attr(f, &old);
	if (r < 0)
		return r;
	if (a[1])
		f->flags = (f->flags & ~(unsigned int) O_NONBLOCK) | (unsigned int) new.mq_flags;
	return a[2] ? copy_out(t->space, uva(a[2]), &old, sizeof(old)) : 0;
}
