/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The door: a number and six arguments, as the guest's registers hold them, to what the kernel
 * does. Everything behind it is decoding: arguments are checked as Linux does, structures copied
 * once (mm/uio.h), and the work is that of mm, vfs, fs and task. Which calls there are, and what
 * the others give, is list/calls.inc.
 */
#pragma once

#include "kernel/core/types.h"

struct task;

/* Behind the highest number of the list. */
#define SYSCALL_END 468

/*
 * For the running fiber, which is t's. The result, or -errno; or one of the kernel's own numbers
 * (ERESTARTSYS and its kin, core/sched.h), which whoever delivers signals turns into a restart or
 * EINTR. May park.
 */
[[nodiscard]] sysret_t syscall_do(struct task *t, unsigned int nr, const uint64_t args[6]);
