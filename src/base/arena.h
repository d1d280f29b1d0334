/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory for request-shaped data (a decoded JSON document, a manifest, an argv) that is freed at
 * once. Nothing else uses arenas. Blocks are zeroed. Has a maximum, so that hostile input cannot
 * take all memory.
 */
#pragma once

#include <stddef.h>

#include "base/str.h"

struct arena_block;

struct arena {
	struct arena_block *last;
	size_t used; /* bytes handed out */
	size_t max;  /* bytes; further requests give NULL */
};

#define ARENA_INIT(max_bytes) ((struct arena){ .max = (max_bytes) })

void arena_fini(struct arena *a);
#define auto_arena __attribute__((cleanup(arena_fini)))

/* Zeroed, aligned for any type; NULL when out of memory or past the maximum. */
void *arena_alloc(struct arena *a, size_t n);
void *arena_array(struct arena *a, size_t count, size_t size); /* overflow-checked */

char *arena_dup(struct arena *a, struct str s); /* NUL-terminated copy */
char *arena_strdup(struct arena *a, const char *z);
[[gnu::format(printf, 2, 3)]] char *arena_printf(struct arena *a, const char *fmt, ...);

/*
 * Room for one more element in a growing arena array: *array holds *count elements of `size`
 * bytes; gives the new, zeroed element and counts it, or NULL. The old array stays behind in the
 * arena when it moves (capacity doubles: at most as much again is lost).
 */
void *arena_push(struct arena *a, void *array_p, size_t *count, size_t size);
