/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets of AF_UNIX as programs of several fibers use them. */
#include <asm/fcntl.h>
#include <asm/ioctls.h>
#include <asm/socket.h>
#include <linux/poll.h>
#include <linux/time_types.h>
#include <linux/un.h>

#include "kernel/core/heap.h"
#include "kernel/fs/memfs.h"
#include "kernel/mm/space.h"
#include "kernel/net/control.h"
#include "kernel/net/unix.h"
#include "kernel/platform/sim/test_run.h"
#include "kernel/task/cred.h"
#include "kernel/vfs/names.h"

#define BASE ((uint64_t) 0x40000000)
#define ROOM ((uint64_t) 1 << 20)
#define IN   (BASE + ROOM)

static struct cred root_cred = { .effective = UINT64_MAX };
static struct cred user_cred = { .uid = 7, .euid = 7, .suid = 7, .fsuid = 7, .gid = 8, .egid = 8 };
static struct space *guest;
static struct path top;
static struct sock_actor root, user;
static int64_t result[8];
static int finished;

static void let_run(void)
{
	for (int n = 0; n < 40; n++)
		fiber_yield();
}

static struct sock_address path_address(const char *text)
{
	struct sock_address a = { .len = 2 + strlen(text) + 1, .family = AF_UNIX };

	memcpy(a.bytes + 2, text, strlen(text));
	return a;
}

static struct sock_address abstract_address(const char *text)
{
	struct sock_address a = { .len = 3 + strlen(text), .family = AF_UNIX };

	memcpy(a.bytes + 3, text, strlen(text));
	return a;
}

static struct control sent, got;

static int64_t send_by(const struct sock_actor *by, struct file *f, const char *text, uint64_t n,
		       unsigned int flags, struct sock_address *to)
{
	struct uio u;
	struct sock_message m = {
		.data = &u, .flags = flags, .by = by, .address = to, .control = &sent
	};

	if (text)
		CHECK(copy_out(guest, uva(BASE), text, (size_t) n) == 0);
	uio_one(&u, guest, uva(BASE), n);
	return socket_send(f, &m);
}

static int64_t put(struct file *f, const char *text)
{
	return send_by(&root, f, text, strlen(text), 0, NULL);
}

static unsigned int got_flags;
static struct sock_address got_from;

static int64_t get(struct file *f, uint64_t n, unsigned int flags)
{
	struct uio u;
	struct sock_message m = {
		.data = &u, .flags = flags, .by = &root, .address = &got_from, .control = &got
	};
	int64_t r;

	control_fini(&got);
	CHECK(zero_out(guest, uva(IN), 64) == 0);
	uio_one(&u, guest, uva(IN), n);
	r = socket_receive(f, &m);
	got_flags = m.ret_flags;
	return r;
}

static bool is(const char *text)
{
	char there[64] = "";

	CHECK(copy_in(guest, there, uva(IN), strlen(text)) == 0);
	return memcmp(there, text, strlen(text)) == 0;
}

static unsigned int ready(struct file *f)
{
	return f->ops->poll(f, NULL);
}

static int option(struct file *f, int name)
{
	int value = -1;
	size_t len = sizeof(value);

	CHECK(socket_get(f, SOL_SOCKET, name, &value, &len) == 0);
	return value;
}

static int set(struct file *f, int name, int value)
{
	return socket_set(f, &root, SOL_SOCKET, name, &value, sizeof(value));
}

static void pair_of(int type, struct file *p[static 2])
{
	CHECK(socket_make_pair(AF_UNIX, type | SOCK_NONBLOCK, 0, &root, p) == 0);
}

static void close_pair(struct file *p[static 2])
{
	file_unref(p[0]);
	file_unref(p[1]);
}

