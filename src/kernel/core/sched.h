/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who runs in the kernel, and how they wait. One giant lock: whoever runs in the kernel holds it,
 * so the kernel's data needs no other, and nothing changes between two points where a fiber parks.
 * It is given back while the guest's own programs run and while a carrier waits. What a fiber must
 * hold *across* a park is a struct sleeplock. Fibers, not threads: who blocks costs a stack, and
 * who is woken goes on on the carrier that woke it, without a switch of the host's threads.
 *
 * A carrier: sched_enter(); sched_run(); deadline = sched_leave(); waits for what its platform
 * has, until the deadline; again.
 */
#pragma once

#include "kernel/core/fiber.h"
#include "kernel/core/tree.h"

/* ---- for platforms ---- */

void sched_enter(void);
/* Runs due timers and fibers until nothing can run. */
void sched_run(void);
/* Gives the lock back; when the next timer is due, or NSEC_NEVER. */
nsec_t sched_leave(void);

/* ---- fibers ---- */

/* Starts when its turn comes. -ENOMEM. */
[[nodiscard]] int sched_spawn(void (*entry)(void *arg), void *arg, struct fiber **ret_fiber);
[[gnu::noreturn]] void fiber_exit(void);
/* The running fiber, or NULL on a carrier's own stack. */
struct fiber *fiber_now(void);
/* Until fiber_wake(), which may have come before; whoever parks looks again at what it waits for.
 */
void fiber_park(void);
/* -ETIMEDOUT at the deadline (PLAT_MONOTONIC); NSEC_NEVER: none. */
int fiber_park_until(nsec_t deadline);
void fiber_wake(struct fiber *f);
/* To the end of the run queue. */
void fiber_yield(void);
/* How long it has had a carrier until now. */
nsec_t fiber_ran(const struct fiber *f);

/*
 * Linux's own numbers inside the kernel, of calls that a signal interrupts. The call is begun again
 * when no handler runs; when one does the guest gets EINTR, but for the first two kinds.
 */
#define ERESTARTSYS	      512 /* begun again after a handler with SA_RESTART, too */
#define ERESTARTNOINTR	      513 /* begun again after any handler */
#define ERESTARTNOHAND	      514
#define ERESTART_RESTARTBLOCK 516 /* goes on by restart_syscall(2): what has a time */
/* Wakes f and has its interruptible waits end, until fiber_undisturbed(). */
void fiber_interrupt(struct fiber *f);
void fiber_undisturbed(struct fiber *f);
/* What ends an interruptible wait of the running fiber: 0 or -ERESTARTSYS. */
int fiber_interrupted(void);

/* ---- timers ---- */

struct ktimer {
	struct tree_node node;
	void (*fire)(struct ktimer *t); /* on a carrier's own stack: it must not park */
};

/* Replaces an earlier time. at: PLAT_MONOTONIC. */
void ktimer_set(struct ktimer *t, nsec_t at);
void ktimer_cancel(struct ktimer *t);
bool ktimer_pending(const struct ktimer *t);
nsec_t ktimer_at(const struct ktimer *t);

/* ---- waiting for something ---- */

struct waitq {
	struct list waiters;
};

struct waiter {
	struct list link;
	struct fiber *fiber;
	/* NULL: the fiber is woken. Else it decides, and may take itself out; true: it counts
	 * among waitq_wake's `most`. */
	bool (*notify)(struct waiter *w, unsigned int events);
	unsigned int events; /* POLL*: notified for one of these alone; 0: for any */
	bool exclusive;	     /* counts, and stands behind those that do not */
};

static inline void waitq_init(struct waitq *q)
{
	list_init(&q->waiters);
}

void waiter_init(struct waiter *w); /* for the running fiber */
void waitq_add(struct waitq *q, struct waiter *w);
void waitq_remove(struct waiter *w);
/* events: POLL*, 0 any. most: how many exclusive ones; 0: all. Gives how many were told. */
unsigned int waitq_wake(struct waitq *q, unsigned int events, unsigned int most);

/*
 * Parks until `condition` holds: 0, -ETIMEDOUT at the deadline, or what `stop` gave that was not 0:
 * fiber_interrupted(), or 0 for what cannot be. condition is evaluated again after each wake-up.
 */
#define waitq_wait(q, condition, deadline, stop)                                                   \
	({                                                                                         \
		struct waiter w_;                                                                  \
		int r_ = 0;                                                                        \
		waiter_init(&w_);                                                                  \
		waitq_add((q), &w_);                                                               \
		while (!(condition)) {                                                             \
			r_ = (stop);                                                               \
			if (r_ == 0)                                                               \
				r_ = fiber_park_until(deadline);                                   \
			if (r_ < 0)                                                                \
				break;                                                             \
		}                                                                                  \
		waitq_remove(&w_);                                                                 \
		r_;                                                                                \
	})

/* ---- held across parks ---- */

struct sleeplock {
	struct fiber *holder;
	struct waitq waiters;
};

void sleeplock_init(struct sleeplock *l);
void sleeplock_take(struct sleeplock *l);
void sleeplock_give(struct sleeplock *l);
