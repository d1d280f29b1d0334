/* SPDX-License-Identifier: Apache-2.0 */
/* fcntl's commands of who is told by signals: F_SETOWN and its kin, F_SETSIG, F_NOTIFY. */
#pragma once

#include "kernel/core/types.h"

struct file;
struct task;

[[nodiscard]] sysret_t owner_call(struct task *t, struct file *f, unsigned int command,
				  uint64_t arg);
/* a: fcntl's. */
[[nodiscard]] sysret_t notify_call(struct task *t, struct file *f, const uint64_t *a);
