/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio socket device (virtio 1.2, 5.10) that ends in unix sockets: stream connections between
 * the guest and the host (CID 2), nothing else. Nothing on the host has a name for it: the device
 * works in an empty root.
 *
 * From the host: a client connects to the listening socket, writes "CONNECT <port>\n", reads
 * "OK <its own port>\n", and is connected to that port of the guest. Refused: the end of the file.
 * From the guest: the port says which forward; a new socket goes to its descriptor as SCM_RIGHTS
 * with one byte 'C'. No forward of the port, or a queue that is full: refused.
 *
 * With ports: each connection to a TCP socket of the host's goes to one port of the guest, and
 * begins with "CONNECT <port>\n", which is the port it came to. Where the guest refuses, or ends it
 * without an end of the file first, it is reset.
 *
 * Each direction is shut down on its own. What waits is bounded: in the sockets, and for each
 * connection VSOCK_BUFFER_SIZE of vsock_flows.h.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "virtio/device.h"

#define VSOCK_CID_HOST	   2
#define VSOCK_CID_MIN	   3 /* of a guest */
#define VSOCK_FORWARDS_MAX 16

struct vsock_forward {
	uint32_t port;
	int fd; /* a unix socket, stream or sequenced packets */
};

/* Takes listen_fd (FD_NONE: no connections from the host) and the forwards' descriptors. */
struct virtio_device *vsock_new(struct loop *loop, const struct guest_memory *memory, uint32_t cid,
				int listen_fd, const struct vsock_forward *forwards,
				size_t forwards_n, struct err *e);

/*
 * Connections to a TCP socket that listens go to the guest's port. Takes both descriptors, on
 * failure too: the second (FD_NONE: none) is kept open as long as the device is.
 */
[[nodiscard]] int vsock_offer_ports(struct virtio_device *d, uint32_t guest_port, int listen_fd,
				    int kept_fd, struct err *e);
