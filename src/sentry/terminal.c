/* SPDX-License-Identifier: Apache-2.0 */
#include "sentry/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/uio.h>

#include "base/auto.h"
#include "fmt/spec.h"
#include "kernel/core/heap.h"
#include "kernel/fs/devices.h"
#include "kernel/fs/pty.h"
#include "kernel/fs/tty.h"
#include "kernel/platform/host/host.h"
#include "kernel/platform/platform.h"
#include "kernel/vfs/file.h"
#include "kernel/vfs/names.h"
#include "sentry/host_tty.h"
#include "sentry/place.h"

/* How often the host's size is looked at where nobody tells of it. */
#define LOOK_EVERY (NSEC_PER_SEC / 2)
/* How long the host may take nothing while the end of a process is waited for. */
#define STALLED (10 * NSEC_PER_SEC)

struct terminal {
	unsigned int owners; /* its job, two fibers */
	int fd;
	struct host_watch watch, resize_watch;
	int resized; /* borrowed; FD_NONE: none, or not watched */
	/* The guest's master; NULL: it is over. Then only the job may still be there. */
	struct file *master;
	struct tty *tty; /* the master's */
	struct waiter of_tty;
	struct waitq changed; /* of either side */
	uint64_t happened;    /* how often something became possible at the host's */
	struct host_tty_size host_size;
	bool look; /* at the host's size */
	/* Taken from the tty and not yet the host's. */
	unsigned char held[1024];
	uint32_t held_at, held_n;
	/* Its process' end. */
	bool ended, stalled;
	uint32_t mark; /* a position of the tty's output: what is drained */
	struct ktimer stall;
	struct waitq *told;
};

static struct heap_cache terminals = HEAP_CACHE_INIT(struct terminal);

/* ---- what happens ---- */

static void ready(struct host_watch *w, uint32_t events)
{
	struct terminal *t = container_of(w, struct terminal, watch);

	(void) events; /* who waits looks for itself */
	t->happened++;
	(void) waitq_wake(&t->changed, 0, 0);
}

static void size_told(struct host_watch *w, uint32_t events)
{
	struct terminal *t = container_of(w, struct terminal, resize_watch);

	(void) events;
	host_tty_told(t->resized);
	t->look = true;
	(void) waitq_wake(&t->changed, 0, 0);
}

static bool tty_changed(struct waiter *w, unsigned int events)
{
	(void) events;
	(void) waitq_wake(&container_of(w, struct terminal, of_tty)->changed, 0, 0);
	return true;
}

static void stalled(struct ktimer *k)
{
	struct terminal *t = container_of(k, struct terminal, stall);

	t->stalled = true;
	(void) waitq_wake(t->told, 0, 0);
}

/* ---- its end ---- */

static void stop_watching_size(struct terminal *t)
{
	if (t->resized >= 0)
		host_unwatch(t->resized);
	t->resized = FD_NONE;
}

/* Neither side is there for the other any more. */
static void end(struct terminal *t)
{
	struct file *master = TAKE(t->master);

	if (!master)
		return;
	ktimer_cancel(&t->stall);
	waitq_remove(&t->of_tty);
	stop_watching_size(t);
	if (t->fd >= 0)
		host_unwatch(t->fd);
	close_fd(&t->fd);
	file_unref(master); /* which is the hang-up inside */
	(void) waitq_wake(&t->changed, 0, 0);
	(void) waitq_wake(t->told, 0, 0);
}

void terminal_unref(struct terminal *t)
{
	if (!t || --t->owners > 0)
		return;
	end(t);
	heap_cache_free(&terminals, t);
}

bool terminal_drained(const struct terminal *t)
{
	uint32_t gone;

	if (!t->master || t->stalled)
		return true;
	gone = t->tty->out_tail - (t->held_n - t->held_at);
	return (int32_t) (t->mark - gone) <= 0;
}

void terminal_ended(struct terminal *t)
{
	if (!t->master)
		return;
	t->ended = true;
	t->mark = t->tty->out_head;
	ktimer_set(&t->stall, plat_now(PLAT_MONOTONIC) + STALLED);
	(void) waitq_wake(&t->changed, 0, 0);
}

/* ---- to the host ---- */

static uint32_t take(struct terminal *t)
{
	struct tty *tty = t->tty;
	uint32_t n = 0;

	while (n < sizeof(t->held) && tty_out_used(tty) > 0)
		t->held[n++] = tty->out[tty->out_tail++ % TTY_OUT];
	t->held_at = 0;
	t->held_n = n;
	if (n > 0)
		(void) waitq_wake(&tty->waiters, POLLOUT | POLLWRNORM, 0);
	return n;
}

