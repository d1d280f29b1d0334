/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/num.h"
#include "sys/netlink.h"

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
	/* The host's kernel has made sure that nobody else has it. */
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

static int set_up(int sock, const struct agent_interface *m, struct err *e)
{
	struct netlink_link link;
	uint8_t mac[6];
	int r;

	if (num_parse_mac(str_of(m->mac), mac) < 0)
		return bad(e, "hardware address", m->mac);
	r = netlink_link_find(sock, mac, &link);
	if (r == -ENODEV)
		return err_set(e, ERR_NOT_FOUND, ENODEV, "no interface has the address %s", m->mac);
	if (r == 0 && *m->name && !streq(m->name, link.name))
		r = netlink_link_rename(sock, link.index, m->name);
	if (r == 0 && m->mtu)
		r = netlink_link_mtu(sock, link.index, (uint32_t) m->mtu);
	r = r < 0 ? r : netlink_link_up(sock, link.index);
	if (r < 0)
		return err_sys(e, -r, "interface %s", m->mac);
	r = 0;
	for (size_t i = 0; r == 0 && i < m->addresses.n; i++)
		r = add_address(sock, link.index, &m->addresses.v[i], e);
	/* Those of a link first: gateways are reached by them. */
	for (int pass = 0; pass < 2; pass++)
		for (size_t i = 0; r == 0 && i < m->routes.n; i++)
			if (!*m->routes.v[i].gateway == !pass)
				r = add_route(sock, link.index, &m->routes.v[i], e);
	return r < 0 ? err_ctx(e, "interface %s", m->mac) : 0;
}

int network_setup(const struct agent_setup *m, struct err *e)
{
	struct netlink_link lo;
	auto_fd int sock = netlink_open();
	int r = sock < 0 ? sock : netlink_link_get(sock, "lo", &lo);

	r = r < 0 ? r : netlink_link_up(sock, lo.index);
	if (r < 0)
		return err_sys(e, -r, "the loopback interface");
	for (size_t i = 0; i < m->interfaces.n; i++) {
		r = set_up(sock, &m->interfaces.v[i], e);
		if (r < 0)
			return r;
	}
	return 0;
}

bool network_is_sysctl(const char *key)
{
	return strncmp(key, "net.", 4) == 0 || strncmp(key, "net/", 4) == 0;
}

/* sysctl(8): the first separator says which of the two it is; the other is part of a name. */
int network_sysctl(const char *key, const char *value, struct err *e)
{
	bool slashes = key[strcspn(key, "./")] == '/';
	char path[256];
	int r;

	if (snprintf(path, sizeof(path), "/proc/sys/%s", key) >= (int) sizeof(path) ||
	    strstr(key, ".."))
		return err_set(e, ERR_INVALID, EINVAL, "sysctl '%.60s'", key);
	for (char *c = path + strlen("/proc/sys/"); *c && !slashes; c++)
		*c = *c == '.' ? '/' : *c == '/' ? '.' : *c;
	r = file_put(AT_FDCWD, path, str_of(value));
	return r < 0 ? err_sys(e, -r, "sysctl '%.60s' to '%.60s'", key, value) : 0;
}
