/* SPDX-License-Identifier: Apache-2.0 */
/* Shares that come and go while a guest uses the others: the server of proto/shares.h. */
#pragma once

#include "base/err.h"
#include "base/loop.h"
#include "device/fs_session.h"

#define FS_CONTROL_CLIENTS 4 /* at a time; one more waits in the socket's backlog */

struct fs_control {
	struct loop *loop;
	struct fs_session *session;
	int listen_fd; /* borrowed */
	struct loop_source listener;
	struct fs_control_client {
		struct fs_control *control;
		struct loop_source source;
		int fd; /* owned; FD_NONE: free */
	} clients[FS_CONTROL_CLIENTS];
};

/* Serve who connects to a listening socket, from the loop. */
[[nodiscard]] int fs_control_start(struct fs_control *c, struct loop *l, struct fs_session *s,
				   int listen_fd, struct err *e);
void fs_control_fini(struct fs_control *c); /* also of one that was never started */
