/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/fs/pty.h"

#include <asm/fcntl.h>
#include <asm/ioctls.h>
#include <asm/signal.h>
#include <linux/poll.h>

#include "kernel/core/heap.h"
#include "kernel/fs/tty.h"
#include "kernel/task/cred.h"
#include "kernel/task/task.h"

static struct heap_cache ttys = HEAP_CACHE_INIT(struct tty);

static const struct file_ops master_ops, slave_ops;

/* What is opened is an end of this one, whatever is asked of others who open it. */
static struct {
	struct tty *tty; /* NULL: nothing is opened again */
	bool master;
} again;

void tty_unref(struct tty *t)
{
	if (--t->owners == 0)
		heap_cache_free(&ttys, t);
}

struct tty *file_tty(const struct file *f)
{
	return f->ops == &master_ops || f->ops == &slave_ops ? f->own : NULL;
}

/* ---- opening ---- */

static int make(uint64_t index, const struct cred *who, struct tty **ret)
{
	struct tty *t = heap_cache_alloc(&ttys);
	int r;

	if (!t)
		return -ENOMEM;
	tty_init(t);
	t->index = (uint32_t) index;
	r = devpts_add(t, who, &t->inode);
	if (r < 0) {
		heap_cache_free(&ttys, t);
		return r;
	}
	t->owners = 1;
	t->locked = true;
	*ret = t;
	return 0;
}

int ptmx_open(struct inode *i, struct file *f, unsigned int flags)
{
	struct tty *t = again.tty;
	uint64_t index;
	int r = 0;

	(void) i;
	(void) flags;
	if (t && (!again.master || t->master))
		return -EIO;
	if (!t && !devpts_free(&index))
		return -ENOSPC;
	if (t)
		t->owners++;
	else
		r = make(index, f->who, &t);
	if (r < 0)
		return r;
	t->master = true;
	f->ops = &master_ops;
	f->own = t;
	return 0;
}

static void attach(struct tty *t, struct file *f)
{
	t->owners++;
	t->slaves++;
	t->ever_open = true;
	f->ops = &slave_ops;
	f->own = t;
	(void) waitq_wake(&t->waiters, 0, 0);
}

static bool excluded(const struct tty *t, const struct file *f)
{
	return t->exclusive && t->slaves > 0 && !cred_can(f->who, CAP_SYS_ADMIN);
}

int pts_open(struct inode *i, struct file *f, unsigned int flags)
{
	uint64_t minor = (i->rdev & 0xff) | (i->rdev >> 12 & 0xfff00);
	struct tty *t = devpts_find(minor);

	if (again.tty && (again.master || again.tty != t))
		return -EIO;
	if (again.tty) {
		attach(t, f);
		return 0;
	}
	if (!t || t->locked)
		return -EIO;
	if (excluded(t, f))
		return -EBUSY;
	attach(t, f);
	if (!(flags & O_NOCTTY))
		tty_opened(t);
	return 0;
}

int tty_open(struct inode *i, struct file *f, unsigned int flags)
{
	struct tty *t = this_task() ? process_tty(this_task()->process) : NULL;

	(void) i;
	(void) flags;
	if (again.tty)
		t = again.master ? NULL : again.tty;
	if (!t)
		return -ENXIO;
	if (!again.tty && excluded(t, f))
		return -EBUSY;
	attach(t, f);
	return 0;
}

static void slave_release(struct file *f)
{
	struct tty *t = f->own;

	t->slaves--;
	(void) waitq_wake(&t->waiters, 0, 0);
	tty_unref(t);
}

/* The terminal is hung up: its programs read nothing any more. */
static void master_release(struct file *f)
{
	struct tty *t = f->own;
	struct inode *i = t->inode;

	devpts_remove(t);
	t->master = false;
	t->inode = NULL;
	inode_unref(i);
	tty_signal_leader(t);
	tty_let_go(t);
	(void) waitq_wake(&t->waiters, 0, 0);
	tty_unref(t);
}

/* ---- the master's bytes ---- */

