/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/fs/pipe.h"

#include <asm/fcntl.h>
#include <asm/ioctls.h>
#include <linux/limits.h>
#include <linux/poll.h>

#include "kernel/core/heap.h"
#include "kernel/fs/anon.h"
#include "kernel/fs/pipe_ring.h"
#include "kernel/platform/platform.h"
#include "kernel/vfs/file.h"

static struct heap_cache pipes = HEAP_CACHE_INIT(struct pipe);

static struct pipe *pipe_new(void)
{
	struct pipe *p = heap_cache_alloc(&pipes);

	if (!p)
		return NULL;
	p->slots = PIPE_SIZE >> PAGE_SHIFT;
	p->ring = heap_alloc(p->slots * sizeof(*p->ring));
	if (!p->ring) {
		heap_cache_free(&pipes, p);
		return NULL;
	}
	waitq_init(&p->waiters);
	sleeplock_init(&p->reading);
	sleeplock_init(&p->writing);
	return p;
}

void pipe_drop_first(struct pipe *p)
{
	struct slot *s = pipe_slot(p, 0);

	heap_free(s->page);
	*s = (struct slot){};
	p->head = (p->head + 1) % p->slots;
	p->used--;
}

static void pipe_unref(struct pipe *p)
{
	if (--p->owners > 0)
		return;
	while (p->used > 0)
		pipe_drop_first(p);
	heap_free(p->ring);
	heap_cache_free(&pipes, p);
}

/* ---- reading ---- */

static int wait_for_bytes(struct file *f, struct pipe *p)
{
	if (f->flags & O_NONBLOCK)
		return -EAGAIN;
	return waitq_wait(&p->waiters, p->used > 0 || p->writers == 0, NSEC_NEVER,
			  fiber_interrupted());
}

/* What is there; with `reading`. */
static int64_t take(struct pipe *p, struct uio *to)
{
	int64_t done = 0;

	while (p->used > 0 && to->left > 0) {
		const struct slot first = *pipe_slot(p, 0);
		size_t part = (size_t) min_of((uint64_t) first.len, to->left);
		int64_t n = uio_out(to, first.page + first.off, part);
		struct slot *s = pipe_slot(p, 0);

		if (n < 0)
			return done ? done : n;
		s->off += (uint32_t) n;
		s->len -= (uint32_t) n;
		done += n;
		if (s->len == 0 || s->packet)
			pipe_drop_first(p);
		if (first.packet || n < (int64_t) part)
			break;
	}
	return done;
}

static int64_t pipe_read(struct file *f, struct uio *to, uint64_t *pos)
{
	struct pipe *p = f->own;
	int64_t done = 0;

	(void) pos;
	if (to->left == 0)
		return 0;
	for (;;) {
		int r;

		sleeplock_take(&p->reading);
		if (p->used > 0)
			done = take(p, to);
		sleeplock_give(&p->reading);
		if (done != 0)
			break;
		if (p->used > 0)
			continue;
		if (p->writers == 0)
			return 0;
		r = wait_for_bytes(f, p);
		if (r < 0)
			return r;
	}
	(void) waitq_wake(&p->waiters, WRITABLE, 1);
	return done;
}

/* ---- writing ---- */

static bool has_room(const struct pipe *p, size_t n)
{
	size_t free_bytes = (p->slots - p->used) << PAGE_SHIFT;

	if (p->used > 0) {
		const struct slot *last = pipe_slot(p, p->used - 1);

		if (!last->packet)
			free_bytes += PAGE_SIZE - last->off - last->len;
	}
	return free_bytes >= n;
}

/* How much fits in one piece: a page, or what is left of the last one. */
static size_t piece_room(const struct pipe *p)
{
	const struct slot *last = p->used > 0 ? pipe_slot(p, p->used - 1) : NULL;

	if (p->used < p->slots)
		return PAGE_SIZE;
	return last && !last->packet ? PAGE_SIZE - last->off - last->len : 0;
}

