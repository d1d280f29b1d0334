/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream's bytes stand in the receiver's inbox as segments. As much fits as the sender's
 * SO_SNDBUF and the receiver's SO_RCVBUF have room for together; what is beyond the receiver's
 * counts as not sent yet.
 */
#include <linux/poll.h>

#include "kernel/core/heap.h"
#include "kernel/net/inet_sock.h"

#define READABLE (POLLIN | POLLRDNORM)
#define WRITABLE (POLLOUT | POLLWRNORM)

struct segment {
	struct list link;
	uint32_t at, len, room; /* what is read of it, what there is, what would fit */
	char bytes[];
};

#define SEGMENT_MOST  (((size_t) 16 << 10) - sizeof(struct segment)) /* the heap's largest class */
#define SEGMENT_LEAST ((size_t) 256 - sizeof(struct segment))
/* Short ones that come while nobody reads share one of this size. */
#define SEGMENT_SHARED ((size_t) 4096 - sizeof(struct segment))

static size_t room_for(const struct inet_sock *u)
{
	return (size_t) u->socket.send_room + u->peer->socket.receive_room;
}

static bool full(const struct inet_sock *u)
{
	return u->peer && u->peer->held >= room_for(u);
}

bool inet_stream_writable(const struct inet_sock *u)
{
	return !u->peer || u->peer->dead || 3 * u->peer->held <= 2 * room_for(u);
}

size_t inet_stream_unsent(const struct inet_sock *u)
{
	size_t there = u->peer ? u->peer->waiting : 0, room;

	room = u->peer ? u->peer->socket.receive_room : 0;
	return there > room ? there - room : 0;
}

static void segment_free(struct inet_sock *owner, struct segment *s)
{
	list_remove(&s->link);
	owner->held -= sizeof(*s) + s->room;
	heap_free(s);
}

void inet_stream_discard(struct inet_sock *u)
{
	while (!list_empty(&u->inbox))
		segment_free(u, list_entry(u->inbox.next, struct segment, link));
	u->waiting = 0;
}

/* ---- kept ---- */

void inet_stream_each(const struct inet_sock *u,
		      void (*act)(void *arg, const char *bytes, size_t n), void *arg)
{
	list_each(l, (struct list *) (uintptr_t) &u->inbox)
	{
		const struct segment *s = list_entry(l, struct segment, link);

		act(arg, s->bytes + s->at, s->len - s->at);
	}
}

int inet_stream_put(struct inet_sock *u, const char *bytes, size_t n)
{
	while (n > 0) {
		size_t len = min_of(n, SEGMENT_MOST);
		struct segment *s = heap_alloc(sizeof(*s) + len);

		if (!s)
			return -ENOMEM;
		s->at = 0;
		s->len = s->room = (uint32_t) len;
		memcpy(s->bytes, bytes, len);
		list_push(&u->inbox, &s->link);
		u->held += sizeof(*s) + len;
		u->waiting += len;
		bytes += len;
		n -= len;
	}
	return 0;
}

/* ---- sending ---- */

/* Filled from the guest's memory, in no inbox yet. May park. */
static int segment_new(struct inet_sock *u, struct sock_message *m, struct segment **ret)
{
	size_t len = (size_t) min_of(m->data->left, (uint64_t) SEGMENT_MOST);
	bool behind = !list_empty(&u->peer->inbox);
	size_t room = max_of(len, behind ? SEGMENT_SHARED : SEGMENT_LEAST);
	struct segment *s = heap_alloc(sizeof(*s) + room);
	int64_t n;

	if (!s)
		return -ENOMEM;
	list_init(&s->link);
	s->room = (uint32_t) room;
	n = uio_in(m->data, s->bytes, len);
	if (n <= 0) {
		heap_free(s);
		return -EFAULT;
	}
	s->len = (uint32_t) n;
	*ret = s;
	return 0;
}

