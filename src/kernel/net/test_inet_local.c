/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets of AF_INET and AF_INET6 on the loopback, as programs of several fibers use them. */
#include "kernel/net/inet.h"

#include <asm/fcntl.h>
#include <asm/ioctls.h>
#include <asm/socket.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/poll.h>
#include <linux/tcp.h>

#include "kernel/core/heap.h"
#include "kernel/mm/space.h"
#include "kernel/net/control.h"
#include "kernel/platform/sim/test_run.h"
#include "kernel/task/cred.h"

#define BASE ((uint64_t) 0x40000000)
#define ROOM ((uint64_t) 1 << 20)
#define IN   (BASE + ROOM)
#define OUT  (POLLOUT | POLLWRNORM)
#define FREE (OUT | POLLWRBAND) /* of datagrams */
#define HUP  (POLLIN | POLLRDNORM | POLLRDHUP)

static struct cred root_cred = { .effective = UINT64_MAX };
static struct cred user_cred = { .uid = 7, .euid = 7, .suid = 7, .fsuid = 7 };
static struct space *guest;
static struct sock_actor root = { .walk = { .who = &root_cred } },
			 user = { .walk = { .who = &user_cred } };
static int64_t result[4];
static int finished;

static void let_run(void)
{
	for (int n = 0; n < 40; n++)
		fiber_yield();
}

/* 127.0.0.`host`, or 0.0.0.0. */
static struct sock_address four(int host, uint16_t port)
{
	struct sock_address a = { .len = 16, .family = AF_INET };

	a.bytes[2] = (unsigned char) (port >> 8);
	a.bytes[3] = (unsigned char) port;
	if (host) {
		a.bytes[4] = 127;
		a.bytes[7] = (unsigned char) host;
	}
	return a;
}

/* ::host; of `mapped` ::ffff:127.0.0.host. */
static struct sock_address six(int host, uint16_t port, bool mapped)
{
	struct sock_address a = { .len = 28, .family = AF_INET6 };

	a.bytes[2] = (unsigned char) (port >> 8);
	a.bytes[3] = (unsigned char) port;
	a.bytes[23] = (unsigned char) host;
	if (mapped) {
		a.bytes[18] = a.bytes[19] = 0xff;
		a.bytes[20] = 127;
	}
	return a;
}

static uint16_t port_of(const struct sock_address *a)
{
	return (uint16_t) (a->bytes[2] << 8 | a->bytes[3]);
}

static struct file *new_of(int domain, int type)
{
	struct file *f = NULL;

	CHECK(socket_make(domain, type | SOCK_NONBLOCK, 0, &root, &f) == 0);
	return f;
}

static struct file *new_stream(void)
{
	return new_of(AF_INET, SOCK_STREAM);
}

static int64_t send_to(struct file *f, const char *text, uint64_t n, unsigned int flags,
		       struct sock_address *to)
{
	struct control none = {};
	struct uio u;
	struct sock_message m = {
		.data = &u, .flags = flags, .by = &root, .address = to, .control = &none
	};

	if (text)
		CHECK(copy_out(guest, uva(BASE), text, (size_t) n) == 0);
	uio_one(&u, guest, uva(BASE), n);
	return socket_send(f, &m);
}

static int64_t put(struct file *f, const char *text)
{
	return send_to(f, text, strlen(text), 0, NULL);
}

static struct sock_address got_from;
static unsigned int got_flags;

static int64_t get_at(struct file *f, uint64_t at, uint64_t n, unsigned int flags)
{
	struct control none = {};
	struct uio u;
	struct sock_message m = {
		.data = &u, .flags = flags, .by = &root, .address = &got_from, .control = &none
	};
	int64_t r;

	uio_one(&u, guest, uva(at), n);
	r = socket_receive(f, &m);
	got_flags = m.ret_flags;
	return r;
}

