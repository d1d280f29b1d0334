/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network card (virtio 1.2, 5.1) with one pair of queues, merged receive buffers and, where its
 * link can, checksums and segments left to the other side. There is no control queue. When the link
 * is gone the card loses its carrier, and what the guest sends is thrown away.
 */
#pragma once

#include "virtio/device.h"
#include "virtio/link.h"

struct net_config {
	enum link_kind kind;
	int fd; /* taken */
	uint8_t mac[6];
	uint16_t mtu; /* 0: nothing is said of it */
};

/* Fails INVALID for a descriptor that is not of that kind, and an MTU below 68. */
[[nodiscard]] struct virtio_device *net_new(struct loop *loop, const struct guest_memory *memory,
					    const struct net_config *config, struct err *e);
