/* SPDX-License-Identifier: Apache-2.0 */
/* The system calls of the host that are left when the guest runs, and none that opens a name. */
#pragma once

#include "base/err.h"

#define SANDBOX_FAILED 125 /* exit status of a failure of ours */

/* Of the kernel's process: at most 45. Stubs have a filter of their own, set before this one. */
[[nodiscard]] int filter_enter(struct err *e);
/* Of the process that only waits for it. */
[[nodiscard]] int filter_enter_waiting(struct err *e);
