/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections of streams: both ends are made by connect(2), and the other one stands in the
 * listener's backlog until it is accepted.
 *
 *	CLOSED -> LISTEN			[inet_listen]
 *	CLOSED -> SYN_SENT or ESTABLISHED	[start, establish]; with SYN_RECV, its other end
 *	ESTABLISHED -> FIN_WAIT, CLOSE_WAIT	[send_fin, take_fin]
 *	FIN_WAIT, CLOSE_WAIT -> CLOSED		[the same, at the other half]
 *	any -> CLOSED				[inet_reset, inet_disconnect]
 */
#include <linux/poll.h>

#include "kernel/net/inet_sock.h"
#include "kernel/task/cred.h"

#define READABLE (POLLIN | POLLRDNORM)

/* SO_SNDBUF while nobody sets it: Linux lets it grow to that over its loopback. */
#define ROOM_AT_FIRST 16384
#define ROOM_GROWN    2626560

/* ---- the end ---- */

static void close_all(struct inet_sock *u)
{
	u->state = INET_CLOSED;
	u->closed = NO_MORE;
}

void inet_reset(struct inet_sock *u)
{
	if (u->dead || u->state == INET_CLOSED)
		return;
	u->socket.error = u->state == INET_SYN_SENT	? ECONNREFUSED
			  : u->state == INET_CLOSE_WAIT ? EPIPE
							: ECONNRESET;
	close_all(u);
	(void) waitq_wake(&u->socket.waiters, 0, 0);
}

/* The other half is closed. */
static void take_fin(struct inet_sock *u)
{
	if (u->dead || u->state == INET_CLOSED)
		return;
	u->fin = true;
	u->closed |= NO_INPUT;
	if (u->state == INET_FIN_WAIT)
		close_all(u);
	else
		u->state = INET_CLOSE_WAIT;
	(void) waitq_wake(&u->socket.waiters, 0, 0);
}

static void send_fin(struct inet_sock *u)
{
	u->closed |= NO_OUTPUT;
	if (u->state == INET_ESTABLISHED)
		u->state = INET_FIN_WAIT;
	else if (u->state == INET_CLOSE_WAIT)
		close_all(u);
	else
		return;
	take_fin(u->peer);
}

/* Of a listener's: who waits is refused, who has a place is reset. */
static void turn_away(struct list *ends)
{
	struct list *l;

	while ((l = list_pop(ends))) {
		struct inet_sock *end = list_entry(l, struct inet_sock, in_backlog);

		inet_disconnect(end, true);
		inet_retire(end);
	}
}

static void stop_listening(struct inet_sock *u)
{
	inet_port_deafen(u);
	inet_outside_close(u);
	u->socket.listening = false;
	turn_away(&u->arriving);
	turn_away(&u->backlog);
	u->backlog_used = 0;
}

void inet_disconnect(struct inet_sock *u, bool reset)
{
	struct inet_sock *peer = u->peer;
	enum inet_state was = u->state;

	if (was == INET_LISTEN)
		stop_listening(u);
	else if ((was == INET_ESTABLISHED || was == INET_CLOSE_WAIT) && !reset)
		send_fin(u);
	close_all(u);
	if (was == INET_SYN_SENT) {
		list_remove(&peer->in_backlog);
		inet_retire(peer);
	} else if (peer && was != INET_CLOSED && (reset || was == INET_SYN_RECV)) {
		inet_reset(peer);
	}
	u->peer = NULL;
	inet_unref(peer);
	u->closed = u->dead ? NO_MORE : 0;
	u->fin = false;
	u->phase = INET_UNCONNECTED;
	u->remote = (struct inet_address){ .ip = inet_ip_none(u->socket.domain) };
	if (!u->port_bound)
		inet_port_give(u);
	if (!u->ip_bound)
		u->local.ip = inet_ip_none(u->socket.domain);
	(void) waitq_wake(&u->socket.waiters, 0, 0);
}

