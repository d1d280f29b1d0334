/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/device.h"

#include <errno.h>
#include <string.h>

#include "base/pack.h"

/* Chains of one queue before the loop's other sources are looked at. */
#define SERVE_MAX 256

void virtio_init(struct virtio_device *d, const struct virtio_ops *ops, struct loop *loop,
		 const struct guest_memory *memory, unsigned queues_n, uint16_t queue_size_max)
{
	d->ops = ops;
	d->loop = loop;
	d->memory = memory;
	d->queues_n = queues_n;
	d->queue_size_max = queue_size_max;
	for (unsigned i = 0; i < queues_n; i++)
		d->queues[i].memory = memory;
}

static int start_queues(struct virtio_device *d, uint64_t features, struct err *e)
{
	for (unsigned i = 0; i < d->queues_n; i++) {
		struct queue *q = &d->queues[i];

		q->event_idx = features & VIRTIO_RING_EVENT_IDX;
		q->indirect = features & VIRTIO_RING_INDIRECT;
		if (q->enabled && (q->size > d->queue_size_max || queue_start(q) < 0))
			return err_set(e, ERR_INVALID, EINVAL,
				       "%s: queue %u of %u entries is not where the driver says",
				       d->ops->name, i, q->size);
	}
	return 0;
}

int virtio_activate(struct virtio_device *d, uint64_t features, struct err *e)
{
	if (start_queues(d, features, e) < 0)
		return -EINVAL;
	d->active = true;
	if (d->ops->activate(d, features, e) < 0) {
		d->active = false;
		return -EINVAL;
	}
	return 0;
}

void virtio_reset(struct virtio_device *d)
{
	loop_timer_cancel(&d->again);
	d->again_queues = 0;
	if (d->active)
		d->ops->reset(d);
	d->active = false;
	for (unsigned i = 0; i < d->queues_n; i++)
		queue_reset(&d->queues[i]);
}

int virtio_pause(struct virtio_device *d, struct err *e)
{
	return d->active && d->ops->pause ? d->ops->pause(d, e) : 0;
}

int virtio_save(struct virtio_device *d, struct buf *to, struct err *e)
{
	size_t at;

	if (!d->ops->save)
		return err_set(e, ERR_UNSUPPORTED, ENOTSUP, "the device '%s' cannot be saved",
			       d->ops->name);
	if (!d->active)
		return 0;
	for (unsigned i = 0; i < d->queues_n; i++) {
		pack_u16(to, d->queues[i].next_avail);
		pack_u8(to, d->queues[i].broken);
	}
	at = to->n;
	pack_u32(to, 0);
	if (d->ops->save(d, to, e) < 0)
		return -EIO;
	if (buf_ok(to))
		store_le32(to->p + at, (uint32_t) (to->n - at - 4));
	return 0;
}

void virtio_resume(struct virtio_device *d)
{
	if (!d->active)
		return;
	if (d->ops->resume) {
		d->ops->resume(d);
		return;
	}
	for (unsigned i = 0; i < d->queues_n && d->active; i++)
		if (d->queues[i].enabled)
			d->ops->kick(d, i);
}

int virtio_restore(struct virtio_device *d, uint64_t features, struct str state, struct err *e)
{
	struct unpack u = unpack_of(state);
	struct str own;

	if (!d->ops->save)
		return err_set(e, ERR_UNSUPPORTED, ENOTSUP, "the device '%s' cannot be restored",
			       d->ops->name);
	if (start_queues(d, features, e) < 0)
		return -EINVAL;
	for (unsigned i = 0; i < d->queues_n; i++) {
		struct queue *q = &d->queues[i];
		uint16_t next_avail = unpack_u16(&u);

		if (q->descs)
			queue_resume(q, next_avail);
		q->broken = unpack_u8(&u) != 0;
	}
	own = unpack_bytes(&u);
	if (!unpack_done(&u))
		return virtio_bad_state(d, e);
	d->active = true;
	if (d->ops->restore(d, features, own, e) < 0) {
		d->active = false;
		return -EINVAL;
	}
	return 0;
}

void virtio_mark_rings(const struct virtio_device *d)
{
	for (unsigned i = 0; i < d->queues_n; i++)
		if (d->queues[i].used_ring)
			queue_mark_used(&d->queues[i]);
}

int virtio_save_nothing(struct virtio_device *, struct buf *, struct err *)
{
	return 0;
}

int virtio_bad_state(const struct virtio_device *d, struct err *e)
{
	return err_set(e, ERR_INVALID, EBADMSG, "%s: its state is none of such a device",
		       d->ops->name);
}

void virtio_config_copy(const void *config, size_t size, uint32_t at, void *to, uint32_t n)
{
	size_t there = at < size ? size - at : 0;

	if (there > n)
		there = n;
	memset(to, 0, n);
	memcpy(to, (const uint8_t *) config + (there ? at : 0), there);
}

void virtio_config_none(const struct virtio_device *d, uint32_t at, void *to, uint32_t n)
{
	(void) d;
	(void) at;
	memset(to, 0, n);
}

void virtio_config_ignore(struct virtio_device *d, uint32_t at, const void *from, uint32_t n)
{
	(void) d;
	(void) at;
	(void) from;
	(void) n;
}

void virtio_signal(struct virtio_device *d, unsigned queue)
{
	if (queue_wants_interrupt(&d->queues[queue]))
		d->interrupt(d, queue);
}

void virtio_broken(struct virtio_device *d, unsigned queue, const char *why)
{
	d->queues[queue].broken = true;
	d->needs_reset(d, why);
}

bool virtio_pop(struct virtio_device *d, unsigned queue, struct chain *c)
{
	int r = queue_pop(&d->queues[queue], c);

	if (r < 0)
		virtio_broken(d, queue, "a chain of descriptors is malformed");
	return r > 0;
}

static void serve_again(struct loop_timer *t)
{
	struct virtio_device *d = LOOP_OWNER(t, struct virtio_device, again);
	uint32_t queues = d->again_queues;

	d->again_queues = 0;
	for (unsigned i = 0; i < d->queues_n && d->active; i++)
		if (queues & (1u << i))
			d->ops->kick(d, i);
}

void virtio_again(struct virtio_device *d, unsigned queue)
{
	if (d->again_queues == 0) /* later than the round of timers that may be running */
		loop_timer_set(d->loop, &d->again, clock_mono(), serve_again);
	d->again_queues |= 1u << queue;
}

void virtio_serve(struct virtio_device *d, unsigned queue,
		  bool (*one)(struct virtio_device *d, unsigned queue, struct chain *c))
{
	struct queue *q = &d->queues[queue];
	unsigned left = SERVE_MAX;

	queue_disable_kicks(q);
	for (;;) {
		if (left == 0) {
			virtio_again(d, queue);
			break;
		}
		if (!virtio_pop(d, queue, &d->chain)) {
			if (!queue_enable_kicks(q))
				break;
			queue_disable_kicks(q);
			continue;
		}
		left--;
		if (!one(d, queue, &d->chain)) {
			queue_unpop(q);
			break;
		}
	}
	virtio_signal(d, queue);
}
