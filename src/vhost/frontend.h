/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The front end of vhost-user: a virtio device whose queues another process serves. To its
 * transport it is a device like any other. The back end is not trusted more than the guest whose
 * memory it has: what it answers is checked, and what it does not answer in time, or its end,
 * makes the device need a reset; activating it again then fails. It never holds up its loop for
 * longer than VHOST_ANSWER_WITHIN, and that only at a reset and for a snapshot.
 *
 * It can be saved where the back end has the protocol's DEVICE_STATE: paused, its rings are stopped
 * there, and what the back end knows goes over a socket pair of its own. A file server is given
 * VHOST_QUIET_WITHIN to answer what it has taken: one that cannot, as its host's file system hangs,
 * is not stopped, and the snapshot fails. Where changes of the memory are kept account of
 * (guest_memory.changed), the back end does so in a log of its own, which pause() reads; one that
 * cannot makes the device `unaccounted`.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "virtio/device.h"

#define VHOST_ANSWER_WITHIN (10 * NSEC_PER_SEC)
#define VHOST_QUIET_WITHIN  (3 * NSEC_PER_SEC)

struct vhost_frontend_config {
	enum virtio_id id;
	const char *name; /* borrowed */
	unsigned queues_n;
	uint16_t queue_size_max;
	const void *config; /* copied, at most 256 bytes; NULL: the back end has it */
	size_t config_n;
};

/*
 * Takes a connected socket. Waits for the back end's first answers. All of the guest's memory must
 * be files (guest_region.fd). UNSUPPORTED: the back end lacks something; REMOTE, TIMEOUT.
 */
struct virtio_device *vhost_frontend_new(struct loop *loop, const struct guest_memory *memory,
					 int socket, const struct vhost_frontend_config *c,
					 struct err *e);
