/* SPDX-License-Identifier: Apache-2.0 */
/* One socket outside, of both kinds that outside.h has: what its two files share. */
#pragma once

#include "kernel/net/outside.h"
#include "kernel/platform/host/host.h"

struct broker_socket {
	struct outside base;
	struct host_watch watch;
	int fd;
	uint32_t number;
	bool full; /* who writes found no room, or may have: told when there is some */
	/* As a stack tells it (outside_stack.c). */
	uint32_t made; /* the tag of the request that did */
	bool stream, connected, listening, pending, shut_out;
	bool over;	   /* it ended with an error */
	int error;	   /* to be told once */
	unsigned int asks; /* what goes along with a datagram */
};

extern const struct outside_ops outside_broker_ops;

struct broker_socket *outside_socket_of(struct outside *o);
/* NULL: none has that number. */
struct broker_socket *outside_socket_by(uint32_t number);
