/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets that lead outside (net/outside.h). A socket has one there from when it is bound to more
 * than the loopback, or connected or sent beyond it:
 *
 *	a stream that is connected	is that alone: socket->ops are the ones below
 *	a listener			accepts from both
 *	datagrams			come from both, unless it is connected to one
 *(inet_datagram.c)
 *
 * What the stack out there knows better (errors, events, windows) is asked there.
 */
#include <asm/socket.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/poll.h>

#include "kernel/core/heap.h"
#include "kernel/net/inet_sock.h"

#define READABLE (POLLIN | POLLRDNORM)
#define TRIES	 64 /* ports that are free in here and taken out there */

/* ---- buffers: what is on its way through the kernel ---- */

#define KEPT 4

static struct {
	void *kept[KEPT];
	size_t count;
} buffers;

void *inet_buffer_take(void)
{
	return buffers.count ? buffers.kept[--buffers.count] : heap_alloc(INET_BUFFER);
}

void inet_buffer_give(void *p)
{
	if (p && buffers.count < KEPT)
		buffers.kept[buffers.count++] = p;
	else
		heap_free(p);
}

/* ---- addresses ---- */

bool inet_goes_out(const struct inet_ip *ip)
{
	return outside_ops() && !inet_ip_local(ip) && !inet_ip_any(ip);
}

void inet_outside_name(const struct inet_sock *u, const struct inet_address *to,
		       const struct sock_address *given, struct sock_address *ret)
{
	const size_t flow = offsetof(struct sockaddr_in6, sin6_flowinfo);
	const size_t scope = offsetof(struct sockaddr_in6, sin6_scope_id);

	inet_tell(u->socket.domain, to, ret);
	if (u->socket.domain != AF_INET6 || !given || given->family != AF_INET6 ||
	    given->len < sizeof(struct sockaddr_in6))
		return;
	memcpy(ret->bytes + flow, given->bytes + flow, 4);
	memcpy(ret->bytes + scope, given->bytes + scope, 4);
}

/* What the outside told. */
static void note(struct inet_sock *u, const struct sock_address *from, struct inet_address *to)
{
	struct inet_address a;

	if (inet_parse(u, from, false, &a) == 0)
		*to = a;
}

/* ---- made, bound, gone ---- */

int inet_outside_open(struct inet_sock *u)
{
	struct socket *s = &u->socket;
	struct outside *made;
	int r;

	if (u->out)
		return 0;
	r = outside_ops()->open(s->domain, s->type, s->protocol, &s->waiters, &made);
	if (r < 0)
		return r;
	/* It parked: another thread may have been here. */
	if (u->out) {
		outside_ops()->close(made);
		return 0;
	}
	u->out = made;
	inet_options_carry(u);
	return u->out ? 0 : -ECONNABORTED;
}

void inet_outside_close(struct inet_sock *u)
{
	if (u->out)
		outside_ops()->close(u->out);
	u->out = NULL;
	u->out_peer = false;
}

/* u has its port in here. given: as the guest wrote it. */
static int bind_outside(struct inet_sock *u, const struct inet_address *at,
			const struct sock_address *given)
{
	struct inet_address wish = { .ip = at->ip, .port = u->local.port };
	struct sock_address a, local = {};
	int r = inet_outside_open(u);

	if (r < 0)
		return r;
	inet_outside_name(u, &wish, given, &a);
	return outside_ops()->bind(u->out, &a, &local);
}

int inet_outside_bind(struct inet_sock *u, const struct inet_address *at,
		      const struct sock_address *given)
{
	struct sock_address a, local = {};
	int r;

	inet_outside_name(u, at, given, &a);
	r = outside_ops()->bind(u->out, &a, &local);
	if (r == 0)
		note(u, &local, &u->local);
	return r;
}

