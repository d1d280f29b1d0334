/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-fs (virtio 1.2, 5.11): shares of the host as one file system of the guest, which mounts
 * it by its tag. Its root is a read-only directory with one entry per share; FUSE requests are
 * served one at a time (device/fs_session.h), or by a crew.
 */
#pragma once

#include <stddef.h>

#include "base/err.h"
#include "base/loop.h"
#include "device/fs_session.h"
#include "virtio/device.h"

#define FS_TAG_MAX 36

/* As fs_session_new(), whose arguments the last ones are. The working directory of the process is
 * the device's from its activation on. */
struct virtio_device *fs_new(struct loop *loop, const struct guest_memory *memory, const char *tag,
			     int proc_fd, const struct fs_share *shares, size_t n, size_t fds_max,
			     struct err *e);
/* Run the device's loop with a crew (device/fs_crew.h), after the process is confined. */
[[nodiscard]] int fs_run(struct virtio_device *d, void (*abandon)(void), struct err *e);
/* Serve requests for more and fewer shares (proto/shares.h) on a listening socket (borrowed). */
[[nodiscard]] int fs_control(struct virtio_device *d, int listen_fd, struct err *e);
