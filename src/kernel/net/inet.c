/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/net/inet.h"

#include <asm/socket.h>
#include <linux/poll.h>

#include "kernel/core/heap.h"
#include "kernel/net/inet_sock.h"

static struct heap_cache socks = HEAP_CACHE_INIT(struct inet_sock);

static const struct socket_ops ops;

static struct inet_sock *sock_new(int domain, int type)
{
	struct inet_sock *u = heap_cache_alloc(&socks);

	if (!u)
		return NULL;
	socket_init(&u->socket, &ops, domain, type, type == SOCK_STREAM ? INET_TCP : INET_UDP);
	u->owners = 1;
	/* The wildcard of its family. */
	if (domain == AF_INET)
		u->local.ip[10] = u->local.ip[11] = 0xff;
	list_init(&u->inbox);
	list_init(&u->backlog);
	list_init(&u->callers);
	list_init(&u->in_list);
	sleeplock_init(&u->reading);
	inet_options_init(u);
	return u;
}

static int make(int domain, int type, int protocol, struct socket **ret)
{
	struct inet_sock *u;

	if (type != SOCK_STREAM && type != SOCK_DGRAM)
		return -ESOCKTNOSUPPORT;
	if (protocol != 0 && protocol != (type == SOCK_STREAM ? INET_TCP : INET_UDP))
		return -EPROTONOSUPPORT;
	u = sock_new(domain, type);
	if (!u)
		return -ENOMEM;
	*ret = &u->socket;
	return 0;
}

static int make_4(int type, int protocol, struct socket **ret)
{
	return make(AF_INET, type, protocol, ret);
}

static int make_6(int type, int protocol, struct socket **ret)
{
	return make(AF_INET6, type, protocol, ret);
}

const struct socket_family inet_family = { .domain = AF_INET, .make = make_4 };
const struct socket_family inet6_family = { .domain = AF_INET6, .make = make_6 };

static void sock_unref(struct inet_sock *u)
{
	if (u && --u->owners == 0)
		heap_cache_free(&socks, u);
}

static void join(struct inet_sock *a, struct inet_sock *b)
{
	a->peer = b;
	b->peer = a;
	a->owners++;
	b->owners++;
}

/* ---- the end ---- */

static void wake(struct inet_sock *u)
{
	(void) waitq_wake(&u->socket.waiters, 0, 0);
}

/* It hears that the other side is gone; reset: with bytes that were never read. */
static void hang_up(struct inet_sock *u, bool reset)
{
	u->closed |= reset ? INET_NEITHER : INET_NO_READ;
	if (reset)
		u->socket.error = ECONNRESET;
	wake(u);
}

static void leave_peer(struct inet_sock *u, bool reset)
{
	struct inet_sock *peer = u->peer;

	if (!peer)
		return;
	u->peer = NULL;
	if (!peer->dead)
		hang_up(peer, reset);
	sock_unref(peer);
}

/* What was never joined, or is no more. */
static void refuse(struct inet_sock *u)
{
	u->state = INET_NEW;
	u->socket.error = ECONNREFUSED;
	inet_unbind(u);
	wake(u);
}

static void retire(struct inet_sock *u, bool reset);

/* It listens no more: who is in the backlog is cut off, who waits for room is refused. */
static void stop_listening(struct inet_sock *u)
{
	struct list *l;

	while ((l = list_pop(&u->backlog)))
		retire(list_entry(l, struct inet_sock, in_list), true);
	while ((l = list_pop(&u->callers)))
		refuse(list_entry(l, struct inet_sock, in_list));
	u->backlog_used = 0;
	u->socket.listening = false;
	u->state = INET_NEW;
}

/* What its file, or its place in a backlog, held. */
static void retire(struct inet_sock *u, bool reset)
{
	u->dead = true;
	u->closed = INET_NEITHER;
	inet_port_give(u);
	list_remove(&u->in_list);
	stop_listening(u);
	leave_peer(u, reset || !list_empty(&u->inbox));
	inet_pieces_free(u);
	sock_unref(u);
}

static void release(struct socket *s)
{
	/* socket(7): to linger for no time is to cut off. */
	retire(inet_of(s), s->linger_on && s->linger_seconds == 0);
}

/* ---- connections ---- */

static int inet_listen(struct socket *s, const struct sock_actor *by, int backlog)
{
	struct inet_sock *u = inet_of(s);
	struct inet_place here = u->local;

	(void) by;
	if (!inet_is_stream(u))
		return -EOPNOTSUPP;
	if (u->state != INET_NEW && u->state != INET_LISTENING)
		return -EINVAL;
	if (!tree_has(&u->by_port)) {
		/* listen(2) without bind(2): any port, at the wildcard. */
		int r = inet_choose(u, &here);

		memcpy(u->local.ip, here.ip, sizeof(here.ip));
		if (r < 0)
			return -EADDRINUSE;
	}
	if (u->state == INET_NEW && inet_listened(u))
		return -EADDRINUSE;
	u->state = INET_LISTENING;
	u->closed = 0;
	s->listening = true;
	u->backlog_most = (unsigned int) backlog;
	return 0;
}

