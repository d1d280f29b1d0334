/* SPDX-License-Identifier: Apache-2.0 */
/* Pipes, FIFOs, eventfds, timers and epoll, as programs of several fibers use them. */
#include <asm/fcntl.h>
#include <linux/eventpoll.h>
#include <linux/fs.h>
#include <linux/poll.h>
#include <linux/time.h>
#include <linux/timerfd.h>

#include "kernel/core/heap.h"
#include "kernel/fs/epoll.h"
#include "kernel/fs/eventfd.h"
#include "kernel/fs/memfs.h"
#include "kernel/fs/pipe.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/space.h"
#include "kernel/platform/sim/test_run.h"
#include "kernel/task/cred.h"
#include "kernel/vfs/names.h"

#define BASE ((uint64_t) 0x40000000)
#define ROOM ((uint64_t) 4 << 20)

static struct cred root_cred = { .effective = UINT64_MAX };
static struct space *guest;
static struct path top;

/* Bytes that say where they stand. */
static unsigned char byte_at(uint64_t n)
{
	return (unsigned char) (n * 31 + n / 251);
}

static int64_t put(struct file *f, uint64_t from, uint64_t n)
{
	struct uio u;

	uio_one(&u, guest, uva(BASE + from), n);
	return file_write(f, &u, NULL, UINT64_MAX);
}

static int64_t get(struct file *f, uint64_t to, uint64_t n)
{
	struct uio u;

	uio_one(&u, guest, uva(BASE + 2 * ROOM + to), n);
	return vfs_read(f, &u, NULL);
}

static bool arrived(uint64_t from, uint64_t at, uint64_t n)
{
	for (uint64_t k = 0; k < n; k++) {
		unsigned char c = 0;

		if (copy_in(guest, &c, uva(BASE + 2 * ROOM + at + k), 1) < 0 ||
		    c != byte_at(from + k))
			return false;
	}
	return true;
}

static unsigned int ready(struct file *f)
{
	return f->ops->poll(f, NULL);
}

static struct file *in, *out;
static int64_t result[8];
static int finished;

static void writer(void *arg)
{
	result[0] = put(out, 0, *(uint64_t *) arg);
	finished++;
	fiber_exit();
}

static void reader(void *arg)
{
	result[1] = get(in, 0, *(uint64_t *) arg);
	finished++;
	fiber_exit();
}

static void let_run(void)
{
	for (int n = 0; n < 40; n++)
		fiber_yield();
}

