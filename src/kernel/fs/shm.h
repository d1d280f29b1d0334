/* SPDX-License-Identifier: Apache-2.0 */
/* Files without a name: memfd_create(2), and what shared anonymous mappings share. */
#pragma once

#include "kernel/core/types.h"

struct cred;
struct file;

/* Of a file system of its own, so that it goes with its last user; open for reading and writing.
 * shown: as /proc/PID/fd shows it, "/memfd:NAME (deleted)". seals: F_SEAL_* (vfs/seal.h). -ENOMEM.
 */
[[nodiscard]] int shm_file(const char *shown, uint32_t mode, unsigned int seals,
			   const struct cred *who, struct file **ret);