static bool backlog_full(const struct inet_sock *u)
{
	return u->backlog_used > u->backlog_most;
}

/* What an accepted one has from who listened. */
static void inherit(struct inet_sock *u, const struct inet_sock *from)
{
	struct socket *s = &u->socket;
	const struct socket *o = &from->socket;

	s->flags = o->flags;
	s->send_room = o->send_room;
	s->receive_room = o->receive_room;
	s->low_water = o->low_water;
	s->priority = o->priority;
	s->linger_on = o->linger_on;
	s->linger_seconds = o->linger_seconds;
	s->send_timeout = o->send_timeout;
	s->receive_timeout = o->receive_timeout;
	u->reuse_port = from->reuse_port;
	u->v6_only = from->v6_only;
	u->uid = from->uid;
	memcpy(u->options, from->options, sizeof(u->options));
}

/* u is connected, and stands in the listener's backlog by its other end. */
static int establish(struct inet_sock *u, struct inet_sock *to)
{
	struct inet_sock *there = sock_new(to->socket.domain, SOCK_STREAM);

	if (!there)
		return -ENOMEM;
	inherit(there, to);
	there->local = u->remote;
	there->remote = u->local;
	there->state = u->state = INET_CONNECTED;
	inet_port_take(there);
	join(u, there);
	list_push(&to->backlog, &there->in_list);
	to->backlog_used++;
	(void) waitq_wake(&to->socket.waiters, INET_READABLE, 0);
	wake(u);
	return 0;
}

/* There is room in the backlog. */
static void admit_callers(struct inet_sock *u)
{
	while (!list_empty(&u->callers) && !backlog_full(u)) {
		struct inet_sock *first = list_entry(u->callers.next, struct inet_sock, in_list);

		list_remove(&first->in_list);
		if (establish(first, u) < 0) {
			refuse(first);
			break;
		}
	}
}

/* Sets out: connected, waiting to be, or refused. */
static int call(struct inet_sock *u, const struct sock_address *a)
{
	struct inet_sock *to;
	int r = inet_parse(u, a, &u->remote);

	if (r == 0)
		r = inet_destination(u, &u->remote);
	if (r == 0)
		r = inet_choose(u, &u->remote);
	if (r < 0)
		return r;
	to = inet_find(SOCK_STREAM, &u->remote, &u->local);
	if (!to) {
		refuse(u);
		return 0;
	}
	if (!backlog_full(to) && list_empty(&to->callers))
		return establish(u, to);
	u->state = INET_CALLING;
	list_push(&to->callers, &u->in_list);
	return 0;
}

/* How a call went: 0, or its error, which is told by that. */
static int outcome(struct inet_sock *u)
{
	int r = socket_take_error(&u->socket);

	if (r == 0 && u->state == INET_NEW)
		r = -ECONNABORTED;
	if (r == 0)
		u->unannounced = false;
	return r;
}

static int connect_stream(struct inet_sock *u, const struct sock_address *a, bool nonblocking)
{
	nsec_t timeout = u->socket.send_timeout;
	int r;

	if (u->state == INET_LISTENING || (u->state == INET_CONNECTED && !u->unannounced))
		return -EISCONN;
	if (u->state == INET_CONNECTED)
		return outcome(u);
	if (u->state == INET_CALLING && nonblocking)
		return -EALREADY;
	if (u->state == INET_NEW) {
		r = socket_take_error(&u->socket); /* of a call before */
		if (r == 0)
			r = call(u, a);
		if (r < 0)
			return r;
		if (nonblocking) {
			u->unannounced = true;
			return -EINPROGRESS;
		}
	}
	r = waitq_wait(&u->socket.waiters, u->state != INET_CALLING, socket_deadline(timeout),
		       fiber_interrupted());
	if (r == -ETIMEDOUT)
		r = -EINPROGRESS;
	if (r < 0) {
		u->unannounced = true;
		return socket_wait_result(r, timeout);
	}
	return outcome(u);
}

/* Linux: a connection is cut off, and the socket is as new but for where it is bound. */
static int disconnect(struct inet_sock *u)
{
	list_remove(&u->in_list);
	stop_listening(u);
	leave_peer(u, true);
	sleeplock_take(&u->reading); /* who reads holds a piece */
	inet_pieces_free(u);
	sleeplock_give(&u->reading);
	u->closed = 0;
	u->socket.error = 0;
	u->unannounced = false;
	u->remote = (struct inet_place){};
	inet_unbind(u);
	wake(u);
	return 0;
}

