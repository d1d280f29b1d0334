/* SPDX-License-Identifier: Apache-2.0 */
/* What a thread says of its own signals: handlers, masks, stacks, waits. */
#include "kernel/task/signal_calls.h"

#include <linux/signal.h>

#include "kernel/core/clock.h"
#include "kernel/mm/uio.h"
#include "kernel/task/signal.h"
#include "kernel/task/signal_frame.h"
#include "kernel/task/task.h"

#define SET_BYTES   sizeof(uint64_t)
#define UNBLOCKABLE (SIGNAL_BIT(SIGKILL) | SIGNAL_BIT(SIGSTOP))
/* Linux 5.11: others are cleared, so that programs can ask which there are. */
#define FLAGS_KNOWN                                                                                \
	((uint64_t) (unsigned int) (SA_NOCLDSTOP | SA_NOCLDWAIT | SA_SIGINFO | SA_ONSTACK |        \
				    SA_RESTART | SA_NODEFER | SA_RESETHAND | SA_RESTORER))

/* ---- handlers ---- */

sysret_t sys_rt_sigaction(struct task *t, const uint64_t *a)
{
	int nr = (int) a[0];
	struct signal_action new, old;

	if (a[3] != SET_BYTES || nr < 1 || nr > SIGNALS || (a[1] && (UNBLOCKABLE & SIGNAL_BIT(nr))))
		return -EINVAL;
	if (a[1] && copy_in(t->space, &new, uva(a[1]), sizeof(new)) < 0)
		return -EFAULT;
	old = t->handlers->actions[nr - 1];
	if (a[1]) {
		new.flags &= FLAGS_KNOWN;
		new.mask &= ~UNBLOCKABLE;
		t->handlers->actions[nr - 1] = new;
		/* POSIX: what is pending is discarded. */
		if (new.handler == 1 || (new.handler == 0 && signal_ignored_by_default(nr)))
			signals_forget(t->process, nr);
	}
	return a[2] ? copy_out(t->space, uva(a[2]), &old, sizeof(old)) : 0;
}

/* ---- masks ---- */

sysret_t sys_rt_sigprocmask(struct task *t, const uint64_t *a)
{
	uint64_t old = t->signals->blocked, set, wanted = old;

	if (a[3] != SET_BYTES)
		return -EINVAL;
	if (a[1]) {
		if (copy_in(t->space, &set, uva(a[1]), sizeof(set)) < 0)
			return -EFAULT;
		switch ((int) a[0]) {
		case SIG_BLOCK:
			wanted = old | set;
			break;
		case SIG_UNBLOCK:
			wanted = old & ~set;
			break;
		case SIG_SETMASK:
			wanted = set;
			break;
		default:
			return -EINVAL;
		}
		signals_block(t, wanted);
	}
	return a[2] ? copy_out(t->space, uva(a[2]), &old, sizeof(old)) : 0;
}

sysret_t sys_rt_sigpending(struct task *t, const uint64_t *a)
{
	uint64_t set = signals_pending(t) & t->signals->blocked;

	if (a[1] > SET_BYTES)
		return -EINVAL;
	return copy_out(t->space, uva(a[0]), &set, a[1]);
}

/* ---- waits ---- */

static int until_interrupted(nsec_t deadline)
{
	int r = 0;

	while (r == 0) {
		r = fiber_interrupted();
		if (r == 0)
			r = fiber_park_until(deadline);
	}
	return r;
}

sysret_t sys_rt_sigsuspend(struct task *t, const uint64_t *a)
{
	uint64_t set;

	if (a[1] != SET_BYTES)
		return -EINVAL;
	if (copy_in(t->space, &set, uva(a[0]), sizeof(set)) < 0)
		return -EFAULT;
	signals_block_for_call(t, set);
	(void) until_interrupted(NSEC_NEVER); /* there is no other end */
	return -ERESTARTNOHAND;
}

sysret_t sys_pause(struct task *t, const uint64_t *a)
{
	(void) t;
	(void) a;
	(void) until_interrupted(NSEC_NEVER); /* there is no other end */
	return -ERESTARTNOHAND;
}

