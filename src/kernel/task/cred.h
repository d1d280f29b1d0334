/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who acts: user and group numbers and capabilities, as Linux's credentials(7). There is one user
 * namespace: a capability that is in `effective` counts everywhere inside, and nowhere outside.
 * Immutable once shared: whoever changes makes a copy.
 */
#pragma once

#include <linux/capability.h>

#include "kernel/core/types.h"

#define CRED_GROUPS 32768 /* NGROUPS_MAX is 65536; more than this no image has */

struct cred {
	unsigned int owners;
	uint32_t uid, euid, suid, fsuid;
	uint32_t gid, egid, sgid, fsgid;
	uint64_t effective, permitted, inheritable, bounding, ambient;
	uint32_t securebits;
	bool no_new_privs;
	uint32_t group_count;
	uint32_t *groups; /* of the heap */
};

static inline bool cred_can(const struct cred *c, unsigned int capability)
{
	return c->effective >> capability & 1;
}

static inline bool cred_in_group(const struct cred *c, uint32_t gid)
{
	if (c->fsgid == gid)
		return true;
	for (uint32_t n = 0; n < c->group_count; n++) {
		if (c->groups[n] == gid)
			return true;
	}
	return false;
}
