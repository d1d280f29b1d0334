/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection goes
 *
 *   from the host:   GREETING -> ASKED [greet] -> OPEN [on_response]
 *   to a port:       ASKED [port_connection] -> OPEN [on_response]
 *   from the guest:  OPEN [on_request]
 *   OPEN -> CLOSING [send_shutdown: the host's side is done with both directions]
 *   OPEN, CLOSING -> gone [part: the guest is done with both, or resets]; by way of LINGER while
 *   bytes of the guest wait for the socket
 *
 * Sockets are watched edge-triggered: may_read and may_write hold from an event until EAGAIN. All
 * that goes to the guest is made when there is a buffer for it (one_received), in turn for the
 * connections that are due; resets of connections that do not exist wait in a small ring.
 */
#include "virtio/vsock.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_vsock.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/auto.h"
#include "base/num.h"
#include "sys/fdpass.h"
#include "virtio/vsock_flows.h"

enum { RECEIVE, TRANSMIT, EVENTS, QUEUES }; /* 5.10.2, as the guest sees them */

#define QUEUE_SIZE    256
#define HEADER_SIZE   sizeof(struct virtio_vsock_hdr)
#define GREETING_MAX  32
#define ACCEPTS_MAX   64
#define RESETS_MAX    1024
#define DRAIN_MAX     64
#define RETRY_AFTER   (100 * NSEC_PER_MSEC)
#define PATIENCE      (10 * NSEC_PER_SEC) /* Linux's guest waits 8 s for its part */
#define EDGE_TRIGGERS (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)

struct reset {
	uint32_t host_port, guest_port;
	uint16_t type;
};

struct vsock {
	struct virtio_device base;
	uint64_t cid;
	struct vsock_flows flows;
	struct listening {
		int fd; /* owned */
		struct loop_source source;
		struct loop_timer again;
	} hosts, ports; /* unix sockets, TCP */
	uint32_t ports_to;
	int kept_fd;					   /* owned */
	struct vsock_forward forwards[VSOCK_FORWARDS_MAX]; /* descriptors owned */
	size_t forwards_n;
	struct reset resets[RESETS_MAX];
	unsigned resets_at, resets_n;
	/*
	 * After a restore the driver has to be told that its connections are gone, and what it
	 * hears before it has given that event's buffer back would be taken for one of them.
	 */
	bool gone_due, mute;
	uint16_t events_left; /* buffers for events, without that one */
	struct iovec parts[CHAIN_PARTS_MAX];
};

static const struct virtio_ops ops;

static struct vsock *vsock_of(struct virtio_device *d)
{
	assert(d->ops == &ops);
	return LOOP_OWNER(d, struct vsock, base);
}

static void serve_receive(struct vsock *v);

/* --- to the guest --- */

static void put_reset(struct vsock *v, uint32_t host_port, uint32_t guest_port, uint16_t type)
{
	/* A guest that causes more than fit at once times out for the rest. */
	if (v->resets_n < RESETS_MAX)
		v->resets[(v->resets_at + v->resets_n++) % RESETS_MAX] =
			(struct reset){ host_port, guest_port, type };
}

static bool wants_read(const struct vsock_flow *w)
{
	return w->state == VSOCK_OPEN && w->may_read && !w->host_done && !w->guest_deaf;
}

/* What there is to say or send puts the flow in the list. */
static void look(struct vsock_flow *w)
{
	if (wants_read(w) && vsock_flow_credit(w) == 0 && !w->asked_credit) {
		w->asked_credit = true;
		w->tell |= VSOCK_TELL_ASK_CREDIT;
	}
	if (w->state == VSOCK_OPEN && vsock_flow_must_tell(w))
		w->tell |= VSOCK_TELL_CREDIT;
	if (w->tell || (wants_read(w) && vsock_flow_credit(w) > 0))
		vsock_flow_set_due(w);
	else
		vsock_flow_clear_due(w);
}

static void push_packet(struct vsock *v, const struct chain *c, struct virtio_vsock_hdr *h)
{
	h->src_cid = VSOCK_CID_HOST;
	h->dst_cid = v->cid;
	(void) chain_write(c, 0, h, HEADER_SIZE); /* there is room: one_received() looked */
	queue_push(&v->base.queues[RECEIVE], c->head, (uint32_t) HEADER_SIZE + h->len);
	v->base.stats.reads++;
	v->base.stats.read_bytes += h->len;
}

static void push_flow_packet(struct vsock *v, struct vsock_flow *w, const struct chain *c,
			     enum virtio_vsock_op op, uint32_t flags, uint32_t len)
{
	struct virtio_vsock_hdr h = {
		.src_port = w->host_port,
		.dst_port = w->guest_port,
		.len = len,
		.type = VIRTIO_VSOCK_TYPE_STREAM,
		.op = (uint16_t) op,
		.flags = flags,
		.buf_alloc = VSOCK_BUFFER_SIZE,
		.fwd_cnt = w->forwarded,
	};

	w->told = w->forwarded;
	w->tell &= ~(unsigned) VSOCK_TELL_CREDIT;
	push_packet(v, c, &h);
}

static void out_of_patience(struct loop_timer *t)
{
	struct vsock_flow *w = LOOP_OWNER(t, struct vsock_flow, patience);
	struct vsock *v = w->flows->owner;

	put_reset(v, w->host_port, w->guest_port, VIRTIO_VSOCK_TYPE_STREAM);
	vsock_flow_free(w);
	serve_receive(v);
}

static void close_socket(struct vsock_flow *w)
{
	loop_remove(&w->source);
	close_fd(&w->fd);
	w->forwarded = w->received;
	w->waiting_n = 0;
}

static void send_shutdown(struct vsock *v, struct vsock_flow *w, const struct chain *c)
{
	uint32_t flags = (w->host_done ? VIRTIO_VSOCK_SHUTDOWN_SEND : 0u) |
			 (w->host_deaf ? VIRTIO_VSOCK_SHUTDOWN_RCV : 0u);

	push_flow_packet(v, w, c, VIRTIO_VSOCK_OP_SHUTDOWN, flags, 0);
	if (!w->host_done || !w->host_deaf)
		return;
	w->state = VSOCK_CLOSING;
	w->tell = 0;
	close_socket(w);
	loop_timer_set(v->base.loop, &w->patience, clock_deadline(PATIENCE), out_of_patience);
}

/* The other end of the socket is closed, not only shut down for sending. */
static bool hung_up(const struct vsock_flow *w)
{
	struct pollfd p = { .fd = w->fd };

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR));
}

