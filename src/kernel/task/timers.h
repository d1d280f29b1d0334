/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What wakes a process by a signal when a time has come: setitimer(2), alarm(2), timer_create(2).
 * A timer has one signal, which is queued once: one with an interval begins again when it is taken,
 * and counts what went by meanwhile (timer_getoverrun(2)). So a short interval costs its own
 * process alone. Clocks of processor time are looked at from time to time, each of its
 * milliseconds at most. And what sleeps: nanosleep(2).
 */
#pragma once

#include "kernel/core/types.h"

struct process;
struct task;

/* execve: POSIX timers go, those of setitimer stay. */
void timers_exec(struct process *p);
/* All go. */
void timers_end(struct process *p);

/* A sleep goes on (restart.h); its end comes later by the span. */
struct restart;
sysret_t sleep_again(struct task *t);
void sleep_later(struct restart *r, nsec_t span);

/* The system calls, with their arguments as they came, as in signal_calls.h. */
sysret_t sys_timer_create(struct task *t, const uint64_t *a);
sysret_t sys_timer_settime(struct task *t, const uint64_t *a);
sysret_t sys_timer_gettime(struct task *t, const uint64_t *a);
sysret_t sys_timer_getoverrun(struct task *t, const uint64_t *a);
sysret_t sys_timer_delete(struct task *t, const uint64_t *a);
sysret_t sys_getitimer(struct task *t, const uint64_t *a);
sysret_t sys_setitimer(struct task *t, const uint64_t *a);
sysret_t sys_alarm(struct task *t, const uint64_t *a);
sysret_t sys_nanosleep(struct task *t, const uint64_t *a);
sysret_t sys_clock_nanosleep(struct task *t, const uint64_t *a);
