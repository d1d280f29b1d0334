/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A split virtqueue, device side (virtio 1.2, 2.7), with indirect descriptors and event indices.
 * The one walker of descriptor chains: everything the driver wrote is read once, checked, and
 * handed out as addresses in this process. What is wrong breaks the queue for good (until reset):
 * the device sets DEVICE_NEEDS_RESET, it never exits. One thread at a time uses a queue.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "virtio/memory.h"

#define QUEUE_SIZE_MAX	1024
#define CHAIN_PARTS_MAX 1024		   /* buffers of one chain, both directions */
#define CHAIN_BYTES_MAX ((size_t) 1 << 32) /* 2.7.5: at most 2^32 */

struct queue {
	const struct guest_memory *memory; /* borrowed */
	uint16_t size;			   /* a power of two, at most QUEUE_SIZE_MAX */
	uint64_t desc, avail, used;	   /* guest-physical */
	bool enabled, event_idx, indirect; /* indirect: VIRTIO_F_INDIRECT_DESC was taken */
	bool broken;			   /* the driver wrote nonsense */
	uint16_t next_avail, next_used;
	uint16_t signalled; /* next_used at the last interrupt */
	bool signalled_ever;
	/* mapped by queue_start(): */
	void *desc_p, *avail_p, *used_p;
};

/* One request: what the driver wrote (out), then where it wants the answer (in). */
struct chain {
	uint16_t head;
	size_t out_n, in_n; /* parts */
	size_t out_bytes, in_bytes;
	struct iovec *out, *in; /* both within parts */
	struct iovec parts[CHAIN_PARTS_MAX];
};

/* Check size and the three addresses (alignment, inside memory) and map them. 0 or -EINVAL. */
[[nodiscard]] int queue_start(struct queue *q);
void queue_reset(struct queue *q); /* all zero but `memory` */

/* The next chain. 1; 0: none; -EPROTO: the queue is broken now. */
[[nodiscard]] int queue_pop(struct queue *q, struct chain *c);
/* Put the last one back: it will be popped again. */
void queue_unpop(struct queue *q);
/* Give it back, with so many bytes written to `in`. */
void queue_push(struct queue *q, uint16_t head, uint32_t written);
/* Whether the driver wants an interrupt for what was pushed since the last call that said yes. */
bool queue_wants_interrupt(struct queue *q);
/* Ask for kicks, or not. After asking, look once more: true: something came in between. */
bool queue_enable_kicks(struct queue *q);
void queue_disable_kicks(struct queue *q);

/* Bytes between a chain's parts and memory of ours, from byte `at` of that side on: how many. */
size_t chain_read(const struct chain *c, size_t at, void *to, size_t n);
size_t chain_write(const struct chain *c, size_t at, const void *from, size_t n);
