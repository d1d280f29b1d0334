/* SPDX-License-Identifier: Apache-2.0 */
#include "netstack/sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/auto.h"
#include "base/le.h"
#include "netstack/links.h"
#include "netstack/settings.h"
#include "netstack/stack.h"

static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };

/* ---- made and gone ---- */

int sockets_init(struct sockets_table *t, struct loop *l)
{
	*t = (struct sockets_table){ .loop = l };
	t->numbered = calloc(BROKER_SOCKETS, sizeof(struct sock *));
	return t->numbered ? 0 : -ENOMEM;
}

void sockets_fini(struct sockets_table *t)
{
	while (t->all)
		sock_free(t->all);
	free(TAKE(t->numbered));
}

struct sock *sock_new(struct sockets_table *t, int domain, enum policy_protocol protocol)
{
	struct sock *s = t->n < SOCKETS_MOST ? calloc(1, sizeof(*s)) : NULL;

	if (!s)
		return NULL;
	*s = (struct sock){ .source = { .fd = FD_NONE },
			    .table = t,
			    .fd = FD_NONE,
			    .domain = domain,
			    .protocol = protocol,
			    .next = t->all };
	t->all = s;
	t->n++;
	return s;
}

static void close_pair(struct sock *s)
{
	loop_remove(&s->source);
	close_fd(&s->fd);
}

static void unlink_of(struct sock **at, struct sock *s, size_t next)
{
	while (*at && *at != s)
		at = (struct sock **) (void *) ((char *) *at + next);
	if (*at)
		*at = *(struct sock **) (void *) ((char *) s + next);
}

void sock_free(struct sock *s)
{
	struct sockets_table *t = s->table;

	while (s->queue) {
		struct sock *first = s->queue;

		s->queue = first->queue_next;
		first->listener = NULL;
		sock_free(first);
	}
	if (s->listener) {
		unlink_of(&s->listener->queue, s, offsetof(struct sock, queue_next));
		s->listener->queued--;
		sock_tell(s->listener);
	}
	if (s->is_untold)
		unlink_of(&t->untold, s, offsetof(struct sock, untold));
	unlink_of(&t->all, s, offsetof(struct sock, next));
	if (t->numbered && t->numbered[s->number] == s)
		t->numbered[s->number] = NULL;
	if (s->protocol == POLICY_TCP)
		stream_drop(s);
	else
		datagram_drop(s);
	close_pair(s);
	t->n--;
	free(s);
}

static void ready(struct loop_source *source, uint32_t events)
{
	struct sock *s = LOOP_OWNER(source, struct sock, source);

	(void) events;
	if (s->protocol == POLICY_TCP)
		stream_pump(s);
	else
		datagram_pump(s);
}

