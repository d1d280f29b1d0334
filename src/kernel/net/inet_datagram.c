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
#define WRITABLE  (POLLOUT | POLLWRNORM)
#define MOST4	  65507 /* the longest packet without its heads */
#define MOST6	  65527
#define LOOPBACK  1   /* index of lo */
#define OVERHEAD  768 /* what Linux charges for the shortest one */
#define SOL_IPV6_ 41

void inet_datagram_put(struct inet_sock *u, struct inet_datagram *d)
{
	u->held += OVERHEAD + d->len;
	u->waiting += d->len;
	list_push(&u->inbox, &d->link);
}

void inet_datagram_discard(struct inet_sock *u)
{
	struct list *l;

	while ((l = list_pop(&u->inbox)))
		heap_free(list_entry(l, struct inet_datagram, link));
	u->waiting = u->held = 0;
}

size_t inet_datagram_next(const struct inet_sock *u)
{
	int64_t n = 0;

	if (!list_empty(&u->inbox))
		return list_entry(u->inbox.next, struct inet_datagram, link)->len;
	if (u->out)
		n = outside_ops()->queued(u->out, false);
	return n > 0 ? (size_t) n : 0;
}

/* Whether what comes from outside is for u: not where it is connected to one in here. */
static bool hears_outside(const struct inet_sock *u)
{
	return u->out && (u->state != INET_ESTABLISHED || u->out_peer);
}

unsigned int inet_datagram_poll(const struct inet_sock *u)
{
	unsigned int ready = WRITABLE | POLLWRBAND;

	/* What there is out there counts, and whether there is room when it is connected there. */
	if (hears_outside(u)) {
		ready = outside_ops()->poll(u->out);
		if (!u->out_peer)
			ready |= WRITABLE | POLLWRBAND;
	}
	ready |= u->closed & NO_INPUT ? READABLE | POLLRDHUP : 0u;
	ready |= u->closed == NO_MORE ? POLLHUP : 0u;
	return ready | (list_empty(&u->inbox) ? 0u : READABLE);
}

/* ---- connected ---- */

/* To nobody out there: what is bound to no port of its own gets another one. */
static void part_outside(struct inet_sock *u)
{
	static const struct sock_address nobody = { .len = sizeof(nobody.family) };
	struct sock_address local;

	if (!u->out_peer)
		return;
	u->out_peer = false;
	if (u->port_bound)
		(void) outside_ops()->connect(u->out, &nobody, &local);
	else
		inet_outside_close(u);
}

static void disconnect(struct inet_sock *u)
{
	part_outside(u);
	u->state = INET_CLOSED;
	u->remote = (struct inet_address){ .ip = inet_ip_none(u->socket.domain) };
	if (!u->ip_bound)
		u->local.ip = inet_ip_none(u->socket.domain);
	if (!u->port_bound)
		inet_port_give(u);
}

/* Whether datagrams of u to it leave this kernel. */
static bool goes_out(const struct inet_sock *u, const struct inet_ip *to)
{
	return inet_is_echo(u) || inet_goes_out(to);
}

static int connect_outside(struct inet_sock *u, const struct inet_address *to,
			   const struct sock_address *a)
{
	struct sock_address name, local = {};
	struct inet_address from;
	int r;

	if (inet_ip_is4(&to->ip) && u->option[OPT_V6ONLY])
		return -ENETUNREACH;
	if (inet_ip_local(&u->local.ip) && !inet_is_echo(u))
		return -EINVAL; /* as Linux: from the loopback nothing goes out */
	r = inet_outside_open(u);
	if (r < 0)
		return r;
	inet_outside_name(u, to, a, &name);
	r = outside_ops()->connect(u->out, &name, &local);
	if (r < 0)
		return r;
	if (!u->out)
		return -ECONNABORTED; /* another thread has parted meanwhile */
	if (inet_parse(u, &local, false, &from) == 0) {
		u->local.ip = from.ip;
		if (!u->local.port)
			u->local.port = from.port; /* out there alone */
	}
	u->remote = *to;
	u->out_peer = true;
	u->state = INET_ESTABLISHED;
	return 0;
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
	if (r == 0 && goes_out(u, &to.ip))
		return connect_outside(u, &to, a);
	if (r == 0)
		part_outside(u);
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
	return r < 0 ? r : ret->port || inet_is_echo(u) ? 0 : -EINVAL;
}

