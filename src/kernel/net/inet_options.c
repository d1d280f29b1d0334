/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options of tcp(7), ip(7) and ipv6(7). Most tell a stack how to treat a network and its losses:
 * between two sockets of one host they have no effect, on Linux no more than here, and are kept
 * with their values. Which those are is the table's; what is not there is -ENOPROTOOPT.
 */
#include <asm/socket.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/tcp.h>

#include "kernel/net/inet_sock.h"
#include "kernel/net/options.h"

#define LEVEL_TCP  6
#define LEVEL_IP   0
#define LEVEL_IPV6 41

#define LOOPBACK_MTU	65536
#define SEGMENT_MOST	65483 /* what Linux's loopback has for a packet's data */
#define SEGMENT_NONE	536   /* before there is a connection */
#define CONGESTION	"cubic"
#define CONGESTION_BITS 3 /* INET_ECN_MASK */

enum {
	TRUTH = 1,   /* anything but 0 is 1 */
	DEFAULT = 2, /* -1 is what it was at first */
	BYTE = 4,    /* of a packet's head; of a stream's without the bits of its congestion */
};

struct rule {
	int level, name;
	int32_t least, most, initial;
	unsigned int flags;
};

#define SWITCH(level, name, initial)                                                               \
	{                                                                                          \
		level, name, INT32_MIN, INT32_MAX, initial, TRUTH                                  \
	}

static const struct rule rules[INET_OPTIONS] = {
	[OPT_NODELAY] = SWITCH(LEVEL_TCP, TCP_NODELAY, 0),
	[OPT_CORK] = SWITCH(LEVEL_TCP, TCP_CORK, 0),
	[OPT_KEEPIDLE] = { LEVEL_TCP, TCP_KEEPIDLE, 1, 32767, 7200, 0 },
	[OPT_KEEPINTVL] = { LEVEL_TCP, TCP_KEEPINTVL, 1, 32767, 75, 0 },
	[OPT_KEEPCNT] = { LEVEL_TCP, TCP_KEEPCNT, 1, 127, 9, 0 },
	[OPT_SYNCNT] = { LEVEL_TCP, TCP_SYNCNT, 1, 127, 6, 0 },
	[OPT_LINGER2] = { LEVEL_TCP, TCP_LINGER2, INT32_MIN, INT32_MAX, 60, 0 },
	[OPT_DEFER_ACCEPT] = { LEVEL_TCP, TCP_DEFER_ACCEPT, INT32_MIN, INT32_MAX, 0, 0 },
	[OPT_WINDOW_CLAMP] = { LEVEL_TCP, TCP_WINDOW_CLAMP, 0, INT32_MAX, 0, 0 },
	[OPT_QUICKACK] = SWITCH(LEVEL_TCP, TCP_QUICKACK, 1),
	[OPT_USER_TIMEOUT] = { LEVEL_TCP, TCP_USER_TIMEOUT, 0, INT32_MAX, 0, 0 },
	[OPT_FASTOPEN] = { LEVEL_TCP, TCP_FASTOPEN, 0, INT32_MAX, 0, 0 },
	[OPT_NOTSENT_LOWAT] = { LEVEL_TCP, TCP_NOTSENT_LOWAT, INT32_MIN, INT32_MAX, 0, 0 },
	[OPT_TOS] = { LEVEL_IP, IP_TOS, INT32_MIN, INT32_MAX, 0, BYTE },
	[OPT_TTL] = { LEVEL_IP, IP_TTL, 1, 255, 64, DEFAULT },
	[OPT_PKTINFO] = SWITCH(LEVEL_IP, IP_PKTINFO, 0),
	[OPT_MTU_DISCOVER] = { LEVEL_IP, IP_MTU_DISCOVER, 0, 5, 1, 0 },
	[OPT_RECVERR] = SWITCH(LEVEL_IP, IP_RECVERR, 0),
	[OPT_RECVTTL] = SWITCH(LEVEL_IP, IP_RECVTTL, 0),
	[OPT_RECVTOS] = SWITCH(LEVEL_IP, IP_RECVTOS, 0),
	[OPT_FREEBIND] = SWITCH(LEVEL_IP, IP_FREEBIND, 0),
	[OPT_NO_PORT] = SWITCH(LEVEL_IP, IP_BIND_ADDRESS_NO_PORT, 0),
	[OPT_MULTICAST_TTL] = { LEVEL_IP, IP_MULTICAST_TTL, 0, 255, 1, DEFAULT },
	[OPT_MULTICAST_LOOP] = SWITCH(LEVEL_IP, IP_MULTICAST_LOOP, 1),
	[OPT_HOPS6] = { LEVEL_IPV6, IPV6_UNICAST_HOPS, 0, 255, 64, DEFAULT },
	[OPT_MULTICAST_HOPS6] = { LEVEL_IPV6, IPV6_MULTICAST_HOPS, 0, 255, 1, DEFAULT },
	[OPT_MULTICAST_LOOP6] = { LEVEL_IPV6, IPV6_MULTICAST_LOOP, 0, 1, 1, 0 },
	[OPT_MTU_DISCOVER6] = { LEVEL_IPV6, IPV6_MTU_DISCOVER, 0, 5, 1, 0 },
	[OPT_RECVERR6] = SWITCH(LEVEL_IPV6, IPV6_RECVERR, 0),
	[OPT_V6ONLY] = SWITCH(LEVEL_IPV6, IPV6_V6ONLY, 0),
	[OPT_PKTINFO6] = SWITCH(LEVEL_IPV6, IPV6_RECVPKTINFO, 0),
	[OPT_RECVHOPLIMIT6] = SWITCH(LEVEL_IPV6, IPV6_RECVHOPLIMIT, 0),
	[OPT_DONTFRAG6] = SWITCH(LEVEL_IPV6, IPV6_DONTFRAG, 0),
	[OPT_RECVTCLASS6] = SWITCH(LEVEL_IPV6, IPV6_RECVTCLASS, 0),
	[OPT_TCLASS6] = { LEVEL_IPV6, IPV6_TCLASS, 0, 255, 0, DEFAULT | BYTE },
	[OPT_FREEBIND6] = SWITCH(LEVEL_IPV6, IPV6_FREEBIND, 0),
};

