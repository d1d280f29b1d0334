/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/seccomp.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>

#define JUMP_MAX 255 /* of a conditional jump; further with BPF_JA */
#define RETS_MAX 8   /* actions whose last return is remembered */

/*
 * Jumps go forward only, so the program is made from its end: every target is known when a jump to
 * it is, and one return serves all that is near enough before it. `at` holds it in that order and
 * is turned round at last; a place is an index into it.
 */
struct code {
	struct sock_filter *at;
	size_t n, max;
	bool too_big;
	size_t ret[RETS_MAX]; /* places */
	size_t ret_n;
};

/* Numbers lo to hi (inclusive), and the rules for them: none, or some of one number. */
struct segment {
	uint32_t lo, hi;
	const struct seccomp_rule *rules;
	size_t rules_n;
	uint32_t otherwise; /* when no rule holds */
};

static size_t put(struct code *c, uint16_t op, uint8_t jt, uint8_t jf, uint32_t k)
{
	if (c->n >= c->max) {
		c->too_big = true;
		return 0;
	}
	c->at[c->n] = (struct sock_filter){ op, jt, jf, k };
	return c->n++;
}

static size_t put_return(struct code *c, uint32_t action)
{
	size_t slot = 0;

	while (slot < c->ret_n && c->at[c->ret[slot]].k != action)
		slot++;
	if (slot < c->ret_n && c->n - c->ret[slot] < JUMP_MAX)
		return c->ret[slot];
	if (slot == RETS_MAX)
		slot = 0;
	if (slot == c->ret_n)
		c->ret_n++;
	return c->ret[slot] = put(c, BPF_RET | BPF_K, 0, 0, action);
}

/* A place with the same effect that a conditional jump reaches, with room for one before it. */
static size_t reach(struct code *c, size_t to)
{
	if (c->too_big || c->n - to < JUMP_MAX)
		return to;
	if (c->at[to].code == (BPF_RET | BPF_K))
		return put_return(c, c->at[to].k);
	return put(c, BPF_JMP | BPF_JA, 0, 0, (uint32_t) (c->n - to - 1));
}

static size_t put_jump(struct code *c, uint16_t op, uint32_t k, size_t on_true, size_t on_false)
{
	on_true = reach(c, on_true);
	on_false = reach(c, on_false);
	if (c->too_big)
		return 0;
	return put(c, BPF_JMP | op | BPF_K, (uint8_t) (c->n - on_true - 1),
		   (uint8_t) (c->n - on_false - 1), k);
}

static size_t put_load(struct code *c, unsigned arg, bool high)
{
	size_t off = offsetof(struct seccomp_data, args) + arg * 8;
	bool second = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? high : !high;

	return put(c, BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t) (off + (second ? 4 : 0)));
}

/* 64 bits in halves: the lower one is looked at where the upper ones are the same. */
static size_t put_condition(struct code *c, const struct seccomp_condition *q, size_t yes,
			    size_t no)
{
	uint32_t hi = (uint32_t) (q->value >> 32), lo = (uint32_t) q->value;
	uint32_t hi_two = (uint32_t) (q->value_two >> 32), lo_two = (uint32_t) q->value_two;
	size_t low, differs;

	switch (q->op) {
	case SECCOMP_EQ:
		(void) put_jump(c, BPF_JEQ, lo, yes, no);
		low = put_load(c, q->arg, false);
		(void) put_jump(c, BPF_JEQ, hi, low, no);
		break;
	case SECCOMP_NE:
		(void) put_jump(c, BPF_JEQ, lo, no, yes);
		low = put_load(c, q->arg, false);
		(void) put_jump(c, BPF_JEQ, hi, low, yes);
		break;
	case SECCOMP_GT:
	case SECCOMP_GE:
		(void) put_jump(c, q->op == SECCOMP_GT ? BPF_JGT : BPF_JGE, lo, yes, no);
		low = put_load(c, q->arg, false);
		differs = put_jump(c, BPF_JEQ, hi, low, no);
		(void) put_jump(c, BPF_JGT, hi, yes, differs);
		break;
	case SECCOMP_LT:
	case SECCOMP_LE:
		(void) put_jump(c, q->op == SECCOMP_LT ? BPF_JGE : BPF_JGT, lo, no, yes);
		low = put_load(c, q->arg, false);
		differs = put_jump(c, BPF_JEQ, hi, low, yes);
		(void) put_jump(c, BPF_JGT, hi, no, differs);
		break;
	case SECCOMP_MASKED_EQ:
		(void) put_jump(c, BPF_JEQ, lo_two, yes, no);
		(void) put(c, BPF_ALU | BPF_AND | BPF_K, 0, 0, lo);
		low = put_load(c, q->arg, false);
		if (!hi && !hi_two)
			return low;
		(void) put_jump(c, BPF_JEQ, hi_two, low, no);
		(void) put(c, BPF_ALU | BPF_AND | BPF_K, 0, 0, hi);
		break;
	}
	return put_load(c, q->arg, true);
}

