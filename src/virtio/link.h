/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a network card is plugged into: frames to and from the host, one at a time, each with the
 * header that says what is left to do for it (checksum, segments). It never blocks and knows no
 * queues.
 */
#pragma once

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/err.h"

/* An IP packet of the greatest length behind an Ethernet header with a VLAN's tag. */
#define LINK_FRAME_MAX (65535 + 14 + 4)
#define LINK_FRAME_MIN 14

enum link_kind {
	LINK_TAP,    /* a tap device made with IFF_TAP | IFF_NO_PI | IFF_VNET_HDR */
	LINK_PACKET, /* an AF_PACKET socket of SOCK_RAW, bound to the interface it stands for */
	LINK_STREAM, /* a stream socket: each frame behind its length, 4 bytes, big-endian (passt)
		      */
};

struct link_stream;

struct link {
	enum link_kind kind;
	int fd;	       /* owned; to be waited for */
	size_t header; /* bytes of struct virtio_net_hdr_v1 that are read and written */
	struct link_stream *stream; /* owned; LINK_STREAM */
};

/* Takes fd and makes it non-blocking. Fails INVALID where it is not of that kind. */
[[nodiscard]] int link_init(struct link *l, enum link_kind kind, int fd, struct err *e);
void link_fini(struct link *l);

/* Whether frames may leave checksums and segments to the other side, in either direction. */
bool link_offloads(const struct link *l);
/* VIRTIO_NET_F_GUEST_* that the receiver of frames has taken; the rest is done for it. */
[[nodiscard]] int link_set_offloads(struct link *l, uint64_t features);

/*
 * The next frame, into v[1] to v[v_n - 1], which hold LINK_FRAME_MAX bytes; v[0] is overwritten.
 * Its length; 0: none there; -EPIPE: there will be no more; any other: a frame was lost.
 */
[[nodiscard]] ssize_t link_receive(struct link *l, struct virtio_net_hdr_v1 *ret_h, struct iovec *v,
				   size_t v_n);
/*
 * Send the frame in v[1] to v[v_n - 1], n bytes; v[0] is overwritten. 0; -EAGAIN: not before fd is
 * writable; -EPIPE: nobody is there any more; any other: it was refused, and is lost.
 */
[[nodiscard]] int link_send(struct link *l, const struct virtio_net_hdr_v1 *h, struct iovec *v,
			    size_t v_n, size_t n);
/* Frames that have been taken may not be out before this: after the last one, and when writable. */
[[nodiscard]] int link_flush(struct link *l); /* 0, -EAGAIN or -EPIPE */
