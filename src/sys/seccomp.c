/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/seccomp.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>

#define JUMP_MAX  255 /* of a conditional jump; further with BPF_JA */
#define FAILS_MAX 64  /* conditional jumps of one rule that lead past it */

struct code {
	struct sock_filter *at;
	size_t n, max;
	bool too_big;
};

/* Numbers lo to hi (inclusive), and the rules for them: none, or some of one number. */
struct segment {
	uint32_t lo, hi;
	const struct seccomp_rule *rules;
	size_t rules_n;
	uint32_t otherwise; /* when no rule holds */
};

static void emit(struct code *c, uint16_t op, uint8_t jt, uint8_t jf, uint32_t k)
{
	if (c->n >= c->max) {
		c->too_big = true;
		return;
	}
	c->at[c->n++] = (struct sock_filter){ op, jt, jf, k };
}

static void emit_return(struct code *c, uint32_t action)
{
	emit(c, BPF_RET | BPF_K, 0, 0, action);
}

struct fails {
	size_t at[FAILS_MAX];
	bool on_true[FAILS_MAX];
	size_t n;
};

/* A comparison one of whose outcomes leaves the rule; where to is known when the rule is whole. */
static void emit_or_fail(struct code *c, struct fails *f, uint16_t op, uint32_t k, bool fail_on,
			 uint8_t other)
{
	if (f->n >= FAILS_MAX) {
		c->too_big = true;
		return;
	}
	f->at[f->n] = c->n;
	f->on_true[f->n++] = fail_on;
	emit(c, BPF_JMP | op | BPF_K, fail_on ? 0 : other, fail_on ? other : 0, k);
}

static void emit_load(struct code *c, unsigned arg, bool high)
{
	size_t off = offsetof(struct seccomp_data, args) + arg * 8;
	bool second = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? high : !high;

	emit(c, BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t) (off + (second ? 4 : 0)));
}

/*
 * 64 bits in halves. "pass" ends the condition early: the jump goes over its second half, which is
 * two instructions (load, compare) long.
 */
static void emit_condition(struct code *c, struct fails *f, const struct seccomp_condition *q)
{
	uint32_t hi = (uint32_t) (q->value >> 32), lo = (uint32_t) q->value;

	emit_load(c, q->arg, true);
	switch (q->op) {
	case SECCOMP_EQ:
		emit_or_fail(c, f, BPF_JEQ, hi, false, 0);
		emit_load(c, q->arg, false);
		emit_or_fail(c, f, BPF_JEQ, lo, false, 0);
		break;
	case SECCOMP_NE:
		emit(c, BPF_JMP | BPF_JEQ | BPF_K, 0, 2, hi);
		emit_load(c, q->arg, false);
		emit_or_fail(c, f, BPF_JEQ, lo, true, 0);
		break;
	case SECCOMP_GT:
	case SECCOMP_GE:
		emit(c, BPF_JMP | BPF_JGT | BPF_K, 3, 0, hi);
		emit_or_fail(c, f, BPF_JEQ, hi, false, 0);
		emit_load(c, q->arg, false);
		emit_or_fail(c, f, q->op == SECCOMP_GT ? BPF_JGT : BPF_JGE, lo, false, 0);
		break;
	case SECCOMP_LT:
	case SECCOMP_LE:
		emit_or_fail(c, f, BPF_JGT, hi, true, 0);
		emit(c, BPF_JMP | BPF_JEQ | BPF_K, 0, 2, hi);
		emit_load(c, q->arg, false);
		emit_or_fail(c, f, q->op == SECCOMP_LT ? BPF_JGE : BPF_JGT, lo, true, 0);
		break;
	case SECCOMP_MASKED_EQ:
		emit(c, BPF_ALU | BPF_AND | BPF_K, 0, 0, hi);
		emit_or_fail(c, f, BPF_JEQ, (uint32_t) (q->value_two >> 32), false, 0);
		emit_load(c, q->arg, false);
		emit(c, BPF_ALU | BPF_AND | BPF_K, 0, 0, lo);
		emit_or_fail(c, f, BPF_JEQ, (uint32_t) q->value_two, false, 0);
		break;
	}
}

static void emit_rule(struct code *c, const struct seccomp_rule *r)
{
	struct fails f = { .n = 0 };

	for (size_t i = 0; i < r->conditions_n; i++)
		emit_condition(c, &f, &r->conditions[i]);
	emit_return(c, r->action);
	for (size_t i = 0; i < f.n && !c->too_big; i++) {
		size_t off = c->n - f.at[i] - 1;

		if (off > JUMP_MAX) {
			c->too_big = true;
			return;
		}
		if (f.on_true[i])
			c->at[f.at[i]].jt = (uint8_t) off;
		else
			c->at[f.at[i]].jf = (uint8_t) off;
	}
}

static void emit_leaf(struct code *c, const struct segment *s)
{
	const struct seccomp_rule *always = NULL;

	for (size_t i = 0; i < s->rules_n; i++) {
		if (s->rules[i].conditions_n)
			emit_rule(c, &s->rules[i]);
		else if (!always)
			always = &s->rules[i];
	}
	emit_return(c, always ? always->action : s->otherwise);
}

static bool simple(const struct segment *s, uint32_t *ret_action)
{
	if (s->rules_n == 0)
		*ret_action = s->otherwise;
	for (size_t i = 0; i < s->rules_n; i++) {
		if (s->rules[i].conditions_n)
			return false;
		if (i == 0)
			*ret_action = s->rules[0].action;
	}
	return true;
}