static void pipes(void)
{
	static uint64_t much = 1000000, some = 100;
	struct fiber *f;

	CHECK(pipe_make(O_NONBLOCK, &root_cred, &in, &out) == 0);
	CHECK(get(in, 0, 10) == -EAGAIN && get(out, 0, 10) == -EBADF && put(in, 0, 1) == -EBADF);
	CHECK(ready(in) == 0 && ready(out) == (POLLOUT | POLLWRNORM));
	CHECK(put(out, 0, 100000) == 65536 && put(out, 0, 1) == -EAGAIN && !(ready(out) & POLLOUT));
	CHECK(get(in, 0, 4095) == 4095 && put(out, 0, 4096) == -EAGAIN);
	CHECK(get(in, 4095, 1) == 1 && arrived(0, 0, 4096));
	/* What is whole is written whole or not at all. */
	CHECK(put(out, 65536, 4096) == 4096 && put(out, 0, 1) == -EAGAIN);
	CHECK(get(in, 4096, 100000) == 65536 && arrived(4096, 4096, 65536));
	CHECK(put(out, 0, 10) == 10 && put(out, 10, 10) == 10 && get(in, 0, 100) == 20 &&
	      arrived(0, 0, 20));
	CHECK(pipe_set_size(in, 5000, false) == 8192 && put(out, 0, 100000) == 8192);
	CHECK(pipe_set_size(in, 4096, false) == -EBUSY && pipe_size(out) == 8192);
	CHECK(pipe_set_size(in, (2 << 20), false) == -EPERM &&
	      pipe_set_size(in, 1 << 20, false) == 1 << 20);
	CHECK(get(in, 0, 100000) == 8192 && arrived(0, 0, 8192));
	file_unref(out);
	CHECK(get(in, 0, 1) == 0 && ready(in) == POLLHUP);
	file_unref(in);

	/* One waits for the other, both ways, until all is there. */
	CHECK(pipe_make(0, &root_cred, &in, &out) == 0);
	finished = 0;
	CHECK(sched_spawn(writer, &much, &f) == 0);
	let_run();
	CHECK(finished == 0);
	uint64_t seen = 0;

	while (seen < much) {
		int64_t n = get(in, seen, 7777);

		CHECK(n > 0);
		seen += (uint64_t) n;
	}
	let_run();
	CHECK(finished == 1 && result[0] == (int64_t) much && arrived(0, 0, much));
	CHECK(sched_spawn(reader, &some, &f) == 0);
	let_run();
	CHECK(finished == 1);
	fiber_interrupt(f);
	let_run();
	CHECK(finished == 2 && result[1] == -ERESTARTSYS);
	CHECK(sched_spawn(writer, &much, &f) == 0);
	let_run();
	file_unref(in);
	let_run();
	CHECK(finished == 3 && result[0] == 65536);
	CHECK(put(out, 0, 1) == -EPIPE && ready(out) & POLLERR);
	file_unref(out);

	/* Opened again it waits for no other side: a shell's <(...) whose writer has ended. */
	CHECK(pipe_make(0, &root_cred, &in, &out) == 0 && put(out, 0, 5) == 5);
	file_unref(out);
	struct path again = { .mount = top.mount, .dentry = in->path.dentry };

	CHECK(file_open(&again, O_RDONLY, &root_cred, &out) == 0);
	file_unref(in);
	CHECK(get(out, 0, 100) == 5 && get(out, 0, 100) == 0);
	CHECK(file_open(&again, O_WRONLY | O_NONBLOCK, &root_cred, &in) == 0);
	file_unref(out);
	CHECK(put(in, 0, 1) == -EPIPE);
	file_unref(in);

	CHECK(pipe_make(O_DIRECT, &root_cred, &in, &out) == 0);
	CHECK(put(out, 0, 5) == 5 && put(out, 5, 3) == 3);
	CHECK(get(in, 0, 2) == 2 && get(in, 2, 100) == 3 && arrived(0, 0, 2) && arrived(5, 2, 3));
	file_unref(in);
	file_unref(out);
}

static void opener(void *arg)
{
	struct walk w = { .root = &top, .start = &top, .who = &root_cred };

	result[2] = names_open(&w, "fifo", *(unsigned int *) arg, 0, &out);
	finished++;
	fiber_exit();
}

static void fifos(void)
{
	static unsigned int write_only = O_WRONLY;
	struct walk w = { .root = &top, .start = &top, .who = &root_cred };
	struct fiber *f;
	struct file *both;

	CHECK(names_create(&w, "fifo", S_IFIFO | 0600, 0, NULL) == 0);
	CHECK(names_open(&w, "fifo", O_WRONLY | O_NONBLOCK, 0, &out) == -ENXIO);
	CHECK(names_open(&w, "fifo", O_RDONLY | O_NONBLOCK, 0, &in) == 0 && ready(in) == 0);
	CHECK(names_open(&w, "fifo", O_WRONLY | O_NONBLOCK, 0, &out) == 0 && put(out, 0, 5) == 5);
	CHECK(get(in, 0, 9) == 5);
	file_unref(out);
	CHECK(get(in, 0, 9) == 0 && ready(in) == POLLHUP);
	file_unref(in);
	finished = 0;
	CHECK(sched_spawn(opener, &write_only, &f) == 0);
	let_run();
	CHECK(finished == 0);
	CHECK(names_open(&w, "fifo", O_RDONLY, 0, &in) == 0);
	let_run();
	CHECK(finished == 1 && result[2] == 0 && put(out, 0, 5) == 5);
	file_unref(in);
	file_unref(out);
	/* What nobody read is gone with the last who had it open. */
	CHECK(names_open(&w, "fifo", O_RDWR | O_NONBLOCK, 0, &both) == 0 &&
	      get(both, 0, 5) == -EAGAIN);
	file_unref(both);
	CHECK(sched_spawn(opener, &write_only, &f) == 0);
	let_run();
	fiber_interrupt(f);
	let_run();
	CHECK(finished == 2 && result[2] == -ERESTARTSYS);
	CHECK(names_remove(&w, "fifo", 0) == 0);
}

