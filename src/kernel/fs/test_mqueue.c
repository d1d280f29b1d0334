/* SPDX-License-Identifier: Apache-2.0 */
/* POSIX message queues by their system calls: priorities, waiting, being told, names, limits. */
#include <asm/fcntl.h>
#include <asm/unistd.h>
#include <linux/poll.h>

#include "kernel/core/heap.h"
#include "kernel/platform/sim/test_run.h"
#include "kernel/syscall/test_guest.h"

#define BUF  (GUEST_AT + 4 * PAGE_SIZE)
#define ATTR (GUEST_AT + 8 * PAGE_SIZE)
#define ROOM 16 /* bytes of a message of most queues here */

static struct guest g;

static sysret_t open_as(const char *name, int flags, long messages, long size)
{
	const struct mq_attr attr = { .mq_maxmsg = messages, .mq_msgsize = size };
	uint64_t at = messages ? guest_put(&g, ATTR - GUEST_AT, &attr, sizeof(attr)) : 0;

	return CALL(&g, __NR_mq_open, guest_text(&g, 0, name), (uint64_t) flags, 0640, at);
}

static sysret_t open_new(const char *name, int flags)
{
	return open_as(name, O_CREAT | O_EXCL | O_RDWR | flags, 2, ROOM);
}

static sysret_t close_fd(sysret_t fd)
{
	return CALL(&g, __NR_close, (uint64_t) fd);
}

static sysret_t unlink_name(const char *name)
{
	return CALL(&g, __NR_mq_unlink, guest_text(&g, 0, name));
}

static sysret_t send(sysret_t fd, const char *text, unsigned int priority, uint64_t until)
{
	(void) guest_text(&g, BUF - GUEST_AT, text);
	return CALL(&g, __NR_mq_timedsend, (uint64_t) fd, BUF, strlen(text), priority, until);
}

static char got[ROOM + 1];
static uint32_t got_priority;

static sysret_t receive(sysret_t fd, uint64_t until)
{
	sysret_t r = CALL(&g, __NR_mq_timedreceive, (uint64_t) fd, BUF, ROOM, BUF + 64, until);

	memset(got, 0, sizeof(got));
	if (r >= 0)
		guest_get(&g, BUF - GUEST_AT, got, (size_t) r);
	if (r >= 0)
		guest_get(&g, BUF + 64 - GUEST_AT, &got_priority, sizeof(got_priority));
	return r;
}

static bool gives(sysret_t fd, const char *text, unsigned int priority)
{
	return receive(fd, 0) == (sysret_t) strlen(text) && strcmp(got, text) == 0 &&
	       got_priority == priority;
}

static struct mq_attr attr_of(sysret_t fd)
{
	struct mq_attr a = {};

	CHECK(CALL(&g, __NR_mq_getsetattr, (uint64_t) fd, 0, ATTR) == 0);
	guest_get(&g, ATTR - GUEST_AT, &a, sizeof(a));
	return a;
}

static void set_flags(sysret_t fd, long flags)
{
	const struct mq_attr a = { .mq_flags = flags, .mq_maxmsg = 99 };

	(void) guest_put(&g, ATTR - GUEST_AT, &a, sizeof(a));
	CHECK(CALL(&g, __NR_mq_getsetattr, (uint64_t) fd, ATTR, 0) == 0);
}

static void names(void)
{
	sysret_t a = open_new("a", 0), b;
	char long_name[300];

	CHECK(a >= 0 && CALL(&g, __NR_fcntl, (uint64_t) a, 1) == 1); /* F_GETFD: FD_CLOEXEC */
	CHECK(open_new("a", 0) == -EEXIST && open_as("b", O_RDONLY, 0, 0) == -ENOENT);
	b = open_as("a", O_CREAT | O_RDONLY, 1, 1);
	CHECK(b >= 0 && attr_of(b).mq_maxmsg == 2 && attr_of(b).mq_msgsize == ROOM);
	CHECK(send(b, "x", 0, 0) == -EBADF && receive(99, 0) == -EBADF && send(a, "x", 0, 0) == 0);
	CHECK(gives(b, "x", 0) && close_fd(b) == 0);
	CHECK(open_as("a", O_ACCMODE, 0, 0) == -EINVAL);
	CHECK(open_as("a/b", O_RDONLY, 0, 0) == -EACCES &&
	      open_as("..", O_RDONLY, 0, 0) == -EACCES);
	CHECK(open_as("", O_RDONLY, 0, 0) == -ENOENT && unlink_name("b") == -ENOENT);
	memset(long_name, 'x', sizeof(long_name));
	long_name[256] = 0;
	CHECK(open_as(long_name, O_RDONLY, 0, 0) == -ENAMETOOLONG);
	long_name[255] = 0;
	b = open_as(long_name, O_CREAT | O_WRONLY, 0, 0);
	CHECK(b >= 0 && attr_of(b).mq_maxmsg == 10 && attr_of(b).mq_msgsize == 8192);
	CHECK(receive(b, 0) == -EBADF && unlink_name(long_name) == 0 && close_fd(b) == 0);
	/* Rights: 0640 of user 0. */
	g.cred->euid = g.cred->fsuid = g.cred->fsgid = 1000;
	g.cred->effective = 0;
	CHECK(open_as("a", O_RDONLY, 0, 0) == -EACCES && unlink_name("a") == -EPERM);
	g.cred->fsgid = 0;
	CHECK(open_as("a", O_RDWR, 0, 0) == -EACCES);
	b = open_as("a", O_RDONLY, 0, 0);
	CHECK(b >= 0 && close_fd(b) == 0);
	g.cred->euid = g.cred->fsuid = 0;
	g.cred->effective = UINT64_MAX;
	/* Without a name it goes on. */
	CHECK(unlink_name("a") == 0 && open_as("a", O_RDONLY, 0, 0) == -ENOENT);
	CHECK(send(a, "y", 3, 0) == 0 && gives(a, "y", 3) && close_fd(a) == 0);
}

