/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How tasks and processes end: _exit(2), exit_group(2), what a fatal signal does. Children go to
 * the nearest subreaper or to init; with init all end.
 */
#pragma once

#include "kernel/core/types.h"

struct task;

/* The running task's end: robust locks, clear_child_tid, what it has; the last of its process
 * makes that a zombie. status: as wait4 gives it (code << 8). */
[[gnu::noreturn]] void task_exit(struct task *t, int status);
/* All threads of its process, the running one first. status: as wait4 gives it: code << 8, or the
 * signal, with 0x80 where core was dumped. */
[[gnu::noreturn]] void task_exit_group(struct task *t, int status);

/* t has its space no longer: robust locks, clear_child_tid, who waits for its vfork. At its end,
 * and before execve puts another in the place. */
void task_leave_space(struct task *t);
