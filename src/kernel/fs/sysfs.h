/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sysfs(5), as far as programs look for processors, and cgroup2 with one group, the sandbox: its
 * own limits, by which runtimes size themselves (that of tasks is task/limit.h's). They are told,
 * not set here: nothing is written.
 */
#pragma once

#include "kernel/core/types.h"

struct super;

#define SANDBOX_CPU_PERIOD 100000 /* microseconds, where none was given */

struct sandbox_limits {
	uint64_t cpu_quota_us, cpu_period_us; /* quota 0: none */
	bool memory;			      /* the frames' budget is a limit that somebody set */
};

/* For /sys/fs/cgroup. */
void sandbox_set_limits(const struct sandbox_limits *l);
struct sandbox_limits sandbox_limits(void);
/* The caller is its user (super_leave). NULL: no memory. */
[[nodiscard]] struct super *sysfs_new(void);
[[nodiscard]] struct super *cgroupfs_new(void);
