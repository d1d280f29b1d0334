/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/interface.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "base/num.h"
#include "base/str.h"
#include "sys/netlink.h"

#define ADDRESSES_MAX 64 /* of one interface */
#define ROUTES_MAX    256

/* An address alone: its family, or 0. */
static uint8_t parse_plain(struct str s, uint8_t ret[static 16])
{
	char text[INET6_ADDRSTRLEN];

	if (s.n >= sizeof(text))
		return 0;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	if (inet_pton(AF_INET, text, ret) == 1)
		return AF_INET;
	return inet_pton(AF_INET6, text, ret) == 1 ? AF_INET6 : 0;
}

/* "10.0.0.2/24"; without a prefix the whole address. */
static uint8_t parse_prefixed(const char *z, uint8_t ret[static 16], uint8_t *ret_prefix)
{
	struct str rest, address = str_cut(str_of(z), '/', &rest);
	uint8_t family = parse_plain(address, ret);
	uint32_t longest = family == AF_INET ? 32 : 128, prefix = longest;

	if (!family || (rest.p && num_parse_u32(rest, 0, longest, &prefix) < 0))
		return 0;
	*ret_prefix = (uint8_t) prefix;
	return family;
}

static int bad(struct err *e, const char *what, const char *text)
{
	return err_set(e, ERR_INVALID, EINVAL, "'%.60s' is no %s", text, what);
}

static int add_address(int sock, int index, const struct agent_address *m, struct err *e)
{
	struct netlink_address a = { .present = 1u << IFA_LOCAL | 1u << IFA_ADDRESS };
	int r;

	a.family = parse_prefixed(m->address, a.local, &a.prefix);
	if (!a.family)
		return bad(e, "address", m->address);
	a.n = a.family == AF_INET ? 4 : 16;
	memcpy(a.address, a.local, sizeof(a.address));
	if (*m->peer && parse_plain(str_of(m->peer), a.address) != a.family)
		return bad(e, "peer's address", m->peer);
	if (*m->broadcast) {
		if (parse_plain(str_of(m->broadcast), a.broadcast) != a.family)
			return bad(e, "broadcast address", m->broadcast);
		a.present |= 1u << IFA_BROADCAST;
	}
	/* A kernel has made sure before that nobody else has it. */
	a.flags = a.family == AF_INET6 ? IFA_F_NODAD : 0;
	r = netlink_address_add(sock, index, &a);
	return r < 0 && r != -EEXIST ? err_sys(e, -r, "address %.60s", m->address) : 0;
}

static int add_route(int sock, int index, const struct agent_route *m, struct err *e)
{
	struct netlink_route t = { .metric = (uint32_t) m->metric,
				   .scope = (uint8_t) m->scope,
				   .on_link = m->on_link };
	uint8_t family;
	int r;

	if (*m->gateway) {
		t.family = parse_plain(str_of(m->gateway), t.gateway);
		t.present |= 1u << RTA_GATEWAY;
		if (!t.family)
			return bad(e, "gateway's address", m->gateway);
	}
	if (*m->to) {
		family = parse_prefixed(m->to, t.to, &t.prefix);
		if (!family || (t.family && t.family != family))
			return bad(e, "destination of a route", m->to);
		t.family = family;
		t.present |= t.prefix ? 1u << RTA_DST : 0;
	}
	if (!t.family)
		return err_set(e, ERR_INVALID, EINVAL, "a route that leads nowhere");
	if (*m->source) {
		if (parse_plain(str_of(m->source), t.source) != t.family)
			return bad(e, "source address", m->source);
		t.present |= 1u << RTA_PREFSRC;
	}
	/* What is reached without a gateway is on the link: the kernel insists on it (IPv4). */
	if (!*m->gateway && !t.scope && t.family == AF_INET)
		t.scope = RT_SCOPE_LINK;
	t.n = t.family == AF_INET ? 4 : 16;
	r = netlink_route_add(sock, index, &t);
	return r < 0 && r != -EEXIST
		       ? err_sys(e, -r, "route to '%.60s' by '%.60s'", m->to, m->gateway)
		       : 0;
}

