/* SPDX-License-Identifier: Apache-2.0 */
/* Shares under a hostile driver; what is beside them and what is read-only stays as it is. */
#include "device/fs.h"
#include "fs_scratch.h"
#include "virtio_ops.h"

static struct driver driver;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct virtio_device *d;
	struct scratch s;
	struct err e;
	int proc;

	driver_init(&driver);
	scratch_init(&s);
	proc = fs_session_proc(&e);
	scratch_must(proc >= 0, "proc");
	d = fs_new(&driver.loop, &driver.guest.memory, "shares", proc, s.shares,
		   ARRAY_SIZE(s.shares), SCRATCH_FDS, &e);
	scratch_must(d != NULL, "device");
	driver_run(&driver, d, data, size);
	scratch_fini(&s);
	return 0;
}
