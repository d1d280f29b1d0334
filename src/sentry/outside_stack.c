/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets of atoll-netstack: a descriptor is one end of a pair of unix sockets, and what that
 * cannot tell (whether it is connected, what failed, who can be accepted) is told unasked over the
 * line (BROKER_STATE). It is told before the pair's end shows.
 */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/auto.h"
#include "base/le.h"
#include "kernel/net/control.h"
#include "proto/broker.h"
#include "sentry/outside.h"
#include "sentry/outside_link.h"
#include "sentry/outside_socket.h"

#define READABLE (POLLIN | POLLRDNORM)
#define WRITABLE (POLLOUT | POLLWRNORM)

enum { ASKS_PLACE = 1, ASKS_HOPS = 2, ASKS_CLASS = 4 };

static void told(uint32_t number, uint32_t made, uint32_t state)
{
	struct broker_socket *s = outside_socket_by(number);

	if (!s || s->made != made)
		return; /* of one that had that number before */
	s->connected = state & BROKER_CONNECTED;
	s->pending = state & BROKER_PENDING;
	if (state >> BROKER_ERROR_SHIFT) {
		s->error = (int) (state >> BROKER_ERROR_SHIFT & 0xfff);
		s->over = true;
	}
	s->base.happened++;
	(void) waitq_wake(s->base.waiters, 0, 0);
}

static int take_error(struct broker_socket *s)
{
	int error = s->error;

	s->error = 0;
	return -error;
}

/* ---- streams ---- */

static int stack_listen(struct outside *o, int backlog)
{
	int r = outside_broker_ops.listen(o, backlog);

	if (r == 0)
		outside_socket_of(o)->listening = true;
	return r;
}

static int stack_shutdown(struct outside *o, int how)
{
	int r = outside_broker_ops.shutdown(o, how);

	if (r == 0 && how != SHUT_RD)
		outside_socket_of(o)->shut_out = true;
	return r;
}

/* What the pair's end means: that of the connection, and its error first. */
static int64_t ended(struct broker_socket *s, int64_t r)
{
	outside_link_catch_up();
	return s->error ? take_error(s) : r;
}

static int64_t send_stream(struct outside *o, const void *bytes, size_t n, unsigned int flags)
{
	struct broker_socket *s = outside_socket_of(o);
	int64_t r;

	if (flags & MSG_OOB)
		return -EOPNOTSUPP;
	if (s->error)
		return take_error(s);
	if (s->shut_out || s->over)
		return -EPIPE;
	if (!s->connected)
		return -EAGAIN;
	r = outside_broker_ops.send(o, bytes, n, 0, NULL);
	return r == -EPIPE || r == -ECONNRESET ? ended(s, r) : r;
}

static int64_t receive_stream(struct outside *o, void *bytes, size_t n, struct sock_message *m)
{
	struct broker_socket *s = outside_socket_of(o);
	int64_t r;

	if (m->flags & MSG_OOB)
		return -EINVAL;
	r = outside_broker_ops.receive(o, bytes, n, m);
	if (m->address)
		m->address->len = 0; /* a pair has no names */
	if (r == 0 && n > 0)
		return ended(s, 0);
	if (r == -EAGAIN && s->over)
		return take_error(s); /* or 0: it is the end */
	return r == -ECONNRESET ? ended(s, r) : r;
}

static unsigned int poll_stream(struct broker_socket *s, unsigned int ready)
{
	ready &= ~(unsigned int) POLLWRBAND; /* of TCP it never is */
	if (s->listening)
		return s->pending ? READABLE : 0;
	if (s->over) /* the pair's end shows a moment later */
		return ready | READABLE | WRITABLE | POLLHUP | POLLRDHUP |
		       (s->error ? POLLERR : 0u);
	if (ready & POLLHUP)
		return ready;
	return s->connected ? ready : 0;
}

static unsigned int stack_poll(struct outside *o)
{
	struct broker_socket *s = outside_socket_of(o);
	unsigned int ready = outside_broker_ops.poll(o);

	if (ready & POLLHUP)
		outside_link_catch_up();
	return s->stream ? poll_stream(s, ready) : ready;
}

/* ---- datagrams ---- */

/* A pair of messages has no empty ones: that would be its end. */
static int64_t send_datagram(struct outside *o, const void *bytes, size_t n, unsigned int flags,
			     const struct outside_way *way)
{
	static const struct outside_way nowhere = { .hops = -1, .class = -1 };

	flags &= MSG_OOB;
	if (flags)
		return -EOPNOTSUPP;
	return outside_broker_ops.send(o, bytes, n, 0, way || n ? way : &nowhere);
}

/* What came along, of what was asked for: as Linux gives it to the socket's family. */
static void add_control(const struct broker_socket *s, const unsigned char *head,
			struct sock_message *m)
{
	const unsigned char *to = head + 4 + BROKER_ADDRESS;
	struct in_pktinfo here = { .ipi_ifindex = 2 };
	const int hops = to[4];

