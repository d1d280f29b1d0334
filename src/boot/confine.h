/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walls around the reading of kernels and modules, which anybody may have written: namespaces
 * of its own, an empty root, directories only as detached mounts, whose ".." ends at their top, no
 * capability, limits, and the few system calls that are made from there on.
 */
#pragma once

#include <stddef.h>

#include "base/err.h"

/*
 * For good. The two directories, one that is only read and one that is written to, are replaced by
 * mounts of the same; of other descriptors only those of keep (which may hold FD_NONE) stay open.
 * A caller without rights over mounts gets the directories by their names: ESTALE, another
 * directory is there now.
 */
[[nodiscard]] int confine_enter(int *read_fd, int *write_fd, const int *keep, size_t keep_n,
				struct err *e);