static void streams(void)
{
	struct sock_address a;
	struct file *p[2], *s;

	CHECK(socket_make(AF_UNIX, 99, 0, &root, &s) == -EINVAL);
	CHECK(socket_make(AF_UNIX, 4, 0, &root, &s) == -ESOCKTNOSUPPORT);
	CHECK(socket_make(AF_UNIX, SOCK_STREAM, 6, &root, &s) == -EPROTONOSUPPORT);
	CHECK(socket_make(4, SOCK_STREAM, 0, &root, &s) == -EAFNOSUPPORT);
	CHECK(socket_make(4, 10, 0, &root, &s) == -EAFNOSUPPORT);
	CHECK(socket_make(4, 11, 0, &root, &s) == -EINVAL);
	CHECK(socket_make(AF_UNIX, 15, 6, &root, &s) == -EINVAL);
	CHECK(socket_make(46, 15, 0, &root, &s) == -EAFNOSUPPORT);
	CHECK(socket_make(-1, 15, 0, &root, &s) == -EAFNOSUPPORT);
	pair_of(SOCK_STREAM, p);
	CHECK(ready(p[0]) == (POLLOUT | POLLWRNORM | POLLWRBAND) && get(p[0], 9, 0) == -EAGAIN);
	CHECK(put(p[0], "ab") == 2 && put(p[0], "cde") == 3 && ready(p[1]) & POLLIN);
	CHECK(get(p[1], 4, MSG_PEEK) == 4 && is("abcd") && get(p[1], 3, 0) == 3 && is("abc"));
	CHECK(get(p[1], 9, 0) == 2 && is("de") && !(ready(p[1]) & POLLIN));
	CHECK(send_by(&root, p[0], NULL, 1, MSG_OOB, NULL) == -EOPNOTSUPP);
	a = abstract_address("x");
	CHECK(send_by(&root, p[0], "x", 1, 0, &a) == -EISCONN);
	/* Until the sender's room is used up. */
	int64_t all = 0, n;

	while ((n = send_by(&root, p[0], NULL, 100000, 0, NULL)) > 0)
		all += n;
	CHECK(n == -EAGAIN && all > 200000 && all < 260000 && !(ready(p[0]) & POLLOUT));
	while ((n = get(p[1], 70000, 0)) > 0)
		all -= n;
	CHECK(n == -EAGAIN && all == 0 && ready(p[0]) & POLLOUT);
	CHECK(socket_name(p[0], true, &a) == 0 && a.len == 2 && a.family == AF_UNIX);
	/* One half closed, then the other. */
	CHECK(put(p[0], "zz") == 2 && socket_shutdown(p[0], SHUT_WR) == 0);
	CHECK(put(p[0], "q") == -EPIPE && socket_breaks(p[0]) && get(p[1], 9, 0) == 2);
	CHECK(get(p[1], 9, 0) == 0 && ready(p[1]) & POLLRDHUP && !(ready(p[1]) & POLLHUP));
	CHECK(put(p[1], "yy") == 2);
	file_unref(p[0]);
	/* What it never read is lost, and told once. */
	CHECK(ready(p[1]) & POLLHUP && ready(p[1]) & POLLERR);
	CHECK(get(p[1], 9, 0) == -ECONNRESET && get(p[1], 9, 0) == 0 && put(p[1], "y") == -EPIPE);
	file_unref(p[1]);
}

static struct file *blocked;

static void reader(void *arg)
{
	result[0] = get(blocked, 5, *(unsigned int *) arg);
	finished++;
	fiber_exit();
}

static void writer(void *arg)
{
	result[1] = send_by(&root, blocked, NULL, *(uint64_t *) arg, 0, NULL);
	finished++;
	fiber_exit();
}