/* What a connection to a port begins with, or the rest of it. false: the guest has it all. */
static bool send_line(struct vsock *v, struct vsock_flow *w, const struct chain *c, size_t room)
{
	char line[GREETING_MAX];
	int all = snprintf(line, sizeof(line), "CONNECT %u\n", w->tcp_port);
	size_t n = (size_t) all - w->greeted;

	if (n == 0)
		return false;
	if (n > room)
		n = room;
	(void) chain_write(c, HEADER_SIZE, line + w->greeted, n); /* as far as there is room */
	w->greeted = (uint8_t) (w->greeted + n);
	w->sent += (uint32_t) n;
	push_flow_packet(v, w, c, VIRTIO_VSOCK_OP_RW, 0, (uint32_t) n);
	return true;
}

/* Bytes of the socket into the chain. false: there are none, nothing was pushed. */
static bool send_data(struct vsock *v, struct vsock_flow *w, const struct chain *c)
{
	size_t room = c->in_bytes - HEADER_SIZE;
	uint32_t credit = vsock_flow_credit(w);
	struct msghdr m = { .msg_iov = v->parts };
	ssize_t n;

	if (room > credit)
		room = credit;
	if (w->tcp_port && send_line(v, w, c, room))
		return true;
	m.msg_iovlen = iovec_slice(c->in, c->in_n, HEADER_SIZE, room, v->parts);
	do
		n = recvmsg(w->fd, &m, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n > 0) {
		w->sent += (uint32_t) n;
		push_flow_packet(v, w, c, VIRTIO_VSOCK_OP_RW, 0, (uint32_t) n);
		return true;
	}
	if (n < 0 && errno == EAGAIN) {
		w->may_read = false;
		return false;
	}
	w->host_done = true;
	if (n < 0 || hung_up(w))
		w->host_deaf = true;
	w->tell |= VSOCK_TELL_SHUTDOWN;
	return false;
}

