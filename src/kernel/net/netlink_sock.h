/* SPDX-License-Identifier: Apache-2.0 */
/* What a socket of netlink is, for those who look inside: netlink.c, and checkpoints. */
#pragma once

#include "kernel/net/netlink.h"

struct netlink_sock {
	struct socket socket;
	struct list all;       /* of those that have a port */
	uint32_t port, groups; /* 0: it has none */
	struct list inbox;     /* netlink_piece */
	size_t held;
	struct sleeplock reading;
	unsigned int owners; /* its file; checkpoints */
	bool dead;	     /* it has no file any more */
};

struct netlink_piece {
	struct list link;
	size_t len;
	unsigned char bytes[];
};

struct netlink_sock *netlink_of(struct socket *s);
void netlink_unref(struct netlink_sock *n);
/* Its file goes, and that owner with it. */
void netlink_retire(struct netlink_sock *n);
/* Not 0; of n, which has none. -EADDRINUSE. */
[[nodiscard]] int netlink_have_port(struct netlink_sock *n, uint32_t port);
/* The last in its inbox, of len bytes, which the caller fills; NULL: no memory. */
struct netlink_piece *netlink_piece_new(struct netlink_sock *n, size_t len);