static int64_t add(struct file *f, uint64_t n)
{
	CHECK(copy_out(guest, uva(BASE), &n, sizeof(n)) == 0);
	return put(f, 0, 8);
}

static int64_t take(struct file *f)
{
	int64_t n = get(f, 0, 8);
	uint64_t value = 0;

	CHECK(copy_in(guest, &value, uva(BASE + 2 * ROOM), 8) == 0);
	return n < 0 ? n : (int64_t) value;
}

static void events(void)
{
	static uint64_t eight = 8;
	struct fiber *f;
	struct file *e, *s;

	CHECK(eventfd_make(3, O_NONBLOCK, false, &root_cred, &e) == 0);
	CHECK(take(e) == 3 && take(e) == -EAGAIN && ready(e) == (POLLOUT | POLLWRNORM));
	CHECK(add(e, 5) == 8 && add(e, 6) == 8 && take(e) == 11);
	CHECK(add(e, UINT64_MAX) == -EINVAL && add(e, UINT64_MAX - 1) == 8 && add(e, 1) == -EAGAIN);
	CHECK(!(ready(e) & POLLOUT) && put(e, 0, 7) == -EINVAL && get(e, 0, 7) == -EINVAL);
	file_unref(e);
	CHECK(eventfd_make(2, O_NONBLOCK, true, &root_cred, &s) == 0);
	CHECK(take(s) == 1 && take(s) == 1 && take(s) == -EAGAIN);
	file_unref(s);
	/* Who waits in one open file holds up nobody who writes to the same one. */
	CHECK(eventfd_make(0, 0, false, &root_cred, &in) == 0);
	finished = 0;
	CHECK(sched_spawn(reader, &eight, &f) == 0);
	let_run();
	CHECK(finished == 0 && add(in, 1) == 8);
	let_run();
	CHECK(finished == 1 && result[1] == 8);
	file_unref(in);
}

static struct __kernel_itimerspec spec(nsec_t first, nsec_t interval)
{
	return (struct __kernel_itimerspec){
		.it_value = { first / NSEC_PER_SEC, first % NSEC_PER_SEC },
		.it_interval = { interval / NSEC_PER_SEC, interval % NSEC_PER_SEC },
	};
}

static void timers(void)
{
	struct __kernel_itimerspec s = spec(5, 0), old;
	struct file *t, *e;

	CHECK(timerfd_make(99, 0, &root_cred, &t) == -EINVAL);
	CHECK(timerfd_make(CLOCK_MONOTONIC, 0, &root_cred, &t) == 0);
	CHECK(timerfd_set(t, 0, &s, &old) == 0 && old.it_value.tv_sec == 0);
	nsec_t from = sim_now();

	CHECK(take(t) == 1 && sim_now() - from == 5);
	s = spec(100, 10);
	CHECK(timerfd_set(t, 0, &s, &old) == 0);
	CHECK(fiber_park_until(sim_now() + 135) == -ETIMEDOUT && ready(t) == (POLLIN | POLLRDNORM));
	CHECK(timerfd_get(t, &s) == 0 && s.it_value.tv_nsec == 5 && s.it_interval.tv_nsec == 10);
	CHECK(take(t) == 4);
	s = spec(sim_now() - 50, 0);
	CHECK(timerfd_set(t, TFD_TIMER_ABSTIME, &s, &old) == 0 && take(t) == 1);
	s = spec(0, 0);
	s.it_value.tv_nsec = NSEC_PER_SEC;
	CHECK(timerfd_set(t, 0, &s, &old) == -EINVAL);
	s.it_value = (struct __kernel_timespec){ INT64_MAX, 0 };
	CHECK(timerfd_set(t, 0, &s, &old) == 0 && ready(t) == 0);
	CHECK(eventfd_make(0, 0, false, &root_cred, &e) == 0 &&
	      timerfd_set(e, 0, &s, &old) == -EINVAL);
	file_unref(e);
	file_unref(t);
}

static int wait_now(struct file *ep, struct epoll_ready *r, size_t room)
{
	return (int) epoll_collect(ep, r, room, 0);
}

static struct file *instance;

static void waiter(void *arg)
{
	struct epoll_ready r[4];

	(void) arg;
	result[3] = epoll_collect(instance, r, 4, NSEC_NEVER);
	result[4] = (int64_t) r[0].data;
	finished++;
	fiber_exit();
}

