/* SPDX-License-Identifier: Apache-2.0 */
/* fcntl's F_GETLK, F_SETLK and their kin. Of syscall/ alone. */
#pragma once

#include "kernel/core/types.h"

struct file;
struct task;

/* of_file: an open file description's (F_OFD_*). */
sysret_t lock_get_call(struct task *t, struct file *f, uva_t arg, bool of_file);
sysret_t lock_set_call(struct task *t, uint64_t fd, struct file *f, uva_t arg, bool of_file,
		       bool wait);