/* What decides for one number: the conditional rules in their order, then what always holds. */
static size_t put_leaf(struct code *c, const struct segment *s)
{
	uint32_t last = s->otherwise;
	size_t next;

	for (size_t i = s->rules_n; i-- > 0;)
		last = s->rules[i].conditions_n ? last : s->rules[i].action;
	next = put_return(c, last);
	for (size_t i = s->rules_n; i-- > 0 && !c->too_big;) {
		const struct seccomp_rule *r = &s->rules[i];
		size_t yes;

		if (!r->conditions_n)
			continue;
		yes = put_return(c, r->action);
		for (size_t k = r->conditions_n; k-- > 0 && !c->too_big;)
			yes = put_condition(c, &r->conditions[k], yes, next);
		next = yes;
	}
	return next;
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

/* One number that differs from what is on both sides of it takes one comparison. */
static bool is_island(const struct segment *s)
{
	uint32_t before = 0, after = 0;

	return s[1].lo == s[1].hi && simple(&s[0], &before) && simple(&s[2], &after) &&
	       before == after;
}

static size_t put_tree(struct code *c, const struct segment *s, size_t n)
{
	size_t half = n / 2, left, right;

	if (c->too_big)
		return 0;
	if (n == 1)
		return put_leaf(c, s);
	if (n == 3 && is_island(s)) {
		right = put_leaf(c, &s[1]);
		left = put_leaf(c, &s[0]);
		return put_jump(c, BPF_JEQ, s[1].lo, right, left);
	}
	right = put_tree(c, s + half, n - half);
	left = put_tree(c, s, half);
	return put_jump(c, BPF_JGE, s[half].lo, right, left);
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

/* The whole of one architecture, entered with nothing loaded. */
static int put_arch(struct code *c, const struct seccomp_profile *p, struct seccomp_arch *a,
		    size_t *ret_entry)
{
	struct segments all = { .max = 2 * a->rules_n + 8 };
	uint64_t next = 0;
	size_t i = 0;

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
	/* The load falls through to the comparison that follows it: both or a return alone. */
	*ret_entry = put_tree(c, all.v, all.n);
	if (all.n > 1) {
		if (*ret_entry + 1 != c->n)
			(void) put(c, BPF_JMP | BPF_JA, 0, 0, (uint32_t) (c->n - *ret_entry - 1));
		*ret_entry = put(c, BPF_LD | BPF_W | BPF_ABS, 0, 0,
				 offsetof(struct seccomp_data, nr));
	}
	free(all.v);
	return 0;
}

static void turn_round(struct sock_filter *at, size_t n)
{
	for (size_t i = 0; i < n / 2; i++) {
		struct sock_filter one = at[i];

		at[i] = at[n - 1 - i];
		at[n - 1 - i] = one;
	}
}

int seccomp_build(const struct seccomp_profile *p, struct sock_filter *code, size_t max)
{
	struct code c = { .at = code, .max = max };
	size_t *entries = calloc(p->archs_n ? p->archs_n : 1, sizeof(*entries)), next;
	int r = entries ? 0 : -ENOMEM;

	for (size_t i = p->archs_n; i-- > 0 && r == 0;)
		r = put_arch(&c, p, &p->archs[i], &entries[i]);
	next = put_return(&c, p->unknown_arch_action);
	for (size_t i = p->archs_n; i-- > 0 && r == 0;)
		next = put_jump(&c, BPF_JEQ, p->archs[i].audit, entries[i], next);
	free(entries);
	if (p->archs_n)
		(void) put(&c, BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, arch));
	if (r < 0)
		return r;
	turn_round(code, c.n);
	return c.too_big ? -E2BIG : (int) c.n;
}

bool seccomp_valid(const struct sock_filter *code, size_t n)
{
	if (n == 0 || n > SECCOMP_PROGRAM_MAX)
		return false;
	for (size_t i = 0; i < n; i++) {
		const struct sock_filter *c = &code[i];
		size_t left = n - i - 1; /* jumps go forward, and to an instruction */

		switch (c->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			if (c->k % 4 || c->k >= sizeof(struct seccomp_data))
				return false;
			break;
		case BPF_ALU | BPF_AND | BPF_K:
		case BPF_RET | BPF_K:
			break;
		case BPF_JMP | BPF_JA:
			if (c->k >= left)
				return false;
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
		case BPF_JMP | BPF_JGE | BPF_K:
		case BPF_JMP | BPF_JGT | BPF_K:
			if (c->jt >= left || c->jf >= left)
				return false;
			break;
		default:
			return false;
		}
	}
	return code[n - 1].code == (BPF_RET | BPF_K);
}

uint32_t seccomp_run(const struct sock_filter *code, size_t n, const struct seccomp_data *d)
{
	uint32_t a = 0;

	for (size_t i = 0; i < n; i++) {
		const struct sock_filter *c = &code[i];

		switch (c->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			memcpy(&a, (const char *) d + c->k, sizeof(a));
			break;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= c->k;
			break;
		case BPF_JMP | BPF_JA:
			i += c->k;
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
			i += a == c->k ? c->jt : c->jf;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			i += a >= c->k ? c->jt : c->jf;
			break;
		case BPF_JMP | BPF_JGT | BPF_K:
			i += a > c->k ? c->jt : c->jf;
			break;
		case BPF_RET | BPF_K:
			return c->k;
		}
	}
	return SECCOMP_RET_KILL_PROCESS; /* not reached in a valid one */
}