static int64_t get(struct file *f, uint64_t n, unsigned int flags)
{
	CHECK(zero_out(guest, uva(IN), 64) == 0);
	return get_at(f, IN, n, flags);
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

static int error_of(struct file *f)
{
	int value = -1;
	size_t len = sizeof(value);

	CHECK(socket_get(f, SOL_SOCKET, SO_ERROR, &value, &len) == 0);
	return value;
}

static int set(struct file *f, int level, int name, int value)
{
	return socket_set(f, &root, level, name, &value, sizeof(value));
}

static int option(struct file *f, int level, int name)
{
	int value = -1;
	size_t len = sizeof(value);
	int r = socket_get(f, level, name, &value, &len);

	return r < 0 ? r : value;
}

static int bind_to(struct file *f, struct sock_address a)
{
	return socket_bind(f, &root, &a);
}

static int join_to(struct file *f, struct sock_address a)
{
	return socket_connect(f, &root, &a);
}

static struct file *listener(struct sock_address a, int backlog)
{
	struct file *f = new_of(a.family, SOCK_STREAM);

	CHECK(bind_to(f, a) == 0 && socket_listen(f, &root, backlog) == 0);
	return f;
}

static struct file *accepted(struct file *l)
{
	struct file *f = NULL;

	CHECK(socket_accept(l, &root, SOCK_NONBLOCK, &got_from, &f) == 0);
	return f;
}

/* Both ends of a connection. */
static void pair_of(struct file *p[static 2])
{
	struct file *l = listener(four(1, 80), 1);

	p[0] = new_stream();
	CHECK(join_to(p[0], four(1, 80)) == -EINPROGRESS && join_to(p[0], four(1, 80)) == 0);
	p[1] = accepted(l);
	file_unref(l);
}

static void close_pair(struct file *p[static 2])
{
	file_unref(p[0]);
	file_unref(p[1]);
}

static void made(void)
{
	struct sock_address a = four(1, 80);
	struct file *f, *p[2];

	CHECK(socket_make(AF_INET, 3, 0, &root, &f) == -EPROTONOSUPPORT);
	CHECK(socket_make(AF_INET, SOCK_STREAM, 17, &root, &f) == -EPROTONOSUPPORT);
	CHECK(socket_make_pair(AF_INET, SOCK_STREAM, 0, &root, p) == -EOPNOTSUPP);
	f = new_stream();
	CHECK(option(f, SOL_SOCKET, SO_PROTOCOL) == 6 && option(f, SOL_SOCKET, SO_DOMAIN) == 2);
	CHECK(ready(f) == (OUT | POLLHUP) && put(f, "x") == -EPIPE && get(f, 1, 0) == -ENOTCONN);
	CHECK(socket_name(f, false, &a) == 0 && a.len == 16 && a.bytes[4] == 0 && !port_of(&a));
	CHECK(socket_name(f, true, &a) == -ENOTCONN && socket_shutdown(f, SHUT_WR) == -ENOTCONN);
	/* Places that are not here. */
	a = four(1, 80);
	a.bytes[4] = 10;
	CHECK(join_to(f, a) == -ENETUNREACH && bind_to(f, a) == -EADDRNOTAVAIL);
	a.len = 15;
	CHECK(join_to(f, a) == -EINVAL && bind_to(f, a) == -EINVAL);
	CHECK(join_to(f, six(1, 80, false)) == -EAFNOSUPPORT);
	a = four(1, 80);
	CHECK(socket_bind(f, &user, &a) == -EACCES);
	/* Nobody is there: told as soon as who calls looks. */
	CHECK(join_to(f, a) == -EINPROGRESS);
	CHECK(ready(f) == (OUT | HUP | POLLHUP | POLLERR) && error_of(f) == ECONNREFUSED);
	CHECK(error_of(f) == 0);
	file_unref(f);
	CHECK(socket_make(AF_INET, SOCK_STREAM, 6, &root, &f) == 0);
	CHECK(join_to(f, four(1, 80)) == -ECONNREFUSED && error_of(f) == 0);
	file_unref(f);
}

static void streams(void)
{
	struct sock_address a, b;
	struct file *p[2];
	int64_t n, all = 0;

	pair_of(p);
	CHECK(got_from.len == 16 && port_of(&got_from) >= INET_PORT_FIRST);
	CHECK(socket_name(p[0], false, &a) == 0 && port_of(&a) == port_of(&got_from));
	CHECK(socket_name(p[1], true, &b) == 0 && memcmp(a.bytes, b.bytes, 16) == 0);
	CHECK(socket_name(p[0], true, &b) == 0 && port_of(&b) == 80 && b.bytes[4] == 127);
	CHECK(join_to(p[0], four(1, 80)) == -EISCONN && ready(p[0]) == OUT);
	CHECK(get(p[0], 9, 0) == -EAGAIN && get(p[0], 0, 0) == -EAGAIN);
	CHECK(put(p[0], "ab") == 2 && put(p[0], "cde") == 3 && ready(p[1]) & POLLIN);
	CHECK(get(p[1], 4, MSG_PEEK) == 4 && is("abcd") && get(p[1], 3, 0) == 3 && is("abc"));
	CHECK(get(p[1], 1, MSG_TRUNC) == 1 && get(p[1], 9, 0) == 1 && is("e"));
	CHECK(send_to(p[0], "x", 1, MSG_OOB, NULL) == -EOPNOTSUPP &&
	      get(p[1], 1, MSG_OOB) == -EINVAL);
	CHECK(send_to(p[0], "x", 1, 0, &a) == 1 && get(p[1], 9, 0) == 1);
	CHECK(get_at(p[1], 0x1000, 5, 0) == -EAGAIN && put(p[0], "kept") == 4);
	CHECK(get_at(p[1], 0x1000, 5, 0) == -EFAULT && get(p[1], 5, 0) == 4 && is("kept"));
	while ((n = send_to(p[0], NULL, 100000, 0, NULL)) > 0)
		all += n;
	CHECK(n == -EAGAIN && all > 400000 && !(ready(p[0]) & POLLOUT));
	while ((n = get(p[1], 70000, 0)) > 0)
		all -= n;
	CHECK(n == -EAGAIN && all == 0 && ready(p[0]) & POLLOUT);
	/* One half closed, then the other. */
	CHECK(put(p[0], "zz") == 2 && socket_shutdown(p[0], SHUT_WR) == 0);
	CHECK(put(p[0], "q") == -EPIPE && socket_breaks(p[0]) && get(p[1], 9, 0) == 2);
	CHECK(get(p[1], 9, 0) == 0 && ready(p[1]) == (OUT | HUP));
	CHECK(put(p[1], "yy") == 2 && get(p[0], 9, 0) == 2);
	/* What is sent to nobody is lost, and the next is told. */
	file_unref(p[0]);
	CHECK(put(p[1], "yy") == 2 && ready(p[1]) & POLLHUP && ready(p[1]) & POLLERR);
	CHECK(put(p[1], "yy") == -EPIPE && put(p[1], "yy") == -EPIPE && get(p[1], 9, 0) == 0);
	file_unref(p[1]);
	/* What the other never read cuts it off. */
	pair_of(p);
	CHECK(put(p[1], "yy") == 2 && put(p[0], "zz") == 2);
	file_unref(p[0]);
	CHECK(get(p[1], 9, 0) == 2 && get(p[1], 9, 0) == -ECONNRESET && get(p[1], 9, 0) == 0);
	CHECK(put(p[1], "y") == -EPIPE);
	file_unref(p[1]);
	/* And so does who lingers for no time. */
	pair_of(p);
	CHECK(socket_set(p[0], &root, SOL_SOCKET, SO_LINGER, (const int[2]){ 1, 0 }, 8) == 0);
	file_unref(p[0]);
	CHECK(error_of(p[1]) == ECONNRESET);
	file_unref(p[1]);
	pair_of(p);
	CHECK(join_to(p[0], (struct sock_address){ .len = 2, .family = AF_UNSPEC }) == 0);
	CHECK(get(p[1], 9, 0) == -ECONNRESET && socket_name(p[0], true, &a) == -ENOTCONN);
	CHECK(join_to(p[0], four(1, 80)) == -EINPROGRESS && error_of(p[0]) == ECONNREFUSED);
	close_pair(p);
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
	result[1] = send_to(blocked, NULL, *(uint64_t *) arg, 0, NULL);
	finished++;
	fiber_exit();
}

static void caller(void *arg)
{
	result[2] = join_to(arg, four(1, 81));
	finished++;
	fiber_exit();
}

static void accepter(void *arg)
{
	struct file *f = NULL;

	result[3] = socket_accept(arg, &root, 0, NULL, &f);
	file_unref(f);
	finished++;
	fiber_exit();
}

static void blocking(struct file *f)
{
	f->flags &= ~(unsigned int) O_NONBLOCK;
}

static void waits(void)
{
	static unsigned int none, wait_all = MSG_WAITALL;
	static uint64_t much = 3000000;
	struct file *p[2], *l, *more[3];
	struct fiber *f;
	int64_t n, all = 0;

	pair_of(p);
	blocking(p[0]);
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
	CHECK(sched_spawn(reader, &none, &f) == 0);
	let_run();
	file_unref(p[1]);
	let_run();
	CHECK(finished == 5 && result[0] == 0);
	file_unref(p[0]);
	/* A backlog of one more than was asked for; who comes then waits. */
	l = listener(four(1, 81), 0);
	for (size_t k = 0; k < 3; k++)
		more[k] = new_stream();
	CHECK(join_to(more[0], four(1, 81)) == -EINPROGRESS && ready(more[0]) == OUT);
	CHECK(join_to(more[1], four(1, 81)) == -EINPROGRESS && ready(more[1]) == 0);
	CHECK(join_to(more[1], four(1, 81)) == -EALREADY && put(more[1], "x") == -EAGAIN);
	blocking(more[2]);
	CHECK(sched_spawn(caller, more[2], &f) == 0);
	let_run();
	CHECK(finished == 5 && ready(l) & POLLIN);
	p[0] = accepted(l);
	CHECK(ready(more[1]) == OUT && error_of(more[1]) == 0 && finished == 5);
	CHECK(join_to(more[1], four(1, 81)) == 0 && join_to(more[1], four(1, 81)) == -EISCONN);
	p[1] = accepted(l);
	let_run();
	CHECK(finished == 6 && result[2] == 0);
	close_pair(p);
	/* It ends, and cuts off who is in the backlog. */
	p[0] = new_stream();
	CHECK(join_to(p[0], four(1, 81)) == -EINPROGRESS && ready(p[0]) == 0);
	file_unref(l);
	CHECK(error_of(p[0]) == ECONNREFUSED && error_of(more[2]) == ECONNRESET);
	file_unref(p[0]);
	for (size_t k = 0; k < 3; k++)
		file_unref(more[k]);
	/* Who accepts hears that it listens no more. */
	l = listener(four(1, 81), 0);
	blocking(l);
	CHECK(sched_spawn(accepter, l, &f) == 0);
	let_run();
	CHECK(finished == 6 && socket_shutdown(l, SHUT_RD) == 0);
	let_run();
	CHECK(finished == 7 && result[3] == -EINVAL);
	file_unref(l);
}

static void ports(void)
{
	struct file *a = new_stream(), *b = new_stream(), *l, *s, *c;
	struct sock_address name;

	CHECK(bind_to(a, four(0, 0)) == 0 && socket_name(a, false, &name) == 0);
	CHECK(port_of(&name) >= INET_PORT_FIRST && port_of(&name) <= INET_PORT_LAST);
	CHECK(bind_to(a, four(0, 5000)) == -EINVAL);
	CHECK(bind_to(b, four(1, port_of(&name))) == -EADDRINUSE);
	/* Another address, or a socket of datagrams, is another place. */
	file_unref(a);
	a = new_stream();
	c = new_of(AF_INET, SOCK_DGRAM);
	CHECK(bind_to(a, four(2, 5000)) == 0 && bind_to(b, four(1, 5000)) == 0);
	CHECK(bind_to(c, four(1, 5000)) == 0);
	file_unref(a);
	file_unref(b);
	file_unref(c);
	/* SO_REUSEADDR: beside what does not listen. */
	a = new_stream();
	b = new_stream();
	CHECK(set(a, SOL_SOCKET, SO_REUSEADDR, 1) == 0 && set(b, SOL_SOCKET, SO_REUSEADDR, 1) == 0);
	CHECK(bind_to(a, four(0, 5000)) == 0 && bind_to(b, four(0, 5000)) == 0);
	CHECK(socket_listen(a, &root, 5) == 0 && socket_listen(b, &root, 5) == -EADDRINUSE);
	file_unref(b);
	b = new_stream();
	CHECK(set(b, SOL_SOCKET, SO_REUSEADDR, 1) == 0 && bind_to(b, four(1, 5000)) == -EADDRINUSE);
	/* What a listener left behind is no hindrance to its next life, with it. */
	c = new_stream();
	CHECK(join_to(c, four(0, 5000)) == -EINPROGRESS);
	s = accepted(a);
	file_unref(a);
	CHECK(bind_to(b, four(0, 5000)) == 0 && socket_listen(b, &root, 5) == 0);
	a = new_stream();
	CHECK(bind_to(a, four(0, 5000)) == -EADDRINUSE);
	file_unref(b);
	CHECK(bind_to(a, four(0, 5000)) == -EADDRINUSE);
	CHECK(put(c, "x") == 1 && get(s, 9, 0) == 1);
	file_unref(s);
	CHECK(bind_to(a, four(0, 5000)) == 0);
	file_unref(a);
	file_unref(c);
	/* SO_REUSEPORT: several of one user's share what comes. */
	a = new_stream();
	b = new_stream();
	c = new_stream();
	CHECK(set(a, SOL_SOCKET, SO_REUSEPORT, 1) == 0 && set(b, SOL_SOCKET, SO_REUSEPORT, 1) == 0);
	CHECK(set(c, SOL_SOCKET, SO_REUSEPORT, 1) == 0 && option(c, SOL_SOCKET, SO_REUSEPORT) == 1);
	name = four(0, 5000);
	CHECK(bind_to(a, name) == 0 && bind_to(b, name) == 0);
	CHECK(socket_bind(c, &user, &name) == -EADDRINUSE);
	CHECK(socket_listen(a, &root, 50) == 0 && socket_listen(b, &root, 50) == 0);
	bool first = false, second = false;

	for (int n = 0; n < 200 && !(first && second); n++) {
		s = new_stream();
		CHECK(join_to(s, four(1, 5000)) == -EINPROGRESS);
		first |= ready(a) & POLLIN;
		second |= ready(b) & POLLIN;
		file_unref(s);
	}
	CHECK(first && second);
	file_unref(a);
	file_unref(b);
	file_unref(c);
	/* Without bind(2) it is the wildcard, and any port. */
	a = listener(four(0, 5000), 5);
	b = new_stream();
	CHECK(set(b, SOL_SOCKET, SO_REUSEADDR, 1) == 0 && bind_to(b, four(2, 5000)) == -EADDRINUSE);
	CHECK(socket_listen(b, &root, 5) == 0 && socket_name(b, false, &name) == 0);
	c = new_stream();
	CHECK(name.bytes[4] == 0 && join_to(c, four(3, port_of(&name))) == -EINPROGRESS);
	l = accepted(b);
	CHECK(got_from.bytes[4] == 127 && got_from.bytes[7] == 1);
	CHECK(socket_name(l, false, &name) == 0 && name.bytes[7] == 3);
	file_unref(l);
	file_unref(a);
	file_unref(b);
	file_unref(c);
}

static void versions(void)
{
	struct file *l = listener(six(0, 6000, false), 5), *c = new_stream(), *s, *v;
	struct sock_address name;

	/* One that is for both: IPv4 comes mapped. */
	CHECK(join_to(c, four(1, 6000)) == -EINPROGRESS);
	s = accepted(l);
	CHECK(got_from.len == 28 && got_from.bytes[18] == 0xff && got_from.bytes[20] == 127);
	CHECK(put(c, "four") == 4 && get(s, 9, 0) == 4 && is("four"));
	file_unref(s);
	file_unref(c);
	c = new_of(AF_INET6, SOCK_STREAM);
	CHECK(join_to(c, six(0, 6000, false)) == -EINPROGRESS && socket_name(c, true, &name) == 0);
	CHECK(name.bytes[23] == 1 && option(c, IPPROTO_IPV6, IPV6_V6ONLY) == 0);
	s = accepted(l);
	CHECK(got_from.bytes[23] == 1 && got_from.bytes[18] == 0);
	file_unref(s);
	file_unref(c);
	c = new_of(AF_INET6, SOCK_STREAM);
	CHECK(join_to(c, six(1, 6000, true)) == -EINPROGRESS);
	s = accepted(l);
	CHECK(socket_name(s, false, &name) == 0 && name.bytes[18] == 0xff && name.bytes[23] == 1);
	file_unref(s);
	file_unref(c);
	CHECK(set(l, IPPROTO_IPV6, IPV6_V6ONLY, 1) == -EINVAL);
	v = new_stream();
	CHECK(bind_to(v, four(0, 6000)) == -EADDRINUSE);
	file_unref(l);
	/* And one that is not. */
	l = new_of(AF_INET6, SOCK_STREAM);
	CHECK(set(l, IPPROTO_IPV6, IPV6_V6ONLY, 1) == 0 &&
	      bind_to(l, six(1, 6000, true)) == -EINVAL);
	CHECK(bind_to(l, six(0, 6000, false)) == 0 && socket_listen(l, &root, 5) == 0);
	CHECK(bind_to(v, four(0, 6000)) == 0);
	c = new_stream();
	CHECK(join_to(c, four(1, 6000)) == -EINPROGRESS && error_of(c) == ECONNREFUSED);
	file_unref(c);
	c = new_of(AF_INET6, SOCK_STREAM);
	CHECK(bind_to(c, four(1, 0)) == -EINVAL && bind_to(c, six(9, 0, false)) == -EADDRNOTAVAIL);
	CHECK(bind_to(c, six(1, 0, false)) == 0 && join_to(c, six(1, 6000, true)) == -ENETUNREACH);
	file_unref(c);
	file_unref(v);
	file_unref(l);
}

static void datagrams(void)
{
	struct file *a = new_of(AF_INET, SOCK_DGRAM), *b = new_of(AF_INET, SOCK_DGRAM),
		    *c = new_of(AF_INET6, SOCK_DGRAM), *stream;
	struct sock_address to = four(1, 7000), name;
	int64_t n, all = 0;

	CHECK(bind_to(a, four(0, 7000)) == 0 && ready(a) == FREE && put(b, "x") == -EDESTADDRREQ);
	CHECK(send_to(b, "one", 3, 0, &to) == 3 && send_to(b, "", 0, 0, &to) == 0);
	CHECK(send_to(b, "three", 5, 0, &to) == 5 && ready(a) & POLLIN);
	CHECK(socket_name(b, false, &name) == 0 && name.bytes[4] == 0 && port_of(&name));
	CHECK(get(a, 9, MSG_PEEK) == 3 && get(a, 9, 0) == 3 && is("one"));
	CHECK(port_of(&got_from) == port_of(&name) && got_from.bytes[4] == 127);
	CHECK(get(a, 9, 0) == 0 && got_from.len == 16 && get(a, 2, MSG_TRUNC) == 5 && is("th"));
	CHECK(got_flags & MSG_TRUNC && get(a, 9, 0) == -EAGAIN);
	CHECK(send_to(b, NULL, 65508, 0, &to) == -EMSGSIZE);
	to.bytes[4] = 8;
	CHECK(send_to(b, "x", 1, 0, &to) == -ENETUNREACH);
	/* Where nobody is: only who is connected is told. */
	to = four(1, 7001);
	CHECK(send_to(b, "x", 1, 0, &to) == 1 && ready(b) == FREE && join_to(b, to) == 0);
	CHECK(put(b, "x") == 1 && ready(b) & POLLERR && get(b, 9, 0) == -ECONNREFUSED);
	CHECK(put(b, "x") == 1 && put(b, "x") == -ECONNREFUSED && get(b, 9, 0) == -EAGAIN);
	/* A connected one hears its peer alone. */
	CHECK(socket_name(b, false, &name) == 0 && name.bytes[4] == 127);
	CHECK(send_to(a, "no", 2, 0, &name) == 2 && get(b, 9, 0) == -EAGAIN);
	CHECK(join_to(b, four(1, 7000)) == 0 && socket_name(b, true, &to) == 0);
	CHECK(send_to(a, "yes", 3, 0, &name) == 3 && get(b, 9, 0) == 3 && is("yes"));
	CHECK(join_to(b, (struct sock_address){ .len = 2, .family = AF_UNSPEC }) == 0);
	CHECK(socket_name(b, true, &to) == -ENOTCONN && put(b, "x") == -EDESTADDRREQ);
	/* IPv4 of a socket of IPv6. */
	to = six(1, 7000, true);
	CHECK(send_to(c, "six", 3, 0, &to) == 3 && get(a, 9, 0) == 3 && is("six"));
	to = four(1, 7000);
	/* What finds no room is lost. */
	for (int k = 0; k < 100; k++)
		CHECK(send_to(b, NULL, 9000, 0, &to) == 9000);
	while ((n = get(a, 9000, 0)) > 0)
		all += n;
	CHECK(n == -EAGAIN && all > 100000 && all < 300000);
	CHECK(socket_listen(a, &root, 1) == -EOPNOTSUPP && !socket_breaks(a));
	CHECK(join_to(a, four(1, 7001)) == 0 && socket_shutdown(a, SHUT_RDWR) == 0);
	CHECK(get(a, 9, 0) == -EAGAIN && put(a, "x") == -EPIPE && ready(a) & POLLHUP);
	stream = listener(four(1, 7000), 1);
	file_unref(stream);
	file_unref(a);
	file_unref(b);
	file_unref(c);
}

static void options(void)
{
	struct file *f = new_stream(), *u = new_of(AF_INET6, SOCK_DGRAM), *l, *s;
	unsigned char byte = 16;

	CHECK(option(f, IPPROTO_TCP, TCP_NODELAY) == 0 && set(f, IPPROTO_TCP, TCP_NODELAY, 5) == 0);
	CHECK(option(f, IPPROTO_TCP, TCP_NODELAY) == 1);
	CHECK(option(f, IPPROTO_TCP, TCP_KEEPIDLE) == 7200 &&
	      set(f, IPPROTO_TCP, TCP_KEEPIDLE, 0) == -EINVAL &&
	      set(f, IPPROTO_TCP, TCP_KEEPIDLE, 60) == 0 &&
	      option(f, IPPROTO_TCP, TCP_KEEPIDLE) == 60);
	CHECK(option(f, IPPROTO_IP, IP_TTL) == 64 && set(f, IPPROTO_IP, IP_TTL, 0) == -EINVAL);
	CHECK(socket_set(f, &root, IPPROTO_IP, IP_TOS, &byte, 1) == 0 &&
	      option(f, IPPROTO_IP, IP_TOS) == 16);
	CHECK(set(f, IPPROTO_TCP, TCP_ULP, 1) == -ENOENT &&
	      option(f, IPPROTO_TCP, TCP_MD5SIG) == -ENOPROTOOPT);
	CHECK(set(f, IPPROTO_IPV6, IPV6_V6ONLY, 1) == -ENOPROTOOPT);
	CHECK(set(u, IPPROTO_TCP, TCP_NODELAY, 1) == -ENOPROTOOPT &&
	      option(u, IPPROTO_IPV6, IPV6_UNICAST_HOPS) == 64);
	CHECK(set(f, SOL_SOCKET, SO_BROADCAST, 1) == 0 &&
	      set(f, SOL_SOCKET, 99, 1) == -ENOPROTOOPT);
	/* What is accepted has them from who listens. */
	CHECK(bind_to(f, four(1, 90)) == 0 && socket_listen(f, &root, 1) == 0);
	l = new_stream();
	CHECK(join_to(l, four(1, 90)) == -EINPROGRESS);
	s = accepted(f);
	CHECK(option(s, IPPROTO_TCP, TCP_NODELAY) == 1 &&
	      option(s, IPPROTO_TCP, TCP_KEEPIDLE) == 60 &&
	      option(l, IPPROTO_TCP, TCP_NODELAY) == 0 && option(s, IPPROTO_TCP, TCP_MAXSEG) > 536);
	file_unref(s);
	file_unref(l);
	file_unref(f);
	file_unref(u);
}

static void no_memory(void)
{
	for (unsigned long n = 1; n < 40; n++) {
		struct sock_address to = four(1, 91);
		struct file *l = NULL, *c = NULL, *u = NULL, *s = NULL;

		heap_fail_at(n);
		bool ok = socket_make(AF_INET, SOCK_STREAM, 0, &root, &l) == 0 &&
			  socket_make(AF_INET, SOCK_STREAM, 0, &root, &c) == 0 &&
			  socket_make(AF_INET, SOCK_DGRAM, 0, &root, &u) == 0;

		ok = ok && bind_to(l, to) == 0 && socket_listen(l, &root, 1) == 0;
		ok = ok && join_to(c, to) == 0 && put(c, "abc") == 3;
		ok = ok && socket_accept(l, &root, 0, NULL, &s) == 0 && get(s, 9, 0) == 3;
		ok = ok && bind_to(u, to) == 0 && send_to(u, "abc", 3, 0, &to) == 3 &&
		     get(u, 9, 0) == 3;
		heap_fail_at(0);
		CHECK(ok ? n > 15 : n < 39);
		file_unref(l);
		file_unref(c);
		file_unref(u);
		file_unref(s);
	}
}

static void all(void *arg)
{
	static const struct space_limits wide = { UINT64_MAX, UINT64_MAX, 8 << 20, UINT64_MAX,
						  65530 };
	uint64_t at;

	(void) arg;
	guest = space_new(&wide);
	CHECK(space_map(guest,
			&(struct space_mapping){ .at = BASE,
						 .len = 3 * ROOM,
						 .prot = PLAT_READ | PLAT_WRITE,
						 .fixed = true },
			&at) == 0);
	made();
	streams();
	waits();
	ports();
	versions();
	datagrams();
	options();
	no_memory();
	space_unref(guest);
}

int main(void)
{
	return test_run(8192, all);
}