static void waits(void)
{
	static unsigned int none, wait_all = MSG_WAITALL;
	static uint64_t much = 700000;
	struct __kernel_old_timeval t = { 0, 5000 };
	struct file *p[2];
	struct fiber *f;
	int64_t n, all = 0;

	CHECK(socket_make_pair(AF_UNIX, SOCK_STREAM, 0, &root, p) == 0);
	finished = 0;
	blocked = p[0];
	CHECK(sched_spawn(reader, &none, &f) == 0);
	let_run();
	CHECK(finished == 0 && put(p[1], "abc") == 3);
	let_run();
	CHECK(finished == 1 && result[0] == 3 && is("abc"));
	CHECK(sched_spawn(reader, &wait_all, &f) == 0);
	let_run();
	CHECK(put(p[1], "abc") == 3);
	let_run();
	CHECK(finished == 1 && put(p[1], "defg") == 4);
	let_run();
	CHECK(finished == 2 && result[0] == 5 && is("abcde") && get(p[0], 9, 0) == 2);
	CHECK(sched_spawn(writer, &much, &f) == 0);
	let_run();
	CHECK(finished == 2);
	while (all < (int64_t) much && (n = get(p[1], 33333, 0)) > 0) {
		all += n;
		let_run();
	}
	CHECK(finished == 3 && result[1] == (int64_t) much && all == (int64_t) much);
	CHECK(sched_spawn(reader, &none, &f) == 0);
	let_run();
	fiber_interrupt(f);
	let_run();
	CHECK(finished == 4 && result[0] == -ERESTARTSYS);
	CHECK(socket_set(p[0], &root, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t)) == 0);
	nsec_t from = sim_now();

	CHECK(get(p[0], 5, 0) == -EAGAIN && sim_now() - from == 5000000);
	CHECK(sched_spawn(reader, &none, &f) == 0);
	fiber_yield();
	fiber_interrupt(f);
	let_run();
	CHECK(finished == 5 && result[0] == -EINTR);
	/* Who waits hears that the other is gone. */
	CHECK(sched_spawn(reader, &none, &f) == 0);
	fiber_yield();
	file_unref(p[1]);
	let_run();
	CHECK(finished == 6 && result[0] == 0);
	file_unref(p[0]);
}

static struct file *new_socket(int type)
{
	struct file *f = NULL;

	CHECK(socket_make(AF_UNIX, type | SOCK_NONBLOCK, 0, &root, &f) == 0);
	return f;
}

