/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the network outside has, as rtnetlink(7) tells it: dumps, fetched when they are asked for,
 * and what of them others want to know. Without a network outside there is nothing to ask.
 */
#pragma once

#include <linux/netlink.h>

#include "kernel/core/types.h"

struct links_dump {
	unsigned char *bytes; /* of the heap: messages one behind the other */
	size_t len;
};

/* kind: RTM_GET*; family: 0 is all. -errno; links_dump_fini() in any case. May park. */
[[nodiscard]] int links_dump(int kind, int family, struct links_dump *ret);
void links_dump_fini(struct links_dump *d);

/* One message of it. */
struct links_message {
	struct nlmsghdr head;
	const unsigned char *body; /* behind the head */
	size_t len;		   /* of the body */
};

/* The one at *at, which is moved on. False: there is none. */
bool links_next(const struct links_dump *d, size_t *at, struct links_message *ret);
/* The value of the first attribute of that type behind `fixed` bytes of the body; NULL: none. */
const unsigned char *links_attribute(const struct links_message *m, size_t fixed, uint16_t type,
				     size_t *ret_len);
/* n bytes of it in *to; the rest, and all of one that is not there, is 0. */
void links_value(const struct links_message *m, size_t fixed, uint16_t type, void *to, size_t n);

#define LINKS_STATS 24 /* numbers of struct rtnl_link_stats64 that are looked at */

struct links_interface {
	char name[16];
	int32_t index;
	uint32_t flags, mtu, queue; /* IFF_* as ioctls tell them: 16 bits */
	uint16_t type;		    /* ARPHRD_* */
	uint8_t state, carrier;	    /* IF_OPER_*; 0 or 1 */
	int32_t lower;		    /* what it stands on; 0: itself */
	unsigned char address[6], hardware_broadcast[6];
	uint64_t stats[LINKS_STATS];
	/* Its first address of IPv4. */
	bool has_ip;
	unsigned char ip[4], peer[4], broadcast[4];
	uint8_t prefix;
};

/* All of them, in an array of the heap; without a network outside lo alone. How many; -errno. */
[[nodiscard]] int links_interfaces(struct links_interface **ret);
