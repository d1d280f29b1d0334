/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directory of prepared kernels (fmt/prepared.h says what is in it): found, checked, made by
 * one process at a time, visible by one rename.
 */
#pragma once

#include "base/err.h"
#include "base/str.h"
#include "fmt/prepared.h"

/* Whether CACHE/hex is there and good. Digests are compared once per boot. */
bool cache_has(int cache_fd, const char *hex);

/* Wait for one's turn: gives the lock. Then what others left half-made is removed. */
[[nodiscard]] int cache_lock(int cache_fd, int *ret_lock_fd, struct err *e);

/*
 * With the lock: make CACHE/hex of these contents, in place of a damaged one. p: all but digests,
 * sizes and boot is filled in by the caller.
 */
[[nodiscard]] int cache_make(int cache_fd, const char *hex, struct prepared *p, struct str vmlinux,
			     struct str initramfs, struct err *e);

/* Let the name lead to CACHE/hex. Best effort: without it, it takes longer to be found. */
void cache_stamp(int cache_fd, const char *name, const char *hex);
