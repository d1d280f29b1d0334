/* SPDX-License-Identifier: Apache-2.0 */
/* unshare(2): of what threads share, a copy of one's own. Namespaces are not made: there is one of
 * each. */
#include <linux/sched.h>

#include "kernel/ipc/sem.h"
#include "kernel/syscall/decode.h"
#include "kernel/task/cred.h"
#include "kernel/task/signal.h"

#define NAMESPACES                                                                                 \
	((uint64_t) (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | \
		     CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWTIME))
#define KNOWN                                                                                      \
	(NAMESPACES | CLONE_FILES | CLONE_FS | CLONE_SYSVSEM | CLONE_VM | CLONE_SIGHAND |          \
	 CLONE_THREAD)

/* Threads of a process stay such: what they always share cannot be taken from them. */
static int check(const struct task *t, uint64_t flags)
{
	if (flags & ~(uint64_t) KNOWN)
		return -EINVAL;
	if (flags & NAMESPACES)
		return flags & CLONE_NEWUSER || cred_can(t->cred, CAP_SYS_ADMIN) ? -EINVAL : -EPERM;
	if (flags & (CLONE_THREAD | CLONE_SIGHAND | CLONE_VM) && t->process->thread_count > 1)
		return -EINVAL;
	if (flags & (CLONE_SIGHAND | CLONE_VM) && t->handlers->owners > 1)
		return -EINVAL;
	return flags & CLONE_VM && t->space->owners > 1 ? -EINVAL : 0;
}

sysret_t sys_unshare(struct task *t, const uint64_t *a)
{
	struct descriptors *files = NULL;
	struct fs_context *fs = NULL;
	int r = check(t, a[0]);

	if (r < 0)
		return r;
	if (a[0] & CLONE_FILES && t->files->owners > 1) {
		files = descriptors_copy(t->files);
		if (!files)
			return -ENOMEM;
	}
	if (a[0] & CLONE_FS && t->fs->owners > 1) {
		fs = fs_context_copy(t->fs);
		if (!fs) {
			descriptors_unref(files);
			return -ENOMEM;
		}
	}
	if (a[0] & CLONE_SYSVSEM)
		sem_undos_leave(t);
	if (files) {
		descriptors_unref(t->files);
		t->files = files;
	}
	if (fs) {
		fs_context_unref(t->fs);
		t->fs = fs;
	}
	return 0;
}
