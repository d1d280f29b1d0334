/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <pthread.h>
#include <sys/stat.h>

#include "base/test.h"
#include "virtio/block.h"
#include "virtio/test_guest.h"

#define FLUSH	   (UINT64_C(1) << VIRTIO_BLK_F_FLUSH)
#define NO_STATUS  0xee
#define DISK_BYTES (1u << 20)

static struct guest guest;
static struct loop loop;
static struct guest_queue v;
static struct virtio_device *disk;
static struct hands hands, *used_hands; /* of the next disk */
static bool on_storage;			/* the next disk's file, as far as /tmp is */
static uint32_t written;		/* what the last request's used entry said */

static int disk_fd(size_t bytes)
{
	int fd = on_storage ? open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)
			    : memfd_create("disk", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, (off_t) bytes) < 0)
		abort();
	return fd;
}

static void open_disk(int fd, bool read_only, uint64_t features)
{
	struct guest_queue queues[VIRTIO_QUEUES_MAX];
	struct err e;

	disk = block_new(&loop, &guest.memory, fd, read_only, used_hands, &e);
	if (!disk)
		abort();
	guest_drive(&guest, disk, features, 128, queues);
	v = queues[0];
}

/* Serve what has been offered; the status at `status`, or NO_STATUS. */
static uint8_t serve(uint64_t status)
{
	uint16_t head;

	*guest_at(&guest, status) = NO_STATUS;
	disk->ops->kick(disk, 0);
	while (used_hands && v.last_used == __atomic_load_n(&v.used[1], __ATOMIC_ACQUIRE))
		CHECK(loop_once(&loop) == 0);
	CHECK(guest_reap(&v, &head, &written));
	CHECK(!guest_reap(&v, &head, &written) && guest.resets_needed == 0);
	return *guest_at(&guest, status);
}

/* The header at 0, data at 4096 (out_n from the guest or in_n to it), the status behind. */
static uint8_t request(uint32_t type, uint64_t sector, uint32_t out_n, uint32_t in_n)
{
	struct virtio_blk_outhdr header = { .type = type, .sector = sector };
	uint64_t at = guest_gpa(&guest, 0), data = guest_gpa(&guest, 4096),
		 status = guest_gpa(&guest, 3u << 20);
	uint16_t head;

	memcpy(guest_at(&guest, at), &header, sizeof(header));
	head = guest_desc(&v, at, sizeof(header), QUEUE_DESC_NEXT);
	if (out_n)
		(void) guest_desc(&v, data, out_n, QUEUE_DESC_NEXT);
	if (in_n)
		(void) guest_desc(&v, data, in_n, QUEUE_DESC_NEXT | QUEUE_DESC_WRITE);
	(void) guest_desc(&v, status, 1, QUEUE_DESC_WRITE);
	guest_offer(&v, head);
	return serve(status);
}

static uint8_t *data(void)
{
	return guest_at(&guest, guest_gpa(&guest, 4096));
}

static uint8_t change(uint32_t type, uint64_t sector, uint32_t n, uint32_t flags)
{
	struct virtio_blk_discard_write_zeroes range = { sector, n, flags };

	memcpy(data(), &range, sizeof(range));
	return request(type, 0, sizeof(range), 0);
}