int inet_take_port(struct inet_sock *u, const struct inet_address *wish,
		   const struct sock_address *given)
{
	const struct inet_address copy = *wish, *at = &copy; /* wish may be u's own */
	bool any = inet_ip_any(&at->ip), open = u->out;
	int r = 0;

	for (int tries = 0; tries < TRIES; tries++) {
		/* It parked: another thread may have bound it. */
		r = tries > 0 && u->local.port ? -EINVAL : inet_port_take(u, at);
		if (r < 0 || !outside_ops() || inet_ip_local(&at->ip))
			return r;
		r = bind_outside(u, at, given);
		if (r == 0)
			return 0;
		/* What is bound to no port of its own wishes is for answers: they come without. */
		if (r == -EPERM && at->port == 0 && any)
			return 0;
		/* Nothing of that family is out there, or nothing any more: in here it is. */
		if (any && (r == -EAFNOSUPPORT || r == -ENETDOWN)) {
			inet_outside_close(u);
			return 0;
		}
		inet_port_give(u);
		u->local.ip = inet_ip_none(u->socket.domain);
		if (r != -EADDRINUSE || at->port)
			break;
	}
	if (!open)
		inet_outside_close(u);
	return r == -EPERM ? -EACCES : r;
}

int inet_outside_again(struct inet_sock *u)
{
	const struct inet_address was = u->local, none = { .ip = inet_ip_none(u->socket.domain) };
	bool own_port = tree_has(&u->by_port);
	struct sock_address a, local = {};
	int r = inet_outside_open(u);

	if (r == 0 && own_port)
		r = bind_outside(u, u->ip_bound ? &was : &none, NULL);
	/* What is bound to no port of its own wishes is for answers, which come to any. */
	if (u->out && !inet_is_stream(u) && !u->port_bound)
		r = 0;
	if (r == 0 && u->state == INET_LISTEN)
		r = outside_ops()->listen(u->out, (int) u->backlog_most);
	/* As where it was bound at first: in here it is. */
	if (!u->out_peer && (r == -EPERM || r == -EAFNOSUPPORT || r == -ENETDOWN)) {
		inet_outside_close(u);
		return 0;
	}
	if (r < 0 || !u->out_peer)
		return r;
	inet_outside_name(u, &u->remote, NULL, &a);
	r = outside_ops()->connect(u->out, &a, &local);
	if (r == 0 && !own_port)
		note(u, &local, &u->local);
	return r;
}

/* ---- streams: connect ---- */

static const struct socket_ops outside_stream;

/* Without one out there, where another thread has parted meanwhile, it is over. */
static unsigned int state_of(const struct inet_sock *u)
{
	return u->out ? outside_ops()->poll(u->out) : POLLERR | POLLHUP;
}

static bool connecting(const struct inet_sock *u)
{
	return !(state_of(u) & (POLLOUT | POLLERR | POLLHUP));
}

/* The error that is to be told out there, as a negative number; told by that. */
static int take_error(struct inet_sock *u)
{
	int32_t error = 0;
	size_t len = sizeof(error);
	int r = socket_take_error(&u->socket);

	if (r < 0 || !u->out || !(state_of(u) & POLLERR))
		return r;
	r = outside_ops()->get(u->out, SOL_SOCKET, SO_ERROR, &error, &len);
	return r < 0 ? r : -error;
}

/* To nobody: a socket of this kernel again, bound to what it was bound to. */
static void leave(struct inet_sock *u)
{
	struct inet_address was = u->local;

	inet_outside_close(u);
	u->socket.ops = inet_ops();
	u->phase = INET_UNCONNECTED;
	u->remote = (struct inet_address){ .ip = inet_ip_none(u->socket.domain) };
	if (!u->ip_bound)
		u->local.ip = inet_ip_none(u->socket.domain);
	if (!u->port_bound)
		inet_port_give(u);
	else
		(void) bind_outside(u, &was, NULL); /* or it is in here alone */
	(void) waitq_wake(&u->socket.waiters, 0, 0);
}

static int finish(struct inet_sock *u)
{
	int r;

	if (!(state_of(u) & (POLLERR | POLLHUP))) {
		u->phase = INET_CONNECTED;
		return 0;
	}
	r = take_error(u) ?: -ECONNABORTED;
	leave(u);
	return r;
}

static int wait_connected(struct inet_sock *u, bool first)
{
	nsec_t timeout = u->socket.send_timeout;
	int r = waitq_wait(&u->socket.waiters, !connecting(u), socket_deadline(timeout),
			   fiber_interrupted());

	if (r == -ETIMEDOUT)
		return first ? -EINPROGRESS : -EALREADY;
	return r < 0 ? socket_wait_result(r, timeout) : finish(u);
}

