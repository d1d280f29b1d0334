/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is asked of a running file server (atoll-device fs --control): a share more, or one less,
 * for a machine whose containers come and go. One datagram of a unix seqpacket socket for each
 * request, with the share's descriptor beside it, and one for its answer, in order. Both sides are
 * of one build and on one host, as bytes lie in memory; the server checks what it is told.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"

#define SHARES_NAME_SIZE 128 /* bytes of a name and its NUL */

enum shares_type {
	SHARES_ADD = 1, /* descriptor: a directory, or a file; -EEXIST: there is one of that name */
	/* With all that the guest has open of it. -ENOENT: there is none; -EBUSY: a request in it
	 * takes its time, ask again. */
	SHARES_REMOVE,
};

struct shares_request {
	uint32_t type;
	uint32_t read_only; /* of ADD: 0 or 1 */
	char name[SHARES_NAME_SIZE];
};

struct shares_reply {
	int32_t error; /* 0 or -errno */
};

/* 1, the descriptor given (FD_NONE: none came); 0: the peer has gone; -EBADMSG, -errno. */
[[nodiscard]] int shares_receive(int sock, struct shares_request *ret_q, int *ret_fd);
/* Ask on a connected socket, with fd (borrowed; FD_NONE: none), and wait. 0, what the server says,
 * or why it could not be asked: -ETIMEDOUT, -EPIPE, -errno. */
[[nodiscard]] int shares_ask(int sock, const struct shares_request *q, int fd, nsec_t deadline);
