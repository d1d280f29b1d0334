/* SPDX-License-Identifier: Apache-2.0 */
/* Streams of AF_INET and AF_INET6 as programs of several fibers use them. */
#include "kernel/net/test_inet.h"

/* ---- names ---- */

static void making(void)
{
	struct file *f, *p[2];

	CHECK(socket_make(AF_INET, SOCK_RAW, 1, &root, &f) == -ESOCKTNOSUPPORT);
	CHECK(socket_make(AF_INET, SOCK_RAW, 0, &root, &f) == -EPROTONOSUPPORT);
	CHECK(socket_make(AF_INET, SOCK_RAW, -1, &root, &f) == -EINVAL);
	CHECK(socket_make(AF_INET6, SOCK_SEQPACKET, 263, &root, &f) == -EINVAL);
	CHECK(socket_make(AF_INET, SOCK_STREAM, 262, &root, &f) == -EPROTONOSUPPORT);
	CHECK(socket_make_pair(AF_INET, SOCK_DGRAM, IPPROTO_TCP, &root, p) == -EPROTONOSUPPORT);
	CHECK(socket_make(AF_INET, SOCK_SEQPACKET, 0, &root, &f) == -ESOCKTNOSUPPORT);
	CHECK(socket_make(AF_INET, SOCK_STREAM, IPPROTO_UDP, &root, &f) == -EPROTONOSUPPORT);
	CHECK(socket_make(AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6, &root, &f) == -EACCES);
	CHECK(socket_make_pair(AF_INET, SOCK_STREAM, 0, &root, p) == -EOPNOTSUPP);
	CHECK(socket_make(AF_INET6, SOCK_STREAM, IPPROTO_TCP, &root, &f) == 0);
	CHECK(get_option(f, SOL_SOCKET, SO_PROTOCOL) == IPPROTO_TCP && socket_breaks(f));
	CHECK(get_option(f, SOL_SOCKET, SO_DOMAIN) == AF_INET6);
	CHECK(ready(f) == (OUT_READY | POLLHUP));
	CHECK(put(f, "x") == -EPIPE && get(f, 1, 0) == -ENOTCONN);
	CHECK(socket_shutdown(f, SHUT_RD) == -ENOTCONN);
	struct sock_address a = name_of(f, false), none = v6(0, 0);

	CHECK(same(&a, &none) && socket_name(f, true, &a) == -ENOTCONN);
	file_unref(f);
}

