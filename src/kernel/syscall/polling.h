/* SPDX-License-Identifier: Apache-2.0 */
/* poll, select and epoll_wait behind their arguments, for those that have a mask of signals
 * (poll_masked.c). A deadline of 0 does not wait. Of syscall/ alone. */
#pragma once

#include "kernel/core/types.h"

struct task;

sysret_t poll_call(struct task *t, uva_t at, uint64_t count, nsec_t deadline);
/* a: the first four arguments of select(2). */
sysret_t select_call(struct task *t, const uint64_t *a, nsec_t deadline);
/* a: the first three of epoll_wait(2). */
sysret_t epoll_call(struct task *t, const uint64_t *a, nsec_t deadline);
/* Milliseconds, negative: for ever. */
nsec_t poll_deadline_ms(int ms);
/* What is left until a deadline. */
nsec_t poll_left(nsec_t deadline);
