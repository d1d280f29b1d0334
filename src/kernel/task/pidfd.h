/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pidfd_open(2): a process as a file. Readable once it is a zombie; it never means another process
 * that got the same number.
 */
#pragma once

#include "kernel/vfs/file.h"

struct pid;

/* flags: O_NONBLOCK or 0. -ENOMEM. */
[[nodiscard]] int pidfd_new(struct pid *p, unsigned int flags, struct file **ret);
/* Borrowed from the file; NULL: it is no pidfd. */
struct pid *pidfd_pid(const struct file *f);
