/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/net/netlink_sock.h"

#include <linux/netlink.h>
#include <linux/poll.h>

#include "kernel/core/heap.h"
#include "kernel/net/control.h"

#define READABLE (POLLIN | POLLRDNORM)
#define WRITABLE (POLLOUT | POLLWRNORM)
#define LEVEL	 270 /* SOL_NETLINK */
/* Ports that are no process's, from there on downwards. */
#define PORT_MADE (UINT32_MAX - 4096)

static struct heap_cache socks = HEAP_CACHE_INIT(struct netlink_sock);
static struct list bound = LIST_INIT(bound);

static const struct socket_ops ops;

struct netlink_sock *netlink_of(struct socket *s)
{
	return container_of(s, struct netlink_sock, socket);
}

static int make(int type, int protocol, struct socket **ret)
{
	struct netlink_sock *n;

	if (type != SOCK_RAW && type != SOCK_DGRAM)
		return -ESOCKTNOSUPPORT;
	if (protocol != NETLINK_ROUTE)
		return -EPROTONOSUPPORT;
	n = heap_cache_alloc(&socks);
	if (!n)
		return -ENOMEM;
	socket_init(&n->socket, &ops, AF_NETLINK, type, protocol);
	list_init(&n->all);
	list_init(&n->inbox);
	sleeplock_init(&n->reading);
	n->owners = 1;
	*ret = &n->socket;
	return 0;
}

const struct socket_family netlink_family = { .domain = AF_NETLINK, .make = make };

struct netlink_piece *netlink_piece_new(struct netlink_sock *n, size_t len)
{
	struct netlink_piece *p = heap_alloc(sizeof(*p) + len);

	if (!p)
		return NULL;
	p->len = len;
	list_init(&p->link);
	list_push(&n->inbox, &p->link);
	n->held += sizeof(*p) + len;
	return p;
}

static void piece_free(struct netlink_sock *n, struct netlink_piece *p)
{
	list_remove(&p->link);
	n->held -= sizeof(*p) + p->len;
	heap_free(p);
}

void netlink_unref(struct netlink_sock *n)
{
	if (--n->owners == 0)
		heap_cache_free(&socks, n);
}

void netlink_retire(struct netlink_sock *n)
{
	n->dead = true;
	while (!list_empty(&n->inbox))
		piece_free(n, list_entry(n->inbox.next, struct netlink_piece, link));
	list_remove(&n->all);
	list_init(&n->all);
	netlink_unref(n);
}

static void release(struct socket *s)
{
	netlink_retire(netlink_of(s));
}

/* ---- names ---- */

static bool is_taken(uint32_t port)
{
	list_each(l, &bound)
	{
		if (list_entry(l, struct netlink_sock, all)->port == port)
			return true;
	}
	return false;
}

static void have_port(struct netlink_sock *n, uint32_t port)
{
	n->port = port;
	list_push(&bound, &n->all);
}

int netlink_have_port(struct netlink_sock *n, uint32_t port)
{
	if (is_taken(port))
		return -EADDRINUSE;
	have_port(n, port);
	return 0;
}

/* The process's number, as Linux, where no socket of it has that yet. */
static void autobind(struct netlink_sock *n, const struct sock_actor *by)
{
	uint32_t port = by ? (uint32_t) by->pid : 0;

	if (n->port)
		return;
	if (port == 0 || is_taken(port)) {
		for (port = PORT_MADE; is_taken(port); port--)
			;
	}
	have_port(n, port);
}

static int parse(const struct sock_address *a, struct sockaddr_nl *ret)
{
	if (a->len < sizeof(*ret) || a->family != AF_NETLINK)
		return -EINVAL;
	memcpy(ret, a->bytes, sizeof(*ret));
	return 0;
}

static int netlink_bind(struct socket *s, const struct sock_actor *by, const struct sock_address *a)
{
	struct netlink_sock *n = netlink_of(s);
	struct sockaddr_nl to;
	int r = parse(a, &to);

	if (r < 0)
		return r;
	if (n->port && to.nl_pid != n->port)
		return -EINVAL;
	if (!n->port && to.nl_pid) {
		r = netlink_have_port(n, to.nl_pid);
		if (r < 0)
			return r;
	}
	autobind(n, by);
	n->groups = to.nl_groups;
	return 0;
}

/* To the kernel alone. */
static int netlink_connect(struct socket *s, const struct sock_actor *by,
			   const struct sock_address *a, bool nonblocking)
{
	struct sockaddr_nl to;
	int r;

	(void) nonblocking;
	if (a->family == AF_UNSPEC)
		return 0;
	r = parse(a, &to);
	if (r < 0)
		return r;
	if (to.nl_pid || to.nl_groups)
		return to.nl_groups ? -EPERM : -ECONNREFUSED;
	autobind(netlink_of(s), by);
	return 0;
}

static void tell(uint32_t port, uint32_t groups, struct sock_address *ret)
{
	struct sockaddr_nl a = { .nl_family = AF_NETLINK, .nl_pid = port, .nl_groups = groups };

	*ret = (struct sock_address){ .len = sizeof(a) };
	memcpy(ret->bytes, &a, sizeof(a));
}

static int netlink_name(struct socket *s, bool of_peer, struct sock_address *ret)
{
	const struct netlink_sock *n = netlink_of(s);

	tell(of_peer ? 0 : n->port, of_peer ? 0 : n->groups, ret);
	return 0;
}

/* ---- requests ---- */

