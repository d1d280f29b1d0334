/* SPDX-License-Identifier: Apache-2.0 */
/* What a thread tells the kernel of itself: arch_prctl, set_tid_address, robust lists, personality.
 */
#include <asm/prctl.h>
#include <linux/futex.h>

#include "kernel/syscall/decode.h"
#include "kernel/task/cred.h"

sysret_t sys_arch_prctl(struct task *t, const uint64_t *a)
{
	unsigned int code = (unsigned int) a[0];
	struct plat_regs regs;
	uint64_t *base;

	/* No program is kept from CPUID. */
	if (code == ARCH_GET_CPUID)
		return 1;
	if (code == ARCH_SET_CPUID)
		return -ENODEV;
	if (code != ARCH_SET_FS && code != ARCH_GET_FS && code != ARCH_SET_GS &&
	    code != ARCH_GET_GS)
		return -EINVAL;
	plat_user_regs(t->user, &regs);
	base = code == ARCH_SET_FS || code == ARCH_GET_FS ? &regs.fs_base : &regs.gs_base;
	if (code == ARCH_GET_FS || code == ARCH_GET_GS)
		return copy_out(t->space, uva(a[1]), base, sizeof(*base));
	if (a[1] >= plat_user_high())
		return -EPERM;
	*base = a[1];
	plat_user_set_regs(t->user, &regs);
	return 0;
}

sysret_t sys_set_tid_address(struct task *t, const uint64_t *a)
{
	t->clear_child_tid = uva(a[0]);
	return t->tid;
}

sysret_t sys_set_robust_list(struct task *t, const uint64_t *a)
{
	if (a[1] != sizeof(struct robust_list_head))
		return -EINVAL;
	t->robust_list = uva(a[0]);
	return 0;
}

sysret_t sys_get_robust_list(struct task *t, const uint64_t *a)
{
	const uint64_t size = sizeof(struct robust_list_head);
	const struct task *other = t;
	int r;

	if ((int32_t) a[0] != 0) {
		struct pid *p = pid_find((int32_t) a[0]);

		if (!p || !p->task)
			return -ESRCH;
		other = p->task;
		if (other->process != t->process && !cred_can(t->cred, CAP_SYS_PTRACE))
			return -EPERM;
	}
	r = copy_out(t->space, uva(a[2]), &size, sizeof(size));
	return r < 0 ? r : copy_out(t->space, uva(a[1]), &other->robust_list.v, sizeof(uint64_t));
}

sysret_t sys_personality(struct task *t, const uint64_t *a)
{
	uint32_t old = t->personality;

	if ((uint32_t) a[0] != UINT32_MAX)
		t->personality = (uint32_t) a[0];
	return old;
}
