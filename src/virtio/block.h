/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk (virtio 1.2, 5.2): the bytes of a file or of a block device, as they are. No format is
 * looked for in them. Requests are served in order, one at a time, with plain reads and writes: the
 * device's loop waits for the storage, so a disk belongs on a loop (and thread) of its own. A limit
 * of writes counts discards and writes of zeros as operations without bytes, and none counts
 * flushes.
 */
#pragma once

#include <stdbool.h>

#include "virtio/device.h"

/*
 * Takes fd. A file that ends within a sector is read as if zeros followed, and grows by them once
 * the sector is written. read_only stands whatever fd allows. Fails INVALID for what is no disk.
 */
[[nodiscard]] struct virtio_device *block_new(struct loop *loop, const struct guest_memory *memory,
					      int fd, bool read_only, struct err *e);
