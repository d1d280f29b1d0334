/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Network interfaces and their addresses over rtnetlink, one request and its answer at a time.
 * A socket belongs to the network namespace it was opened in, whatever its owner joins later.
 * Results: >= 0 or -errno.
 */
#pragma once

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct netlink_link {
	int index;
	unsigned flags; /* IFF_* */
	char name[IFNAMSIZ];
	uint32_t mtu;
	uint8_t mac[6];
	bool has_mac;	/* of Ethernet's length */
	char alias[64]; /* what somebody noted about it; cut */
};

struct netlink_address {
	uint8_t family, prefix, scope;
	uint32_t flags;	   /* IFA_F_* */
	uint32_t priority; /* of its route; 0: the kernel's own */
	size_t n;	   /* bytes of each of these: 4 or 16 */
	uint8_t local[16], address[16], broadcast[16];
	unsigned present; /* 1 << IFA_*: which of these there are */
};

struct netlink_route { /* of the main table, unicast */
	uint8_t family, prefix, scope;
	bool on_link;	 /* the gateway needs no route to it */
	uint32_t metric; /* 0: the kernel's own */
	size_t n;	 /* bytes of each of these: 4 or 16 */
	uint8_t to[16], gateway[16], source[16];
	unsigned present; /* 1 << RTA_DST, RTA_GATEWAY, RTA_PREFSRC: which of these there are */
};

[[nodiscard]] int netlink_open(void); /* gives */

/* All of them; -E2BIG: more than max. */
[[nodiscard]] int netlink_links(int sock, struct netlink_link *ret, size_t max, size_t *ret_n);
/* -ENODEV: none of that name. */
[[nodiscard]] int netlink_link_get(int sock, const char *name, struct netlink_link *ret);
/* The first with this hardware address, the loopback left aside. -ENODEV. */
[[nodiscard]] int netlink_link_find(int sock, const uint8_t mac[static 6],
				    struct netlink_link *ret);
[[nodiscard]] int netlink_link_mtu(int sock, int index, uint32_t mtu);
/* Into another network namespace, under a name that is free there. */
[[nodiscard]] int netlink_link_move(int sock, int index, int netns_fd, const char *name);
/* "eth%d": the lowest number that is free. */
[[nodiscard]] int netlink_link_rename(int sock, int index, const char *name);
[[nodiscard]] int netlink_link_up(int sock, int index);
[[nodiscard]] int netlink_link_down(int sock, int index); /* its routes go */
/* A new hardware address: of some only while they are down. */
[[nodiscard]] int netlink_link_mac(int sock, int index, const uint8_t mac[static 6]);
[[nodiscard]] int netlink_link_alias(int sock, int index, const char *alias); /* "": none */

/* All of the interface; -E2BIG: more than max. */
[[nodiscard]] int netlink_addresses(int sock, int index, struct netlink_address *ret, size_t max,
				    size_t *ret_n);
[[nodiscard]] int netlink_address_add(int sock, int index, const struct netlink_address *a);
/* -EADDRNOTAVAIL: it has no such address. */
[[nodiscard]] int netlink_address_remove(int sock, int index, const struct netlink_address *a);

/* All that leave by the interface but what the kernel makes of addresses; -E2BIG: more than max. */
[[nodiscard]] int netlink_routes(int sock, int index, struct netlink_route *ret, size_t max,
				 size_t *ret_n);
[[nodiscard]] int netlink_route_add(int sock, int index, const struct netlink_route *t);
