/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mlock(2) and mincore(2): nothing of a guest's memory is ever paged out, so that locking is an
 * account against RLIMIT_MEMLOCK, and that the pages are there.
 */
#pragma once

#include "kernel/core/types.h"

struct space;

/* Mappings in [at, at + len) get or lose the lock. populate: their pages are there afterwards.
 * free: RLIMIT_MEMLOCK does not count (CAP_IPC_LOCK). -ENOMEM: something is not mapped, or more
 * than the limit. */
[[nodiscard]] int space_lock(struct space *s, uint64_t at, uint64_t len, bool lock, bool populate,
			     bool free);
/* The same for all there is. */
[[nodiscard]] int space_lock_all(struct space *s, bool lock, bool populate, bool free);
/* One byte for each page: 1 where it is in memory. at: of a whole page. -ENOMEM: not mapped. */
[[nodiscard]] int space_resident(const struct space *s, uint64_t at, size_t pages, uint8_t *to);
/* Whether all of it is mapped; *ret_locked: some of it is locked. */
bool space_mapped(const struct space *s, uint64_t at, uint64_t len, bool *ret_locked);
