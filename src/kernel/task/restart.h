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

/*
 * For checkpoints: which of the two there are, 0 none; and the same with its deadline later by a
 * span. -EBADMSG: there is none such.
 */
unsigned int restart_kind(const struct restart *r);
[[nodiscard]] int restart_load(struct restart *r, unsigned int kind, const uint64_t of[6],
			       nsec_t later);

/* Sets t's, with n bytes of `of`; gives -ERESTART_RESTARTBLOCK. */
sysret_t restart_set(struct task *t, sysret_t (*go_on)(struct task *t), const void *of, size_t n);