/* The most urgent packet of a flow. false: there is none. */
static bool send_next(struct vsock *v, struct vsock_flow *w, const struct chain *c)
{
	static const struct {
		unsigned tell;
		enum virtio_vsock_op op;
	} first[] = { { VSOCK_TELL_REQUEST, VIRTIO_VSOCK_OP_REQUEST },
		      { VSOCK_TELL_RESPONSE, VIRTIO_VSOCK_OP_RESPONSE },
		      { VSOCK_TELL_ASK_CREDIT, VIRTIO_VSOCK_OP_CREDIT_REQUEST } };

	for (size_t i = 0; i < ARRAY_SIZE(first); i++)
		if (w->tell & first[i].tell) {
			w->tell &= ~first[i].tell;
			push_flow_packet(v, w, c, first[i].op, 0, 0);
			return true;
		}
	if (wants_read(w) && vsock_flow_credit(w) > 0 && send_data(v, w, c))
		return true;
	if (w->tell & VSOCK_TELL_SHUTDOWN) {
		w->tell &= ~(unsigned) VSOCK_TELL_SHUTDOWN;
		send_shutdown(v, w, c);
		return true;
	}
	if (w->tell & VSOCK_TELL_CREDIT) {
		push_flow_packet(v, w, c, VIRTIO_VSOCK_OP_CREDIT_UPDATE, 0, 0);
		return true;
	}
	return false;
}

static bool send_reset(struct vsock *v, const struct chain *c)
{
	const struct reset *r = &v->resets[v->resets_at];
	struct virtio_vsock_hdr h = { .op = VIRTIO_VSOCK_OP_RST };

	if (v->resets_n == 0)
		return false;
	h.src_port = r->host_port;
	h.dst_port = r->guest_port;
	h.type = r->type;
	v->resets_at = (v->resets_at + 1) % RESETS_MAX;
	v->resets_n--;
	push_packet(v, c, &h);
	return true;
}

/* One buffer of the guest's is filled, if there is anything to fill it with. */
static bool one_received(struct virtio_device *d, unsigned queue, struct chain *c)
{
	struct vsock *v = vsock_of(d);

	if (c->in_bytes <= HEADER_SIZE) {
		d->queues[queue].broken = true;
		d->needs_reset(d, "a buffer to receive in has no room");
		return true;
	}
	if (send_reset(v, c))
		return true;
	while (v->flows.due) {
		struct vsock_flow *w = v->flows.due;
		bool sent = send_next(v, w, c);

		vsock_flow_clear_due(w); /* to the end of the list, or out of it */
		look(w);
		if (sent)
			return true;
	}
	return false;
}

static void serve_receive(struct vsock *v)
{
	if (v->base.active && !v->mute && (v->flows.due || v->resets_n))
		virtio_serve(&v->base, RECEIVE, one_received);
}

/* --- the sockets --- */

/* Close without the other end being told of a reset, which unread bytes of its would make it. */
static void close_gently(struct vsock_flow *w)
{
	char bytes[4096];

	if (w->fd < 0)
		return;
	(void) shutdown(w->fd, SHUT_RDWR); /* fails where the other end is gone, as is then due */
	for (int i = 0; i < DRAIN_MAX; i++)
		if (recv(w->fd, bytes, sizeof(bytes), MSG_DONTWAIT) <= 0)
			break;
}

