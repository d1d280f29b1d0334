/* SPDX-License-Identifier: Apache-2.0 */
/* What the files net/inet*.c share. */
#pragma once

#include <linux/in.h>
#include <linux/in6.h>

#include "kernel/net/control.h"
#include "kernel/net/inet.h"
#include "kernel/net/outside.h"

/* Addresses of both families are of 16 bytes: those of AF_INET stand as ::ffff:a.b.c.d, which is
 * how a socket of AF_INET6 sees them, too. */
struct inet_ip {
	unsigned char b[16];
};

struct inet_address {
	struct inet_ip ip;
	uint16_t port; /* of the machine's order */
};

/* As tcp_info tells them. Of datagrams: CLOSED, and ESTABLISHED where one is connected. */
enum inet_state {
	INET_ESTABLISHED = 1,
	INET_SYN_SENT = 2, /* waits for room in a backlog */
	INET_SYN_RECV = 3, /* the other end of that */
	INET_FIN_WAIT = 5, /* its own half is closed */
	INET_CLOSED = 7,
	INET_CLOSE_WAIT = 8, /* the peer's half is closed */
	INET_LISTEN = 10,
};

/* What connect(2) has said. */
enum inet_phase { INET_UNCONNECTED, INET_CONNECTING, INET_CONNECTED };

enum { NO_INPUT = 1, NO_OUTPUT = 2, NO_MORE = 3 };

/* Options whose value is one number: inet_options.c has the table, in this order. */
enum inet_option {
	OPT_NODELAY,
	OPT_CORK,
	OPT_KEEPIDLE,
	OPT_KEEPINTVL,
	OPT_KEEPCNT,
	OPT_SYNCNT,
	OPT_LINGER2,
	OPT_DEFER_ACCEPT,
	OPT_WINDOW_CLAMP,
	OPT_QUICKACK,
	OPT_USER_TIMEOUT,
	OPT_FASTOPEN,
	OPT_NOTSENT_LOWAT,
	OPT_TOS,
	OPT_TTL,
	OPT_PKTINFO,
	OPT_MTU_DISCOVER,
	OPT_RECVERR,
	OPT_RECVTTL,
	OPT_RECVTOS,
	OPT_FREEBIND,
	OPT_NO_PORT,
	OPT_MULTICAST_TTL,
	OPT_MULTICAST_LOOP,
	OPT_HOPS6,
	OPT_MULTICAST_HOPS6,
	OPT_MULTICAST_LOOP6,
	OPT_MTU_DISCOVER6,
	OPT_RECVERR6,
	OPT_V6ONLY,
	OPT_PKTINFO6,
	OPT_RECVHOPLIMIT6,
	OPT_DONTFRAG6,
	OPT_RECVTCLASS6,
	OPT_TCLASS6,
	OPT_FREEBIND6,
	INET_OPTIONS
};

struct inet_datagram {
	struct list link;
	struct inet_address from;
	struct inet_ip to;
	unsigned char hops, class;
	size_t len;
	char bytes[];
};

struct inet_sock {
	struct socket socket;
	unsigned int owners;	   /* its file or its place in a backlog; its peer; waits */
	bool dead;		   /* it has neither file nor place */
	bool ip_bound, port_bound; /* by bind(2): they outlast a connection */
	uint32_t uid;		   /* who bound it: SO_REUSEPORT is among one user's */
	struct inet_address local, remote;
	struct tree_node by_port, by_listener; /* inet_port.c */
	int32_t option[INET_OPTIONS];

	struct outside *out; /* owned; NULL: none (inet_outside.c) */
	bool out_peer;	     /* of datagrams: whom it is connected to is out there */
	bool wants_out;	     /* of a checkpoint that is loaded: inet_outside_again() comes */

	enum inet_state state;
	enum inet_phase phase;
	unsigned int closed;	/* NO_*: polled, and what reads and writes go by */
	bool fin;		/* the peer sends no more */
	struct inet_sock *peer; /* owned; of a stream */

