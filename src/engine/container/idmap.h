/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The id maps of a container's new user namespace, written by its creator: directly where the
 * kernel lets him, else by the setuid helpers newuidmap and newgidmap, which grant what
 * /etc/subuid and /etc/subgid say. Not the maps of mounts.
 */
#pragma once

#include <sys/types.h>

#include "base/err.h"

struct plan;

/* For the process `pid`, which waits in it. INVALID, DENIED or NOT_FOUND: what is missing. */
[[nodiscard]] int idmap_write(const struct plan *p, pid_t pid, struct err *e);
