/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "base/test.h"
#include "virtio/test_guest.h"

static struct guest guest;
static struct queue queue;
static struct guest_queue v;
static struct chain chain;

static void start(uint16_t size, bool event_idx, bool indirect)
{
	queue = (struct queue){};
	v = guest_queue(&guest, &queue, 0, size);
	queue.event_idx = event_idx;
	queue.indirect = indirect;
	CHECK(queue_start(&queue) == 0);
}

static void test_memory(void)
{
	struct guest_memory m = { .regions_n = 2 };
	static uint8_t low[64], high[64];
	uint8_t got[32];
	size_t n = 100;

	m.regions[0] =
		(struct guest_region){ .gpa = 0x1000, .size = 64, .hva = low, .fd = FD_NONE };
	m.regions[1] =
		(struct guest_region){ .gpa = 0x1040, .size = 64, .hva = high, .fd = FD_NONE };
	CHECK(guest_memory_at(&m, 0x1000, 64) == low);
	CHECK(guest_memory_at(&m, 0x1040, 64) == high);
	CHECK(!guest_memory_at(&m, 0x1000, 65)); /* two pieces */
	CHECK(!guest_memory_at(&m, 0xfff, 1));
	CHECK(!guest_memory_at(&m, 0x1080, 1));
	CHECK(!guest_memory_at(&m, UINT64_MAX, 2));
	CHECK(guest_memory_at(&m, 0x107f, 1) == high + 63);
	CHECK(guest_memory_span(&m, 0x1030, &n) == low + 48 && n == 16);

	CHECK(guest_memory_write(&m, 0x1038, "0123456789abcdef", 16) == 0);
	CHECK(memcmp(low + 56, "01234567", 8) == 0 && memcmp(high, "89abcdef", 8) == 0);
	CHECK(guest_memory_read(&m, 0x1038, got, 16) == 0 &&
	      memcmp(got, "0123456789abcdef", 16) == 0);
	CHECK(guest_memory_read(&m, 0x1070, got, 17) == -EFAULT);
	CHECK(guest_memory_write(&m, 0x1078, "ZZZZZZZZZ", 9) == -EFAULT && high[56] == 0);
}