int inet_stream_shutdown(struct inet_sock *u, int how)
{
	switch (u->state) {
	case INET_CLOSED:
		(void) waitq_wake(&u->socket.waiters, 0, 0);
		return -ENOTCONN;
	case INET_LISTEN:
		if (how != SHUT_WR)
			inet_disconnect(u, true);
		return 0;
	case INET_SYN_SENT:
		inet_disconnect(u, true);
		return 0;
	default:
		break;
	}
	if (how != SHUT_WR)
		u->closed |= NO_INPUT;
	if (how != SHUT_RD)
		send_fin(u);
	(void) waitq_wake(&u->socket.waiters, 0, 0);
	return 0;
}

/* ---- a listener ---- */

static bool backlog_full(const struct inet_sock *l)
{
	return l->backlog_used > l->backlog_most; /* one more than it said, as Linux has it */
}

static void grow(struct socket *s)
{
	if (s->send_room == ROOM_AT_FIRST)
		s->send_room = ROOM_GROWN;
}

/* `there` has a place in l's backlog from then on. */
static void establish(struct inet_sock *l, struct inet_sock *there)
{
	struct inet_sock *u = there->peer;

	u->state = there->state = INET_ESTABLISHED;
	there->phase = INET_CONNECTED;
	grow(&u->socket);
	grow(&there->socket);
	list_push(&l->backlog, &there->in_backlog);
	l->backlog_used++;
	(void) waitq_wake(&l->socket.waiters, READABLE, 1);
	(void) waitq_wake(&u->socket.waiters, 0, 0);
}

static void admit(struct inet_sock *l)
{
	struct list *next;

	while (!backlog_full(l) && (next = list_pop(&l->arriving)))
		establish(l, list_entry(next, struct inet_sock, in_backlog));
}

int inet_listen(struct socket *s, const struct sock_actor *by, int backlog)
{
	struct inet_sock *u = inet_of(s);
	int r = 0;

	if (!inet_is_stream(u))
		return -EOPNOTSUPP;
	if (u->phase != INET_UNCONNECTED || (u->state != INET_CLOSED && u->state != INET_LISTEN))
		return -EINVAL;
	if (u->state == INET_CLOSED) {
		if (!u->local.port) {
			u->uid = by->walk.who->euid;
			r = inet_take_port(u, &u->local, NULL);
		}
		/* That may have parked: another thread may listen, or connect it. */
		if (u->state != INET_CLOSED || s->ops != inet_ops())
			return -EINVAL;
		if (r == 0)
			r = inet_port_listen(u);
		if (r < 0)
			return -EADDRINUSE;
		u->state = INET_LISTEN;
		u->closed = 0;
	}
	s->listening = true;
	u->backlog_most = (unsigned int) backlog;
	admit(u);
	r = u->out ? outside_ops()->listen(u->out, backlog) : 0;
	if (r != -EPERM)
		return r;
	inet_outside_close(u); /* a port that is not to be reached from there */
	return 0;
}

int inet_accept(struct socket *s, bool nonblocking, struct socket **ret)
{
	struct inet_sock *u = inet_of(s), *made;
	nsec_t deadline = socket_deadline(s->receive_timeout);
	int r = 0;

	if (!inet_is_stream(u))
		return -EOPNOTSUPP;
	while (u->state == INET_LISTEN && list_empty(&u->backlog)) {
		uint64_t seen = u->out ? u->out->happened : 0;

		r = inet_outside_accept(u, &made);
		if (r == 0) {
			*ret = &made->socket;
			return 0;
		}
		if (r != -EAGAIN || nonblocking)
			return r;
		r = waitq_wait(&s->waiters,
			       !list_empty(&u->backlog) || u->state != INET_LISTEN ||
				       (u->out && u->out->happened != seen),
			       deadline, fiber_interrupted());
		if (r < 0)
			return socket_wait_result(r, s->receive_timeout);
	}
	if (u->state != INET_LISTEN)
		return -EINVAL; /* or it was shut down */
	made = list_entry(list_pop(&u->backlog), struct inet_sock, in_backlog);
	u->backlog_used--;
	admit(u);
	*ret = &made->socket;
	return 0;
}