void inet_options_init(struct inet_sock *u)
{
	for (size_t n = 0; n < INET_OPTIONS; n++)
		u->option[n] = rules[n].initial;
}

static bool has_level(const struct inet_sock *u, int level)
{
	return level == LEVEL_IP || level == SOL_SOCKET ||
	       (level == LEVEL_TCP && inet_is_stream(u)) ||
	       (level == LEVEL_IPV6 && u->socket.domain == AF_INET6);
}

/* INET_OPTIONS: it is none of these. */
static size_t find(int level, int name)
{
	size_t n = 0;

	while (n < INET_OPTIONS && (rules[n].level != level || rules[n].name != name))
		n++;
	return n;
}

static int answer(void *to, size_t *len, const void *value, size_t size)
{
	*len = min_of(*len, size);
	memcpy(to, value, *len);
	return 0;
}

static int answer_number(int level, void *to, size_t *len, int32_t value)
{
	unsigned char byte = (unsigned char) value;

	/* ip(7) has numbers of one byte, too. */
	if (level == LEVEL_IP && *len > 0 && *len < sizeof(value) && value >= 0 && value <= 255)
		return answer(to, len, &byte, sizeof(byte));
	return answer(to, len, &value, sizeof(value));
}

/* ---- outside ---- */

/* As set(2) has them: rooms are told doubled. */
static int32_t of_socket(const struct socket *s, int name)
{
	switch (name) {
	case SO_SNDBUF:
		return (int32_t) (s->send_room / 2);
	case SO_RCVBUF:
		return (int32_t) (s->receive_room / 2);
	case SO_RCVLOWAT:
		return (int32_t) s->low_water;
	default:
		return (int32_t) (s->flags >> name & 1);
	}
}

void inet_changed(struct socket *s, int name)
{
	/* With a time it would be waited for out there. */
	const int32_t linger[2] = { s->linger_on && !s->linger_seconds, 0 };
	const struct inet_sock *u = inet_of(s);
	int32_t value;

	if (name == SO_SNDBUFFORCE)
		name = SO_SNDBUF;
	else if (name == SO_RCVBUFFORCE)
		name = SO_RCVBUF;
	switch (name) {
	case SO_LINGER:
		if (u->out)
			(void) outside_ops()->set(u->out, SOL_SOCKET, name, linger, sizeof(linger),
						  true);
		return;
	case SO_SNDBUF:
	case SO_RCVBUF:
	case SO_RCVLOWAT:
	case SO_REUSEADDR:
	case SO_REUSEPORT:
	case SO_KEEPALIVE:
	case SO_BROADCAST:
	case SO_OOBINLINE:
	case SO_DONTROUTE:
		value = of_socket(s, name);
		if (u->out)
			(void) outside_ops()->set(u->out, SOL_SOCKET, name, &value, sizeof(value),
						  true);
		return;
	default:
		return;
	}
}

