/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes of connections. What is sent stands in the peer's inbox, cut as it came, and counts for the
 * room that both sides have set: SO_SNDBUF of one and SO_RCVBUF of the other.
 */
#include <linux/poll.h>

#include "kernel/core/heap.h"
#include "kernel/net/inet_sock.h"

#define CHUNK (((size_t) 16 << 10) - sizeof(struct inet_piece)) /* the heap's largest class */

/* ---- pieces ---- */

int inet_piece_new(struct uio *from, size_t n, struct inet_piece **ret)
{
	struct inet_piece *p = heap_alloc(sizeof(*p) + n);
	int64_t got;

	if (!p)
		return -ENOMEM;
	list_init(&p->link);
	p->cost = sizeof(*p) + n;
	got = n ? uio_in(from, p->bytes, n) : 0;
	if (got < 0) {
		heap_free(p);
		return (int) got;
	}
	p->len = (size_t) got;
	*ret = p;
	return 0;
}

void inet_piece_put(struct inet_sock *to, struct inet_piece *p)
{
	list_push(&to->inbox, &p->link);
	to->waiting += p->len;
	to->charged += p->cost;
	(void) waitq_wake(&to->socket.waiters, INET_READABLE, 0);
}

void inet_piece_drop(struct inet_sock *u, struct inet_piece *p)
{
	list_remove(&p->link);
	u->waiting -= p->len - p->at;
	u->charged -= p->cost;
	heap_free(p);
	if (u->peer && inet_writable(u->peer))
		(void) waitq_wake(&u->peer->socket.waiters, INET_WRITABLE, 0);
}

void inet_pieces_free(struct inet_sock *u)
{
	while (!list_empty(&u->inbox))
		inet_piece_drop(u, list_entry(u->inbox.next, struct inet_piece, link));
}

/* ---- sending ---- */

static uint64_t room_between(const struct inet_sock *u)
{
	return (uint64_t) u->socket.send_room + u->peer->socket.receive_room;
}

bool inet_writable(const struct inet_sock *u)
{
	if (!inet_is_stream(u) || u->state == INET_NEW || u->closed & INET_NO_WRITE)
		return true;
	return u->state == INET_CONNECTED && (!u->peer || 2 * u->peer->charged <= room_between(u));
}

static bool may_send(const struct inet_sock *u)
{
	return u->socket.error || u->closed & INET_NO_WRITE || u->state == INET_NEW ||
	       (u->state == INET_CONNECTED && u->peer->charged < room_between(u));
}

static int wait_for_room(struct inet_sock *u, const struct sock_message *m, nsec_t deadline)
{
	int r;

	if (!may_send(u)) {
		if (m->flags & MSG_DONTWAIT)
			return -EAGAIN;
		r = waitq_wait(&u->socket.waiters, may_send(u), deadline, fiber_interrupted());
		if (r < 0)
			return r;
	}
	r = socket_take_error(&u->socket);
	if (r < 0)
		return r;
	return u->closed & INET_NO_WRITE || u->state != INET_CONNECTED ? -EPIPE : 0;
}

int64_t inet_send_stream(struct inet_sock *u, struct sock_message *m)
{
	nsec_t timeout = u->socket.send_timeout, deadline = socket_deadline(timeout);
	int64_t done = 0;
	int r = 0;

	if (m->flags & MSG_OOB)
		return -EOPNOTSUPP;
	/* One that listens or was never joined. */
	if (u->state == INET_NEW || u->state == INET_LISTENING)
		return socket_take_error(&u->socket) ?: -EPIPE;
	while (m->data->left > 0 && r == 0) {
		struct inet_piece *p;

		r = wait_for_room(u, m, deadline);
		if (r == 0)
			r = inet_piece_new(m->data, min_of((size_t) m->data->left, CHUNK), &p);
		if (r < 0)
			break;
		done += (int64_t) p->len;
		/* Copying may have parked. */
		if (u->closed & INET_NO_WRITE || u->state != INET_CONNECTED) {
			done -= (int64_t) p->len;
			heap_free(p);
			r = socket_take_error(&u->socket) ?: -EPIPE;
		} else if (u->peer->dead) {
			/* As TCP: the answer to what it sends tells that nobody is there. */
			heap_free(p);
			u->closed = INET_NEITHER;
			u->socket.error = EPIPE;
			(void) waitq_wake(&u->socket.waiters, 0, 0);
		} else {
			inet_piece_put(u->peer, p);
		}
	}
	return done ? done : socket_wait_result(r, timeout);
}

/* ---- receiving ---- */

int inet_wait(struct inet_sock *u, const struct sock_message *m, nsec_t deadline)
{
	int r = socket_take_error(&u->socket);

	if (r < 0)
		return r;
	if (u->closed & INET_NO_READ)
		return 1;
	if (inet_is_stream(u) && (u->state == INET_NEW || u->state == INET_LISTENING))
		return -ENOTCONN;
	if (m->flags & MSG_DONTWAIT)
		return -EAGAIN;
	sleeplock_give(&u->reading);
	r = waitq_wait(&u->socket.waiters,
		       !list_empty(&u->inbox) || u->socket.error || u->closed & INET_NO_READ,
		       deadline, fiber_interrupted());
	sleeplock_take(&u->reading);
	return r;
}

/* What is there, as far as there is room for it: how many bytes; -EFAULT where not one could be
 * brought. */
static int64_t take(struct inet_sock *u, struct sock_message *m)
{
	struct list *l = u->inbox.next;
	int64_t done = 0;

	while (l != &u->inbox && m->data->left > 0) {
		struct inet_piece *p = list_entry(l, struct inet_piece, link);
		size_t part = min_of(p->len - p->at, (size_t) m->data->left);
		int64_t n = (int64_t) part;

		/* tcp(7): MSG_TRUNC throws bytes away. */
		if (m->flags & MSG_TRUNC)
			m->data->left -= part;
		else
			n = uio_out(m->data, p->bytes + p->at, part);
		if (n <= 0)
			return done ? done : n;
		done += n;
		/* `reading` is held: nobody else took it out meanwhile. */
		l = p->link.next;
		if (m->flags & MSG_PEEK)
			continue;
		p->at += (size_t) n;
		u->waiting -= (size_t) n;
		if (p->at == p->len)
			inet_piece_drop(u, p);
		if (n < (int64_t) part)
			break;
	}
	return done;
}

int64_t inet_receive_stream(struct inet_sock *u, struct sock_message *m)
{
	nsec_t timeout = u->socket.receive_timeout, deadline = socket_deadline(timeout);
	uint64_t want = m->flags & MSG_WAITALL
				? m->data->left
				: min_of(m->data->left, (uint64_t) u->socket.low_water);
	int64_t done = 0, n;
	int r = 0;

	if (m->flags & MSG_OOB)
		return -EINVAL; /* there is none */
	sleeplock_take(&u->reading);
	for (;;) {
		n = take(u, m);
		if (n < 0)
			r = (int) n;
		else
			done += n;
		if (n < 0 || (uint64_t) done >= want || (done > 0 && m->flags & MSG_PEEK))
			break;
		if (list_empty(&u->inbox))
			r = inet_wait(u, m, deadline);
		if (r != 0)
			break;
	}
	sleeplock_give(&u->reading);
	return done || r > 0 ? done : socket_wait_result(r, timeout);
}