	struct list inbox;	 /* of segments or datagrams */
	size_t waiting, held;	 /* bytes in it, and with all that they cost */
	bool room_wanted;	 /* its peer found too little room here */
	uint64_t sent, received; /* bytes, ever */
	struct sleeplock reading;

	/* A listener's: ends of connections that are to be accepted, and that wait for a place. */
	struct list backlog, arriving;
	struct list in_backlog;
	unsigned int backlog_used, backlog_most;
};

static inline struct inet_sock *inet_of(struct socket *s)
{
	return container_of(s, struct inet_sock, socket);
}

static inline bool inet_is_stream(const struct inet_sock *u)
{
	return u->socket.type == SOCK_STREAM;
}

/* A socket of ping's (icmp(7)): it is outside alone. */
static inline bool inet_is_echo(const struct inet_sock *u)
{
	return u->socket.protocol == IPPROTO_ICMP || u->socket.protocol == IPPROTO_ICMPV6;
}

void inet_unref(struct inet_sock *u);

/* ---- inet_address.c ---- */

bool inet_ip_equal(const struct inet_ip *a, const struct inet_ip *b);
bool inet_ip_is4(const struct inet_ip *ip);
/* 0.0.0.0 or ::. */
bool inet_ip_any(const struct inet_ip *ip);
/* Of this sandbox. */
bool inet_ip_local(const struct inet_ip *ip);
/* No address, of the family. */
struct inet_ip inet_ip_none(int domain);
/* Whether a socket of that local address gets what is sent to `to`. */
bool inet_ip_covers(const struct inet_sock *u, const struct inet_ip *to);
/* What the guest gave, for a socket of u's family. either: AF_INET at a socket of AF_INET6, too.
 * -EINVAL: too short; -EAFNOSUPPORT. */
int inet_parse(const struct inet_sock *u, const struct sock_address *a, bool either,
	       struct inet_address *ret);
/* As a socket of that family tells it. */
void inet_tell(int domain, const struct inet_address *from, struct sock_address *ret);
/* Where a send to *to really goes (no address is this host), and from where. -ENETUNREACH, -EINVAL.
 */
int inet_route(const struct inet_sock *u, struct inet_ip *to, struct inet_ip *ret_from);

/* ---- inet_port.c ---- */

/* At that address; port 0: one of the ephemeral ones. -EADDRINUSE, -EADDRNOTAVAIL (all taken). */
int inet_port_take(struct inet_sock *u, const struct inet_address *at);
/* No ephemeral port is free. */
bool inet_port_none_left(const struct inet_sock *u);
/* u has the port of its listener, with others. */
void inet_port_share(struct inet_sock *u, const struct inet_address *at);
void inet_port_give(struct inet_sock *u);
/* Found by inet_find_listener from then on. -EADDRINUSE. */
int inet_port_listen(struct inet_sock *u);
/* As that, whoever else is there. */
void inet_port_hear(struct inet_sock *u);
void inet_port_deafen(struct inet_sock *u);
/* Whether another connection has u's local address and that remote one. */
bool inet_connected_twice(const struct inet_sock *u, const struct inet_address *remote);
/* Borrowed; NULL: none. Of several with SO_REUSEPORT, who sends decides which. */
struct inet_sock *inet_find_listener(const struct inet_address *to,
				     const struct inet_address *from);
struct inet_sock *inet_find_receiver(const struct inet_address *to,
				     const struct inet_address *from);

/* ---- inet_join.c: a stream's connections ---- */

int inet_listen(struct socket *s, const struct sock_actor *by, int backlog);
int inet_stream_connect(struct inet_sock *u, const struct sock_address *a, bool nonblocking);
int inet_accept(struct socket *s, bool nonblocking, struct socket **ret);
/* What an accepted socket has from its listener. */
void inet_inherit(struct inet_sock *u, const struct inet_sock *l);
int inet_stream_shutdown(struct inet_sock *u, int how);
/* Its connection or its backlog ends; it is as new, but for what it is bound to. */
void inet_disconnect(struct inet_sock *u, bool reset);
/* What comes from a peer that is gone: ECONNRESET or what Linux says in that state. */
void inet_reset(struct inet_sock *u);