static void test_start(void)
{
	static const struct {
		uint16_t size;
		uint64_t desc, avail, used;
	} wrong[] = {
		{ 0, GUEST_BASE, GUEST_BASE + 0x1000, GUEST_BASE + 0x2000 },
		{ 3, GUEST_BASE, GUEST_BASE + 0x1000, GUEST_BASE + 0x2000 },
		{ 2048, GUEST_BASE, GUEST_BASE + 0x10000, GUEST_BASE + 0x20000 },
		{ 8, GUEST_BASE + 8, GUEST_BASE + 0x1000, GUEST_BASE + 0x2000 },
		{ 8, GUEST_BASE, GUEST_BASE + 0x1001, GUEST_BASE + 0x2000 },
		{ 8, GUEST_BASE, GUEST_BASE + 0x1000, GUEST_BASE + 0x2002 },
		{ 8, GUEST_BASE + GUEST_SIZE - 112, GUEST_BASE + 0x1000, GUEST_BASE + 0x2000 },
		{ 8, GUEST_BASE, GUEST_BASE + GUEST_SIZE - 20, GUEST_BASE + 0x2000 },
		{ 8, GUEST_BASE, GUEST_BASE + 0x1000, GUEST_BASE + GUEST_SIZE - 68 },
		{ 8, UINT64_MAX - 15, GUEST_BASE + 0x1000, GUEST_BASE + 0x2000 },
		{ 8, 0, GUEST_BASE + 0x1000, GUEST_BASE + 0x2000 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		queue = (struct queue){
			.memory = &guest.memory,
			.size = wrong[i].size,
			.desc = wrong[i].desc,
			.avail = wrong[i].avail,
			.used = wrong[i].used,
		};
		CHECK(queue_start(&queue) == -EINVAL);
		CHECK(queue_pop(&queue, &chain) == 0); /* and nothing comes out */
		CHECK(!queue_enable_kicks(&queue) && !queue_wants_interrupt(&queue));
	}
	/* To the last byte of memory. */
	queue = (struct queue){
		.memory = &guest.memory,
		.size = 8,
		.desc = GUEST_BASE,
		.avail = GUEST_BASE + 0x1000,
		.used = GUEST_BASE + GUEST_SIZE - 72,
	};
	CHECK(queue_start(&queue) == 0);
}

static void test_request(void)
{
	uint64_t out = guest_gpa(&guest, 0), in = guest_gpa(&guest, 4096);
	uint16_t head;
	uint32_t len;
	char got[16] = "";

	start(8, false, false);
	CHECK(queue_pop(&queue, &chain) == 0);
	memcpy(guest_at(&guest, out), "question", 8);
	head = guest_request(&v, out, 8, in, 100);
	CHECK(queue_pop(&queue, &chain) == 1);
	CHECK(chain.head == head && chain.out_n == 1 && chain.in_n == 1);
	CHECK(chain.out_bytes == 8 && chain.in_bytes == 100);
	CHECK(chain_read(&chain, 0, got, sizeof(got)) == 8 && memcmp(got, "question", 8) == 0);
	CHECK(chain_read(&chain, 3, got, 2) == 2 && memcmp(got, "st", 2) == 0);
	CHECK(chain_read(&chain, 8, got, 2) == 0);
	CHECK(chain_write(&chain, 2, "answer", 6) == 6);
	CHECK(memcmp(guest_at(&guest, in + 2), "answer", 6) == 0);
	CHECK(chain_write(&chain, 98, "answer", 6) == 2);
	CHECK(queue_pop(&queue, &chain) == 0);
	CHECK(!guest_reap(&v, &head, &len));
	queue_push(&queue, chain.head, 8);
	CHECK(guest_reap(&v, &head, &len) && head == chain.head && len == 8);

	/* Put back: the same comes again. */
	head = guest_request(&v, out, 8, 0, 0);
	CHECK(queue_pop(&queue, &chain) == 1 && chain.head == head);
	queue_unpop(&queue);
	CHECK(queue_pop(&queue, &chain) == 1 && chain.head == head && chain.in_n == 0);
	queue_push(&queue, head, 0);
	CHECK(guest_reap(&v, &head, &len) && len == 0);

	/* Two that are seen at once. */
	for (int i = 0; i < 2; i++) {
		(void) guest_request(&v, 0, 0, in, 10);
		CHECK(queue_pop(&queue, &chain) == 1);
		queue_stage(&queue, chain.head, 10);
		if (i == 0)
			CHECK(!guest_reap(&v, &head, &len));
	}
	queue_publish(&queue);
	CHECK(guest_reap(&v, &head, &len) && guest_reap(&v, &head, &len) && len == 10);
	CHECK(!guest_reap(&v, &head, &len));
}

/* All indices go round: those of a ring of 4, and those of 16 bits. */
static void test_wrap(bool event_idx)
{
	uint16_t head, got;
	uint32_t len;
	unsigned wrong = 0, interrupts = 0;

	start(4, event_idx, false);
	for (uint32_t i = 0; i < 3 * 65536; i++) {
		if (event_idx) /* told of each */
			v.avail[2 + 4] = v.last_used;
		head = guest_request(&v, guest_gpa(&guest, 0), i % 100 + 1, 0, 0);
		wrong += queue_pop(&queue, &chain) != 1 || chain.head != head;
		wrong += chain.out_bytes != i % 100 + 1;
		queue_push(&queue, chain.head, i);
		interrupts += queue_wants_interrupt(&queue);
		wrong += !guest_reap(&v, &got, &len) || got != head || len != i;
	}
	CHECK(wrong == 0);
	CHECK(interrupts == 3 * 65536);
}

static void push_one(void)
{
	(void) guest_request(&v, guest_gpa(&guest, 0), 1, 0, 0);
	CHECK(queue_pop(&queue, &chain) == 1);
	queue_push(&queue, chain.head, 0);
}

static void test_notifications(void)
{
	start(8, false, false);
	CHECK(!queue_wants_interrupt(&queue)); /* nothing pushed */
	push_one();
	CHECK(queue_wants_interrupt(&queue));
	CHECK(!queue_wants_interrupt(&queue));
	v.avail[0] = 1; /* VIRTQ_AVAIL_F_NO_INTERRUPT */
	push_one();
	CHECK(!queue_wants_interrupt(&queue));
	queue_disable_kicks(&queue);
	CHECK(v.used[0] == 1);
	CHECK(!queue_enable_kicks(&queue) && v.used[0] == 0);
	(void) guest_request(&v, guest_gpa(&guest, 0), 1, 0, 0);
	CHECK(queue_enable_kicks(&queue)); /* came in between */

	start(8, true, false);
	push_one();
	CHECK(queue_wants_interrupt(&queue)); /* the first one always */
	v.avail[2 + 8] = 3;		      /* used_event: when entry 3 is there */
	push_one();
	push_one();
	CHECK(!queue_wants_interrupt(&queue));
	push_one();
	CHECK(queue_wants_interrupt(&queue));
	push_one();
	CHECK(!queue_wants_interrupt(&queue));
	v.avail[2 + 8] = 6;
	push_one();
	push_one();
	push_one(); /* goes past it */
	CHECK(queue_wants_interrupt(&queue));
	CHECK(!queue_enable_kicks(&queue));
	CHECK(v.used[2 + 4 * 8] == queue.next_avail); /* avail_event */
	queue_disable_kicks(&queue);
	CHECK(v.used[0] == 0);
	(void) guest_request(&v, guest_gpa(&guest, 0), 1, 0, 0);
	CHECK(queue_enable_kicks(&queue));
	/* For the fourth from here on; and what the driver was not told of is counted. */
	CHECK(queue_untold(&queue) == 0 && queue_pop(&queue, &chain) == 1);
	queue_push(&queue, chain.head, 0);
	queue_await_chains(&queue, 4);
	CHECK(v.used[2 + 4 * 8] == (uint16_t) (v.next_avail + 3));
	push_one();
	CHECK(queue_untold(&queue) == 2);
	(void) queue_wants_interrupt(&queue);
	CHECK(queue_untold(&queue) == 0);
}

/* A table of n descriptors of one byte each, and one descriptor that says where it is. */
static uint64_t indirect_table(unsigned n, uint64_t at)
{
	for (unsigned i = 0; i < n; i++) {
		struct queue_desc d = { guest_gpa(&guest, i), 1, QUEUE_DESC_NEXT,
					(uint16_t) (i + 1) };

		if (i + 1 == n)
			d.flags = QUEUE_DESC_WRITE;
		memcpy(guest_at(&guest, at) + 16 * (size_t) i, &d, 16);
	}
	return at;
}

static void test_indirect(void)
{
	uint64_t at = guest_gpa(&guest, 1u << 20);
	uint16_t head;

	start(4, false, true);
	/* More than the queue has entries, at an odd address, behind a plain descriptor. */
	head = guest_desc(&v, guest_gpa(&guest, 0), 7, QUEUE_DESC_NEXT);
	(void) guest_desc(&v, indirect_table(200, at + 3), 200 * 16,
			  QUEUE_DESC_INDIRECT | QUEUE_DESC_WRITE /* ignored: 2.7.5.3.2 */);
	guest_offer(&v, head);
	CHECK(queue_pop(&queue, &chain) == 1 && chain.head == head);
	CHECK(chain.out_n == 200 && chain.in_n == 1 && chain.out_bytes == 206);
	queue_push(&queue, head, 0);

	guest_offer(&v, guest_desc(&v, indirect_table(CHAIN_PARTS_MAX, at), CHAIN_PARTS_MAX * 16,
				   QUEUE_DESC_INDIRECT));
	CHECK(queue_pop(&queue, &chain) == 1 && chain.out_n == CHAIN_PARTS_MAX - 1);
}

static void expect_broken(const char *what)
{
	uint16_t head;
	uint32_t len;
	int r = queue_pop(&queue, &chain);

	if (r != -EPROTO || !queue.broken)
		(void) fprintf(stderr, "%s: %d\n", what, r);
	CHECK(r == -EPROTO && queue.broken);
	CHECK(queue_pop(&queue, &chain) == 0); /* said once, then quiet */
	CHECK(!queue_enable_kicks(&queue));
	CHECK(!guest_reap(&v, &head, &len));
	/* It can be used again after a reset. */
	queue_reset(&queue);
	CHECK(queue.memory == &guest.memory && !queue.broken);
}

static void test_malformed(void)
{
	static const struct {
		const char *what;
		struct queue_desc d[4];
	} direct[] = {
		{ "not memory", { { 0, 1, 0, 0 } } },
		{ "past the end of memory", { { GUEST_BASE + GUEST_SIZE - 1, 2, 0, 0 } } },
		{ "wraps", { { UINT64_MAX - 1, 16, 0, 0 } } },
		{ "huge", { { GUEST_BASE, UINT32_MAX, QUEUE_DESC_WRITE, 0 } } },
		{ "next outside", { { GUEST_BASE, 1, QUEUE_DESC_NEXT, 4 } } },
		{ "next far outside", { { GUEST_BASE, 1, QUEUE_DESC_NEXT, UINT16_MAX } } },
		{ "loop of one", { { GUEST_BASE, 1, QUEUE_DESC_NEXT, 0 } } },
		{ "loop of empty ones", { { 0, 0, QUEUE_DESC_NEXT, 0 } } },
		{ "loop of two",
		  { { GUEST_BASE, 1, QUEUE_DESC_NEXT, 1 },
		    { GUEST_BASE, 1, QUEUE_DESC_NEXT, 0 } } },
		{ "out after in",
		  { { GUEST_BASE, 1, QUEUE_DESC_NEXT | QUEUE_DESC_WRITE, 1 }, { GUEST_BASE, 1 } } },
	};
	uint64_t at = guest_gpa(&guest, 1u << 20);
	struct queue_desc nested = { at, 16, QUEUE_DESC_INDIRECT, 0 };

	for (size_t i = 0; i < ARRAY_SIZE(direct); i++) {
		start(4, false, true);
		memcpy(v.descs, direct[i].d, sizeof(direct[i].d));
		guest_offer(&v, 0);
		expect_broken(direct[i].what);
	}

	start(4, false, true);
	guest_offer(&v, 4);
	expect_broken("head outside");
	start(4, false, true);
	v.avail[1] = 5;
	expect_broken("more than the queue holds");
	start(4, false, true);
	v.avail[1] = UINT16_MAX;
	expect_broken("index went back");

	start(4, false, false);
	guest_offer(&v, guest_desc(&v, indirect_table(2, at), 32, QUEUE_DESC_INDIRECT));
	expect_broken("indirect, not taken");
	start(4, false, true);
	guest_offer(&v, guest_desc(&v, at, 32, QUEUE_DESC_INDIRECT | QUEUE_DESC_NEXT));
	expect_broken("indirect with next");
	start(4, false, true);
	guest_offer(&v, guest_desc(&v, at, 0, QUEUE_DESC_INDIRECT));
	expect_broken("empty table");
	start(4, false, true);
	guest_offer(&v, guest_desc(&v, at, 17, QUEUE_DESC_INDIRECT));
	expect_broken("table with a part of an entry");
	start(4, false, true);
	guest_offer(&v, guest_desc(&v, 0, 32, QUEUE_DESC_INDIRECT));
	expect_broken("table that is not memory");
	start(4, false, true);
	guest_offer(&v, guest_desc(&v, GUEST_BASE + GUEST_SIZE - 16, 32, QUEUE_DESC_INDIRECT));
	expect_broken("table past the end");
	start(4, false, true);
	guest_offer(&v, guest_desc(&v, indirect_table(CHAIN_PARTS_MAX + 1, at),
				   16 * (CHAIN_PARTS_MAX + 1), QUEUE_DESC_INDIRECT));
	expect_broken("more parts than we hold");
	start(4, false, true);
	memcpy(guest_at(&guest, at), &nested, 16);
	guest_offer(&v, guest_desc(&v, at, 16, QUEUE_DESC_INDIRECT));
	expect_broken("table in a table");
	start(4, false, true);
	(void) indirect_table(4, at);
	guest_offer(&v, guest_desc(&v, at, 48, QUEUE_DESC_INDIRECT));
	expect_broken("next outside of the table");
}

/* A buffer over two regions is two parts; 2^32 bytes are the most of a chain. */
static void test_parts(void)
{
	struct guest_memory two = guest.memory;

	start(8, false, true);
	two.regions_n = 2;
	two.regions[1] = two.regions[0];
	two.regions[0].size = 2u << 20;
	two.regions[1].gpa += 2u << 20;
	two.regions[1].hva += 2u << 20;
	two.regions[1].size -= 2u << 20;
	queue.memory = &two;
	(void) guest_request(&v, two.regions[1].gpa - 10, 30, GUEST_BASE, GUEST_SIZE);
	CHECK(queue_pop(&queue, &chain) == 1);
	CHECK(chain.out_n == 2 && chain.out[0].iov_len == 10 && chain.out[1].iov_len == 20);
	CHECK(chain.in_n == 2 && chain.in_bytes == GUEST_SIZE);
	queue.memory = &guest.memory;

	for (unsigned i = 0; i < 2; i++) {
		uint64_t at = guest_gpa(&guest, 1u << 20);
		unsigned n = 1024 + i;

		for (unsigned k = 0; k < n; k++) {
			struct queue_desc d = { GUEST_BASE, GUEST_SIZE, QUEUE_DESC_NEXT,
						(uint16_t) (k + 1) };

			if (k == 1024)
				d.len = 0;
			if (k + 1 == n)
				d.flags = 0;
			memcpy(guest_at(&guest, at) + 16 * (size_t) k, &d, 16);
		}
		guest_offer(&v, guest_desc(&v, at, n * 16, QUEUE_DESC_INDIRECT));
		CHECK(queue_pop(&queue, &chain) == 1 && chain.out_bytes == (size_t) 1 << 32);
	}
}

static void test_resume(void)
{
	uint16_t head;
	uint32_t len;

	start(4, false, false);
	push_one();
	push_one();
	(void) guest_request(&v, guest_gpa(&guest, 0), 5, 0, 0);
	/* Another device takes over. */
	queue_reset(&queue);
	head = v.next_desc;
	{
		struct guest_queue again = v;

		queue.size = 4;
		queue.desc = GUEST_BASE;
		queue.avail = queue.desc + 64;
		queue.used = (queue.avail + 6 + 8 + 3) & ~(uint64_t) 3;
		CHECK(queue_start(&queue) == 0);
		queue_resume(&queue, 2);
		v = again;
	}
	CHECK(queue_pop(&queue, &chain) == 1 && chain.out_bytes == 5);
	CHECK(chain.head == (head + 3) % 4);
	queue_push(&queue, chain.head, 0);
	CHECK(guest_reap(&v, &head, &len) && guest_reap(&v, &head, &len));
	CHECK(guest_reap(&v, &head, &len) && head == chain.head);
}

int main(void)
{
	guest_init(&guest);
	test_memory();
	test_start();
	test_request();
	test_wrap(false);
	test_wrap(true);
	test_notifications();
	test_indirect();
	test_malformed();
	test_parts();
	test_resume();
	guest_fini(&guest);
	return test_done();
}
