/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk (virtio 1.2, 5.2): the bytes of a file or of a block device, as they are. No format is
 * looked for in them. Requests begin in order. Those that the host's memory answers (reads of what
 * is cached, writes that need not be on the storage yet) the loop's thread serves at once; what
 * has to wait (other reads, flushes, discards) hands do, several at a time and past each other, as
 * virtio allows: a driver that wants an order waits for answers. Without hands the loop's thread
 * waits. Either way a disk belongs on a loop (and thread) of its own: a write may wait, too, for a
 * host that has enough to write. A limit of writes counts discards and writes of zeros as
 * operations without bytes, and none counts flushes.
 */
#pragma once

#include <stdbool.h>

#include "virtio/device.h"
#include "virtio/hands.h"

/*
 * Takes fd. A file that ends within a sector is read as if zeros followed, and grows by them once
 * the sector is written. read_only stands whatever fd allows. Borrows hands, which are this disk's
 * alone, on the same loop, and served from the first request on; NULL: none. Fails INVALID for what
 * is no disk.
 */
[[nodiscard]] struct virtio_device *block_new(struct loop *loop, const struct guest_memory *memory,
					      int fd, bool read_only, struct hands *hands,
					      struct err *e);