/* t->signals->awaited are unblocked meanwhile. */
static bool wait_for(struct task *t, uint64_t of, nsec_t deadline, struct signal_info *ret)
{
	uint64_t blocked = t->signals->blocked;
	bool found;

	t->signals->awaited = of & blocked;
	signals_block(t, blocked & ~of);
	(void) until_interrupted(deadline); /* what has come is seen below */
	t->signals->awaited = 0;
	/* Before the mask is back: what is taken here is nobody else's. */
	found = signals_take(t, of, ret);
	signals_block(t, blocked);
	return found;
}

sysret_t sys_rt_sigtimedwait(struct task *t, const uint64_t *a)
{
	struct __kernel_timespec time;
	nsec_t span = NSEC_NEVER;
	struct signal_info info;
	uint64_t of;

	if (a[3] != SET_BYTES)
		return -EINVAL;
	if (copy_in(t->space, &of, uva(a[0]), sizeof(of)) < 0)
		return -EFAULT;
	of &= ~UNBLOCKABLE;
	if (a[2]) {
		if (copy_in(t->space, &time, uva(a[2]), sizeof(time)) < 0)
			return -EFAULT;
		if (!clock_nsec(&time, &span))
			return -EINVAL;
	}
	if (!signals_take(t, of, &info)) {
		nsec_t end = span == NSEC_NEVER ? span : clock_add(span, plat_now(PLAT_MONOTONIC));

		if (span == 0)
			return -EAGAIN;
		if (!wait_for(t, of, end, &info))
			return fiber_interrupted() ? -EINTR : -EAGAIN;
	}
	if (a[1] && copy_out(t->space, uva(a[1]), &info, sizeof(info)) < 0)
		return -EFAULT;
	return info.nr;
}

/* ---- the alternate stack ---- */

bool signal_stack_holds(const struct task *t, uint64_t sp)
{
	const struct signal_stack *s = &t->signals->stack;

	/* One that disarms itself may be entered again from itself. */
	return !(s->flags & SS_AUTODISARM) && sp > s->at && sp - s->at <= s->size;
}

int signal_stack_set(struct task *t, const struct signal_stack *new, uint64_t sp)
{
	uint32_t mode = new->flags & ~SS_AUTODISARM;

	if (signal_stack_holds(t, sp))
		return -EPERM;
	if (mode != SS_DISABLE && mode != SS_ONSTACK && mode != 0)
		return -EINVAL;
	if (mode == SS_DISABLE) {
		t->signals->stack = (struct signal_stack){ .flags = new->flags };
		return 0;
	}
	if (new->size < MINSIGSTKSZ)
		return -ENOMEM;
	t->signals->stack = *new;
	return 0;
}

struct guest_stack {
	uint64_t at;
	uint32_t flags, pad;
	uint64_t size;
};

sysret_t sys_sigaltstack(struct task *t, const uint64_t *a)
{
	const struct signal_stack *s = &t->signals->stack;
	struct plat_regs regs;
	struct guest_stack g, old = { .at = s->at, .size = s->size };
	int r;

	if (a[0] && copy_in(t->space, &g, uva(a[0]), sizeof(g)) < 0)
		return -EFAULT;
	plat_user_regs(t->user, &regs);
	old.flags = !s->size ? SS_DISABLE : signal_stack_holds(t, regs.sp) ? SS_ONSTACK : 0;
	old.flags |= s->flags & SS_AUTODISARM;
	if (a[0]) {
		r = signal_stack_set(t, &(struct signal_stack){ g.at, g.size, g.flags }, regs.sp);
		if (r < 0)
			return r;
	}
	return a[1] ? copy_out(t->space, uva(a[1]), &old, sizeof(old)) : 0;
}

sysret_t sys_rt_sigreturn(struct task *t, const uint64_t *a)
{
	struct plat_regs regs;

	(void) a;
	signal_frame_pop(t);
	plat_user_regs(t->user, &regs);
	return (sysret_t) regs.ax;
}