int sock_pair(struct sock *s, int *ret_fd)
{
	int type = s->protocol == POLICY_TCP ? SOCK_STREAM : SOCK_SEQPACKET, pair[2], r;

	if (socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	r = loop_add(s->table->loop, &s->source, pair[0], EPOLLIN | EPOLLOUT | EPOLLET, ready);
	s->fd = pair[0];
	if (r < 0) {
		close_fd(&pair[1]);
		close_fd(&s->fd);
		return r;
	}
	*ret_fd = pair[1];
	return 0;
}

/* ---- told ---- */

void sock_tell(struct sock *s)
{
	struct sock **end = &s->table->untold;

	if (s->is_untold || !s->number)
		return;
	s->is_untold = true;
	s->untold = *end;
	*end = s;
}

void sock_ended(struct sock *s, int error)
{
	s->error = error;
	if (!s->number) {
		sock_free(s);
		return;
	}
	/* It sees the end of the pair when it knows why. */
	s->ending = true;
	sock_tell(s);
}

void sockets_flush(struct sockets_table *t)
{
	while (t->untold) {
		unsigned char m[BROKER_REPLY_BYTES + BROKER_STATE_BYTES];
		struct sock *s = t->untold;
		struct broker_reply a = { .tag = BROKER_STATE, .result = (int32_t) s->number };
		uint32_t state = (s->connected ? BROKER_CONNECTED : 0) |
				 (s->queue ? BROKER_PENDING : 0) |
				 (uint32_t) s->error << BROKER_ERROR_SHIFT;

		t->untold = TAKE(s->untold);
		s->is_untold = false;
		s->error = 0;
		broker_reply_put(&a, m);
		store_le32(m + BROKER_REPLY_BYTES, s->made);
		store_le32(m + BROKER_REPLY_BYTES + 4, state);
		t->tell(t->tell_to, m, sizeof(m));
		if (s->ending)
			close_pair(s);
	}
}

bool sockets_room(const struct sockets_table *t, uint16_t port)
{
	for (const struct sock *s = t->all; s; s = s->next)
		if (s->listening && stream_local(s) == port)
			return s->queued < s->queue_most && t->n < SOCKETS_MOST;
	return true; /* nobody: that is told */
}

void sockets_sweep(struct sockets_table *t)
{
	nsec_t now = clock_mono();

	for (struct sock *s = t->all, *next; s; s = next) {
		next = s->next;
		if (s->closed_at && now - s->closed_at > ORPHAN_TIME)
			sock_free(s);
	}
}

/* ---- addresses ---- */

void sock_name(const struct sock *s, uint32_t ip, uint16_t port, struct broker_address *ret)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET,
				  .sin_port = htons(port),
				  .sin_addr = { htonl(ip) } };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };

	*ret = (struct broker_address){ .len = s->domain == AF_INET ? sizeof(v4) : sizeof(v6) };
	memcpy(&v6.sin6_addr, mapped, sizeof(mapped));
	memcpy((unsigned char *) &v6.sin6_addr + sizeof(mapped), &v4.sin_addr, 4);
	if (s->domain == AF_INET)
		memcpy(ret->bytes, &v4, sizeof(v4));
	else
		memcpy(ret->bytes, &v6, sizeof(v6));
}

/* Of the socket's own family, in its full length. */
static int place_of(const struct sock *s, const struct broker_address *a, struct policy_place *ret)
{
	struct policy_place p = {};
	struct sockaddr_in6 v6 = {};
	struct sockaddr_in v4 = {};

	memcpy(&v4, a->bytes, sizeof(v4) < a->len ? sizeof(v4) : a->len);
	if (a->len < sizeof(v4.sin_family) || v4.sin_family != s->domain)
		return -EAFNOSUPPORT;
	if (a->len != (s->domain == AF_INET ? sizeof(v4) : sizeof(v6)))
		return -EINVAL;
	if (s->domain == AF_INET) {
		memcpy(p.ip, mapped, sizeof(mapped));
		memcpy(p.ip + sizeof(mapped), &v4.sin_addr, 4);
		p.port = ntohs(v4.sin_port);
	} else {
		memcpy(&v6, a->bytes, sizeof(v6));
		memcpy(p.ip, &v6.sin6_addr, sizeof(p.ip));
		p.port = ntohs(v6.sin6_port);
	}
	*ret = p;
	return 0;
}

/* False: it has none. */
static bool ip4_of(const struct policy_place *p, uint32_t *ret)
{
	uint32_t ip;

	if (memcmp(p->ip, mapped, sizeof(mapped)) != 0)
		return false;
	memcpy(&ip, p->ip + sizeof(mapped), sizeof(ip));
	*ret = ntohl(ip);
	return true;
}

/* Where to send to, or whom to connect to. */
static int destination(const struct sock *s, const struct broker_address *a, uint32_t *ret_ip,
		       uint16_t *ret_port)
{
	struct policy_place p = {};
	bool to_all;
	int r = place_of(s, a, &p);

	if (r < 0)
		return r;
	if (policy_is_any(&p) || policy_is_loopback(&p) || s->v6_only || !ip4_of(&p, ret_ip))
		return -ENETUNREACH;
	if (!policy_allows(&s->table->connect, s->protocol, &p))
		return -EPERM;
	to_all = frame_ip_broadcast(&stack_interface()->host, *ret_ip);
	if ((frame_ip_odd(*ret_ip) && !to_all) || !stack_reaches(*ret_ip) ||
	    (to_all && s->protocol == POLICY_TCP))
		return -ENETUNREACH;
	if (to_all && !s->broadcast)
		return -EACCES;
	*ret_port = p.port;
	return p.port ? 0 : s->protocol == POLICY_TCP ? -ECONNREFUSED : -EINVAL;
}

