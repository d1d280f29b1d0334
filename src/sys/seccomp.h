/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A filter of system calls as a BPF program: per architecture a binary search over ranges of
 * numbers with the same action, so that a call costs some ten instructions whatever the length of
 * the profile, and compiling costs microseconds. Numbers only; names are the caller's.
 */
#pragma once

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct seccomp_data; /* linux/seccomp.h */

enum seccomp_compare {
	SECCOMP_NE,
	SECCOMP_LT,
	SECCOMP_LE,
	SECCOMP_EQ,
	SECCOMP_GE,
	SECCOMP_GT,
	SECCOMP_MASKED_EQ, /* (argument & value) == value_two */
};

struct seccomp_condition {
	unsigned arg; /* 0 to 5 */
	enum seccomp_compare op;
	uint64_t value, value_two;
};

struct seccomp_rule {
	uint32_t nr;
	uint32_t action;			    /* SECCOMP_RET_* | data */
	const struct seccomp_condition *conditions; /* all must hold; none: always */
	size_t conditions_n;
};

struct seccomp_arch {
	uint32_t audit;		    /* AUDIT_ARCH_* */
	struct seccomp_rule *rules; /* sorted in place by number, otherwise in the order given */
	size_t rules_n;
	/* Numbers above it are newer than the profile: `newer` instead of the default. */
	uint32_t last_known;
	/* Numbers from this one on are another ABI's (x32); UINT32_MAX: none. Those from it on that
	 * no rule names get `foreign_action`. */
	uint32_t foreign_from, foreign_action;
};

struct seccomp_profile {
	struct seccomp_arch *archs;
	size_t archs_n;
	uint32_t default_action;
	uint32_t newer_action;
	uint32_t unknown_arch_action;
};

#define SECCOMP_PROGRAM_MAX 4096 /* instructions the kernel takes (BPF_MAXINSNS) */

/* Whether it is a program as seccomp_build() makes them: it ends, and reads what it may. */
bool seccomp_valid(const struct sock_filter *code, size_t n);

/* What a valid program answers to a call. */
uint32_t seccomp_run(const struct sock_filter *code, size_t n, const struct seccomp_data *d);

/*
 * For one number: conditional rules are tried in the order given, the first whose conditions all
 * hold decides; then the unconditional one; then the default. Fills at most max instructions and
 * gives their number. -E2BIG: more than max, or too many conditions in one rule.
 */
[[nodiscard]] int seccomp_build(const struct seccomp_profile *p, struct sock_filter *code,
				size_t max);
