/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pointers by a 64-bit index: pages of a file, pages of an address space, processes, descriptors.
 * Nodes of 64 slots, as many levels as the largest index needs; empty ones are given back. A slot
 * holds any pointer but NULL, which is "nothing there".
 */
#pragma once

#include "kernel/core/types.h"

struct radix_node;

struct radix {
	struct radix_node *root;
	unsigned int levels;
};

void *radix_get(const struct radix *r, uint64_t index);
/* p: not NULL. Replaces what was there. -ENOMEM. */
[[nodiscard]] int radix_set(struct radix *r, uint64_t index, void *p);
/* What was there, or NULL. */
void *radix_take(struct radix *r, uint64_t index);
/* The first at *index or after it, its index in *index; NULL: none. */
void *radix_next(const struct radix *r, uint64_t *index);
/* The lowest index in [from, upto) that holds nothing; false: none. */
bool radix_gap(const struct radix *r, uint64_t from, uint64_t upto, uint64_t *ret_index);
/* Frees the nodes; what they point to is the caller's. */
void radix_fini(struct radix *r);
