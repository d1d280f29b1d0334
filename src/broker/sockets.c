/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/sockets.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "base/auto.h"
#include "broker/options.h"
#include "broker/routes.h"

/* What a sandbox may say with a datagram; it never waits, and gets no signal. */
#define SEND_FLAGS (MSG_DONTROUTE | MSG_CONFIRM)

int sockets_init(struct sockets *s, int routes)
{
	*s = (struct sockets){ .routes = routes };
	s->all = calloc(BROKER_SOCKETS, sizeof(*s->all));
	s->dump = malloc(ROUTES_MOST);
	if (!s->all || !s->dump) {
		sockets_fini(s);
		return -ENOMEM;
	}
	for (size_t n = 0; n < BROKER_SOCKETS; n++)
		s->all[n].fd = FD_NONE;
	return 0;
}

void sockets_fini(struct sockets *s)
{
	for (size_t n = 0; s->all && n < BROKER_SOCKETS; n++)
		close_fd(&s->all[n].fd);
	free(s->all);
	free(s->dump);
	close_fd(&s->routes);
	*s = (struct sockets){ .routes = FD_NONE };
}

/* ---- addresses ---- */

union name {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

/* Of the socket's own family, in its full length. */
static int name_of(const struct owned *o, const struct broker_address *a, union name *ret,
		   socklen_t *ret_len, struct policy_place *ret_place)
{
	static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };
	union name n = {};

	memcpy(&n, a->bytes, sizeof(n.v6) < a->len ? sizeof(n.v6) : a->len);
	if (a->len < sizeof(n.any.sa_family) || n.any.sa_family != o->domain)
		return -EAFNOSUPPORT;
	if (a->len != (o->domain == AF_INET ? sizeof(n.v4) : sizeof(n.v6)))
		return -EINVAL;
	if (o->domain == AF_INET) {
		memcpy(ret_place->ip, mapped, sizeof(mapped));
		memcpy(ret_place->ip + sizeof(mapped), &n.v4.sin_addr, 4);
		ret_place->port = ntohs(n.v4.sin_port);
	} else {
		memcpy(ret_place->ip, &n.v6.sin6_addr, 16);
		ret_place->port = ntohs(n.v6.sin6_port);
	}
	*ret = n;
	*ret_len = a->len;
	return 0;
}

/* Where to send to, or whom to connect to. */
static int destination(const struct sockets *s, const struct owned *o,
		       const struct broker_address *a, union name *ret, socklen_t *ret_len)
{
	struct policy_place p = {};
	int r = name_of(o, a, ret, ret_len, &p);

	if (r < 0)
		return r;
	if (o->protocol == POLICY_ICMP)
		p.port = 0; /* it has none: what stands there is not looked at */
	else if (policy_is_any(&p) || policy_is_loopback(&p))
		return -ENETUNREACH;
	return policy_allows(&s->connect, o->protocol, &p) ? 0 : -EPERM;
}

typedef int (*name_fn)(int fd, struct sockaddr *name, socklen_t *len);

static void tell(int fd, name_fn ask, struct broker_address *ret)
{
	union name n = {};
	socklen_t len = sizeof(n);

	if (ask(fd, &n.any, &len) < 0 || len > sizeof(ret->bytes))
		return;
	ret->len = len;
	memcpy(ret->bytes, &n, len);
}

/* ---- requests ---- */

static int protocol_of(int type, int protocol, int domain, enum policy_protocol *ret)
{
	if (type == SOCK_STREAM && (protocol == 0 || protocol == IPPROTO_TCP))
		*ret = POLICY_TCP;
	else if (type == SOCK_DGRAM && (protocol == 0 || protocol == IPPROTO_UDP))
		*ret = POLICY_UDP;
	else if (type == SOCK_DGRAM &&
		 protocol == (domain == AF_INET ? (int) IPPROTO_ICMP : (int) IPPROTO_ICMPV6))
		*ret = POLICY_ICMP;
	else
		return -EPROTONOSUPPORT;
	return 0;
}

