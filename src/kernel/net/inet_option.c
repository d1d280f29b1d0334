/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options of ip(7), ipv6(7), tcp(7) and udp(7). Most tell how packets are made and timed: where
 * there are none they are kept, told and change nothing, as on Linux's own loopback.
 */
#include <asm/socket.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/tcp.h>

#include "kernel/net/inet_sock.h"
#include "kernel/task/cred.h"

#define SECONDS_MOST	 32767 /* of keep-alive times */
#define LOOPBACK_SEGMENT 65483 /* what Linux's loopback of 64 KiB leaves to a segment */

struct option {
	int level, name;
	int32_t least, most, first;
};

/* Those that are numbers and are kept, in the order of inet_sock.options. */
static const struct option kept[] = {
	{ IPPROTO_TCP, TCP_NODELAY, 0, 1, 0 },
	{ IPPROTO_TCP, TCP_CORK, 0, 1, 0 },
	{ IPPROTO_TCP, TCP_KEEPIDLE, 1, SECONDS_MOST, 7200 },
	{ IPPROTO_TCP, TCP_KEEPINTVL, 1, SECONDS_MOST, 75 },
	{ IPPROTO_TCP, TCP_KEEPCNT, 1, 127, 9 },
	{ IPPROTO_TCP, TCP_SYNCNT, 1, 127, 6 },
	{ IPPROTO_TCP, TCP_LINGER2, -1, 120, 60 },
	{ IPPROTO_TCP, TCP_QUICKACK, 0, 1, 1 },
	{ IPPROTO_TCP, TCP_USER_TIMEOUT, 0, INT32_MAX, 0 },
	{ IPPROTO_TCP, TCP_NOTSENT_LOWAT, 0, INT32_MAX, 0 },
	{ IPPROTO_IP, IP_TOS, 0, 255, 0 },
	{ IPPROTO_IP, IP_TTL, 1, 255, 64 },
	{ IPPROTO_IP, IP_MTU_DISCOVER, 0, 5, 1 },
	{ IPPROTO_IPV6, IPV6_TCLASS, 0, 255, 0 },
	{ IPPROTO_IPV6, IPV6_UNICAST_HOPS, 0, 255, 64 },
	{ IPPROTO_IPV6, IPV6_MTU_DISCOVER, 0, 5, 1 },
};

_Static_assert(countof(kept) == INET_OPTIONS, "inet_sock.options has another size");

void inet_options_init(struct inet_sock *u)
{
	for (size_t n = 0; n < countof(kept); n++)
		u->options[n] = kept[n].first;
}

static bool has_level(const struct inet_sock *u, int level)
{
	switch (level) {
	case IPPROTO_IP:
		return true;
	case IPPROTO_IPV6:
		return u->socket.domain == AF_INET6;
	case IPPROTO_TCP:
		return inet_is_stream(u);
	default:
		return false;
	}
}

static int find(const struct inet_sock *u, int level, int name, size_t *ret)
{
	for (size_t n = 0; has_level(u, level) && n < countof(kept); n++) {
		if (kept[n].level == level && kept[n].name == name) {
			*ret = n;
			return 0;
		}
	}
	return -ENOPROTOOPT;
}

static bool is_v6_only(const struct inet_sock *u, int level, int name)
{
	return level == IPPROTO_IPV6 && name == IPV6_V6ONLY && u->socket.domain == AF_INET6;
}

int inet_get(struct socket *s, int level, int name, void *to, size_t *len)
{
	struct inet_sock *u = inet_of(s);
	int32_t value;
	size_t n;
	int r;

	if (level == SOL_SOCKET && name == SO_REUSEPORT) {
		value = u->reuse_port;
	} else if (is_v6_only(u, level, name)) {
		value = u->v6_only;
	} else if (level == IPPROTO_TCP && name == TCP_MAXSEG && inet_is_stream(u)) {
		value = u->state == INET_CONNECTED ? LOOPBACK_SEGMENT : 536;
	} else {
		r = find(u, level, name, &n);
		if (r < 0)
			return r;
		value = u->options[n];
	}
	*len = min_of(*len, sizeof(value));
	memcpy(to, &value, *len);
	return 0;
}

int inet_set(struct socket *s, const struct sock_actor *by, int level, int name, const void *value,
	     size_t len)
{
	struct inet_sock *u = inet_of(s);
	int32_t wish;
	size_t n;
	int r;

	(void) by;
	/* Of IP a byte is enough: ip(7). */
	if (len < sizeof(wish) && (level != IPPROTO_IP || len == 0))
		return -EINVAL;
	if (len < sizeof(wish))
		wish = *(const unsigned char *) value;
	else
		memcpy(&wish, value, sizeof(wish));
	if (level == SOL_SOCKET && name == SO_REUSEPORT) {
		u->reuse_port = wish != 0;
		return 0;
	}
	if (is_v6_only(u, level, name)) {
		/* Where it is bound would be another place. */
		if (tree_has(&u->by_port))
			return -EINVAL;
		u->v6_only = wish != 0;
		return 0;
	}
	r = find(u, level, name, &n);
	if (r < 0)
		return r;
	if (kept[n].least == 0 && kept[n].most == 1)
		wish = wish != 0;
	/* -1 is what it is at first. */
	if (wish == -1 && level != IPPROTO_TCP)
		wish = kept[n].first;
	if (wish < kept[n].least || wish > kept[n].most)
		return -EINVAL;
	u->options[n] = wish;
	return 0;
}