void inet_options_carry(struct inet_sock *u)
{
	static const int flags[] = { SO_REUSEADDR, SO_REUSEPORT, SO_KEEPALIVE,
				     SO_BROADCAST, SO_OOBINLINE, SO_DONTROUTE };
	struct socket *s = &u->socket;

	for (size_t n = 0; n < countof(flags); n++)
		if (s->flags >> flags[n] & 1)
			inet_changed(s, flags[n]);
	if (s->send_room != inet_send_room(u))
		inet_changed(s, SO_SNDBUF);
	if (s->receive_room != inet_receive_room(u))
		inet_changed(s, SO_RCVBUF);
	if (s->low_water != 1)
		inet_changed(s, SO_RCVLOWAT);
	if (s->linger_on)
		inet_changed(s, SO_LINGER);
	for (size_t n = 0; n < INET_OPTIONS; n++)
		if (u->option[n] != rules[n].initial && has_level(u, rules[n].level))
			(void) outside_ops()->set(u->out, rules[n].level, rules[n].name,
						  &u->option[n], sizeof(u->option[n]), true);
}

/* What the stack out there knows alone. */
static bool known_outside(int level, int name)
{
	return (level == LEVEL_TCP && (name == TCP_INFO || name == TCP_MAXSEG)) ||
	       (level == LEVEL_IP && name == IP_MTU) || (level == LEVEL_IPV6 && name == IPV6_MTU);
}

/* ---- asked ---- */

static bool connected(const struct inet_sock *u)
{
	return u->state == INET_ESTABLISHED || u->state == INET_FIN_WAIT ||
	       u->state == INET_CLOSE_WAIT;
}

static int get_info(const struct inet_sock *u, void *to, size_t *len)
{
	struct tcp_info i = { .tcpi_state = (unsigned char) u->state };
	size_t unsent = inet_stream_unsent(u);

	if (u->state == INET_LISTEN) {
		i.tcpi_unacked = u->backlog_used;
		i.tcpi_sacked = u->backlog_most;
		return answer(to, len, &i, sizeof(i));
	}
	i.tcpi_snd_mss = connected(u) ? SEGMENT_MOST : SEGMENT_NONE;
	i.tcpi_rcv_mss = i.tcpi_advmss = i.tcpi_snd_mss;
	i.tcpi_pmtu = connected(u) ? LOOPBACK_MTU : 0;
	i.tcpi_snd_cwnd = 10;
	i.tcpi_rcv_space = u->socket.receive_room;
	i.tcpi_notsent_bytes = (uint32_t) min_of(unsent, (size_t) UINT32_MAX);
	i.tcpi_bytes_sent = u->sent - unsent;
	i.tcpi_bytes_acked = i.tcpi_bytes_sent;
	i.tcpi_bytes_received = u->received;
	return answer(to, len, &i, sizeof(i));
}

static int get_tcp(const struct inet_sock *u, int name, void *to, size_t *len)
{
	char congestion[16] = CONGESTION;

	switch (name) {
	case TCP_INFO:
		return get_info(u, to, len);
	case TCP_MAXSEG:
		return answer_number(LEVEL_TCP, to, len,
				     connected(u) ? SEGMENT_MOST : SEGMENT_NONE);
	case TCP_CONGESTION:
		return answer(to, len, congestion, sizeof(congestion));
	default:
		return -ENOPROTOOPT;
	}
}

static int get_socket(const struct inet_sock *u, int name, void *to, size_t *len)
{
	static const struct sock_ucred nobody = { 0, UINT32_MAX, UINT32_MAX };

	switch (name) {
	case SO_REUSEPORT:
		return answer_number(SOL_SOCKET, to, len, u->socket.flags >> SO_REUSEPORT & 1);
	case SO_PEERCRED:
		return answer(to, len, &nobody, sizeof(nobody));
	default:
		return -ENOPROTOOPT;
	}
}

