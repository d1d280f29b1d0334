/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datagrams. A receiver without room loses them, and its sender is not told, as udp(7) has it;
 * where nobody is, who is connected (or asked for IP_RECVERR) is told with its next call.
 */
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/ipv6.h>
#include <linux/poll.h>

#include "kernel/core/heap.h"
#include "kernel/net/inet_sock.h"

#define READABLE  (POLLIN | POLLRDNORM)
#define MOST4	  65507 /* the longest packet without its heads */
#define MOST6	  65527
#define LOOPBACK  1   /* index of lo */
#define OVERHEAD  768 /* what Linux charges for the shortest one */
#define SOL_IPV6_ 41

struct datagram {
	struct list link;
	struct inet_address from;
	struct inet_ip to;
	unsigned char hops, class;
	size_t len;
	char bytes[];
};

void inet_datagram_discard(struct inet_sock *u)
{
	struct list *l;

	while ((l = list_pop(&u->inbox)))
		heap_free(list_entry(l, struct datagram, link));
	u->waiting = u->held = 0;
}

size_t inet_datagram_next(const struct inet_sock *u)
{
	return list_empty(&u->inbox) ? 0 : list_entry(u->inbox.next, struct datagram, link)->len;
}

/* ---- connected ---- */

static void disconnect(struct inet_sock *u)
{
	u->state = INET_CLOSED;
	u->remote = (struct inet_address){ .ip = inet_ip_none(u->socket.domain) };
	if (!u->ip_bound)
		u->local.ip = inet_ip_none(u->socket.domain);
	if (!u->port_bound)
		inet_port_give(u);
}

int inet_datagram_connect(struct inet_sock *u, const struct sock_address *a)
{
	struct inet_ip was = u->local.ip, from;
	struct inet_address to;
	int r;

	if (a->family == AF_UNSPEC) {
		disconnect(u);
		return 0;
	}
	r = inet_parse(u, a, true, &to);
	if (r == 0 && inet_autobind(u) < 0)
		r = -EAGAIN;
	if (r < 0)
		return r;
	/* What an earlier connection has chosen does not count. */
	if (u->state == INET_ESTABLISHED && !u->ip_bound)
		u->local.ip = inet_ip_none(u->socket.domain);
	r = inet_route(u, &to.ip, &from);
	if (r < 0) {
		u->local.ip = was;
		return r;
	}
	u->local.ip = from;
	u->remote = to;
	u->state = INET_ESTABLISHED;
	return 0;
}

/* ---- sending ---- */

static int destination(const struct inet_sock *u, const struct sock_message *m,
		       struct inet_address *ret)
{
	struct sock_address a;
	int r;

	if (!m->address) {
		*ret = u->remote;
		return u->state == INET_ESTABLISHED ? 0 : -EDESTADDRREQ;
	}
	a = *m->address;
	if (u->socket.domain == AF_INET && a.len >= sizeof(a.family) && a.family == AF_UNSPEC)
		a.family = AF_INET; /* as Linux takes it */
	r = inet_parse(u, &a, true, ret);
	return r < 0 ? r : ret->port ? 0 : -EINVAL;
}