int inet_outside_connect(struct inet_sock *u, const struct inet_address *to,
			 const struct sock_address *given, bool nonblocking)
{
	struct sock_address a, local = {};
	bool open = u->out;
	int r = 0;

	if (inet_ip_is4(&to->ip) && u->option[OPT_V6ONLY])
		return -ENETUNREACH;
	if (u->ip_bound && inet_ip_local(&u->local.ip))
		return -EINVAL; /* as Linux: from the loopback nothing goes out */
	r = inet_outside_open(u);
	if (r < 0)
		return r;
	inet_outside_name(u, to, given, &a);
	r = outside_ops()->connect(u->out, &a, &local);
	if (r < 0 && r != -EINPROGRESS) {
		if (!open && u->socket.ops == inet_ops())
			inet_outside_close(u);
		return r;
	}
	if (!u->out)
		return -ECONNABORTED;
	u->socket.ops = &outside_stream;
	u->phase = INET_CONNECTING;
	u->remote = *to;
	note(u, &local, &u->local);
	if (nonblocking)
		return -EINPROGRESS;
	return wait_connected(u, true);
}

static int stream_connect(struct socket *s, const struct sock_actor *by,
			  const struct sock_address *a, bool nonblocking)
{
	struct inet_sock *u = inet_of(s);

	(void) by;
	if (a->family == AF_UNSPEC) {
		leave(u);
		s->error = ECONNRESET; /* as Linux tells who has parted from a peer himself */
		return 0;
	}
	if (u->phase == INET_CONNECTED)
		return -EISCONN;
	if (nonblocking && connecting(u))
		return -EALREADY;
	return wait_connected(u, false);
}

/* ---- streams: accept ---- */

int inet_outside_accept(struct inet_sock *l, struct inet_sock **ret)
{
	struct sock_address local = {}, peer = {};
	struct inet_sock *u;
	int r;

	if (!l->out || !(state_of(l) & POLLIN))
		return -EAGAIN;
	u = inet_sock_new(l->socket.domain, SOCK_STREAM);
	if (!u)
		return -ENOMEM;
	inet_inherit(u, l);
	r = outside_ops()->accept(l->out, &u->socket.waiters, &u->out, &local, &peer);
	if (r < 0) {
		inet_retire(u);
		return r;
	}
	note(u, &local, &u->local);
	note(u, &peer, &u->remote);
	u->socket.ops = &outside_stream;
	u->phase = INET_CONNECTED;
	*ret = u;
	return 0;
}

/* ---- streams: data ---- */

/* Until something happened after `seen`. */
static int wait_for(struct inet_sock *u, uint64_t seen, const struct sock_message *m,
		    nsec_t deadline)
{
	if (m->flags & MSG_DONTWAIT)
		return -EAGAIN;
	return waitq_wait(&u->socket.waiters, !u->out || u->out->happened != seen, deadline,
			  fiber_interrupted());
}

/* What fits now; `data` is on by that. */
static int64_t put(struct inet_sock *u, struct sock_message *m, char *bytes)
{
	const struct uio before = *m->data;
	int64_t n = uio_in(m->data, bytes, min_of(INET_BUFFER, (size_t) m->data->left));

	if (n >= 0 && !u->out)
		n = -EPIPE; /* fetching it may have parked */
	else if (n >= 0)
		n = outside_ops()->send(u->out, bytes, (size_t) n, m->flags, NULL);
	*m->data = before;
	if (n > 0)
		uio_skip(m->data, (uint64_t) n);
	return n;
}

static int64_t stream_send(struct socket *s, struct sock_message *m)
{
	nsec_t timeout = s->send_timeout, deadline = socket_deadline(timeout);
	struct inet_sock *u = inet_of(s);
	int64_t done = 0, n = 0;
	char *bytes;

	if (m->flags & MSG_FASTOPEN)
		return -EOPNOTSUPP;
	bytes = inet_buffer_take();
	if (!bytes)
		return -ENOBUFS;
	n = socket_take_error(s);
	while (m->data->left > 0 && n >= 0 && u->out) {
		uint64_t seen = u->out->happened;

		n = put(u, m, bytes);
		if (n > 0)
			done += n;
		else if (n == -EAGAIN)
			n = wait_for(u, seen, m, deadline);
	}
	inet_buffer_give(bytes);
	return done || n >= 0 ? done : socket_wait_result((int) n, timeout);
}

