/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/core/tree.h"

#include "base/test.h"

#define N 2000

static struct tree_node nodes[N];
static uint64_t state = 88172645463325252u;

static uint64_t number(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	return state ^= state << 17;
}

/* Height, or -1 for one that is no AVL tree in order. */
static int checked(const struct tree_node *n, const struct tree_node *up)
{
	int l, r;

	if (!n)
		return 0;
	l = checked(n->side[0], n);
	r = checked(n->side[1], n);
	if (l < 0 || r < 0 || n->up != up || l - r > 1 || r - l > 1 ||
	    n->height != 1 + max_of(l, r) || (n->side[0] && n->side[0]->key > n->key) ||
	    (n->side[1] && n->side[1]->key < n->key))
		return -1;
	return n->height;
}

static void in_and_out(void)
{
	struct tree t = {};
	size_t in = 0;

	for (int round = 0; round < 20000; round++) {
		struct tree_node *n = &nodes[number() % N];

		if (tree_has(n)) {
			tree_remove(&t, n);
			in--;
		} else {
			tree_insert(&t, n, number() % 500);
			in++;
		}
		if (round % 97 == 0)
			CHECK(checked(t.root, NULL) >= 0);
	}
	size_t seen = 0;
	uint64_t last = 0;

	for (struct tree_node *n = tree_first(&t); n; n = tree_next(n)) {
		CHECK(n->key >= last);
		last = n->key;
		seen++;
	}
	CHECK(seen == in);
	for (struct tree_node *n = tree_last(&t); n; n = tree_prev(n))
		seen--;
	CHECK(seen == 0);
}

static void bounds(void)
{
	struct tree t = {};
	struct tree_node a = {}, b = {}, c = {};

	CHECK(!tree_first(&t) && !tree_last(&t) && !tree_from(&t, 0) && !tree_upto(&t, UINT64_MAX));
	tree_insert(&t, &a, 10);
	tree_insert(&t, &b, 20);
	tree_insert(&t, &c, 20);
	CHECK(tree_from(&t, 0) == &a && tree_from(&t, 10) == &a && tree_from(&t, 11) == &b);
	CHECK(!tree_from(&t, 21));
	CHECK(!tree_upto(&t, 9) && tree_upto(&t, 10) == &a && tree_upto(&t, 19) == &a);
	CHECK(tree_upto(&t, 20) == &c && tree_upto(&t, UINT64_MAX) == &c);
	tree_remove(&t, &b);
	CHECK(!tree_has(&b) && tree_from(&t, 11) == &c && tree_next(&a) == &c);
}

int main(void)
{
	bounds();
	in_and_out();
	return test_done();
}