/* Takes s. What comes to who is gone is answered with a reset, after it was taken. */
static void deliver(struct inet_sock *u, struct segment *s)
{
	struct inet_sock *to = u->peer;
	struct segment *last = list_entry(to->inbox.prev, struct segment, link);
	uint32_t len = s->len;

	u->sent += len;
	if (to->dead) {
		heap_free(s);
		inet_reset(u);
		return;
	}
	to->waiting += len;
	to->received += len;
	if (!list_empty(&to->inbox) && last->room - last->len >= len) {
		memcpy(last->bytes + last->len, s->bytes, len);
		last->len += len;
		heap_free(s);
	} else {
		list_push(&to->inbox, &s->link);
		to->held += sizeof(*s) + s->room;
	}
	(void) waitq_wake(&to->socket.waiters, READABLE, 0);
}

static bool may_send(const struct inet_sock *u)
{
	return u->state == INET_ESTABLISHED || u->state == INET_CLOSE_WAIT;
}

/* Until it may send at all. */
static int wait_connected(struct inet_sock *u, const struct sock_message *m, nsec_t deadline)
{
	int r = 0;

	if (may_send(u))
		return 0;
	if (u->state == INET_SYN_SENT) {
		if (m->flags & MSG_DONTWAIT)
			return -EAGAIN;
		r = waitq_wait(&u->socket.waiters, u->state != INET_SYN_SENT, deadline,
			       fiber_interrupted());
	}
	if (r == 0)
		r = socket_take_error(&u->socket);
	return r < 0 || may_send(u) ? r : -EPIPE;
}

static bool broken(const struct inet_sock *u)
{
	return u->closed & NO_OUTPUT || u->socket.error || !u->peer;
}

/* -EPIPE: no more, for an error that is to be told or without one. */
static int wait_for_room(struct inet_sock *u, const struct sock_message *m, nsec_t deadline)
{
	int r = 0;

	if (!broken(u) && full(u)) {
		u->peer->room_wanted = true;
		if (m->flags & MSG_DONTWAIT)
			return -EAGAIN;
		r = waitq_wait(&u->socket.waiters, broken(u) || inet_stream_writable(u), deadline,
			       fiber_interrupted());
	}
	return r == 0 && broken(u) ? -EPIPE : r;
}

int64_t inet_stream_send(struct inet_sock *u, struct sock_message *m)
{
	nsec_t timeout = u->socket.send_timeout, deadline = socket_deadline(timeout);
	int64_t done = 0;
	int r;

	if (m->flags & MSG_FASTOPEN)
		return -EOPNOTSUPP;
	/* An address is not looked at, as on Linux. */
	r = wait_connected(u, m, deadline);
	while (r == 0 && m->data->left > 0) {
		struct segment *s;

		r = wait_for_room(u, m, deadline);
		if (r == 0)
			r = segment_new(u, m, &s);
		if (r < 0)
			break;
		/* Filling it may have parked. */
		if (broken(u)) {
			heap_free(s);
			r = -EPIPE;
			break;
		}
		done += s->len;
		deliver(u, s);
	}
	/* An error is told where it is not hidden by what was sent before. */
	if (!done && r == -EPIPE)
		r = socket_take_error(&u->socket) ?: r;
	return done ? done : socket_wait_result(r, timeout);
}

/* ---- receiving ---- */

/* Who waits for room is told when a third is free, not for each byte. */
static void room_made(struct inet_sock *u)
{
	struct inet_sock *peer = u->peer;

	if (!u->room_wanted || !peer || !inet_stream_writable(peer))
		return;
	u->room_wanted = false;
	(void) waitq_wake(&peer->socket.waiters, WRITABLE, 0);
}

/* To the guest, unless it is only counted (tcp(7): MSG_TRUNC). Bytes or -EFAULT. May park. */
static int64_t hand_over(struct sock_message *m, const struct segment *s, uint32_t from, size_t n)
{
	return m->flags & MSG_TRUNC ? (int64_t) n : uio_out(m->data, s->bytes + from, n);
}