static void connections(void)
{
	struct sock_address a = path_address("sock"), b = abstract_address("name"), from, no = a;
	struct file *l = new_socket(SOCK_STREAM), *c = new_socket(SOCK_STREAM), *d, *s, *t;
	struct walk w = { .root = &top, .start = &top, .who = &root_cred };
	struct sock_ucred cred;
	size_t len = sizeof(cred);
	struct path p;

	CHECK(ready(c) == (POLLOUT | POLLWRNORM | POLLWRBAND | POLLHUP));
	CHECK(put(c, "x") == -ENOTCONN && get(c, 1, 0) == -EINVAL);
	CHECK(socket_connect(c, &root, &a) == -ENOENT && socket_listen(l, &root, 1) == -EINVAL);
	CHECK(socket_bind(l, &root, &a) == 0 && socket_bind(l, &root, &b) == -EINVAL);
	CHECK(socket_bind(c, &root, &a) == -EADDRINUSE);
	no.family = 3;
	CHECK(socket_bind(c, &root, &no) == -EINVAL);
	CHECK(walk(&w, "sock", 0, &p) == 0 && inode_is(p.dentry->inode, S_IFSOCK) &&
	      (p.dentry->inode->mode & 0777) == 0755);
	path_unref(&p);
	CHECK(socket_connect(c, &root, &a) == -ECONNREFUSED);
	CHECK(socket_accept(l, &root, 0, NULL, &s) == -EINVAL && socket_listen(l, &root, 1) == 0);
	CHECK(option(l, SO_ACCEPTCONN) == 1 && socket_accept(l, &root, 0, NULL, &s) == -EAGAIN);
	CHECK(socket_connect(c, &user, &a) == -EACCES && socket_connect(c, &root, &a) == 0);
	CHECK(socket_connect(c, &root, &a) == -EISCONN && socket_connect(l, &root, &a) == -EINVAL);
	/* It may write before it is accepted. */
	CHECK(put(c, "early") == 5 && ready(l) == (POLLIN | POLLRDNORM));
	CHECK(socket_accept(l, &root, SOCK_NONBLOCK, &from, &s) == 0 && from.len == 2);
	CHECK(get(s, 9, 0) == 5 && is("early") && got_from.len == 0 && get(s, 9, 0) == -EAGAIN);
	CHECK(put(s, "hi") == 2 && get(c, 9, 0) == 2 && got_from.len == a.len &&
	      memcmp(got_from.bytes, a.bytes, a.len) == 0);
	CHECK(socket_name(s, false, &from) == 0 && from.len == a.len);
	CHECK(socket_get(s, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 && cred.pid == 100 &&
	      cred.uid == 0);
	/* Two more than listen said wait, the next one is told. */
	d = new_socket(SOCK_STREAM);
	t = new_socket(SOCK_STREAM);
	struct file *e = new_socket(SOCK_STREAM), *q = new_socket(SOCK_SEQPACKET);

	CHECK(socket_connect(q, &root, &a) == -EPROTOTYPE);
	file_unref(q);
	CHECK(socket_connect(d, &root, &a) == 0 && socket_connect(t, &root, &a) == 0);
	CHECK(socket_connect(e, &root, &a) == -EAGAIN);
	/* A listener that goes resets those that wait; its name stays and leads nowhere. */
	file_unref(l);
	CHECK(get(d, 1, 0) == -ECONNRESET && get(d, 1, 0) == 0 && ready(t) & POLLHUP);
	CHECK(put(s, "on") == 2 && socket_connect(e, &root, &a) == -ECONNREFUSED);
	CHECK(socket_bind(e, &root, &a) == -EADDRINUSE && names_remove(&w, "sock", 0) == 0);
	CHECK(socket_bind(e, &root, &a) == 0);
	file_unref(e);
	CHECK(names_remove(&w, "sock", 0) == 0);
	file_unref(d);
	file_unref(t);
	file_unref(s);
	file_unref(c);
	/* Abstract names are of one type, and of nobody's choice. */
	l = new_socket(SOCK_SEQPACKET);
	d = new_socket(SOCK_DGRAM);
	c = new_socket(SOCK_SEQPACKET);
	CHECK(socket_bind(l, &root, &b) == 0 && socket_bind(d, &root, &b) == 0 &&
	      socket_bind(c, &root, &b) == -EADDRINUSE);
	b.len = 2;
	CHECK(socket_bind(c, &root, &b) == 0 && socket_name(c, false, &from) == 0 && from.len == 8);
	b = abstract_address("name");
	CHECK(socket_listen(d, &root, 1) == -EOPNOTSUPP && socket_listen(l, &root, 5) == 0);
	CHECK(socket_connect(c, &user, &b) == 0 && socket_accept(l, &root, 0, &from, &s) == 0 &&
	      from.len == 8);
	CHECK(put(c, "one") == 3 && put(c, "") == 0 && put(c, "three") == 5);
	CHECK(get(s, 2, MSG_PEEK | MSG_TRUNC) == 3 && get(s, 2, 0) == 2 && got_flags == MSG_TRUNC);
	CHECK(get(s, 9, 0) == 0 && get(s, 9, 0) == 5 && is("three"));
	len = sizeof(cred);
	CHECK(socket_get(s, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 && cred.pid == 200 &&
	      cred.uid == 7 && cred.gid == 8);
	CHECK(socket_shutdown(l, SHUT_RD) == 0 && socket_accept(l, &root, 0, NULL, &t) == -EINVAL);
	file_unref(s);
	file_unref(c);
	file_unref(d);
	file_unref(l);
}

static struct sock_address wanted;

static void connecter(void *arg)
{
	(void) arg;
	result[2] = socket_connect(blocked, &root, &wanted);
	finished++;
	fiber_exit();
}

static void acceptor(void *arg)
{
	struct file *s;

	(void) arg;
	result[3] = socket_accept(blocked, &root, 0, NULL, &s);
	if (result[3] == 0)
		file_unref(s);
	finished++;
	fiber_exit();
}

static void slow_connections(void)
{
	struct file *l, *c[3], *s = NULL;
	struct fiber *f;

	wanted = abstract_address("slow");
	CHECK(socket_make(AF_UNIX, SOCK_STREAM, 0, &root, &l) == 0);
	CHECK(socket_bind(l, &root, &wanted) == 0 && socket_listen(l, &root, 0) == 0);
	for (int n = 0; n < 3; n++)
		CHECK(socket_make(AF_UNIX, SOCK_STREAM, 0, &root, &c[n]) == 0);
	finished = 0;
	blocked = l;
	CHECK(sched_spawn(acceptor, NULL, &f) == 0);
	let_run();
	CHECK(finished == 0 && socket_connect(c[0], &root, &wanted) == 0);
	let_run();
	CHECK(finished == 1 && result[3] == 0 && socket_connect(c[1], &root, &wanted) == 0);
	blocked = c[2];
	CHECK(sched_spawn(connecter, NULL, &f) == 0);
	let_run();
	CHECK(finished == 1 && socket_accept(l, &root, 0, NULL, &s) == 0);
	let_run();
	CHECK(finished == 2 && result[2] == 0);
	file_unref(s);
	file_unref(l);
	for (int n = 0; n < 3; n++)
		file_unref(c[n]);
}

static void datagrams(void)
{
	struct sock_address a = path_address("d"), b = abstract_address("b"), none = {};
	struct walk w = { .root = &top, .start = &top, .who = &root_cred };
	struct file *x = new_socket(SOCK_DGRAM), *y = new_socket(SOCK_DGRAM), *p[2];
	int64_t n = 0;

	CHECK(put(x, "a") == -ENOTCONN && !socket_breaks(x));
	CHECK(socket_bind(y, &root, &a) == 0 && socket_bind(x, &root, &b) == 0);
	CHECK(send_by(&root, x, "abc", 3, 0, &a) == 3 && get(y, 9, 0) == 3 && is("abc"));
	CHECK(got_from.len == b.len && memcmp(got_from.bytes, b.bytes, b.len) == 0);
	CHECK(send_by(&user, x, "abc", 3, 0, &a) == -EACCES);
	CHECK(socket_connect(x, &root, &a) == 0 && put(x, "") == 0 && put(x, "de") == 2);
	CHECK(get(y, 9, 0) == 0 && get(y, 1, 0) == 1 && got_flags == MSG_TRUNC);
	while (put(x, "m") == 1)
		n++;
	CHECK(n == DATAGRAMS_MOST + 1 && !(ready(x) & POLLOUT));
	CHECK(get(y, 9, 0) == 1 && ready(x) & POLLOUT && put(x, "m") == 1);
	CHECK(send_by(&root, x, NULL, 900000, 0, NULL) == -EMSGSIZE);
	/* Who is connected hears its peer alone. */
	CHECK(socket_connect(y, &root, &a) == 0 && put(x, "m") == -EPERM);
	none.len = 2;
	CHECK(socket_connect(y, &root, &none) == 0 && socket_shutdown(y, SHUT_RD) == 0);
	CHECK(put(x, "m") == -EPIPE);
	file_unref(y);
	CHECK(put(x, "m") == -ECONNREFUSED && put(x, "m") == -ENOTCONN);
	CHECK(names_remove(&w, "d", 0) == 0 && send_by(&root, x, "a", 1, 0, &a) == -ENOENT);
	CHECK(names_create(&w, "d", S_IFREG | 0644, 0, NULL) == 0);
	CHECK(send_by(&root, x, "a", 1, 0, &a) == -ECONNREFUSED && names_remove(&w, "d", 0) == 0);
	file_unref(x);
	pair_of(SOCK_DGRAM, p);
	for (n = 0; put(p[0], "m") == 1; n++)
		;
	CHECK(n > 1000); /* each other's alone: as much as the sender may have */
	close_pair(p);
}

static void options(void)
{
	struct __kernel_old_timeval t = { 3, 250000 };
	struct sock_actor by = user;
	struct file *s = new_socket(SOCK_DGRAM);
	char four[4] = "";
	size_t len = sizeof(t);

	CHECK(option(s, SO_TYPE) == SOCK_DGRAM && option(s, SO_DOMAIN) == AF_UNIX &&
	      option(s, SO_PROTOCOL) == 0 && option(s, SO_ERROR) == 0 &&
	      option(s, SO_SNDBUF) == 212992 && option(s, SO_ACCEPTCONN) == 0);
	CHECK(set(s, SO_SNDBUF, 10000) == 0 && option(s, SO_SNDBUF) == 20000);
	CHECK(set(s, SO_RCVBUF, 1) == 0 && option(s, SO_RCVBUF) == 4608);
	CHECK(set(s, SO_SNDBUF, 1 << 30) == 0 && option(s, SO_SNDBUF) == 425984);
	int big = 1 << 20;

	CHECK(socket_set(s, &by, SOL_SOCKET, SO_SNDBUFFORCE, &big, 4) == -EPERM);
	CHECK(set(s, SO_SNDBUFFORCE, big) == 0 && option(s, SO_SNDBUF) == 2 << 20);
	CHECK(set(s, SO_PASSCRED, 1) == 0 && option(s, SO_PASSCRED) == 1);
	CHECK(set(s, SO_REUSEADDR, 5) == 0 && option(s, SO_REUSEADDR) == 1);
	CHECK(set(s, SO_TYPE, 1) == -ENOPROTOOPT && set(s, 77, 1) == -ENOPROTOOPT);
	CHECK(socket_set(s, &root, 6, 1, &big, 4) == -EOPNOTSUPP);
	CHECK(socket_set(s, &root, SOL_SOCKET, SO_SNDTIMEO, &t, 4) == -EINVAL);
	CHECK(socket_set(s, &root, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t)) == 0);
	t.tv_sec = 0;
	CHECK(socket_get(s, SOL_SOCKET, SO_SNDTIMEO, &t, &len) == 0 && t.tv_sec == 3 &&
	      t.tv_usec == 250000);
	t.tv_usec = 1000000;
	CHECK(socket_set(s, &root, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t)) == -EDOM);
	len = 2;
	CHECK(socket_get(s, SOL_SOCKET, SO_TYPE, four, &len) == 0 && len == 2 && four[0] == 2);
	file_unref(s);
}

