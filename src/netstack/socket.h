/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sandbox's socket in the stack: what lwIP has of it at one side, one end of a pair of unix
 * sockets at the other. Bytes of a stream go between both as each has room: nothing is read from
 * the pair that the stack has no room for, and the window opens as the pair takes what came.
 *
 *	open		made, maybe bound
 *	connecting	a SYN is on its way
 *	connected	until both sides said that nothing more comes, or an error
 *	ended		no protocol block any more; the pair's end is closed
 *	listening	others queue here until they are accepted
 *
 * The asker's CLOSE takes its number; a stream stays until what was written before is the stack's,
 * at most for ORPHAN_TIME.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/loop.h"
#include "broker/policy.h"
#include "proto/broker.h"

struct pbuf;
struct sockets_table;
struct tcp_pcb;
struct udp_pcb;

#define SOCKETS_MOST  4096u /* with those that nobody has accepted or closed yet */
#define SOCKETS_QUEUE 512u  /* of one that listens, at most */
#define ORPHAN_TIME   (120 * NSEC_PER_SEC)

struct sock {
	struct loop_source source;
	struct sockets_table *table;
	struct sock *next, *untold; /* of all; of those whose state is to be told */
	int fd;			    /* owned: our end of the pair; FD_NONE: none, or no more */
	int domain;
	enum policy_protocol protocol;
	uint32_t number, made; /* 0: nobody's; the tag of the request that made it */
	nsec_t closed_at;      /* when it lost its number */
	struct tcp_pcb *tcp;
	struct udp_pcb *udp;
	/* options */
	bool v6_only, broadcast, nodelay, reset;
	uint32_t idle_s, interval_s, probes; /* of keeping alive; 0: the stack's own */
	/* streams */
	bool bound, listening, connecting, connected;
	bool end_in, end_told, shut_in; /* FIN came; the pair was told so; no more is wanted */
	bool end_wanted, end_out;	/* the asker's end; FIN was sent */
	bool is_untold, ending;		/* in the list; its end of the pair is closed after that */
	struct pbuf *in;		/* came, and had no room in the pair */
	int error;			/* to be told */
	/* listening */
	struct sock *listener, *queue, *queue_next; /* who it waits at; the first; the one behind */
	size_t queued, queue_most;
};

/* sockets.c */
/* NULL: there are too many. */
struct sock *sock_new(struct sockets_table *t, int domain, enum policy_protocol protocol);
/* Its pair: the other end in *ret_fd, given. -errno. */
[[nodiscard]] int sock_pair(struct sock *s, int *ret_fd);
void sock_free(struct sock *s);
/* The asker hears of it before it is asked anything more. */
void sock_tell(struct sock *s);
/* No bytes any more; error: 0 or an errno. It may be freed: no more of it to the caller. */
void sock_ended(struct sock *s, int error);
/* An address of IPv4 as the socket's family has it. ip: of the host's byte order. */
void sock_name(const struct sock *s, uint32_t ip, uint16_t port, struct broker_address *ret);

/* stream.c: results are errnos of the calls. */
[[nodiscard]] int stream_open(struct sock *s);
[[nodiscard]] int stream_bind(struct sock *s, uint32_t ip, uint16_t port);
[[nodiscard]] int stream_connect(struct sock *s, uint32_t ip, uint16_t port);
[[nodiscard]] int stream_listen(struct sock *s, int backlog);
/* The first that waits, now of no queue; NULL: none. */
struct sock *stream_accept(struct sock *s);
[[nodiscard]] int stream_shut(struct sock *s, bool in, bool out);
/* The number is gone. It may be freed. */
void stream_close(struct sock *s);
/* Moves what can be moved. It may be freed. */
void stream_pump(struct sock *s);
void stream_options(struct sock *s);
/* What there is of it in the stack goes, with a reset. */
void stream_drop(struct sock *s);
uint16_t stream_local(const struct sock *s);
bool stream_peer(const struct sock *s, uint32_t *ret_ip, uint16_t *ret_port);

/* datagram.c */
[[nodiscard]] int datagram_open(struct sock *s);
[[nodiscard]] int datagram_bind(struct sock *s, uint32_t ip, uint16_t port);
/* port 0: to nobody. */
[[nodiscard]] int datagram_connect(struct sock *s, uint32_t ip, uint16_t port);
/* port 0: to whom it is connected. hops, class: -1: as always. How many bytes, or -errno. */
[[nodiscard]] int datagram_send(struct sock *s, uint32_t ip, uint16_t port, int hops, int class,
				const unsigned char *data, size_t n);
void datagram_pump(struct sock *s);
void datagram_drop(struct sock *s);
uint16_t datagram_local(const struct sock *s);
bool datagram_connected(const struct sock *s);
