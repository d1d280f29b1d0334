/* SPDX-License-Identifier: Apache-2.0 */
/* The code of stubs as bytes of this program (stub_x86_64.S), and where it stands in a stub. */
#pragma once

#include <stdint.h>

#include "kernel/platform/host/layout.h"

extern const char stub_begin[], stub_end[];
extern const char stub_own_begin[], stub_own_end[];
extern const char stub_source[], stub_handler[];
/* Behind the instruction, as seccomp tells it. */
extern const char stub_door_site[], stub_sigreturn_site[], stub_gate_site[];
/* Of the gate: its begin; where a known answer is in rax; where there is none; where the stack
 * pointer is kept, and changes; where the call is told; its end. */
extern const char stub_gate[], stub_gate_known[], stub_gate_asks[];
/* From where to where it looks for a name: the kernel is asked then. */
extern const char stub_gate_names[], stub_gate_unnamed[];
extern const char stub_gate_saved[], stub_gate_flagged[], stub_gate_called[], stub_gate_end[];

static inline uint64_t stub_address(const char *code)
{
	return STUB_BASE + (uint64_t) ((uintptr_t) code - (uintptr_t) stub_begin);
}
