/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The back end of vhost-user: one virtio device, served to whoever holds the other end of a
 * connected socket (QEMU, atoll-vmm). It is the device's transport: the guest's memory, the rings
 * and their eventfds come over the socket. The other side is not trusted: what it says is checked,
 * and what cannot be is answered by hanging up. A state of the device that is refused is answered
 * as the protocol has it; the reason goes back through the state's descriptor, where that is a
 * socket, as text. One loop, no thread: neither the memory nor a ring
 * changes while a callback of the device runs.
 *
 * With VHOST_F_LOG_ALL it notes the pages that it changes in a log of the front end's, for who
 * reads that while no ring runs (a snapshot): pages are noted before they are written. So the
 * account begins and ends while no ring runs; a front end that would have it from rings that run,
 * for a migration, is hung up on.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/loop.h"
#include "vhost/log.h"
#include "vhost/transfer.h"
#include "vhost/wire.h"
#include "virtio/device.h"

struct vhost_ring {
	bool placed, started, enabled, running;
	bool logged; /* its used ring's changes are noted, as if they were at `log` */
	uint32_t size;
	uint64_t desc, used, avail; /* the front end's addresses */
	uint64_t log;		    /* the guest's address */
	uint16_t base;		    /* the next chain's number, where it does not run */
	uint16_t stopped_at;	    /* base when it last stopped */
	int kick, call, err;	    /* owned */
	struct loop_source kicked;
	struct vhost_backend *backend;
};

struct vhost_backend {
	struct loop *loop;
	int socket; /* owned; FD_NONE: it has ended */
	struct loop_source readable;
	struct guest_memory memory;
	struct vhost_mapping {
		void *base;
		size_t n;
		uint64_t device, inode;
	} mappings[GUEST_REGIONS_MAX]; /* of memory.regions */
	struct vhost_log log;	       /* memory.changed is its, where the front end wants it */
	struct virtio_device *device;  /* borrowed */
	struct vhost_ring rings[VIRTIO_QUEUES_MAX];
	uint64_t features, protocol_features; /* taken */
	/* The device's state on its way, and what has become of the last one. */
	struct vhost_transfer transfer;
	bool moving;   /* it is under way */
	bool asked;    /* CHECK_DEVICE_STATE waits for its end */
	bool good;     /* it went well */
	bool restored; /* the rings that run next belong to the state's driver */
	/* A message that waits until the device holds no chain: it may change rings or memory. */
	struct vhost_message waiting;
	bool waits;
	uint8_t in[VHOST_HEADER_SIZE + VHOST_PAYLOAD_MAX];
	size_t in_n;
	int fds[VHOST_REGIONS_MAX]; /* owned: of the message being read */
	size_t fds_n;
	void (*ended)(struct vhost_backend *b, const struct err *why);
	void (*broken)(struct vhost_backend *b, const char *why);
};

/* Takes the socket. The device is made with &b->memory as its guest's memory. */
void vhost_backend_init(struct vhost_backend *b, struct loop *l, int socket);
/*
 * Serve a device, borrowed until vhost_backend_fini(). ended: the front end has hung up (why is
 * NULL) or was hung up on; the device has been reset, nothing more will happen. broken: the
 * driver in the guest wrote nonsense, a queue stands still until the guest resets the device; or
 * the device's state could not be saved or loaded.
 */
[[nodiscard]] int vhost_backend_serve(struct vhost_backend *b, struct virtio_device *d,
				      void (*ended)(struct vhost_backend *b, const struct err *why),
				      void (*broken)(struct vhost_backend *b, const char *why),
				      struct err *e);
void vhost_backend_fini(struct vhost_backend *b);
