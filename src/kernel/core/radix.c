/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/core/radix.h"

#include "kernel/core/heap.h"

#define BITS   6
#define SLOTS  (1u << BITS)
#define LEVELS ((64 + BITS - 1) / BITS)

struct radix_node {
	void *slot[SLOTS];
	uint64_t used; /* one bit a slot that is not NULL */
};

static struct heap_cache nodes = HEAP_CACHE_INIT(struct radix_node);

static unsigned int slot_of(uint64_t index, unsigned int level)
{
	return (unsigned int) (index >> (level * BITS)) & (SLOTS - 1);
}

static void fill_slot(struct radix_node *n, unsigned int s, void *p)
{
	n->slot[s] = p;
	n->used |= (uint64_t) 1 << s;
}

static void empty_slot(struct radix_node *n, unsigned int s)
{
	n->slot[s] = NULL;
	n->used &= ~((uint64_t) 1 << s);
}

/* Whether `levels` levels reach index. */
static bool reaches(unsigned int levels, uint64_t index)
{
	return levels * BITS >= 64 || index >> (levels * BITS) == 0;
}

void *radix_get(const struct radix *r, uint64_t index)
{
	struct radix_node *n = r->root;

	if (!n || !reaches(r->levels, index))
		return NULL;
	for (unsigned int level = r->levels - 1; level > 0 && n; level--)
		n = n->slot[slot_of(index, level)];
	return n ? n->slot[slot_of(index, 0)] : NULL;
}

/* Takes the empty nodes on the way to index away, from the lowest up. */
static void prune(struct radix *r, uint64_t index)
{
	struct radix_node *way[LEVELS] = {};
	struct radix_node *n = r->root;

	for (unsigned int level = r->levels; n && level-- > 0; n = n->slot[slot_of(index, level)]) {
		way[level] = n;
		if (level == 0)
			break;
	}
	for (unsigned int level = 0; level < r->levels; level++) {
		if (!way[level])
			continue;
		if (way[level]->used)
			break;
		heap_cache_free(&nodes, way[level]);
		if (level + 1 == r->levels) {
			*r = (struct radix){};
		} else {
			empty_slot(way[level + 1], slot_of(index, level + 1));
		}
	}
	/* One way down alone: fewer levels do. */
	while (r->levels > 1 && r->root->used == 1) {
		n = r->root;
		r->root = n->slot[0];
		r->levels--;
		heap_cache_free(&nodes, n);
	}
}

static int grow(struct radix *r, uint64_t index)
{
	while (!r->root || !reaches(r->levels, index)) {
		struct radix_node *n = heap_cache_alloc(&nodes);

		if (!n)
			return -ENOMEM;
		if (r->root)
			fill_slot(n, 0, r->root);
		r->root = n;
		r->levels++;
	}
	return 0;
}

int radix_set(struct radix *r, uint64_t index, void *p)
{
	struct radix_node *n;

	if (grow(r, index) < 0)
		goto undo_nodes;
	n = r->root;
	for (unsigned int level = r->levels - 1; level > 0; level--) {
		unsigned int s = slot_of(index, level);

		if (!n->slot[s]) {
			struct radix_node *below = heap_cache_alloc(&nodes);

			if (!below)
				goto undo_nodes;
			fill_slot(n, s, below);
		}
		n = n->slot[s];
	}
	fill_slot(n, slot_of(index, 0), p);
	return 0;
undo_nodes:
	if (r->root)
		prune(r, index);
	return -ENOMEM;
}

void *radix_take(struct radix *r, uint64_t index)
{
	struct radix_node *n = r->root;
	void *p = radix_get(r, index);

	if (!p)
		return NULL;
	for (unsigned int level = r->levels - 1; level > 0; level--)
		n = n->slot[slot_of(index, level)];
	empty_slot(n, slot_of(index, 0));
	if (!n->used)
		prune(r, index);
	return p;
}

static void *next_below(const struct radix_node *n, unsigned int level, uint64_t *index)
{
	uint64_t step = (uint64_t) 1 << (level * BITS), below = step - 1 + (SLOTS - 1) * step;
	unsigned int first = slot_of(*index, level);

	for (uint64_t left = n->used >> first << first; left; left &= left - 1) {
		unsigned int s = (unsigned int) __builtin_ctzll(left);
		void *p;

		if (s != first)
			*index = (*index & ~below) | s * step;
		p = level ? next_below(n->slot[s], level - 1, index) : n->slot[s];
		if (p)
			return p;
	}
	return NULL;
}

void *radix_next(const struct radix *r, uint64_t *index)
{
	uint64_t at = *index;
	void *p;

	if (!r->root || !reaches(r->levels, at))
		return NULL;
	p = next_below(r->root, r->levels - 1, &at);
	if (p)
		*index = at;
	return p;
}

bool radix_gap(const struct radix *r, uint64_t from, uint64_t upto, uint64_t *ret_index)
{
	for (uint64_t at = from; at < upto; at++) {
		if (!radix_get(r, at)) {
			*ret_index = at;
			return true;
		}
	}
	return false;
}

static void free_below(struct radix_node *n, unsigned int level)
{
	for (unsigned int s = 0; level && s < SLOTS; s++) {
		if (n->slot[s])
			free_below(n->slot[s], level - 1);
	}
	heap_cache_free(&nodes, n);
}

void radix_fini(struct radix *r)
{
	if (r->root)
		free_below(r->root, r->levels - 1);
	*r = (struct radix){};
}
