/* SPDX-License-Identifier: Apache-2.0 */
/* Programs are run by an interpreter of the few instructions they use, against a plain reading of
 * the same profile. */
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <string.h>

#include "base/auto.h"
#include "base/test.h"
#include "sys/seccomp.h"

static uint32_t run(const struct sock_filter *code, int n, const struct seccomp_data *d)
{
	uint32_t a = 0;

	for (int pc = 0; pc < n; pc++) {
		const struct sock_filter *i = &code[pc];

		switch (i->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			memcpy(&a, (const char *) d + i->k, sizeof(a));
			break;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= i->k;
			break;
		case BPF_JMP | BPF_JA:
			pc += (int) i->k;
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
			pc += a == i->k ? i->jt : i->jf;
			break;
		case BPF_JMP | BPF_JGT | BPF_K:
			pc += a > i->k ? i->jt : i->jf;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			pc += a >= i->k ? i->jt : i->jf;
			break;
		case BPF_RET | BPF_K:
			return i->k;
		default:
			return 0xdead0001;
		}
	}
	return 0xdead0002; /* ran off its end */
}

static bool holds(const struct seccomp_condition *c, const struct seccomp_data *d)
{
	uint64_t v = d->args[c->arg];

	switch (c->op) {
	case SECCOMP_NE:
		return v != c->value;
	case SECCOMP_LT:
		return v < c->value;
	case SECCOMP_LE:
		return v <= c->value;
	case SECCOMP_EQ:
		return v == c->value;
	case SECCOMP_GE:
		return v >= c->value;
	case SECCOMP_GT:
		return v > c->value;
	case SECCOMP_MASKED_EQ:
		return (v & c->value) == c->value_two;
	}
	return false;
}

static uint32_t want(const struct seccomp_profile *p, const struct seccomp_data *d)
{
	const struct seccomp_arch *a = NULL;
	const struct seccomp_rule *always = NULL;
	uint32_t nr = (uint32_t) d->nr;

	for (size_t i = 0; i < p->archs_n; i++)
		a = p->archs[i].audit == d->arch ? &p->archs[i] : a;
	if (!a)
		return p->unknown_arch_action;
	for (size_t i = 0; i < a->rules_n; i++) {
		const struct seccomp_rule *r = &a->rules[i];
		bool all = r->conditions_n != 0;

		if (r->nr != nr)
			continue;
		if (!r->conditions_n)
			always = always ? always : r;
		for (size_t k = 0; k < r->conditions_n; k++)
			all = all && holds(&r->conditions[k], d);
		if (all)
			return r->action;
	}
	if (always)
		return always->action;
	if (nr >= a->foreign_from)
		return a->foreign_action;
	return nr > a->last_known ? p->newer_action : p->default_action;
}

#define BIG 0x1234567890abcdefull

static void check_all(struct seccomp_profile *p)
{
	static struct sock_filter code[SECCOMP_PROGRAM_MAX];
	static const uint64_t values[] = { 0,
					   1,
					   2,
					   7,
					   8,
					   9,
					   0xffffffff,
					   0x100000000,
					   0x100000007,
					   BIG - 1,
					   BIG,
					   BIG + 1,
					   BIG + 0x100000000,
					   BIG - 0x100000000,
					   UINT64_MAX };
	int n = seccomp_build(p, code, SECCOMP_PROGRAM_MAX), wrong = 0;

	CHECK(n > 0);
	CHECK(seccomp_valid(code, (size_t) n));
	CHECK(!seccomp_valid(code, (size_t) n - 1) || code[n - 2].code == (BPF_RET | BPF_K));
	for (uint32_t i = 0; i < 1100 * 15; i++) {
		struct seccomp_data d = { .arch = i % 3 == 0	  ? AUDIT_ARCH_I386
						  : i % 1009 == 1 ? AUDIT_ARCH_ARM
								  : AUDIT_ARCH_X86_64,
					  .nr = (int) (i / 15) };

		if (i % 11 == 0)
			d.nr |= 0x40000000;
		for (int k = 0; k < 6; k++)
			d.args[k] = values[(i + (uint32_t) k * 7) % ARRAY_SIZE(values)];
		wrong += run(code, n, &d) != want(p, &d);
	}
	CHECK(wrong == 0);
}

