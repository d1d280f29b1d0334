/* SPDX-License-Identifier: Apache-2.0 */
/* What net/inet.c and net/inet_*.c share. */
#pragma once

#include "kernel/net/inet.h"

#define INET_TCP 6
#define INET_UDP 17

#define INET_READABLE (POLLIN | POLLRDNORM)
#define INET_WRITABLE (POLLOUT | POLLWRNORM)

enum { INET_NO_READ = 1, INET_NO_WRITE = 2, INET_NEITHER = 3 };

/* IPv4 as ::ffff:a.b.c.d; the port as a number. */
struct inet_place {
	unsigned char ip[16];
	uint16_t port;
};

enum inet_state {
	INET_NEW,
	INET_LISTENING,
	INET_CALLING,	/* waits for room in a backlog */
	INET_CONNECTED, /* of a datagram socket: it has a remote place */
};

/* Options of a family's own that are kept: inet_option.c. */
#define INET_OPTIONS 16

struct inet_sock {
	struct socket socket;
	unsigned int owners; /* its file or its place in a backlog; the peer */
	bool dead;
	unsigned int closed; /* INET_NO_* */
	enum inet_state state;
	bool picked;	  /* its port was not asked for */
	bool unannounced; /* it calls or is connected, and who called does not know how it went */
	bool v6_only, reuse_port;
	uint32_t uid; /* who bound it */
	struct inet_place local, remote;
	struct tree_node by_port;

	struct inet_sock *peer; /* of a stream; owned */
	struct list inbox;	/* of pieces */
	size_t waiting;		/* bytes in it */
	size_t charged;		/* with the pieces themselves */
	struct sleeplock reading;

	struct list backlog; /* connected ones that are to be accepted */
	struct list callers; /* those that found no room in it */
	struct list in_list; /* in one of the two of another */
	unsigned int backlog_used, backlog_most;
	int32_t options[INET_OPTIONS];
};

struct inet_piece {
	struct list link;
	struct inet_place from; /* of a datagram */
	size_t at, len, cost;
	char bytes[];
};

static inline struct inet_sock *inet_of(struct socket *s)
{
	return container_of(s, struct inet_sock, socket);
}

static inline bool inet_is_stream(const struct inet_sock *u)
{
	return u->socket.type == SOCK_STREAM;
}

/* ---- inet_place.c: addresses and ports ---- */

/* What the guest wrote, for a socket of u's family. -EINVAL, -EAFNOSUPPORT. */
int inet_parse(const struct inet_sock *u, const struct sock_address *a, struct inet_place *ret);
/* As the guest reads it. */
void inet_address(const struct inet_sock *u, const struct inet_place *p, struct sock_address *ret);
/* Where to: a wildcard is the loopback's own. -ENETUNREACH. */
int inet_destination(const struct inet_sock *u, struct inet_place *p);
int inet_bind(struct socket *s, const struct sock_actor *by, const struct sock_address *a);
/* A port of its own, and the address that goes with this destination. -EADDRNOTAVAIL,
 * -ENETUNREACH. */
int inet_choose(struct inet_sock *u, const struct inet_place *to);
/* Has the port of u->local from then on. */
void inet_port_take(struct inet_sock *u);
void inet_port_give(struct inet_sock *u);
/* One that was picked is given back, and the address is its family's wildcard again. */
void inet_unbind(struct inet_sock *u);
/* Whether another listens where u is bound. */
bool inet_listened(const struct inet_sock *u);
/* Who listens there, or gets its datagrams; borrowed. NULL: nobody. */
struct inet_sock *inet_find(int type, const struct inet_place *to, const struct inet_place *from);

/* ---- inet_stream.c ---- */

int64_t inet_send_stream(struct inet_sock *u, struct sock_message *m);
int64_t inet_receive_stream(struct inet_sock *u, struct sock_message *m);
bool inet_writable(const struct inet_sock *u);
void inet_pieces_free(struct inet_sock *u);
/* With n bytes of the guest's; -ENOMEM, -EFAULT. May park. */
int inet_piece_new(struct uio *from, size_t n, struct inet_piece **ret);
void inet_piece_put(struct inet_sock *to, struct inet_piece *p);
/* Out of its inbox, and away. */
void inet_piece_drop(struct inet_sock *u, struct inet_piece *p);
/* Until there is something to read, with `reading`, which is given back meanwhile. 1: nothing comes
 * any more; 0: look again. */
int inet_wait(struct inet_sock *u, const struct sock_message *m, nsec_t deadline);

/* ---- inet_datagram.c ---- */

int inet_connect_datagram(struct inet_sock *u, const struct sock_address *a);
int64_t inet_send_datagram(struct inet_sock *u, struct sock_message *m);
int64_t inet_receive_datagram(struct inet_sock *u, struct sock_message *m);

/* ---- inet_option.c ---- */

void inet_options_init(struct inet_sock *u);
int inet_get(struct socket *s, int level, int name, void *to, size_t *len);
int inet_set(struct socket *s, const struct sock_actor *by, int level, int name, const void *value,
	     size_t len);
