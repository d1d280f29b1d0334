/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who acts: user and group numbers and capabilities, as Linux's credentials(7). There is one user
 * namespace: a capability that is in `effective` counts everywhere inside, and nowhere outside.
 * Immutable once shared: whoever changes makes a copy (cred_copy), changes that, and puts it in the
 * place of the old one (task_set_cred() of task/task.h).
 */
#pragma once

#include <linux/capability.h>

#include "kernel/core/types.h"

#define CRED_GROUPS 65536				       /* NGROUPS_MAX */
#define CRED_ALL    (((uint64_t) 1 << (CAP_LAST_CAP + 1)) - 1) /* all capabilities there are */

struct cred {
	unsigned int owners; /* 0: of static storage, never counted */
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

/* One owner, nothing else: user and group 0, no capability. NULL: no memory. */
[[nodiscard]] struct cred *cred_new(void);
/* One owner; groups and all. NULL: no memory. */
[[nodiscard]] struct cred *cred_copy(const struct cred *from);
/* Gives c itself, with one owner more. */
const struct cred *cred_ref(const struct cred *c);
void cred_unref(const struct cred *c);