static bool other_gone(const struct tty *t)
{
	return t->ever_open && t->slaves == 0;
}

static bool master_readable(const struct tty *t)
{
	return tty_out_used(t) > 0 || (t->packet && t->packet_status);
}

static int64_t master_take(struct tty *t, struct uio *to)
{
	unsigned char bytes[512];
	int64_t done = 0;

	if (t->packet) {
		bytes[0] = t->packet_status;
		t->packet_status = 0;
		done = uio_out(to, bytes, 1);
		if (done < 0 || bytes[0])
			return done;
	}
	while (to->left > 0 && tty_out_used(t) > 0) {
		size_t n = 0, most = (size_t) min_of(to->left, (uint64_t) sizeof(bytes));
		int64_t moved;

		while (n < most && tty_out_used(t) > 0)
			bytes[n++] = t->out[t->out_tail++ % TTY_OUT];
		moved = uio_out(to, bytes, n);
		if (moved < 0)
			return done ? done : moved;
		done += moved;
		if (moved < (int64_t) n)
			break;
	}
	return done;
}

static int64_t master_read(struct file *f, struct uio *to, uint64_t *pos)
{
	struct tty *t = f->own;
	int64_t n;
	int r;

	(void) pos;
	if (to->left == 0)
		return 0;
	while (!master_readable(t)) {
		if (other_gone(t))
			return -EIO;
		if (f->flags & O_NONBLOCK)
			return -EAGAIN;
		r = waitq_wait(&t->waiters, master_readable(t) || other_gone(t), NSEC_NEVER,
			       fiber_interrupted());
		if (r < 0)
			return r;
	}
	n = master_take(t, to);
	(void) waitq_wake(&t->waiters, POLLOUT | POLLWRNORM, 0);
	return n;
}

/* A part that there is room for; with `typing`, so that nobody else takes the room. */
static int64_t type_some(struct tty *t, struct file *f, struct uio *from)
{
	unsigned char bytes[256];
	size_t most;
	int64_t n;
	int r = 0;

	if (tty_room(t) == 0) {
		if (f->flags & O_NONBLOCK)
			return -EAGAIN;
		r = waitq_wait(&t->waiters, tty_room(t) > 0, NSEC_NEVER, fiber_interrupted());
	}
	if (r < 0)
		return r;
	most = min_of((size_t) tty_room(t), sizeof(bytes));
	n = uio_in(from, bytes, (size_t) min_of(from->left, (uint64_t) most));
	for (int64_t k = 0; k < n; k++)
		tty_receive(t, bytes[k]);
	return n;
}

static int64_t master_write(struct file *f, struct uio *from, uint64_t *pos)
{
	struct tty *t = f->own;
	int64_t done = 0, n = tty_take_turn(&t->typing, f);

	(void) pos;
	if (n < 0)
		return n;
	while (from->left > 0) {
		n = type_some(t, f, from);
		if (n < 0)
			break;
		done += n;
	}
	sleeplock_give(&t->typing);
	return done ? done : n;
}

static unsigned int master_poll(struct file *f, struct waiter *w)
{
	struct tty *t = f->own;
	unsigned int ready = 0;

	if (w)
		waitq_add(&t->waiters, w);
	ready |= master_readable(t) ? POLLIN | POLLRDNORM : 0u;
	ready |= t->packet && t->packet_status ? POLLPRI : 0u;
	ready |= other_gone(t) ? POLLHUP : 0u;
	ready |= tty_room(t) > 0 ? POLLOUT | POLLWRNORM : 0u;
	return ready;
}

/* ---- ioctls ---- */

static int64_t number_text(char to[static 12], uint32_t n)
{
	char digits[12];
	size_t d = 0, len = 0;

	do
		digits[d++] = (char) ('0' + n % 10);
	while (n /= 10);
	while (d > 0)
		to[len++] = digits[--d];
	to[len] = 0;
	return (int64_t) len;
}

