/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/core/tree.h"

static int height(const struct tree_node *n)
{
	return n ? n->height : 0;
}

static void measure(struct tree_node *n)
{
	n->height = 1 + max_of(height(n->side[0]), height(n->side[1]));
}

/* `n` stands where `old` stood below old's parent. */
static void replace(struct tree *t, struct tree_node *old, struct tree_node *n)
{
	struct tree_node *up = old->up;

	if (!up)
		t->root = n;
	else
		up->side[up->side[1] == old] = n;
	if (n)
		n->up = up;
}

/* The child at `side` becomes the parent. */
static struct tree_node *rotate(struct tree *t, struct tree_node *n, int side)
{
	struct tree_node *c = n->side[side], *inner = c->side[!side];

	replace(t, n, c);
	n->side[side] = inner;
	if (inner)
		inner->up = n;
	c->side[!side] = n;
	n->up = c;
	measure(n);
	measure(c);
	return c;
}

static void balance(struct tree *t, struct tree_node *n)
{
	for (; n; n = n->up) {
		int lean = height(n->side[1]) - height(n->side[0]);

		if (lean > 1 || lean < -1) {
			int side = lean > 1;
			struct tree_node *c = n->side[side];

			if (height(c->side[!side]) > height(c->side[side]))
				(void) rotate(t, c, !side);
			n = rotate(t, n, side);
		} else {
			measure(n);
		}
	}
}

void tree_insert(struct tree *t, struct tree_node *n, uint64_t key)
{
	struct tree_node **at = &t->root, *up = NULL;

	while (*at) {
		up = *at;
		at = &up->side[key >= up->key];
	}
	*n = (struct tree_node){ .up = up, .key = key, .height = 1 };
	*at = n;
	balance(t, up);
}

void tree_remove(struct tree *t, struct tree_node *n)
{
	struct tree_node *from = n->up;

	if (!n->side[0] || !n->side[1]) {
		replace(t, n, n->side[0] ? n->side[0] : n->side[1]);
	} else {
		struct tree_node *next = tree_next(n);

		from = next->up == n ? next : next->up;
		replace(t, next, next->side[1]);
		replace(t, n, next);
		for (int side = 0; side < 2; side++) {
			next->side[side] = n->side[side];
			if (next->side[side])
				next->side[side]->up = next;
		}
	}
	*n = (struct tree_node) TREE_NODE_INIT;
	balance(t, from);
}

static struct tree_node *outermost(struct tree_node *n, int side)
{
	while (n && n->side[side])
		n = n->side[side];
	return n;
}

static struct tree_node *neighbour(const struct tree_node *n, int side)
{
	if (n->side[side])
		return outermost(n->side[side], !side);
	while (n->up && n->up->side[side] == n)
		n = n->up;
	return n->up;
}

struct tree_node *tree_first(const struct tree *t)
{
	return outermost(t->root, 0);
}

struct tree_node *tree_last(const struct tree *t)
{
	return outermost(t->root, 1);
}

struct tree_node *tree_next(const struct tree_node *n)
{
	return neighbour(n, 1);
}

struct tree_node *tree_prev(const struct tree_node *n)
{
	return neighbour(n, 0);
}

struct tree_node *tree_from(const struct tree *t, uint64_t key)
{
	struct tree_node *best = NULL;

	for (struct tree_node *n = t->root; n;) {
		if (n->key >= key)
			best = n;
		n = n->side[n->key < key];
	}
	return best;
}

struct tree_node *tree_upto(const struct tree *t, uint64_t key)
{
	struct tree_node *best = NULL;

	for (struct tree_node *n = t->root; n;) {
		if (n->key <= key)
			best = n;
		n = n->side[n->key <= key];
	}
	return best;
}
