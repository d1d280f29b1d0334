/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/test.h"
#include "vmm/memory_file.h"

#define BYTES RAM_MIN_BYTES

static int file(void)
{
	return memfd_create("file", MFD_CLOEXEC);
}

static uint8_t *page(const struct ram *r, uint64_t n)
{
	return r->memory.regions[0].hva + n * GUEST_PAGE;
}

static void put(struct ram *r, uint64_t n, char c)
{
	uint8_t bytes[GUEST_PAGE];

	memset(bytes, c, sizeof(bytes));
	CHECK(guest_memory_write(&r->memory, n * GUEST_PAGE, bytes, sizeof(bytes)) == 0);
}

static void give_back(struct ram *r, uint64_t n, uint64_t pages)
{
	CHECK(guest_memory_release(&r->memory, page(r, n), pages * GUEST_PAGE) == 0);
}

/* How many pages the new file has, of all or of what has changed. */
static uint64_t keep(struct ram *r, int fd, bool changed_only)
{
	struct err e = { 0 };
	uint64_t bytes = 0;

	CHECK(memory_file_write(r, fd, changed_only, &bytes, &e) == 0);
	CHECK(lseek(fd, 0, SEEK_END) == BYTES);
	ram_forget_changes(r);
	return bytes / GUEST_PAGE;
}

static bool is_in(int fd, uint64_t n)
{
	off_t at = (off_t) (n * GUEST_PAGE);

	return lseek(fd, at, SEEK_DATA) == at;
}

static char first(int fd, uint64_t n)
{
	char c = 1;

	CHECK(pread(fd, &c, 1, (off_t) (n * GUEST_PAGE)) == 1);
	return c;
}

/* What the guest never used and gives back is in no file; what it did use is zeros in the next. */
static void test_given_back(void)
{
	for (int shared = 0; shared < 2; shared++) {
		auto_fd int whole = file(), part = file(), other = file(), last = file();
		struct err e = { 0 };
		struct ram r;

		CHECK(ram_init(&r, BYTES, shared, &e) == 0 && ram_track(&r) == 0);
		put(&r, 1, 'a');
		put(&r, 2, 'b');
		put(&r, 3, 'c');
		CHECK(keep(&r, whole, false) == 3 && first(whole, 2) == 'b');
		give_back(&r, 2, 1);
		give_back(&r, 100, 1000);
		put(&r, 3, 'd');
		put(&r, 4, 'e');
		CHECK(keep(&r, part, true) == 3);
		CHECK(!is_in(part, 1) && !is_in(part, 100) && is_in(part, 2));
		CHECK(first(part, 2) == 0 && first(part, 3) == 'd' && first(part, 4) == 'e');
		give_back(&r, 2, 1); /* zeros there as well by now */
		put(&r, 1, 0);
		CHECK(keep(&r, other, true) == 1 && is_in(other, 1) && first(other, 1) == 0);
		/* The last was not kept after all: nothing is known of what is beneath. */
		ram_forget_zeros(&r);
		give_back(&r, 2, 2);
		CHECK(keep(&r, last, true) == 2 && is_in(last, 2) && is_in(last, 3));
		ram_fini(&r);
	}
}

/* Of memory that came from a file, the first part is told from that one. */
static void test_restored(void)
{
	for (int shared = 0; shared < 2; shared++) {
		auto_fd int from = file(), part = file(), whole = file();
		struct err e = { 0 };
		struct ram r;

		CHECK(ftruncate(from, BYTES) == 0);
		CHECK(pwrite(from, "one", 3, GUEST_PAGE) == 3);
		CHECK(pwrite(from, "six", 3, 6 * GUEST_PAGE) == 3);
		CHECK(ram_restore(&r, BYTES, shared, fcntl(from, F_DUPFD_CLOEXEC, 0), &e) == 0 &&
		      ram_track(&r) == 0);
		put(&r, 1, 0);
		put(&r, 9, 'n');
		give_back(&r, 50, 10);
		CHECK(keep(&r, part, true) == 2);
		CHECK(is_in(part, 1) && first(part, 1) == 0 && first(part, 9) == 'n');
		CHECK(keep(&r, whole, false) == 2 && first(whole, 6) == 's' && !is_in(whole, 1));
		ram_fini(&r);
	}
}

int main(void)
{
	test_given_back();
	test_restored();
	return test_done();
}
