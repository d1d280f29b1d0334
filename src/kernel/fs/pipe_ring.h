/* SPDX-License-Identifier: Apache-2.0 */
/* What is in a pipe: of pipe.c and pipe_pass.c alone. */
#pragma once

#include <linux/poll.h>

#include "kernel/core/sched.h"

#define READABLE (POLLIN | POLLRDNORM)
#define WRITABLE (POLLOUT | POLLWRNORM)

/* A page of what was written. A whole packet where `packet`. */
struct slot {
	char *page;
	uint32_t off, len;
	bool packet;
};

struct pipe {
	unsigned int owners; /* files, and the FIFO's inode */
	struct slot *ring;
	bool nameless;		  /* of pipe(), whose opens wait for nobody */
	size_t slots, head, used; /* slots in use: used from head on */
	unsigned int readers, writers;
	uint64_t read_opens,
		write_opens; /* ever: who waits for the other side sees one that came and went */
	struct waitq waiters;
	/* Held while bytes are fetched from or brought to a guest, which may park: what stands in
	 * the ring meanwhile is not another's to take away, nor the ring to be replaced. */
	struct sleeplock reading, writing;
};

static inline struct slot *pipe_slot(const struct pipe *p, size_t n)
{
	return &p->ring[(p->head + n) % p->slots];
}

/* The first slot goes with its page. */
void pipe_drop_first(struct pipe *p);
/* Bytes that came; `page` holds them and is taken. There is room. */
void pipe_append(struct pipe *p, char *page, const char *bytes, size_t n, bool packet);
