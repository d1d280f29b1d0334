/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sockets that a sandbox has in the network namespace of this process, by the sandbox's own
 * numbers, and what it may have done with them. Whoever asks is hostile: nothing is done but what
 * proto/broker.h has, within the policies; nothing here waits.
 */
#pragma once

#include "broker/policy.h"
#include "proto/broker.h"

struct sockets {
	struct policy connect, bind;
	int routes; /* owned: a socket of rtnetlink; FD_NONE: none is told of */
	struct owned {
		int fd; /* FD_NONE: none has that number */
		int domain;
		bool bound; /* as the policy allows: it may listen */
		enum policy_protocol protocol;
	} * all;	     /* BROKER_SOCKETS */
	unsigned char *dump; /* of the last ROUTES */
	size_t dump_n;
};

/* routes: taken; FD_NONE: none. -ENOMEM. Policies are the caller's to fill. */
[[nodiscard]] int sockets_init(struct sockets *s, int routes);
void sockets_fini(struct sockets *s);
/*
 * One request with n bytes of data. The reply's data goes to `out`, which has BROKER_DATA bytes;
 * *ret_fd: a descriptor to go along, borrowed, or FD_NONE. True: there is a reply.
 */
bool sockets_serve(struct sockets *s, const struct broker_request *q, const unsigned char *data,
		   size_t n, struct broker_reply *ret_a, unsigned char *out, size_t *ret_n,
		   int *ret_fd);
