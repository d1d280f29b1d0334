/* SPDX-License-Identifier: Apache-2.0 */
/* udp(7): each datagram is a piece in the inbox of who is bound there, or nowhere. */
#include <linux/poll.h>

#include "kernel/core/heap.h"
#include "kernel/net/inet_sock.h"

#define DATAGRAM_MOST 65507 /* 64 KiB without the heads of IPv4 and UDP */

int inet_connect_datagram(struct inet_sock *u, const struct sock_address *a)
{
	struct inet_place to;
	int r;

	if (a->family == AF_UNSPEC) {
		u->state = INET_NEW;
		u->remote = (struct inet_place){};
		inet_unbind(u);
		return 0;
	}
	r = inet_parse(u, a, &to);
	if (r == 0)
		r = inet_destination(u, &to);
	if (r == 0)
		r = inet_choose(u, &to);
	if (r < 0)
		return r;
	u->remote = to;
	u->state = INET_CONNECTED;
	(void) waitq_wake(&u->socket.waiters, 0, 0);
	return 0;
}

/* Where a datagram goes, and where from. */
static int route(struct inet_sock *u, const struct sock_message *m, struct inet_place *to,
		 struct inet_place *from)
{
	struct inet_place was = u->local;
	int r = 0;

	if (m->address && m->address->len) {
		r = inet_parse(u, m->address, to);
		if (r == 0 && to->port == 0)
			r = -EINVAL;
		if (r == 0)
			r = inet_destination(u, to);
	} else if (u->state == INET_CONNECTED) {
		*to = u->remote;
	} else {
		r = -EDESTADDRREQ;
	}
	if (r == 0)
		r = inet_choose(u, to);
	if (r < 0)
		return r;
	*from = u->local;
	/* Only connect(2) settles the address for more than this one. */
	if (u->state != INET_CONNECTED)
		memcpy(u->local.ip, was.ip, sizeof(was.ip));
	return 0;
}

int64_t inet_send_datagram(struct inet_sock *u, struct sock_message *m)
{
	int64_t len = (int64_t) m->data->left;
	struct inet_place to = {}, from;
	struct inet_sock *there;
	struct inet_piece *p;
	int r = socket_take_error(&u->socket);

	if (r == 0 && m->flags & MSG_OOB)
		r = -EOPNOTSUPP;
	if (r == 0 && u->closed & INET_NO_WRITE)
		r = -EPIPE;
	if (r == 0 && len > DATAGRAM_MOST)
		r = -EMSGSIZE;
	if (r == 0)
		r = route(u, m, &to, &from);
	if (r == 0)
		r = inet_piece_new(m->data, (size_t) len, &p);
	if (r < 0)
		return r;
	if (p->len < (size_t) len) {
		heap_free(p);
		return -EFAULT;
	}
	p->from = from;
	there = inet_find(SOCK_DGRAM, &to, &from);
	if (there && there->charged + p->cost <= there->socket.receive_room &&
	    !(there->closed & INET_NO_READ)) {
		inet_piece_put(there, p);
		return len;
	}
	/* Lost, which only who is connected hears of, and only where nobody is. */
	heap_free(p);
	if (!there && u->state == INET_CONNECTED) {
		u->socket.error = ECONNREFUSED;
		(void) waitq_wake(&u->socket.waiters, 0, 0);
	}
	return len;
}

int64_t inet_receive_datagram(struct inet_sock *u, struct sock_message *m)
{
	nsec_t timeout = u->socket.receive_timeout, deadline = socket_deadline(timeout);
	struct inet_piece *p;
	size_t part, len;
	int64_t n = 0;
	int r = 0;

	if (m->flags & MSG_OOB)
		return -EOPNOTSUPP;
	sleeplock_take(&u->reading);
	while (list_empty(&u->inbox) && r == 0)
		r = inet_wait(u, m, deadline);
	if (list_empty(&u->inbox)) {
		sleeplock_give(&u->reading);
		return r > 0 ? 0 : socket_wait_result(r, timeout);
	}
	p = list_entry(u->inbox.next, struct inet_piece, link);
	len = p->len;
	part = min_of(len, (size_t) m->data->left);
	if (part < len)
		m->ret_flags |= MSG_TRUNC;
	n = part ? uio_out(m->data, p->bytes, part) : 0;
	if (n == (int64_t) part && m->address)
		inet_address(u, &p->from, m->address);
	if (!(m->flags & MSG_PEEK))
		inet_piece_drop(u, p);
	sleeplock_give(&u->reading);
	if (n != (int64_t) part)
		return -EFAULT;
	return m->flags & MSG_TRUNC ? (int64_t) len : n;
}
