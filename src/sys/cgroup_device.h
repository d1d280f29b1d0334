/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Device rules of a v2 control group: the kernel asks an eBPF program there instead of reading a
 * list. This compiles an ordered list of rules to such a program and attaches it in the place of
 * the one that was there before.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CGROUP_DEVICE_MKNOD 1u
#define CGROUP_DEVICE_READ  2u
#define CGROUP_DEVICE_WRITE 4u
#define CGROUP_DEVICE_ALL   7u

struct cgroup_device_rule {
	bool allow;
	char type;	      /* 'a' both, 'c', 'b' */
	unsigned access;      /* CGROUP_DEVICE_*: never 0 */
	int64_t major, minor; /* -1: any */
};

#define CGROUP_DEVICE_RULES_MAX 512

/*
 * The rules in their shortest form with the same meaning, in place: what a later rule for
 * everything overrides is dropped, rules for one device are merged. Gives the number left.
 */
size_t cgroup_device_normalise(struct cgroup_device_rule *rules, size_t n);

/* Whether the rules let everything through, as a privileged container's do. */
bool cgroup_device_all_allowed(const struct cgroup_device_rule *rules, size_t n);

/* Attach them to a v2 directory: the last rule that speaks of an access decides, none denies. */
[[nodiscard]] int cgroup_device_attach(int dir_fd, const struct cgroup_device_rule *rules,
				       size_t n);
