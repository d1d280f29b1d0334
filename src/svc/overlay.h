/* SPDX-License-Identifier: Apache-2.0 */
/* Layers as one tree: the kernel's overlay, as a mount that is attached nowhere. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/*
 * layers: top first. upper FD_NONE: read-only. Gives the detached mount. thrown_away: nothing of
 * the upper is looked at after its workload (--rm), so nothing of it need reach the disk: neither
 * at fsync() nor, which everybody would wait for, when the mount goes (volatile, Linux 5.10).
 */
[[nodiscard]] int overlay_mount(const int *layers, size_t n, int upper, int work, bool thrown_away,
				int *ret_fd, struct err *e);
