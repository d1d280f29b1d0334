/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/net/inet.h"

#include <asm/socket.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/poll.h>

#include "kernel/core/heap.h"
#include "kernel/net/inet_sock.h"
#include "kernel/task/cred.h"
#include "kernel/task/task.h"

#define READABLE (POLLIN | POLLRDNORM)
#define WRITABLE (POLLOUT | POLLWRNORM)

/* net.ipv4.tcp_wmem and tcp_rmem before a connection. */
#define STREAM_SEND_ROOM    16384
#define STREAM_RECEIVE_ROOM 131072

#define PROTOCOLS 263 /* IPPROTO_MAX since Linux 5.6 */

static struct inet_limits limits = { .port_free = 1024, .ping_first = 1 };
static struct heap_cache socks = HEAP_CACHE_INIT(struct inet_sock);

static const struct socket_ops ops;

struct inet_limits *inet_limits(void)
{
	return &limits;
}

struct inet_sock *inet_sock_new(int domain, int type)
{
	struct inet_sock *u = heap_cache_alloc(&socks);

	if (!u)
		return NULL;
	socket_init(&u->socket, &ops, domain, type,
		    type == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP);
	if (type == SOCK_STREAM) {
		u->socket.send_room = STREAM_SEND_ROOM;
		u->socket.receive_room = STREAM_RECEIVE_ROOM;
	}
	u->owners = 1;
	u->state = INET_CLOSED;
	u->local.ip = u->remote.ip = inet_ip_none(domain);
	list_init(&u->inbox);
	list_init(&u->backlog);
	list_init(&u->arriving);
	list_init(&u->in_backlog);
	sleeplock_init(&u->reading);
	inet_options_init(u);
	return u;
}

uint32_t inet_send_room(const struct inet_sock *u)
{
	return inet_is_stream(u) ? STREAM_SEND_ROOM : SOCKET_ROOM;
}

uint32_t inet_receive_room(const struct inet_sock *u)
{
	return inet_is_stream(u) ? STREAM_RECEIVE_ROOM : SOCKET_ROOM;
}

/* icmp(7): a group of the caller's is in the range. */
static bool may_ping(void)
{
	const struct cred *who = this_task() ? this_task()->cred : NULL;
	bool may = who && who->fsgid >= limits.ping_first && who->fsgid <= limits.ping_last;

	for (uint32_t n = 0; who && !may && n < who->group_count; n++)
		may = who->groups[n] >= limits.ping_first && who->groups[n] <= limits.ping_last;
	return may;
}

/* icmp(7). */
static int make_echo(int domain, int protocol, struct socket **ret)
{
	struct inet_sock *u = inet_sock_new(domain, SOCK_DGRAM);
	int r;

	if (!u)
		return -ENOMEM;
	u->socket.protocol = protocol;
	r = inet_outside_open(u);
	if (r < 0)
		inet_retire(u);
	else
		*ret = &u->socket;
	return r;
}

static int make(int domain, int type, int protocol, struct socket **ret)
{
	struct inet_sock *u;

	if (protocol < 0 || protocol >= PROTOCOLS)
		return -EINVAL;
	if (type == SOCK_RAW && protocol == 0)
		return -EPROTONOSUPPORT;
	if (type != SOCK_STREAM && type != SOCK_DGRAM)
		return -ESOCKTNOSUPPORT; /* SOCK_RAW, too: there are no packets */
	if (type == SOCK_DGRAM && protocol == (domain == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6)) {
		if (!may_ping())
			return -EACCES;
		if (outside_ops())
			return make_echo(domain, protocol, ret);
	}
	if (protocol != 0 && protocol != (type == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP))
		return -EPROTONOSUPPORT;
	u = inet_sock_new(domain, type);
	if (!u)
		return -ENOMEM;
	*ret = &u->socket;
	return 0;
}

static int make4(int type, int protocol, struct socket **ret)
{
	return make(AF_INET, type, protocol, ret);
}

static int make6(int type, int protocol, struct socket **ret)
{
	return make(AF_INET6, type, protocol, ret);
}

const struct socket_family inet_family = { .domain = AF_INET, .make = make4 };
const struct socket_family inet6_family = { .domain = AF_INET6, .make = make6 };

void inet_unref(struct inet_sock *u)
{
	if (u && --u->owners == 0)
		heap_cache_free(&socks, u);
}

void inet_retire(struct inet_sock *u)
{
	const struct socket *s = &u->socket;

	u->dead = true;
	inet_outside_close(u);
	if (inet_is_stream(u)) {
		/* What it never read is lost, and so is all with SO_LINGER of no time. */
		inet_disconnect(u, u->waiting > 0 || (s->linger_on && s->linger_seconds == 0));
		inet_stream_discard(u);
	} else {
		inet_datagram_discard(u);
	}
	inet_port_give(u);
	inet_unref(u);
}

static void release(struct socket *s)
{
	inet_retire(inet_of(s));
}

/* ---- names ---- */

static bool may_have_port(const struct sock_actor *by, uint16_t port)
{
	return port == 0 || port >= limits.port_free ||
	       cred_can(by->walk.who, CAP_NET_BIND_SERVICE);
}

static bool may_have_ip(const struct inet_sock *u, const struct inet_ip *ip)
{
	return inet_ip_any(ip) || inet_ip_local(ip) || u->option[OPT_FREEBIND] ||
	       u->option[OPT_FREEBIND6];
}

