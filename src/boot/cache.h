/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directory of prepared kernels (fmt/prepared.h says what is in it): found, checked, made by
 * one process at a time, visible by one rename.
 */
#pragma once

#include "base/auto.h"
#include "base/err.h"
#include "base/str.h"
#include "fmt/prepared.h"

struct cache {
	int fd;			      /* owned; the directory */
	char boot[PREPARED_BOOT_MAX]; /* this boot's id; "": not known */
};
#define CACHE_INIT ((struct cache){ .fd = FD_NONE })

/* Whether CACHE/hex is there and good. Digests are compared once per boot. */
bool cache_has(const struct cache *c, const char *hex);

/* Wait for one's turn: gives the lock. Then what others left half-made is removed. */
[[nodiscard]] int cache_lock(const struct cache *c, int *ret_lock_fd, struct err *e);

/*
 * With the lock: make CACHE/hex of these contents, in place of a damaged one. p: all but digests,
 * sizes and boot is filled in by the caller.
 */
[[nodiscard]] int cache_make(const struct cache *c, const char *hex, struct prepared *p,
			     struct str vmlinux, struct str initramfs, struct err *e);

/* Let the name lead to CACHE/hex. Best effort: without it, it takes longer to be found. */
void cache_stamp(const struct cache *c, const char *name, const char *hex);
