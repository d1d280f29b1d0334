/* SPDX-License-Identifier: Apache-2.0 */
/* Datagrams: UDP of the stack. What finds no room is lost, as everywhere. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/auto.h"
#include "base/le.h"
#include "netstack/lwip.h"
#include "netstack/socket.h"
#include "netstack/stack.h"

#define PORT_TRIES 64
#define PIECES	   64	  /* of what came: more are copied together */
#define LONGEST	   65507u /* RFC 768, in a packet of IPv4 */

static void pair_send(const struct sock *s, unsigned char *head, struct pbuf *p)
{
	struct iovec v[PIECES + 1] = { { head, BROKER_DATAGRAM_BYTES } };
	struct msghdr m = { .msg_iov = v, .msg_iovlen = 1 };

	for (struct pbuf *k = p; k && m.msg_iovlen <= PIECES; k = k->next) {
		v[m.msg_iovlen].iov_base = k->payload;
		v[m.msg_iovlen++].iov_len = k->len;
	}
	(void) sendmsg(s->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL); /* or there is no room */
}

static void received(void *arg, struct udp_pcb *u, struct pbuf *p, const ip_addr_t *from,
		     u16_t port)
{
	unsigned char head[BROKER_DATAGRAM_BYTES] = {};
	const struct sock *s = arg;
	struct broker_address a;

	(void) u;
	sock_name(s, ntohl(ip_2_ip4(from)->addr), port, &a);
	store_le32(head, a.len);
	memcpy(head + 4, a.bytes, sizeof(a.bytes));
	memcpy(head + 4 + BROKER_ADDRESS, &ip4_current_dest_addr()->addr, 4);
	head[8 + BROKER_ADDRESS] = IPH_TTL(ip4_current_header());
	head[9 + BROKER_ADDRESS] = IPH_TOS(ip4_current_header());
	if (pbuf_clen(p) <= PIECES && s->fd >= 0 && !s->shut_in)
		pair_send(s, head, p);
	pbuf_free(p);
}

int datagram_open(struct sock *s)
{
	s->udp = udp_new_ip_type(IPADDR_TYPE_V4);
	if (!s->udp)
		return -ENOBUFS;
	udp_recv(s->udp, received, s);
	return 0;
}

void datagram_drop(struct sock *s)
{
	if (s->udp)
		udp_remove(TAKE(s->udp));
}

int datagram_bind(struct sock *s, uint32_t ip, uint16_t port)
{
	const ip_addr_t at = IPADDR4_INIT(htonl(ip));
	err_t r = ERR_USE;

	if (s->udp->local_port)
		return -EINVAL;
	if (port)
		r = udp_bind(s->udp, &at, port);
	for (int n = 0; !port && r == ERR_USE && n < PORT_TRIES; n++)
		r = udp_bind(s->udp, &at, stack_port());
	return -err_to_errno(r);
}

int datagram_connect(struct sock *s, uint32_t ip, uint16_t port)
{
	const ip_addr_t to = IPADDR4_INIT(htonl(ip));
	int r = 0;

	if (!port) {
		udp_disconnect(s->udp);
		return 0;
	}
	if (!s->udp->local_port)
		r = datagram_bind(s, 0, 0);
	return r < 0 ? r : -err_to_errno(udp_connect(s->udp, &to, port));
}

bool datagram_connected(const struct sock *s)
{
	return s->udp && s->udp->flags & UDP_FLAGS_CONNECTED;
}

int datagram_send(struct sock *s, uint32_t ip, uint16_t port, int hops, int class,
		  const unsigned char *data, size_t n)
{
	const ip_addr_t to = IPADDR4_INIT(htonl(ip));
	uint8_t ttl = s->udp->ttl, tos = s->udp->tos;
	struct pbuf *p;
	int r = 0;

	if (n > LONGEST)
		return -EMSGSIZE;
	if (!port && !datagram_connected(s))
		return -EDESTADDRREQ;
	if (!s->udp->local_port)
		r = datagram_bind(s, 0, 0);
	if (r < 0)
		return r;
	p = pbuf_alloc(PBUF_TRANSPORT, (u16_t) n, PBUF_RAM);
	if (!p)
		return -ENOBUFS;
	r = n ? -err_to_errno(pbuf_take(p, data, (u16_t) n)) : 0;
	if (hops > 0 && hops <= UINT8_MAX)
		s->udp->ttl = (u8_t) hops;
	if (class >= 0 && class <= UINT8_MAX)
		s->udp->tos = (u8_t) class;
	if (r == 0)
		r = -err_to_errno(port ? udp_sendto(s->udp, p, &to, port) : udp_send(s->udp, p));
	s->udp->ttl = ttl;
	s->udp->tos = tos;
	pbuf_free(p);
	return r < 0 ? r : (int) n;
}

/* What was written to the pair goes to whom it is connected. */
void datagram_pump(struct sock *s)
{
	static unsigned char bytes[BROKER_DATA];

	while (s->fd >= 0) {
		ssize_t n = recv(s->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return; /* nothing, or nobody: CLOSE comes */
		/* Where it cannot go it is lost. */
		(void) datagram_send(s, 0, 0, -1, -1, bytes, (size_t) n);
	}
}

uint16_t datagram_local(const struct sock *s)
{
	return s->udp->local_port;
}