/* ---- connect ---- */

void inet_inherit(struct inet_sock *u, const struct inet_sock *l)
{
	u->socket.flags = l->socket.flags;
	u->socket.send_room = l->socket.send_room;
	u->socket.receive_room = l->socket.receive_room;
	u->socket.low_water = l->socket.low_water;
	u->socket.priority = l->socket.priority;
	u->socket.linger_on = l->socket.linger_on;
	u->socket.linger_seconds = l->socket.linger_seconds;
	u->socket.send_timeout = l->socket.send_timeout;
	u->socket.receive_timeout = l->socket.receive_timeout;
	memcpy(u->option, l->option, sizeof(u->option));
	u->uid = l->uid;
}

static int join(struct inet_sock *u, struct inet_sock *l)
{
	struct inet_sock *there = inet_sock_new(l->socket.domain, SOCK_STREAM);

	if (!there)
		return -ENOMEM;
	inet_inherit(there, l);
	inet_port_share(there, &u->remote);
	there->remote = u->local;
	there->peer = u;
	u->peer = there;
	u->owners++;
	there->owners++;
	if (backlog_full(l)) {
		u->state = INET_SYN_SENT;
		there->state = INET_SYN_RECV;
		list_push(&l->arriving, &there->in_backlog);
	} else {
		establish(l, there);
	}
	return 0;
}

/* 0: it is under way, or has ended already. */
static int start(struct inet_sock *u, const struct inet_address *to)
{
	struct inet_sock *l;
	struct inet_ip from;
	int r;

	u->remote = *to;
	r = inet_route(u, &u->remote.ip, &from);
	if (r == 0)
		r = inet_autobind(u);
	if (r == 0) {
		u->local.ip = from;
		r = inet_connected_twice(u, &u->remote) ? -EADDRNOTAVAIL : 0;
	}
	if (r == 0) {
		l = inet_find_listener(&u->remote, &u->local);
		if (l) {
			r = join(u, l);
		} else {
			u->socket.error = ECONNREFUSED;
			u->closed = NO_MORE;
			(void) waitq_wake(&u->socket.waiters, 0, 0);
		}
	}
	if (r < 0)
		inet_disconnect(u, false);
	else
		u->phase = INET_CONNECTING;
	return r;
}

static int finish(struct inet_sock *u)
{
	int r;

	if (u->state != INET_CLOSED) {
		u->phase = INET_CONNECTED;
		return 0;
	}
	r = socket_take_error(&u->socket) ?: -ECONNABORTED;
	inet_disconnect(u, false);
	return r;
}

/* connect(2) with AF_UNSPEC. */
static int part(struct inet_sock *u)
{
	/* Somebody may be reading. */
	sleeplock_take(&u->reading);
	inet_disconnect(u, true);
	inet_stream_discard(u);
	sleeplock_give(&u->reading);
	return 0;
}

int inet_stream_connect(struct inet_sock *u, const struct sock_address *a, bool nonblocking)
{
	nsec_t timeout = u->socket.send_timeout;
	bool first = u->phase == INET_UNCONNECTED;
	struct inet_address to;
	int r = 0;

	if (a->family == AF_UNSPEC)
		return part(u);
	if (u->phase == INET_CONNECTED || u->state == INET_LISTEN)
		return -EISCONN;
	if (first) {
		r = inet_parse(u, a, false, &to);
		if (r == 0 && inet_goes_out(&to.ip))
			return inet_outside_connect(u, &to, a, nonblocking);
		if (r == 0)
			r = start(u, &to);
	}
	if (r < 0)
		return r;
	if (nonblocking && (first || u->state == INET_SYN_SENT))
		return first ? -EINPROGRESS : -EALREADY;
	r = waitq_wait(&u->socket.waiters, u->state != INET_SYN_SENT, socket_deadline(timeout),
		       fiber_interrupted());
	if (r == -ETIMEDOUT)
		return first ? -EINPROGRESS : -EALREADY;
	return r < 0 ? socket_wait_result(r, timeout) : finish(u);
}
