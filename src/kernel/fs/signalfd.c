/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/fs/signalfd.h"

#include <asm/fcntl.h>
#include <linux/poll.h>
#include <linux/signal.h>
#include <linux/signalfd.h>

#include "kernel/core/heap.h"
#include "kernel/fs/anon.h"
#include "kernel/task/signal.h"
#include "kernel/task/task.h"
#include "kernel/vfs/file.h"

#define READABLE (POLLIN | POLLRDNORM)

struct signalfd {
	uint64_t mask;
};

static struct heap_cache signalfds = HEAP_CACHE_INIT(struct signalfd);

/* Which members count depends on what sent it: signalfd(2). */
static void describe(struct signalfd_siginfo *to, const struct signal_info *i)
{
	*to = (struct signalfd_siginfo){
		.ssi_signo = (uint32_t) i->nr,
		.ssi_errno = i->error,
		.ssi_code = i->code,
	};
	if (i->code == SI_TIMER) {
		to->ssi_tid = (uint32_t) i->timer.id;
		to->ssi_overrun = (uint32_t) i->timer.overrun;
		to->ssi_ptr = i->timer.value;
		to->ssi_int = (int32_t) i->timer.value;
	} else if (i->code > 0 && i->code != SI_KERNEL && i->nr == SIGCHLD) {
		to->ssi_pid = i->child.pid;
		to->ssi_uid = i->child.uid;
		to->ssi_status = i->child.status;
		to->ssi_utime = (uint64_t) i->child.user;
		to->ssi_stime = (uint64_t) i->child.system;
	} else if (i->code > 0 && i->code != SI_KERNEL && i->nr == SIGPOLL) {
		to->ssi_band = (uint32_t) i->poll.band;
		to->ssi_fd = i->poll.fd;
	} else if (i->code > 0 && i->code != SI_KERNEL) {
		to->ssi_addr = i->fault.address;
	} else {
		to->ssi_pid = i->sent.pid;
		to->ssi_uid = i->sent.uid;
		to->ssi_ptr = i->sent.value;
		to->ssi_int = (int32_t) i->sent.value;
	}
}

static int64_t signal_read(struct file *f, struct uio *to, uint64_t *pos)
{
	const struct signalfd *s = f->own;
	struct task *t = this_task();
	struct signalfd_siginfo told;
	struct signal_info info;
	int64_t done = 0, n;

	(void) pos;
	if (to->left < sizeof(told) || !t)
		return -EINVAL;
	while (to->left >= sizeof(told)) {
		if (!signals_take(t, s->mask, &info)) {
			if (done > 0)
				break;
			if (f->flags & O_NONBLOCK)
				return -EAGAIN;
			n = waitq_wait(&t->handlers->arrived, signals_pending(t) & s->mask,
				       NSEC_NEVER, fiber_interrupted());
			if (n < 0)
				return n;
			continue;
		}
		describe(&told, &info);
		n = uio_out(to, &told, sizeof(told));
		if (n != sizeof(told))
			return done > 0 ? done : -EFAULT;
		done += n;
	}
	return done;
}

static unsigned int signal_poll(struct file *f, struct waiter *w)
{
	const struct signalfd *s = f->own;
	struct task *t = this_task();

	if (!t || !t->signals)
		return 0;
	if (w)
		waitq_add(&t->handlers->arrived, w);
	return signals_pending(t) & s->mask ? READABLE : 0;
}

static void signal_release(struct file *f)
{
	heap_cache_free(&signalfds, f->own);
}

static const struct file_ops ops = {
	.read = signal_read,
	.poll = signal_poll,
	.release = signal_release,
};

static uint64_t useful(uint64_t mask)
{
	return mask & ~(SIGNAL_BIT(SIGKILL) | SIGNAL_BIT(SIGSTOP));
}

int signalfd_make(uint64_t mask, unsigned int flags, const struct cred *who, struct file **ret)
{
	struct signalfd *s = heap_cache_alloc(&signalfds);
	struct inode *i = s ? anon_inode(0600, who) : NULL;
	int r = -ENOMEM;

	if (i) {
		s->mask = useful(mask);
		r = anon_file(i, "[signalfd]", &ops, O_RDWR | flags, s, ret);
	}
	inode_unref(i);
	if (r < 0)
		heap_cache_free(&signalfds, s);
	return r;
}

int signalfd_set(struct file *f, uint64_t mask)
{
	struct signalfd *s = f->own;
	struct task *t = this_task();

	if (f->ops != &ops)
		return -EINVAL;
	s->mask = useful(mask);
	/* Who waits may find something by the new one. */
	if (t && t->signals)
		(void) waitq_wake(&t->handlers->arrived, READABLE, 0);
	return 0;
}

bool signalfd_mask(const struct file *f, uint64_t *ret)
{
	if (f->ops != &ops)
		return false;
	*ret = ((const struct signalfd *) f->own)->mask;
	return true;
}