static int reply(struct netlink_sock *n, const unsigned char *bytes, size_t len)
{
	struct netlink_piece *p;

	if (n->held > n->socket.receive_room)
		return -ENOBUFS;
	p = netlink_piece_new(n, len);
	if (!p)
		return -ENOBUFS;
	memcpy(p->bytes, bytes, len);
	(void) waitq_wake(&n->socket.waiters, READABLE, 0);
	return 0;
}

/* netlink(7): an answer that finds no room is lost, and that is told. */
static void give(void *to, const unsigned char *bytes, size_t len)
{
	struct netlink_sock *n = to;

	if (len == 0 || reply(n, bytes, len) == 0)
		return;
	n->socket.error = ENOBUFS;
	(void) waitq_wake(&n->socket.waiters, 0, 0);
}

/* All requests of what was sent. */
static void answer_all(struct netlink_sock *n, const unsigned char *bytes, size_t len)
{
	size_t at = 0;

	while (len - at >= sizeof(struct nlmsghdr)) {
		struct netlink_answer to = { .port = n->port };
		uint32_t one;

		memcpy(&one, bytes + at, sizeof(one));
		if (one < sizeof(struct nlmsghdr) || one > len - at)
			return;
		if (!netlink_outside(bytes + at, one, n->port, give, n)) {
			netlink_route(bytes + at, one, &to);
			give(n, to.bytes, to.len);
		}
		at += min_of((size_t) NLMSG_ALIGN(one), len - at);
	}
}

static int64_t netlink_send(struct socket *s, struct sock_message *m)
{
	struct netlink_sock *n = netlink_of(s);
	int64_t len = (int64_t) min_of(m->data->left, (uint64_t) INT32_MAX);
	unsigned char *bytes;
	struct sockaddr_nl to;
	int r = 0;

	if (m->flags & MSG_OOB)
		return -EOPNOTSUPP;
	if (len == 0)
		return -ENODATA;
	if (m->address)
		r = parse(m->address, &to);
	if (r == 0 && m->address && (to.nl_pid || to.nl_groups))
		r = to.nl_groups ? -EPERM : -ECONNREFUSED;
	if (r == 0 && len > NETLINK_REQUEST_MOST)
		r = -EMSGSIZE;
	if (r < 0)
		return r;
	bytes = heap_alloc((size_t) len);
	if (!bytes)
		return -ENOBUFS;
	if (uio_in(m->data, bytes, (size_t) len) == len) {
		autobind(n, m->by);
		answer_all(n, bytes, (size_t) len);
	} else {
		len = -EFAULT;
	}
	heap_free(bytes);
	return len;
}

/* ---- answers ---- */

static int64_t take(struct netlink_sock *n, struct sock_message *m)
{
	struct netlink_piece *p = list_entry(n->inbox.next, struct netlink_piece, link);
	size_t len = p->len, part = min_of(len, (size_t) m->data->left);
	int64_t done = part ? uio_out(m->data, p->bytes, part) : 0;

	if (part < len)
		m->ret_flags |= MSG_TRUNC;
	if (m->address)
		tell(0, 0, m->address);
	if (!(m->flags & MSG_PEEK))
		piece_free(n, p);
	if (done < (int64_t) part)
		return -EFAULT;
	return m->flags & MSG_TRUNC ? (int64_t) len : done;
}

static int64_t netlink_receive(struct socket *s, struct sock_message *m)
{
	struct netlink_sock *n = netlink_of(s);
	nsec_t deadline = socket_deadline(s->receive_timeout);
	int64_t done = 0;
	int r = 0;

	if (m->flags & MSG_OOB)
		return -EOPNOTSUPP;
	sleeplock_take(&n->reading);
	while (r == 0) {
		r = socket_take_error(s);
		if (r < 0)
			break;
		if (!list_empty(&n->inbox)) {
			done = take(n, m);
			break;
		}
		if (m->flags & MSG_DONTWAIT) {
			r = -EAGAIN;
			break;
		}
		sleeplock_give(&n->reading);
		r = waitq_wait(&s->waiters, !list_empty(&n->inbox) || s->error, deadline,
			       fiber_interrupted());
		sleeplock_take(&n->reading);
	}
	sleeplock_give(&n->reading);
	return r < 0 ? socket_wait_result(r, s->receive_timeout) : done;
}

static unsigned int netlink_poll(struct socket *s, struct waiter *w)
{
	struct netlink_sock *n = netlink_of(s);

	if (w)
		waitq_add(&s->waiters, w);
	return WRITABLE | POLLWRBAND | (list_empty(&n->inbox) ? 0u : READABLE) |
	       (s->error ? POLLERR : 0u);
}

/* Groups, of which nothing is heard. The rest asks for what answers never have. */
static int netlink_set(struct socket *s, const struct sock_actor *by, int level, int name,
		       const void *value, size_t len)
{
	uint32_t group;

	(void) by;
	if (level != LEVEL || (name != NETLINK_ADD_MEMBERSHIP && name != NETLINK_DROP_MEMBERSHIP))
		return -ENOPROTOOPT;
	if (len < sizeof(group))
		return -EINVAL;
	memcpy(&group, value, sizeof(group));
	if (group == 0 || group > 32)
		return -EINVAL;
	if (name == NETLINK_ADD_MEMBERSHIP)
		netlink_of(s)->groups |= 1u << (group - 1);
	else
		netlink_of(s)->groups &= ~(1u << (group - 1));
	return 0;
}

static const struct socket_ops ops = {
	.bind = netlink_bind,
	.connect = netlink_connect,
	.send = netlink_send,
	.receive = netlink_receive,
	.name = netlink_name,
	.set = netlink_set,
	.poll = netlink_poll,
	.release = release,
};
