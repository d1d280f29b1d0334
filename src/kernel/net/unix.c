/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/net/unix.h"

#include <asm/socket.h>
#include <linux/poll.h>

#include "kernel/core/heap.h"
#include "kernel/net/unix_sock.h"
#include "kernel/task/cred.h"

#define READABLE (POLLIN | POLLRDNORM)
#define WRITABLE (POLLOUT | POLLWRNORM | POLLWRBAND)

static struct heap_cache socks = HEAP_CACHE_INIT(struct unix_sock);

static const struct socket_ops ops;

static struct unix_sock *sock_new(int type)
{
	struct unix_sock *u = heap_cache_alloc(&socks);

	if (!u)
		return NULL;
	socket_init(&u->socket, &ops, AF_UNIX, type, 0);
	u->owners = 1;
	list_init(&u->peers);
	list_init(&u->of_peer);
	list_init(&u->inbox);
	list_init(&u->backlog);
	list_init(&u->in_backlog);
	list_init(&u->flying);
	waitq_init(&u->room);
	sleeplock_init(&u->reading);
	return u;
}

static int make(int type, int protocol, struct socket **ret)
{
	struct unix_sock *u;

	if (protocol != 0 && protocol != AF_UNIX)
		return -EPROTONOSUPPORT;
	if (type == 3) /* SOCK_RAW, which unix(7) takes for datagrams */
		type = SOCK_DGRAM;
	if (type != SOCK_STREAM && type != SOCK_DGRAM && type != SOCK_SEQPACKET)
		return -ESOCKTNOSUPPORT;
	u = sock_new(type);
	if (!u)
		return -ENOMEM;
	*ret = &u->socket;
	return 0;
}

const struct socket_family unix_family = { .domain = AF_UNIX, .make = make };

void unix_unref(struct unix_sock *u)
{
	if (!u || --u->owners > 0)
		return;
	unix_name_unref(u->name);
	heap_cache_free(&socks, u);
}

void unix_set_peer(struct unix_sock *u, struct unix_sock *peer)
{
	struct unix_sock *old = u->peer;

	list_remove(&u->of_peer);
	if (peer) {
		peer->owners++;
		if (u->socket.type == SOCK_DGRAM)
			list_push(&peer->peers, &u->of_peer);
	}
	u->peer = peer;
	unix_unref(old);
}

void unix_room_made(struct unix_sock *u)
{
	(void) waitq_wake(&u->room, 0, 0);
	list_each(l, &u->peers)
	{
		struct unix_sock *sender = list_entry(l, struct unix_sock, of_peer);

		(void) waitq_wake(&sender->socket.waiters, WRITABLE, 0);
	}
}

static struct sock_sender sender_of(const struct sock_actor *by)
{
	return (struct sock_sender){ { by->pid, by->walk.who->euid, by->walk.who->egid },
				     by->numbers };
}

static void has_file(struct socket *s, struct file *f)
{
	unix_of(s)->file = f;
}

/* ---- the end ---- */

/* The other side of a connection hears that this one is gone; lost: with bytes it never read. */
static void hang_up(struct unix_sock *peer, bool lost)
{
	peer->closed = CLOSED_BOTH;
	if (lost)
		peer->socket.error = ECONNRESET;
	(void) waitq_wake(&peer->socket.waiters, 0, 0);
	(void) waitq_wake(&peer->room, 0, 0);
}

static void refuse_backlog(struct unix_sock *u)
{
	struct list *l;

	while ((l = list_pop(&u->backlog))) {
		struct unix_sock *waits = list_entry(l, struct unix_sock, in_backlog);

		if (waits->peer)
			hang_up(waits->peer, true);
		unix_retire(waits);
	}
	u->backlog_used = 0;
}

void unix_retire(struct unix_sock *u)
{
	struct list parcels = LIST_INIT(parcels);
	struct list *l;

	u->dead = true;
	u->file = NULL;
	u->closed = CLOSED_BOTH;
	unix_unname(u);
	if (u->peer && u->socket.type != SOCK_DGRAM && !u->peer->dead)
		hang_up(u->peer, !list_empty(&u->inbox));
	while ((l = list_pop(&u->peers))) {
		struct unix_sock *sender = list_entry(l, struct unix_sock, of_peer);

		/* Its next datagram is refused, and then it has no peer: unix_data.c. */
		(void) waitq_wake(&sender->socket.waiters, 0, 0);
	}
	unix_set_peer(u, NULL);
	(void) waitq_wake(&u->room, 0, 0);
	list_splice(&parcels, &u->inbox);
	u->waiting = u->parcels = 0;
	refuse_backlog(u);
	unix_discard(&parcels);
	unix_unref(u);
}

