/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses: as the guest writes them, what they are, and where they lead. */
#include <linux/in.h>
#include <linux/in6.h>

#include "kernel/net/inet_sock.h"

#define SHORT_IN6 24 /* RFC 2133's, without a scope: Linux takes it, too */

static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };
static const struct inet_ip loopback4 = { { [10] = 0xff, [11] = 0xff, 127, 0, 0, 1 } };
static const struct inet_ip loopback6 = { { [15] = 1 } };
static const struct inet_ip none4 = { { [10] = 0xff, [11] = 0xff } };
static const struct inet_ip none6;

bool inet_ip_equal(const struct inet_ip *a, const struct inet_ip *b)
{
	return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

bool inet_ip_is4(const struct inet_ip *ip)
{
	return memcmp(ip->b, mapped, sizeof(mapped)) == 0;
}

bool inet_ip_any(const struct inet_ip *ip)
{
	return inet_ip_equal(ip, &none4) || inet_ip_equal(ip, &none6);
}

bool inet_ip_local(const struct inet_ip *ip)
{
	return inet_ip_is4(ip) ? ip->b[12] == 127 : inet_ip_equal(ip, &loopback6);
}

struct inet_ip inet_ip_none(int domain)
{
	return domain == AF_INET ? none4 : none6;
}

bool inet_ip_covers(const struct inet_sock *u, const struct inet_ip *to)
{
	const struct inet_ip *at = &u->local.ip;

	if (inet_ip_equal(at, &none6))
		return !u->option[OPT_V6ONLY] || !inet_ip_is4(to);
	return inet_ip_equal(at, &none4) ? inet_ip_is4(to) : inet_ip_equal(at, to);
}

static uint16_t port_of(const struct sock_address *a)
{
	return (uint16_t) (a->bytes[2] << 8 | a->bytes[3]);
}

static int parse4(const struct sock_address *a, struct inet_address *ret)
{
	if (a->len < sizeof(struct sockaddr_in))
		return -EINVAL;
	ret->ip = none4;
	memcpy(ret->ip.b + 12, a->bytes + offsetof(struct sockaddr_in, sin_addr), 4);
	ret->port = port_of(a);
	return 0;
}

int inet_parse(const struct inet_sock *u, const struct sock_address *a, bool either,
	       struct inet_address *ret)
{
	const size_t at = offsetof(struct sockaddr_in6, sin6_addr);
	bool v6 = u->socket.domain == AF_INET6;

	if (a->len < sizeof(a->family))
		return -EINVAL;
	if (a->family == AF_INET && (!v6 || either))
		return parse4(a, ret);
	if (a->len < (v6 ? SHORT_IN6 : sizeof(struct sockaddr_in)))
		return -EINVAL;
	if (!v6 || a->family != AF_INET6)
		return -EAFNOSUPPORT;
	memcpy(ret->ip.b, a->bytes + at, sizeof(ret->ip.b));
	ret->port = port_of(a);
	return 0;
}

void inet_tell(int domain, const struct inet_address *from, struct sock_address *ret)
{
	*ret = (struct sock_address){ .len = sizeof(struct sockaddr_in), .family = AF_INET };
	ret->bytes[2] = (unsigned char) (from->port >> 8);
	ret->bytes[3] = (unsigned char) from->port;
	if (domain == AF_INET) {
		memcpy(ret->bytes + offsetof(struct sockaddr_in, sin_addr), from->ip.b + 12, 4);
		return;
	}
	ret->family = AF_INET6;
	ret->len = sizeof(struct sockaddr_in6);
	memcpy(ret->bytes + offsetof(struct sockaddr_in6, sin6_addr), from->ip.b,
	       sizeof(from->ip.b));
}

int inet_route(const struct inet_sock *u, struct inet_ip *to, struct inet_ip *ret_from)
{
	const struct inet_ip *own = &u->local.ip;
	bool bound = !inet_ip_any(own);

	/* This host: as who sends is bound, or its loopback. */
	if (inet_ip_equal(to, &none4))
		*to = bound && inet_ip_is4(own) ? *own : loopback4;
	else if (inet_ip_equal(to, &none6))
		*to = inet_ip_is4(own) ? loopback4 : loopback6;
	if (!inet_ip_local(to) || (inet_ip_is4(to) && u->option[OPT_V6ONLY]))
		return -ENETUNREACH;
	if (bound || inet_ip_is4(own)) {
		if (inet_ip_is4(own) != inet_ip_is4(to))
			return -ENETUNREACH;
	}
	/* Linux's source for all of 127.0.0.0/8 is its first address. */
	*ret_from = bound ? *own : inet_ip_is4(to) ? loopback4 : loopback6;
	return 0;
}
