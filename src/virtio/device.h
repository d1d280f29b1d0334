/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio device as its transport sees it: atoll-vmm's PCI transport, or vhost-user (atoll-device
 * under QEMU). A device is a struct whose first member is struct virtio_device, made by its own
 * X_new(); it knows queues and a loop, nothing of PCI, KVM or sockets of the transport.
 *
 * All callbacks run on the thread of the device's loop; config_read alone may run on any thread
 * and reads what does not change, or an atomic. Configuration and queues are frozen at DRIVER_OK.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/loop.h"
#include "virtio/queue.h"
#include "virtio/rate.h"

#define VIRTIO_QUEUES_MAX 8

/* Bits of features that are the ring's: a transport offers them for every device. */
#define VIRTIO_RING_INDIRECT  (UINT64_C(1) << 28)
#define VIRTIO_RING_EVENT_IDX (UINT64_C(1) << 29)
#define VIRTIO_VERSION_1      (UINT64_C(1) << 32)
#define VIRTIO_RING_FEATURES  (VIRTIO_RING_INDIRECT | VIRTIO_RING_EVENT_IDX | VIRTIO_VERSION_1)

enum virtio_id { /* virtio 1.2, 5 */
		 VIRTIO_ID_IS_NET = 1,
		 VIRTIO_ID_IS_BLOCK = 2,
		 VIRTIO_ID_IS_CONSOLE = 3,
		 VIRTIO_ID_IS_ENTROPY = 4,
		 VIRTIO_ID_IS_BALLOON = 5,
		 VIRTIO_ID_IS_VSOCK = 19,
		 VIRTIO_ID_IS_FS = 26,
};

struct virtio_device;

/* The device behind a const struct virtio_device, which is its first member. */
#define VIRTIO_OWNER_CONST(d, type) ((const type *) (const void *) (d))

struct virtio_ops {
	enum virtio_id id;
	const char *name; /* "block": in messages and metrics */
	/* Offered, besides those of the ring and the transport. */
	uint64_t (*features)(const struct virtio_device *d);
	/* Device-specific configuration; outside of it: zeros, and writes are ignored. */
	void (*config_read)(const struct virtio_device *d, uint32_t at, void *to, uint32_t n);
	void (*config_write)(struct virtio_device *d, uint32_t at, const void *from, uint32_t n);
	/* DRIVER_OK: `features` are the taken ones, the enabled queues have been started. */
	int (*activate)(struct virtio_device *d, uint64_t features, struct err *e);
	void (*kick)(struct virtio_device *d, unsigned queue); /* the driver has added chains */
	/* Optional: while active, an eventfd that is as good as kick(), borrowed until reset. */
	int (*kick_fd)(const struct virtio_device *d, unsigned queue);
	/* Optional: how fast the driver may read (net: receive) and write from now on. */
	void (*limit)(struct virtio_device *d, struct rate_limit read, struct rate_limit write);
	/*
	 * Optional, both or none. While active, the eventfd by which the process that serves the
	 * queue interrupts, borrowed until reset; and whether the device waits for it and calls
	 * interrupt(), as it does at first, or somebody else does. A transport that takes an
	 * eventfd gives it back before a reset. 0 or -errno.
	 */
	int (*call_fd)(const struct virtio_device *d, unsigned queue);
	int (*listen)(struct virtio_device *d, unsigned queue, bool on);
	void (*reset)(struct virtio_device *d); /* back to before activate; no chain is held */
	void (*free)(struct virtio_device *d);	/* reset, then the memory */
	/*
	 * For snapshots of an active device, while no processor runs and its own thread stands, or
	 * runs this. The order: pause, save, resume; or restore in place of activate, resume.
	 *
	 * pause: give every chain back; next_avail of the queues tells where it stands, and nothing
	 * of the guest is touched until resume. What another process has changed for it is marked
	 * by then (guest_memory_mark()). NULL: it holds none between callbacks.
	 */
	int (*pause)(struct virtio_device *d, struct err *e);
	/* Append what it knows besides its queues and features. NULL: it cannot be saved. */
	int (*save)(struct virtio_device *d, struct buf *to, struct err *e);
	/*
	 * As activate, from what save() wrote, in this or another process: `state` has been
	 * somebody else's. The queues have been started where they stood.
	 */
	int (*restore)(struct virtio_device *d, uint64_t features, struct str state, struct err *e);
	/* Go on. NULL: all its enabled queues are kicked, no more. */
	void (*resume)(struct virtio_device *d);
};

struct virtio_stats {
	uint64_t read_bytes, write_bytes, reads, writes, errors; /* net: read is received */
};

