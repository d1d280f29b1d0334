/* SPDX-License-Identifier: Apache-2.0 */
#include <asm/fcntl.h>
#include <asm/signal.h>
#include <linux/poll.h>

#include "kernel/fs/tty.h"
#include "kernel/platform/platform.h"

/* VTIME's unit. */
#define TENTH (NSEC_PER_SEC / 10)

int tty_take_turn(struct sleeplock *l, const struct file *f)
{
	int r = 0;

	while (r == 0 && l->holder) {
		if (f->flags & O_NONBLOCK)
			return -EAGAIN;
		r = waitq_wait(&l->waiters, !l->holder, NSEC_NEVER, fiber_interrupted());
	}
	if (r == 0)
		sleeplock_take(l); /* it is free: at once */
	return r;
}

/* ---- reading ---- */

/* What is there, and in canonical mode of one line; with `reading`. */
static int64_t take(struct tty *t, struct uio *to)
{
	unsigned char bytes[256];
	int64_t done = 0;

	for (;;) {
		size_t n = 0, most = (size_t) min_of(to->left, (uint64_t) sizeof(bytes));
		uint32_t at = t->tail;
		bool end = false;

		while (n < most && !end && at != (tty_canonical(t) ? t->canon : t->head)) {
			unsigned char kind = t->kind[at % TTY_IN];

			if (!tty_canonical(t) || kind != CHAR_EOF)
				bytes[n++] = t->in[at % TTY_IN];
			end = tty_canonical(t) && kind != CHAR_PLAIN;
			at++;
		}
		/* Taken before they are brought: that may park, and the line be flushed meanwhile.
		 */
		t->tail = at;
		if (n > 0) {
			int64_t moved = uio_out(to, bytes, n);

			if (moved < 0)
				return done ? done : moved;
			done += moved;
			if (moved < (int64_t) n)
				return done;
		}
		if (n < most || end || to->left == 0)
			return done;
	}
}

/* An end of file alone is read as nothing, and that once. */
static int64_t read_line(struct tty *t, struct file *f, struct uio *to)
{
	int r = 0;

	if (t->canon == t->tail && t->master) {
		if (f->flags & O_NONBLOCK)
			return -EAGAIN;
		r = waitq_wait(&t->waiters, tty_readable(t) || !t->master, NSEC_NEVER,
			       fiber_interrupted());
	}
	return r < 0 ? r : t->master ? take(t, to) : 0;
}

/* Until VMIN bytes are there, or VTIME has gone by: termios(3), "Canonical and noncanonical mode".
 */
static int64_t read_raw(struct tty *t, struct file *f, struct uio *to)
{
	nsec_t time = t->termios.c_cc[VTIME] * TENTH;
	uint32_t most = (uint32_t) min_of(to->left, (uint64_t) TTY_IN - 1),
		 least = min_of((uint32_t) t->termios.c_cc[VMIN], most);

	for (;;) {
		uint32_t there = t->head - t->tail;
		nsec_t deadline = NSEC_NEVER;
		int r;

		if (!t->master)
			return 0;
		if (there >= max_of(least, 1u) || (there > 0 && f->flags & O_NONBLOCK))
			return take(t, to);
		if (least == 0 && time == 0)
			return 0;
		if (f->flags & O_NONBLOCK)
			return -EAGAIN;
		/* With VMIN the time is that between two bytes. */
		if (time > 0 && (least == 0 || there > 0))
			deadline = plat_now(PLAT_MONOTONIC) + time;
		r = waitq_wait(&t->waiters,
			       t->head - t->tail != there || !t->master || tty_canonical(t),
			       deadline, fiber_interrupted());
		if (r == -ETIMEDOUT)
			return t->head != t->tail ? take(t, to) : 0;
		if (r < 0)
			return there > 0 ? take(t, to) : r;
		if (tty_canonical(t))
			return read_line(t, f, to);
	}
}

int64_t tty_read(struct file *f, struct uio *to, uint64_t *pos)
{
	struct tty *t = f->own;
	int64_t n;
	int r = tty_check(t, SIGTTIN);

	(void) pos;
	if (r < 0)
		return r;
	if (!t->master || to->left == 0)
		return 0;
	r = tty_take_turn(&t->reading, f);
	if (r < 0)
		return r;
	n = tty_canonical(t) ? read_line(t, f, to) : read_raw(t, f, to);
	sleeplock_give(&t->reading);
	(void) waitq_wake(&t->waiters, POLLOUT | POLLWRNORM, 0);
	return n;
}

/* ---- writing ---- */

static int64_t write_some(struct tty *t, struct file *f, const unsigned char *bytes, size_t n)
{
	size_t done = 0;

	while (done < n) {
		int r;

		if (!t->master)
			return -EIO;
		if (tty_emit(t, bytes[done])) {
			done++;
			continue;
		}
		(void) waitq_wake(&t->waiters, POLLIN | POLLRDNORM, 0);
		if (f->flags & O_NONBLOCK)
			return done ? (int64_t) done : -EAGAIN;
		r = waitq_wait(&t->waiters,
			       !t->master || (!t->stopped && tty_out_used(t) <= TTY_OUT - 8),
			       NSEC_NEVER, fiber_interrupted());
		if (r < 0)
			return done ? (int64_t) done : r;
	}
	return (int64_t) done;
}

int64_t tty_write(struct file *f, struct uio *from, uint64_t *pos)
{
	struct tty *t = f->own;
	unsigned char bytes[512];
	int64_t done = 0, n = 0;
	int r = t->termios.c_lflag & TOSTOP ? tty_check(t, SIGTTOU) : 0;

	(void) pos;
	if (r < 0)
		return r;
	if (!t->master)
		return -EIO;
	r = tty_take_turn(&t->writing, f);
	if (r < 0)
		return r;
	while (from->left > 0) {
		size_t part = (size_t) min_of(from->left, (uint64_t) sizeof(bytes));
		int64_t got = uio_in(from, bytes, part);

		n = got < 0 ? got : write_some(t, f, bytes, (size_t) got);
		if (n < 0)
			break;
		done += n;
		if (n < (int64_t) part)
			break;
	}
	sleeplock_give(&t->writing);
	(void) waitq_wake(&t->waiters, POLLIN | POLLRDNORM, 0);
	return done ? done : n;
}

unsigned int tty_poll(struct file *f, struct waiter *w)
{
	struct tty *t = f->own;
	unsigned int ready = 0;

	if (w)
		waitq_add(&t->waiters, w);
	if (!t->master)
		return POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM | POLLERR | POLLHUP;
	if (tty_readable(t))
		ready |= POLLIN | POLLRDNORM;
	if (!t->stopped && tty_out_used(t) <= TTY_OUT - 256)
		ready |= POLLOUT | POLLWRNORM;
	return ready;
}