static size_t conditional_size(const struct segment *s)
{
	struct sock_filter scratch[1024];
	struct code c = { scratch, 0, 1024, false };

	emit_leaf(&c, s);
	return c.n;
}

/* Asked for on every level of the tree: the few with conditions alone are worth a trial. */
static size_t leaf_size(const struct segment *s)
{
	uint32_t action;

	return simple(s, &action) ? 1 : conditional_size(s);
}

static size_t tree_size(const struct segment *s, size_t n)
{
	size_t left, right;

	if (n == 1)
		return leaf_size(s);
	left = tree_size(s, n / 2);
	right = tree_size(s + n / 2, n - n / 2);
	return 1 + (left > JUMP_MAX ? 1 : 0) + left + right;
}

static void emit_tree(struct code *c, const struct segment *s, size_t n)
{
	size_t half = n / 2, left;

	if (n == 1) {
		emit_leaf(c, s);
		return;
	}
	left = tree_size(s, half);
	if (left > JUMP_MAX) {
		emit(c, BPF_JMP | BPF_JGE | BPF_K, 0, 1, s[half].lo);
		emit(c, BPF_JMP | BPF_JA, 0, 0, (uint32_t) left);
	} else {
		emit(c, BPF_JMP | BPF_JGE | BPF_K, (uint8_t) left, 0, s[half].lo);
	}
	emit_tree(c, s, half);
	emit_tree(c, s + half, n - half);
}

/* By merging, which is stable: the order of rules of one number has a meaning. */
static int sort_rules(struct seccomp_rule *r, size_t n)
{
	struct seccomp_rule *other = calloc(n ? n : 1, sizeof(*other));

	if (!other)
		return -ENOMEM;
	for (size_t run = 1; run < n; run *= 2) {
		for (size_t lo = 0; lo < n; lo += 2 * run) {
			size_t mid = lo + run < n ? lo + run : n;
			size_t hi = lo + 2 * run < n ? lo + 2 * run : n;
			size_t a = lo, b = mid;

			for (size_t k = lo; k < hi; k++)
				other[k] = a < mid && (b >= hi || r[a].nr <= r[b].nr) ? r[a++]
										      : r[b++];
		}
		memcpy(r, other, n * sizeof(*r));
	}
	free(other);
	return 0;
}

struct segments {
	struct segment *v;
	size_t n, max;
};

static uint32_t default_for(const struct seccomp_profile *p, const struct seccomp_arch *a,
			    uint32_t nr)
{
	if (nr >= a->foreign_from)
		return a->foreign_action;
	return nr > a->last_known ? p->newer_action : p->default_action;
}

static void add(struct segments *all, struct segment s)
{
	uint32_t a = 0, b = 0;

	if (all->n && simple(&all->v[all->n - 1], &a) && simple(&s, &b) && a == b) {
		struct segment *last = &all->v[all->n - 1];

		*last = (struct segment){ last->lo, s.hi, NULL, 0, a };
		return;
	}
	if (all->n < all->max)
		all->v[all->n++] = s;
}

/* The gap from lo to hi, cut where the default changes. */
static void add_gap(struct segments *all, const struct seccomp_profile *p,
		    const struct seccomp_arch *a, uint64_t lo, uint64_t hi)
{
	const uint64_t cuts[] = { (uint64_t) a->last_known + 1, a->foreign_from };

	while (lo <= hi) {
		uint64_t end = hi;

		for (int i = 0; i < 2; i++) {
			if (cuts[i] > lo && cuts[i] - 1 < end)
				end = cuts[i] - 1;
		}
		add(all, (struct segment){ (uint32_t) lo, (uint32_t) end, NULL, 0,
					   default_for(p, a, (uint32_t) lo) });
		lo = end + 1;
	}
}

static int build_arch(struct code *c, const struct seccomp_profile *p, struct seccomp_arch *a)
{
	struct segments all = { .max = 2 * a->rules_n + 8 };
	uint64_t next = 0;
	size_t i = 0, left;

	if (sort_rules(a->rules, a->rules_n) < 0)
		return -ENOMEM;
	all.v = calloc(all.max, sizeof(*all.v));
	if (!all.v)
		return -ENOMEM;
	while (i < a->rules_n) {
		uint32_t nr = a->rules[i].nr;
		size_t k = i;

		while (k < a->rules_n && a->rules[k].nr == nr)
			k++;
		if (nr > next)
			add_gap(&all, p, a, next, (uint64_t) nr - 1);
		add(&all, (struct segment){ nr, nr, &a->rules[i], k - i, default_for(p, a, nr) });
		next = (uint64_t) nr + 1;
		i = k;
	}
	if (next <= UINT32_MAX)
		add_gap(&all, p, a, next, UINT32_MAX);
	/* Not this architecture: over the whole block. */
	left = 1 + tree_size(all.v, all.n);
	emit(c, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, a->audit);
	emit(c, BPF_JMP | BPF_JA, 0, 0, (uint32_t) left);
	emit(c, BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr));
	emit_tree(c, all.v, all.n);
	free(all.v);
	return 0;
}

int seccomp_build(const struct seccomp_profile *p, struct sock_filter *code, size_t max)
{
	struct code c = { .at = code, .max = max };

	emit(&c, BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, arch));
	for (size_t i = 0; i < p->archs_n; i++) {
		int r = build_arch(&c, p, &p->archs[i]);

		if (r < 0)
			return r;
	}
	emit_return(&c, p->unknown_arch_action);
	return c.too_big ? -E2BIG : (int) c.n;
}
