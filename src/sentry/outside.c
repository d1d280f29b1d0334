/* SPDX-License-Identifier: Apache-2.0 */
#include "sentry/outside.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/auto.h"
#include "kernel/core/heap.h"
#include "kernel/net/control.h"
#include "kernel/net/outside.h"
#include "kernel/platform/host/host.h"
#include "sentry/outside_link.h"
#include "sentry/outside_socket.h"

#define READABLE (POLLIN | POLLRDNORM)
#define WRITABLE (POLLOUT | POLLWRNORM)
#define ALL	 (READABLE | WRITABLE | POLLPRI | POLLRDBAND | POLLWRBAND | POLLRDHUP)

/* What a filter lets a send say; the rest of a guest's flags is the kernel's own. */
#define SEND_FLAGS ((unsigned int) (MSG_OOB | MSG_MORE | MSG_EOR | MSG_DONTROUTE))
#define RECV_FLAGS ((unsigned int) (MSG_PEEK | MSG_TRUNC | MSG_OOB))

static struct heap_cache sockets = HEAP_CACHE_INIT(struct broker_socket);

static struct broker_socket *numbered[BROKER_SOCKETS];

struct broker_socket *outside_socket_of(struct outside *o)
{
	return container_of(o, struct broker_socket, base);
}

struct broker_socket *outside_socket_by(uint32_t number)
{
	return number < BROKER_SOCKETS ? numbered[number] : NULL;
}

static void ready(struct host_watch *w, uint32_t events)
{
	struct broker_socket *s = container_of(w, struct broker_socket, watch);
	unsigned int told = 0;

	s->base.happened++;
	if (events & (EPOLLERR | EPOLLHUP)) {
		(void) waitq_wake(s->base.waiters, 0, 0);
		return;
	}
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLPRI))
		told |= READABLE | POLLPRI | POLLRDHUP;
	/* It stands in all events of a socket with room: an edge it is after there was none. */
	if (events & EPOLLOUT && s->full)
		told |= WRITABLE;
	if (told & WRITABLE)
		s->full = false;
	if (told)
		(void) waitq_wake(s->base.waiters, told, 0);
}

/* ---- addresses ---- */

static struct broker_address pack(const struct sock_address *a)
{
	struct broker_address b = { .len = (uint32_t) min_of(a->len, (size_t) BROKER_ADDRESS) };

	memcpy(b.bytes, a->bytes, b.len);
	return b;
}

static void unpack(const struct broker_address *b, struct sock_address *ret)
{
	*ret = (struct sock_address){ .len = b->len };
	memcpy(ret->bytes, b->bytes, b->len);
}

/* ---- made and gone ---- */

static int ask(struct outside *o, struct broker_request *q, struct outside_answer *a)
{
	q->number = outside_socket_of(o)->number;
	return outside_ask(q, NULL, 0, a);
}

/* Of a descriptor that the broker gave. */
static int begin(struct broker_socket *s, int fd)
{
	int r;

	if (fd < 0)
		return -EMFILE; /* there was no number for it in this process */
	s->watch.ready = ready;
	s->fd = fd;
	s->full = true;
	r = host_watch(fd, &s->watch,
		       EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP); /* before anything happens */
	if (r < 0)
		close_fd(&s->fd);
	return r;
}

/* For the next request to make: what is told of it may come with the reply. */
static struct broker_socket *socket_new(struct waitq *w, bool stream)
{
	struct broker_socket *s = heap_cache_alloc(&sockets);

	if (!s)
		return NULL;
	s->number = outside_number();
	if (s->number >= BROKER_SOCKETS) {
		heap_cache_free(&sockets, s);
		return NULL;
	}
	s->base.waiters = w;
	s->stream = stream;
	s->made = outside_link_next();
	s->fd = FD_NONE;
	numbered[s->number] = s;
	return s;
}

static void socket_free(struct broker_socket *s)
{
	numbered[s->number] = NULL;
	outside_forget(s->number);
	heap_cache_free(&sockets, s);
}