void pipe_append(struct pipe *p, char *page, const char *bytes, size_t n, bool packet)
{
	struct slot *last = p->used > 0 ? pipe_slot(p, p->used - 1) : NULL;

	if (last && !last->packet && !packet && PAGE_SIZE - last->off - last->len >= n) {
		memcpy(last->page + last->off + last->len, bytes, n);
		last->len += (uint32_t) n;
		heap_free(page);
		return;
	}
	if (p->used == p->slots)
		plat_panic("pipe: more than there is room for");
	*pipe_slot(p, p->used++) =
		(struct slot){ .page = page, .len = (uint32_t) n, .packet = packet };
}

/* As much as there is room for; all of it where it is to be whole. 0: no room. With `writing`. */
static int64_t put(const struct file *f, struct pipe *p, struct uio *from)
{
	bool packet = f->flags & O_DIRECT;
	size_t whole = from->left <= PIPE_BUF ? (size_t) from->left : 1;
	int64_t done = 0;

	if (!has_room(p, whole))
		return 0;
	while (from->left > 0) {
		size_t part = min_of(piece_room(p), (size_t) from->left);
		char *page;
		int64_t n;

		if (part == 0 || (packet && p->used == p->slots))
			break;
		page = heap_alloc(PAGE_SIZE);
		n = page ? uio_in(from, page, part) : -ENOMEM;
		if (n <= 0) {
			heap_free(page);
			return done ? done : n;
		}
		pipe_append(p, page, page, (size_t) n, packet);
		done += n;
		if (n < (int64_t) part)
			break;
	}
	return done;
}

static int64_t pipe_write(struct file *f, struct uio *from, uint64_t *pos)
{
	struct pipe *p = f->own;
	int64_t done = 0, r = 0;

	(void) pos;
	while (from->left > 0 && r == 0) {
		size_t whole = from->left <= PIPE_BUF ? (size_t) from->left : 1;

		if (p->readers == 0) {
			r = -EPIPE;
			break;
		}
		sleeplock_take(&p->writing);
		r = put(f, p, from);
		sleeplock_give(&p->writing);
		if (r > 0) {
			done += r;
			r = 0;
			(void) waitq_wake(&p->waiters, READABLE, 1);
		} else if (r == 0 && f->flags & O_NONBLOCK) {
			r = -EAGAIN;
		} else if (r == 0) {
			r = waitq_wait(&p->waiters, has_room(p, whole) || p->readers == 0,
				       NSEC_NEVER, fiber_interrupted());
		}
	}
	return done ? done : r;
}

/* ---- the rest ---- */

static unsigned int pipe_poll(struct file *f, struct waiter *w)
{
	struct pipe *p = f->own;
	unsigned int ready = 0;

	if (w)
		waitq_add(&p->waiters, w);
	if (file_can_read(f)) {
		ready |= p->used > 0 ? READABLE : 0u;
		ready |= p->writers == 0 && p->write_opens > 0 ? POLLHUP : 0u;
	}
	if (file_can_write(f)) {
		ready |= has_room(p, PIPE_BUF) ? WRITABLE : 0u;
		ready |= p->readers == 0 ? POLLERR : 0u;
	}
	return ready;
}

static sysret_t pipe_ioctl(struct file *f, unsigned int request, uint64_t arg, struct space *s)
{
	struct pipe *p = f->own;
	int32_t bytes = 0;

	if (request != FIONREAD)
		return -ENOTTY;
	for (size_t n = 0; n < p->used; n++)
		bytes += (int32_t) pipe_slot(p, n)->len;
	return copy_out(s, uva(arg), &bytes, sizeof(bytes));
}

static void pipe_release(struct file *f)
{
	struct pipe *p = f->own;

	if (file_can_read(f))
		p->readers--;
	if (file_can_write(f))
		p->writers--;
	(void) waitq_wake(&p->waiters, 0, 0);
	/* A FIFO that nobody has open is empty, and its inode knows of none. */
	if (p->readers + p->writers == 0 && f->inode->own == p) {
		f->inode->own = NULL;
		p->owners--;
	}
	pipe_unref(p);
}

static const struct file_ops ops = {
	.read = pipe_read,
	.write = pipe_write,
	.poll = pipe_poll,
	.ioctl = pipe_ioctl,
	.release = pipe_release,
	.breaks = true,
};

