/* SPDX-License-Identifier: Apache-2.0 */
/*
 *	(none) --> ASKED [take] --> CONNECTING [ask] --> OPEN [connected]
 *	any --> (gone) [forward_free: both sides have ended, or one of them was lost]
 */
#include "guest/forward.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#include "base/auto.h"
#include "base/num.h"
#include "base/str.h"
#include "proto/agent.h"

#define FORWARDS_MAX   256
#define BUFFER_SIZE    (16u << 10)
#define FIRST_LINE_MAX 24 /* "CONNECT 65535\n" */
#define ASK_WITHIN     (10 * NSEC_PER_SEC)
#define AGAIN	       (50 * NSEC_PER_MSEC)
#define BACKLOG	       64

enum state { ASKED, CONNECTING, OPEN };

/* One of the two sides, and what was read from it and is not written to the other yet. */
struct side {
	struct loop_source source;
	int fd;		    /* owned */
	bool ended, passed; /* it sends no more; the other one has been told */
	size_t at, n;
	char bytes[BUFFER_SIZE];
};

struct forward {
	struct forwards *all;
	enum state state;
	uint16_t port;
	bool six; /* tried over IPv6: nobody listens over IPv4 */
	struct loop_timer timer;
	struct side host, server;
};

/* A side that was not told of an end learns that it is none: the host's device resets then. */
static void forward_free(struct forward *f)
{
	loop_timer_cancel(&f->timer);
	loop_remove(&f->host.source);
	loop_remove(&f->server.source);
	close_fd(&f->host.fd);
	close_fd(&f->server.fd);
	f->all->n--;
	free(f);
}

static void host_ready(struct loop_source *s, uint32_t events);
static void server_ready(struct loop_source *s, uint32_t events);

/* Of nothing it is not even told of its loss, which would come again and again. */
static int watch_side(struct forward *f, struct side *s, uint32_t events)
{
	if (events == 0) {
		loop_remove(&s->source);
		return 0;
	}
	return s->source.loop ? loop_change(&s->source, events)
			      : loop_add(f->all->loop, &s->source, s->fd, events,
					 s == &f->host ? host_ready : server_ready);
}

static uint32_t wanted(const struct side *s, const struct side *other)
{
	return (!s->ended && s->n == 0 ? EPOLLIN : 0u) | (other->n > 0 ? EPOLLOUT : 0u);
}

static void watch(struct forward *f)
{
	if (watch_side(f, &f->host, wanted(&f->host, &f->server)) < 0 ||
	    watch_side(f, &f->server, wanted(&f->server, &f->host)) < 0)
		forward_free(f);
}