static void test_read_write(void)
{
	int fd = disk_fd(DISK_BYTES);
	uint64_t capacity;
	uint8_t got[1024];

	open_disk(fd, false, FLUSH);
	disk->ops->config_read(disk, 0, &capacity, 8);
	CHECK(capacity == DISK_BYTES / 512);
	memset(data(), 'A', 512);
	memset(data() + 512, 'B', 512);
	CHECK(request(VIRTIO_BLK_T_OUT, 10, 1024, 0) == VIRTIO_BLK_S_OK && written == 1);
	CHECK(pread(fd, got, 1024, 5120) == 1024 && memcmp(got, data(), 1024) == 0);
	memset(data(), 0, 1024);
	CHECK(request(VIRTIO_BLK_T_IN, 11, 0, 1024) == VIRTIO_BLK_S_OK && written == 1025);
	CHECK(data()[0] == 'B' && data()[511] == 'B' && data()[512] == 0);
	CHECK(request(VIRTIO_BLK_T_FLUSH, 0, 0, 0) == VIRTIO_BLK_S_OK);
	CHECK(disk->stats.writes == 1 && disk->stats.write_bytes == 1024);
	CHECK(disk->stats.reads == 1 && disk->stats.read_bytes == 1024);
	/* The whole disk at once, and its last sector. */
	CHECK(request(VIRTIO_BLK_T_IN, 0, 0, DISK_BYTES) == VIRTIO_BLK_S_OK);
	CHECK(data()[5120] == 'A' && data()[5119] == 0);
	CHECK(request(VIRTIO_BLK_T_IN, DISK_BYTES / 512 - 1, 0, 512) == VIRTIO_BLK_S_OK);
	/* A driver that did not take FLUSH. */
	virtio_reset(disk);
	disk->ops->free(disk);
	open_disk(disk_fd(DISK_BYTES), false, 0);
	CHECK(request(VIRTIO_BLK_T_OUT, 0, 512, 0) == VIRTIO_BLK_S_OK);
	CHECK(change(VIRTIO_BLK_T_WRITE_ZEROES, 0, 8, 0) == VIRTIO_BLK_S_OK);
	disk->ops->free(disk);
}

static void test_limits(void)
{
	int fd = disk_fd(DISK_BYTES);
	struct stat st;

	open_disk(fd, false, FLUSH);
	CHECK(request(VIRTIO_BLK_T_IN, DISK_BYTES / 512, 0, 512) == VIRTIO_BLK_S_IOERR);
	CHECK(request(VIRTIO_BLK_T_IN, DISK_BYTES / 512 - 1, 0, 1024) == VIRTIO_BLK_S_IOERR);
	CHECK(request(VIRTIO_BLK_T_IN, UINT64_MAX, 0, 512) == VIRTIO_BLK_S_IOERR);
	CHECK(request(VIRTIO_BLK_T_IN, UINT64_MAX / 512 + 1, 0, 512) == VIRTIO_BLK_S_IOERR);
	CHECK(request(VIRTIO_BLK_T_IN, 0, 0, 511) == VIRTIO_BLK_S_IOERR);
	CHECK(request(VIRTIO_BLK_T_OUT, DISK_BYTES / 512, 512, 0) == VIRTIO_BLK_S_IOERR);
	CHECK(request(VIRTIO_BLK_T_OUT, UINT64_MAX / 512 + 1, 512, 0) == VIRTIO_BLK_S_IOERR);
	CHECK(request(VIRTIO_BLK_T_OUT, 0, 513, 0) == VIRTIO_BLK_S_IOERR);
	CHECK(request(77, 0, 0, 0) == VIRTIO_BLK_S_UNSUPP);
	CHECK(change(VIRTIO_BLK_T_DISCARD, DISK_BYTES / 512 - 1, 2, 0) == VIRTIO_BLK_S_IOERR);
	CHECK(change(VIRTIO_BLK_T_DISCARD, UINT64_MAX, 2, 0) == VIRTIO_BLK_S_IOERR);
	CHECK(change(VIRTIO_BLK_T_DISCARD, 0, 8, 1) == VIRTIO_BLK_S_UNSUPP);
	CHECK(change(VIRTIO_BLK_T_WRITE_ZEROES, 0, UINT32_MAX, 0) == VIRTIO_BLK_S_IOERR);
	CHECK(change(VIRTIO_BLK_T_WRITE_ZEROES, 0, 8, 2) == VIRTIO_BLK_S_UNSUPP);
	CHECK(request(VIRTIO_BLK_T_DISCARD, 0, 15, 0) == VIRTIO_BLK_S_UNSUPP);
	CHECK(request(VIRTIO_BLK_T_DISCARD, 0, 33 * 16, 0) == VIRTIO_BLK_S_UNSUPP);
	CHECK(request(VIRTIO_BLK_T_DISCARD, 0, 0, 0) == VIRTIO_BLK_S_UNSUPP);
	CHECK(fstat(fd, &st) == 0 && st.st_size == DISK_BYTES && st.st_blocks == 0);
	CHECK(disk->stats.errors == 17);

	/* No room for a status, or no whole header: given back all the same. */
	(void) guest_request(&v, guest_gpa(&guest, 0), 16, 0, 0);
	CHECK(serve(guest_gpa(&guest, 8)) == NO_STATUS && written == 0);
	(void) guest_request(&v, guest_gpa(&guest, 0), 15, guest_gpa(&guest, 100), 1);
	CHECK(serve(guest_gpa(&guest, 100)) == NO_STATUS && written == 0);
	(void) guest_request(&v, 0, 0, guest_gpa(&guest, 100), 17);
	CHECK(serve(guest_gpa(&guest, 116)) == NO_STATUS && written == 0);
	/* The file has been cut short behind our back. */
	CHECK(ftruncate(fd, 4096) == 0);
	CHECK(request(VIRTIO_BLK_T_IN, 4, 0, 4096) == VIRTIO_BLK_S_IOERR);
	disk->ops->free(disk);
}

