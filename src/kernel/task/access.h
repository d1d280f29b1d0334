/* SPDX-License-Identifier: Apache-2.0 */
/* Who may look into another's memory, files and the like: ptrace(2)'s rules. */
#pragma once

#include "kernel/core/types.h"

struct task;

/* PTRACE_MODE_ATTACH_REALCREDS: by t, of `of`. */
bool task_may_attach(const struct task *t, const struct task *of);
