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

#define CONTROL_CLIENTS_MAX 8

struct machine;
struct control;

struct control_client {
	struct control *control;
	struct loop_source source;
	int fd; /* owned; FD_NONE: free */
	uint8_t request[VMM_REQUEST_BYTES];
	size_t n;
	bool waits; /* for the pause it asked for */
};

struct control {
	struct machine *machine; /* borrowed */
	struct loop_source listener;
	int fd; /* owned; FD_NONE: none */
	struct control_client clients[CONTROL_CLIENTS_MAX];
};

/* Takes fd, a listening socket; FD_NONE: nobody can ask anything. */
[[nodiscard]] int control_init(struct control *c, struct machine *m, int fd, struct err *e);
/* No processor runs any more: who waits for that hears of it. */
void control_paused(struct control *c);