/* Header, data and status cut wherever the driver likes (2.7.4.3). */
static void test_framing(void)
{
	struct virtio_blk_outhdr header = { .type = VIRTIO_BLK_T_OUT, .sector = 1 };
	uint64_t at = guest_gpa(&guest, 0), status = guest_gpa(&guest, 2000);
	int fd = disk_fd(DISK_BYTES);
	uint8_t got[512];
	uint16_t head;

	open_disk(fd, false, FLUSH);
	memcpy(guest_at(&guest, at), &header, sizeof(header));
	memset(guest_at(&guest, at) + 16, 'F', 512);
	head = guest_desc(&v, at, 7, QUEUE_DESC_NEXT);
	(void) guest_desc(&v, at + 7, 100, QUEUE_DESC_NEXT);
	(void) guest_desc(&v, at + 107, 16 + 512 - 107, QUEUE_DESC_NEXT);
	(void) guest_desc(&v, status, 1, QUEUE_DESC_WRITE);
	guest_offer(&v, head);
	CHECK(serve(status) == VIRTIO_BLK_S_OK);
	CHECK(pread(fd, got, 512, 512) == 512 && got[0] == 'F' && got[511] == 'F');

	header.type = VIRTIO_BLK_T_IN;
	memcpy(guest_at(&guest, at), &header, sizeof(header));
	head = guest_desc(&v, at, 16, QUEUE_DESC_NEXT);
	(void) guest_desc(&v, at + 1024, 1, QUEUE_DESC_NEXT | QUEUE_DESC_WRITE);
	(void) guest_desc(&v, at + 1025, 512, QUEUE_DESC_WRITE);
	guest_offer(&v, head);
	CHECK(serve(at + 1025 + 511) == VIRTIO_BLK_S_OK && written == 513);
	CHECK(guest_at(&guest, at)[1024] == 'F' && guest_at(&guest, at)[1024 + 511] == 'F');
	disk->ops->free(disk);
}

static void test_read_only(void)
{
	int fd = disk_fd(DISK_BYTES);
	struct stat st;

	CHECK(pwrite(fd, "read me", 7, 0) == 7);
	open_disk(fd, true, FLUSH); /* fd itself can be written to */
	CHECK(disk->ops->features(disk) & (1u << VIRTIO_BLK_F_RO));
	CHECK(!(disk->ops->features(disk) & (1u << VIRTIO_BLK_F_DISCARD)));
	memset(data(), 'W', 512);
	CHECK(request(VIRTIO_BLK_T_OUT, 0, 512, 0) == VIRTIO_BLK_S_IOERR);
	CHECK(change(VIRTIO_BLK_T_DISCARD, 0, 8, 0) == VIRTIO_BLK_S_IOERR);
	CHECK(change(VIRTIO_BLK_T_WRITE_ZEROES, 0, 8, 0) == VIRTIO_BLK_S_IOERR);
	CHECK(change(VIRTIO_BLK_T_WRITE_ZEROES, 0, 8, 1) == VIRTIO_BLK_S_IOERR);
	CHECK(request(VIRTIO_BLK_T_FLUSH, 0, 0, 0) == VIRTIO_BLK_S_OK);
	CHECK(request(VIRTIO_BLK_T_IN, 0, 0, 512) == VIRTIO_BLK_S_OK);
	CHECK(memcmp(data(), "read me", 7) == 0);
	CHECK(fstat(fd, &st) == 0 && st.st_blocks == 8);
	disk->ops->free(disk);
}