/* As much as there is and the other side takes. -errno: one of them is lost. */
static int carry(struct side *from, struct side *to)
{
	ssize_t n;

	if (from->n == 0 && !from->ended) {
		n = recv(from->fd, from->bytes, sizeof(from->bytes), MSG_DONTWAIT);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		from->ended = n == 0;
		from->at = 0;
		from->n = n > 0 ? (size_t) n : 0;
	}
	if (from->n > 0) {
		n = send(to->fd, from->bytes + from->at, from->n, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		from->at += n > 0 ? (size_t) n : 0;
		from->n -= n > 0 ? (size_t) n : 0;
	}
	if (from->ended && from->n == 0 && !from->passed) {
		from->passed = true;
		if (shutdown(to->fd, SHUT_WR) < 0)
			return -errno;
	}
	return 0;
}

static void carry_on(struct forward *f)
{
	if (carry(&f->host, &f->server) < 0 || carry(&f->server, &f->host) < 0 ||
	    (f->host.passed && f->server.passed))
		forward_free(f);
	else
		watch(f);
}

/* ---- the server -------------------------------------------------------------------------- */

/* 1: connected; 0: soon, perhaps; -errno. */
static int reach(struct forward *f)
{
	const struct sockaddr_in four = { .sin_family = AF_INET,
					  .sin_port = htons(f->port),
					  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const struct sockaddr_in6 six = { .sin6_family = AF_INET6,
					  .sin6_port = htons(f->port),
					  .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	const void *to = f->six ? (const void *) &six : (const void *) &four;
	socklen_t n = f->six ? sizeof(six) : sizeof(four);

	loop_remove(&f->server.source);
	close_fd(&f->server.fd);
	f->server.fd = socket(f->six ? AF_INET6 : AF_INET,
			      SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (f->server.fd < 0)
		return -errno;
	if (connect(f->server.fd, to, n) == 0)
		return 1;
	return errno == EINPROGRESS ? 0 : -errno;
}

static void connected(struct forward *f)
{
	loop_timer_cancel(&f->timer);
	f->state = OPEN;
	carry_on(f);
}

static void overdue(struct loop_timer *t)
{
	forward_free(LOOP_OWNER(t, struct forward, timer));
}

/* Over IPv4, then over IPv6, as what "localhost" is to most programs. */
static void seek(struct forward *f)
{
	int r = reach(f);

	if (r < 0 && !f->six) {
		f->six = true;
		r = reach(f);
	}
	if (r == 0)
		r = loop_add(f->all->loop, &f->server.source, f->server.fd, EPOLLOUT, server_ready);
	if (r < 0)
		forward_free(f);
	else if (r > 0)
		connected(f);
}

static void server_ready(struct loop_source *s, uint32_t)
{
	struct forward *f = LOOP_OWNER(s, struct forward, server.source);
	int failed = 0;
	socklen_t n = sizeof(failed);

	if (f->state == OPEN) {
		carry_on(f);
		return;
	}
	if (getsockopt(f->server.fd, SOL_SOCKET, SO_ERROR, &failed, &n) < 0 || (failed && f->six)) {
		forward_free(f);
	} else if (failed) {
		f->six = true;
		seek(f);
	} else {
		connected(f);
	}
}

/* ---- the host ---------------------------------------------------------------------------- */

/* What it asks for; what follows is the server's already. */
static void ask(struct forward *f)
{
	struct side *h = &f->host;
	ssize_t n = recv(h->fd, h->bytes + h->n, FIRST_LINE_MAX - h->n, MSG_DONTWAIT);
	struct str line, rest, word, number;
	uint32_t port;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	h->n += n > 0 ? (size_t) n : 0;
	line = str_cut((struct str){ h->bytes, h->n }, '\n', &rest);
	if (n > 0 && !rest.p && h->n < FIRST_LINE_MAX)
		return; /* the rest is on its way */
	word = str_cut(line, ' ', &number);
	if (!rest.p || !str_is(word, "CONNECT") ||
	    num_parse_u32(number, 1, UINT16_MAX, &port) < 0) {
		forward_free(f);
		return;
	}
	h->at = line.n + 1;
	h->n -= line.n + 1;
	f->port = (uint16_t) port;
	f->state = CONNECTING;
	loop_remove(&h->source); /* until there is somebody to hear it */
	seek(f);
}

static void host_ready(struct loop_source *s, uint32_t)
{
	struct forward *f = LOOP_OWNER(s, struct forward, host.source);

	if (f->state == ASKED)
		ask(f);
	else
		carry_on(f);
}

/* ---- the listener ------------------------------------------------------------------------ */

static void take(struct loop_source *s, uint32_t events);

static void listen_again(struct loop_timer *t)
{
	struct forwards *all = LOOP_OWNER(t, struct forwards, again);

	if (loop_add(all->loop, &all->listener, all->fd, EPOLLIN, take) < 0)
		loop_timer_set(all->loop, t, clock_deadline(AGAIN), listen_again);
}

static void take(struct loop_source *s, uint32_t)
{
	struct forwards *all = LOOP_OWNER(s, struct forwards, listener);
	struct sockaddr_vm peer = {};
	socklen_t n = sizeof(peer);
	auto_fd int fd = accept4(s->fd, (struct sockaddr *) &peer, &n,
				 SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct forward *f;

	if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)) {
		loop_remove(s);
		loop_timer_set(all->loop, &all->again, clock_deadline(AGAIN), listen_again);
	}
	/* From the host alone, and not from a workload of this guest, over the loopback. */
	if (fd < 0 || peer.svm_cid != VMADDR_CID_HOST || all->n >= FORWARDS_MAX)
		return;
	f = calloc(1, sizeof(*f));
	if (!f)
		return;
	f->all = all;
	f->host.fd = take_fd(&fd);
	f->server.fd = FD_NONE;
	all->n++;
	loop_timer_set(all->loop, &f->timer, clock_deadline(ASK_WITHIN), overdue);
	if (loop_add(all->loop, &f->host.source, f->host.fd, EPOLLIN, host_ready) < 0)
		forward_free(f);
}

int forwards_listen(struct forwards *f, struct loop *l)
{
	struct sockaddr_vm at = { .svm_family = AF_VSOCK,
				  .svm_cid = VMADDR_CID_ANY,
				  .svm_port = AGENT_FORWARD_PORT };

	f->loop = l;
	f->fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (f->fd < 0 || bind(f->fd, (const struct sockaddr *) &at, sizeof(at)) < 0 ||
	    listen(f->fd, BACKLOG) < 0)
		return -errno;
	return loop_add(l, &f->listener, f->fd, EPOLLIN, take);
}