static struct descriptors *table;

static int64_t descriptor(struct file *f)
{
	file_ref(f);
	return descriptors_add(table, f, false, 0, 1024);
}

struct fds {
	uint64_t len;
	int32_t level, type, fd[4];
};

static int attach(const int64_t *fd, size_t count)
{
	struct fds c = { 16 + 4 * count, SOL_SOCKET, SCM_RIGHTS, {} };

	for (size_t n = 0; n < count; n++)
		c.fd[n] = (int32_t) fd[n];
	return control_parse(&sent, &c, (size_t) c.len, table, &root);
}

static void rights(void)
{
	struct file *p[2], *q[2];
	struct fds c;
	int64_t fd[3], bad[] = { 99 };
	unsigned int flags = 0;

	table = descriptors_new();
	pair_of(SOCK_STREAM, p);
	pair_of(SOCK_STREAM, q);
	fd[0] = descriptor(q[0]);
	fd[1] = descriptor(q[1]);
	CHECK(attach(bad, 1) == -EBADF && attach(fd, 2) == 0 && sent.rights->count == 2);
	CHECK(put(p[0], "take") == 4 && !sent.rights && unix_rights_in_flight() == 2);
	CHECK(attach(fd, 1) == 0 && put(p[0], "more") == 4);
	CHECK(descriptors_close(table, 0) == 0 && descriptors_close(table, 1) == 0);
	file_unref(q[0]);
	file_unref(q[1]);
	/* A look gives files of its own; what is read ends where files came. */
	CHECK(get(p[1], 2, MSG_PEEK) == 2 && got.rights && got.rights->count == 2);
	CHECK(get(p[1], 99, 0) == 4 && got.rights->count == 2 && unix_rights_in_flight() == 1);
	CHECK(control_write(&got, &c, sizeof(c), table, 1024, true, &flags) == 24 && !flags);
	CHECK(c.len == 24 && c.type == SCM_RIGHTS && c.fd[0] == 0 && c.fd[1] == 1 &&
	      descriptors_cloexec(table, 1) == 1);
	struct file *a = descriptors_get(table, 0), *b = descriptors_get(table, 1);

	CHECK(put(a, "through") == 7 && get(b, 9, 0) == 7 && is("through"));
	file_unref(a);
	file_unref(b);
	/* Without room for it the rest is closed, and said. */
	CHECK(get(p[1], 99, 0) == 4 && got.rights->count == 1);
	CHECK(control_write(&got, &c, 18, table, 1024, true, &flags) == 0 && flags == MSG_CTRUNC);
	CHECK(unix_rights_in_flight() == 0);
	descriptors_unref(table);
	close_pair(p);
}

