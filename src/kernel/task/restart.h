/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls with a time of their own that a signal without a handler interrupted: they return
 * -ERESTART_RESTARTBLOCK, and go on by restart_syscall(2) to the same end.
 */
#pragma once

#include "kernel/core/types.h"

struct task;

struct restart {
	/* NULL: none, EINTR. What it needs is in `of`, and is the setter's own to read. */
	sysret_t (*go_on)(struct task *t);
	uint64_t of[6];
};

/* Sets t's, with n bytes of `of`; gives -ERESTART_RESTARTBLOCK. */
sysret_t restart_set(struct task *t, sysret_t (*go_on)(struct task *t), const void *of, size_t n);