static void exclusive_waiter(void *arg)
{
	struct epoll_ready r[1];

	CHECK(epoll_collect(arg, r, 1, NSEC_NEVER) == 1);
	finished++;
	fiber_exit();
}

/* Of those who wait for the same file, each by an instance of its own, one is woken each time; one
 * that nobody waits at is passed over. */
static void exclusively(void)
{
	struct file *ep[3], *e;
	struct fiber *f;

	CHECK(eventfd_make(0, 0, false, &root_cred, &e) == 0);
	finished = 0;
	for (size_t n = 0; n < countof(ep); n++) {
		CHECK(epoll_make(&root_cred, &ep[n]) == 0 &&
		      epoll_control(ep[n], EPOLL_CTL_ADD, 1, e, EPOLLIN | EPOLLET | EPOLLEXCLUSIVE,
				    0) == 0);
		if (n > 0)
			CHECK(sched_spawn(exclusive_waiter, ep[n], &f) == 0);
	}
	let_run();
	CHECK(finished == 0 && add(e, 1) == 8);
	let_run();
	CHECK(finished == 1 && add(e, 1) == 8);
	let_run();
	CHECK(finished == 2);
	for (size_t n = 0; n < countof(ep); n++)
		file_unref(ep[n]);
	file_unref(e);
}

static void polls(void)
{
	struct epoll_ready r[8];
	struct file *ep, *ep2, *e = NULL, *regular, *chain[6];
	struct walk w = { .root = &top, .start = &top, .who = &root_cred };
	struct fiber *f;

	CHECK(epoll_make(&root_cred, &ep) == 0 &&
	      pipe_make(O_NONBLOCK, &root_cred, &in, &out) == 0);
	CHECK(names_open(&w, "r", O_CREAT | O_RDWR, 0600, &regular) == 0);
	CHECK(epoll_control(ep, EPOLL_CTL_ADD, 9, regular, EPOLLIN, 0) == -EPERM);
	file_unref(regular);
	CHECK(epoll_control(ep, EPOLL_CTL_ADD, 3, in, EPOLLIN, 33) == 0);
	CHECK(epoll_control(ep, EPOLL_CTL_ADD, 3, in, EPOLLIN, 33) == -EEXIST);
	CHECK(epoll_control(ep, EPOLL_CTL_MOD, 4, in, EPOLLIN, 33) == -ENOENT);
	CHECK(epoll_control(ep, EPOLL_CTL_ADD, 5, ep, EPOLLIN, 0) == -EINVAL);
	CHECK(wait_now(ep, r, 8) == 0 && ready(ep) == 0);
	/* By level: as long as something is there. */
	CHECK(put(out, 0, 5) == 5 && ready(ep) == (POLLIN | POLLRDNORM));
	CHECK(wait_now(ep, r, 8) == 1 && r[0].events == EPOLLIN && r[0].data == 33 &&
	      wait_now(ep, r, 8) == 1);
	CHECK(get(in, 0, 9) == 5 && wait_now(ep, r, 8) == 0);
	/* By edge: once for each write. */
	CHECK(epoll_control(ep, EPOLL_CTL_MOD, 3, in, EPOLLIN | EPOLLET, 34) == 0);
	CHECK(put(out, 0, 5) == 5 && wait_now(ep, r, 8) == 1 && wait_now(ep, r, 8) == 0);
	CHECK(put(out, 0, 1) == 1 && wait_now(ep, r, 8) == 1 && r[0].data == 34);
	/* Once, until it is armed again. */
	CHECK(epoll_control(ep, EPOLL_CTL_MOD, 3, in, EPOLLIN | EPOLLONESHOT, 35) == 0);
	CHECK(wait_now(ep, r, 8) == 1 && put(out, 0, 1) == 1 && wait_now(ep, r, 8) == 0);
	CHECK(epoll_control(ep, EPOLL_CTL_MOD, 3, in, EPOLLIN | EPOLLONESHOT, 35) == 0 &&
	      wait_now(ep, r, 8) == 1);
	CHECK(epoll_control(ep, EPOLL_CTL_DEL, 3, in, 0, 0) == 0 && wait_now(ep, r, 8) == 0);
	CHECK(epoll_control(ep, EPOLL_CTL_DEL, 3, in, 0, 0) == -ENOENT);
	/* A hang-up is told without being asked for. */
	CHECK(get(in, 0, 99) == 7);
	CHECK(epoll_control(ep, EPOLL_CTL_ADD, 3, in, 0, 36) == 0);
	file_unref(out);
	CHECK(wait_now(ep, r, 8) == 1 && r[0].events == EPOLLHUP);
	/* A file that is closed is watched no more. */
	file_unref(in);
	CHECK(wait_now(ep, r, 8) == 0);
	/* Somebody who waits; an instance in an instance. */
	CHECK(epoll_make(&root_cred, &ep2) == 0 && eventfd_make(0, 0, false, &root_cred, &e) == 0);
	CHECK(epoll_control(ep, EPOLL_CTL_ADD, 7, ep2, EPOLLIN, 77) == 0);
	CHECK(epoll_control(ep2, EPOLL_CTL_ADD, 8, e, EPOLLIN, 88) == 0);
	CHECK(epoll_control(ep2, EPOLL_CTL_ADD, 6, ep, EPOLLIN, 0) == -ELOOP);
	instance = ep;
	finished = 0;
	CHECK(sched_spawn(waiter, NULL, &f) == 0);
	let_run();
	CHECK(finished == 0 && add(e, 1) == 8);
	let_run();
	CHECK(finished == 1 && result[3] == 1 && result[4] == 77);
	CHECK(wait_now(ep2, r, 8) == 1 && r[0].data == 88);
	nsec_t from = sim_now();

	CHECK(take(e) == 1 && epoll_collect(ep, r, 8, from + 1000) == 0 &&
	      sim_now() == from + 1000);
	for (size_t n = 0; n < countof(chain); n++) {
		CHECK(epoll_make(&root_cred, &chain[n]) == 0);
		if (n > 0)
			CHECK(epoll_control(chain[n], EPOLL_CTL_ADD, 1, chain[n - 1], EPOLLIN, 0) ==
			      (n < 5 ? 0 : -ELOOP));
	}
	for (size_t n = 0; n < countof(chain); n++)
		file_unref(chain[n]);
	file_unref(e);
	file_unref(ep2);
	file_unref(ep);
	exclusively();
}

