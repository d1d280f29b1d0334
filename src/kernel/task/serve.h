/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread of the kernel that serves a thread of a guest: lets it run, and does what it needs,
 * system calls (syscall/), pages (mm/), signals, until one of the two ends.
 */
#pragma once

#include "kernel/core/types.h"

struct task;
struct waitq;

/* The fiber of a task that has its space, its guest's context and its signals. -ENOMEM: not begun,
 * all is the caller's still. */
[[nodiscard]] int task_start(struct task *t);
/* Woken as each thread comes in that has `comes_in` set, which is cleared. */
struct waitq *task_came_in(void);
