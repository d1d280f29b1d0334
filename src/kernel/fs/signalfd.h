/* SPDX-License-Identifier: Apache-2.0 */
/*
 * signalfd(2): signals that are blocked, taken by reading a file. Whose they are is decided by who
 * reads or polls: its own thread's and its process', as in Linux.
 */
#pragma once

#include "kernel/core/types.h"

struct cred;
struct file;

/* flags: O_NONBLOCK. SIGKILL and SIGSTOP of the mask do not count. -ENOMEM. */
[[nodiscard]] int signalfd_make(uint64_t mask, unsigned int flags, const struct cred *who,
				struct file **ret);
/* false: it is no signalfd. */
bool signalfd_mask(const struct file *f, uint64_t *ret);
/* Another mask. -EINVAL: it is no signalfd. */
[[nodiscard]] int signalfd_set(struct file *f, uint64_t mask);
