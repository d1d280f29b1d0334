/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walls around the half of atoll-image that reads hostile bytes: namespaces of its own for
 * users, mounts, processes, network, IPC and host name; an empty, read-only root; directories only
 * as detached mounts, whose ".." ends at their root; the few capabilities that writing files of any
 * owner takes, and those only over files; a list of the system calls it makes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

/*
 * Replace *fd by a detached mount of the same directory. read_only: nothing can be written there.
 */
[[nodiscard]] int confine_directory(int *fd, bool read_only, struct err *e);

/*
 * A child in namespaces of its own, with every id mapped to itself: returns 0 there once the maps
 * are written, its pid here. Without user namespaces on the machine the other ones must do.
 */
[[nodiscard]] pid_t confine_fork(struct err *e);

/* In the child: the rest of the walls. All descriptors but those listed are closed. */
[[nodiscard]] int confine_enter(const int *keep, size_t keep_n, struct err *e);