/* False: the host has hung up. */
static bool put(struct terminal *t)
{
	uint64_t seen = t->happened;
	struct iovec v = { .iov_base = t->held + t->held_at, .iov_len = t->held_n - t->held_at };
	ssize_t n = writev(t->fd, &v, 1);

	if (n < 0 && errno != EAGAIN && errno != EINTR)
		return false;
	if (n <= 0) {
		(void) waitq_wait(&t->changed, t->happened != seen || !t->master, NSEC_NEVER, 0);
		return true;
	}
	t->held_at += (uint32_t) n;
	if (t->ended) {
		ktimer_set(&t->stall, plat_now(PLAT_MONOTONIC) + STALLED);
		(void) waitq_wake(t->told, 0, 0);
	}
	return true;
}

static bool slaves_gone(const struct terminal *t)
{
	return t->tty->ever_open && t->tty->slaves == 0;
}

static void printer(void *arg)
{
	struct terminal *t = arg;

	while (t->master) {
		if (t->held_at < t->held_n || take(t) > 0) {
			if (!put(t))
				end(t);
		} else if (slaves_gone(t)) {
			end(t);
		} else {
			(void) waitq_wait(&t->changed,
					  !t->master || tty_out_used(t->tty) > 0 || slaves_gone(t),
					  NSEC_NEVER, 0);
		}
	}
	terminal_unref(t);
	fiber_exit();
}

/* ---- to the guest ---- */

static struct winsize winsize_of(const struct host_tty_size *h)
{
	return (struct winsize){ .ws_row = h->rows,
				 .ws_col = h->columns,
				 .ws_xpixel = h->x_pixels,
				 .ws_ypixel = h->y_pixels };
}

static void look_at_size(struct terminal *t)
{
	struct host_tty_size now;

	t->look = false;
	if (host_tty_size(t->fd, &now) < 0 || memcmp(&now, &t->host_size, sizeof(now)) == 0)
		return;
	t->host_size = now;
	tty_resize(t->tty, winsize_of(&now));
}

static void type(struct terminal *t, const unsigned char *bytes, size_t n)
{
	for (size_t k = 0; k < n; k++) {
		if (t->master && tty_room(t->tty) == 0)
			(void) waitq_wait(&t->changed, !t->master || tty_room(t->tty) > 0,
					  NSEC_NEVER, 0);
		if (!t->master)
			return;
		tty_receive(t->tty, bytes[k]);
	}
}