static void binding(void)
{
	struct sock_address a = v4(LO4, 80), shorter = a, unspec = v4(ANY4, 81);
	struct file *x = new_socket(AF_INET, SOCK_STREAM), *y = new_socket(AF_INET, SOCK_STREAM);
	struct file *s = new_socket(AF_INET6, SOCK_STREAM), *d = new_socket(AF_INET, SOCK_DGRAM);

	shorter.len = 15;
	CHECK(socket_bind(x, &root, &shorter) == -EINVAL && bind_to(x, v6(1, 80)) == -EAFNOSUPPORT);
	CHECK(bind_to(x, v4(0x0a000001, 80)) == -EADDRNOTAVAIL);
	CHECK(bind_to(s, v4(LO4, 80)) == -EINVAL && bind_to(s, v6(2, 80)) == -EADDRNOTAVAIL);
	CHECK(socket_bind(x, &user, &a) == -EACCES && socket_bind(x, &root, &a) == 0);
	CHECK(bind_to(x, v4(LO4, 82)) == -EINVAL);
	/* Of one protocol, at an address that overlaps. */
	CHECK(bind_to(d, a) == 0 && bind_to(y, a) == -EADDRINUSE);
	CHECK(bind_to(y, v4(ANY4, 80)) == -EADDRINUSE && bind_to(s, v6(0, 80)) == -EADDRINUSE);
	CHECK(bind_to(s, mapped(LO4, 80)) == -EADDRINUSE && bind_to(s, v6(1, 80)) == 0);
	CHECK(bind_to(y, v4(0x7f000002, 80)) == 0);
	file_unref(s);
	s = new_socket(AF_INET6, SOCK_STREAM);
	CHECK(set_option(s, IPPROTO_IPV6, IPV6_V6ONLY, 1) == 0);
	CHECK(bind_to(s, mapped(LO4, 99)) == -EINVAL && bind_to(s, v6(0, 80)) == 0);
	CHECK(set_option(s, IPPROTO_IPV6, IPV6_V6ONLY, 0) == -EINVAL);
	file_unref(s);
	file_unref(y);
	file_unref(d);
	/* SO_REUSEADDR: as long as nobody listens. */
	y = new_socket(AF_INET, SOCK_STREAM);
	CHECK(set_option(y, SOL_SOCKET, SO_REUSEADDR, 1) == 0 && bind_to(y, a) == -EADDRINUSE);
	CHECK(set_option(x, SOL_SOCKET, SO_REUSEADDR, 1) == 0 && bind_to(y, a) == 0);
	CHECK(socket_listen(x, &root, 1) == 0 && socket_listen(y, &root, 1) == -EADDRINUSE);
	CHECK(socket_listen(x, &root, 5) == 0);
	file_unref(x);
	CHECK(socket_listen(y, &root, 1) == 0 && get_option(y, SOL_SOCKET, SO_ACCEPTCONN) == 1);
	file_unref(y);
	/* Ports of nobody's choice. */
	x = new_socket(AF_INET, SOCK_STREAM);
	y = new_socket(AF_INET, SOCK_STREAM);
	CHECK(bind_to(x, v4(LO4, 0)) == 0 && socket_listen(y, &root, 1) == 0);
	a = name_of(x, false);
	shorter = name_of(y, false);
	CHECK(port_of(&a) >= 32768 && port_of(&shorter) >= 32768 &&
	      port_of(&a) != port_of(&shorter));
	file_unref(x);
	file_unref(y);
	x = new_socket(AF_INET, SOCK_STREAM);
	unspec.family = AF_UNSPEC;
	CHECK(socket_bind(x, &root, &unspec) == 0);
	file_unref(x);
	x = new_socket(AF_INET, SOCK_STREAM);
	CHECK(set_option(x, IPPROTO_IP, IP_FREEBIND, 1) == 0 &&
	      bind_to(x, v4(0x0a000001, 80)) == 0);
	file_unref(x);
}

/* Those with SO_REUSEPORT of one user share what comes. */
static void spreading(void)
{
	struct sock_address a = v4(LO4, 700);
	struct file *l[3], *c[30], *s;
	int each[3] = {};

	for (int n = 0; n < 3; n++) {
		l[n] = new_socket(AF_INET, SOCK_STREAM);
		CHECK(set_option(l[n], SOL_SOCKET, SO_REUSEPORT, 1) == 0);
		CHECK(get_option(l[n], SOL_SOCKET, SO_REUSEPORT) == 1);
		CHECK(bind_to(l[n], a) == 0 && socket_listen(l[n], &root, 50) == 0);
	}
	s = new_socket(AF_INET, SOCK_STREAM);
	CHECK(bind_to(s, a) == -EADDRINUSE);
	CHECK(set_option(s, SOL_SOCKET, SO_REUSEPORT, 1) == 0);
	user.walk.who = &root_cred;
	root.walk.who = &user_cred;
	user_cred.effective = UINT64_MAX;
	CHECK(bind_to(s, a) == -EADDRINUSE);
	user_cred.effective = 0;
	root.walk.who = &root_cred;
	user.walk.who = &user_cred;
	file_unref(s);
	for (int n = 0; n < 30; n++) {
		c[n] = new_socket(AF_INET, SOCK_STREAM);
		CHECK(join(c[n], a) == -EINPROGRESS);
	}
	for (int n = 0; n < 3; n++) {
		while (socket_accept(l[n], &root, 0, NULL, &s) == 0) {
			each[n]++;
			file_unref(s);
		}
	}
	CHECK(each[0] + each[1] + each[2] == 30 && each[0] >= 5 && each[1] >= 5 && each[2] >= 5);
	for (int n = 0; n < 30; n++)
		file_unref(c[n]);
	for (int n = 0; n < 3; n++)
		file_unref(l[n]);
}

/* ---- connections ---- */