/* What the sender's control messages say of the packet. -EINVAL. */
static int apply(const struct control_note *n, struct datagram *d, bool v6)
{
	struct inet_ip from = inet_ip_none(AF_INET);
	int32_t value = 0;

	if (n->level == IPPROTO_IP && n->type == IP_PKTINFO &&
	    n->len == sizeof(struct in_pktinfo)) {
		memcpy(from.b + 12, n->bytes + offsetof(struct in_pktinfo, ipi_spec_dst), 4);
	} else if (v6 && n->level == SOL_IPV6_ && n->type == IPV6_PKTINFO &&
		   n->len == sizeof(struct in6_pktinfo)) {
		memcpy(from.b, n->bytes, sizeof(from.b));
	} else {
		if (n->len == 1)
			value = n->bytes[0];
		else if (n->len == sizeof(value))
			memcpy(&value, n->bytes, sizeof(value));
		else
			return -EINVAL;
		if (value < 0 || value > 255)
			return -EINVAL;
		if ((n->level == IPPROTO_IP && n->type == IP_TTL && value) ||
		    (v6 && n->level == SOL_IPV6_ && n->type == IPV6_HOPLIMIT))
			d->hops = (unsigned char) value;
		else if ((n->level == IPPROTO_IP && n->type == IP_TOS) ||
			 (v6 && n->level == SOL_IPV6_ && n->type == IPV6_TCLASS))
			d->class = (unsigned char) value;
		else
			return -EINVAL;
		return 0;
	}
	if (inet_ip_any(&from))
		return 0;
	if (!inet_ip_local(&from) || inet_ip_is4(&from) != inet_ip_is4(&d->to))
		return -EINVAL;
	d->from.ip = from;
	return 0;
}

/* Filled from the guest's memory, on its way to `to`. May park. */
static int datagram_new(struct inet_sock *u, struct sock_message *m, struct inet_address *to,
			struct datagram **ret)
{
	size_t len = (size_t) m->data->left;
	struct datagram *d = heap_alloc(sizeof(*d) + len);
	bool v4;
	int r;

	if (!d)
		return -ENOBUFS;
	list_init(&d->link);
	r = inet_route(u, &to->ip, &d->from.ip);
	v4 = inet_ip_is4(&to->ip);
	d->from.port = u->local.port;
	d->to = to->ip;
	d->len = len;
	d->hops = (unsigned char) u->option[v4 ? OPT_TTL : OPT_HOPS6];
	d->class = (unsigned char) u->option[v4 ? OPT_TOS : OPT_TCLASS6];
	for (unsigned int n = 0; n < m->control->notes && r == 0; n++)
		r = apply(&m->control->note[n], d, u->socket.domain == AF_INET6);
	if (r == 0 && len && uio_in(m->data, d->bytes, len) != (int64_t) len)
		r = -EFAULT;
	if (r < 0)
		heap_free(d);
	else
		*ret = d;
	return r;
}

/* Takes d. */
static void deliver(struct inet_sock *u, const struct inet_address *at, struct datagram *d)
{
	struct inet_sock *to = inet_find_receiver(at, &d->from);

	if (to && to->held <= to->socket.receive_room) {
		to->held += OVERHEAD + d->len;
		to->waiting += d->len;
		list_push(&to->inbox, &d->link);
		(void) waitq_wake(&to->socket.waiters, READABLE, 0);
		return;
	}
	heap_free(d);
	if (to ||
	    (u->state != INET_ESTABLISHED && !u->option[OPT_RECVERR] && !u->option[OPT_RECVERR6]))
		return;
	u->socket.error = ECONNREFUSED;
	(void) waitq_wake(&u->socket.waiters, 0, 0);
}

int64_t inet_datagram_send(struct inet_sock *u, struct sock_message *m)
{
	int64_t len = (int64_t) min_of(m->data->left, (uint64_t) INT32_MAX);
	struct datagram *d = NULL;
	struct inet_address to;
	int r;

	if (m->flags & MSG_MORE)
		return -EOPNOTSUPP; /* packets are not put together */
	r = destination(u, m, &to);
	if (r == 0 && len > (inet_ip_is4(&to.ip) ? MOST4 : MOST6))
		r = -EMSGSIZE;
	if (r == 0 && inet_autobind(u) < 0)
		r = -EAGAIN;
	if (r == 0)
		r = socket_take_error(&u->socket);
	if (r == 0 && u->closed & NO_OUTPUT)
		r = -EPIPE;
	if (r == 0)
		r = datagram_new(u, m, &to, &d);
	if (r < 0)
		return r;
	deliver(u, &to, d);
	return len;
}