	memcpy(&here.ipi_addr, to, sizeof(here.ipi_addr));
	here.ipi_spec_dst = here.ipi_addr;
	if (s->asks & ASKS_PLACE)
		control_add(m->control, IPPROTO_IP, IP_PKTINFO, &here, sizeof(here));
	if (s->asks & ASKS_HOPS)
		control_add(m->control, IPPROTO_IP, IP_TTL, &hops, sizeof(hops));
	if (s->asks & ASKS_CLASS)
		control_add(m->control, IPPROTO_IP, IP_TOS, &to[5], 1);
}

static int64_t receive_datagram(struct outside *o, void *bytes, size_t n, struct sock_message *m)
{
	unsigned char head[BROKER_DATAGRAM_BYTES];
	struct broker_socket *s = outside_socket_of(o);
	struct iovec v[] = { { head, sizeof(head) }, { bytes, n } };
	struct msghdr h = { .msg_iov = v, .msg_iovlen = ARRAY_SIZE(v) };
	int flags = (int) (m->flags & (MSG_PEEK | MSG_TRUNC)) | MSG_DONTWAIT;
	ssize_t got = recvmsg(s->fd, &h, flags);
	uint32_t len;

	if (got < 0)
		return errno == EINTR ? -EAGAIN : -errno;
	if (got < (ssize_t) sizeof(head))
		return -ENETDOWN; /* who sent them is no more */
	m->ret_flags |= (unsigned int) h.msg_flags & MSG_TRUNC;
	len = load_le32(head);
	if (m->address && len <= BROKER_ADDRESS) {
		m->address->len = len;
		memcpy(m->address->bytes, head + 4, len);
	}
	add_control(s, head, m);
	return got - (ssize_t) sizeof(head);
}

/* How long the first one is. */
static int64_t next_datagram(const struct broker_socket *s)
{
	struct msghdr h = {};
	ssize_t n = recvmsg(s->fd, &h, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);

	return n > (ssize_t) BROKER_DATAGRAM_BYTES ? n - (ssize_t) BROKER_DATAGRAM_BYTES : 0;
}

/* ---- of both ---- */

static int64_t stack_send(struct outside *o, const void *bytes, size_t n, unsigned int flags,
			  const struct outside_way *way)
{
	return outside_socket_of(o)->stream ? send_stream(o, bytes, n, flags)
					    : send_datagram(o, bytes, n, flags, way);
}

static int64_t stack_receive(struct outside *o, void *bytes, size_t n, struct sock_message *m)
{
	return outside_socket_of(o)->stream ? receive_stream(o, bytes, n, m)
					    : receive_datagram(o, bytes, n, m);
}

static int64_t stack_queued(struct outside *o, bool sent)
{
	const struct broker_socket *s = outside_socket_of(o);

	return !s->stream && !sent ? next_datagram(s) : outside_broker_ops.queued(o, sent);
}

static int stack_get(struct outside *o, int level, int name, void *to, size_t *len)
{
	int32_t error;

	if (level != SOL_SOCKET || name != SO_ERROR)
		return outside_broker_ops.get(o, level, name, to, len);
	error = -take_error(outside_socket_of(o));
	*len = *len < sizeof(error) ? *len : sizeof(error);
	memcpy(to, &error, *len);
	return 0;
}

static int stack_set(struct outside *o, int level, int name, const void *value, size_t len,
		     bool quiet)
{
	static const struct {
		int level, name;
		unsigned int asks;
	} known[] = { { IPPROTO_IP, IP_PKTINFO, ASKS_PLACE },
		      { IPPROTO_IP, IP_RECVTTL, ASKS_HOPS },
		      { IPPROTO_IP, IP_RECVTOS, ASKS_CLASS } };
	struct broker_socket *s = outside_socket_of(o);
	int32_t v = 0;

	for (size_t n = 0; n < ARRAY_SIZE(known); n++) {
		if (level != known[n].level || name != known[n].name)
			continue;
		memcpy(&v, value, len < sizeof(v) ? len : sizeof(v));
		s->asks = v ? s->asks | known[n].asks : s->asks & ~known[n].asks;
		return 0;
	}
	return outside_broker_ops.set(o, level, name, value, len, quiet);
}

static struct outside_ops ops;

int outside_stack_begin(int fd, struct err *e)
{
	int r = outside_link_begin(fd, told);

	if (r < 0)
		return err_sys(e, -r, "--netstack");
	ops = outside_broker_ops; /* the rest is alike */
	ops.listen = stack_listen;
	ops.shutdown = stack_shutdown;
	ops.send = stack_send;
	ops.receive = stack_receive;
	ops.queued = stack_queued;
	ops.poll = stack_poll;
	ops.get = stack_get;
	ops.set = stack_set;
	outside_set(&ops);
	return 0;
}
