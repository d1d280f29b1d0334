/* SPDX-License-Identifier: Apache-2.0 */
#include <linux/virtio_balloon.h>
#include <sys/stat.h>

#include "base/test.h"
#include "virtio/balloon.h"
#include "virtio/test_guest.h"

#define PAGE	4096u
#define REPORTS (UINT64_C(1) << VIRTIO_BALLOON_F_REPORTING)

static struct guest guest;
static struct guest_queue v[VIRTIO_QUEUES_MAX];
static struct virtio_device *balloon;

static uint64_t blocks(void)
{
	struct stat st;

	return fstat(guest.fd, &st) == 0 ? (uint64_t) st.st_blocks / 8 : UINT64_MAX;
}

/* All pages are there, but for those of the rings. */
static void fill(void)
{
	memset(guest_at(&guest, guest_gpa(&guest, 0)), 'm', GUEST_SIZE - GUEST_RINGS);
	memset(guest.bytes + 5 * (GUEST_RINGS / 8), 0, GUEST_RINGS - 5 * (GUEST_RINGS / 8));
}

static uint8_t first_byte(size_t page)
{
	return *guest_at(&guest, guest_gpa(&guest, page * PAGE));
}

/* One inflate request with page frames counted from the first after the rings. */
static void inflate(const uint32_t *pages, unsigned n, unsigned queue)
{
	uint32_t *list = (uint32_t *) (void *) guest_at(&guest, guest_gpa(&guest, 0));
	uint16_t head;
	uint32_t len;

	for (unsigned i = 0; i < n; i++)
		list[i] = pages[i] + (GUEST_BASE + GUEST_RINGS) / PAGE;
	(void) guest_request(&v[queue], guest_gpa(&guest, 0), n * 4, 0, 0);
	balloon->ops->kick(balloon, queue);
	CHECK(guest_reap(&v[queue], &head, &len) && len == 0);
}

static void test_inflate(void)
{
	static const uint32_t up[] = { 10, 11, 12, 20 }, down[] = { 33, 32, 31, 30, 40 },
			      bad[] = { 50, 0xf0000000, 1u << 20, 51 };
	uint64_t before;

	fill();
	before = blocks();
	inflate(up, 4, 0);
	CHECK(blocks() == before - 4 && balloon_released(balloon) == 4 * PAGE);
	CHECK(first_byte(9) == 'm' && first_byte(10) == 0 && first_byte(12) == 0);
	CHECK(first_byte(13) == 'm' && first_byte(19) == 'm' && first_byte(20) == 0);
	inflate(down, 5, 0);
	CHECK(balloon_released(balloon) == 9 * PAGE);
	CHECK(first_byte(29) == 'm' && first_byte(30) == 0 && first_byte(33) == 0);
	CHECK(first_byte(34) == 'm' && first_byte(40) == 0);
	/* What is no memory is left out. */
	inflate(bad, 4, 0);
	CHECK(balloon->stats.errors == 2 && balloon_released(balloon) == 11 * PAGE);
	CHECK(first_byte(50) == 0 && first_byte(51) == 0 && guest.resets_needed == 0);
	/* Deflating gives nothing back and takes nothing. */
	before = blocks();
	inflate(up, 4, 1);
	CHECK(blocks() == before && first_byte(11) == 0);
}

static void report(unsigned queue, size_t at, uint32_t n)
{
	(void) guest_request(&v[queue], 0, 0, guest_gpa(&guest, at), n);
	balloon->ops->kick(balloon, queue);
}

static void test_reporting(void)
{
	uint64_t before;
	uint16_t head;
	uint32_t len;

	fill();
	before = blocks();
	for (unsigned queue = 2; queue <= 4; queue += 2) { /* Linux's, and the specification's */
		report(queue, 256 * PAGE, 64 * PAGE);
		CHECK(guest_reap(&v[queue], &head, &len) && blocks() == before - 64);
		CHECK(first_byte(255) == 'm' && first_byte(256) == 0 && first_byte(319) == 0);
		CHECK(first_byte(320) == 'm');
		fill();
	}
	/* Parts of pages stay. */
	report(2, 300 * PAGE + 1, 3 * PAGE);
	CHECK(first_byte(300) == 'm' && first_byte(301) == 0 && first_byte(302) == 0);
	CHECK(first_byte(303) == 'm');
	report(2, 310 * PAGE + 1, PAGE);
	CHECK(first_byte(310) == 'm' && first_byte(311) == 'm');
}

static void test_config(void)
{
	uint32_t config[4], actual = 7;

	balloon_set_target(balloon, 10 * PAGE + 5);
	CHECK(guest.config_changes == 1);
	balloon->ops->config_read(balloon, 0, config, sizeof(config));
	CHECK(config[0] == 10 && config[1] == 0 && config[2] == 0);
	balloon->ops->config_write(balloon, 4, &actual, 4);
	balloon->ops->config_read(balloon, 4, config, 4);
	CHECK(config[0] == 7 && balloon_actual(balloon) == 7 * PAGE);
	/* Nothing else is the driver's. */
	balloon->ops->config_write(balloon, 0, &actual, 4);
	balloon->ops->config_write(balloon, 5, &actual, 4);
	balloon->ops->config_write(balloon, 4, &actual, 2);
	balloon->ops->config_write(balloon, UINT32_MAX, &actual, 4);
	balloon->ops->config_read(balloon, 0, config, sizeof(config));
	CHECK(config[0] == 10 && config[1] == 7);
	balloon_set_target(balloon, UINT64_MAX);
	balloon->ops->config_read(balloon, 0, config, 4);
	CHECK(config[0] == GUEST_SIZE / PAGE);
	virtio_reset(balloon);
	CHECK(balloon_actual(balloon) == 0);
}

/* Memory that is no file. */
static void test_private_memory(void)
{
	uint8_t *p = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			  0);
	struct guest_memory m = { .regions_n = 1 };

	if (p == MAP_FAILED)
		abort();
	m.regions[0] = (struct guest_region){ .gpa = 0, .size = 8 * PAGE, .hva = p, .fd = FD_NONE };
	memset(p, 'p', 8 * PAGE);
	CHECK(guest_memory_release(&m, p + PAGE, 2 * PAGE) == 0);
	CHECK(p[0] == 'p' && p[PAGE] == 0 && p[3 * PAGE - 1] == 0 && p[3 * PAGE] == 'p');
	CHECK(guest_memory_release(&m, p + 7 * PAGE, 2 * PAGE) < 0 && p[7 * PAGE] == 'p');
	CHECK(guest_memory_release(&m, p - PAGE, 2 * PAGE) < 0 && p[0] == 'p');
	CHECK(munmap(p, 8 * PAGE) == 0);
}

int main(void)
{
	struct loop loop;
	struct err e;

	CHECK(loop_init(&loop) == 0);
	guest_init(&guest);
	balloon = balloon_new(&loop, &guest.memory, &e);
	if (!balloon)
		return 1;
	guest_drive(&guest, balloon, VIRTIO_RING_FEATURES | REPORTS, 64, v);
	test_inflate();
	test_reporting();
	test_config();
	/* A driver that did not take reporting has no such queue. */
	guest_drive(&guest, balloon, VIRTIO_RING_FEATURES, 64, v);
	fill();
	report(2, 0, 16 * PAGE);
	CHECK(first_byte(0) == 'm');
	test_private_memory();
	balloon->ops->free(balloon);
	guest_fini(&guest);
	loop_fini(&loop);
	return test_done();
}
