/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system calls of signals, with their arguments as they came. Each is for the running fiber,
 * which is t's, and gives what its man page says, -errno, or one of the -ERESTART* of
 * core/sched.h.
 */
#pragma once

#include "kernel/core/types.h"

struct task;

sysret_t sys_rt_sigaction(struct task *t, const uint64_t *a);
sysret_t sys_rt_sigprocmask(struct task *t, const uint64_t *a);
sysret_t sys_rt_sigpending(struct task *t, const uint64_t *a);
sysret_t sys_rt_sigsuspend(struct task *t, const uint64_t *a);
sysret_t sys_rt_sigtimedwait(struct task *t, const uint64_t *a);
sysret_t sys_rt_sigreturn(struct task *t, const uint64_t *a);
sysret_t sys_sigaltstack(struct task *t, const uint64_t *a);
sysret_t sys_pause(struct task *t, const uint64_t *a);

sysret_t sys_kill(struct task *t, const uint64_t *a);
sysret_t sys_tkill(struct task *t, const uint64_t *a);
sysret_t sys_tgkill(struct task *t, const uint64_t *a);
sysret_t sys_rt_sigqueueinfo(struct task *t, const uint64_t *a);
sysret_t sys_rt_tgsigqueueinfo(struct task *t, const uint64_t *a);

sysret_t sys_restart_syscall(struct task *t, const uint64_t *a);
sysret_t sys_futex(struct task *t, const uint64_t *a);