/* What the sender's control messages say of the packet. -EINVAL. */
static int apply(const struct control_note *n, struct inet_datagram *d, bool v6, bool out)
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
		/* As the socket has it. */
		if (v6 && n->level == SOL_IPV6_ && value == -1 && n->len == sizeof(value))
			return n->type == IPV6_HOPLIMIT || n->type == IPV6_TCLASS ? 0 : -EINVAL;
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
	if ((!out && !inet_ip_local(&from)) || inet_ip_is4(&from) != inet_ip_is4(&d->to))
		return -EINVAL;
	d->from.ip = from;
	return 0;
}

/* Filled from the guest's memory, on its way to `to`. May park. */
static int datagram_new(struct inet_sock *u, struct sock_message *m, struct inet_address *to,
			struct inet_datagram **ret)
{
	size_t len = (size_t) m->data->left;
	struct inet_datagram *d = heap_alloc(sizeof(*d) + len);
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
		r = apply(&m->control->note[n], d, u->socket.domain == AF_INET6, false);
	if (r == 0 && len && uio_in(m->data, d->bytes, len) != (int64_t) len)
		r = -EFAULT;
	if (r < 0)
		heap_free(d);
	else
		*ret = d;
	return r;
}

/* Takes d. */
static void deliver(struct inet_sock *u, const struct inet_address *at, struct inet_datagram *d)
{
	struct inet_sock *to = inet_find_receiver(at, &d->from);

	if (to && to->held <= to->socket.receive_room) {
		inet_datagram_put(to, d);
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

/* What is said beside the bytes, if anything. -EINVAL. */
static int way_of(const struct inet_sock *u, const struct sock_message *m,
		  const struct inet_address *to, struct sock_address *name, struct outside_way *ret)
{
	/* As a datagram of this kernel would be told. */
	struct inet_datagram d = { .to = to->ip, .hops = 0, .class = 0 };
	struct outside_way w = { .hops = -1, .class = -1 };

	for (unsigned int n = 0; n < m->control->notes; n++) {
		const struct control_note *c = &m->control->note[n];
		struct inet_address from = {};
		int r;

		d.from.ip = inet_ip_none(u->socket.domain);
		r = apply(c, &d, u->socket.domain == AF_INET6, true);
		if (r < 0)
			return r;
		if (!inet_ip_any(&d.from.ip)) {
			from.ip = d.from.ip;
			inet_outside_name(u, &from, NULL, &w.from);
		} else if (c->type == IP_TTL || c->type == IPV6_HOPLIMIT) {
			w.hops = d.hops;
		} else if (c->type == IP_TOS || c->type == IPV6_TCLASS) {
			w.class = d.class;
		}
	}
	if (m->address) {
		inet_outside_name(u, to, m->address, name);
		w.to = name;
	}
	*ret = w;
	return 0;
}

static int64_t send_outside(struct inet_sock *u, struct sock_message *m,
			    const struct inet_address *to)
{
	nsec_t timeout = u->socket.send_timeout, deadline = socket_deadline(timeout);
	size_t len = (size_t) m->data->left;
	struct outside_way way;
	struct sock_address name;
	char *bytes;
	int64_t n = inet_outside_open(u);

	if (n == 0)
		n = way_of(u, m, to, &name, &way);
	if (n < 0)
		return n;
	bytes = inet_buffer_take();
	if (!bytes)
		return -ENOBUFS;
	n = len && uio_in(m->data, bytes, len) != (int64_t) len ? -EFAULT : 0;
	while (n == 0 && u->out) {
		bool plain = !way.to && !way.from.len && way.hops < 0 && way.class < 0;
		uint64_t seen = u->out->happened;

		n = outside_ops()->send(u->out, bytes, len, m->flags, plain ? NULL : &way);
		if (n >= 0)
			break;
		if (n == -EAGAIN && !(m->flags & MSG_DONTWAIT))
			n = waitq_wait(&u->socket.waiters, !u->out || u->out->happened != seen,
				       deadline, fiber_interrupted());
	}
	inet_buffer_give(bytes);
	return n < 0 ? socket_wait_result((int) n, timeout) : (int64_t) len;
}

int64_t inet_datagram_send(struct inet_sock *u, struct sock_message *m)
{
	int64_t len = (int64_t) min_of(m->data->left, (uint64_t) INT32_MAX);
	struct inet_datagram *d = NULL;
	struct inet_address to;
	int r;

	if (m->flags & MSG_MORE)
		return -EOPNOTSUPP; /* packets are not put together */
	r = destination(u, m, &to);
	if (r == 0 && len > (inet_ip_is4(&to.ip) ? MOST4 : MOST6))
		r = -EMSGSIZE;
	if (r == 0 && !inet_is_echo(u) && inet_autobind(u) < 0)
		r = -EAGAIN;
	if (r == 0)
		r = socket_take_error(&u->socket);
	if (r == 0 && u->closed & NO_OUTPUT)
		r = -EPIPE;
	if (r == 0 && goes_out(u, &to.ip))
		return send_outside(u, m, &to);
	if (r == 0)
		r = datagram_new(u, m, &to, &d);
	if (r < 0)
		return r;
	deliver(u, &to, d);
	return len;
}

/* ---- receiving ---- */

/* Of what was asked to come along. */
static void tell(const struct inet_sock *u, struct sock_message *m, const struct inet_datagram *d)
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

/* One that came from outside; -EAGAIN. */
static int64_t take_outside(struct inet_sock *u, struct sock_message *m)
{
	size_t room = (size_t) min_of(m->data->left, (uint64_t) INET_BUFFER);
	char *bytes = inet_buffer_take();
	int64_t n;

	if (!bytes)
		return -ENOBUFS;
	n = outside_ops()->receive(u->out, bytes, room, m);
	if (n > 0 && room && uio_out(m->data, bytes, min_of((size_t) n, room)) < 0)
		n = -EFAULT;
	inet_buffer_give(bytes);
	return n;
}

/* With `reading`, which is given back meanwhile. 1: nothing comes any more; 0: look again. */
static int wait_for_one(struct inet_sock *u, const struct sock_message *m, uint64_t seen,
			nsec_t deadline)
{
	int r;

	if (m->flags & MSG_DONTWAIT)
		return -EAGAIN;
	if (u->closed & NO_INPUT)
		return 1;
	sleeplock_give(&u->reading);
	r = waitq_wait(&u->socket.waiters,
		       !list_empty(&u->inbox) || u->socket.error || u->closed & NO_INPUT ||
			       (u->out && u->out->happened != seen),
		       deadline, fiber_interrupted());
	sleeplock_take(&u->reading);
	return r;
}

static int64_t take(struct inet_sock *u, struct sock_message *m)
{
	struct inet_datagram *d = list_entry(u->inbox.next, struct inet_datagram, link);
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
		uint64_t seen = u->out ? u->out->happened : 0;

		n = socket_take_error(&u->socket);
		if (n == 0 && (!list_empty(&u->inbox) || hears_outside(u))) {
			n = list_empty(&u->inbox) ? take_outside(u, m) : take(u, m);
			if (n != -EAGAIN) {
				sleeplock_give(&u->reading);
				return n;
			}
			n = 0;
		}
		if (n == 0)
			n = wait_for_one(u, m, seen, deadline);
	} while (n == 0);
	sleeplock_give(&u->reading);
	return n > 0 ? 0 : socket_wait_result((int) n, timeout);
}
