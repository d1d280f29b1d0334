/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clocks of processor time whose number names a process or thread: clock_getcpuclockid(3),
 * pthread_getcpuclockid(3), and what a libc makes of its own CLOCK_*_CPUTIME_ID for timers.
 */
#pragma once

#include "kernel/core/types.h"

struct process;
struct task;

struct cpu_clock {
	struct task *task;	 /* the thread; NULL: all of the process. Borrowed, as the next */
	struct process *process; /* until the next park */
	bool user;		 /* the time in its own program alone */
	nsec_t grain;
};

/* clock: negative, or CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID. reads: the caller's own
 * thread stands for its process, too (Linux 5.7). -EINVAL: no such clock, nobody of that number, or
 * a thread of another process. */
[[nodiscard]] int cpu_clock_find(struct task *t, int clock, bool reads, struct cpu_clock *ret);
nsec_t cpu_clock_now(const struct cpu_clock *c);