static void release(struct socket *s)
{
	unix_retire(unix_of(s));
	unix_rights_collect();
}

static void flush(struct socket *s)
{
	(void) s;
	unix_rights_collect();
}

/* ---- connections ---- */

static int unix_listen(struct socket *s, const struct sock_actor *by, int backlog)
{
	struct unix_sock *u = unix_of(s);

	if (s->type == SOCK_DGRAM)
		return -EOPNOTSUPP;
	if (!u->name || u->peer)
		return -EINVAL;
	s->listening = true;
	u->backlog_most = (unsigned int) backlog;
	u->peer_cred = sender_of(by);
	u->has_peer_cred = true;
	unix_room_made(u);
	return 0;
}

static bool backlog_full(const struct unix_sock *u)
{
	return u->backlog_used > u->backlog_most;
}

/* Stands in the listener's backlog from then on. */
static int join(struct unix_sock *u, struct unix_sock *to, const struct sock_actor *by)
{
	struct unix_sock *there = sock_new(u->socket.type);

	if (!there)
		return -ENOMEM;
	there->name = to->name;
	there->name->owners++;
	there->peer_cred = sender_of(by);
	u->peer_cred = to->peer_cred;
	there->has_peer_cred = u->has_peer_cred = true;
	unix_set_peer(u, there);
	unix_set_peer(there, u);
	list_push(&to->backlog, &there->in_backlog);
	to->backlog_used++;
	(void) waitq_wake(&to->socket.waiters, READABLE, 0);
	(void) waitq_wake(&u->socket.waiters, 0, 0);
	return 0;
}

static bool takes_connections(const struct unix_sock *u)
{
	return u->socket.listening && !u->dead && !(u->closed & CLOSED_READ);
}

static int connect_stream(struct unix_sock *u, const struct sock_actor *by,
			  const struct sock_address *a, bool nonblocking)
{
	nsec_t timeout = u->socket.send_timeout, deadline = socket_deadline(timeout);

	for (;;) {
		struct unix_sock *to;
		int r = unix_find(a, u->socket.type, by, &to);

		if (r < 0)
			return r;
		/* Walking may have parked. */
		if (u->socket.listening)
			r = -EINVAL;
		else if (u->peer)
			r = -EISCONN;
		else if (!takes_connections(to))
			r = -ECONNREFUSED;
		else if (!backlog_full(to))
			r = join(u, to, by);
		else if (nonblocking)
			r = -EAGAIN;
		else
			r = waitq_wait(&to->room, !takes_connections(to) || !backlog_full(to),
				       deadline, fiber_interrupted())
				    ?: 1;
		unix_unref(to);
		if (r <= 0)
			return socket_wait_result(r, timeout);
	}
}

static int connect_datagram(struct unix_sock *u, const struct sock_actor *by,
			    const struct sock_address *a)
{
	struct unix_sock *to;
	int r = unix_find(a, SOCK_DGRAM, by, &to);

	if (r < 0)
		return r;
	if (to->peer && to->peer != u) {
		unix_unref(to);
		return -EPERM;
	}
	unix_set_peer(u, to);
	unix_unref(to);
	(void) waitq_wake(&u->socket.waiters, 0, 0);
	return 0;
}

static int unix_connect(struct socket *s, const struct sock_actor *by, const struct sock_address *a,
			bool nonblocking)
{
	struct unix_sock *u = unix_of(s);
	int r = 0;

	if (s->type == SOCK_DGRAM && a->family == AF_UNSPEC) {
		unix_set_peer(u, NULL);
		(void) waitq_wake(&s->waiters, 0, 0);
		return 0;
	}
	if (s->pass_cred && !u->name)
		r = unix_autobind(u);
	if (r < 0)
		return r;
	return s->type == SOCK_DGRAM ? connect_datagram(u, by, a)
				     : connect_stream(u, by, a, nonblocking);
}

