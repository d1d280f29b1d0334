/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way to the gofer: atoll-device, which serves directories and files of the host over a socket
 * of packets, one FUSE message in each. It is asked for files alone, and may end: what it served
 * gives EIO from then on. Regular files come with the answer to who opens them, as descriptors with
 * just the access that was asked for, and are read and written without it: what is not in the
 * host's memory is left to the gofer, so that no process waits for another one's storage.
 */
#pragma once

#include "base/err.h"
#include "kernel/fs/fuse.h"

/* Whether fd is such a socket, with room for messages. INVALID. Before the filter. */
[[nodiscard]] int gofer_check(int fd, struct err *e);
struct gofer;

/* Takes fd. In a fiber. */
[[nodiscard]] int gofer_begin(int fd, struct fuse_conn **ret, struct gofer **ret_gofer,
			      struct err *e);
/* Its files are lost; it is told so by the socket's end. */
void gofer_end(struct gofer *g);
