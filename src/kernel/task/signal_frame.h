/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the guest's stack holds while a handler runs, in Linux's own layout (x86-64: struct
 * rt_sigframe, asm/sigcontext.h), because programs read and change it, and unwinders know it.
 */
#pragma once

#include "kernel/core/types.h"

struct plat_regs;
struct signal_action;
struct signal_info;
struct task;

/* Onto t's stack, or the alternate one; regs become those of the handler's first instruction.
 * blocked: the mask after the handler. -EFAULT: the stack has no room, or there is no restorer. */
[[nodiscard]] int signal_frame_push(struct task *t, const struct signal_action *a,
				    const struct signal_info *info, uint64_t blocked,
				    struct plat_regs *regs);
/*
 * rt_sigreturn(2): everything as the frame says that t's stack pointer tells of, which is the
 * guest's to write: what is the machine's own of it (segments, privileged flags, reserved bits of
 * the floating point state) is not taken. What it cannot read is a SIGSEGV. t->call.in is false
 * then.
 */
void signal_frame_pop(struct task *t);
/* Bytes of the stack that one takes at most, as AT_MINSIGSTKSZ has it (getauxval(3)). */
uint64_t signal_frame_most(void);
