/* SPDX-License-Identifier: Apache-2.0 */
/* A container's root file system, made in the guest: an image on a disk, and what the host keeps of
 * the changes to it. */
#pragma once

#include "base/err.h"
#include "proto/agent.h"

/*
 * As struct agent_create says: `lower`, or an overlay on it. Gives the mount's descriptor. It is
 * made through `dir`, a directory of the caller's, and nothing stays there.
 */
[[nodiscard]] int root_make(const struct agent_create *m, const char *dir, int *ret_fd,
			    struct err *e);
