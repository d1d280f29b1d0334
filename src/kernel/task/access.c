/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/task/access.h"

#include "kernel/task/cred.h"
#include "kernel/task/task.h"

bool task_may_attach(const struct task *t, const struct task *of)
{
	const struct cred *a = t->cred, *b = of->cred;

	if (t->process == of->process || cred_can(a, CAP_SYS_PTRACE))
		return true;
	if (a->uid != b->euid || a->uid != b->suid || a->uid != b->uid || a->gid != b->egid ||
	    a->gid != b->sgid || a->gid != b->gid || b->permitted & ~a->permitted)
		return false;
	return !of->image || of->image->dumpable == 1;
}