int pty_open_slave(const struct file *master, unsigned int flags, const struct cred *who,
		   struct file **ret)
{
	const struct tty *t = master->own;
	struct path p = { .mount = master->path.mount };
	char name[12];
	size_t len = (size_t) number_text(name, t->index);
	int r;

	if (!t->inode || !p.mount || master->path.dentry->super != t->inode->super)
		return -EINVAL;
	r = dentry_lookup(master->path.dentry->super->root, name, len, &p.dentry);
	if (r < 0)
		return r;
	p.mount->owners++;
	r = file_open(&p, flags, who, ret);
	path_unref(&p);
	return r;
}

static sysret_t open_peer(struct file *f, uint64_t flags)
{
	struct task *self = this_task();
	struct file *peer;
	int r;

	if (!self)
		return -EINVAL;
	r = pty_open_slave(f,
			   (unsigned int) flags & (O_ACCMODE | O_NOCTTY | O_NONBLOCK | O_CLOEXEC),
			   self->cred, &peer);
	if (r < 0)
		return r;
	return descriptors_add(self->files, peer, flags & O_CLOEXEC, 0,
			       process_limit(self->process, RLIMIT_NOFILE));
}

static sysret_t master_ioctl(struct file *f, unsigned int request, uint64_t arg, struct space *s)
{
	struct tty *t = f->own;
	int32_t n = 0;

	switch (request) {
	case TIOCGPTN:
		n = (int32_t) t->index;
		break;
	case TIOCGPTLCK:
		n = t->locked;
		break;
	case TIOCGPKT:
		n = t->packet;
		break;
	case FIONREAD:
		n = (int32_t) tty_out_used(t);
		break;
	case TIOCSPTLCK:
	case TIOCPKT:
		if (copy_in(s, &n, uva(arg), sizeof(n)) < 0)
			return -EFAULT;
		if (request == TIOCSPTLCK) {
			t->locked = n != 0;
		} else if (t->packet != (n != 0)) {
			t->packet = n != 0;
			t->packet_status = 0;
		}
		return 0;
	case TIOCSIG:
		if (arg != SIGINT && arg != SIGQUIT && arg != SIGTSTP)
			return -EINVAL;
		tty_signal_foreground(t, (int) arg);
		return 0;
	case TIOCGPTPEER:
		return open_peer(f, arg);
	default:
		return tty_ioctl(t, true, request, arg, s);
	}
	return copy_out(s, uva(arg), &n, sizeof(n));
}

static sysret_t slave_ioctl(struct file *f, unsigned int request, uint64_t arg, struct space *s)
{
	struct tty *t = f->own;

	if (!t->master)
		return request == TIOCSPGRP ? -ENOTTY : -EIO;
	return tty_ioctl(t, false, request, arg, s);
}

static const struct file_ops master_ops = {
	.read = master_read,
	.write = master_write,
	.poll = master_poll,
	.ioctl = master_ioctl,
	.release = master_release,
};

static const struct file_ops slave_ops = {
	.read = tty_read,
	.write = tty_write,
	.poll = tty_poll,
	.ioctl = slave_ioctl,
	.release = slave_release,
};

/* ---- after a checkpoint ---- */

int pty_load(uint64_t index, const struct cred *who, struct tty **ret)
{
	return devpts_find(index) ? -EBADMSG : make(index, who, ret);
}

int pty_open_again(struct tty *t, bool master, const struct path *p, unsigned int flags,
		   const struct cred *who, struct file **ret)
{
	int r;

	again.tty = t;
	again.master = master;
	r = file_open(p, flags | O_NOCTTY, who, ret);
	again.tty = NULL;
	if (r == 0 && file_tty(*ret) == t)
		return 0;
	if (r == 0)
		file_unref(*ret);
	return r == -ENOMEM ? r : -EBADMSG;
}

bool file_is_pty_master(const struct file *f)
{
	return f->ops == &master_ops;
}

void pty_loaded(struct tty *t)
{
	struct inode *i = t->inode;

	if (!t->master && i) {
		devpts_remove(t);
		t->inode = NULL;
		inode_unref(i);
	}
	tty_unref(t);
}