int interface_apply(int sock, int index, const struct agent_interface *m, struct err *e)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < m->addresses.n; i++)
		r = add_address(sock, index, &m->addresses.v[i], e);
	/* Those of a link first: gateways are reached by them. */
	for (int pass = 0; pass < 2; pass++)
		for (size_t i = 0; r == 0 && i < m->routes.n; i++)
			if (!*m->routes.v[i].gateway == !pass)
				r = add_route(sock, index, &m->routes.v[i], e);
	return r;
}

/* ---- read -------------------------------------------------------------------------------- */

/* Text of an address; prefix < 0: alone. NULL: no memory. */
static const char *text_of(struct arena *a, uint8_t family, const uint8_t *p, int prefix)
{
	char text[INET6_ADDRSTRLEN];

	(void) inet_ntop(family, p, text, sizeof(text));
	return prefix < 0 ? arena_strdup(a, text) : arena_printf(a, "%s/%d", text, prefix);
}

static bool is_made(const struct netlink_address *a)
{
	return a->family == AF_INET6 &&
	       (a->scope == RT_SCOPE_LINK || !(a->flags & IFA_F_PERMANENT));
}

static bool read_address(struct arena *a, const struct netlink_address *k,
			 struct agent_address *ret)
{
	bool local = k->present & 1u << IFA_LOCAL, other = k->present & 1u << IFA_ADDRESS;

	*ret = (struct agent_address){ .peer = "", .broadcast = "" };
	ret->address = text_of(a, k->family, local ? k->local : k->address, k->prefix);
	if (local && other && memcmp(k->local, k->address, k->n) != 0)
		ret->peer = text_of(a, k->family, k->address, -1);
	if (k->present & 1u << IFA_BROADCAST)
		ret->broadcast = text_of(a, k->family, k->broadcast, -1);
	return ret->address && ret->peer && ret->broadcast;
}

static bool read_route(struct arena *a, const struct netlink_route *k, struct agent_route *ret)
{
	*ret = (struct agent_route){ .to = "",
				     .gateway = "",
				     .source = "",
				     .metric = k->metric,
				     .scope = k->scope,
				     .on_link = k->on_link };
	/* Of a default route without a gateway nothing else says the family. */
	if ((k->present & 1u << RTA_DST) || !(k->present & 1u << RTA_GATEWAY))
		ret->to = text_of(a, k->family, k->to, k->prefix);
	if (k->present & 1u << RTA_GATEWAY)
		ret->gateway = text_of(a, k->family, k->gateway, -1);
	if (k->present & 1u << RTA_PREFSRC)
		ret->source = text_of(a, k->family, k->source, -1);
	return ret->to && ret->gateway && ret->source;
}

int interface_read(struct arena *a, int sock, const struct netlink_link *l,
		   struct agent_interface *ret, struct err *e)
{
	struct netlink_address *addresses = arena_array(a, ADDRESSES_MAX, sizeof(*addresses));
	struct netlink_route *routes = arena_array(a, ROUTES_MAX, sizeof(*routes));
	struct agent_interface m = { .mtu = l->mtu };
	size_t addresses_n = 0, routes_n = 0;
	bool whole;
	int r = addresses && routes ? 0 : -ENOMEM;

	r = r < 0 ? r : netlink_addresses(sock, l->index, addresses, ADDRESSES_MAX, &addresses_n);
	r = r < 0 ? r : netlink_routes(sock, l->index, routes, ROUTES_MAX, &routes_n);
	if (r < 0)
		return err_sys(e, -r, "addresses and routes of '%s'", l->name);
	m.name = arena_strdup(a, l->name);
	m.mac = arena_printf(a, "%02x:%02x:%02x:%02x:%02x:%02x", l->mac[0], l->mac[1], l->mac[2],
			     l->mac[3], l->mac[4], l->mac[5]);
	m.addresses.v = arena_array(a, addresses_n + 1, sizeof(*m.addresses.v));
	m.routes.v = arena_array(a, routes_n + 1, sizeof(*m.routes.v));
	whole = m.name && m.mac && m.addresses.v && m.routes.v;
	for (size_t i = 0; whole && i < addresses_n; i++)
		if (!is_made(&addresses[i]))
			whole = read_address(a, &addresses[i], &m.addresses.v[m.addresses.n++]);
	for (size_t i = 0; whole && i < routes_n; i++)
		whole = read_route(a, &routes[i], &m.routes.v[m.routes.n++]);
	if (!whole)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	*ret = m;
	return 0;
}
