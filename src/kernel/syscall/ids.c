/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers of tasks, groups, sessions, users. */
#include "kernel/syscall/decode.h"
#include "kernel/task/cred.h"

sysret_t sys_getpid(struct task *t, const uint64_t *a)
{
	(void) a;
	return t->process->pid;
}

sysret_t sys_gettid(struct task *t, const uint64_t *a)
{
	(void) a;
	return t->tid;
}

sysret_t sys_getppid(struct task *t, const uint64_t *a)
{
	(void) a;
	return t->process->parent ? t->process->parent->pid : 0;
}

sysret_t sys_getpgid(struct task *t, const uint64_t *a)
{
	return task_getpgid(t, (int32_t) a[0]);
}

sysret_t sys_getpgrp(struct task *t, const uint64_t *a)
{
	(void) a;
	return task_getpgid(t, 0);
}

sysret_t sys_setpgid(struct task *t, const uint64_t *a)
{
	return task_setpgid(t, (int32_t) a[0], (int32_t) a[1]);
}

sysret_t sys_getsid(struct task *t, const uint64_t *a)
{
	return task_getsid(t, (int32_t) a[0]);
}

sysret_t sys_setsid(struct task *t, const uint64_t *a)
{
	(void) a;
	return task_setsid(t);
}

sysret_t sys_getuid(struct task *t, const uint64_t *a)
{
	(void) a;
	return t->cred->uid;
}

sysret_t sys_geteuid(struct task *t, const uint64_t *a)
{
	(void) a;
	return t->cred->euid;
}

sysret_t sys_getgid(struct task *t, const uint64_t *a)
{
	(void) a;
	return t->cred->gid;
}

sysret_t sys_getegid(struct task *t, const uint64_t *a)
{
	(void) a;
	return t->cred->egid;
}

/* Real, effective, saved. */
static sysret_t three(struct task *t, const uint64_t *a, uint32_t real, uint32_t effective,
		      uint32_t saved)
{
	int r = copy_out(t->space, uva(a[0]), &real, sizeof(real));

	if (r == 0)
		r = copy_out(t->space, uva(a[1]), &effective, sizeof(effective));
	return r < 0 ? r : copy_out(t->space, uva(a[2]), &saved, sizeof(saved));
}

sysret_t sys_getresuid(struct task *t, const uint64_t *a)
{
	return three(t, a, t->cred->uid, t->cred->euid, t->cred->suid);
}

sysret_t sys_getresgid(struct task *t, const uint64_t *a)
{
	return three(t, a, t->cred->gid, t->cred->egid, t->cred->sgid);
}

sysret_t sys_getgroups(struct task *t, const uint64_t *a)
{
	uint32_t count = t->cred->group_count;
	int room = (int) a[0], r;

	if (room < 0 || (room && (uint32_t) room < count))
		return -EINVAL;
	if (room == 0)
		return count;
	r = copy_out(t->space, uva(a[1]), t->cred->groups, count * sizeof(uint32_t));
	return r < 0 ? r : (sysret_t) count;
}
