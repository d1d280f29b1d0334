/* SPDX-License-Identifier: Apache-2.0 */
#include "netstack/links.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/rtnetlink.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "netstack/stack.h"

enum { LOOPBACK = 1, OWN = 2, LOOPBACK_MTU = 65536, QUEUE = 1000 };

struct dump {
	unsigned char *to;
	size_t n, at; /* where the message that is written begins */
};

static void put(struct dump *d, const void *p, size_t n)
{
	size_t whole = NLMSG_ALIGN(n);

	if (LINKS_MOST - d->n < whole)
		return; /* it is of a bounded number of bounded messages: there is room */
	memset(d->to + d->n, 0, whole);
	memcpy(d->to + d->n, p, n);
	d->n += whole;
}

static void begin(struct dump *d, int type, const void *body, size_t n)
{
	const struct nlmsghdr h = { .nlmsg_type = (uint16_t) type, .nlmsg_flags = NLM_F_MULTI };

	d->at = d->n;
	put(d, &h, sizeof(h));
	put(d, body, n);
}

static void end(struct dump *d)
{
	uint32_t n = (uint32_t) (d->n - d->at);

	memcpy(d->to + d->at, &n, sizeof(n));
}

static void attribute(struct dump *d, int type, const void *p, size_t n)
{
	const struct rtattr a = { .rta_len = (uint16_t) RTA_LENGTH(n),
				  .rta_type = (uint16_t) type };

	put(d, &a, sizeof(a));
	put(d, p, n);
}

static void number(struct dump *d, int type, uint32_t v)
{
	attribute(d, type, &v, sizeof(v));
}

static void address(struct dump *d, int type, uint32_t ip)
{
	number(d, type, htonl(ip));
}

static unsigned char bits_of(uint32_t mask)
{
	return (unsigned char) __builtin_popcount(mask);
}

/* ---- the kinds ---- */

static void put_links(struct dump *d, const struct stack_interface *i)
{
	static const unsigned char none[6], all[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	const struct ifinfomsg lo = { .ifi_type = ARPHRD_LOOPBACK,
				      .ifi_index = LOOPBACK,
				      .ifi_flags = IFF_UP | IFF_LOOPBACK | IFF_RUNNING |
						   IFF_LOWER_UP };
	const struct ifinfomsg own = { .ifi_type = ARPHRD_ETHER,
				       .ifi_index = OWN,
				       .ifi_flags = IFF_UP | IFF_BROADCAST | IFF_RUNNING |
						    IFF_LOWER_UP };
	const unsigned char unknown = 0, up = 6, carrier = 1; /* IF_OPER_* */

	begin(d, RTM_NEWLINK, &lo, sizeof(lo));
	attribute(d, IFLA_IFNAME, "lo", sizeof("lo"));
	number(d, IFLA_MTU, LOOPBACK_MTU);
	number(d, IFLA_TXQLEN, QUEUE);
	attribute(d, IFLA_OPERSTATE, &unknown, 1);
	attribute(d, IFLA_CARRIER, &carrier, 1);
	attribute(d, IFLA_ADDRESS, none, sizeof(none));
	attribute(d, IFLA_BROADCAST, none, sizeof(none));
	end(d);
	if (!i->name[0])
		return;
	begin(d, RTM_NEWLINK, &own, sizeof(own));
	attribute(d, IFLA_IFNAME, i->name, strnlen(i->name, sizeof(i->name) - 1) + 1);
	number(d, IFLA_MTU, i->mtu);
	number(d, IFLA_TXQLEN, QUEUE);
	attribute(d, IFLA_OPERSTATE, &up, 1);
	attribute(d, IFLA_CARRIER, &carrier, 1);
	attribute(d, IFLA_ADDRESS, i->host.mac, sizeof(i->host.mac));
	attribute(d, IFLA_BROADCAST, all, sizeof(all));
	end(d);
}

static void put_address(struct dump *d, uint32_t index, uint32_t ip, uint32_t mask,
			unsigned char scope, const char *name)
{
	const struct ifaddrmsg m = { .ifa_family = AF_INET,
				     .ifa_prefixlen = bits_of(mask),
				     .ifa_flags = IFA_F_PERMANENT,
				     .ifa_scope = scope,
				     .ifa_index = index };

	begin(d, RTM_NEWADDR, &m, sizeof(m));
	address(d, IFA_ADDRESS, ip);
	address(d, IFA_LOCAL, ip);
	if (scope == RT_SCOPE_UNIVERSE && ~mask > 1)
		address(d, IFA_BROADCAST, ip | ~mask);
	attribute(d, IFA_LABEL, name, strlen(name) + 1);
	end(d);
}

static void put_route(struct dump *d, const struct stack_interface *i, const struct stack_route *r,
		      bool own)
{
	const struct rtmsg m = { .rtm_family = AF_INET,
				 .rtm_dst_len = bits_of(r->mask),
				 .rtm_table = RT_TABLE_MAIN,
				 .rtm_protocol = own ? RTPROT_KERNEL : RTPROT_BOOT,
				 .rtm_scope = r->gateway ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK,
				 .rtm_type = RTN_UNICAST };

	begin(d, RTM_NEWROUTE, &m, sizeof(m));
	number(d, RTA_TABLE, RT_TABLE_MAIN);
	if (r->mask)
		address(d, RTA_DST, r->to);
	if (r->gateway)
		address(d, RTA_GATEWAY, r->gateway);
	if (own)
		address(d, RTA_PREFSRC, i->host.ip);
	number(d, RTA_OIF, OWN);
	end(d);
}

static void put_routes(struct dump *d, const struct stack_interface *i)
{
	const struct stack_route near = { .to = i->host.ip & i->host.mask, .mask = i->host.mask };

	if (!i->host.has_ip)
		return;
	for (size_t n = 0; n < i->routes_n; n++)
		put_route(d, i, &i->routes[n], false);
	if (bits_of(i->host.mask) < 32)
		put_route(d, i, &near, true);
}

int64_t links_dump_of(const struct stack_interface *i, int kind, int family,
		      unsigned char to[static LINKS_MOST])
{
	struct dump d = { .to = to };
	bool v4 = family == 0 || family == AF_INET;

	switch (kind) {
	case RTM_GETLINK:
		put_links(&d, i);
		break;
	case RTM_GETADDR:
		if (v4)
			put_address(&d, LOOPBACK, INADDR_LOOPBACK, UINT32_C(0xff000000),
				    RT_SCOPE_HOST, "lo");
		if (v4 && i->host.has_ip)
			put_address(&d, OWN, i->host.ip, i->host.mask, RT_SCOPE_UNIVERSE, i->name);
		break;
	case RTM_GETROUTE:
		if (v4)
			put_routes(&d, i);
		break;
	case RTM_GETNEIGH:
	case RTM_GETRULE:
		break; /* it tells of none */
	default:
		return -EOPNOTSUPP;
	}
	return (int64_t) d.n;
}