static int socket_open(int domain, int type, int protocol, struct waitq *w, struct outside **ret)
{
	struct broker_request q = { .type = BROKER_OPEN, .a = domain, .b = type, .c = protocol };
	struct outside_answer a = {};
	struct broker_socket *s = socket_new(w, type == SOCK_STREAM);
	int r;

	if (!s)
		return -ENOBUFS;
	q.number = s->number;
	r = outside_ask(&q, NULL, 0, &a);
	if (r >= 0)
		r = begin(s, a.fd);
	if (r < 0)
		socket_free(s);
	else
		*ret = &s->base;
	return r < 0 ? r : 0;
}

static void socket_close(struct outside *o)
{
	struct broker_socket *s = outside_socket_of(o);

	host_unwatch(s->fd);
	close_fd(&s->fd);
	socket_free(s);
}

static int socket_bind_to(struct outside *o, const struct sock_address *a,
			  struct sock_address *ret_local)
{
	struct broker_request q = { .type = BROKER_BIND, .address = pack(a) };
	struct outside_answer answer = {};
	int r = ask(o, &q, &answer);

	unpack(&answer.reply.local, ret_local);
	return r;
}

static int socket_connect_to(struct outside *o, const struct sock_address *a,
			     struct sock_address *ret_local)
{
	struct broker_request q = { .type = BROKER_CONNECT, .address = pack(a) };
	struct outside_answer answer = {};
	int r;

	/* As the broker has it: nobody is an address of zeros. */
	if (a->family == AF_UNSPEC)
		q.address = (struct broker_address){ .len = sizeof(struct sockaddr) };
	outside_socket_of(o)->full = true;
	r = ask(o, &q, &answer);
	unpack(&answer.reply.local, ret_local);
	return r;
}

static int socket_listen_at(struct outside *o, int backlog)
{
	struct broker_request q = { .type = BROKER_LISTEN, .a = backlog };
	struct outside_answer a = {};

	return ask(o, &q, &a);
}

static int socket_accept_one(struct outside *o, struct waitq *w, struct outside **ret,
			     struct sock_address *ret_local, struct sock_address *ret_peer)
{
	struct broker_request q = { .type = BROKER_ACCEPT };
	struct broker_socket *s = socket_new(w, true);
	struct outside_answer a = {};
	int r;

	if (!s)
		return -ENOBUFS;
	q.a = (int32_t) s->number;
	r = ask(o, &q, &a);
	if (r >= 0)
		r = begin(s, a.fd);
	if (r < 0) {
		socket_free(s);
		return r;
	}
	unpack(&a.reply.local, ret_local);
	unpack(&a.reply.peer, ret_peer);
	s->connected = true;
	*ret = &s->base;
	return 0;
}

/* ---- data ---- */

static int64_t result(ssize_t n)
{
	if (n >= 0)
		return n;
	return errno == EINTR ? -EAGAIN : -errno;
}

static int64_t socket_send_bytes(struct outside *o, const void *bytes, size_t n, unsigned int flags,
				 const struct outside_way *way)
{
	struct broker_socket *s = outside_socket_of(o);
	struct outside_answer a = {};
	struct broker_request q;
	int64_t r;

	flags &= SEND_FLAGS;
	if (!way) {
		r = result(send(s->fd, bytes, n, (int) flags | MSG_DONTWAIT | MSG_NOSIGNAL));
	} else {
		q = (struct broker_request){ .type = BROKER_SEND,
					     .number = s->number,
					     .a = (int32_t) flags,
					     .b = way->hops,
					     .c = way->class,
					     .from = pack(&way->from) };
		if (way->to)
			q.address = pack(way->to);
		/* While it parks another thread may close s. */
		s->full = true;
		return outside_ask(&q, bytes, n, &a);
	}
	if (r == -EAGAIN || (r >= 0 && (size_t) r < n))
		s->full = true;
	return r;
}

static int64_t socket_receive_bytes(struct outside *o, void *bytes, size_t n,
				    struct sock_message *m)
{
	union {
		char bytes[256];
		struct cmsghdr align;
	} c;
	struct sockaddr_storage from;
	struct iovec v = { bytes, n };
	struct msghdr h = { .msg_iov = &v,
			    .msg_iovlen = 1,
			    .msg_name = &from,
			    .msg_namelen = sizeof(from),
			    .msg_control = c.bytes,
			    .msg_controllen = sizeof(c.bytes) };
	int64_t r = result(recvmsg(outside_socket_of(o)->fd, &h,
				   (int) (m->flags & RECV_FLAGS) | MSG_DONTWAIT));