/* What is there, to *left more bytes at most. false: the guest's memory failed. */
static bool take(struct inet_sock *u, struct sock_message *m, uint64_t *left, int64_t *done)
{
	while (*left > 0 && !list_empty(&u->inbox)) {
		struct segment *s = list_entry(u->inbox.next, struct segment, link);
		size_t part = (size_t) min_of((uint64_t) (s->len - s->at), *left);
		int64_t n = hand_over(m, s, s->at, part);

		if (n < 0)
			return false;
		s->at += (uint32_t) n;
		u->waiting -= (size_t) n;
		*done += n;
		*left -= (uint64_t) n;
		if (s->at == s->len) {
			segment_free(u, s);
			room_made(u);
		}
		if (n < (int64_t) part)
			return false;
	}
	return true;
}

static bool look(struct inet_sock *u, struct sock_message *m, uint64_t *left, int64_t *done)
{
	for (struct list *l = u->inbox.next; *left > 0 && l != &u->inbox; l = l->next) {
		const struct segment *s = list_entry(l, struct segment, link);
		size_t part = (size_t) min_of((uint64_t) (s->len - s->at), *left);
		int64_t n = hand_over(m, s, s->at, part);

		if (n > 0) {
			*done += n;
			*left -= (uint64_t) n;
		}
		if (n < (int64_t) part)
			return false;
	}
	return true;
}

/* With `reading`, which is given back meanwhile; until so much is there. 1: no more comes; 0: look
 * again. */
static int wait_for_bytes(struct inet_sock *u, const struct sock_message *m, uint64_t want,
			  bool first, nsec_t deadline)
{
	int r = 0;

	if (u->fin)
		return 1;
	if (u->socket.error)
		return first ? socket_take_error(&u->socket) : 1;
	if (u->closed & NO_INPUT)
		return 1;
	if (u->state == INET_CLOSED)
		return -ENOTCONN;
	if (m->flags & MSG_DONTWAIT)
		return -EAGAIN;
	sleeplock_give(&u->reading);
	r = waitq_wait(&u->socket.waiters,
		       u->waiting >= want || u->socket.error || u->closed & NO_INPUT ||
			       u->state == INET_CLOSED,
		       deadline, fiber_interrupted());
	sleeplock_take(&u->reading);
	return r;
}

int64_t inet_stream_receive(struct inet_sock *u, struct sock_message *m)
{
	nsec_t timeout = u->socket.receive_timeout, deadline = socket_deadline(timeout);
	bool peek = m->flags & MSG_PEEK, right = true;
	uint64_t left = m->data->left, want;
	int64_t done = 0;
	int r = 0;

	if (u->state == INET_LISTEN)
		return -ENOTCONN;
	want = m->flags & MSG_WAITALL ? left : min_of(left, (uint64_t) u->socket.low_water);
	/* More than fits cannot be looked at, nor be waited for in one piece. */
	if (peek)
		want = min_of(want, (uint64_t) u->socket.receive_room / 2);
	want = max_of(want, (uint64_t) 1);
	sleeplock_take(&u->reading);
	for (;;) {
		uint64_t more;

		if (peek && (u->waiting >= want || r != 0))
			right = look(u, m, &left, &done);
		else if (!peek && u->waiting)
			right = take(u, m, &left, &done);
		if (!right || r != 0 || (uint64_t) done >= want || (left == 0 && u->waiting))
			break;
		more = min_of(want - (uint64_t) done, (uint64_t) u->socket.receive_room / 2);
		r = wait_for_bytes(u, m, more, done == 0 && !u->waiting, deadline);
		/* What is there by then is taken, however it ended. */
		if (r != 0 && !u->waiting)
			break;
	}
	sleeplock_give(&u->reading);
	if (done > 0)
		return done;
	return !right ? -EFAULT : r > 0 ? 0 : socket_wait_result(r, timeout);
}