/* ---- requests ---- */

static int open_one(struct sockets_table *t, const struct broker_request *q, int *ret_fd)
{
	bool tcp = q->b == SOCK_STREAM && (q->c == 0 || q->c == IPPROTO_TCP);
	bool udp = q->b == SOCK_DGRAM && (q->c == 0 || q->c == IPPROTO_UDP);
	struct sock *s;
	int r;

	if (q->a != AF_INET && q->a != AF_INET6)
		return -EAFNOSUPPORT;
	if (!tcp && !udp)
		return -EPROTONOSUPPORT;
	if (q->number == 0 || t->numbered[q->number])
		return -EEXIST;
	s = sock_new(t, q->a, tcp ? POLICY_TCP : POLICY_UDP);
	if (!s)
		return -ENOBUFS;
	s->number = q->number;
	s->made = q->tag;
	t->numbered[s->number] = s;
	r = tcp ? stream_open(s) : datagram_open(s);
	if (r == 0)
		r = sock_pair(s, ret_fd);
	if (r < 0)
		sock_free(s);
	return r;
}

static int bind_one(struct sock *s, const struct broker_request *q, struct broker_reply *a)
{
	const struct frame_host *own = &stack_interface()->host;
	struct policy_place p = {};
	uint32_t ip = 0;
	int r = place_of(s, &q->address, &p);

	if (r < 0)
		return r;
	if (s->v6_only)
		return -EAFNOSUPPORT;
	if (policy_is_loopback(&p))
		return -EADDRNOTAVAIL;
	if (!policy_is_any(&p) && (!ip4_of(&p, &ip) || !own->has_ip || ip != own->ip))
		return -EADDRNOTAVAIL;
	if (!policy_allows(&s->table->bind, s->protocol, &p))
		return -EPERM;
	if (p.port && p.port < IPPORT_RESERVED && !s->table->low_ports)
		return -EACCES;
	r = s->protocol == POLICY_TCP ? stream_bind(s, ip, p.port) : datagram_bind(s, ip, p.port);
	if (r == 0)
		sock_name(s, ip, s->protocol == POLICY_TCP ? stream_local(s) : datagram_local(s),
			  &a->local);
	return r;
}

static int connect_one(struct sock *s, const struct broker_request *q, struct broker_reply *a)
{
	static const unsigned char nobody[sizeof(struct sockaddr)]; /* AF_UNSPEC */
	bool tcp = s->protocol == POLICY_TCP;
	bool parts = q->address.len == sizeof(nobody) &&
		     memcmp(q->address.bytes, nobody, sizeof(nobody)) == 0;
	uint32_t ip = 0;
	uint16_t port = 0;
	int r = parts ? (tcp ? -EOPNOTSUPP : 0) : destination(s, &q->address, &ip, &port);

	if (r == 0)
		r = tcp ? stream_connect(s, ip, port) : datagram_connect(s, ip, port);
	if ((r == 0 || r == -EINPROGRESS) && !parts)
		sock_name(s, stack_interface()->host.ip, tcp ? stream_local(s) : datagram_local(s),
			  &a->local);
	return r;
}

static int accept_one(struct sock *l, const struct broker_request *q, struct broker_reply *a,
		      int *ret_fd)
{
	struct sockets_table *t = l->table;
	struct sock *s;
	uint32_t ip = 0;
	uint16_t port = 0;
	int r;

	if (!l->listening)
		return -EINVAL;
	if (q->a <= 0 || q->a >= (int) BROKER_SOCKETS || t->numbered[q->a])
		return -EEXIST;
	s = stream_accept(l);
	if (!s)
		return -EAGAIN;
	r = stream_peer(s, &ip, &port) ? sock_pair(s, ret_fd) : -ECONNABORTED;
	if (r < 0) {
		sock_free(s);
		return r;
	}
	sock_name(s, ip, port, &a->peer);
	sock_name(s, stack_interface()->host.ip, stream_local(s), &a->local);
	s->number = (uint32_t) q->a;
	s->made = q->tag;
	t->numbered[s->number] = s;
	stream_pump(s); /* what came already; it has a number, and stays */
	return 0;
}