static int inet_connect(struct socket *s, const struct sock_actor *by, const struct sock_address *a,
			bool nonblocking)
{
	struct inet_sock *u = inet_of(s);

	(void) by;
	if (!inet_is_stream(u))
		return inet_connect_datagram(u, a);
	return a->family == AF_UNSPEC ? disconnect(u) : connect_stream(u, a, nonblocking);
}

static int inet_accept(struct socket *s, bool nonblocking, struct socket **ret)
{
	struct inet_sock *u = inet_of(s), *made;
	int r = 0;

	if (!inet_is_stream(u))
		return -EOPNOTSUPP;
	if (u->state != INET_LISTENING)
		return -EINVAL;
	if (list_empty(&u->backlog)) {
		if (nonblocking)
			return -EAGAIN;
		r = waitq_wait(&s->waiters, !list_empty(&u->backlog) || u->state != INET_LISTENING,
			       socket_deadline(s->receive_timeout), fiber_interrupted());
	}
	if (r < 0)
		return socket_wait_result(r, s->receive_timeout);
	if (list_empty(&u->backlog))
		return -EINVAL; /* it was shut down */
	made = list_entry(list_pop(&u->backlog), struct inet_sock, in_list);
	u->backlog_used--;
	admit_callers(u);
	*ret = &made->socket;
	return 0;
}

static int inet_shutdown(struct socket *s, int how)
{
	static const unsigned int of[] = { INET_NO_READ, INET_NO_WRITE, INET_NEITHER };
	struct inet_sock *u = inet_of(s);

	if (u->state == INET_LISTENING && of[how] & INET_NO_READ) {
		stop_listening(u);
		wake(u);
		return 0;
	}
	if (u->state != INET_CONNECTED)
		return -ENOTCONN;
	u->closed |= of[how];
	if (u->peer && !u->peer->dead && of[how] & INET_NO_WRITE)
		hang_up(u->peer, false);
	wake(u);
	return 0;
}

/* ---- asked ---- */

static int inet_name(struct socket *s, bool of_peer, struct sock_address *ret)
{
	struct inet_sock *u = inet_of(s);

	if (of_peer && u->state != INET_CONNECTED)
		return -ENOTCONN;
	inet_address(u, of_peer ? &u->remote : &u->local, ret);
	return 0;
}

static unsigned int inet_poll(struct socket *s, struct waiter *w)
{
	struct inet_sock *u = inet_of(s);
	bool stream = inet_is_stream(u);
	unsigned int ready = 0;

	if (w)
		waitq_add(&s->waiters, w);
	ready |= s->error ? POLLERR : 0u;
	if (u->state == INET_LISTENING)
		return ready | (list_empty(&u->backlog) ? 0u : INET_READABLE);
	/* As Linux: one that was never joined hangs. */
	if (u->closed == INET_NEITHER || (stream && u->state == INET_NEW))
		ready |= POLLHUP;
	if (u->closed & INET_NO_READ || (s->error && stream && u->state == INET_NEW))
		ready |= POLLRDHUP | INET_READABLE;
	ready |= !list_empty(&u->inbox) ? INET_READABLE : 0u;
	ready |= inet_writable(u) ? INET_WRITABLE : 0u;
	return ready;
}

static int64_t queued(struct socket *s, bool sent)
{
	struct inet_sock *u = inet_of(s);
	const struct inet_piece *first;

	if (u->state == INET_LISTENING)
		return -EINVAL;
	if (sent || list_empty(&u->inbox))
		return 0; /* what was sent has arrived */
	if (inet_is_stream(u))
		return (int64_t) u->waiting;
	first = list_entry(u->inbox.next, struct inet_piece, link);
	return (int64_t) first->len;
}

static int64_t inet_send(struct socket *s, struct sock_message *m)
{
	struct inet_sock *u = inet_of(s);

	return inet_is_stream(u) ? inet_send_stream(u, m) : inet_send_datagram(u, m);
}

static int64_t inet_receive(struct socket *s, struct sock_message *m)
{
	struct inet_sock *u = inet_of(s);

	return inet_is_stream(u) ? inet_receive_stream(u, m) : inet_receive_datagram(u, m);
}

static const struct socket_ops ops = {
	.bind = inet_bind,
	.listen = inet_listen,
	.connect = inet_connect,
	.accept = inet_accept,
	.send = inet_send,
	.receive = inet_receive,
	.shutdown = inet_shutdown,
	.name = inet_name,
	.get = inet_get,
	.set = inet_set,
	.poll = inet_poll,
	.queued = queued,
	.release = release,
};
