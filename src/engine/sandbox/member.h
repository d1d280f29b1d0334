/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A container on a pod's kernel, which the pod's sandbox has: asked for on that one's control
 * socket. On the host it has its control groups, a gofer for its files, and a process that stands
 * for its first (waiter.h), which is instance.pid.
 */
#pragma once

#include "base/clock.h"
#include "base/err.h"

struct making;
struct sandbox;

/* After making_state() and sandbox_pod_find(). */
[[nodiscard]] int member_make(struct making *k, nsec_t deadline, struct err *e);
/* Whatever of it runs ends, and the kernel forgets it: also one that has ended. */
[[nodiscard]] int member_remove(const struct sandbox *s, nsec_t deadline, struct err *e);