static int send_one(struct sock *s, const struct broker_request *q, const unsigned char *data,
		    size_t n)
{
	struct policy_place from = {};
	uint32_t ip = 0, own = 0;
	uint16_t port = 0;
	int r = s->protocol == POLICY_UDP ? 0 : -EOPNOTSUPP;

	if (r == 0 && q->from.len)
		r = place_of(s, &q->from, &from);
	/* It has one address, which datagrams are from anyway. */
	if (r == 0 && q->from.len && (!ip4_of(&from, &own) || own != stack_interface()->host.ip))
		return -EINVAL;
	if (r == 0 && q->address.len)
		r = destination(s, &q->address, &ip, &port);
	return r < 0 ? r : datagram_send(s, ip, port, q->b, q->c, data, n);
}

static int shut_one(struct sock *s, int how)
{
	if (how < SHUT_RD || how > SHUT_RDWR)
		return -EINVAL;
	if (s->protocol == POLICY_TCP)
		return stream_shut(s, how != SHUT_WR, how != SHUT_RD);
	return datagram_connected(s) ? 0 : -ENOTCONN;
}

static void close_one(struct sockets_table *t, uint32_t number)
{
	struct sock *s = t->numbered[number];

	if (!s)
		return;
	t->numbered[number] = NULL;
	if (s->is_untold)
		unlink_of(&t->untold, s, offsetof(struct sock, untold));
	s->is_untold = false;
	s->number = 0;
	s->closed_at = clock_mono();
	if (s->protocol == POLICY_TCP && s->tcp) {
		stream_close(s);
		return;
	}
	if (s->protocol == POLICY_UDP)
		datagram_pump(s); /* what was written before */
	sock_free(s);
}

static int serve_owned(struct sockets_table *t, const struct broker_request *q,
		       const unsigned char *data, size_t n, struct broker_reply *a,
		       unsigned char *out, size_t *ret_n, int *ret_fd)
{
	struct sock *s = t->numbered[q->number];

	if (!s)
		return -EBADF;
	switch (q->type) {
	case BROKER_BIND:
		return bind_one(s, q, a);
	case BROKER_CONNECT:
		return connect_one(s, q, a);
	case BROKER_LISTEN:
		/* One that was not bound would be, to a port that no policy has seen. */
		return s->protocol != POLICY_TCP ? -EOPNOTSUPP
		       : !s->bound		 ? -EPERM
						 : stream_listen(s, q->a);
	case BROKER_ACCEPT:
		return accept_one(s, q, a, ret_fd);
	case BROKER_SEND:
		return send_one(s, q, data, n);
	case BROKER_SHUTDOWN:
		return shut_one(s, q->a);
	case BROKER_GET:
		return settings_get(s, q->a, q->b, q->c, out, ret_n);
	case BROKER_SET:
		return settings_set(s, q->a, q->b, data, n);
	case BROKER_OPEN:
	case BROKER_CLOSE:
	case BROKER_ROUTES:
		break; /* not of one that is there */
	}
	return -EINVAL;
}

static int serve_routes(const struct broker_request *q, unsigned char *out, size_t *ret_n)
{
	int64_t r = q->c == 0 ? links_dump_of(stack_interface(), q->a, q->b, out) : -EINVAL;

	*ret_n = r > 0 ? (size_t) r : 0;
	return (int) r;
}

bool sockets_serve(struct sockets_table *t, const struct broker_request *q,
		   const unsigned char *data, size_t n, struct broker_reply *ret_a,
		   unsigned char *out, size_t *ret_n, int *ret_fd)
{
	*ret_a = (struct broker_reply){ .tag = q->tag };
	*ret_n = 0;
	*ret_fd = FD_NONE;
	switch (q->type) {
	case BROKER_CLOSE:
		close_one(t, q->number);
		return false;
	case BROKER_OPEN:
		ret_a->result = open_one(t, q, ret_fd);
		break;
	case BROKER_ROUTES:
		ret_a->result = serve_routes(q, out, ret_n);
		break;
	default:
		ret_a->result = serve_owned(t, q, data, n, ret_a, out, ret_n, ret_fd);
		break;
	}
	return q->type != BROKER_SET || q->c == 0;
}
