/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket: requests of proto/vmm, served on the loop, a few clients at a time. Who can
 * connect may do all of it: the socket's directory is the guard.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/loop.h"
#include "proto/vmm.h"
#include "virtio/rate.h"
#include "vmm/errand.h"

#define CONTROL_CLIENTS_MAX 8

struct machine;
struct virtio_device;
struct control;

struct control_client {
	struct control *control;
	struct loop_source source;
	int fd; /* owned; FD_NONE: free */
	uint8_t request[VMM_REQUEST_BYTES];
	size_t n;
	int files[VMM_SNAPSHOT_FDS]; /* owned: came with the request so far */
	size_t files_n;
	enum vmm_type waits; /* PAUSE, BALLOON_WAIT: it asked for what is not so yet; 0: none */
};

/* What a device shall be limited to: told on the thread of its loop. */
struct control_limit {
	struct errand errand;
	struct virtio_device *device; /* borrowed; NULL: never asked for */
	pthread_mutex_t lock;	      /* `wanted`; a leaf */
	struct rate_limit wanted[2];  /* read, write */
};

struct control {
	struct machine *machine; /* borrowed */
	struct loop_source listener;
	int fd; /* owned; FD_NONE: none */
	struct control_client clients[CONTROL_CLIENTS_MAX];
	struct control_limit limits[VMM_DEVICES_MAX];
};

/* Takes fd, a listening socket; FD_NONE: nobody can ask anything. */
[[nodiscard]] int control_init(struct control *c, struct machine *m, int fd, struct err *e);
/* No processor runs any more: who waits for that hears of it. */
void control_paused(struct control *c);
/* The guest has changed its balloon. */
void control_balloon_changed(struct control *c);
/* What the device was limited to when it was made: read, write. */
void control_limits(struct control *c, size_t device, const struct rate_limit limits[2]);
