/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/options.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#define VALUE_MOST 512

enum { READ = 1, WRITE = 2, BOTH = 3 };

static const struct {
	int level, name;
	unsigned int may;
} table[] = {
	{ SOL_SOCKET, SO_ERROR, READ },
	{ SOL_SOCKET, SO_REUSEADDR, BOTH },
	{ SOL_SOCKET, SO_REUSEPORT, BOTH },
	{ SOL_SOCKET, SO_KEEPALIVE, BOTH },
	{ SOL_SOCKET, SO_BROADCAST, BOTH },
	{ SOL_SOCKET, SO_OOBINLINE, BOTH },
	{ SOL_SOCKET, SO_DONTROUTE, BOTH },
	{ SOL_SOCKET, SO_SNDBUF, BOTH },
	{ SOL_SOCKET, SO_RCVBUF, BOTH },
	{ SOL_SOCKET, SO_RCVLOWAT, BOTH },
	{ SOL_SOCKET, SO_LINGER, BOTH },
	{ IPPROTO_TCP, TCP_NODELAY, BOTH },
	{ IPPROTO_TCP, TCP_MAXSEG, BOTH },
	{ IPPROTO_TCP, TCP_CORK, BOTH },
	{ IPPROTO_TCP, TCP_KEEPIDLE, BOTH },
	{ IPPROTO_TCP, TCP_KEEPINTVL, BOTH },
	{ IPPROTO_TCP, TCP_KEEPCNT, BOTH },
	{ IPPROTO_TCP, TCP_SYNCNT, BOTH },
	{ IPPROTO_TCP, TCP_LINGER2, BOTH },
	{ IPPROTO_TCP, TCP_DEFER_ACCEPT, BOTH },
	{ IPPROTO_TCP, TCP_WINDOW_CLAMP, BOTH },
	{ IPPROTO_TCP, TCP_QUICKACK, BOTH },
	{ IPPROTO_TCP, TCP_USER_TIMEOUT, BOTH },
	{ IPPROTO_TCP, TCP_NOTSENT_LOWAT, BOTH },
	{ IPPROTO_TCP, TCP_CONGESTION, READ },
	{ IPPROTO_TCP, TCP_INFO, READ },
	{ IPPROTO_IP, IP_TOS, BOTH },
	{ IPPROTO_IP, IP_TTL, BOTH },
	{ IPPROTO_IP, IP_PKTINFO, BOTH },
	{ IPPROTO_IP, IP_MTU_DISCOVER, BOTH },
	{ IPPROTO_IP, IP_RECVTTL, BOTH },
	{ IPPROTO_IP, IP_RECVTOS, BOTH },
	{ IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, BOTH },
	{ IPPROTO_IP, IP_MULTICAST_TTL, BOTH },
	{ IPPROTO_IP, IP_MULTICAST_LOOP, BOTH },
	{ IPPROTO_IP, IP_MULTICAST_IF, BOTH },
	{ IPPROTO_IP, IP_ADD_MEMBERSHIP, WRITE },
	{ IPPROTO_IP, IP_DROP_MEMBERSHIP, WRITE },
	{ IPPROTO_IP, IP_MTU, READ },
	{ IPPROTO_IPV6, IPV6_UNICAST_HOPS, BOTH },
	{ IPPROTO_IPV6, IPV6_MULTICAST_HOPS, BOTH },
	{ IPPROTO_IPV6, IPV6_MULTICAST_LOOP, BOTH },
	{ IPPROTO_IPV6, IPV6_MULTICAST_IF, BOTH },
	{ IPPROTO_IPV6, IPV6_JOIN_GROUP, WRITE },
	{ IPPROTO_IPV6, IPV6_LEAVE_GROUP, WRITE },
	{ IPPROTO_IPV6, IPV6_MTU_DISCOVER, BOTH },
	{ IPPROTO_IPV6, IPV6_MTU, READ },
	{ IPPROTO_IPV6, IPV6_V6ONLY, BOTH },
	{ IPPROTO_IPV6, IPV6_RECVPKTINFO, BOTH },
	{ IPPROTO_IPV6, IPV6_RECVHOPLIMIT, BOTH },
	{ IPPROTO_IPV6, IPV6_DONTFRAG, BOTH },
	{ IPPROTO_IPV6, IPV6_RECVTCLASS, BOTH },
	{ IPPROTO_IPV6, IPV6_TCLASS, BOTH },
};

static unsigned int may(int level, int name)
{
	for (size_t n = 0; n < sizeof(table) / sizeof(table[0]); n++)
		if (table[n].level == level && table[n].name == name)
			return table[n].may;
	return 0;
}

int options_get(int fd, int level, int name, int room, unsigned char *out, size_t *ret_n)
{
	socklen_t n = room > VALUE_MOST ? VALUE_MOST : (socklen_t) room;

	if (room < 0)
		return -EINVAL;
	if (!(may(level, name) & READ))
		return -ENOPROTOOPT;
	if (getsockopt(fd, level, name, out, &n) < 0)
		return -errno;
	*ret_n = n;
	return 0;
}

int options_set(int fd, int level, int name, const unsigned char *value, size_t n)
{
	struct linger l;

	if (!(may(level, name) & WRITE))
		return -ENOPROTOOPT;
	if (n > VALUE_MOST)
		return -EINVAL;
	/* With a time a close would wait, here for all. Without one it is a reset. */
	if (level == SOL_SOCKET && name == SO_LINGER) {
		if (n < sizeof(l))
			return -EINVAL;
		memcpy(&l, value, sizeof(l));
		if (l.l_onoff && l.l_linger)
			return -EINVAL;
	}
	return setsockopt(fd, level, name, value, (socklen_t) n) < 0 ? -errno : 0;
}