static void messages(void)
{
	sysret_t q = open_new("m", 0);
	struct pollfd p = { .fd = (int) q, .events = POLLIN | POLLOUT };
	char text[81] = "";
	uint64_t late;

	(void) guest_put(&g, 9 * PAGE_SIZE, &p, sizeof(p));
	CHECK(CALL(&g, __NR_poll, GUEST_AT + 9 * PAGE_SIZE, 1, 0) == 1);
	guest_get(&g, 9 * PAGE_SIZE, &p, sizeof(p));
	CHECK(p.revents == POLLOUT);
	CHECK(send(q, "low", 1, 0) == 0 && send(q, "high", 2, 0) == 0);
	(void) CALL(&g, __NR_poll, GUEST_AT + 9 * PAGE_SIZE, 1, 0);
	guest_get(&g, 9 * PAGE_SIZE, &p, sizeof(p));
	CHECK(p.revents == POLLIN && attr_of(q).mq_curmsgs == 2);
	CHECK(CALL(&g, __NR_read, (uint64_t) q, BUF, 80) == 60);
	guest_get(&g, BUF - GUEST_AT, text, 60);
	CHECK_STR(text, "QSIZE:7          NOTIFY:0     SIGNO:0     NOTIFY_PID:0     \n");
	/* Full: now, at a time, until the guest's patience ends. */
	set_flags(q, O_NONBLOCK);
	CHECK(attr_of(q).mq_flags == O_NONBLOCK && attr_of(q).mq_maxmsg == 2);
	CHECK(send(q, "x", 0, 0) == -EAGAIN);
	set_flags(q, 0);
	late = guest_put(&g, 6 * PAGE_SIZE,
			 (int64_t[2]){ plat_now(PLAT_REALTIME) / NSEC_PER_SEC, 0 }, 16);
	CHECK(send(q, "x", 0, late) == -ETIMEDOUT && send(q, "x", 0, 0) == -ERESTARTSYS);
	CHECK(send(q, "12345678901234567", 0, 0) == -EMSGSIZE && send(q, "x", 32768, 0) == -EINVAL);
	CHECK(send(q, "x", 0, 8) == -EFAULT);
	CHECK(gives(q, "high", 2) && send(q, "lower", 0, 0) == 0);
	CHECK(gives(q, "low", 1) && send(q, "same", 0, 0) == 0);
	CHECK(gives(q, "lower", 0) && gives(q, "same", 0));
	CHECK(receive(q, late) == -ETIMEDOUT && receive(q, 0) == -ERESTARTSYS);
	(void) guest_put(&g, 6 * PAGE_SIZE, (int64_t[2]){ 0, -1 }, 16);
	CHECK(receive(q, late) == -EINVAL);
	CHECK(CALL(&g, __NR_mq_timedreceive, (uint64_t) q, BUF, ROOM - 1, 0, 0) == -EMSGSIZE);
	CHECK(send(q, "", 7, 0) == 0 && gives(q, "", 7));
	(void) guest_put(&g, ATTR - GUEST_AT, &(struct mq_attr){ .mq_flags = 1 },
			 sizeof(struct mq_attr));
	CHECK(CALL(&g, __NR_mq_getsetattr, (uint64_t) q, ATTR, 0) == -EINVAL);
	CHECK(unlink_name("m") == 0 && close_fd(q) == 0);
}

