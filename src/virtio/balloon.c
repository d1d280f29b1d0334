/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/balloon.h"

#include <errno.h>
#include <linux/virtio_balloon.h>
#include <stdlib.h>
#include <string.h>

#include "base/pack.h"

#define QUEUE_SIZE   128
#define PFNS_MAX     256   /* looked at at once */
#define LIST_MAX     65536 /* bytes of one list that are looked at; Linux sends 1024 */
#define FEATURE(bit) (UINT64_C(1) << (bit))

/*
 * Neither statistics nor free page hints are offered. Reporting is then queue 4 by the
 * specification (5.5.2) and queue 2 for Linux, which does not count queues that are not there: any
 * queue after the first two is the one of reporting.
 */
enum { INFLATE, DEFLATE, REPORTING, QUEUES = 5 };

struct balloon {
	struct virtio_device d;
	uint32_t target, actual; /* pages of 4 KiB; atomic: configuration, read on any thread */
	bool reporting;
	void (*changed)(void *context);
	void *context;
	uint64_t released;
};

static struct balloon *balloon_of(struct virtio_device *d)
{
	return LOOP_OWNER(d, struct balloon, d);
}

static const struct balloon *const_balloon_of(const struct virtio_device *d)
{
	return VIRTIO_OWNER_CONST(d, struct balloon);
}

static void release(struct balloon *b, void *p, size_t n)
{
	if (guest_memory_release(b->d.memory, p, n) < 0)
		b->d.stats.errors++;
	else
		b->released += n;
}

/* Pages beginning at frame `first`, as far as they are memory. */
static void release_pages(struct balloon *b, uint64_t first, uint64_t pages)
{
	uint64_t gpa = first << VIRTIO_BALLOON_PFN_SHIFT;
	size_t left = pages << VIRTIO_BALLOON_PFN_SHIFT;

	while (left > 0) {
		size_t n = left;
		void *p = guest_memory_span(b->d.memory, gpa, &n);

		if (!p) {
			b->d.stats.errors++;
			return;
		}
		release(b, p, n);
		gpa += n;
		left -= n;
	}
}

/* A list of page frames; neighbours go together, in whichever direction they are listed. */
static void release_list(struct balloon *b, const uint32_t *pfns, size_t n)
{
	uint64_t low = 0, high = 0; /* [low, high) */

	for (size_t i = 0; i < n; i++) {
		if (pfns[i] == high && low < high) {
			high++;
		} else if (pfns[i] + UINT64_C(1) == low && low < high) {
			low--;
		} else {
			release_pages(b, low, high - low);
			low = pfns[i];
			high = low + 1;
		}
	}
	release_pages(b, low, high - low);
}

static bool inflate(struct virtio_device *d, unsigned queue, struct chain *c)
{
	struct balloon *b = balloon_of(d);
	uint32_t pfns[PFNS_MAX];
	size_t at = 0, n;

	while (at < LIST_MAX && (n = chain_read(c, at, pfns, sizeof(pfns)) / sizeof(*pfns)) > 0) {
		release_list(b, pfns, n);
		at += n * sizeof(*pfns);
	}
	d->stats.writes++;
	queue_push(&d->queues[queue], c->head, 0);
	return true;
}

/* The guest takes pages back: they are there again when it touches them. */
static bool deflate(struct virtio_device *d, unsigned queue, struct chain *c)
{
	d->stats.reads++;
	queue_push(&d->queues[queue], c->head, 0);
	return true;
}

static bool report(struct virtio_device *d, unsigned queue, struct chain *c)
{
	struct balloon *b = balloon_of(d);

	/* 5.5.6.8.1: the buffers themselves are the free pages. */
	for (size_t i = 0; i < c->in_n; i++)
		release(b, c->in[i].iov_base, c->in[i].iov_len);
	d->stats.writes++;
	queue_push(&d->queues[queue], c->head, 0);
	return true;
}

static void balloon_kick(struct virtio_device *d, unsigned queue)
{
	if (queue == INFLATE)
		virtio_serve(d, queue, inflate);
	else if (queue == DEFLATE)
		virtio_serve(d, queue, deflate);
	else if (balloon_of(d)->reporting)
		virtio_serve(d, queue, report);
}

static uint64_t balloon_features(const struct virtio_device *d)
{
	(void) d;
	/* Without DEFLATE_ON_OOM what was taken counts as memory that is not there: MemTotal of
	 * Linux says so, and a guest that needs more than the rest is short of memory. */
	return FEATURE(VIRTIO_BALLOON_F_REPORTING);
}