	if (r < 0)
		return r;
	m->ret_flags |= (unsigned int) h.msg_flags & (MSG_TRUNC | MSG_EOR | MSG_OOB);
	if (m->address && h.msg_namelen) {
		m->address->len = min_of((size_t) h.msg_namelen, sizeof(m->address->bytes));
		memcpy(m->address->bytes, &from, m->address->len);
	}
	for (struct cmsghdr *k = CMSG_FIRSTHDR(&h); k; k = CMSG_NXTHDR(&h, k))
		control_add(m->control, k->cmsg_level, k->cmsg_type, CMSG_DATA(k),
			    k->cmsg_len - CMSG_LEN(0));
	return r;
}

static unsigned int socket_poll(struct outside *o)
{
	struct broker_socket *s = outside_socket_of(o);
	struct pollfd p = { .fd = s->fd, .events = ALL };

	if (poll(&p, 1, 0) <= 0)
		p.revents = 0;
	if (!(p.revents & POLLOUT))
		s->full = true;
	return (unsigned int) p.revents;
}

static int64_t socket_queued(struct outside *o, bool sent)
{
	int n = 0;

	return ioctl(outside_socket_of(o)->fd, sent ? TIOCOUTQ : FIONREAD, &n) < 0 ? -errno : n;
}

/* ---- the rest ---- */

static int socket_shut(struct outside *o, int how)
{
	struct broker_request q = { .type = BROKER_SHUTDOWN, .a = how };
	struct outside_answer a = {};

	return ask(o, &q, &a);
}

static int socket_option(struct outside *o, int level, int name, void *to, size_t *len)
{
	struct broker_request q = { .type = BROKER_GET,
				    .a = level,
				    .b = name,
				    .c = (int32_t) min_of(*len, (size_t) 4096) };
	struct outside_answer a = { .to = to, .room = *len };
	int r = ask(o, &q, &a);

	if (r >= 0)
		*len = a.got;
	return r;
}

static int socket_set_option(struct outside *o, int level, int name, const void *value, size_t len,
			     bool quiet)
{
	struct broker_request q = { .type = BROKER_SET,
				    .number = outside_socket_of(o)->number,
				    .a = level,
				    .b = name,
				    .c = quiet };
	struct outside_answer a = {};

	if (quiet && outside_tell(&q, value, len))
		return 0;
	q.c = 0; /* there was no room: it waits for some */
	return outside_ask(&q, value, len, &a);
}

static int64_t dump(int kind, int family, size_t from, void *to, size_t room, size_t *ret_n)
{
	struct broker_request q = {
		.type = BROKER_ROUTES, .a = kind, .b = family, .c = (int32_t) from
	};
	struct outside_answer a = { .to = to, .room = room };
	int r = room < BROKER_DATA ? -EINVAL : outside_ask(&q, NULL, 0, &a);

	*ret_n = a.got;
	return r;
}

const struct outside_ops outside_broker_ops = {
	.open = socket_open,
	.close = socket_close,
	.bind = socket_bind_to,
	.connect = socket_connect_to,
	.listen = socket_listen_at,
	.accept = socket_accept_one,
	.send = socket_send_bytes,
	.receive = socket_receive_bytes,
	.shutdown = socket_shut,
	.get = socket_option,
	.set = socket_set_option,
	.poll = socket_poll,
	.queued = socket_queued,
	.dump = dump,
};

int outside_check(const char *option, int fd, struct err *e)
{
	int type = 0, flags = fcntl(fd, F_GETFL);
	socklen_t n = sizeof(type);

	if (flags < 0 || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) < 0 ||
	    type != SOCK_SEQPACKET)
		return err_set(e, ERR_INVALID, EINVAL, "%s: descriptor %d is no seqpacket socket",
			       option, fd);
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return err_sys(e, errno, "%s", option);
	return 0;
}

int outside_begin(int fd, struct err *e)
{
	int r = outside_link_begin(fd, NULL);

	if (r < 0)
		return err_sys(e, -r, "--broker");
	outside_set(&outside_broker_ops);
	return 0;
}