static int unix_accept(struct socket *s, bool nonblocking, struct socket **ret)
{
	struct unix_sock *u = unix_of(s), *made;
	int r = 0;

	if (s->type == SOCK_DGRAM)
		return -EOPNOTSUPP;
	if (!s->listening)
		return -EINVAL;
	if (list_empty(&u->backlog) && !(u->closed & CLOSED_READ)) {
		if (nonblocking)
			return -EAGAIN;
		r = waitq_wait(&s->waiters, !list_empty(&u->backlog) || u->closed & CLOSED_READ,
			       socket_deadline(s->receive_timeout), fiber_interrupted());
	}
	if (r < 0)
		return socket_wait_result(r, s->receive_timeout);
	if (list_empty(&u->backlog))
		return -EINVAL; /* it was shut down */
	made = list_entry(list_pop(&u->backlog), struct unix_sock, in_backlog);
	u->backlog_used--;
	(void) waitq_wake(&u->room, 0, 0);
	*ret = &made->socket;
	return 0;
}

static int unix_pair(struct socket *a, struct socket *b, const struct sock_actor *by)
{
	struct unix_sock *x = unix_of(a), *y = unix_of(b);

	x->peer_cred = y->peer_cred = sender_of(by);
	x->has_peer_cred = y->has_peer_cred = true;
	unix_set_peer(x, y);
	unix_set_peer(y, x);
	return 0;
}

static int unix_shutdown(struct socket *s, int how)
{
	static const unsigned int of[] = { CLOSED_READ, CLOSED_WRITE, CLOSED_BOTH };
	struct unix_sock *u = unix_of(s), *peer = u->peer;

	u->closed |= of[how];
	if (peer && s->type != SOCK_DGRAM) {
		peer->closed |= (of[how] & CLOSED_READ ? CLOSED_WRITE : 0u) |
				(of[how] & CLOSED_WRITE ? CLOSED_READ : 0u);
		(void) waitq_wake(&peer->socket.waiters, 0, 0);
	}
	if (peer)
		(void) waitq_wake(&peer->room, 0, 0);
	(void) waitq_wake(&s->waiters, 0, 0);
	unix_room_made(u);
	return 0;
}

static int unix_name(struct socket *s, bool of_peer, struct sock_address *ret)
{
	struct unix_sock *u = unix_of(s);

	if (of_peer && !u->peer)
		return -ENOTCONN;
	unix_address(of_peer ? u->peer->name : u->name, ret);
	return 0;
}

static int unix_get(struct socket *s, int level, int name, void *to, size_t *len)
{
	struct unix_sock *u = unix_of(s);
	struct sock_ucred c = { 0, UINT32_MAX, UINT32_MAX };

	if (level != SOL_SOCKET)
		return -EOPNOTSUPP;
	if (name != SO_PEERCRED)
		return -ENOPROTOOPT;
	if (u->has_peer_cred)
		c = sock_seen(&u->peer_cred);
	*len = min_of(*len, sizeof(c));
	memcpy(to, &c, *len);
	return 0;
}

static unsigned int unix_poll(struct socket *s, struct waiter *w)
{
	struct unix_sock *u = unix_of(s);
	bool connected = s->type == SOCK_DGRAM || u->peer;
	unsigned int ready = 0;

	if (w)
		waitq_add(&s->waiters, w);
	ready |= s->error ? POLLERR : 0u;
	ready |= u->closed == CLOSED_BOTH ? POLLHUP : 0u;
	ready |= u->closed & CLOSED_READ ? POLLRDHUP | READABLE : 0u;
	ready |= !list_empty(&u->inbox) || !list_empty(&u->backlog) ? READABLE : 0u;
	/* As Linux: one that is connected to nobody hangs. */
	ready |= !connected && !s->listening ? POLLHUP : 0u;
	ready |= unix_writable(u) ? WRITABLE : 0u;
	return ready;
}

static int64_t queued(struct socket *s, bool sent)
{
	struct unix_sock *u = unix_of(s);
	const struct parcel *first;

	if (s->listening)
		return -EINVAL;
	if (sent)
		return (int64_t) u->charged;
	if (s->type != SOCK_DGRAM)
		return (int64_t) u->waiting;
	if (list_empty(&u->inbox))
		return 0;
	first = list_entry(u->inbox.next, struct parcel, link);
	return (int64_t) first->len;
}

static const struct socket_ops ops = {
	.bind = unix_bind,
	.listen = unix_listen,
	.connect = unix_connect,
	.accept = unix_accept,
	.pair = unix_pair,
	.send = unix_send,
	.receive = unix_receive,
	.shutdown = unix_shutdown,
	.name = unix_name,
	.get = unix_get,
	.poll = unix_poll,
	.queued = queued,
	.has_file = has_file,
	.flush = flush,
	.release = release,
};