/* The end of a connection that has not come to a good one: not an end of the file. */
static void close_hard(struct vsock_flow *w)
{
	const struct linger none = { .l_onoff = 1 };

	if (w->fd >= 0) /* fails where the other end is gone */
		(void) setsockopt(w->fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
}

/* The guest is done with the connection. What it sent still reaches the socket. */
static void part(struct vsock_flow *w)
{
	if (w->tcp_port && w->cut) {
		close_hard(w);
		vsock_flow_free(w);
		return;
	}
	if (w->waiting_n > 0 && w->fd >= 0) {
		vsock_flow_unname(w);
		vsock_flow_clear_due(w);
		w->tell = 0;
		w->host_port = w->guest_port = 0;
		w->state = VSOCK_LINGER;
		return;
	}
	close_gently(w);
	vsock_flow_free(w);
}

static void host_is_deaf(struct vsock_flow *w)
{
	w->host_deaf = true;
	w->forwarded = w->received;
	w->waiting_n = 0;
	w->tell |= VSOCK_TELL_SHUTDOWN;
}

/* What waits goes into the socket. false: the flow is gone. */
static bool flush(struct vsock_flow *w)
{
	while (w->waiting_n > 0 && w->may_write) {
		const uint8_t *p;
		uint32_t n = vsock_flow_waiting(w, &p);
		ssize_t r = send(w->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (r >= 0) {
			vsock_flow_took(w, (uint32_t) r);
			w->forwarded += (uint32_t) r;
		} else if (errno == EAGAIN) {
			w->may_write = false;
		} else if (errno != EINTR) {
			host_is_deaf(w);
		}
	}
	if (w->waiting_n > 0)
		return true;
	if (w->state == VSOCK_LINGER) {
		part(w);
		return false;
	}
	if (w->guest_done && w->fd >= 0)
		(void) shutdown(w->fd, SHUT_WR); /* fails where the other end is gone */
	return true;
}

static void greet(struct vsock *v, struct vsock_flow *w)
{
	char line[GREETING_MAX + 1];
	ssize_t n = recv(w->fd, line, GREETING_MAX, MSG_PEEK | MSG_DONTWAIT);
	struct str port, word;
	uint32_t guest_port;
	size_t length;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	word = str_cut((struct str){ line, n > 0 ? (size_t) n : 0 }, '\n', &port);
	if (n > 0 && n < GREETING_MAX && !port.p)
		return; /* the rest is on its way */
	length = word.n + 1;
	word = str_cut(word, ' ', &port);
	if (n <= 0 || length > (size_t) n || !v->base.active || !str_is(word, "CONNECT") ||
	    num_parse_u32(port, 0, UINT32_MAX - 1, &guest_port) < 0 ||
	    recv(w->fd, line, length, MSG_DONTWAIT) != (ssize_t) length) {
		vsock_flow_free(w);
		return;
	}
	vsock_flow_name(w, vsock_flow_port(&v->flows), guest_port);
	w->state = VSOCK_ASKED;
	w->may_read = true; /* the line may not have been all */
	w->tell = VSOCK_TELL_REQUEST;
	vsock_flow_set_due(w);
}

/* The client went away before the guest answered. */
static void give_up(struct vsock *v, struct vsock_flow *w)
{
	if (!(w->tell & VSOCK_TELL_REQUEST))
		put_reset(v, w->host_port, w->guest_port, VIRTIO_VSOCK_TYPE_STREAM);
	vsock_flow_free(w);
}

static void flow_ready(struct loop_source *s, uint32_t events)
{
	struct vsock_flow *w = LOOP_OWNER(s, struct vsock_flow, source);
	struct vsock *v = w->flows->owner;
	bool gone = events & (EPOLLHUP | EPOLLERR);

	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		w->may_read = true;
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		w->may_write = true;
	switch (w->state) {
	case VSOCK_GREETING:
		greet(v, w);
		break;
	case VSOCK_ASKED:
		if (gone)
			give_up(v, w);
		break;
	case VSOCK_OPEN:
		if (!flush(w))
			break;
		/* What it sent before it went is read first: the end of the file shows it went. */
		if (gone && (w->host_done || w->guest_deaf)) {
			w->host_done = true;
			host_is_deaf(w);
		}
		look(w);
		break;
	case VSOCK_LINGER:
		(void) flush(w); /* gone or not, it is not used below */
		break;
	case VSOCK_CLOSING:
	case VSOCK_FREE:
		break; /* they have no socket */
	}
	serve_receive(v);
}

static void connection(struct loop_source *s, uint32_t events);
static void port_connection(struct loop_source *s, uint32_t events);

static int listen_on(struct vsock *v, struct listening *l)
{
	return loop_add(v->base.loop, &l->source, l->fd, EPOLLIN,
			l == &v->ports ? port_connection : connection);
}

static void listen_again(struct vsock *v, struct listening *l, void (*again)(struct loop_timer *t))
{
	if (listen_on(v, l) < 0)
		loop_timer_set(v->base.loop, &l->again, clock_deadline(RETRY_AFTER), again);
}

static void hosts_again(struct loop_timer *t)
{
	struct vsock *v = LOOP_OWNER(t, struct vsock, hosts.again);

	listen_again(v, &v->hosts, hosts_again);
}

static void ports_again(struct loop_timer *t)
{
	struct vsock *v = LOOP_OWNER(t, struct vsock, ports.again);

	listen_again(v, &v->ports, ports_again);
}

static void stop_listening(struct listening *l)
{
	loop_timer_cancel(&l->again);
	loop_remove(&l->source);
	close_fd(&l->fd);
}

/* The next one's flow. 0: it was refused, go on; or -EAGAIN: no more now. */
static int accept_one(struct vsock *v, struct listening *l, struct vsock_flow **ret_w)
{
	int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct vsock_flow *w;

	if (fd < 0 && (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED))
		return -EAGAIN;
	if (fd < 0) { /* of descriptors or memory there is none left: not at once again */
		loop_remove(&l->source);
		loop_timer_set(v->base.loop, &l->again, clock_deadline(RETRY_AFTER),
			       l == &v->ports ? ports_again : hosts_again);
		return -EAGAIN;
	}
	w = vsock_flow_new(&v->flows, fd);
	if (w && loop_add(v->base.loop, &w->source, fd, EDGE_TRIGGERS, flow_ready) < 0) {
		vsock_flow_free(w);
		return 0;
	}
	*ret_w = w;
	return w ? 1 : 0;
}

static void connection(struct loop_source *s, uint32_t events)
{
	struct vsock *v = LOOP_OWNER(s, struct vsock, hosts.source);
	struct vsock_flow *w;

	(void) events;
	for (int i = 0; i < ACCEPTS_MAX; i++)
		if (accept_one(v, &v->hosts, &w) < 0)
			return;
}

/* To the guest at once: which port it is for goes before what it sends. */
static void ask_for_port(struct vsock *v, struct vsock_flow *w)
{
	struct sockaddr_in at = {};
	socklen_t n = sizeof(at);

	w->cut = true;
	if (!v->base.active || getsockname(w->fd, (struct sockaddr *) &at, &n) < 0 ||
	    at.sin_family != AF_INET || !at.sin_port) {
		close_hard(w);
		vsock_flow_free(w);
		return;
	}
	w->tcp_port = ntohs(at.sin_port);
	vsock_flow_name(w, vsock_flow_port(&v->flows), v->ports_to);
	w->state = VSOCK_ASKED;
	w->may_read = true; /* the line, to begin with */
	w->tell = VSOCK_TELL_REQUEST;
	vsock_flow_set_due(w);
}

static void port_connection(struct loop_source *s, uint32_t events)
{
	struct vsock *v = LOOP_OWNER(s, struct vsock, ports.source);
	struct vsock_flow *w;
	int r = 0;

	(void) events;
	for (int i = 0; i < ACCEPTS_MAX && r >= 0; i++) {
		r = accept_one(v, &v->ports, &w);
		if (r > 0)
			ask_for_port(v, w);
	}
	serve_receive(v);
}

/* --- from the guest --- */

/* A new socket for a forward, or NULL. */
static struct vsock_flow *open_forward(struct vsock *v, int forward)
{
	struct vsock_flow *w;
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return NULL;
	r = fdpass_send(forward, "C", 1, &pair[1], 1);
	(void) close(pair[1]);
	if (r < 0) {
		(void) close(pair[0]);
		return NULL;
	}
	w = vsock_flow_new(&v->flows, pair[0]);
	if (w && loop_add(v->base.loop, &w->source, pair[0], EDGE_TRIGGERS, flow_ready) < 0) {
		vsock_flow_free(w);
		return NULL;
	}
	return w;
}

static bool on_request(struct vsock *v, const struct virtio_vsock_hdr *h)
{
	struct vsock_flow *w = NULL;

	for (size_t i = 0; i < v->forwards_n && v->flows.free; i++)
		if (v->forwards[i].port == h->dst_port) {
			w = open_forward(v, v->forwards[i].fd);
			break;
		}
	if (!w)
		return false;
	vsock_flow_name(w, h->dst_port, h->src_port);
	w->state = VSOCK_OPEN;
	w->may_write = true;
	w->guest_space = h->buf_alloc;
	w->guest_forwarded = h->fwd_cnt;
	w->tell = VSOCK_TELL_RESPONSE;
	look(w);
	return true;
}

static bool on_response(struct vsock_flow *w)
{
	char line[32];
	int n = snprintf(line, sizeof(line), "OK %u\n", w->host_port);

	if (w->state != VSOCK_ASKED)
		return false;
	if (!w->tcp_port && send(w->fd, line, (size_t) n, MSG_DONTWAIT | MSG_NOSIGNAL) != n)
		return false;
	w->state = VSOCK_OPEN;
	w->may_write = true;
	return true;
}

/* As much as the socket takes at once, and the rest waits. */
static bool on_data(struct vsock *v, struct vsock_flow *w, const struct chain *c, uint32_t n)
{
	size_t parts = iovec_slice(c->out, c->out_n, HEADER_SIZE, n, v->parts);
	struct msghdr m = { .msg_iov = v->parts, .msg_iovlen = parts };
	size_t at = HEADER_SIZE;

	if (w->state == VSOCK_CLOSING)
		return true; /* nobody is there to read it */
	if (w->state != VSOCK_OPEN || w->guest_done || n > vsock_flow_room(w))
		return false;
	w->received += n;
	if (w->host_deaf) {
		w->forwarded = w->received;
		return true;
	}
	if (w->waiting_n == 0 && w->may_write && n > 0) {
		ssize_t r = sendmsg(w->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (r < 0 && errno != EAGAIN && errno != EINTR) {
			host_is_deaf(w);
			return true;
		}
		if (r > 0) {
			w->forwarded += (uint32_t) r;
			at += (size_t) r;
			n -= (uint32_t) r;
		}
	}
	parts = iovec_slice(c->out, c->out_n, at, n, v->parts);
	for (size_t i = 0; i < parts; i++)
		if (vsock_flow_keep(w, v->parts[i].iov_base, (uint32_t) v->parts[i].iov_len) < 0)
			return false;
	return flush(w);
}

/* false: the flow is gone, and the guest is told. */
static bool on_shutdown(struct vsock *v, struct vsock_flow *w, uint32_t flags)
{
	w->cut = !w->guest_done && (flags & VIRTIO_VSOCK_SHUTDOWN_RCV);
	if (flags & VIRTIO_VSOCK_SHUTDOWN_SEND)
		w->guest_done = true;
	if (flags & VIRTIO_VSOCK_SHUTDOWN_RCV)
		w->guest_deaf = true;
	if (w->guest_done && w->guest_deaf) {
		put_reset(v, w->host_port, w->guest_port, VIRTIO_VSOCK_TYPE_STREAM);
		part(w);
		return false;
	}
	if (w->state != VSOCK_OPEN)
		return true;
	if (w->guest_deaf)
		(void) shutdown(w->fd, SHUT_RD); /* fails where the other end is gone */
	return flush(w);
}

static void credit_from(struct vsock_flow *w, const struct virtio_vsock_hdr *h)
{
	w->guest_space = h->buf_alloc;
	w->guest_forwarded = h->fwd_cnt;
	if (vsock_flow_credit(w) > 0)
		w->asked_credit = false;
}

/* A packet of a flow. false: what it says has no place here. */
static bool on_packet(struct vsock *v, struct vsock_flow *w, const struct virtio_vsock_hdr *h,
		      const struct chain *c)
{
	bool ok = false;

	credit_from(w, h);
	switch ((enum virtio_vsock_op) h->op) {
	case VIRTIO_VSOCK_OP_RESPONSE:
		ok = on_response(w);
		break;
	case VIRTIO_VSOCK_OP_RW:
		ok = on_data(v, w, c, h->len);
		break;
	case VIRTIO_VSOCK_OP_SHUTDOWN:
		if (w->state == VSOCK_ASKED)
			return false;
		if (!on_shutdown(v, w, h->flags))
			return true;
		ok = true;
		break;
	case VIRTIO_VSOCK_OP_CREDIT_REQUEST:
		w->tell |= VSOCK_TELL_CREDIT;
		ok = true;
		break;
	case VIRTIO_VSOCK_OP_CREDIT_UPDATE:
		ok = true;
		break;
	case VIRTIO_VSOCK_OP_RST:
		part(w);
		return true;
	case VIRTIO_VSOCK_OP_REQUEST:
	case VIRTIO_VSOCK_OP_INVALID:
		break;
	}
	if (ok)
		look(w);
	return ok;
}

/* One packet of the guest's. What cannot be is answered with a reset, but resets are not. */
static bool one_sent(struct virtio_device *d, unsigned queue, struct chain *c)
{
	struct vsock *v = vsock_of(d);
	struct virtio_vsock_hdr h;
	struct vsock_flow *w;
	bool ok;

	if (chain_read(c, 0, &h, HEADER_SIZE) == HEADER_SIZE && h.src_cid == v->cid &&
	    h.len <= c->out_bytes - HEADER_SIZE) {
		w = h.dst_cid == VSOCK_CID_HOST && h.type == VIRTIO_VSOCK_TYPE_STREAM
			    ? vsock_flow_find(&v->flows, h.dst_port, h.src_port)
			    : NULL;
		d->stats.writes++;
		d->stats.write_bytes += h.len;
		if (w)
			ok = on_packet(v, w, &h, c);
		else
			ok = h.op == VIRTIO_VSOCK_OP_RST ||
			     (h.op == VIRTIO_VSOCK_OP_REQUEST && h.dst_cid == VSOCK_CID_HOST &&
			      h.type == VIRTIO_VSOCK_TYPE_STREAM && on_request(v, &h));
		if (!ok) {
			put_reset(v, h.dst_port, h.src_port, h.type);
			if (w)
				part(w);
		}
	} else {
		d->stats.errors++;
	}
	queue_push(&d->queues[queue], c->head, 0);
	return true;
}

/* --- events --- */

static void send_gone(struct vsock *v)
{
	const struct virtio_vsock_event gone = { .id = VIRTIO_VSOCK_EVENT_TRANSPORT_RESET };
	struct queue *q = &v->base.queues[EVENTS];
	struct chain *c = &v->base.chain;

	if (!virtio_pop(&v->base, EVENTS, c))
		return; /* once there is a buffer */
	if (chain_write(c, 0, &gone, sizeof(gone)) != sizeof(gone)) {
		virtio_broken(&v->base, EVENTS, "a buffer for an event has no room");
		return;
	}
	v->gone_due = false;
	v->mute = true;
	v->events_left = queue_waiting(q);
	queue_await_kick(q);
	queue_push(q, c->head, sizeof(gone));
	virtio_signal(&v->base, EVENTS);
}

static void serve_events(struct vsock *v)
{
	if (v->mute && queue_waiting(&v->base.queues[EVENTS]) != v->events_left)
		v->mute = false;
	if (v->gone_due)
		send_gone(v);
}

/* --- the device --- */

static uint64_t features(const struct virtio_device *d)
{
	(void) d;
	return 0; /* streams alone */
}

static void config_read(const struct virtio_device *d, uint32_t at, void *to, uint32_t n)
{
	const struct vsock *v = (const void *) d; /* its first member */
	const struct virtio_vsock_config config = { .guest_cid = v->cid };

	virtio_config_copy(&config, sizeof(config), at, to, n);
}

static void config_write(struct virtio_device *d, uint32_t at, const void *from, uint32_t n)
{
	(void) d, (void) at, (void) from, (void) n; /* nothing of it is the driver's to write */
}

static int activate(struct virtio_device *d, uint64_t taken, struct err *e)
{
	(void) d, (void) taken, (void) e; /* there is nothing to begin: the guest's buffers wait */
	return 0;
}

static void kick(struct virtio_device *d, unsigned queue)
{
	struct vsock *v = vsock_of(d);

	if (queue == TRANSMIT)
		virtio_serve(d, TRANSMIT, one_sent);
	else if (queue == EVENTS)
		serve_events(v);
	serve_receive(v);
}

/* Its connections end with this process's sockets: nothing of them is kept. */
static int restore(struct virtio_device *d, uint64_t taken, struct str state, struct err *e)
{
	vsock_of(d)->gone_due = vsock_of(d)->mute = true;
	return state.n ? virtio_bad_state(d, e) : activate(d, taken, e);
}

static void resume(struct virtio_device *d)
{
	struct vsock *v = vsock_of(d);

	if (v->gone_due)
		v->mute = false; /* but for the event, which comes first if there is room for it */
	kick(d, EVENTS);
	kick(d, TRANSMIT);
}

static void reset(struct virtio_device *d)
{
	struct vsock *v = vsock_of(d);

	for (size_t i = 0; i < VSOCK_FLOWS_MAX; i++)
		if (v->flows.all[i].state != VSOCK_FREE)
			vsock_flow_free(&v->flows.all[i]);
	v->resets_n = 0;
	v->gone_due = v->mute = false;
}

static void vsock_free(struct virtio_device *d)
{
	struct vsock *v = vsock_of(d);

	virtio_reset(d);
	vsock_flows_fini(&v->flows);
	stop_listening(&v->hosts);
	stop_listening(&v->ports);
	close_fd(&v->kept_fd);
	for (size_t i = 0; i < v->forwards_n; i++)
		close_fd(&v->forwards[i].fd);
	free(v);
}

static const struct virtio_ops ops = {
	.id = VIRTIO_ID_IS_VSOCK,
	.name = "vsock",
	.features = features,
	.config_read = config_read,
	.config_write = config_write,
	.activate = activate,
	.kick = kick,
	.reset = reset,
	.free = vsock_free,
	.save = virtio_save_nothing,
	.restore = restore,
	.resume = resume,
};

static int unblock(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
}

static int prepare(struct vsock *v, struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < v->forwards_n && r == 0; i++)
		r = unblock(v->forwards[i].fd);
	if (r < 0)
		return err_sys(e, -r, "vsock: a forward's descriptor");
	if (v->hosts.fd < 0)
		return 0;
	r = unblock(v->hosts.fd);
	if (r == 0)
		r = listen_on(v, &v->hosts);
	return r < 0 ? err_sys(e, -r, "vsock: the listening socket") : 0;
}

struct virtio_device *vsock_new(struct loop *loop, const struct guest_memory *memory, uint32_t cid,
				int listen_fd, const struct vsock_forward *forwards,
				size_t forwards_n, struct err *e)
{
	struct vsock *v = calloc(1, sizeof(*v));

	if (!v || forwards_n > VSOCK_FORWARDS_MAX || cid < VSOCK_CID_MIN ||
	    vsock_flows_init(&v->flows, v) < 0) {
		(void) err_set(e, v ? ERR_INVALID : ERR_EXHAUSTED, v ? EINVAL : ENOMEM,
			       "vsock: no such device can be: CID %u, %zu forwards", cid,
			       forwards_n);
		free(v);
		close_fd(&listen_fd);
		for (size_t i = 0; i < forwards_n; i++)
			(void) close(forwards[i].fd);
		return NULL;
	}
	virtio_init(&v->base, &ops, loop, memory, QUEUES, QUEUE_SIZE);
	v->cid = cid;
	v->hosts = (struct listening){ .fd = listen_fd, .source.fd = FD_NONE };
	v->ports = (struct listening){ .fd = FD_NONE, .source.fd = FD_NONE };
	v->kept_fd = FD_NONE;
	v->forwards_n = forwards_n;
	if (forwards_n)
		memcpy(v->forwards, forwards, forwards_n * sizeof(*forwards));
	if (prepare(v, e) < 0) {
		vsock_free(&v->base);
		return NULL;
	}
	return &v->base;
}

int vsock_offer_ports(struct virtio_device *d, uint32_t guest_port, int listen_fd, int kept_fd,
		      struct err *e)
{
	struct vsock *v = vsock_of(d);
	int r;

	close_fd(&v->kept_fd);
	stop_listening(&v->ports);
	v->ports.fd = listen_fd;
	v->kept_fd = kept_fd;
	v->ports_to = guest_port;
	r = unblock(listen_fd);
	if (r == 0)
		r = listen_on(v, &v->ports);
	return r < 0 ? err_sys(e, -r, "vsock: the listening socket of ports") : 0;
}
