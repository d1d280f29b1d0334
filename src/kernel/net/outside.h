/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets of a network beyond this kernel's own loopback: what a platform brings, if it has one.
 * Addresses are Linux's sockaddrs, numbers of options and flags Linux's. A call may park for an
 * answer, never for the network: what cannot be done yet is -EAGAIN, or -EINPROGRESS of a
 * connection, and `happened` rises when it may be possible.
 */
#pragma once

#include "kernel/net/socket.h"

/* What a platform's own begins with. */
struct outside {
	struct waitq *waiters; /* of the kernel's socket: told of what happened */
	uint64_t happened;
};

/* With a datagram: NULL or a len of 0, and -1, say nothing. */
struct outside_way {
	const struct sock_address *to;
	struct sock_address from;
	int32_t hops, class;
};

/* -ENETDOWN, of each: the network is gone. */
struct outside_ops {
	/* type, protocol: of socket(2); w stays as long as it. -EAFNOSUPPORT, -EMFILE, ... */
	int (*open)(int domain, int type, int protocol, struct waitq *w, struct outside **ret);
	void (*close)(struct outside *o);
	int (*bind)(struct outside *o, const struct sock_address *a,
		    struct sock_address *ret_local);
	/* AF_UNSPEC: to nobody. */
	int (*connect)(struct outside *o, const struct sock_address *a,
		       struct sock_address *ret_local);
	int (*listen)(struct outside *o, int backlog);
	int (*accept)(struct outside *o, struct waitq *w, struct outside **ret,
		      struct sock_address *ret_local, struct sock_address *ret_peer);
	/* way: NULL where it is connected and nothing is said. */
	int64_t (*send)(struct outside *o, const void *bytes, size_t n, unsigned int flags,
			const struct outside_way *way);
	/* m: for its flags; gets the address, ret_flags, control. */
	int64_t (*receive)(struct outside *o, void *bytes, size_t n, struct sock_message *m);
	int (*shutdown)(struct outside *o, int how);
	int (*get)(struct outside *o, int level, int name, void *to, size_t *len);
	/* quiet: whether it worked is not waited for, and the result says nothing. */
	int (*set)(struct outside *o, int level, int name, const void *value, size_t len,
		   bool quiet);
	unsigned int (*poll)(struct outside *o); /* POLL* */
	int64_t (*queued)(struct outside *o, bool sent);
	/* rtnetlink's messages of a dump (RTM_GET*) from that byte on: how many bytes there are in
	 * all, of which at most `room`, OUTSIDE_DUMP, are written, and *ret_n were. */
	int64_t (*dump)(int kind, int family, size_t from, void *to, size_t room, size_t *ret_n);
};

#define OUTSIDE_DUMP ((size_t) 65536) /* the room that dump() has */

/* Once, before the first socket. Borrowed for good. */
void outside_set(const struct outside_ops *ops);
/* NULL: there is none. */
const struct outside_ops *outside_ops(void);
