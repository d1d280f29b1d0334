/* SPDX-License-Identifier: Apache-2.0 */
/* A disk, with hands or without, under a hostile driver; one that is read-only stays as it is, and
 * none grows. */
#include <pthread.h>
#include <sys/stat.h>

#include "virtio/block.h"
#include "virtio_ops.h"

enum { DISK_BYTES = 65536 + 100 };

static struct driver driver;
static struct hands hands;

static void *serve(void *)
{
	for (;;)
		hands_serve_one(&hands);
	return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool read_only = size > 0 && data[0] & 0x80;
	struct virtio_device *d;
	uint8_t block[4096];
	struct stat st;
	static bool served;
	pthread_t thread;
	struct err e;
	int fd = memfd_create("disk", MFD_CLOEXEC), keep;

	driver_init(&driver);
	memset(block, 'D', sizeof(block));
	keep = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (keep < 0 || ftruncate(fd, DISK_BYTES) < 0 || pwrite(fd, block, sizeof(block), 8192) < 0)
		abort();
	if (!served && (hands_init(&hands, &driver.loop) < 0 ||
			pthread_create(&thread, NULL, serve, NULL) != 0))
		abort();
	served = true;
	d = block_new(&driver.loop, &driver.guest.memory, fd, read_only,
		      size > 0 && data[0] & 0x40 ? &hands : NULL, &e);
	if (!d)
		abort();
	driver_run(&driver, d, data, size);
	if (fstat(keep, &st) < 0 || st.st_size > (DISK_BYTES + 511) / 512 * 512)
		abort();
	if (read_only) {
		if (st.st_size != DISK_BYTES || st.st_blocks != 8 ||
		    pread(keep, block, sizeof(block), 8192) != sizeof(block))
			abort();
		for (size_t i = 0; i < sizeof(block); i++)
			if (block[i] != 'D')
				abort();
	}
	(void) close(keep);
	return 0;
}