static int open_one(struct sockets *s, const struct broker_request *q, int *ret_fd)
{
	struct owned o = { .domain = q->a };
	int r;

	if (q->a != AF_INET && q->a != AF_INET6)
		return -EAFNOSUPPORT;
	if (s->all[q->number].fd >= 0)
		return -EEXIST;
	r = protocol_of(q->b, q->c, q->a, &o.protocol);
	if (r < 0)
		return r;
	o.fd = socket(q->a, q->b | SOCK_NONBLOCK | SOCK_CLOEXEC, q->c);
	if (o.fd < 0)
		return -errno;
	s->all[q->number] = o;
	*ret_fd = o.fd;
	return 0;
}

static int bind_one(const struct sockets *s, struct owned *o, const struct broker_request *q,
		    struct broker_reply *a)
{
	struct policy_place p = {};
	union name n;
	socklen_t len;
	int r = name_of(o, &q->address, &n, &len, &p);

	if (r < 0)
		return r;
	if (o->protocol != POLICY_ICMP && policy_is_loopback(&p))
		return -EADDRNOTAVAIL;
	if (!policy_allows(&s->bind, o->protocol, &p))
		return -EPERM;
	if (bind(o->fd, &n.any, len) < 0)
		return -errno;
	o->bound = true;
	tell(o->fd, getsockname, &a->local);
	return 0;
}

static int connect_one(const struct sockets *s, const struct owned *o,
		       const struct broker_request *q, struct broker_reply *a)
{
	static const unsigned char nobody[sizeof(struct sockaddr)]; /* AF_UNSPEC */
	bool parts = q->address.len == sizeof(nobody) &&
		     memcmp(q->address.bytes, nobody, sizeof(nobody)) == 0;
	union name n = {};
	socklen_t len = sizeof(nobody);
	int r = parts ? 0 : destination(s, o, &q->address, &n, &len);

	if (r == 0 && connect(o->fd, &n.any, len) < 0)
		r = -errno;
	if (r == 0 || r == -EINPROGRESS)
		tell(o->fd, getsockname, &a->local);
	return r;
}

static int accept_one(struct sockets *s, const struct owned *o, const struct broker_request *q,
		      struct broker_reply *a, int *ret_fd)
{
	struct owned made = { .domain = o->domain, .protocol = o->protocol };

	if (q->a < 0 || q->a >= (int) BROKER_SOCKETS || s->all[q->a].fd >= 0)
		return -EEXIST;
	made.fd = accept4(o->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (made.fd < 0)
		return -errno;
	tell(made.fd, getsockname, &a->local);
	tell(made.fd, getpeername, &a->peer);
	s->all[q->a] = made;
	*ret_fd = made.fd;
	return 0;
}

/* ---- datagrams ---- */

union control {
	char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo)) + 2 * CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

static void add_control(struct msghdr *m, int level, int type, const void *p, size_t n)
{
	struct cmsghdr *h =
		(struct cmsghdr *) (void *) ((char *) m->msg_control + m->msg_controllen);

	h->cmsg_level = level;
	h->cmsg_type = type;
	h->cmsg_len = CMSG_LEN(n);
	memcpy(CMSG_DATA(h), p, n);
	m->msg_controllen += CMSG_SPACE(n);
}

static int add_source(struct msghdr *m, const struct owned *o, const struct broker_address *from)
{
	struct policy_place p = {};
	union name n;
	socklen_t len;
	int r = name_of(o, from, &n, &len, &p);

	if (r < 0)
		return r;
	if (o->domain == AF_INET)
		add_control(m, IPPROTO_IP, IP_PKTINFO,
			    &(struct in_pktinfo){ .ipi_spec_dst = n.v4.sin_addr },
			    sizeof(struct in_pktinfo));
	else
		add_control(m, IPPROTO_IPV6, IPV6_PKTINFO,
			    &(struct in6_pktinfo){ .ipi6_addr = n.v6.sin6_addr,
						   .ipi6_ifindex = n.v6.sin6_scope_id },
			    sizeof(struct in6_pktinfo));
	return 0;
}

