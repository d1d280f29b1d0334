/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connection with the broker: requests of fibers, and their replies. Nothing here waits but
 * outside_ask(), as a fiber.
 */
#pragma once

#include <stdbool.h>

#include "proto/broker.h"

struct outside_answer {
	struct broker_reply reply;
	int fd;	  /* given; FD_NONE: none */
	void *to; /* for data: room for so many bytes */
	size_t room, got;
};

/* What is told unasked (BROKER_STATE): of the number, as that request made it. Must not park. */
typedef void (*outside_told)(uint32_t number, uint32_t made, uint32_t state);

/* fd: taken; non-blocking. told: NULL: nothing is. -errno. */
[[nodiscard]] int outside_link_begin(int fd, outside_told told);
/* What has come is taken now, so that who is told of a socket's end knows why it ended. */
void outside_link_catch_up(void);
/* The tag of the request that is asked next. */
uint32_t outside_link_next(void);
/* The reply's result; -ENETDOWN: there is no broker any more. */
[[nodiscard]] int outside_ask(struct broker_request *q, const void *data, size_t n,
			      struct outside_answer *a);
/* What is not answered: false, nothing was sent, for there is no room now. */
bool outside_tell(struct broker_request *q, const void *data, size_t n);
/* Numbers of sockets. BROKER_SOCKETS: all are taken. */
uint32_t outside_number(void);
/* The socket is closed over there, too, and its number is free then. */
void outside_forget(uint32_t number);