int inet_get(struct socket *s, int level, int name, void *to, size_t *len)
{
	const struct inet_sock *u = inet_of(s);
	size_t n = find(level, name);

	if (!has_level(u, level))
		return -ENOPROTOOPT;
	if (n < INET_OPTIONS)
		return answer_number(level, to, len, u->option[n]);
	if (u->out && known_outside(level, name) && (u->out_peer || u->socket.ops != inet_ops()))
		return outside_ops()->get(u->out, level, name, to, len);
	if (level == SOL_SOCKET)
		return get_socket(u, name, to, len);
	if (level == LEVEL_TCP)
		return get_tcp(u, name, to, len);
	if ((level == LEVEL_IP && name == IP_MTU) || (level == LEVEL_IPV6 && name == IPV6_MTU))
		return connected(u) ? answer_number(level, to, len, LOOPBACK_MTU) : -ENOTCONN;
	return -ENOPROTOOPT;
}

/* ---- set ---- */

static int set_other(int level, int name, const void *value, size_t len)
{
	static const char congestion[] = CONGESTION;

	switch (level) {
	case LEVEL_TCP:
		if (name == TCP_CONGESTION)
			return len >= sizeof(congestion) - 1 && memcmp(value, congestion,
								       sizeof(congestion) - 1) == 0
				       ? 0
				       : -ENOENT;
		return name == TCP_ULP ? -ENOENT : -ENOPROTOOPT;
	case LEVEL_IP:
		/* The loopback is in no group. */
		return name == IP_ADD_MEMBERSHIP || name == MCAST_JOIN_GROUP ? -ENODEV
									     : -ENOPROTOOPT;
	case LEVEL_IPV6:
		return name == IPV6_ADD_MEMBERSHIP || name == MCAST_JOIN_GROUP ? -ENODEV
									       : -ENOPROTOOPT;
	default:
		return -ENOPROTOOPT;
	}
}

static int number_of(int level, const void *value, size_t len, int32_t *ret)
{
	if (len >= sizeof(*ret)) {
		memcpy(ret, value, sizeof(*ret));
		return 0;
	}
	if (level != LEVEL_IP || len == 0)
		return -EINVAL;
	*ret = *(const unsigned char *) value;
	return 0;
}

/* Groups are of interfaces, and these are outside. */
static bool is_of_groups(int level, int name)
{
	return (level == LEVEL_IP && (name == IP_ADD_MEMBERSHIP || name == IP_DROP_MEMBERSHIP ||
				      name == IP_MULTICAST_IF)) ||
	       (level == LEVEL_IPV6 && (name == IPV6_ADD_MEMBERSHIP ||
					name == IPV6_DROP_MEMBERSHIP || name == IPV6_MULTICAST_IF));
}

int inet_set(struct socket *s, const struct sock_actor *by, int level, int name, const void *value,
	     size_t len)
{
	struct inet_sock *u = inet_of(s);
	size_t n = find(level, name);
	int32_t v;
	int r;

	(void) by;
	if (!has_level(u, level))
		return -ENOPROTOOPT;
	if (outside_ops() && !inet_is_stream(u) && is_of_groups(level, name)) {
		r = inet_outside_open(u);
		return r < 0 ? r : outside_ops()->set(u->out, level, name, value, len, false);
	}
	if (n == INET_OPTIONS && !(level == SOL_SOCKET && name == SO_REUSEPORT))
		return set_other(level, name, value, len);
	r = number_of(level, value, len, &v);
	if (r < 0)
		return r;
	if (n == INET_OPTIONS) {
		s->flags = v ? s->flags | 1u << SO_REUSEPORT : s->flags & ~(1u << SO_REUSEPORT);
		inet_changed(s, SO_REUSEPORT);
		return 0;
	}
	if (n == OPT_V6ONLY && u->local.port)
		return -EINVAL;
	if (v == -1 && rules[n].flags & DEFAULT)
		v = rules[n].initial;
	else if (rules[n].flags & TRUTH)
		v = v != 0;
	else if (v < rules[n].least || v > rules[n].most)
		return -EINVAL;
	if (rules[n].flags & BYTE) {
		v &= 0xff;
		if (inet_is_stream(u))
			v = (v & ~CONGESTION_BITS) | (u->option[n] & CONGESTION_BITS);
	}
	if (u->out) {
		r = outside_ops()->set(u->out, level, name, &v, sizeof(v), false);
		if (r < 0 && r != -ENOPROTOOPT)
			return r;
	}
	u->option[n] = v;
	return 0;
}
