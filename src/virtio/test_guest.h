/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest for tests: its memory (a memfd, as a machine's), and the driver's side of virtqueues in
 * it. It writes what it is told, also what no driver should. Failures to set it up end the test.
 */
#pragma once

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/auto.h"
#include "virtio/device.h"

#define GUEST_BASE  0x100000 /* address 0 is no memory */
#define GUEST_SIZE  (4u << 20)
#define GUEST_RINGS 0x40000 /* the first bytes of the memory are the rings', see guest_queue() */

struct guest {
	struct guest_memory memory;
	uint8_t *bytes;
	int fd;
	unsigned interrupts[VIRTIO_QUEUES_MAX], config_changes, resets_needed;
};

/* The driver's side of one queue of a device. */
struct guest_queue {
	struct guest *guest;
	struct queue *queue; /* the device's side of it */
	struct queue_desc *descs;
	uint16_t *avail, *used;
	uint16_t next_desc, next_avail, last_used;
};

static inline void guest_init(struct guest *g)
{
	*g = (struct guest){ .fd = memfd_create("guest", MFD_CLOEXEC) };
	if (g->fd < 0 || ftruncate(g->fd, GUEST_SIZE) < 0)
		abort();
	g->bytes = mmap(NULL, GUEST_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, g->fd, 0);
	if (g->bytes == MAP_FAILED)
		abort();
	g->memory = (struct guest_memory){ .regions_n = 1 };
	g->memory.regions[0] = (struct guest_region){
		.gpa = GUEST_BASE, .size = GUEST_SIZE, .hva = g->bytes, .fd = g->fd
	};
}

static inline void guest_fini(struct guest *g)
{
	(void) munmap(g->bytes, GUEST_SIZE);
	close_fd(&g->fd);
}

/* Where the guest has so many bytes, past the rings. */
static inline uint64_t guest_gpa(const struct guest *g, size_t at)
{
	(void) g;
	return GUEST_BASE + GUEST_RINGS + at;
}

static inline uint8_t *guest_at(const struct guest *g, uint64_t gpa)
{
	return g->bytes + (gpa - GUEST_BASE);
}

/* Place queue `n` of a device with so many entries; it is not started. */
static inline struct guest_queue guest_queue(struct guest *g, struct queue *q, unsigned n,
					     uint16_t size)
{
	uint64_t at = GUEST_BASE + n * (GUEST_RINGS / VIRTIO_QUEUES_MAX);

	q->memory = &g->memory;
	q->size = size;
	q->desc = at;
	q->avail = at + 16 * (uint64_t) size;
	q->used = (q->avail + 6 + 2 * (uint64_t) size + 3) & ~(uint64_t) 3;
	q->enabled = true;
	memset(guest_at(g, at), 0, GUEST_RINGS / VIRTIO_QUEUES_MAX);
	return (struct guest_queue){
		.guest = g,
		.queue = q,
		.descs = (struct queue_desc *) (void *) guest_at(g, q->desc),
		.avail = (uint16_t *) (void *) guest_at(g, q->avail),
		.used = (uint16_t *) (void *) guest_at(g, q->used),
	};
}

/* The next free descriptor, used round and round: the caller has no more than `size` in flight. */
static inline uint16_t guest_desc(struct guest_queue *v, uint64_t addr, uint32_t len,
				  uint16_t flags)
{
	uint16_t at = v->next_desc;

	v->next_desc = (uint16_t) ((at + 1u) % v->queue->size);
	v->descs[at] = (struct queue_desc){ addr, len, flags, v->next_desc };
	return at;
}

/* Make a chain visible. */
static inline void guest_offer(struct guest_queue *v, uint16_t head)
{
	v->avail[2 + v->next_avail % v->queue->size] = head;
	v->next_avail++;
	__atomic_store_n(&v->avail[1], v->next_avail, __ATOMIC_RELEASE);
}

/* A chain of one or two buffers: out_n bytes that the device reads, then in_n that it writes. */
static inline uint16_t guest_request(struct guest_queue *v, uint64_t out, uint32_t out_n,
				     uint64_t in, uint32_t in_n)
{
	uint16_t head = v->next_desc;

	if (out_n)
		(void) guest_desc(v, out, out_n, in_n ? QUEUE_DESC_NEXT : 0);
	if (in_n)
		(void) guest_desc(v, in, in_n, QUEUE_DESC_WRITE);
	guest_offer(v, head);
	return head;
}

/* What the device has given back: 1 and the chain's head and length, or 0. */
static inline int guest_reap(struct guest_queue *v, uint16_t *ret_head, uint32_t *ret_len)
{
	uint32_t element[2];

	if (__atomic_load_n(&v->used[1], __ATOMIC_ACQUIRE) == v->last_used)
		return 0;
	memcpy(element, &v->used[2 + 4 * (v->last_used % v->queue->size)], sizeof(element));
	v->last_used++;
	*ret_head = (uint16_t) element[0];
	*ret_len = element[1];
	return 1;
}

static inline void guest_interrupt(struct virtio_device *d, unsigned queue)
{
	struct guest *g = d->transport;

	g->interrupts[queue]++;
}

static inline void guest_config_changed(struct virtio_device *d)
{
	struct guest *g = d->transport;

	g->config_changes++;
}

static inline void guest_needs_reset(struct virtio_device *d, const char *why)
{
	struct guest *g = d->transport;

	(void) why;
	g->resets_needed++;
}

/* Be the device's transport, with all its queues of `size` entries, and set DRIVER_OK. */
static inline void guest_drive(struct guest *g, struct virtio_device *d, uint64_t features,
			       uint16_t size, struct guest_queue *ret_queues)
{
	struct err e;

	d->transport = g;
	d->interrupt = guest_interrupt;
	d->config_changed = guest_config_changed;
	d->needs_reset = guest_needs_reset;
	for (unsigned i = 0; i < d->queues_n; i++)
		ret_queues[i] = guest_queue(g, &d->queues[i], i, size);
	if (virtio_activate(d, features, &e) < 0) {
		(void) fprintf(stderr, "%s\n", e.msg);
		abort();
	}
}

/*
 * `to` goes on where `from`, which may be the same, was saved: as virtio_restore(), which gets the
 * first n bytes of the state. `from` is reset.
 */
static inline int guest_move(struct virtio_device *from, struct virtio_device *to,
			     uint64_t features, size_t n, struct err *e)
{
	auto_buf struct buf state = BUF_INIT(1 << 20);
	struct queue places[VIRTIO_QUEUES_MAX];

	if (virtio_pause(from, e) < 0 || virtio_save(from, &state, e) < 0 || !buf_ok(&state))
		abort();
	memcpy(places, from->queues, sizeof(places));
	virtio_reset(from);
	for (unsigned i = 0; i < to->queues_n; i++) {
		to->queues[i].size = places[i].size;
		to->queues[i].desc = places[i].desc;
		to->queues[i].avail = places[i].avail;
		to->queues[i].used = places[i].used;
		to->queues[i].enabled = places[i].enabled;
	}
	to->transport = from->transport;
	to->interrupt = guest_interrupt;
	to->config_changed = guest_config_changed;
	to->needs_reset = guest_needs_reset;
	return virtio_restore(to, features, (struct str){ state.p, n < state.n ? n : state.n }, e);
}
