/* SPDX-License-Identifier: Apache-2.0 */
/* A container's root file system, made in the guest: an image on a disk, and what the host keeps of
 * the changes to it. */
#pragma once

#include "base/auto.h"
#include "base/err.h"
#include "proto/agent.h"

struct root {
	int fd;	      /* owned: the mount, detached */
	int upper_fd; /* owned: the changes, which are on a disk; FD_NONE: they are not */
};
#define ROOT_INIT ((struct root){ .fd = FD_NONE, .upper_fd = FD_NONE })

/*
 * As struct agent_create says: `lower`, or an overlay on it. It is made through `dir`, a directory
 * of the caller's, and nothing stays there. Gives.
 */
[[nodiscard]] int root_make(const struct agent_create *m, const char *dir, struct root *ret,
			    struct err *e);