/* What there is: false, nothing more for now. */
static bool read_some(struct terminal *t)
{
	unsigned char bytes[512];
	struct iovec v = { .iov_base = bytes,
			   .iov_len = min_of((size_t) tty_room(t->tty), sizeof(bytes)) };
	ssize_t n;

	if (v.iov_len == 0)
		return false;
	n = readv(t->fd, &v, 1);
	if (n > 0)
		type(t, bytes, (size_t) n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		end(t);
	return n > 0;
}

static void typist(void *arg)
{
	struct terminal *t = arg;

	while (t->master) {
		uint64_t seen = t->happened;
		nsec_t next = t->resized >= 0 ? NSEC_NEVER : plat_now(PLAT_MONOTONIC) + LOOK_EVERY;
		bool full;

		if (t->look)
			look_at_size(t);
		if (read_some(t) || !t->master)
			continue;
		full = tty_room(t->tty) == 0;
		if (waitq_wait(&t->changed,
			       !t->master || t->look ||
				       (full ? tty_room(t->tty) > 0 : t->happened != seen),
			       next, 0) == -ETIMEDOUT)
			t->look = true;
	}
	terminal_unref(t);
	fiber_exit();
}

/* ---- new ones ---- */

static int open_master(const struct terminal_wish *w, struct file **ret, struct err *e)
{
	const struct walk from_root = { .root = w->root, .start = w->root, .who = &place_root };
	struct path ptmx;
	int r = walk(&from_root, "/dev/pts/ptmx", WALK_FOLLOW, &ptmx);

	if (r == 0) {
		const struct inode *i = ptmx.dentry->inode;

		if (!inode_is(i, S_IFCHR) || i->rdev != device_number(5, 2))
			r = -ENOENT;
		else
			r = file_open(&ptmx, O_RDWR | O_NOCTTY, w->who, ret);
		path_unref(&ptmx);
	}
	if (r == 0 && !file_tty(*ret)) {
		file_unref(*ret);
		r = -ENOENT;
	}
	if (r == -ENOENT || r == -ENOTDIR)
		return err_set(e, ERR_INVALID, ENOENT,
			       "process.terminal: there is no devpts at /dev/pts of the sandbox");
	return r < 0 ? err_sys(e, -r, "process.terminal: make a terminal") : 0;
}

/* Over the file that root.c has made. */
static int put_console(const struct terminal_wish *w, const struct file *slave, struct err *e)
{
	const struct walk from_root = { .root = w->root, .start = w->root, .who = &place_root };
	struct path at;
	int r = walk(&from_root, "/dev/console", WALK_FOLLOW, &at);

	if (r == 0) {
		r = mount_add(&at, slave->path.dentry, slave->path.mount->flags, "devpts", NULL);
		path_unref(&at);
	}
	return r < 0 ? err_sys(e, -r, "process.terminal: put the terminal on /dev/console") : 0;
}

static void begin_size(struct terminal *t, const struct terminal_wish *w)
{
	const struct spec_console_size *asked = w->size;
	struct host_tty_size *h = &t->host_size;

	(void) host_tty_size(w->fd, h); /* a terminal: it has one */
	if (asked && asked->width > 0 && asked->height > 0)
		t->tty->size = (struct winsize){ .ws_row = (unsigned short) asked->height,
						 .ws_col = (unsigned short) asked->width };
	else
		t->tty->size = winsize_of(h);
}

static int open_slave(struct terminal *t, const struct terminal_wish *w, struct file **ret,
		      struct err *e)
{
	int r;

	t->tty->locked = false;
	r = pty_open_slave(t->master, O_RDWR | O_NOCTTY, w->who, ret);
	if (r < 0)
		return err_sys(e, -r, "process.terminal: open the terminal");
	r = w->console ? put_console(w, *ret, e) : 0;
	if (r < 0)
		file_unref(*ret);
	return r;
}

/* The host's end is the terminal's own, and bytes go. */
static int join(struct terminal *t, struct terminal_wish *w, struct err *e)
{
	struct fiber *f;
	int r = host_tty_raw(w->fd);

	if (r == 0)
		r = host_watch(w->fd, &t->watch, EPOLLIN | EPOLLOUT | EPOLLRDHUP);
	if (r < 0)
		return err_sys(e, -r, "process.terminal: use the host's terminal");
	t->fd = take_fd(&w->fd);
	if (w->resized >= 0 && host_watch(w->resized, &t->resize_watch, EPOLLIN) == 0)
		t->resized = w->resized;
	waitq_add(&t->tty->waiters, &t->of_tty);
	if (sched_spawn(printer, t, &f) < 0)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "process.terminal: no memory");
	t->owners++;
	if (sched_spawn(typist, t, &f) < 0)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "process.terminal: no memory");
	t->owners++;
	return 0;
}

static int make(struct terminal *t, struct terminal_wish *w, struct file **ret_slave, struct err *e)
{
	struct file *slave;

	begin_size(t, w);
	if (open_slave(t, w, &slave, e) < 0)
		return -1;
	if (join(t, w, e) < 0) {
		file_unref(slave);
		return -1;
	}
	*ret_slave = slave;
	return 0;
}

int terminal_new(struct terminal_wish *w, struct terminal **ret, struct file **ret_slave,
		 struct err *e)
{
	struct file *master;
	struct terminal *t;

	if (host_tty_check(w->fd, e) < 0 || open_master(w, &master, e) < 0)
		return -1;
	t = heap_cache_alloc(&terminals);
	if (!t) {
		file_unref(master);
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "process.terminal: no memory");
	}
	*t = (struct terminal){ .owners = 1,
				.fd = FD_NONE,
				.watch.ready = ready,
				.resize_watch.ready = size_told,
				.resized = FD_NONE,
				.master = master,
				.tty = file_tty(master),
				.of_tty.notify = tty_changed,
				.stall.fire = stalled,
				.told = w->told };
	waitq_init(&t->changed);
	list_init(&t->of_tty.link);
	if (make(t, w, ret_slave, e) < 0) {
		end(t); /* its fibers see that, if there are any */
		terminal_unref(t);
		return -1;
	}
	*ret = t;
	return 0;
}

void terminal_control(struct terminal *t, struct process *p)
{
	if (t->master)
		tty_control(t->tty, p);
}

struct tty *terminal_tty(const struct terminal *t)
{
	return t->master ? t->tty : NULL;
}

bool terminal_empty(const struct terminal *t)
{
	return !t->master || (t->held_at == t->held_n && tty_out_used(t->tty) == 0);
}

void terminal_resumed(struct terminal *t)
{
	/* Whatever it is: the guest's is what it was. */
	t->host_size = (struct host_tty_size){};
	t->look = true;
	(void) waitq_wake(&t->changed, 0, 0);
}
