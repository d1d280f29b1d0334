/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system calls that a process or thread of ours may still make: tables of calls, with what
 * their arguments have to be, become a filter that ends the process at any other call. What the
 * tables hold is the rooms' own; filters of workloads are sys/seccomp.h's alone.
 */
#pragma once

#include <linux/seccomp.h>
#include <sys/syscall.h>

#include "base/auto.h"
#include "base/err.h"
#include "sys/seccomp.h"

#define FILTER_CALL(name)                                                                          \
	{                                                                                          \
		.nr = SYS_##name, .action = SECCOMP_RET_ALLOW                                      \
	}
/* All of the conditions, an array, have to hold. */
#define FILTER_CALL_IF(name, conditions_)                                                          \
	{                                                                                          \
		.nr = SYS_##name, .action = SECCOMP_RET_ALLOW, .conditions = (conditions_),        \
		.conditions_n = ARRAY_SIZE(conditions_)                                            \
	}
/* Of mmap and mprotect: no page becomes code. */
extern const struct seccomp_condition filter_not_code[1];
/* One value of an argument, most often an ioctl's request. */
#define FILTER_ARG_IS(name, arg_, value_)                                                          \
	static const struct seccomp_condition name[] = {                                           \
		{ .arg = (arg_), .op = SECCOMP_EQ, .value = (value_) }                             \
	}

/* Of setsockopt: how a socket's end is told, and nothing else. */
extern const struct seccomp_condition filter_linger[2];

struct filter_table {
	const struct seccomp_rule *rules;
	size_t n;
};
/* What every process does: a heap without code, the clock, signals that came, its end. */
extern const struct filter_table filter_common;
#define FILTER_TABLE(rules_)                                                                       \
	{                                                                                          \
		(rules_), ARRAY_SIZE(rules_)                                                       \
	}

/*
 * For the calling thread and its children, for good. It has no_new_privs already. Under a
 * sanitizer, whose runtime makes calls of its own, others fail with EPERM instead.
 */
[[nodiscard]] int filter_set(const struct filter_table *tables, size_t n, struct err *e);
