/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file server's second door, beside virtio-fs: the requests of one client over a connected
 * socket of packets, one FUSE message in each, and as many answers. A sandbox's kernel is the
 * client, as hostile as a machine is. The same session serves, by the same crew. A request without
 * a number (`unique`) gets no answer. With the answer to
 * who opens a file of a local file system comes its descriptor, opened as that allows.
 */
#pragma once

#include <stddef.h>

#include "base/err.h"
#include "base/loop.h"
#include "device/fs_session.h"

/* Of a message: what a file is written with, and what goes before it. */
#define FS_DOOR_BYTES ((size_t) (128 << 10) + 8192)

struct fs_door;

/* Borrows the socket; proc_fd and what follows as fs_session_new(). */
struct fs_door *fs_door_new(struct loop *loop, int socket, int proc_fd,
			    const struct fs_share *shares, size_t n, size_t fds_max, struct err *e);
void fs_door_free(struct fs_door *d);
/* Until the client hangs up or the loop is stopped, after the process is confined. abandon() ends
 * the process where a request cannot be waited for. INVALID: what came is no request. */
[[nodiscard]] int fs_door_run(struct fs_door *d, void (*abandon)(void), struct err *e);