static void attach(struct pipe *p, const struct file *f)
{
	p->owners++;
	if (file_can_read(f)) {
		p->readers++;
		p->read_opens++;
	}
	if (file_can_write(f)) {
		p->writers++;
		p->write_opens++;
	}
}

int pipe_make(unsigned int flags, const struct cred *who, struct file **ret_read,
	      struct file **ret_write)
{
	struct inode *i = anon_inode(S_IFIFO | 0600, who);
	struct pipe *p = i ? pipe_new() : NULL;
	struct file *in = NULL, *out;
	int r = p ? anon_file(i, "pipe", &ops, O_RDONLY | flags, p, &in) : -ENOMEM;

	if (r == 0) {
		attach(p, in);
		r = anon_file(i, "pipe", &ops, O_WRONLY | flags, p, &out);
		if (r < 0)
			file_unref(in);
	} else if (p) {
		p->owners = 1;
		pipe_unref(p);
	}
	inode_unref(i);
	if (r < 0)
		return r;
	attach(p, out);
	/* Opened again, by /proc/PID/fd, it is the same pipe. */
	p->nameless = true;
	out->inode->own = p;
	p->owners++;
	*ret_read = in;
	*ret_write = out;
	return 0;
}

int fifo_open(struct inode *i, struct file *f)
{
	unsigned int mode = f->flags & O_ACCMODE;
	struct pipe *p = i->own;
	uint64_t seen;
	int r = 0;

	if (!p) {
		p = pipe_new();
		if (!p)
			return -ENOMEM;
		p->owners = 1;
		i->own = p;
	}
	if (mode == O_WRONLY && f->flags & O_NONBLOCK && p->readers == 0 && !p->nameless) {
		if (p->owners == 1) {
			i->own = NULL;
			pipe_unref(p);
		}
		return -ENXIO;
	}
	f->ops = &ops;
	f->own = p;
	attach(p, f);
	(void) waitq_wake(&p->waiters, 0, 0);
	if (f->flags & O_NONBLOCK || p->nameless)
		return 0;
	/* One that came and went meanwhile is the other side, too. */
	if (mode == O_RDONLY && p->writers == 0) {
		seen = p->write_opens;
		r = waitq_wait(&p->waiters, p->write_opens != seen, NSEC_NEVER,
			       fiber_interrupted());
	} else if (mode == O_WRONLY && p->readers == 0) {
		seen = p->read_opens;
		r = waitq_wait(&p->waiters, p->read_opens != seen, NSEC_NEVER, fiber_interrupted());
	}
	if (r < 0)
		pipe_release(f);
	return r;
}

bool file_is_pipe(const struct file *f)
{
	return f->ops == &ops;
}

size_t pipe_size(const struct file *f)
{
	return ((const struct pipe *) f->own)->slots << PAGE_SHIFT;
}

/* With `reading` and `writing`: nobody is at a page of it. */
static int replace_ring(struct pipe *p, size_t slots)
{
	struct slot *ring = p->used > slots ? NULL : heap_alloc(slots * sizeof(*ring));

	if (!ring)
		return p->used > slots ? -EBUSY : -ENOMEM;
	for (size_t n = 0; n < p->used; n++)
		ring[n] = *pipe_slot(p, n);
	heap_free(p->ring);
	p->ring = ring;
	p->slots = slots;
	p->head = 0;
	return 0;
}

int64_t pipe_set_size(struct file *f, size_t size, bool may_exceed)
{
	struct pipe *p = f->own;
	size_t slots = 1;
	int r;

	if (size > (size_t) 1 << 31)
		return -EINVAL;
	while (slots << PAGE_SHIFT < size)
		slots *= 2;
	if (slots << PAGE_SHIFT > PIPE_SIZE_MAX && slots > p->slots && !may_exceed)
		return -EPERM;
	sleeplock_take(&p->reading);
	sleeplock_take(&p->writing);
	r = replace_ring(p, slots);
	sleeplock_give(&p->writing);
	sleeplock_give(&p->reading);
	if (r < 0)
		return r;
	(void) waitq_wake(&p->waiters, WRITABLE, 1);
	return (int64_t) (slots << PAGE_SHIFT);
}
