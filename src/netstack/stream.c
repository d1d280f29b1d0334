/* SPDX-License-Identifier: Apache-2.0 */
/* Streams: TCP of the stack. A callback of lwIP's that has aborted its block says ERR_ABRT. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/auto.h"
#include "netstack/lwip.h"
#include "netstack/socket.h"
#include "netstack/stack.h"

#define PORT_TRIES  64
#define POLL_HALVES 4  /* of a second: when what had no memory is tried again */
#define PIECES_LEFT 16 /* of a block's queue: the library fails beyond, we stop before */

/* ---- its block ---- */

/* Nothing of it comes here any more. */
static struct tcp_pcb *detach(struct sock *s)
{
	struct tcp_pcb *p = TAKE(s->tcp);

	if (!p)
		return NULL;
	tcp_arg(p, NULL);
	if (s->listening) {
		tcp_accept(p, NULL);
		return p;
	}
	tcp_recv(p, NULL);
	tcp_sent(p, NULL);
	tcp_err(p, NULL);
	tcp_poll(p, NULL, 0);
	return p;
}

static void drop_in(struct sock *s)
{
	struct pbuf *in = TAKE(s->in);

	if (in)
		pbuf_free(in);
}

void stream_drop(struct sock *s)
{
	struct tcp_pcb *p = detach(s);

	drop_in(s);
	if (p && s->listening)
		(void) tcp_close(p); /* of one that listens it cannot fail */
	else if (p)
		tcp_abort(p);
}

/* What was sent goes on its way; ERR_ABRT: it could not. */
static err_t let_go(struct sock *s)
{
	struct tcp_pcb *p;

	if (s->reset) {
		stream_drop(s);
		return ERR_ABRT;
	}
	p = detach(s);
	drop_in(s);
	if (!p || tcp_close(p) == ERR_OK)
		return ERR_OK;
	tcp_abort(p);
	return ERR_ABRT;
}

/* ---- bytes ---- */

/* What came, to the pair. */
static void push(struct sock *s)
{
	while (s->in) {
		ssize_t n = send(s->fd, s->in->payload, s->in->len, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < 0) /* nobody reads it: what is left counts as read */
			n = s->in->tot_len;
		if (s->tcp)
			tcp_recved(s->tcp, (u16_t) n);
		s->in = n < s->in->tot_len ? pbuf_free_header(s->in, (u16_t) n)
					   : (pbuf_free(s->in), NULL);
	}
	if ((s->end_in || s->shut_in) && !s->end_told) {
		s->end_told = true;
		/* With both ends out the pair is closed, and who looks sees both at once. */
		if (!s->end_out)
			(void) shutdown(s->fd, SHUT_WR); /* the other end may be closed */
	}
}

static size_t room(const struct sock *s)
{
	size_t bytes = tcp_sndbuf(s->tcp), queued = tcp_sndqueuelen(s->tcp), pieces;

	if (queued + PIECES_LEFT >= TCP_SND_QUEUELEN)
		return 0;
	pieces = (TCP_SND_QUEUELEN - PIECES_LEFT - queued) / 2 * tcp_mss(s->tcp);
	return bytes < pieces ? bytes : pieces;
}

/* What the asker wrote, to the stack. False: it hung up, or there is no memory. */
static bool pull(struct sock *s)
{
	static unsigned char bytes[TCP_SND_BUF];
	bool wrote = false;

	while (room(s) > 0) {
		ssize_t n = recv(s->fd, bytes, room(s), MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			if (s->end_wanted)
				s->end_out = tcp_shutdown(s->tcp, 0, 1) == ERR_OK; /* or later */
			break;
		}
		if (n <= 0)
			return false;
		if (tcp_write(s->tcp, bytes, (u16_t) n, TCP_WRITE_FLAG_COPY) != ERR_OK) {
			s->reset = true; /* it would miss some */
			return false;
		}
		wrote = true;
	}
	if (wrote)
		(void) tcp_output(s->tcp); /* the library's timer tries again */
	return true;
}

static err_t pump(struct sock *s)
{
	err_t r = ERR_OK;

	if (s->fd < 0 || !s->connected)
		return ERR_OK;
	push(s);
	if (!s->tcp)
		return ERR_OK;
	if (!s->end_out && !pull(s)) {
		r = let_go(s);
		sock_ended(s, 0);
	} else if (s->end_out && s->end_told && !s->in) {
		r = let_go(s);
		sock_ended(s, 0);
	}
	return r;
}

void stream_pump(struct sock *s)
{
	(void) pump(s); /* for callbacks of the library alone */
}

/* ---- what the stack tells ---- */

static err_t received(void *arg, struct tcp_pcb *p, struct pbuf *b, err_t error)
{
	struct sock *s = arg;

	(void) p, (void) error; /* it is always ERR_OK */
	if (!b) {
		s->end_in = true;
	} else if (s->shut_in) {
		tcp_recved(s->tcp, b->tot_len);
		pbuf_free(b);
	} else if (s->in) {
		pbuf_cat(s->in, b);
	} else {
		s->in = b;
	}
	return pump(s);
}

static err_t sent(void *arg, struct tcp_pcb *p, u16_t n)
{
	(void) p, (void) n;
	return pump(arg);
}

static err_t again(void *arg, struct tcp_pcb *p)
{
	(void) p;
	return pump(arg);
}

/* The block is gone. */
static void failed(void *arg, err_t error)
{
	struct sock *s = arg;
	int number = 0;

	s->tcp = NULL;
	switch (error) {
	case ERR_RST:
		number = s->connecting ? ECONNREFUSED : ECONNRESET;
		break;
	case ERR_CLSD:
		s->end_in = true; /* both sides have said so */
		break;
	default:
		number = ETIMEDOUT;
		break;
	}
	s->connecting = false;
	if (s->fd >= 0)
		push(s);
	drop_in(s);
	sock_ended(s, number);
}

