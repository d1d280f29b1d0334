/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A console of one port (virtio 1.2, 5.3): bytes between two descriptors and the guest (hvc0).
 * Output waits while its reader is slow; once the reader is gone it is thrown away, as on a serial
 * line with nobody at the other end. The process ignores SIGPIPE.
 */
#pragma once

#include "virtio/device.h"

/*
 * Takes both, which may be the same (a terminal, a socket) or FD_NONE (no input; output is thrown
 * away). They are made non-blocking, also for others that have the same open file.
 */
[[nodiscard]] struct virtio_device *console_new(struct loop *loop,
						const struct guest_memory *memory, int in_fd,
						int out_fd, struct err *e);
