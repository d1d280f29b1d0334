/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's RAM: one mapping, below 3 GiB and from 4 GiB on. A file in memory when other
 * processes serve devices in it (vhost-user), else private to this process: there huge pages come
 * without the machine's owner having allowed them for shared memory. Memory that is restored is the
 * snapshot's file, mapped: a page is read when it is touched, and copied when it is written.
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
	int fd;		  /* owned; FD_NONE: private */
	int restored_fd;  /* owned: what a private mapping is of; FD_NONE: of nothing */
	uint8_t *zeros;	  /* a bit per page: zeros in the newest file of it; NULL: not asked yet */
	bool unaccounted; /* others write into it, too, and do not tell where */
};

/* bytes: a multiple of the page size, between the two bounds. */
[[nodiscard]] int ram_init(struct ram *r, uint64_t bytes, bool shared, struct err *e);
/*
 * The same, filled from a file of a snapshot (taken), which nobody may change or cut while the
 * machine is there. INVALID: it has not the memory's size.
 */
[[nodiscard]] int ram_restore(struct ram *r, uint64_t bytes, bool shared, int fd, struct err *e);
/* From now on which pages change is kept account of (guest_memory.changed). 0 or -ENOMEM. */
[[nodiscard]] int ram_track(struct ram *r);
/* Nothing has changed since now. */
void ram_forget_changes(struct ram *r);
/* The newest file of it is not what was written last: its pages of zeros are not known. */
void ram_forget_zeros(struct ram *r);
void ram_fini(struct ram *r);
/* The end of what lies below 3 GiB. */
uint64_t ram_low_end(const struct ram *r);
