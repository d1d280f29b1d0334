/* SPDX-License-Identifier: Apache-2.0 */
/* What net/unix.c, unix_name.c, unix_data.c and unix_rights.c share. */
#pragma once

#include <linux/un.h>

#include "kernel/net/control.h"
#include "kernel/net/unix.h"

#define UNIX_NAME_ROOM sizeof(struct sockaddr_un)

enum { CLOSED_READ = 1, CLOSED_WRITE = 2, CLOSED_BOTH = 3 };

/* A name that sockets show: shared by a listener and those it accepts. */
struct unix_name {
	unsigned int owners;
	size_t len;
	unsigned char bytes[UNIX_NAME_ROOM + 1];
};

struct unix_sock {
	struct socket socket;
	unsigned int owners; /* its file or its place in a backlog; peers; parcels; waits */
	struct file *file;   /* borrowed; NULL: none, or gone */
	bool dead;
	unsigned int closed; /* CLOSED_* */
	struct unix_name *name;
	struct path path;	  /* owned, of a name that is a path */
	struct tree_node by_name; /* of what is bound */
	struct unix_sock *peer;	  /* owned; of a datagram socket: where it is connected to */
	struct list peers;	  /* datagram sockets that are connected here */
	struct list of_peer;
	struct sock_sender peer_cred; /* of who connected, listened or made the pair */
	bool has_peer_cred;

	struct list inbox;	 /* of parcels */
	size_t waiting, parcels; /* bytes, and parcels, in the inbox */
	size_t charged;		 /* what it sent and nobody has read yet, with the parcels */
	struct sleeplock reading;
	struct waitq room; /* who waits for room in this inbox or backlog */

	struct list backlog; /* a listener's: sockets that are to be accepted */
	struct list in_backlog;
	unsigned int backlog_used, backlog_most;

	/* Of unix_rights.c: how often its file is on its way. */
	size_t in_flight, outside;
	struct list flying;
	bool reached;
};

struct parcel {
	struct list link;
	struct unix_sock *from; /* owned, charged with `cost` */
	struct unix_name *name; /* of a datagram's sender; owned, or NULL */
	struct rights *rights;
	struct sock_sender sender;
	size_t at, len, cost;
	char bytes[];
};

static inline struct unix_sock *unix_of(struct socket *s)
{
	return container_of(s, struct unix_sock, socket);
}

void unix_unref(struct unix_sock *u);
/* The peer of a datagram socket is another one, or none (NULL). */
void unix_set_peer(struct unix_sock *u, struct unix_sock *peer);
/* What its file, or its place in a backlog, held. Those in a backlog have none themselves. */
void unix_retire(struct unix_sock *u);
/* Told to who polls u for room, and to who waits for it. */
void unix_room_made(struct unix_sock *u);

/* ---- unix_name.c ---- */

int unix_bind(struct socket *s, const struct sock_actor *by, const struct sock_address *a);
/* A name of its own making, where it has none. */
int unix_autobind(struct unix_sock *u);
/* Owned by the caller in *ret. -ECONNREFUSED, -EPROTOTYPE, and what walking gives. */
int unix_find(const struct sock_address *a, int type, const struct sock_actor *by,
	      struct unix_sock **ret);
/* Of len bytes, UNIX_NAME_ROOM at most. NULL: no memory. */
struct unix_name *unix_name_new(const unsigned char *bytes, size_t len);
/* u is found by its name, which it has: at p, or, NULL, as an abstract one. -EADDRINUSE: another
 * is, or that is none. */
int unix_bind_at(struct unix_sock *u, const struct path *p);
bool unix_is_bound(const struct unix_sock *u);
void unix_unname(struct unix_sock *u);
void unix_name_unref(struct unix_name *n);
/* Of a name, or of none. */
void unix_address(const struct unix_name *n, struct sock_address *ret);

/* ---- unix_data.c ---- */

int64_t unix_send(struct socket *s, struct sock_message *m);
int64_t unix_receive(struct socket *s, struct sock_message *m);
bool unix_writable(const struct unix_sock *u);
void unix_parcel_free(struct parcel *p);
/* The last in to's inbox. p->cost is charged to p->from already. */
void unix_parcel_put(struct unix_sock *to, struct parcel *p);

/* ---- unix_rights.c ---- */

/* The files of a parcel set out, or have arrived. -ETOOMANYREFS. */
int unix_rights_out(const struct rights *r);
void unix_rights_in(const struct rights *r);
/* Closes what only circles hold. */
void unix_rights_collect(void);
/* What is in an inbox goes, whatever it holds, without recursion. Takes all of `parcels`. */
void unix_discard(struct list *parcels);