static void connections(void)
{
	struct sock_address a = v4(LO4, 900), none = { .len = 2 }, b;
	struct file *c = new_socket(AF_INET, SOCK_STREAM), *l, *s;
	struct file *w = waiting_socket(AF_INET, SOCK_STREAM);

	CHECK(join(c, v4(0x0a000001, 1)) == -ENETUNREACH && join(c, v6(1, 1)) == -EAFNOSUPPORT);
	b = name_of(c, false);
	CHECK(port_of(&b) == 0);
	/* Nobody is there: told at once, or with the next call. */
	CHECK(join(w, a) == -ECONNREFUSED && join(c, a) == -EINPROGRESS);
	CHECK(ready(c) == (IN_READY | OUT_READY | POLLERR | POLLHUP | POLLRDHUP));
	CHECK(join(c, a) == -ECONNREFUSED && join(c, a) == -EINPROGRESS);
	CHECK(get_option(c, SOL_SOCKET, SO_ERROR) == ECONNREFUSED);
	CHECK(get_option(c, SOL_SOCKET, SO_ERROR) == 0 && join(c, a) == -ECONNABORTED);
	l = listener(AF_INET, a, 5);
	CHECK(ready(l) == 0 && socket_accept(l, &root, 0, NULL, &s) == -EAGAIN);
	CHECK(join(l, a) == -EISCONN && put(l, "x") == -EPIPE && get(l, 1, 0) == -ENOTCONN);
	CHECK(join(w, a) == 0 && join(w, a) == -EISCONN && ready(l) == IN_READY);
	CHECK(join(c, a) == -EINPROGRESS && ready(c) == OUT_READY && join(c, a) == 0 &&
	      join(c, a) == -EISCONN);
	/* It may write before it is accepted. */
	CHECK(put(w, "early") == 5);
	s = accepted(l);
	b = name_of(w, false);
	CHECK(same(&got_from, &b) && port_of(&b) >= 32768);
	b = name_of(s, false);
	CHECK(same(&b, &a) && get(s, 9, 0) == 5 && is("early") && get(s, 9, 0) == -EAGAIN);
	b = name_of(w, true);
	CHECK(same(&b, &a) && put(s, "hi") == 2 && get(w, 9, 0) == 2 && is("hi"));
	CHECK(socket_listen(w, &root, 1) == -EINVAL && bind_to(w, v4(LO4, 0)) == -EINVAL);
	/* AF_UNSPEC ends it, and it begins anew. */
	CHECK(socket_connect(w, &root, &none) == 0 && get(s, 1, 0) == -ECONNRESET);
	CHECK(get(s, 1, 0) == 0 && socket_name(w, true, &b) == -ENOTCONN && join(w, a) == 0);
	file_unref(s);
	/* Those that were accepted have the port, too. */
	file_unref(w);
	s = accepted(l);
	file_unref(l);
	l = new_socket(AF_INET, SOCK_STREAM);
	CHECK(bind_to(l, a) == -EADDRINUSE);
	CHECK(get(c, 1, 0) == -EAGAIN);
	file_unref(s);
	CHECK(get(c, 1, 0) == 0);
	CHECK(bind_to(l, a) == 0);
	file_unref(l);
	file_unref(c);
}

/* More than the backlog has room for wait for it. */
static void backlogs(void)
{
	struct sock_address a = v6(1, 901);
	struct file *l = listener(AF_INET6, v6(0, 901), 0), *c[4], *s;

	for (int n = 0; n < 4; n++) {
		c[n] = new_socket(AF_INET6, SOCK_STREAM);
		CHECK(join(c[n], a) == -EINPROGRESS);
	}
	CHECK(ready(c[0]) == OUT_READY && ready(c[1]) == 0 && put(c[1], "x") == -EAGAIN);
	CHECK(get(c[1], 1, 0) == -EAGAIN && join(c[1], a) == -EALREADY);
	s = accepted(l);
	CHECK(ready(c[1]) == OUT_READY && ready(c[2]) == 0 && join(c[1], a) == 0);
	file_unref(s);
	CHECK(get(c[0], 1, 0) == 0);
	/* One that gives up, and the listener that goes: those with a place are reset. */
	file_unref(c[2]);
	CHECK(socket_shutdown(l, SHUT_WR) == 0 && socket_shutdown(l, SHUT_RD) == 0);
	CHECK(get(c[1], 1, 0) == -ECONNRESET && join(c[3], a) == -ECONNREFUSED);
	CHECK(socket_accept(l, &root, 0, NULL, &s) == -EINVAL && socket_listen(l, &root, 1) == 0);
	CHECK(join(c[3], a) == -EINPROGRESS && join(c[3], a) == 0);
	CHECK(socket_listen(l, &root, 9) == 0);
	file_unref(l);
	file_unref(c[0]);
	file_unref(c[1]);
	file_unref(c[3]);
}

