/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process of the host that stands for one of a sandbox: it ends with its status, hands signals on
 * to it, and when it is killed so is that one. A child of the caller's with its memory, and with
 * two connections, no rights and a few system calls.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

/*
 * For the process of this number (proto/sentry.h), in a network namespace (FD_NONE: the caller's).
 * Borrows two connections on which nothing was
 * asked; when the first of them is closed without a waiter the process is killed.
 */
[[nodiscard]] int waiter_start(int wait_sock, int signal_sock, uint64_t process, int netns_fd,
			       pid_t *ret_pid, int *ret_pidfd, struct err *e);
