/* SPDX-License-Identifier: Apache-2.0 */
/* prctl(PR_SET_SECCOMP), which is seccomp(2) without flags. Of syscall/ alone. */
#pragma once

#include "kernel/task/task.h"

/* program: a struct sock_fprog, for SECCOMP_MODE_FILTER. */
[[nodiscard]] sysret_t seccomp_of_prctl(struct task *t, uint64_t mode, uva_t program);