/* ---- others who wait ---- */

struct other {
	struct file *file;
	struct fiber *fiber;
	struct mqueue_message *m;
	bool sends;
	int result; /* 1: not yet */
};

static void other_runs(void *arg)
{
	struct other *o = arg;

	o->result = o->sends ? mqueue_send(o->file, g.task, o->m, NSEC_NEVER)
			     : mqueue_receive(o->file, NSEC_NEVER, &o->m);
	fiber_exit();
}

static void start(struct other *o, struct file *f)
{
	o->file = f;
	o->result = 1;
	CHECK(sched_spawn(other_runs, o, &o->fiber) == 0);
	fiber_yield();
}

static struct mqueue_message *message(const char *text, uint32_t priority)
{
	struct mqueue_message *m = mqueue_message_new(strlen(text));

	memcpy(m->text, text, m->len);
	m->priority = priority;
	return m;
}

static void waiting(void)
{
	sysret_t q = open_new("w", 0);
	struct file *f = descriptors_get(g.task->files, (uint64_t) q);
	struct other a = {}, b = {}, c = { .sends = true };

	start(&a, f);
	start(&b, f);
	CHECK(a.result == 1 && b.result == 1);
	CHECK(send(q, "one", 0, 0) == 0 && attr_of(q).mq_curmsgs == 0);
	fiber_yield();
	CHECK(a.result == 0 && b.result == 1 && a.m->len == 3);
	mqueue_message_free(a.m);
	fiber_interrupt(b.fiber);
	fiber_yield();
	CHECK(b.result == -ERESTARTSYS);
	CHECK(send(q, "first", 0, 0) == 0 && send(q, "second", 0, 0) == 0);
	c.m = message("urgent", 9);
	start(&c, f);
	CHECK(c.result == 1 && gives(q, "first", 0));
	fiber_yield();
	CHECK(c.result == 0 && gives(q, "urgent", 9) && gives(q, "second", 0));
	file_unref(f);
	/* What is in a queue goes with it. */
	CHECK(send(q, "left", 0, 0) == 0 && unlink_name("w") == 0 && close_fd(q) == 0);
}

static sysret_t notify(sysret_t fd, int how, int nr)
{
	const struct {
		uint64_t value;
		int32_t nr, how;
		uint64_t rest[6];
	} e = { 4711, nr, how, {} };

	return CALL(&g, __NR_mq_notify, (uint64_t) fd,
		    guest_put(&g, ATTR - GUEST_AT, &e, sizeof(e)));
}

static void told(void)
{
	sysret_t q = open_new("t", 0), again;
	struct signal_info info;
	struct other a = {};
	struct file *f = descriptors_get(g.task->files, (uint64_t) q);

	signals_block(g.task, SIGNAL_BIT(40));
	CHECK(notify(q, 2, 40) == -EINVAL && notify(q, 0, 65) == -EINVAL &&
	      notify(99, 0, 1) == -EBADF);
	CHECK(CALL(&g, __NR_mq_notify, (uint64_t) q, 0) == 0);
	CHECK(notify(q, 0, 40) == 0 && notify(q, 0, 40) == -EBUSY);
	/* Not while somebody waits. */
	start(&a, f);
	CHECK(send(q, "x", 0, 0) == 0 && !(signals_pending(g.task) & SIGNAL_BIT(40)));
	fiber_yield();
	CHECK(a.result == 0);
	mqueue_message_free(a.m);
	CHECK(send(q, "x", 0, 0) == 0 && send(q, "y", 0, 0) == 0);
	CHECK(signals_take(g.task, SIGNAL_BIT(40), &info) && info.code == -3);
	CHECK(info.sent.value == 4711 && info.sent.pid == g.task->process->pid);
	CHECK(!signals_take(g.task, SIGNAL_BIT(40), &info)); /* once */
	CHECK(gives(q, "x", 0) && gives(q, "y", 0) && send(q, "z", 0, 0) == 0);
	CHECK(!signals_take(g.task, SIGNAL_BIT(40), &info) && gives(q, "z", 0));
	/* Any close of the process' ends it, and so does asking for it. */
	again = open_as("t", O_RDONLY, 0, 0);
	CHECK(notify(q, 1, 0) == 0 && notify(q, 0, 40) == -EBUSY && close_fd(again) == 0);
	CHECK(notify(q, 0, 40) == 0 && CALL(&g, __NR_mq_notify, (uint64_t) q, 0) == 0);
	CHECK(notify(q, 0, 40) == 0);
	file_unref(f);
	CHECK(unlink_name("t") == 0 && close_fd(q) == 0);
}