int main(void)
{
	static const struct seccomp_condition eq[] = { { 0, SECCOMP_EQ, BIG, 0 } },
					      ne[] = { { 1, SECCOMP_NE, BIG, 0 } },
					      lt[] = { { 2, SECCOMP_LT, BIG, 0 } },
					      le[] = { { 3, SECCOMP_LE, 8, 0 } },
					      ge[] = { { 4, SECCOMP_GE, BIG, 0 } },
					      gt[] = { { 5, SECCOMP_GT, 8, 0 } },
					      masked[] = { { 0, SECCOMP_MASKED_EQ, 0x10000000full,
							     7 } },
					      both[] = { { 0, SECCOMP_GT, 7, 0 },
							 { 1, SECCOMP_LT, BIG, 0 },
							 { 2, SECCOMP_NE, 8, 0 } };
	static const struct {
		const struct seccomp_condition *c;
		size_t n;
	} kinds[] = { { eq, 1 }, { ne, 1 },	{ lt, 1 },   { le, 1 },	 { ge, 1 },
		      { gt, 1 }, { masked, 1 }, { both, 3 }, { NULL, 0 } };
	static struct seccomp_rule rules[2000], few[3];
	struct seccomp_arch archs[] = {
		{ AUDIT_ARCH_X86_64, rules, 0, 1000, 0x40000000, SECCOMP_RET_KILL_THREAD },
		{ AUDIT_ARCH_I386, few, 3, UINT32_MAX, UINT32_MAX, 0 },
	};
	struct seccomp_profile p = { archs, 2, SECCOMP_RET_ERRNO | 1, SECCOMP_RET_ERRNO | 38,
				     SECCOMP_RET_KILL_PROCESS };

	check_all(&p);
	few[0] = (struct seccomp_rule){ 30, SECCOMP_RET_ALLOW, NULL, 0 };
	few[1] = (struct seccomp_rule){ 3, SECCOMP_RET_ALLOW, eq, 1 };
	few[2] = (struct seccomp_rule){ 0, SECCOMP_RET_TRAP, NULL, 0 };
	/* Ranges, gaps, conditions of every kind, several rules of one number, out of order. */
	for (uint32_t i = 0; i < 260; i++) {
		size_t k = i % 9;

		rules[archs[0].rules_n++] = (struct seccomp_rule){ (i * 37) % 1001,
								   i % 5 ? SECCOMP_RET_ALLOW
									 : SECCOMP_RET_LOG,
								   kinds[k].c, kinds[k].n };
		if (i % 13 == 0)
			rules[archs[0].rules_n++] =
				(struct seccomp_rule){ (i * 37) % 1001, SECCOMP_RET_TRAP,
						       kinds[(k + 3) % 8].c, kinds[(k + 3) % 8].n };
	}
	check_all(&p);
	/* Long runs of one action are one range. */
	archs[0].rules_n = 0;
	for (uint32_t i = 0; i < 900; i++)
		rules[archs[0].rules_n++] = (struct seccomp_rule){ i, SECCOMP_RET_ALLOW, NULL, 0 };
	check_all(&p);
	{
		static struct sock_filter code[SECCOMP_PROGRAM_MAX];

		CHECK(seccomp_build(&p, code, SECCOMP_PROGRAM_MAX) < 40);
		CHECK(seccomp_build(&p, code, 10) < 0);
	}
	{
		struct sock_filter bad[] = { { BPF_LD | BPF_W | BPF_ABS, 0, 0, 4 },
					     { BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 5 },
					     { BPF_RET | BPF_K, 0, 0, 0 } };

		CHECK(seccomp_valid(bad, 3));
		CHECK(!seccomp_valid(bad, 0) && !seccomp_valid(bad, 2));
		bad[1].jf = 1;
		CHECK(!seccomp_valid(bad, 3));
		bad[1] = (struct sock_filter){ BPF_JMP | BPF_JA, 0, 0, UINT32_MAX };
		CHECK(!seccomp_valid(bad, 3));
		bad[1] = (struct sock_filter){ BPF_LD | BPF_MEM, 0, 0, 0 };
		CHECK(!seccomp_valid(bad, 3));
		bad[1] = bad[0];
		bad[1].k = sizeof(struct seccomp_data);
		CHECK(!seccomp_valid(bad, 3));
	}
	return test_done();
}