static void test_ranges(void)
{
	int fd = disk_fd(DISK_BYTES);
	uint8_t got[4096];
	struct stat st;

	open_disk(fd, false, FLUSH);
	memset(data(), 'R', 65536);
	CHECK(request(VIRTIO_BLK_T_OUT, 0, 65536, 0) == VIRTIO_BLK_S_OK);
	CHECK(fstat(fd, &st) == 0 && st.st_blocks == 128);
	CHECK(change(VIRTIO_BLK_T_DISCARD, 8, 8, 0) == VIRTIO_BLK_S_OK);
	CHECK(fstat(fd, &st) == 0 && st.st_blocks == 120);
	CHECK(change(VIRTIO_BLK_T_WRITE_ZEROES, 16, 8, 1) == VIRTIO_BLK_S_OK);
	CHECK(fstat(fd, &st) == 0 && st.st_blocks == 112);
	CHECK(pread(fd, got, 4096, 8192) == 4096 && got[0] == 0 && got[4095] == 0);
	/* Without leave to give it back; tmpfs cannot do it but by writing. */
	CHECK(change(VIRTIO_BLK_T_WRITE_ZEROES, 24, 9, 0) == VIRTIO_BLK_S_OK);
	CHECK(fstat(fd, &st) == 0 && st.st_blocks == 112 && st.st_size == DISK_BYTES);
	CHECK(pread(fd, got, 4096, 12288 + 512) == 4096 && got[0] == 0 && got[4095] == 0);
	CHECK(pread(fd, got, 1, 12288 + 9 * 512) == 1 && got[0] == 'R');
	CHECK(change(VIRTIO_BLK_T_DISCARD, 8, 0, 0) == VIRTIO_BLK_S_OK);
	disk->ops->free(disk);
}

static void test_short_file(void)
{
	int fd = disk_fd(1000);
	struct stat st;
	uint64_t capacity;

	CHECK(pwrite(fd, "end", 3, 997) == 3);
	open_disk(fd, false, FLUSH);
	disk->ops->config_read(disk, 0, &capacity, 8);
	CHECK(capacity == 2);
	memset(data(), 'x', 1024);
	CHECK(request(VIRTIO_BLK_T_IN, 0, 0, 1024) == VIRTIO_BLK_S_OK && written == 1025);
	CHECK(memcmp(data() + 997, "end\0\0", 5) == 0 && data()[1023] == 0);
	CHECK(request(VIRTIO_BLK_T_IN, 2, 0, 512) == VIRTIO_BLK_S_IOERR);
	memset(data(), 'y', 512);
	CHECK(request(VIRTIO_BLK_T_OUT, 1, 512, 0) == VIRTIO_BLK_S_OK);
	CHECK(fstat(fd, &st) == 0 && st.st_size == 1024);
	disk->ops->free(disk);

	open_disk(disk_fd(0), true, FLUSH);
	CHECK(request(VIRTIO_BLK_T_IN, 0, 0, 512) == VIRTIO_BLK_S_IOERR);
	CHECK(request(VIRTIO_BLK_T_IN, 0, 0, 0) == VIRTIO_BLK_S_OK);
	disk->ops->free(disk);
}

static void test_id(void)
{
	char first[21] = "", second[21] = "";

	open_disk(disk_fd(512), true, FLUSH);
	memset(data(), 0, 64);
	CHECK(request(VIRTIO_BLK_T_GET_ID, 0, 0, 20) == VIRTIO_BLK_S_OK && written == 21);
	memcpy(first, data(), 20);
	CHECK(strlen(first) == 20);
	CHECK(request(VIRTIO_BLK_T_GET_ID, 0, 0, 4) == VIRTIO_BLK_S_OK && written == 5);
	CHECK(request(VIRTIO_BLK_T_GET_ID, 0, 0, 64) == VIRTIO_BLK_S_OK && written == 20);
	disk->ops->free(disk);
	open_disk(disk_fd(512), true, FLUSH);
	CHECK(request(VIRTIO_BLK_T_GET_ID, 0, 0, 20) == VIRTIO_BLK_S_OK);
	memcpy(second, data(), 20);
	CHECK(strcmp(first, second) != 0);
	disk->ops->free(disk);
}

