/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The id maps of a new user namespace, written by its creator: directly where the kernel lets him,
 * else by the setuid helpers newuidmap and newgidmap, which grant what /etc/subuid and /etc/subgid
 * say. Not the maps of mounts.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"
#include "sys/ns.h"

/* For the process `pid`, which waits in it. DENIED or NOT_FOUND: what is missing. */
[[nodiscard]] int idmap_write(pid_t pid, const struct ns_map *uid_maps, size_t uids_n,
			      const struct ns_map *gid_maps, size_t gids_n, struct err *e);
