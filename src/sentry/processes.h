/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's processes as the host is told of them: what LIST and STATS are of. */
#pragma once

#include <stdint.h>

#include "base/arena.h"

/* Of c, or with NULL of the sandbox itself. */
struct container;
struct sentry_reply;

/* Into a->list, of the pids from `from` on: as many as a message takes; a->process is the next one
 * then, or 0. In a fiber: command lines are fetched from the guest. -ENOMEM. */
[[nodiscard]] int processes_list(const struct container *c, uint64_t from, struct arena *arena,
				 struct sentry_reply *a);
void processes_stats(const struct container *c, struct sentry_reply *a);