static int64_t take(struct inet_sock *u, struct sock_message *m, uint64_t most, char *bytes)
{
	int64_t n = outside_ops()->receive(u->out, bytes,
					   (size_t) min_of((uint64_t) INET_BUFFER, most), m);

	/* tcp(7): MSG_TRUNC throws away. */
	if (n <= 0 || m->flags & MSG_TRUNC)
		return n;
	return uio_out(m->data, bytes, (size_t) n);
}

/* With `reading`, which is given back meanwhile. */
static int64_t receive(struct inet_sock *u, struct sock_message *m, uint64_t want, char *bytes,
		       nsec_t deadline)
{
	const uint64_t left = m->data->left;
	uint64_t done = 0;
	int64_t n = socket_take_error(&u->socket);

	while (n == 0 && u->out) {
		uint64_t seen = u->out->happened;

		n = take(u, m, left - done, bytes);
		if (n > 0)
			done += (uint64_t) n;
		if (n == 0 || done >= want || (done && m->flags & (MSG_PEEK | MSG_OOB)))
			break;
		if (n > 0) {
			n = 0;
			continue;
		}
		if (n != -EAGAIN)
			break;
		sleeplock_give(&u->reading);
		n = wait_for(u, seen, m, deadline);
		sleeplock_take(&u->reading);
	}
	return done ? (int64_t) done : n;
}

static int64_t stream_receive(struct socket *s, struct sock_message *m)
{
	nsec_t timeout = s->receive_timeout, deadline = socket_deadline(timeout);
	struct inet_sock *u = inet_of(s);
	uint64_t left = m->data->left;
	uint64_t want = m->flags & MSG_WAITALL ? left : min_of(left, (uint64_t) s->low_water);
	char *bytes;
	int64_t n;

	if (m->flags & MSG_ERRQUEUE)
		return -EAGAIN;
	bytes = inet_buffer_take();
	if (!bytes)
		return -ENOBUFS;
	sleeplock_take(&u->reading);
	n = receive(u, m, max_of(want, (uint64_t) 1), bytes, deadline);
	sleeplock_give(&u->reading);
	inet_buffer_give(bytes);
	return n >= 0 ? n : socket_wait_result((int) n, timeout);
}

/* ---- streams: the rest ---- */

static int stream_shutdown(struct socket *s, int how)
{
	const struct inet_sock *u = inet_of(s);

	return u->out ? outside_ops()->shutdown(u->out, how) : -ENOTCONN;
}

static int stream_name(struct socket *s, bool of_peer, struct sock_address *ret)
{
	const struct inet_sock *u = inet_of(s);

	/* The port of nobody: it is not connected yet, or not any more. */
	if (of_peer && (connecting(u) || state_of(u) & POLLHUP))
		return -ENOTCONN;
	inet_tell(s->domain, of_peer ? &u->remote : &u->local, ret);
	return 0;
}

static unsigned int stream_poll(struct socket *s, struct waiter *w)
{
	if (w)
		waitq_add(&s->waiters, w);
	return state_of(inet_of(s)) | (s->error ? POLLERR : 0u);
}

static int64_t stream_queued(struct socket *s, bool sent)
{
	const struct inet_sock *u = inet_of(s);

	return u->out ? outside_ops()->queued(u->out, sent) : 0;
}

static int refuse_bind(struct socket *s, const struct sock_actor *by, const struct sock_address *a)
{
	(void) s, (void) by, (void) a;
	return -EINVAL; /* it has an address */
}

static int refuse_listen(struct socket *s, const struct sock_actor *by, int backlog)
{
	(void) s, (void) by, (void) backlog;
	return -EINVAL;
}

static int refuse_accept(struct socket *s, bool nonblocking, struct socket **ret)
{
	(void) s, (void) nonblocking, (void) ret;
	return -EINVAL;
}

static void stream_release(struct socket *s)
{
	inet_retire(inet_of(s));
}

static const struct socket_ops outside_stream = {
	.bind = refuse_bind,
	.listen = refuse_listen,
	.connect = stream_connect,
	.accept = refuse_accept,
	.send = stream_send,
	.receive = stream_receive,
	.shutdown = stream_shutdown,
	.name = stream_name,
	.get = inet_get,
	.set = inet_set,
	.changed = inet_changed,
	.look_for_error = inet_look_for_error,
	.poll = stream_poll,
	.queued = stream_queued,
	.release = stream_release,
};

void inet_look_for_error(struct socket *s)
{
	struct inet_sock *u = inet_of(s);

	if (!s->error && u->out)
		s->error = -take_error(u);
}