/* Whatever allocation fails, it is told and nothing is left. */
static void no_memory(void)
{
	for (unsigned long n = 1; n < 14; n++) {
		struct file *a, *b, *t, *ep;

		heap_fail_at(n);
		bool piped = pipe_make(0, &root_cred, &a, &b) == 0;
		bool timed = timerfd_make(CLOCK_REALTIME, 0, &root_cred, &t) == 0;
		bool polled = epoll_make(&root_cred, &ep) == 0;

		heap_fail_at(0);
		CHECK(piped + timed + polled >= 2);
		if (piped) {
			file_unref(a);
			file_unref(b);
		}
		if (timed)
			file_unref(t);
		if (polled)
			file_unref(ep);
	}
}

static void all(void *arg)
{
	static const struct space_limits wide = { UINT64_MAX, UINT64_MAX, 8 << 20, UINT64_MAX,
						  65530 };
	struct super *s = memfs_new(&(struct memfs_options){ .mode = 0755 });
	struct mount_space *mounts = mount_space_new(s, 0, "tmpfs");
	uint64_t at;

	(void) arg;
	super_leave(s);
	top = (struct path){ mounts->root, mounts->root->root };
	path_ref(&top);
	guest = space_new(&wide);
	CHECK(space_map(guest,
			&(struct space_mapping){ .at = BASE,
						 .len = 3 * ROOM,
						 .prot = PLAT_READ | PLAT_WRITE,
						 .fixed = true },
			&at) == 0);
	for (uint64_t n = 0; n < 1000000; n += PAGE_SIZE) {
		unsigned char page[PAGE_SIZE];

		for (uint64_t k = 0; k < PAGE_SIZE; k++)
			page[k] = byte_at(n + k);
		CHECK(copy_out(guest, uva(BASE + n), page, PAGE_SIZE) == 0);
	}
	pipes();
	fifos();
	events();
	timers();
	polls();
	no_memory();
	path_unref(&top);
	mount_space_unref(mounts);
	space_unref(guest);
	CHECK(frame_used() <= 1); /* the page of zeros */
}

int main(void)
{
	return test_run(8192, all);
}