static void limits(void)
{
	struct mqueue_limits old = *mqueue_limits();
	sysret_t q, fds[16];
	size_t n = 0;

	CHECK(open_as("l", O_CREAT | O_RDWR, 65537, 1) == -EINVAL);
	CHECK(open_as("l", O_CREAT | O_RDWR, 1, (16 << 20) + 1) == -EINVAL);
	CHECK(open_as("l", O_CREAT | O_RDWR, -1, 1) == -EINVAL);
	CHECK(open_as("l", O_CREAT | O_RDWR, 1, 0) == -EINVAL);
	CHECK(open_as("l", O_CREAT | O_RDWR, 65536, 16 << 20) == -EMFILE);
	g.cred->effective = 0;
	CHECK(open_as("l", O_CREAT | O_RDWR, 11, 1) == -EINVAL);
	CHECK(open_as("l", O_CREAT | O_RDWR, 1, 8193) == -EINVAL);
	mqueue_limits()->queues = 0;
	CHECK(open_as("l", O_CREAT | O_RDWR, 1, 1) == -ENOSPC);
	*mqueue_limits() = old;
	/* As many of the usual size as RLIMIT_MSGQUEUE lets a user have. */
	for (; n < countof(fds); n++) {
		char name[2] = { (char) ('a' + n), 0 };

		fds[n] = open_as(name, O_CREAT | O_RDWR, 0, 0);
		if (fds[n] < 0)
			break;
	}
	CHECK(n == 9 && fds[n] == -EMFILE);
	CHECK(unlink_name("a") == 0 && open_as("z", O_CREAT | O_RDWR, 0, 0) == -EMFILE);
	CHECK(close_fd(fds[0]) == 0);
	q = open_as("z", O_CREAT | O_RDWR, 0, 0);
	CHECK(q >= 0 && close_fd(q) == 0);
	while (n-- > 1)
		CHECK(close_fd(fds[n]) == 0);
	g.cred->effective = UINT64_MAX;
	mqueue_end();
	CHECK(open_as("z", O_RDWR, 0, 0) == -ENOENT);
}

/* Where it is mounted: names to be listed, made and removed as in any directory. */
static void mounted(void)
{
	struct super *s = mqueue_super();
	struct path top = { g.mounts->root, g.mounts->root->root };
	struct mount *m = NULL;
	struct path at;
	struct walk w = { .root = &top, .start = &top, .who = g.cred };
	sysret_t q;

	CHECK(CALL(&g, __NR_mkdir, guest_text(&g, 0, "/mq"), 0755) == 0);
	CHECK(walk(&w, "/mq", 0, &at) == 0 && mount_add(&at, s->root, 0, "mqueue", &m) == 0);
	path_unref(&at);
	CHECK(CALL(&g, __NR_open, guest_text(&g, 0, "/mq/f"), O_CREAT | O_RDWR, 0600) == 0);
	CHECK(CALL(&g, __NR_mkdir, guest_text(&g, 0, "/mq/d"), 0600) == -EPERM);
	q = open_as("f", O_RDWR, 0, 0);
	CHECK(q == 1 && send(q, "x", 0, 0) == 0 && attr_of(0).mq_curmsgs == 1);
	CHECK(close_fd(0) == 0 && close_fd(1) == 0);
	CHECK(CALL(&g, __NR_unlink, guest_text(&g, 0, "/mq/f")) == 0);
	CHECK(open_as("f", O_RDWR, 0, 0) == -ENOENT);
	CHECK(m && mount_remove(m, true) == 0);
	super_leave(s);
}

/* Whatever allocation fails, the call does or nothing has happened. */
static void no_memory(void)
{
	for (unsigned long n = 1, left = 1; left; n++) {
		sysret_t q, r = -ENOMEM;

		heap_fail_at(n);
		q = open_new("n", 0);
		if (q >= 0)
			r = send(q, "abc", 1, 0);
		left = q < 0 || r < 0;
		heap_fail_at(0);
		CHECK((q >= 0 || q == -ENOMEM) && (r == 0 || r == -ENOMEM) && n < 50);
		if (q >= 0)
			CHECK(close_fd(q) == 0);
		r = unlink_name("n");
		CHECK(r == 0 || (q < 0 && r == -ENOENT));
	}
}

static bool finished;

static void body(void *arg)
{
	(void) arg;
	guest_begin(&g);
	names();
	messages();
	waiting();
	told();
	limits();
	mounted();
	no_memory();
	/* What is left goes with the kernel. */
	CHECK(send(open_new("left", 0), "x", 0, 0) == 0);
	guest_end(&g);
	CHECK(frame_used() <= 1);
	finished = true;
}

int main(void)
{
	int r = test_run(4096, body);

	return finished ? r : 1;
}