/* ---- inet_outside.c ---- */

#define INET_BUFFER ((size_t) 64 << 10)

/* INET_BUFFER bytes, for what is on its way through the kernel. NULL: no memory. */
[[nodiscard]] void *inet_buffer_take(void);
void inet_buffer_give(void *p);
/* Whether what is sent to it leaves this kernel. */
bool inet_goes_out(const struct inet_ip *ip);
/* As u's family tells it, with what else the guest gave of it (a scope). given: may be NULL. */
void inet_outside_name(const struct inet_sock *u, const struct inet_address *to,
		       const struct sock_address *given, struct sock_address *ret);
/* u->out is there, with u's options. */
int inet_outside_open(struct inet_sock *u);
void inet_outside_close(struct inet_sock *u);
/* One that is outside alone. */
int inet_outside_bind(struct inet_sock *u, const struct inet_address *at,
		      const struct sock_address *given);
/* inet_port_take(), and the same outside where it is of more than the loopback. given: the guest's.
 */
int inet_take_port(struct inet_sock *u, const struct inet_address *at,
		   const struct sock_address *given);
/* Of a stream, to an address that inet_goes_out(). */
int inet_outside_connect(struct inet_sock *u, const struct inet_address *to,
			 const struct sock_address *given, bool nonblocking);
/* -EAGAIN: nobody has come from outside. */
int inet_outside_accept(struct inet_sock *l, struct inet_sock **ret);
/* It is open out there as it was: bound, listening, connected to whom it sends datagrams. -errno.
 */
int inet_outside_again(struct inet_sock *u);
void inet_look_for_error(struct socket *s);

/* ---- inet.c ---- */

/* SO_SNDBUF and SO_RCVBUF of a new one. */
uint32_t inet_send_room(const struct inet_sock *u);
uint32_t inet_receive_room(const struct inet_sock *u);
/* Of this kernel's own sockets. */
const struct socket_ops *inet_ops(void);

/* Of the domain and type; one owner. NULL: no memory. */
struct inet_sock *inet_sock_new(int domain, int type);
/* Its file, or its place in a backlog, is gone. */
void inet_retire(struct inet_sock *u);
/* An ephemeral port, where it has none. -EADDRNOTAVAIL. */
int inet_autobind(struct inet_sock *u);

/* ---- inet_stream.c, inet_datagram.c ---- */

int64_t inet_stream_send(struct inet_sock *u, struct sock_message *m);
int64_t inet_stream_receive(struct inet_sock *u, struct sock_message *m);
/* Whether its peer has room enough to be told of. */
bool inet_stream_writable(const struct inet_sock *u);
/* What is beyond the peer's own room: bytes. */
size_t inet_stream_unsent(const struct inet_sock *u);
int inet_datagram_connect(struct inet_sock *u, const struct sock_address *a);
int64_t inet_datagram_send(struct inet_sock *u, struct sock_message *m);
int64_t inet_datagram_receive(struct inet_sock *u, struct sock_message *m);
size_t inet_datagram_next(const struct inet_sock *u);
unsigned int inet_datagram_poll(const struct inet_sock *u);
/* What is in its inbox, piece by piece; and one more at its end: -ENOMEM. */
void inet_stream_each(const struct inet_sock *u,
		      void (*act)(void *arg, const char *bytes, size_t n), void *arg);
[[nodiscard]] int inet_stream_put(struct inet_sock *u, const char *bytes, size_t n);
void inet_stream_discard(struct inet_sock *u);
/* Takes d, which is the last in u's inbox. */
void inet_datagram_put(struct inet_sock *u, struct inet_datagram *d);
void inet_datagram_discard(struct inet_sock *u);

/* ---- inet_options.c ---- */

void inet_options_init(struct inet_sock *u);
/* To u->out, those that are not as they were at first. */
void inet_options_carry(struct inet_sock *u);
void inet_changed(struct socket *s, int name);
int inet_get(struct socket *s, int level, int name, void *to, size_t *len);
int inet_set(struct socket *s, const struct sock_actor *by, int level, int name, const void *value,
	     size_t len);