static void test_refusals(void)
{
	struct err e = {};
	int fds[2];

	CHECK(pipe2(fds, O_CLOEXEC) == 0);
	CHECK(!block_new(&loop, &guest.memory, fds[0], true, NULL, &e) && e.kind == ERR_INVALID);
	CHECK(fcntl(fds[0], F_GETFD) < 0 && errno == EBADF); /* it was taken */
	CHECK(close(fds[1]) == 0);
	CHECK(!block_new(&loop, &guest.memory, open("/proc/self/exe", O_RDONLY | O_CLOEXEC), false,
			 NULL, &e));
	CHECK(e.kind == ERR_INVALID && e.sys == EACCES);
}

/* One request of a sector offered, and not served; its header is its own. */
static uint16_t offer(uint32_t type)
{
	struct virtio_blk_outhdr header = { .type = type };
	uint64_t at = guest_gpa(&guest, v.next_avail % 64 * sizeof(header));
	uint16_t head;

	memcpy(guest_at(&guest, at), &header, sizeof(header));
	head = guest_desc(&v, at, sizeof(header), QUEUE_DESC_NEXT);
	(void) guest_desc(&v, guest_gpa(&guest, 4096), 512, QUEUE_DESC_NEXT | QUEUE_DESC_WRITE);
	(void) guest_desc(&v, guest_gpa(&guest, 3u << 20), 1, QUEUE_DESC_WRITE);
	guest_offer(&v, head);
	return head;
}

static void offer_read(void)
{
	(void) offer(VIRTIO_BLK_T_IN);
}

static unsigned reap_all(void)
{
	unsigned n = 0;
	uint16_t head;

	while (guest_reap(&v, &head, &written))
		n++;
	return n;
}

static void test_rates(void)
{
	struct rate_limit slow = { .ops = 50 }, none = {};
	nsec_t begun;
	unsigned done;

	open_disk(disk_fd(DISK_BYTES), false, FLUSH);
	disk->ops->limit(disk, slow, none);
	CHECK(request(VIRTIO_BLK_T_OUT, 0, 512, 0) == VIRTIO_BLK_S_OK); /* the other direction */
	for (unsigned i = 0; i < 15; i++)
		offer_read();
	begun = clock_mono();
	disk->ops->kick(disk, 0);
	done = reap_all();
	CHECK(done >= 5 && done < 15); /* a tenth of a second's, and one */
	while (done < 15) {
		CHECK(loop_once(&loop) == 0);
		done += reap_all();
	}
	CHECK(clock_mono() - begun >= NSEC_PER_SEC / 6);
	/* What waits does not wait any more once there is no limit. */
	for (unsigned i = 0; i < 20; i++)
		offer_read();
	disk->ops->kick(disk, 0);
	done = reap_all();
	CHECK(done < 20);
	disk->ops->limit(disk, none, none);
	CHECK(done + reap_all() == 20);
	/* Bytes; and a reset while something waits. */
	disk->ops->limit(disk, (struct rate_limit){ .bytes = 5000 }, none);
	for (unsigned i = 0; i < 5; i++)
		offer_read();
	disk->ops->kick(disk, 0);
	CHECK(reap_all() < 5);
	disk->ops->free(disk);
}

static void *serve_forever(void *)
{
	for (;;)
		hands_serve_one(&hands);
	return NULL;
}

