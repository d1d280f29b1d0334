/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection between a host and an agent: frames on a stream socket, in both directions. What
 * was read and is no whole frame yet, and what the peer has not taken yet, is kept here. Not what
 * the frames mean, nor who waits for the socket.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/auto.h"
#include "base/buf.h"
#include "base/clock.h"
#include "proto/agent.h"

#define AGENT_LINK_OUT_MAX (AGENT_TEXT_MAX + (1u << 20)) /* bytes that may wait to be sent */

struct agent_link {
	int fd; /* owned */
	struct buf in, out;
	size_t used; /* bytes of `in` that agent_link_next() has given */
	bool reset;  /* it was found broken: no word of the peer's ended it */
};
#define AGENT_LINK_INIT                                                                            \
	((struct agent_link){ .fd = FD_NONE,                                                       \
			      .in = BUF_INIT(AGENT_HEADER + AGENT_TEXT_MAX),                       \
			      .out = BUF_INIT(AGENT_LINK_OUT_MAX) })

void agent_link_init(struct agent_link *l, int fd); /* takes fd; it should be non-blocking */
void agent_link_fini(struct agent_link *l);
#define auto_agent_link __attribute__((cleanup(agent_link_fini)))

/*
 * Read what is there, once. 1; 0 the peer sends no more; -EAGAIN; -EBADMSG what came is no frame;
 * -errno. To be called when agent_link_next() has nothing more.
 */
[[nodiscard]] int agent_link_read(struct agent_link *l);
/* The next message of what was read: 1; 0 more must be read; -EBADMSG, -ENOMEM. It borrows from
 * the link until the next agent_link_read(). */
[[nodiscard]] int agent_link_next(struct agent_link *l, struct arena *a, struct agent_msg *ret_m);

/* A message to be sent, with what agent_link_flush() can of it. -EMSGSIZE, -ENOMEM. */
[[nodiscard]] int agent_link_put(struct agent_link *l, const struct agent_msg *m);
/* 1 nothing is left; 0 the socket takes no more now; -errno (-EPIPE, no signal). */
[[nodiscard]] int agent_link_flush(struct agent_link *l);
static inline size_t agent_link_waiting(const struct agent_link *l)
{
	return l->out.n;
}

/*
 * For those who do one thing at a time: all that waits is sent, and one message is received.
 * -ETIMEDOUT at the deadline (CLOCK_MONOTONIC); -EPIPE: the peer hung up before.
 */
[[nodiscard]] int agent_link_send_all(struct agent_link *l, nsec_t deadline);
[[nodiscard]] int agent_link_wait(struct agent_link *l, struct arena *a, nsec_t deadline,
				  struct agent_msg *ret_m);