struct virtio_device {
	const struct virtio_ops *ops;
	unsigned queues_n;
	uint16_t queue_size_max;
	struct loop *loop;		   /* borrowed: of the thread that serves it */
	const struct guest_memory *memory; /* borrowed */
	bool active;
	struct virtio_stats stats; /* written by its thread alone: virtio_count() */
	struct queue queues[VIRTIO_QUEUES_MAX];
	struct chain chain; /* what virtio_serve() works on */
	struct loop_timer again;
	uint32_t again_queues; /* bits of the queues it will serve */
	/*
	 * Of a device with threads of its own: chains that are served while callbacks go on. A
	 * transport that is about to take queues or memory away makes it quiet, so that no more are
	 * taken, and waits until it is told that it has settled: on the loop's thread.
	 */
	unsigned held;
	bool quiet;
	void (*settled)(struct virtio_device *d);
	bool unaccounted; /* another process writes for it, and does not tell what has changed */
	/* Filled by the transport before activate: */
	void *transport;
	void (*interrupt)(struct virtio_device *d, unsigned queue);    /* unconditionally */
	void (*config_changed)(struct virtio_device *d);	       /* configuration interrupt */
	void (*needs_reset)(struct virtio_device *d, const char *why); /* 2.1.2 */
};

/* What all devices begin with; the rest of `d` is the device's. */
void virtio_init(struct virtio_device *d, const struct virtio_ops *ops, struct loop *loop,
		 const struct guest_memory *memory, unsigned queues_n, uint16_t queue_size_max);

/*
 * For transports. DRIVER_OK with `features` taken (the transport has checked that they were
 * offered): starts the queues that are enabled, then the device. Fails INVALID for a queue that
 * does not fit. A transport that starts queues one by one (vhost-user) calls queue_start() itself.
 */
[[nodiscard]] int virtio_activate(struct virtio_device *d, uint64_t features, struct err *e);
void virtio_reset(struct virtio_device *d); /* the device and its queues; at any time */

/*
 * For transports: the device and its active queues as bytes (a device that is not active has
 * none), between virtio_pause() and virtio_resume(), which do nothing for a device that is not
 * active. After a failed pause or save, too, the device is to be resumed. UNSUPPORTED: this kind
 * cannot be saved.
 */
[[nodiscard]] int virtio_pause(struct virtio_device *d, struct err *e);
[[nodiscard]] int virtio_save(struct virtio_device *d, struct buf *to, struct err *e);
void virtio_resume(struct virtio_device *d);
/*
 * As virtio_activate(), from what virtio_save() wrote; the queues' sizes and places are the
 * transport's to fill in. It is quiet until virtio_resume(). Fails INVALID.
 */
[[nodiscard]] int virtio_restore(struct virtio_device *d, uint64_t features, struct str state,
				 struct err *e);
/* Its rings count as changed by the device, in memory that keeps account of that. */
void virtio_mark_rings(const struct virtio_device *d);

/* For devices. Configuration of `size` bytes read at `at`; zeros past its end. */
void virtio_config_copy(const void *config, size_t size, uint32_t at, void *to, uint32_t n);
/* For a device whose queues and features are all there is to know of it. */
[[nodiscard]] int virtio_save_nothing(struct virtio_device *d, struct buf *to, struct err *e);
/* What a restore() says of a state that is none. */
int virtio_bad_state(const struct virtio_device *d, struct err *e);
/* For a device without configuration, and for one whose configuration is only read. */
void virtio_config_none(const struct virtio_device *d, uint32_t at, void *to, uint32_t n);
void virtio_config_ignore(struct virtio_device *d, uint32_t at, const void *from, uint32_t n);
/* To one of d->stats, which another thread may read meanwhile. */
static inline void virtio_count(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}
/* Interrupt the driver if it wants one for what was pushed. */
void virtio_signal(struct virtio_device *d, unsigned queue);
/* The driver has written what makes no sense: the queue gives nothing more until a reset. */
void virtio_broken(struct virtio_device *d, unsigned queue, const char *why);
/* queue_pop that reports a broken queue through needs_reset. */
[[nodiscard]] bool virtio_pop(struct virtio_device *d, unsigned queue, struct chain *c);
/* As if the driver kicked the queue, after all else that is ready has been served. */
void virtio_again(struct virtio_device *d, unsigned queue);

/*
 * Serve what is in a queue: `one` for each chain, in order, with kicks off in between, and one
 * interrupt after all. It pushes the chain and says true; or cannot now and says false: the chain
 * goes back and waits for the next virtio_serve(). After so many chains others get their turn.
 */
void virtio_serve(struct virtio_device *d, unsigned queue,
		  bool (*one)(struct virtio_device *d, unsigned queue, struct chain *c));