/* A socket whose only owners are queues of each other: closed, with all that they hold. */
static void circles(void)
{
	struct file *p[2], *q[2], *l, *c;
	struct sock_address a = abstract_address("circle");
	int64_t fd[3];

	table = descriptors_new();
	/* Into its own queue. */
	pair_of(SOCK_STREAM, p);
	fd[0] = descriptor(p[0]);
	CHECK(attach(fd, 1) == 0 && put(p[1], "x") == 1);
	CHECK(descriptors_close(table, 0) == 0);
	file_unref(p[0]);
	CHECK(unix_rights_in_flight() == 1);
	file_unref(p[1]);
	CHECK(unix_rights_in_flight() == 0);
	/* Both in each other's, and a chain that hangs from them; one that is used stays. */
	pair_of(SOCK_DGRAM, p);
	pair_of(SOCK_STREAM, q);
	fd[0] = descriptor(p[0]);
	fd[1] = descriptor(p[1]);
	fd[2] = descriptor(q[0]);
	CHECK(attach(fd, 3) == 0 && put(p[1], "x") == 1);
	CHECK(attach(fd, 3) == 0 && put(p[0], "x") == 1);
	CHECK(attach(fd, 1) == 0 && put(q[1], "x") == 1);
	descriptors_unref(table);
	file_unref(q[0]);
	file_unref(p[0]);
	file_unref(p[1]);
	CHECK(unix_rights_in_flight() == 7);
	CHECK(get(q[1], 1, 0) == -EAGAIN && put(q[1], "y") == 1);
	file_unref(q[1]);
	CHECK(unix_rights_in_flight() == 0);
	/* A listener in the queue of a connection that it never accepted. */
	table = descriptors_new();
	l = new_socket(SOCK_STREAM);
	c = new_socket(SOCK_STREAM);
	CHECK(socket_bind(l, &root, &a) == 0 && socket_listen(l, &root, 1) == 0 &&
	      socket_connect(c, &root, &a) == 0);
	fd[0] = descriptor(l);
	CHECK(attach(fd, 1) == 0 && put(c, "x") == 1);
	descriptors_unref(table);
	file_unref(l);
	file_unref(c);
	CHECK(unix_rights_in_flight() == 0);
	/* A long chain, each in the next one's queue: closed without recursion. */
	table = descriptors_new();
	pair_of(SOCK_STREAM, p);
	for (int n = 0; n < 3000; n++) {
		pair_of(SOCK_STREAM, q);
		fd[0] = descriptor(p[0]);
		fd[1] = descriptor(p[1]);
		CHECK(attach(fd, 2) == 0 && put(q[0], "x") == 1);
		CHECK(descriptors_close(table, (uint64_t) fd[0]) == 0 &&
		      descriptors_close(table, (uint64_t) fd[1]) == 0);
		close_pair(p);
		p[0] = q[0];
		p[1] = q[1];
	}
	CHECK(unix_rights_in_flight() == 6000);
	close_pair(p);
	CHECK(unix_rights_in_flight() == 0);
	descriptors_unref(table);
}

