/* SPDX-License-Identifier: Apache-2.0 */
/* What all devices share, seen through one that returns what it is given. */
#include "base/test.h"
#include "virtio/test_guest.h"

struct sink {
	struct virtio_device d;
	unsigned served, resets;
	bool stuck, refuses;
};

static struct guest guest;
static struct loop loop;
static struct sink sink;
static struct guest_queue queues[VIRTIO_QUEUES_MAX];

static bool take_one(struct virtio_device *d, unsigned queue, struct chain *c)
{
	struct sink *s = LOOP_OWNER(d, struct sink, d);

	if (s->stuck)
		return false;
	s->served++;
	queue_push(&d->queues[queue], c->head, (uint32_t) c->in_bytes);
	return true;
}

static uint64_t sink_features(const struct virtio_device *d)
{
	(void) d;
	return 1;
}

static int sink_activate(struct virtio_device *d, uint64_t features, struct err *e)
{
	struct sink *s = LOOP_OWNER(d, struct sink, d);

	return s->refuses || !(features & 1) ? err_set(e, ERR_INTERNAL, 0, "refused") : 0;
}

static void sink_kick(struct virtio_device *d, unsigned queue)
{
	virtio_serve(d, queue, take_one);
}

static void sink_reset(struct virtio_device *d)
{
	LOOP_OWNER(d, struct sink, d)->resets++;
}

static const struct virtio_ops sink_ops = {
	.id = VIRTIO_ID_IS_ENTROPY,
	.name = "sink",
	.features = sink_features,
	.activate = sink_activate,
	.kick = sink_kick,
	.reset = sink_reset,
};

static void start(uint16_t size, uint64_t features)
{
	virtio_reset(&sink.d);
	sink = (struct sink){};
	guest.interrupts[0] = guest.interrupts[1] = guest.resets_needed = 0;
	virtio_init(&sink.d, &sink_ops, &loop, &guest.memory, 2, 512);
	guest_drive(&guest, &sink.d, features | 1, size, queues);
}

static void offer(unsigned queue, unsigned n)
{
	while (n--)
		(void) guest_request(&queues[queue], 0, 0, guest_gpa(&guest, 0), 16);
}

static void test_serve(void)
{
	start(64, 0);
	offer(0, 50);
	sink.d.ops->kick(&sink.d, 0);
	CHECK(sink.served == 50 && guest.interrupts[0] == 1 && guest.interrupts[1] == 0);
	CHECK(queues[0].used[0] == 0); /* kicks are on */
	sink.d.ops->kick(&sink.d, 0);
	CHECK(sink.served == 50 && guest.interrupts[0] == 1);
	CHECK(!sink.d.again.loop);

	/* Nothing can be done now: it stays where it is. */
	sink.stuck = true;
	offer(0, 3);
	sink.d.ops->kick(&sink.d, 0);
	sink.d.ops->kick(&sink.d, 0);
	CHECK(sink.served == 50 && guest.interrupts[0] == 1);
	sink.stuck = false;
	sink.d.ops->kick(&sink.d, 0);
	CHECK(sink.served == 53 && guest.interrupts[0] == 2);

	/* A queue that the driver has not enabled is quiet. */
	start(64, 0);
	queue_reset(&sink.d.queues[1]);
	sink.d.ops->kick(&sink.d, 1);
	CHECK(guest.resets_needed == 0 && guest.interrupts[1] == 0);
}

static void test_turns(void)
{
	start(512, VIRTIO_RING_EVENT_IDX);
	offer(0, 512);
	offer(1, 5);
	sink.d.ops->kick(&sink.d, 0);
	CHECK(sink.served == 256); /* others get their turn */
	CHECK(loop_once(&loop) == 0);
	CHECK(sink.served == 512);
	CHECK(loop_once(&loop) == 0); /* one more look, as it cannot know that this was all */
	CHECK(!sink.d.again.loop);
	sink.d.ops->kick(&sink.d, 1);
	CHECK(sink.served == 517);

	/* What waits for its turn does not outlive a reset. */
	start(512, 0);
	offer(0, 512);
	sink.d.ops->kick(&sink.d, 0);
	virtio_reset(&sink.d);
	CHECK(sink.resets == 1 && !sink.d.again.loop && !loop.timers && !sink.d.active);
	CHECK(!sink.d.queues[0].descs && sink.d.queues[0].memory == &guest.memory);
}

static void test_broken(void)
{
	start(64, 0);
	offer(0, 1);
	guest_offer(&queues[0], 64);
	sink.d.ops->kick(&sink.d, 0);
	CHECK(sink.served == 1 && guest.resets_needed == 1);
	sink.d.ops->kick(&sink.d, 0);
	CHECK(guest.resets_needed == 1);
	offer(1, 1);
	sink.d.ops->kick(&sink.d, 1);
	CHECK(sink.served == 2);
}

static void test_activate(void)
{
	struct err e = {};

	start(64, 0);
	virtio_reset(&sink.d);
	queues[0] = guest_queue(&guest, &sink.d.queues[0], 0, 1024); /* above its maximum */
	CHECK(virtio_activate(&sink.d, 1, &e) < 0 && e.kind == ERR_INVALID && !sink.d.active);
	virtio_reset(&sink.d);
	queues[0] = guest_queue(&guest, &sink.d.queues[0], 0, 64);
	sink.refuses = true;
	CHECK(virtio_activate(&sink.d, 1, &e) < 0 && e.kind == ERR_INTERNAL && !sink.d.active);
	sink.refuses = false;
	CHECK(virtio_activate(&sink.d, 1, &e) == 0 && sink.d.active);
	CHECK(!sink.d.queues[1].descs); /* not enabled */
	CHECK(!sink.d.queues[0].event_idx && !sink.d.queues[0].indirect);
}

static void test_config(void)
{
	static const uint8_t config[6] = { 1, 2, 3, 4, 5, 6 };
	uint8_t got[8];

	virtio_config_copy(config, 6, 4, got, 4);
	CHECK(got[0] == 5 && got[1] == 6 && got[2] == 0 && got[3] == 0);
	virtio_config_copy(config, 6, 6, got, 4);
	CHECK(got[0] == 0);
	virtio_config_copy(config, 6, UINT32_MAX, got, 8);
	CHECK(got[0] == 0 && got[7] == 0);
	virtio_config_copy(config, 6, 0, got, 8);
	CHECK(got[0] == 1 && got[5] == 6 && got[6] == 0);
}

int main(void)
{
	CHECK(loop_init(&loop) == 0);
	guest_init(&guest);
	test_serve();
	test_turns();
	test_broken();
	test_activate();
	test_config();
	virtio_reset(&sink.d);
	guest_fini(&guest);
	loop_fini(&loop);
	return test_done();
}
