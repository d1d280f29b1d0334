/* SPDX-License-Identifier: Apache-2.0 */
/* Both ends of a log, and bits that no honest back end would set. */
#include "vhost/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/test.h"

#define HIGH (UINT64_C(4) << 30)

static struct guest_memory memory = {
	.regions = { { .gpa = 0, .size = 3 * GUEST_PAGE },
		     { .gpa = HIGH, .size = 70 * GUEST_PAGE } },
	.regions_n = 2,
};

static bool is_set(const uint8_t *bits, uint64_t gpa)
{
	return bits[gpa / GUEST_PAGE / 8] & 1u << gpa / GUEST_PAGE % 8;
}

static void test_both_ends(void)
{
	static uint8_t changed[HIGH / GUEST_PAGE / 8 + 16];
	const uint64_t at[] = { 0, 2 * GUEST_PAGE, HIGH, HIGH + 69 * GUEST_PAGE };
	struct vhost_log ours = {}, theirs = {};
	struct guest_memory other = memory;
	auto_fd int fd = FD_NONE;
	unsigned n = 0;

	CHECK(vhost_log_make(&ours, &memory, &fd) == 0 && vhost_log_covers(&ours, &memory));
	CHECK(ftruncate(fd, 0) < 0 && errno == EPERM);
	CHECK(vhost_log_map(&theirs, fd, ours.bytes, 0) == 0);
	other.changed = theirs.bits;
	memory.changed = changed;
	for (size_t i = 0; i < ARRAY_SIZE(at); i++)
		guest_memory_mark(&other, at[i], 1);
	vhost_log_collect(&ours, &memory);
	for (size_t i = 0; i < sizeof(changed); i++)
		n += (unsigned) __builtin_popcount(changed[i]);
	CHECK(n == ARRAY_SIZE(at));
	for (size_t i = 0; i < ARRAY_SIZE(at); i++)
		CHECK(is_set(changed, at[i]) && !is_set(theirs.bits, at[i]));
	/* All that can be: what is no memory is not believed. */
	memset(changed, 0, sizeof(changed));
	memset(theirs.bits, 0xff, ours.bytes);
	vhost_log_collect(&ours, &memory);
	n = 0;
	for (size_t i = 0; i < sizeof(changed); i++)
		n += (unsigned) __builtin_popcount(changed[i]);
	CHECK(n == 73 && !is_set(changed, 3 * GUEST_PAGE) && is_set(changed, HIGH));
	vhost_log_fini(&ours);
	vhost_log_fini(&theirs);
	CHECK(!ours.bits && !theirs.bits);
}

static void test_what_is_none(void)
{
	struct vhost_log l = {};
	auto_fd int fd = memfd_create("log", MFD_CLOEXEC), null = open("/dev/null", O_RDWR);

	CHECK(fd >= 0 && null >= 0 && ftruncate(fd, 8192) == 0);
	CHECK(vhost_log_map(&l, fd, 0, 0) == -EINVAL);
	CHECK(vhost_log_map(&l, fd, 8193, 0) == -EINVAL);
	CHECK(vhost_log_map(&l, fd, 4096, 4097) == -EINVAL);
	CHECK(vhost_log_map(&l, fd, UINT64_MAX, 2) == -EINVAL);
	CHECK(vhost_log_map(&l, null, 4096, 0) == -EINVAL);
	CHECK(vhost_log_map(&l, fd, 1, 8191) == 0 && l.bits == (uint8_t *) l.map + 8191);
	CHECK(!vhost_log_covers(&l, &memory)); /* eight pages alone */
	vhost_log_fini(&l);
}

int main(void)
{
	test_both_ends();
	test_what_is_none();
	return test_done();
}
