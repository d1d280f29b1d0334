/* SPDX-License-Identifier: Apache-2.0 */
/* What runs in the guest and what it takes, as procfs says. */
#pragma once

#include <sys/types.h>

#include "base/arena.h"
#include "base/err.h"
#include "proto/agent.h"

/* Lives in the arena; processes that end meanwhile are left out. */
[[nodiscard]] int look_processes(struct arena *a, const pid_t *pids, size_t n,
				 struct agent_processes *ret, struct err *e);
[[nodiscard]] int look_machine(struct agent_machine_usage *ret, struct err *e);