static err_t connected(void *arg, struct tcp_pcb *p, err_t error)
{
	struct sock *s = arg;

	(void) p, (void) error; /* always ERR_OK */
	s->connecting = false;
	s->connected = true;
	sock_tell(s);
	return pump(s);
}

static void watch(struct sock *s)
{
	tcp_arg(s->tcp, s);
	tcp_recv(s->tcp, received);
	tcp_sent(s->tcp, sent);
	tcp_err(s->tcp, failed);
	tcp_poll(s->tcp, again, POLL_HALVES);
}

void stream_options(struct sock *s)
{
	if (!s->tcp || s->listening)
		return;
	if (s->nodelay)
		tcp_nagle_disable(s->tcp);
	else
		tcp_nagle_enable(s->tcp);
	if (s->idle_s)
		s->tcp->keep_idle = s->idle_s * 1000;
	if (s->interval_s)
		s->tcp->keep_intvl = s->interval_s * 1000;
	if (s->probes)
		s->tcp->keep_cnt = s->probes;
}

static err_t arrived(void *arg, struct tcp_pcb *p, err_t error)
{
	struct sock *l = arg, *s, **end;

	if (!l || !p || error != ERR_OK)
		return ERR_VAL;
	s = l->queued < l->queue_most ? sock_new(l->table, l->domain, POLICY_TCP) : NULL;
	if (!s) {
		tcp_abort(p);
		return ERR_ABRT;
	}
	s->tcp = p;
	s->connected = true;
	s->nodelay = l->nodelay;
	s->idle_s = l->idle_s;
	s->interval_s = l->interval_s;
	s->probes = l->probes;
	watch(s);
	stream_options(s);
	s->listener = l;
	for (end = &l->queue; *end;)
		end = &(*end)->queue_next;
	*end = s;
	l->queued++;
	sock_tell(l);
	return ERR_OK;
}

/* ---- requests ---- */

int stream_open(struct sock *s)
{
	s->tcp = tcp_new_ip_type(IPADDR_TYPE_V4);
	if (!s->tcp)
		return -ENOBUFS;
	watch(s);
	return 0;
}

static err_t bind_at(struct sock *s, uint32_t ip, uint16_t port)
{
	const ip_addr_t at = IPADDR4_INIT(htonl(ip));

	return tcp_bind(s->tcp, &at, port);
}

int stream_bind(struct sock *s, uint32_t ip, uint16_t port)
{
	err_t r = ERR_USE;

	if (!s->tcp || s->bound || s->connected || s->connecting)
		return -EINVAL;
	if (port)
		r = bind_at(s, ip, port);
	for (int n = 0; !port && r == ERR_USE && n < PORT_TRIES; n++)
		r = bind_at(s, ip, stack_port());
	s->bound = r == ERR_OK;
	return -err_to_errno(r);
}

int stream_connect(struct sock *s, uint32_t ip, uint16_t port)
{
	const ip_addr_t to = IPADDR4_INIT(htonl(ip));
	int r;

	if (s->connecting)
		return -EALREADY;
	if (s->connected || s->listening)
		return -EISCONN;
	if (!s->tcp)
		return -EINVAL;
	if (!s->tcp->local_port) {
		r = stream_bind(s, 0, 0);
		s->bound = false; /* no policy has seen it */
		if (r < 0)
			return r == -EADDRINUSE ? -EADDRNOTAVAIL : r;
	}
	s->connecting = true;
	r = -err_to_errno(tcp_connect(s->tcp, &to, port, connected));
	if (r < 0)
		s->connecting = false;
	return r < 0 ? r : -EINPROGRESS;
}

int stream_listen(struct sock *s, int backlog)
{
	struct tcp_pcb *l;
	err_t r = ERR_MEM;

	if (!s->tcp || s->connected || s->connecting)
		return -EINVAL;
	s->queue_most = backlog < 1			? 1
			: backlog > (int) SOCKETS_QUEUE ? SOCKETS_QUEUE
							: (size_t) backlog;
	if (s->listening)
		return 0;
	l = tcp_listen_with_backlog_and_err(s->tcp, UINT8_MAX, &r);
	if (!l)
		return -err_to_errno(r);
	s->tcp = l;
	s->listening = true;
	tcp_arg(l, s);
	tcp_accept(l, arrived);
	return 0;
}

struct sock *stream_accept(struct sock *s)
{
	struct sock *first = s->queue;

	if (!first)
		return NULL;
	s->queue = TAKE(first->queue_next);
	s->queued--;
	first->listener = NULL;
	sock_tell(s);
	return first;
}

int stream_shut(struct sock *s, bool in, bool out)
{
	if (s->listening)
		return in ? 0 : -ENOTCONN;
	if (!s->connected)
		return -ENOTCONN;
	s->shut_in = s->shut_in || in;
	s->end_wanted = s->end_wanted || out;
	(void) pump(s);
	return 0;
}

void stream_close(struct sock *s)
{
	if (s->connected && s->tcp && !s->reset && !s->end_out)
		(void) pump(s); /* it ends where its end of the pair was read to its end */
	else {
		(void) let_go(s);
		sock_free(s);
	}
}

uint16_t stream_local(const struct sock *s)
{
	return s->tcp ? s->tcp->local_port : 0;
}

bool stream_peer(const struct sock *s, uint32_t *ret_ip, uint16_t *ret_port)
{
	if (!s->tcp || s->listening || !s->connected)
		return false;
	*ret_ip = ntohl(ip_2_ip4(&s->tcp->remote_ip)->addr);
	*ret_port = s->tcp->remote_port;
	return true;
}