static int send_one(const struct sockets *s, const struct owned *o, const struct broker_request *q,
		    const unsigned char *data, size_t n)
{
	struct iovec v = { (void *) (uintptr_t) data, n }; /* it is not written to */
	union control c = {};
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = c.bytes };
	bool v4 = o->domain == AF_INET;
	union name to;
	ssize_t sent;
	int r;

	if (o->protocol == POLICY_TCP)
		return -EOPNOTSUPP; /* it would be a connect */
	if (q->address.len) {
		r = destination(s, o, &q->address, &to, &m.msg_namelen);
		if (r < 0)
			return r;
		m.msg_name = &to;
	}
	if (q->from.len) {
		r = add_source(&m, o, &q->from);
		if (r < 0)
			return r;
	}
	if (q->b >= 0)
		add_control(&m, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TTL : IPV6_HOPLIMIT, &q->b,
			    sizeof(q->b));
	if (q->c >= 0)
		add_control(&m, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TOS : IPV6_TCLASS, &q->c,
			    sizeof(q->c));
	sent = sendmsg(o->fd, &m, (q->a & SEND_FLAGS) | MSG_DONTWAIT | MSG_NOSIGNAL);
	return sent < 0 ? -errno : (int) sent;
}

/* ---- all of them ---- */

static int serve_owned(struct sockets *s, const struct broker_request *q, const unsigned char *data,
		       size_t n, struct broker_reply *a, unsigned char *out, size_t *ret_n,
		       int *ret_fd)
{
	struct owned *o = &s->all[q->number];

	if (o->fd < 0)
		return -EBADF;
	switch (q->type) {
	case BROKER_BIND:
		return bind_one(s, o, q, a);
	case BROKER_CONNECT:
		return connect_one(s, o, q, a);
	case BROKER_LISTEN:
		/* One that was not bound would be, to a port that no policy has seen. */
		return !o->bound ? -EPERM : listen(o->fd, q->a) < 0 ? -errno : 0;
	case BROKER_ACCEPT:
		return accept_one(s, o, q, a, ret_fd);
	case BROKER_SEND:
		return send_one(s, o, q, data, n);
	case BROKER_SHUTDOWN:
		return shutdown(o->fd, q->a) < 0 ? -errno : 0;
	case BROKER_GET:
		return options_get(o->fd, q->a, q->b, q->c, out, ret_n);
	case BROKER_SET:
		return options_set(o->fd, q->a, q->b, data, n);
	case BROKER_OPEN:
	case BROKER_CLOSE:
	case BROKER_ROUTES:
		break; /* not of one that is there */
	}
	return -EINVAL;
}

/* What a request cannot be told by its head. */
static int serve_routes(struct sockets *s, const struct broker_request *q, unsigned char *out,
			size_t *ret_n)
{
	size_t from = (size_t) q->c;
	int64_t r;

	if (q->c < 0)
		return -EINVAL;
	if (from == 0) {
		s->dump_n = 0;
		r = s->routes < 0 ? -EOPNOTSUPP : routes_dump(s->routes, q->a, q->b, s->dump);
		if (r < 0)
			return (int) r;
		s->dump_n = (size_t) r;
	}
	if (from > s->dump_n)
		return -EINVAL;
	*ret_n = s->dump_n - from < BROKER_DATA ? s->dump_n - from : BROKER_DATA;
	memcpy(out, s->dump + from, *ret_n);
	return (int) s->dump_n;
}

bool sockets_serve(struct sockets *s, const struct broker_request *q, const unsigned char *data,
		   size_t n, struct broker_reply *ret_a, unsigned char *out, size_t *ret_n,
		   int *ret_fd)
{
	*ret_a = (struct broker_reply){ .tag = q->tag };
	*ret_n = 0;
	*ret_fd = FD_NONE;
	switch (q->type) {
	case BROKER_CLOSE:
		close_fd(&s->all[q->number].fd);
		return false;
	case BROKER_OPEN:
		ret_a->result = open_one(s, q, ret_fd);
		break;
	case BROKER_ROUTES:
		ret_a->result = serve_routes(s, q, out, ret_n);
		break;
	default:
		ret_a->result = serve_owned(s, q, data, n, ret_a, out, ret_n, ret_fd);
		break;
	}
	return q->type != BROKER_SET || q->c == 0;
}
