/* SPDX-License-Identifier: Apache-2.0 */
/* One timer of a process, for those that the system calls make (timers.h). Of task/timer*.c alone.
 */
#pragma once

#include "kernel/core/radix.h"
#include "kernel/core/sched.h"
#include "kernel/task/signal_queue.h"

struct pid;
struct process;

enum timer_clock {
	TIMER_WALL,	    /* PLAT_MONOTONIC; no clock is ever set here */
	TIMER_PROCESS,	    /* processor time of its process */
	TIMER_PROCESS_USER, /* that in its own program alone */
	TIMER_THREAD,	    /* of one thread */
};

struct timer {
	struct signal_entry entry; /* its number 0: nobody is told (SIGEV_NONE) */
	struct ktimer due;
	struct process *process;
	enum timer_clock clock;
	bool realtime;	      /* TIMER_WALL, by the time of the day */
	struct pid *told;     /* owned: the one thread that is; NULL: any */
	struct pid *measured; /* owned: of TIMER_THREAD */
	nsec_t at, interval;  /* at: on its clock, the time after the last; 0: disarmed */
	int32_t overrun;      /* of the last signal that was taken */
};

/* ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF by their number; POSIX timers by theirs. */
struct timers {
	struct timer interval[3];
	struct radix posix;
	uint64_t count;
};

/* A timer of timer_create(2), as a checkpoint has it. */
struct timer_state {
	enum timer_clock clock;
	bool realtime;
	uint32_t told, measured; /* threads of the process; 0: none */
	int nr;			 /* 0: nobody is told */
	uint64_t value;
	nsec_t left, interval;
	int32_t overrun;
};

/* That of the lowest number from *id on; false: there is no more. */
bool timer_tell(const struct process *p, uint64_t *id, struct timer_state *ret);
/* -EBADMSG: that cannot be; -ENOMEM. */
[[nodiscard]] int timer_load(struct process *p, uint64_t id, const struct timer_state *from);

/* NULL: none yet, and no memory where `make`. */
struct timers *timers_of(struct process *p, bool make);

/* For nobody's signal yet. */
void timer_init(struct timer *t, struct process *p, enum timer_clock clock);
/* Disarmed, its signal nowhere, its pids given back. */
void timer_fini(struct timer *t);
/* first: a span, or with `absolute` a time of its clock; 0: disarmed. A signal on its way is gone.
 */
void timer_set(struct timer *t, nsec_t first, nsec_t interval, bool absolute);
/* What is left, 0: disarmed. */
nsec_t timer_left(const struct timer *t);
nsec_t timer_now(const struct timer *t);
