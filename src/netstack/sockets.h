/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a sandbox asks of the stack (proto/broker.h), within the policies: its sockets by its own
 * numbers. Whoever asks is hostile; nothing here waits. IPv4 alone: a socket of IPv6 has its
 * addresses (::ffff:a.b.c.d), others are not reached. No raw sockets, no ping, no multicast.
 */
#pragma once

#include "broker/policy.h"
#include "netstack/socket.h"
#include "proto/broker.h"

struct sockets_table {
	struct policy connect, bind;
	bool low_ports;		/* those below 1024 may be bound */
	struct loop *loop;	/* borrowed */
	struct sock **numbered; /* BROKER_SOCKETS */
	struct sock *all, *untold;
	size_t n;
	/* One message of BROKER_STATE. */
	void (*tell)(void *to, const unsigned char *message, size_t n);
	void *tell_to;
};

/* -ENOMEM. Policies and `tell` are the caller's to fill. */
[[nodiscard]] int sockets_init(struct sockets_table *t, struct loop *l);
void sockets_fini(struct sockets_table *t);
/*
 * One request with n bytes of data. The reply's data goes to `out`, which has BROKER_DATA bytes;
 * *ret_fd: a descriptor to go along, given, or FD_NONE. True: there is a reply. sockets_flush()
 * once it is sent.
 */
bool sockets_serve(struct sockets_table *t, const struct broker_request *q,
		   const unsigned char *data, size_t n, struct broker_reply *ret_a,
		   unsigned char *out, size_t *ret_n, int *ret_fd);
/* Tells what became of sockets. */
void sockets_flush(struct sockets_table *t);
/* Whether who listens at that port takes one more. */
bool sockets_room(const struct sockets_table *t, uint16_t port);
/* Those that nobody has any more and that do not end. Every second or so. */
void sockets_sweep(struct sockets_table *t);
