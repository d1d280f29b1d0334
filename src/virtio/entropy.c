/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/entropy.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/auto.h"

#define QUEUE_SIZE  64
#define REQUEST_MAX 65536u /* bytes given to one request, however much it asks for */

struct entropy {
	struct virtio_device d;
};

/* Random bytes into [p, p + n): how many. */
static size_t fill(void *p, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t r = getrandom((uint8_t *) p + done, n - done, 0);

		if (r < 0 && errno != EINTR)
			break;
		if (r > 0)
			done += (size_t) r;
	}
	return done;
}

static bool serve(struct virtio_device *d, unsigned queue, struct chain *c)
{
	size_t done = 0;

	for (size_t i = 0; i < c->in_n && done < REQUEST_MAX; i++) {
		size_t n = c->in[i].iov_len;
		size_t got = fill(c->in[i].iov_base,
				  n < REQUEST_MAX - done ? n : REQUEST_MAX - done);

		done += got;
		if (got < n)
			break;
	}
	if (done == 0)
		d->stats.errors++;
	d->stats.reads++;
	d->stats.read_bytes += done;
	queue_push(&d->queues[queue], c->head, (uint32_t) done);
	return true;
}

static void entropy_kick(struct virtio_device *d, unsigned queue)
{
	virtio_serve(d, queue, serve);
}

static uint64_t entropy_features(const struct virtio_device *d)
{
	(void) d;
	return 0;
}

static int entropy_activate(struct virtio_device *d, uint64_t features, struct err *e)
{
	(void) d;
	(void) features;
	(void) e;
	return 0;
}

static int entropy_restore(struct virtio_device *d, uint64_t features, struct str state,
			   struct err *e)
{
	return state.n ? virtio_bad_state(d, e) : entropy_activate(d, features, e);
}

static void entropy_reset(struct virtio_device *d)
{
	(void) d; /* no request outlives its callback */
}

static void entropy_free(struct virtio_device *d)
{
	virtio_reset(d);
	free(LOOP_OWNER(d, struct entropy, d));
}

static const struct virtio_ops entropy_ops = {
	.id = VIRTIO_ID_IS_ENTROPY,
	.name = "entropy",
	.features = entropy_features,
	.config_read = virtio_config_none,
	.config_write = virtio_config_ignore,
	.activate = entropy_activate,
	.kick = entropy_kick,
	.reset = entropy_reset,
	.free = entropy_free,
	.save = virtio_save_nothing,
	.restore = entropy_restore,
};

struct virtio_device *entropy_new(struct loop *loop, const struct guest_memory *memory,
				  struct err *e)
{
	struct entropy *n = calloc(1, sizeof(*n));

	if (!n) {
		(void) err_sys(e, ENOMEM, "source of entropy");
		return NULL;
	}
	virtio_init(&n->d, &entropy_ops, loop, memory, 1, QUEUE_SIZE);
	return &n->d;
}
