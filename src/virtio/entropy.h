/* SPDX-License-Identifier: Apache-2.0 */
/* A source of random bytes (virtio 1.2, 5.4): the host's getrandom(2). */
#pragma once

#include "virtio/device.h"

[[nodiscard]] struct virtio_device *entropy_new(struct loop *loop,
						const struct guest_memory *memory, struct err *e);
