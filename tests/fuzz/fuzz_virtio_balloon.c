/* SPDX-License-Identifier: Apache-2.0 */
/* A balloon under a hostile driver. */
#include "virtio/balloon.h"
#include "virtio_ops.h"

static struct driver driver;

static void feed(const uint8_t *data, size_t n)
{
	balloon_set_target(driver.device, n ? (uint64_t) data[0] << (n % 60) : 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct virtio_device *d;
	struct err e;

	driver_init(&driver);
	driver.feed = feed;
	d = balloon_new(&driver.loop, &driver.guest.memory, &e);
	if (!d)
		abort();
	driver_run(&driver, d, data, size);
	return 0;
}
