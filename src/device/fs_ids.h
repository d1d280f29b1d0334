/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers that stand for objects of the file server in what the guest says: a place in a table and
 * how often the place was used, so that a number the guest has kept too long finds nothing rather
 * than another object. The objects are the caller's.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct fs_id_slot;

struct fs_ids {
	struct fs_id_slot *slots;
	size_t slots_n, used;
	size_t max;	/* objects at a time */
	uint32_t first; /* free place, 0: none; place 0 is never given */
};

void fs_ids_init(struct fs_ids *t, size_t max);
void fs_ids_fini(struct fs_ids *t);

/* The first number given is 1. 0, -ENFILE: as many as may be, or -ENOMEM. */
[[nodiscard]] int fs_ids_add(struct fs_ids *t, void *object, uint64_t *ret_id);
/* At this very number, of a table that was elsewhere: 0, -EINVAL (no number, or taken) or -ENOMEM.
 * fs_ids_mend() has to follow the last one. */
[[nodiscard]] int fs_ids_put(struct fs_ids *t, uint64_t id, void *object);
/* Numbers given from now on are none that the other table can have given. */
void fs_ids_mend(struct fs_ids *t);
void *fs_ids_get(const struct fs_ids *t, uint64_t id); /* NULL: none */
void fs_ids_drop(struct fs_ids *t, uint64_t id);
/* The object at the first used place from `at` on, and the next place in *ret_next; NULL: none. */
void *fs_ids_next(const struct fs_ids *t, size_t at, size_t *ret_next);
