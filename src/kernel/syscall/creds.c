/* SPDX-License-Identifier: Apache-2.0 */
/* Users, groups and capabilities that change: task/cred_change.h behind its arguments. */
#include <linux/capability.h>

#include "kernel/core/heap.h"
#include "kernel/syscall/decode.h"
#include "kernel/task/cred.h"
#include "kernel/task/cred_change.h"

/* A copy that becomes t's where r is 0. Takes c. */
static sysret_t put(struct task *t, struct cred *c, int r)
{
	if (r < 0)
		cred_unref(c);
	else
		task_set_cred(t, c);
	return r;
}

#define CHANGE(t, call)                                                                            \
	({                                                                                         \
		struct cred *c = cred_copy((t)->cred);                                             \
		c ? put((t), c, (call)) : -ENOMEM;                                                 \
	})

sysret_t sys_setuid(struct task *t, const uint64_t *a)
{
	return CHANGE(t, cred_setuid(c, (uint32_t) a[0]));
}

sysret_t sys_setgid(struct task *t, const uint64_t *a)
{
	return CHANGE(t, cred_setgid(c, (uint32_t) a[0]));
}

sysret_t sys_setreuid(struct task *t, const uint64_t *a)
{
	return CHANGE(t, cred_setreuid(c, (uint32_t) a[0], (uint32_t) a[1]));
}

sysret_t sys_setregid(struct task *t, const uint64_t *a)
{
	return CHANGE(t, cred_setregid(c, (uint32_t) a[0], (uint32_t) a[1]));
}

sysret_t sys_setresuid(struct task *t, const uint64_t *a)
{
	return CHANGE(t, cred_setresuid(c, (uint32_t) a[0], (uint32_t) a[1], (uint32_t) a[2]));
}

sysret_t sys_setresgid(struct task *t, const uint64_t *a)
{
	return CHANGE(t, cred_setresgid(c, (uint32_t) a[0], (uint32_t) a[1], (uint32_t) a[2]));
}

/* The old one is the result, whatever becomes of the new. */
sysret_t sys_setfsuid(struct task *t, const uint64_t *a)
{
	uint32_t old = t->cred->fsuid;
	struct cred *c = cred_copy(t->cred);

	if (c) {
		cred_setfsuid(c, (uint32_t) a[0]);
		task_set_cred(t, c);
	}
	return old;
}

sysret_t sys_setfsgid(struct task *t, const uint64_t *a)
{
	uint32_t old = t->cred->fsgid;
	struct cred *c = cred_copy(t->cred);

	if (c) {
		cred_setfsgid(c, (uint32_t) a[0]);
		task_set_cred(t, c);
	}
	return old;
}

sysret_t sys_setgroups(struct task *t, const uint64_t *a)
{
	uint32_t count = (uint32_t) a[0], *groups = NULL;
	struct cred *c;
	int r = 0;

	if (!cred_can(t->cred, CAP_SETGID))
		return -EPERM;
	if (count > CRED_GROUPS)
		return -EINVAL;
	if (count) {
		groups = heap_alloc(count * sizeof(*groups));
		r = groups ? copy_in(t->space, groups, uva(a[1]), count * sizeof(*groups))
			   : -ENOMEM;
	}
	c = r == 0 ? cred_copy(t->cred) : NULL;
	if (!c) {
		heap_free(groups);
		return r < 0 ? r : -ENOMEM;
	}
	return put(t, c, cred_setgroups(c, groups, count));
}

/* ---- capabilities ---- */

#define WORDS 2 /* of version 2 and 3; version 1 has one */

static size_t words_of(uint32_t version)
{
	switch (version) {
	case _LINUX_CAPABILITY_VERSION_1:
		return 1;
	case _LINUX_CAPABILITY_VERSION_2:
	case _LINUX_CAPABILITY_VERSION_3:
		return WORDS;
	default:
		return 0;
	}
}

/* -EINVAL: a version that is not known, and the newest is told instead. */
static int head_in(struct task *t, uva_t at, struct __user_cap_header_struct *head)
{
	int r = copy_in(t->space, head, at, sizeof(*head));

	if (r < 0 || words_of(head->version))
		return r;
	head->version = _LINUX_CAPABILITY_VERSION_3;
	r = copy_out(t->space, at, &head->version, sizeof(head->version));
	return r < 0 ? r : -EINVAL;
}

sysret_t sys_capget(struct task *t, const uint64_t *a)
{
	struct __user_cap_data_struct data[WORDS];
	struct __user_cap_header_struct head;
	const struct cred *c = t->cred;
	int r = head_in(t, uva(a[0]), &head);

	/* Without room for data it is a question for the version. */
	if (r == -EINVAL && !a[1])
		return 0;
	if (r < 0)
		return r;
	if (head.pid < 0)
		return -EINVAL;
	if (head.pid) {
		struct pid *p = pid_find(head.pid);

		if (!p || !p->task)
			return -ESRCH;
		c = p->task->cred;
	}
	for (unsigned int n = 0; n < WORDS; n++) {
		data[n].effective = (uint32_t) (c->effective >> 32 * n);
		data[n].permitted = (uint32_t) (c->permitted >> 32 * n);
		data[n].inheritable = (uint32_t) (c->inheritable >> 32 * n);
	}
	return copy_out(t->space, uva(a[1]), data, words_of(head.version) * sizeof(*data));
}

sysret_t sys_capset(struct task *t, const uint64_t *a)
{
	struct __user_cap_data_struct data[WORDS] = {};
	struct __user_cap_header_struct head;
	uint64_t effective, permitted, inheritable;
	int r = head_in(t, uva(a[0]), &head);

	if (r < 0)
		return r;
	if (head.pid && (uint32_t) head.pid != t->tid)
		return -EPERM;
	r = copy_in(t->space, data, uva(a[1]), words_of(head.version) * sizeof(*data));
	if (r < 0)
		return r;
	effective = data[0].effective | (uint64_t) data[1].effective << 32;
	permitted = data[0].permitted | (uint64_t) data[1].permitted << 32;
	inheritable = data[0].inheritable | (uint64_t) data[1].inheritable << 32;
	return CHANGE(t, cred_capset(c, effective & CRED_ALL, permitted & CRED_ALL,
				     inheritable & CRED_ALL));
}
