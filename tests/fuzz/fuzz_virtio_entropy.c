/* SPDX-License-Identifier: Apache-2.0 */
/* A source of entropy under a hostile driver. */
#include "virtio/entropy.h"
#include "virtio_ops.h"

static struct driver driver;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct virtio_device *d;
	struct err e;

	driver_init(&driver);
	d = entropy_new(&driver.loop, &driver.guest.memory, &e);
	if (!d)
		abort();
	driver_run(&driver, d, data, size);
	return 0;
}