/* Both families at one listener. */
static void families(void)
{
	struct sock_address a = mapped(LO4, 902), b;
	struct file *l = listener(AF_INET6, v6(0, 902), 5), *c = new_socket(AF_INET, SOCK_STREAM);
	struct file *d = new_socket(AF_INET6, SOCK_STREAM), *s;

	CHECK(join(c, v4(LO4, 902)) == -EINPROGRESS);
	s = accepted(l);
	b = name_of(s, false);
	CHECK(same(&a, &b) && got_from.len == 28 && got_from.bytes[8 + 11] == 0xff);
	CHECK(put(c, "four") == 4 && get(s, 9, 0) == 4 && is("four"));
	file_unref(s);
	file_unref(c);
	CHECK(join(d, a) == -EINPROGRESS);
	s = accepted(l);
	a = name_of(d, true);
	CHECK(same(&a, &b));
	file_unref(d);
	file_unref(s);
	d = new_socket(AF_INET6, SOCK_STREAM);
	CHECK(join(d, v6(0, 902)) == -EINPROGRESS);
	a = v6(1, 902);
	b = name_of(d, true);
	CHECK(same(&a, &b));
	file_unref(d);
	file_unref(l);
	/* What is for one family alone. */
	l = new_socket(AF_INET6, SOCK_STREAM);
	d = new_socket(AF_INET6, SOCK_STREAM);
	c = waiting_socket(AF_INET, SOCK_STREAM);
	CHECK(set_option(l, IPPROTO_IPV6, IPV6_V6ONLY, 1) == 0 && bind_to(l, v6(0, 902)) == 0 &&
	      socket_listen(l, &root, 5) == 0);
	CHECK(join(c, v4(ANY4, 902)) == -ECONNREFUSED);
	CHECK(set_option(d, IPPROTO_IPV6, IPV6_V6ONLY, 1) == 0);
	CHECK(join(d, mapped(LO4, 902)) == -ENETUNREACH && join(d, v6(9, 902)) == -ENETUNREACH);
	CHECK(join(d, v6(1, 902)) == -EINPROGRESS);
	file_unref(l);
	file_unref(d);
	file_unref(c);
}

/* ---- bytes ---- */

static void streams(void)
{
	struct sock_address a = v4(LO4, 1);
	struct tcp_info info;
	size_t len = sizeof(info);
	struct file *p[2];

	pair_of(p);
	CHECK(put(p[0], "ab") == 2 && put(p[0], "cde") == 3 &&
	      ready(p[1]) == (IN_READY | OUT_READY));
	CHECK(count(p[1], FIONREAD) == 5 && count(p[0], TIOCOUTQ) == 0);
	CHECK(get(p[1], 4, MSG_PEEK) == 4 && is("abcd") && get(p[1], 3, 0) == 3 && is("abc"));
	CHECK(get(p[1], 9, MSG_PEEK | MSG_WAITALL) == 2 && get(p[1], 1, MSG_TRUNC) == 1);
	CHECK(get(p[1], 9, 0) == 1 && is("e") && !(ready(p[1]) & POLLIN));
	CHECK(get(p[1], 9, 0) == -EAGAIN && get(p[1], 0, 0) == -EAGAIN && put(p[0], "") == 0);
	CHECK(send_to(p[0], "x", 1, MSG_OOB, NULL) == -EOPNOTSUPP &&
	      get(p[0], 1, MSG_OOB) == -EINVAL);
	CHECK(get(p[0], 1, MSG_ERRQUEUE) == -EAGAIN);
	CHECK(send_to(p[0], "x", 1, 0, &a) == 1 && get(p[1], 9, 0) == 1);
	CHECK(set_option(p[1], SOL_SOCKET, SO_RCVLOWAT, 3) == 0 && put(p[0], "12") == 2);
	CHECK(!(ready(p[1]) & POLLIN) && put(p[0], "3") == 1 && ready(p[1]) & POLLIN);
	CHECK(get(p[1], 9, 0) == 3 && is("123"));
	CHECK(socket_get(p[0], IPPROTO_TCP, TCP_INFO, &info, &len) == 0 && info.tcpi_state == 1 &&
	      info.tcpi_bytes_sent == 9);
	/* One half closed, then the other: nobody is connected any more. */
	CHECK(put(p[0], "zz") == 2 && socket_shutdown(p[0], SHUT_WR) == 0);
	CHECK(put(p[0], "q") == -EPIPE && ready(p[0]) == OUT_READY && get(p[1], 9, 0) == 2);
	CHECK(get(p[1], 9, 0) == 0 && ready(p[1]) == (IN_READY | OUT_READY | POLLRDHUP));
	CHECK(put(p[1], "yy") == 2 && get(p[0], 9, 0) == 2);
	CHECK(socket_shutdown(p[1], SHUT_WR) == 0 && ready(p[1]) & POLLHUP &&
	      ready(p[0]) & POLLHUP);
	CHECK(get(p[0], 9, 0) == 0 && socket_name(p[0], true, &a) == -ENOTCONN);
	CHECK(socket_shutdown(p[0], SHUT_RDWR) == -ENOTCONN);
	close_pair(p);
	/* Nothing more is read, and what comes still is. */
	pair_of(p);
	CHECK(socket_shutdown(p[0], SHUT_RD) == 0 && get(p[0], 1, 0) == 0);
	CHECK(put(p[1], "k") == 1 && get(p[0], 1, 0) == 1);
	close_pair(p);
}