static void balloon_config_read(const struct virtio_device *d, uint32_t at, void *to, uint32_t n)
{
	const struct balloon *b = const_balloon_of(d);
	const uint32_t config[2] = {
		__atomic_load_n(&b->target, __ATOMIC_RELAXED),
		__atomic_load_n(&b->actual, __ATOMIC_RELAXED),
	};

	virtio_config_copy(config, sizeof(config), at, to, n);
}

/* `actual` alone is the driver's, and it is written whole (4.1.3.1). */
static void balloon_config_write(struct virtio_device *d, uint32_t at, const void *from, uint32_t n)
{
	struct balloon *b = balloon_of(d);
	uint32_t actual;

	if (at != offsetof(struct virtio_balloon_config, actual) || n != sizeof(actual))
		return;
	memcpy(&actual, from, sizeof(actual));
	__atomic_store_n(&b->actual, actual, __ATOMIC_RELAXED);
	if (b->changed)
		b->changed(b->context);
}

static int balloon_activate(struct virtio_device *d, uint64_t features, struct err *e)
{
	(void) e;
	balloon_of(d)->reporting = features & FEATURE(VIRTIO_BALLOON_F_REPORTING);
	return 0;
}

static int balloon_save(struct virtio_device *d, struct buf *to, struct err *)
{
	const struct balloon *b = const_balloon_of(d);

	pack_u32(to, __atomic_load_n(&b->target, __ATOMIC_RELAXED));
	pack_u32(to, __atomic_load_n(&b->actual, __ATOMIC_RELAXED));
	return 0;
}

static int balloon_restore(struct virtio_device *d, uint64_t features, struct str state,
			   struct err *e)
{
	struct balloon *b = balloon_of(d);
	struct unpack u = unpack_of(state);
	uint32_t target = unpack_u32(&u), actual = unpack_u32(&u);

	if (!unpack_done(&u))
		return virtio_bad_state(d, e);
	__atomic_store_n(&b->target, target, __ATOMIC_RELAXED);
	__atomic_store_n(&b->actual, actual, __ATOMIC_RELAXED);
	return balloon_activate(d, features, e);
}

static void balloon_reset(struct virtio_device *d)
{
	__atomic_store_n(&balloon_of(d)->actual, 0, __ATOMIC_RELAXED);
}

static void balloon_free(struct virtio_device *d)
{
	virtio_reset(d);
	free(balloon_of(d));
}

static const struct virtio_ops balloon_ops = {
	.id = VIRTIO_ID_IS_BALLOON,
	.name = "balloon",
	.features = balloon_features,
	.config_read = balloon_config_read,
	.config_write = balloon_config_write,
	.activate = balloon_activate,
	.kick = balloon_kick,
	.reset = balloon_reset,
	.free = balloon_free,
	.save = balloon_save,
	.restore = balloon_restore,
};

struct virtio_device *balloon_new(struct loop *loop, const struct guest_memory *memory,
				  struct err *e)
{
	struct balloon *b = calloc(1, sizeof(*b));

	if (!b) {
		(void) err_sys(e, ENOMEM, "balloon");
		return NULL;
	}
	virtio_init(&b->d, &balloon_ops, loop, memory, QUEUES, QUEUE_SIZE);
	return &b->d;
}

void balloon_set_target(struct virtio_device *d, uint64_t bytes)
{
	struct balloon *b = balloon_of(d);
	uint64_t all = 0;

	for (size_t i = 0; i < d->memory->regions_n; i++)
		all += d->memory->regions[i].size;
	if (bytes > all)
		bytes = all;
	bytes >>= VIRTIO_BALLOON_PFN_SHIFT;
	__atomic_store_n(&b->target, bytes < UINT32_MAX ? (uint32_t) bytes : UINT32_MAX,
			 __ATOMIC_RELAXED);
	if (d->active)
		d->config_changed(d);
}

uint64_t balloon_target(const struct virtio_device *d)
{
	const struct balloon *b = const_balloon_of(d);

	return (uint64_t) __atomic_load_n(&b->target, __ATOMIC_RELAXED) << VIRTIO_BALLOON_PFN_SHIFT;
}

void balloon_watch(struct virtio_device *d, void (*changed)(void *context), void *context)
{
	balloon_of(d)->changed = changed;
	balloon_of(d)->context = context;
}

uint64_t balloon_actual(const struct virtio_device *d)
{
	const struct balloon *b = const_balloon_of(d);

	return (uint64_t) __atomic_load_n(&b->actual, __ATOMIC_RELAXED) << VIRTIO_BALLOON_PFN_SHIFT;
}

uint64_t balloon_released(const struct virtio_device *d)
{
	return const_balloon_of(d)->released;
}
