/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A split virtqueue, device side (virtio 1.2, 2.7), with indirect descriptors and event indices.
 * The one walker of descriptor chains: everything the driver wrote is read once, checked, and
 * handed out as addresses in this process. What is wrong breaks the queue for good (until reset):
 * the device sets DEVICE_NEEDS_RESET, it never exits. One thread at a time uses a queue.
 */
#pragma once

#include "virtio/iovec.h"
#include "virtio/memory.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QUEUE_SIZE_MAX	1024
#define CHAIN_PARTS_MAX 1024		   /* buffers of one chain, both directions */
#define CHAIN_BYTES_MAX ((size_t) 1 << 32) /* 2.7.5: at most 2^32 */

struct queue {
	const struct guest_memory *memory; /* borrowed */
	uint16_t size;			   /* a power of two, at most QUEUE_SIZE_MAX */
	uint64_t desc, avail, used;	   /* guest-physical */
	bool enabled, event_idx, indirect; /* the latter two: the feature was taken */
	bool broken;			   /* the driver wrote nonsense */
	uint16_t next_avail, next_used;
	uint16_t staged;    /* used entries written, not published yet */
	uint16_t signalled; /* next_used when an interrupt was last thought of */
	bool signalled_ever;
	/* Mapped by queue_start(); NULL: not started. */
	struct queue_desc *descs;
	uint16_t *avail_ring; /* flags, idx, ring[size], used_event */
	uint16_t *used_ring;  /* flags, idx, { u32 id, u32 len }[size], avail_event */
};

/* As the driver writes it. Little-endian, as the hosts are that this is built for. */
struct queue_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};
#define QUEUE_DESC_NEXT	    1
#define QUEUE_DESC_WRITE    2
#define QUEUE_DESC_INDIRECT 4

/*
 * One request: what the driver wrote (out), then where it wants the answer (in). Large: it lives
 * in its owner, not on the stack. A buffer across regions of memory is several parts; empty ones
 * are none.
 */
struct chain {
	uint16_t head;
	size_t out_n, in_n; /* parts */
	size_t out_bytes, in_bytes;
	struct iovec *out, *in; /* both within parts */
	struct iovec parts[CHAIN_PARTS_MAX];
};

/* For who keeps one while others are popped into its place. */
void chain_copy(struct chain *to, const struct chain *from);

/*
 * Check size and the three addresses (alignment, inside memory) and map them: 0 or -EINVAL. It
 * goes on where next_avail and next_used say, which queue_reset() makes 0.
 */
[[nodiscard]] int queue_start(struct queue *q);
/* Go on in a started queue where another device has left it (vhost-user's base). */
void queue_resume(struct queue *q, uint16_t next_avail);
void queue_reset(struct queue *q); /* all zero but `memory` */
/* The ring that the device writes counts as changed (guest_memory_mark()); the queue is started. */
void queue_mark_used(const struct queue *q);

/* The next chain. 1; 0: none; -EPROTO: the queue is broken now. */
[[nodiscard]] int queue_pop(struct queue *q, struct chain *c);
/* Put the last one popped back: it will be popped again. */
void queue_unpop(struct queue *q);
/* Give it back, with so many bytes written to `in`. */
void queue_push(struct queue *q, uint16_t head, uint32_t written);
/* The same for several that the driver is to see at once: stage each, then publish. */
void queue_stage(struct queue *q, uint16_t head, uint32_t written);
void queue_publish(struct queue *q);
/* Whether the driver wants an interrupt for what was pushed since the last call. */
bool queue_wants_interrupt(struct queue *q);
/* Ask for kicks, or not. After asking, look once more: true: something came in between. */
bool queue_enable_kicks(struct queue *q);
/* The same, but what is there already is known: only what comes later is asked for. */
void queue_await_kick(struct queue *q);
/* With event indices, for who looks by himself from time to time: ask for a kick only when n chains
 * have come. */
void queue_await_chains(struct queue *q, uint16_t n);
/* How many chains wait, as the driver says. */
uint16_t queue_waiting(const struct queue *q);
void queue_disable_kicks(struct queue *q);
/* How many were given back since the driver was last thought of. */
static inline uint16_t queue_untold(const struct queue *q)
{
	return (uint16_t) (q->next_used - q->signalled);
}

/* Bytes between a chain's parts and memory of ours, from byte `at` of that side on: how many. */
static inline size_t chain_read(const struct chain *c, size_t at, void *to, size_t n)
{
	return iovec_read(c->out, c->out_n, at, to, n);
}

static inline size_t chain_write(const struct chain *c, size_t at, const void *from, size_t n)
{
	return iovec_write(c->in, c->in_n, at, from, n);
}
