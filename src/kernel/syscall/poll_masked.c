/* SPDX-License-Identifier: Apache-2.0 */
/* ppoll, pselect6, epoll_pwait: waits with another mask of signals until they are over. */
#include <linux/personality.h>
#include <linux/time_types.h>

#include "kernel/syscall/decode.h"
#include "kernel/syscall/polling.h"
#include "kernel/task/signal.h"

#define SET_BYTES 8 /* sizeof(sigset_t) of the kernel */

/* From here on the guest's mask is this one; set NULL: as it is. -EINVAL, -EFAULT. */
static int mask_begin(struct task *t, uva_t set, uint64_t size)
{
	uint64_t mask;
	int r;

	if (!set.v)
		return 0;
	if (size != SET_BYTES)
		return -EINVAL;
	r = copy_in(t->space, &mask, set, sizeof(mask));
	if (r == 0)
		signals_block_for_call(t, mask);
	return r;
}

static bool interrupted(sysret_t r)
{
	return r == -ERESTARTSYS || r == -ERESTARTNOHAND || r == -EINTR;
}

/* struct timespec at `from`, or for ever. *ret 0: it does not wait. */
static int deadline_in(struct task *t, uva_t from, nsec_t *ret)
{
	nsec_t n;
	int r;

	*ret = NSEC_NEVER;
	if (!from.v)
		return 0;
	r = time_in(t, from, &n);
	if (r == 0)
		*ret = n == 0 ? 0 : time_from_now(n);
	return r;
}

/* Linux's own: what is left of the time. It cannot fail the call. */
static void left_out(struct task *t, uva_t to, nsec_t deadline)
{
	if (to.v && !(t->personality & STICKY_TIMEOUTS))
		(void) time_out(t, to, poll_left(deadline));
}

sysret_t sys_ppoll(struct task *t, const uint64_t *a)
{
	nsec_t deadline;
	sysret_t r = deadline_in(t, uva(a[2]), &deadline);

	if (r == 0)
		r = mask_begin(t, uva(a[3]), a[4]);
	if (r < 0)
		return r;
	r = poll_call(t, uva(a[0]), a[1], deadline);
	signals_call_over(t, interrupted(r));
	left_out(t, uva(a[2]), deadline);
	return r;
}

sysret_t sys_pselect6(struct task *t, const uint64_t *a)
{
	uint64_t set[2] = {}; /* the address of the mask, and its size */
	nsec_t deadline = NSEC_NEVER;
	sysret_t r = a[5] ? copy_in(t->space, set, uva(a[5]), sizeof(set)) : 0;

	if (r == 0)
		r = deadline_in(t, uva(a[4]), &deadline);
	if (r == 0)
		r = mask_begin(t, uva(set[0]), set[1]);
	if (r < 0)
		return r;
	r = select_call(t, a, deadline);
	signals_call_over(t, interrupted(r));
	left_out(t, uva(a[4]), deadline);
	return r;
}

static sysret_t epoll_masked(struct task *t, const uint64_t *a, nsec_t deadline)
{
	sysret_t r = mask_begin(t, uva(a[4]), a[5]);

	if (r < 0)
		return r;
	r = epoll_call(t, a, deadline);
	signals_call_over(t, interrupted(r));
	return r;
}

sysret_t sys_epoll_pwait(struct task *t, const uint64_t *a)
{
	return epoll_masked(t, a, poll_deadline_ms((int) a[3]));
}

sysret_t sys_epoll_pwait2(struct task *t, const uint64_t *a)
{
	nsec_t deadline;
	int r = deadline_in(t, uva(a[3]), &deadline);

	return r < 0 ? r : epoll_masked(t, a, deadline);
}
