/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A balanced (AVL) tree of nodes embedded in what it orders, by a 64-bit key; equal keys stand in
 * the order of their insertion. It allocates nothing. Depth of n nodes: at most 1.44 log2(n).
 */
#pragma once

#include "kernel/core/types.h"

struct tree_node {
	struct tree_node *up, *side[2]; /* side[0] the smaller ones */
	uint64_t key;
	int height; /* 0: in no tree */
};

struct tree {
	struct tree_node *root;
};

#define TREE_NODE_INIT                                                                             \
	{                                                                                          \
		.height = 0                                                                        \
	}

void tree_insert(struct tree *t, struct tree_node *n, uint64_t key);
void tree_remove(struct tree *t, struct tree_node *n);

static inline bool tree_has(const struct tree_node *n)
{
	return n->height != 0;
}

/* NULL: none. */
struct tree_node *tree_first(const struct tree *t);
struct tree_node *tree_last(const struct tree *t);
struct tree_node *tree_next(const struct tree_node *n);
struct tree_node *tree_prev(const struct tree_node *n);
/* The first with a key of at least, and the last with a key of at most `key`. */
struct tree_node *tree_from(const struct tree *t, uint64_t key);
struct tree_node *tree_upto(const struct tree *t, uint64_t key);
