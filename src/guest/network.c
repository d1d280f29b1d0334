/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/network.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/num.h"
#include "proto/interface.h"
#include "sys/netlink.h"

#define ADDRESSES_MAX 64

/* What it was in the snapshot is another machine's now: its addresses, routes, its own address. */
static int become(int sock, const struct agent_interface *m, struct err *e)
{
	auto_free struct netlink_address *v = calloc(ADDRESSES_MAX, sizeof(*v));
	struct netlink_link link;
	uint8_t was[6], mac[6];
	size_t n = 0;
	int r;

	if (!v)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	if (num_parse_mac(str_of(m->was), was) < 0 || num_parse_mac(str_of(m->mac), mac) < 0)
		return err_set(e, ERR_INVALID, EINVAL, "'%.60s' is no hardware address", m->was);
	r = netlink_link_find(sock, was, &link);
	if (r == -ENODEV)
		return err_set(e, ERR_NOT_FOUND, ENODEV, "no interface has the address %s", m->was);
	r = r < 0 ? r : netlink_link_down(sock, link.index);
	r = r < 0 ? r : netlink_addresses(sock, link.index, v, ADDRESSES_MAX, &n);
	for (size_t i = 0; r == 0 && i < n; i++) {
		r = netlink_address_remove(sock, link.index, &v[i]);
		if (r == -EADDRNOTAVAIL) /* went with another */
			r = 0;
	}
	r = r < 0 ? r : netlink_link_mac(sock, link.index, mac);
	return r < 0 ? err_sys(e, -r, "interface %s", m->was) : 0;
}

/* One may have the name that another shall have. */
static int make_way(int sock, const struct agent_interface *m, struct err *e)
{
	struct netlink_link link;
	uint8_t mac[6];
	int r;

	if (strlen(m->name) >= IFNAMSIZ)
		return err_set(e, ERR_INVALID, EINVAL, "interface %s: the name '%.64s' is too long",
			       m->mac, m->name);
	if (!*m->name || num_parse_mac(str_of(m->mac), mac) < 0 ||
	    netlink_link_find(sock, mac, &link) < 0 || streq(link.name, m->name))
		return 0; /* set_up() says what is wrong */
	r = netlink_link_rename(sock, link.index, "atoll%d");
	return r < 0 ? err_sys(e, -r, "interface %s", m->mac) : 0;
}

static int set_up(int sock, const struct agent_interface *m, struct err *e)
{
	struct netlink_link link;
	uint8_t mac[6];
	int r;

	if (num_parse_mac(str_of(m->mac), mac) < 0)
		return err_set(e, ERR_INVALID, EINVAL, "'%.60s' is no hardware address", m->mac);
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
	r = interface_apply(sock, link.index, m, e);
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
		r = *m->interfaces.v[i].was ? become(sock, &m->interfaces.v[i], e) : 0;
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < m->interfaces.n; i++) {
		r = make_way(sock, &m->interfaces.v[i], e);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < m->interfaces.n; i++) {
		r = set_up(sock, &m->interfaces.v[i], e);
		if (r < 0)
			return r;
	}
	return 0;
}
