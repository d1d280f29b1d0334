/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A balloon (virtio 1.2, 5.5): the guest gives memory up on request, and tells of its free pages on
 * its own (free page reporting). Both go back to the host at once. What was given up is no memory
 * of the guest's until it is asked for less.
 */
#pragma once

#include "virtio/device.h"

[[nodiscard]] struct virtio_device *balloon_new(struct loop *loop,
						const struct guest_memory *memory, struct err *e);

/* Ask the guest to have given up so many bytes (at most all its memory), as soon as it can. */
void balloon_set_target(struct virtio_device *d, uint64_t bytes);
uint64_t balloon_target(const struct virtio_device *d); /* in whole pages */
uint64_t balloon_actual(const struct virtio_device *d); /* bytes that it says it has given up */
/* Bytes given back to the host so far, whether the guest has taken them again or not. */
uint64_t balloon_released(const struct virtio_device *d);
/* Call this on the loop's thread whenever the guest says how much it has given up. */
void balloon_watch(struct virtio_device *d, void (*changed)(void *context), void *context);
