/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/task/restart.h"

#include "kernel/core/sched.h"
#include "kernel/task/futex.h"
#include "kernel/task/signal.h"
#include "kernel/task/signal_calls.h"
#include "kernel/task/task.h"
#include "kernel/task/timers.h"

sysret_t restart_set(struct task *t, sysret_t (*go_on)(struct task *t), const void *of, size_t n)
{
	struct restart *r = &t->signals->restart;

	r->go_on = go_on;
	memcpy(r->of, of, min_of(n, sizeof(r->of)));
	return -ERESTART_RESTARTBLOCK;
}

sysret_t sys_restart_syscall(struct task *t, const uint64_t *a)
{
	sysret_t (*go_on)(struct task *) = t->signals->restart.go_on;

	(void) a;
	t->signals->restart.go_on = NULL;
	return go_on ? go_on(t) : -EINTR;
}

static sysret_t futex_again(struct task *t)
{
	struct futex_again again;
	sysret_t r;

	memcpy(&again, t->signals->restart.of, sizeof(again));
	r = futex_go_on(t->space, &again);
	if (r == -ERESTART_RESTARTBLOCK)
		t->signals->restart.go_on = futex_again;
	return r;
}

unsigned int restart_kind(const struct restart *r)
{
	return !r->go_on ? 0 : r->go_on == futex_again ? 1 : 2;
}

int restart_load(struct restart *r, unsigned int kind, const uint64_t of[6], nsec_t later)
{
	struct futex_again again;

	if (kind > 2)
		return -EBADMSG;
	memcpy(r->of, of, sizeof(r->of));
	r->go_on = kind == 0 ? NULL : kind == 1 ? futex_again : sleep_again;
	if (kind == 2)
		sleep_later(r, later);
	if (kind != 1)
		return 0;
	memcpy(&again, r->of, sizeof(again));
	if (again.deadline != NSEC_NEVER)
		again.deadline += later;
	memcpy(r->of, &again, sizeof(again));
	return 0;
}

sysret_t sys_futex(struct task *t, const uint64_t *a)
{
	struct futex_again again;
	sysret_t r = futex_call(t->space, a, &again);

	_Static_assert(sizeof(again) <= sizeof(t->signals->restart.of), "it is kept there");
	return r == -ERESTART_RESTARTBLOCK ? restart_set(t, futex_again, &again, sizeof(again)) : r;
}