static int inet_bind(struct socket *s, const struct sock_actor *by, const struct sock_address *a)
{
	struct inet_sock *u = inet_of(s);
	struct sock_address given = *a;
	struct inet_address at;
	int r;

	/* ip(7): Linux takes AF_UNSPEC for AF_INET where no address is named. */
	if (s->domain == AF_INET && given.family == AF_UNSPEC)
		given.family = AF_INET;
	r = inet_parse(u, &given, false, &at);
	if (r == 0 && a->family == AF_UNSPEC && !inet_ip_any(&at.ip))
		r = -EAFNOSUPPORT;
	if (r < 0)
		return r;
	if (s->domain == AF_INET6 && u->option[OPT_V6ONLY] && inet_ip_is4(&at.ip))
		return -EINVAL;
	if (!may_have_ip(u, &at.ip) && !outside_ops())
		return -EADDRNOTAVAIL;
	if (!may_have_port(by, at.port))
		return -EACCES;
	if (u->state != INET_CLOSED || u->local.port)
		return -EINVAL;
	u->uid = by->walk.who->euid;
	if (inet_is_echo(u))
		return inet_outside_bind(u, &at, &given);
	if (at.port == 0 && inet_port_none_left(u))
		return -EADDRINUSE;
	r = inet_take_port(u, &at, &given);
	if (r < 0)
		return r;
	u->ip_bound = !inet_ip_any(&at.ip);
	u->port_bound = at.port != 0;
	return 0;
}

int inet_autobind(struct inet_sock *u)
{
	struct inet_address a = { .ip = u->local.ip };

	return u->local.port ? 0 : inet_port_take(u, &a);
}

static int inet_name(struct socket *s, bool of_peer, struct sock_address *ret)
{
	struct inet_sock *u = inet_of(s);

	if (of_peer &&
	    (u->state == INET_CLOSED || u->state == INET_SYN_SENT || u->state == INET_LISTEN))
		return -ENOTCONN;
	inet_tell(s->domain, of_peer ? &u->remote : &u->local, ret);
	return 0;
}

/* ---- by type ---- */

static int inet_connect(struct socket *s, const struct sock_actor *by, const struct sock_address *a,
			bool nonblocking)
{
	struct inet_sock *u = inet_of(s);

	(void) by;
	return inet_is_stream(u) ? inet_stream_connect(u, a, nonblocking)
				 : inet_datagram_connect(u, a);
}

static int64_t inet_send(struct socket *s, struct sock_message *m)
{
	struct inet_sock *u = inet_of(s);

	if (m->flags & MSG_OOB)
		return -EOPNOTSUPP;
	return inet_is_stream(u) ? inet_stream_send(u, m) : inet_datagram_send(u, m);
}

static int64_t inet_receive(struct socket *s, struct sock_message *m)
{
	struct inet_sock *u = inet_of(s);

	if (m->flags & MSG_ERRQUEUE)
		return -EAGAIN;
	if (m->flags & MSG_OOB)
		return inet_is_stream(u) ? -EINVAL : -EOPNOTSUPP; /* none came */
	return inet_is_stream(u) ? inet_stream_receive(u, m) : inet_datagram_receive(u, m);
}

static int inet_shutdown(struct socket *s, int how)
{
	static const unsigned int of[] = { NO_INPUT, NO_OUTPUT, NO_MORE };
	struct inet_sock *u = inet_of(s);

	if (inet_is_stream(u))
		return inet_stream_shutdown(u, how);
	if (u->out_peer)
		(void) outside_ops()->shutdown(u->out, how);
	u->closed |= of[how]; /* of one that is not connected, too */
	(void) waitq_wake(&s->waiters, 0, 0);
	return u->state == INET_ESTABLISHED ? 0 : -ENOTCONN;
}

/* ---- asked ---- */

static unsigned int poll_stream(struct inet_sock *u)
{
	unsigned int ready = 0;

	if (u->state == INET_LISTEN)
		return !list_empty(&u->backlog) || (u->out && outside_ops()->poll(u->out) & POLLIN)
			       ? READABLE
			       : 0;
	/* Of one that is connected to nobody, too: poll(2) of Linux says so. */
	if (u->closed == NO_MORE || u->state == INET_CLOSED)
		ready |= POLLHUP;
	if (u->closed & NO_INPUT)
		ready |= READABLE | POLLRDHUP;
	if (u->state == INET_SYN_SENT)
		return ready;
	if (u->waiting && u->waiting >= u->socket.low_water)
		ready |= READABLE;
	if (u->closed & NO_OUTPUT || inet_stream_writable(u))
		ready |= WRITABLE;
	else
		u->peer->room_wanted = true;
	return ready;
}

static unsigned int inet_poll(struct socket *s, struct waiter *w)
{
	struct inet_sock *u = inet_of(s);
	unsigned int ready;

	if (w)
		waitq_add(&s->waiters, w);
	if (inet_is_stream(u)) {
		ready = poll_stream(u);
	} else {
		ready = inet_datagram_poll(u);
	}
	return ready | (s->error ? POLLERR : 0u);
}

static int64_t queued(struct socket *s, bool sent)
{
	struct inet_sock *u = inet_of(s);

	if (u->state == INET_LISTEN)
		return -EINVAL;
	if (!inet_is_stream(u))
		return sent ? 0 : (int64_t) inet_datagram_next(u);
	return (int64_t) (sent ? inet_stream_unsent(u) : u->waiting);
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
	.changed = inet_changed,
	.look_for_error = inet_look_for_error,
	.poll = inet_poll,
	.queued = queued,
	.release = release,
};

const struct socket_ops *inet_ops(void)
{
	return &ops;
}
