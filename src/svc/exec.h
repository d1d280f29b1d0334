/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another process in a running workload: `atoll exec`. What it streams is a session (attach.h).
 */
#pragma once

#include <sys/types.h>

#include "base/err.h"
#include "proto/shim.h"
#include "svc/supervise.h"

/*
 * Resolve "user[:group]" (names or numbers) for an exec in the file system the workload sees now,
 * into x->{set_user, uid, gid, groups}. root_fd: /proc/PID/root of the workload, borrowed.
 * NOT_FOUND: no such user or group in its /etc/passwd, /etc/group.
 */
[[nodiscard]] int exec_user(int root_fd, const char *user, struct arena *a, struct shim_exec *x,
			    struct err *e);

/*
 * Start it. state_fd: STATE/workloads/ID, borrowed. Not detached: *ret_conn is the session, whose
 * EXITED is the process's exit. *ret_exit_code on failure: 125, 126 not executable, 127 not found.
 * Fails: NOT_FOUND not running; CONFLICT paused; EXHAUSTED args and env are past SHIM_MESSAGE_MAX.
 */
[[nodiscard]] int exec_start(int state_fd, const struct shim_exec *x, struct shim_conn *ret_conn,
			     pid_t *ret_pid, int *ret_exit_code, struct err *e);