static void too_many(void)
{
	struct file *p[2], *q[2];
	int64_t fd[2];
	size_t n = 0;

	table = descriptors_new();
	pair_of(SOCK_STREAM, p);
	pair_of(SOCK_STREAM, q);
	CHECK(set(p[0], SO_SNDBUFFORCE, 1 << 28) == 0);
	fd[0] = descriptor(q[0]);
	fd[1] = descriptor(q[1]);
	while (attach(fd, 2) == 0 && put(p[0], "x") == 1)
		n++;
	CHECK(n == RIGHTS_IN_FLIGHT / 2 && put(p[0], "x") == -ETOOMANYREFS);
	control_fini(&sent);
	CHECK(put(p[0], "x") == 1);
	close_pair(p);
	CHECK(unix_rights_in_flight() == 0);
	close_pair(q);
	descriptors_unref(table);
}

static void credentials(void)
{
	struct {
		uint64_t len;
		int32_t level, type;
		struct sock_ucred cred;
	} c = { 28, SOL_SOCKET, SCM_CREDENTIALS, { 100, 0, 0 } };
	struct sock_actor elsewhere = root;
	unsigned int flags = 0;
	struct file *p[2];

	elsewhere.numbers = 5;
	pair_of(SOCK_STREAM, p);
	CHECK(put(p[0], "x") == 1 && get(p[1], 9, 0) == 1 && !got.has_cred);
	CHECK(set(p[1], SO_PASSCRED, 1) == 0 && put(p[0], "a") == 1 &&
	      send_by(&user, p[0], "b", 1, 0, NULL) == 1);
	CHECK(get(p[1], 9, 0) == 1 && got.has_cred && got.sender.cred.pid == 100 &&
	      got.sender.cred.uid == 0);
	CHECK(get(p[1], 9, 0) == 1 && got.sender.cred.pid == 200 && got.sender.cred.gid == 8);
	CHECK(control_write(&got, &c, sizeof(c), NULL, 0, false, &flags) == 32 &&
	      c.type == SCM_CREDENTIALS && c.cred.uid == 7 && c.len == 28 && !flags);
	/* Of another container: who it is, not under which number. */
	CHECK(put(p[0], "d") == 1 && send_by(&elsewhere, p[0], "e", 1, 0, NULL) == 1);
	CHECK(get(p[1], 9, 0) == 1 && get(p[1], 9, 0) == 1 && got.sender.cred.pid == 100);
	CHECK(control_write(&got, &c, sizeof(c), NULL, 0, false, &flags) == 32 && c.cred.pid == 0 &&
	      c.cred.gid == 0 && c.len == 28);
	c.cred.uid = 7;
	c.cred.pid = 1;
	CHECK(control_parse(&sent, &c, 28, NULL, &user) == -EPERM);
	CHECK(control_parse(&sent, &c, 28, NULL, &root) == 0 && put(p[0], "c") == 1);
	control_fini(&sent);
	CHECK(get(p[1], 9, 0) == 1 && got.sender.cred.pid == 1 && got.sender.cred.uid == 7);
	c.len = 27;
	CHECK(control_parse(&sent, &c, 28, NULL, &root) == -EINVAL);
	c.len = 99;
	CHECK(control_parse(&sent, &c, 28, NULL, &root) == -EINVAL);
	close_pair(p);
}

