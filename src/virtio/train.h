/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A train of UDP datagrams that the host's kernel handed on as one frame (UDP_SEGMENT,
 * VIRTIO_NET_HDR_GSO_UDP_L4), for a driver that takes single datagrams only: one after the other,
 * with the headers each would have had. Pure. What is in the frame comes from the network.
 */
#pragma once

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "virtio/link.h"

#define TRAIN_GSO_UDP_L4 5   /* virtio 1.3: younger than the headers we build with */
#define TRAIN_HEAD_MAX	 256 /* Ethernet, tags, IP with options, UDP */

struct train {
	uint8_t frame[LINK_FRAME_MAX]; /* filled in by the caller */
	size_t n;		       /* bytes of it; 0: no datagram is left */
	size_t ip, udp, next; /* where in the frame: headers, and the next datagram's bytes */
	size_t size;	      /* bytes of each datagram but the last */
	unsigned sent;
};

/* Of a frame of n bytes with its header. false: it is no such train, or cannot be taken apart. */
[[nodiscard]] bool train_begin(struct train *t, const struct virtio_net_hdr_v1 *h, size_t n);
/*
 * The next datagram: its header, its headers on the wire, and where its bytes are. The checksum is
 * the driver's, or the device's, to finish. How many bytes of `head`; 0: there is none left.
 */
size_t train_next(struct train *t, struct virtio_net_hdr_v1 *ret_h,
		  uint8_t head[static TRAIN_HEAD_MAX], const uint8_t **ret_bytes, size_t *ret_n);
