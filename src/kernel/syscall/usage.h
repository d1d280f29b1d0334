/* SPDX-License-Identifier: Apache-2.0 */
/* struct rusage for the guest: getrusage, wait4, waitid. Of syscall/ alone. */
#pragma once

#include "kernel/core/types.h"

struct task;
struct task_usage;

[[nodiscard]] int usage_out(struct task *t, uva_t to, const struct task_usage *u);