static void no_memory(void)
{
	for (unsigned long n = 1; n < 24; n++) {
		struct sock_address a = path_address("m"), z = { .len = 2, .family = AF_UNIX };
		struct walk w = { .root = &top, .start = &top, .who = &root_cred };
		struct file *p[2], *l = new_socket(SOCK_STREAM), *c = new_socket(SOCK_STREAM), *s;

		heap_fail_at(n);
		bool paired = socket_make_pair(AF_UNIX, SOCK_DGRAM, 0, &root, p) == 0;
		bool said = paired && put(p[0], "abc") == 3;
		bool bound = socket_bind(l, &root, &a) == 0;
		bool named = socket_bind(c, &root, &z) == 0;
		bool joined = bound && socket_listen(l, &root, 1) == 0 &&
			      socket_connect(c, &root, &a) == 0;
		bool accepted = joined && socket_accept(l, &root, 0, NULL, &s) == 0;

		heap_fail_at(0);
		CHECK(paired + said + bound + named + joined + accepted >= 3);
		if (paired)
			close_pair(p);
		if (accepted)
			file_unref(s);
		file_unref(l);
		file_unref(c);
		(void) names_remove(&w, "m", 0);
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
	root = (struct sock_actor){
		{ .root = &top, .start = &top, .who = &root_cred }, 100, 022, 0
	};
	user = (struct sock_actor){
		{ .root = &top, .start = &top, .who = &user_cred }, 200, 022, 0
	};
	guest = space_new(&wide);
	CHECK(space_map(guest,
			&(struct space_mapping){ .at = BASE,
						 .len = 3 * ROOM,
						 .prot = PLAT_READ | PLAT_WRITE,
						 .fixed = true },
			&at) == 0);
	streams();
	waits();
	connections();
	slow_connections();
	datagrams();
	options();
	rights();
	circles();
	too_many();
	credentials();
	no_memory();
	control_fini(&got);
	path_unref(&top);
	mount_space_unref(mounts);
	space_unref(guest);
}

int main(void)
{
	return test_run(8192, all);
}