/* ---- receiving ---- */

/* Of what was asked to come along. */
static void tell(const struct inet_sock *u, struct sock_message *m, const struct datagram *d)
{
	struct in6_pktinfo info6 = { .ipi6_ifindex = LOOPBACK };
	struct in_pktinfo info = { .ipi_ifindex = LOOPBACK };
	int32_t hops = d->hops, class = d->class;
	bool v6 = u->socket.domain == AF_INET6;

	if (m->address)
		inet_tell(u->socket.domain, &d->from, m->address);
	if (v6 && u->option[OPT_PKTINFO6]) {
		memcpy(&info6.ipi6_addr, d->to.b, sizeof(d->to.b));
		control_add(m->control, SOL_IPV6_, IPV6_PKTINFO, &info6, sizeof(info6));
	}
	if (v6 && u->option[OPT_RECVHOPLIMIT6])
		control_add(m->control, SOL_IPV6_, IPV6_HOPLIMIT, &hops, sizeof(hops));
	if (v6 && u->option[OPT_RECVTCLASS6])
		control_add(m->control, SOL_IPV6_, IPV6_TCLASS, &class, sizeof(class));
	if (!inet_ip_is4(&d->to))
		return;
	if (u->option[OPT_PKTINFO]) {
		memcpy(&info.ipi_spec_dst, d->to.b + 12, 4);
		memcpy(&info.ipi_addr, d->to.b + 12, 4);
		control_add(m->control, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
	}
	if (u->option[OPT_RECVTTL])
		control_add(m->control, IPPROTO_IP, IP_TTL, &hops, sizeof(hops));
	if (u->option[OPT_RECVTOS])
		control_add(m->control, IPPROTO_IP, IP_TOS, &d->class, sizeof(d->class));
}

/* With `reading`, which is given back meanwhile. 1: nothing comes any more; 0: look again. */
static int wait_for_one(struct inet_sock *u, const struct sock_message *m, nsec_t deadline)
{
	int r;

	if (m->flags & MSG_DONTWAIT)
		return -EAGAIN;
	if (u->closed & NO_INPUT)
		return 1;
	sleeplock_give(&u->reading);
	r = waitq_wait(&u->socket.waiters,
		       !list_empty(&u->inbox) || u->socket.error || u->closed & NO_INPUT, deadline,
		       fiber_interrupted());
	sleeplock_take(&u->reading);
	return r;
}

static int64_t take(struct inet_sock *u, struct sock_message *m)
{
	struct datagram *d = list_entry(u->inbox.next, struct datagram, link);
	size_t part = min_of(d->len, (size_t) m->data->left), len = d->len;
	int64_t n = part ? uio_out(m->data, d->bytes, part) : 0;

	if (part < len)
		m->ret_flags |= MSG_TRUNC;
	if (n == (int64_t) part)
		tell(u, m, d);
	else
		n = -EFAULT;
	/* It is gone even where it could not be brought, as on Linux. */
	if (!(m->flags & MSG_PEEK)) {
		list_remove(&d->link);
		u->waiting -= len;
		u->held -= OVERHEAD + len;
		heap_free(d);
	}
	return n < 0 ? n : m->flags & MSG_TRUNC ? (int64_t) len : n;
}

int64_t inet_datagram_receive(struct inet_sock *u, struct sock_message *m)
{
	nsec_t timeout = u->socket.receive_timeout, deadline = socket_deadline(timeout);
	int64_t n;

	sleeplock_take(&u->reading);
	do {
		n = socket_take_error(&u->socket);
		if (n == 0 && !list_empty(&u->inbox)) {
			n = take(u, m);
			sleeplock_give(&u->reading);
			return n;
		}
		if (n == 0)
			n = wait_for_one(u, m, deadline);
	} while (n == 0);
	sleeplock_give(&u->reading);
	return n > 0 ? 0 : socket_wait_result((int) n, timeout);
}
