/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's RAM: one mapping, below 3 GiB and from 4 GiB on. A file in memory when other
 * processes serve devices in it (vhost-user), else private to this process: there huge pages come
 * without the machine's owner having allowed them for shared memory.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "virtio/memory.h"

#define RAM_MIN_BYTES (UINT64_C(32) << 20)
#define RAM_MAX_BYTES (UINT64_C(1) << 40)

struct ram {
	struct guest_memory memory;
	void *map;
	uint64_t bytes;
	int fd; /* owned; FD_NONE: private */
};

/* bytes: a multiple of the page size, between the two bounds. */
[[nodiscard]] int ram_init(struct ram *r, uint64_t bytes, bool shared, struct err *e);
void ram_fini(struct ram *r);
/* The end of what lies below 3 GiB. */
uint64_t ram_low_end(const struct ram *r);
