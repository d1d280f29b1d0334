/* SPDX-License-Identifier: Apache-2.0 */
/* A root file system on disks of the machine, instead of a share. */
#pragma once

#include "base/err.h"
#include "engine/engine.h"
#include "engine/microvm/guest.h"
#include "fmt/prepared.h"

/*
 * Of the bundle's disks those that the kernel can use (NULL: it has them mounted): g->disk_fd,
 * g->upper_fd. One without the
 * upper that there is: UNSUPPORTED, for the workload's files are there.
 */
[[nodiscard]] int disks_use(struct guest *g, const struct bundle *b, const struct prepared *kernel,
			    struct err *e);
