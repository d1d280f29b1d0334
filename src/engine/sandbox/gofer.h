/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process that serves a sandbox the host's directories and files: atoll-device, which confines
 * itself, and ends when the sandbox's kernel hangs up.
 */
#pragma once

#include <sys/types.h>

#include "base/err.h"

#define GOFER_SHARES_FD 4 /* the first share's in there, the others' follow */

struct groups;
struct shares;

/*
 * Starts one in the control groups (which may be NULL). *ret_sock: the sandbox's end, *ret_pidfd:
 * of the process, *ret_pid; both descriptors are given.
 */
[[nodiscard]] int gofer_start(const struct shares *s, const struct groups *g, int log_fd,
			      int *ret_sock, pid_t *ret_pid, int *ret_pidfd, struct err *e);
