/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All guests held still, as Linux's freezer does it: every thread comes to the point where signals
 * are delivered, and parks there. Calls that wait are interrupted as by a signal without a handler
 * and begun again afterwards, so that nobody sees anything of it. What a thread was when it stopped
 * is noted for who saves it.
 */
#pragma once

#include "kernel/platform/platform.h"

struct task;

/* Where its program goes on: a call that is to be begun again is, by these registers. */
struct held {
	struct plat_regs regs;
	void *fp; /* plat_fp_size() bytes of the heap; NULL: the platform keeps none */
};

/*
 * Until the deadline (PLAT_MONOTONIC). -EBUSY: somebody holds them already; -ETIMEDOUT: *ret_who is
 * in a call that nothing interrupts; -ENOMEM. Nobody is held after a failure. Parks.
 */
[[nodiscard]] int tasks_hold(nsec_t deadline, struct task **ret_who);
/* They go on. */
void tasks_let_go(void);

/* ---- for signals and calls ---- */

bool tasks_are_held(void);
/* One that was waited for has ended. */
void task_left(void);
/* The running thread t parks until all go on. */
void task_stand(struct task *t);
