/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile driver for the fuzz targets of virtio devices. The input is a list of what it does:
 * chains with any addresses, lengths and flags, writes into its own memory (rings included), kicks,
 * accesses to the configuration, resets, limits of its rate, and what the device's backend hears
 * meanwhile.
 */
#pragma once

#include "base/auto.h"
#include "fuzz.h"
#include "virtio/test_guest.h"

enum { /* the low bits of the first byte of each step */
       OP_CHAIN,
       OP_POKE,
       OP_KICK,
       OP_LOOP,
       OP_CONFIG_READ,
       OP_CONFIG_WRITE,
       OP_RESET,
       OP_FEED,
};

struct driver {
	struct guest guest;
	struct loop loop;
	struct virtio_device *device;
	struct guest_queue queues[VIRTIO_QUEUES_MAX];
	void (*feed)(const uint8_t *data, size_t n); /* the backend says this; NULL: has none */
	const uint8_t *data;			     /* what is left of the input */
	size_t size;
	uint16_t queue_size;
	uint64_t features;
	struct loop_timer wake;
};

static inline uint8_t driver_u8(struct driver *v)
{
	if (v->size == 0)
		return 0;
	v->size--;
	return *v->data++;
}

static inline uint16_t driver_u16(struct driver *v)
{
	uint8_t low = driver_u8(v);

	return (uint16_t) (low | driver_u8(v) << 8);
}

static inline const uint8_t *driver_bytes(struct driver *v, size_t *n)
{
	const uint8_t *p = v->data;

	if (*n > v->size)
		*n = v->size;
	v->data += *n;
	v->size -= *n;
	return p;
}

/* 64 KiB past the rings, and some places where something else begins or ends. */
static inline uint64_t driver_gpa(uint16_t word)
{
	static const uint64_t places[] = {
		0,
		GUEST_BASE,
		GUEST_BASE - 1,
		GUEST_BASE + GUEST_SIZE - 1,
		GUEST_BASE + GUEST_SIZE,
		GUEST_BASE + GUEST_RINGS / VIRTIO_QUEUES_MAX,
		UINT64_MAX,
		UINT64_MAX - 4095,
	};

	if (word >= 0xff00)
		return places[word % ARRAY_SIZE(places)];
	return GUEST_BASE + GUEST_RINGS + word;
}

static inline uint32_t driver_len(uint16_t word)
{
	return word == UINT16_MAX ? UINT32_MAX : word == UINT16_MAX - 1 ? GUEST_SIZE : word;
}

static inline void driver_chain(struct driver *v)
{
	struct guest_queue *q = &v->queues[driver_u8(v) % v->device->queues_n];
	unsigned n = driver_u8(v) % 8 + 1;
	uint16_t head = q->next_desc;

	if (!q->descs)
		return;
	while (n--) {
		uint64_t addr = driver_gpa(driver_u16(v));
		uint32_t len = driver_len(driver_u16(v));
		uint16_t flags = driver_u8(v) & (QUEUE_DESC_WRITE | QUEUE_DESC_INDIRECT);

		(void) guest_desc(q, addr, len, flags | (n ? QUEUE_DESC_NEXT : 0));
	}
	guest_offer(q, head);
}

static inline void driver_woken(struct loop_timer *t)
{
	(void) t;
}

/* One round of the loop, which does not wait. */
static inline void driver_loop(struct driver *v)
{
	loop_timer_set(&v->loop, &v->wake, clock_mono(), driver_woken);
	if (loop_once(&v->loop) < 0)
		abort();
}

static inline void driver_config(struct driver *v, bool write)
{
	uint32_t at = driver_u16(v);
	uint8_t word[8] = { 0 };
	uint32_t n = 1u << driver_u8(v) % 4;

	if (write) {
		for (unsigned i = 0; i < n; i++)
			word[i] = driver_u8(v);
		v->device->ops->config_write(v->device, at, word, n);
	} else {
		v->device->ops->config_read(v->device, at, word, n);
	}
}

static inline void driver_step(struct driver *v)
{
	uint8_t op = driver_u8(v);
	const uint8_t *p;
	struct err e;
	uint16_t at;
	size_t n;

	switch (op % 8) {
	case OP_CHAIN:
		driver_chain(v);
		break;
	case OP_POKE: /* in the rings too, with the high bit of the step */
		at = driver_u16(v);
		n = driver_u8(v);
		p = driver_bytes(v, &n);
		memcpy(v->guest.bytes + (op & 0x80 ? 0 : GUEST_RINGS) + at, p, n);
		break;
	case OP_KICK:
		v->device->ops->kick(v->device, driver_u8(v) % v->device->queues_n);
		break;
	case OP_LOOP:
		driver_loop(v);
		break;
	case OP_CONFIG_READ:
		driver_config(v, false);
		break;
	case OP_CONFIG_WRITE:
		driver_config(v, true);
		break;
	case OP_RESET: /* with the high bit: rates that hold it up, or none */
		if (op & 0x80 && v->device->ops->limit) {
			struct rate_limit read = { driver_u8(v) * 1024u, driver_u8(v) };
			struct rate_limit write = { driver_u8(v) * 1024u, driver_u8(v) };

			v->device->ops->limit(v->device, read, write);
			break;
		}
		/* With the next: a snapshot that is gone on from at once. */
		if (op & 0x40 && v->device->ops->save && v->device->active &&
		    guest_move(v->device, v->device, v->features, SIZE_MAX, &e) == 0) {
			virtio_resume(v->device);
			break;
		}
		virtio_reset(v->device);
		guest_drive(&v->guest, v->device, v->features, v->queue_size, v->queues);
		break;
	case OP_FEED:
		n = driver_u8(v);
		p = driver_bytes(v, &n);
		if (v->feed)
			v->feed(p, n);
		break;
	}
}

/* Once per process. */
static inline void driver_init(struct driver *v)
{
	if (!v->device && loop_init(&v->loop) == 0)
		guest_init(&v->guest);
	/* The same empty memory for each input. */
	if (ftruncate(v->guest.fd, 0) < 0 || ftruncate(v->guest.fd, GUEST_SIZE) < 0)
		abort();
}

/* Drive `device`, and free it. */
static inline void driver_run(struct driver *v, struct virtio_device *device, const uint8_t *data,
			      size_t size)
{
	uint8_t kind;

	v->device = device;
	v->data = data;
	v->size = size;
	kind = driver_u8(v);
	v->queue_size = (uint16_t) (1u << driver_u8(v) % 9);
	if (v->queue_size > device->queue_size_max)
		v->queue_size = device->queue_size_max;
	v->features = kind & 3 ? device->ops->features(device) : 0;
	if (kind & 4)
		v->features |= VIRTIO_RING_EVENT_IDX;
	if (kind & 8)
		v->features |= VIRTIO_RING_INDIRECT;
	guest_drive(&v->guest, device, v->features, v->queue_size, v->queues);
	for (unsigned left = 512; left && v->size; left--)
		driver_step(v);
	for (unsigned i = 0; i < device->queues_n; i++)
		device->ops->kick(device, i);
	driver_loop(v);
	device->ops->free(device);
	if (v->loop.timers && v->loop.timers != &v->wake)
		abort(); /* of a device that is gone */
	loop_timer_cancel(&v->wake);
}