/* What hands do is passed by what needs none, and given back when it is done. */
static void test_hands(void)
{
	pthread_t thread;
	uint16_t head, slow, quick;
	unsigned done = 0;
	struct err e;

	CHECK(hands_init(&hands, &loop) == 0);
	used_hands = &hands;
	open_disk(disk_fd(DISK_BYTES), false, FLUSH);
	slow = offer(VIRTIO_BLK_T_FLUSH);
	quick = offer(VIRTIO_BLK_T_GET_ID);
	disk->ops->kick(disk, 0);
	CHECK(guest_reap(&v, &head, &written) && head == quick && reap_all() == 0);
	hands_serve_one(&hands);
	CHECK(reap_all() == 0); /* not on another thread than the loop's */
	CHECK(loop_once(&loop) == 0);
	CHECK(guest_reap(&v, &head, &written) && head == slow && written == 0);

	/* More than may be on their way: they stay in the queue, and so do those behind them. */
	for (unsigned i = 0; i < 42; i++)
		(void) offer(VIRTIO_BLK_T_FLUSH);
	disk->ops->kick(disk, 0);
	CHECK(queue_waiting(&disk->queues[0]) == 10);
	for (unsigned i = 0; i < 42; i++) {
		hands_serve_one(&hands);
		CHECK(loop_once(&loop) == 0);
		done += reap_all();
		CHECK(done == i + 1);
	}
	CHECK(queue_waiting(&disk->queues[0]) == 0);

	/* A pause and a reset wait for what is on its way. */
	(void) offer(VIRTIO_BLK_T_FLUSH);
	disk->ops->kick(disk, 0);
	CHECK(reap_all() == 0 && pthread_create(&thread, NULL, serve_forever, NULL) == 0);
	CHECK(virtio_pause(disk, &e) == 0 && reap_all() == 1);
	virtio_resume(disk);
	for (unsigned i = 0; i < 30; i++)
		(void) offer(VIRTIO_BLK_T_DISCARD); /* of no range: refused by a hand */
	disk->ops->kick(disk, 0);
	virtio_reset(disk);
	CHECK((uint16_t) (v.used[1] - v.last_used) == 30);
	disk->ops->free(disk);
	/* All else as without them, in memory and not. */
	for (int i = 0; i < 2; i++) {
		on_storage = i > 0;
		test_read_write();
		test_limits();
		test_read_only();
		test_ranges();
		test_short_file();
	}
	on_storage = false;
	used_hands = NULL;
}

/* What is in the host's memory needs no hand to be read. */
static void test_in_memory(void)
{
	CHECK(hands_init(&hands, &loop) == 0); /* nobody serves */
	used_hands = &hands;
	open_disk(disk_fd(DISK_BYTES), false, FLUSH);
	CHECK(request(VIRTIO_BLK_T_IN, 0, 0, 4096) == VIRTIO_BLK_S_OK && written == 4097);
	disk->ops->free(disk);
	used_hands = NULL;
	hands_fini(&hands);
}

/* Another disk in the place of one that a machine had at its snapshot: as large, or it is told. */
static void test_moved(void)
{
	struct virtio_device *other;
	struct err e;

	open_disk(disk_fd(8192), false, 0);
	other = block_new(&loop, &guest.memory, disk_fd(4096), false, NULL, &e);
	CHECK(other && guest_move(disk, other, 0, SIZE_MAX, &e) < 0);
	CHECK(strstr(e.msg, "has 8 sectors; the one of the snapshot had 16") && !other->active);
	other->ops->free(other);
	other = block_new(&loop, &guest.memory, disk_fd(8192), false, NULL, &e);
	disk->ops->free(disk);
	open_disk(disk_fd(8192), false, 0);
	CHECK(other && guest_move(disk, other, 0, SIZE_MAX, &e) == 0 && other->active);
	disk->ops->free(disk);
	disk = other;
	v.queue = &disk->queues[0];
	CHECK(request(VIRTIO_BLK_T_OUT, 15, 512, 0) == VIRTIO_BLK_S_OK);
	disk->ops->free(disk);
}

int main(void)
{
	CHECK(loop_init(&loop) == 0);
	guest_init(&guest);
	test_read_write();
	test_limits();
	test_framing();
	test_read_only();
	test_ranges();
	test_short_file();
	test_id();
	test_refusals();
	test_rates();
	test_moved();
	test_in_memory();
	test_hands();
	guest_fini(&guest);
	loop_fini(&loop);
	return test_done();
}
