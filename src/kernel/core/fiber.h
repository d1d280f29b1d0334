/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stack of the kernel's own and what runs on it. A fiber gives its turn away only by
 * fiber_switch() (core/sched.h does); it may go on on another carrier.
 */
#pragma once

#include "kernel/core/list.h"
#include "kernel/core/types.h"

#define FIBER_STACK ((size_t) 64 << 10)

struct fiber {
	void *sp; /* where it goes on, while it does not run */
	void *stack;
	void (*entry)(void *arg);
	void *arg;
	struct list link; /* in the run queue, or in none */
	bool woken;	  /* since it parked last: core/sched.h */
	bool interrupted; /* something wants it out of its system call */
	void *owner;	  /* the struct task it serves (task/task.h), or NULL */
	void *sanitizer;  /* AddressSanitizer's shadow of the stack */
	/* PLAT_MONOTONIC: when it was given a carrier last, and gave it back; all it has had, but
	 * for this turn; all it was without one since its first turn, up to this one. */
	nsec_t since, left, ran, away;
};

/* A carrier's own stack, from which it switches to fibers. */
struct carrier {
	struct fiber base;
	struct fiber *now; /* who runs, or &base */
	const void *bottom;
	size_t size;
	struct fiber *ended; /* who switched away for the last time */
};

/* entry does not return: it ends with fiber_exit() of core/sched.h. NULL: no memory. */
[[nodiscard]] struct fiber *fiber_new(void (*entry)(void *arg), void *arg);
/* One that does not run and will not. */
void fiber_free(struct fiber *f);
/* Lets `to` run on this carrier in the place of `from`; returns when `from` runs again. last:
 * never. */
void fiber_switch(struct fiber *from, struct fiber *to, bool last);