/* How an end hears that the other one is gone. */
static void ends(void)
{
	struct {
		int32_t on, seconds;
	} at_once = { 1, 0 };
	struct file *p[2];

	/* All was read: the next bytes go nowhere, and then it is known. */
	pair_of(p);
	file_unref(p[0]);
	CHECK(ready(p[1]) == (IN_READY | OUT_READY | POLLRDHUP) && get(p[1], 1, 0) == 0);
	CHECK(put(p[1], "x") == 1);
	CHECK(ready(p[1]) == (IN_READY | OUT_READY | POLLRDHUP | POLLHUP | POLLERR));
	CHECK(put(p[1], "x") == -EPIPE && put(p[1], "x") == -EPIPE && get(p[1], 1, 0) == 0);
	file_unref(p[1]);
	/* Something was not: reset, but what came before is there. */
	pair_of(p);
	CHECK(put(p[0], "last") == 4 && put(p[1], "lost") == 4);
	file_unref(p[0]);
	CHECK(ready(p[1]) & POLLHUP && ready(p[1]) & POLLERR);
	CHECK(get(p[1], 9, 0) == 4 && is("last") && get(p[1], 9, 0) == -ECONNRESET);
	CHECK(get(p[1], 9, 0) == 0 && put(p[1], "x") == -EPIPE);
	file_unref(p[1]);
	/* SO_LINGER of no time. */
	pair_of(p);
	CHECK(socket_set(p[0], &root, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)) == 0);
	file_unref(p[0]);
	CHECK(get_option(p[1], SOL_SOCKET, SO_ERROR) == ECONNRESET && get(p[1], 1, 0) == 0);
	file_unref(p[1]);
	/* In the half that is open yet. */
	pair_of(p);
	CHECK(socket_shutdown(p[0], SHUT_WR) == 0 && put(p[1], "lost") == 4);
	file_unref(p[0]);
	CHECK(put(p[1], "x") == -EPIPE && get(p[1], 1, 0) == 0);
	file_unref(p[1]);
}

/* As much as both rooms hold; then it is EAGAIN, until a third is free. */
static void flow(void)
{
	int64_t all = 0, n, more = 0;
	struct file *p[2];

	pair_of(p);
	CHECK(set_option(p[0], SOL_SOCKET, SO_SNDBUF, 50000) == 0);
	CHECK(set_option(p[1], SOL_SOCKET, SO_RCVBUF, 30000) == 0);
	while ((n = send_to(p[0], NULL, 70000, 0, NULL)) > 0)
		all += n;
	CHECK(n == -EAGAIN && all >= 150000 && all < 200000 && !(ready(p[0]) & POLLOUT));
	CHECK(count(p[0], TIOCOUTQ) == all - 60000 && count(p[1], FIONREAD) == all);
	while (!(ready(p[0]) & POLLOUT)) {
		n = get(p[1], 5000, 0);
		CHECK(n == 5000);
		more += n;
	}
	CHECK(more > 30000 && more < 90000);
	while ((n = get(p[1], 70000, 0)) > 0)
		more += n;
	CHECK(n == -EAGAIN && more == all);
	/* Short ones do not take a lot of room each. */
	for (all = 0; put(p[0], "0123456789") == 10; all += 10)
		;
	CHECK(all > 140000);
	/* What a reader never gets is freed with it. */
	close_pair(p);
}

