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

static int sink_save(struct virtio_device *d, struct buf *to, struct err *)
{
	buf_adds(to, VIRTIO_OWNER_CONST(d, struct sink)->stuck ? "stuck" : "");
	return 0;
}

static int sink_restore(struct virtio_device *d, uint64_t features, struct str state, struct err *e)
{
	LOOP_OWNER(d, struct sink, d)->stuck = str_is(state, "stuck");
	return sink_activate(d, features, e);
}

static const struct virtio_ops sink_ops = {
	.id = VIRTIO_ID_IS_ENTROPY,
	.name = "sink",
	.features = sink_features,
	.activate = sink_activate,
	.kick = sink_kick,
	.reset = sink_reset,
	.save = sink_save,
	.restore = sink_restore,
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

static void test_move(void)
{
	static struct sink other, unsaved;
	static const struct virtio_ops no_save = { .name = "unsaved" };
	auto_buf struct buf state = BUF_INIT(100);
	struct err e = {};
	uint16_t head;
	uint32_t len;

	start(64, VIRTIO_RING_EVENT_IDX);
	virtio_init(&other.d, &sink_ops, &loop, &guest.memory, 2, 512);
	offer(0, 50);
	sink.d.ops->kick(&sink.d, 0);
	offer(0, 5); /* nobody has kicked */
	offer(1, 1);
	guest_offer(&queues[1], 64);
	sink.d.ops->kick(&sink.d, 1);
	sink.stuck = true;
	CHECK(guest_move(&sink.d, &other.d, 1 | VIRTIO_RING_EVENT_IDX, 100, &e) == 0);
	for (unsigned i = 0; i < 2; i++)
		queues[i].queue = &other.d.queues[i];
	CHECK(other.d.active && !sink.d.active && other.stuck && other.d.queues[1].broken);
	virtio_resume(&other.d);
	CHECK(other.served == 0);
	other.stuck = false;
	virtio_resume(&other.d);
	CHECK(other.served == 5 && other.d.queues[0].next_used == 55);
	for (unsigned i = 0; i < 55; i++)
		CHECK(guest_reap(&queues[0], &head, &len) == 1);
	CHECK(guest_reap(&queues[0], &head, &len) == 0);
	for (size_t n = 0; n < 10; n++) /* of two queues and a length */
		CHECK(guest_move(&other.d, &other.d, 1, n, &e) < 0 || n == 10);
	virtio_reset(&other.d);
	CHECK(virtio_save(&other.d, &state, &e) == 0 && state.n == 0);
	virtio_resume(&other.d);

	virtio_init(&unsaved.d, &no_save, &loop, &guest.memory, 1, 512);
	CHECK(virtio_save(&unsaved.d, &state, &e) < 0 && e.kind == ERR_UNSUPPORTED);
	CHECK(strstr(e.msg, "'unsaved'"));
}

static void test_changed(void)
{
	static uint8_t changed[(GUEST_BASE + GUEST_SIZE) / GUEST_PAGE / 8];
	const unsigned rings = GUEST_BASE / GUEST_PAGE / 8, data = rings + GUEST_RINGS / 32768;

	guest.memory.changed = changed;
	start(64, 0);
	(void) guest_request(&queues[0], guest_gpa(&guest, 0), 4096, guest_gpa(&guest, 8191), 2);
	sink.d.ops->kick(&sink.d, 0);
	CHECK(changed[data] == 6 && changed[rings] == 0); /* of what it reads: nothing */
	virtio_mark_rings(&sink.d);
	CHECK(changed[rings] == 1);
	CHECK(guest_memory_write(&guest.memory, guest_gpa(&guest, 16384), "x", 1) == 0);
	CHECK(changed[data] == 0x16);
	CHECK(guest_memory_release(&guest.memory, guest_at(&guest, guest_gpa(&guest, 28000)),
				   16384) == 0);
	CHECK(changed[data] == 0x96 && changed[data + 1] == 3);
	guest.memory.changed = NULL;
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
	test_move();
	test_changed();
	virtio_reset(&sink.d);
	guest_fini(&guest);
	loop_fini(&loop);
	return test_done();
}
