/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a workload with a kernel of its own writes: a sparse ext4 disk in its directory, which that
 * kernel alone mounts. It is made as a copy of an empty one of the same size.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"
#include "svc/svc.h"

#define OWN_DISK_SIZE	  (UINT64_C(64) << 30) /* bytes, where none are asked for */
#define OWN_DISK_SIZE_MIN (UINT64_C(64) << 20)
#define OWN_DISK_SIZE_MAX (UINT64_C(8) << 40)

/* bundle_fd: ROOT/workloads/ID. */
bool own_disk_there(int bundle_fd);
/* Bytes it takes of the host's disk; 0: there is none. */
uint64_t own_disk_bytes(int bundle_fd);

/*
 * Make it, which takes some milliseconds; durable: synced. size: bytes, or 0. UNSUPPORTED:
 * mkfs.ext4 is not installed.
 */
[[nodiscard]] int own_disk_make(struct svc *s, int bundle_fd, uint64_t size, bool durable,
				nsec_t deadline, struct err *e);

/*
 * For reading and writing, and locked: one machine at a time has it mounted, and the lock is there
 * as long as any descriptor of it is. CONFLICT: it was in use until the deadline. Gives.
 */
[[nodiscard]] int own_disk_open(int bundle_fd, nsec_t deadline, int *ret_fd, struct err *e);