static struct sock_address wanted;

static void writer(void *arg)
{
	result[1] = send_to(blocked, NULL, *(uint64_t *) arg, 0, NULL);
	finished++;
	fiber_exit();
}

static void connecter(void *arg)
{
	(void) arg;
	result[2] = join(blocked, wanted);
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

static void waits(void)
{
	static unsigned int none, wait_all = MSG_WAITALL, look_all = MSG_WAITALL | MSG_PEEK;
	static uint64_t much = 3500000;
	struct __kernel_old_timeval t = { 0, 5000 };
	struct file *l, *c, *s = NULL, *w;
	int64_t n, all = 0;
	struct fiber *f;

	wanted = v4(LO4, 903);
	l = waiting_socket(AF_INET, SOCK_STREAM);
	CHECK(bind_to(l, wanted) == 0 && socket_listen(l, &root, 0) == 0);
	finished = 0;
	start(acceptor, NULL, l, &f);
	c = waiting_socket(AF_INET, SOCK_STREAM);
	CHECK(finished == 0 && join(c, wanted) == 0);
	let_run();
	CHECK(finished == 1 && result[3] == 0 && get(c, 1, 0) == 0);
	file_unref(c);
	/* The backlog is full for the second. */
	c = waiting_socket(AF_INET, SOCK_STREAM);
	w = waiting_socket(AF_INET, SOCK_STREAM);
	CHECK(join(c, wanted) == 0);
	start(connecter, NULL, w, &f);
	CHECK(finished == 1);
	fiber_interrupt(f);
	let_run();
	CHECK(finished == 2 && result[2] == -ERESTARTSYS);
	start(connecter, NULL, w, &f);
	CHECK(finished == 2 && socket_accept(l, &root, 0, NULL, &s) == 0);
	let_run();
	CHECK(finished == 3 && result[2] == 0);
	file_unref(w);
	w = waiting_socket(AF_INET, SOCK_STREAM);
	CHECK(socket_set(w, &root, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t)) == 0);
	CHECK(join(w, wanted) == -EINPROGRESS && join(w, wanted) == -EALREADY);
	file_unref(w);
	file_unref(l);
	/* Readers. */
	start(reader, &none, c, &f);
	CHECK(finished == 3 && put(s, "abc") == 3);
	let_run();
	CHECK(finished == 4 && result[0] == 3 && is("abc"));
	start(reader, &wait_all, c, &f);
	CHECK(put(s, "abc") == 3);
	let_run();
	CHECK(finished == 4 && put(s, "defg") == 4);
	let_run();
	CHECK(finished == 5 && result[0] == 5 && is("abcde") && get(c, 9, 0) == 2);
	start(reader, &look_all, c, &f);
	CHECK(put(s, "abc") == 3);
	let_run();
	CHECK(finished == 5 && put(s, "de") == 2);
	let_run();
	CHECK(finished == 6 && result[0] == 5 && get(c, 9, 0) == 5);
	CHECK(socket_set(c, &root, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t)) == 0);
	nsec_t from = sim_now();

	CHECK(get(c, 5, 0) == -EAGAIN && sim_now() - from == 5000000);
	CHECK(put(s, "abc") == 3 && get(c, 5, MSG_WAITALL) == 3);
	/* A writer of more than there is room for. */
	start(writer, &much, s, &f);
	CHECK(finished == 6);
	while (all < (int64_t) much && (n = get(c, 333333, 0)) > 0) {
		all += n;
		let_run();
	}
	CHECK(finished == 7 && result[1] == (int64_t) much && all == (int64_t) much);
	/* Who waits hears that the other is gone. */
	start(writer, &much, s, &f);
	file_unref(c);
	let_run();
	CHECK(finished == 8 && result[1] > 0 && put(s, "x") == -ECONNRESET);
	file_unref(s);
}

static void again(void)
{
	spreading();
	connections();
	backlogs();
	families();
	streams();
	ends();
}

static void body(void)
{
	making();
	binding();
	spreading();
	connections();
	backlogs();
	families();
	streams();
	ends();
	flow();
	waits();
	leaves_nothing(again);
}

static void all(void *arg)
{
	(void) arg;
	test_in_space(body);
}

int main(void)
{
	return test_run(8192, all);
}
