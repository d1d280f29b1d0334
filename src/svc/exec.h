/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another process in a running workload: `atoll exec`. What it streams is a session (attach.h).
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "proto/shim.h"
#include "svc/plan.h"
#include "svc/supervise.h"
#include "svc/svc.h"

struct exec_options {
	struct plan_exec what;
	bool stdin_open, detach;
	unsigned rows, cols; /* of the caller's terminal, with what.tty; 0: unknown */
	int sink[3];	     /* from supervise_sinks(), borrowed; or FD_NONE */
};
#define EXEC_OPTIONS_INIT ((struct exec_options){ .sink = { FD_NONE, FD_NONE, FD_NONE } })

/*
 * Start it. Not detached: *ret_conn is the session, whose EXITED is the process's exit.
 * *ret_exit_code on failure: 125, 126 not executable, 127 not found.
 * Fails: NOT_FOUND no such workload or user; CONFLICT not running, or paused; EXHAUSTED arguments
 * and environment are past SHIM_MESSAGE_MAX.
 */
[[nodiscard]] int exec_start(struct svc *s, const char *ref, const struct exec_options *o,
			     struct shim_conn *ret_conn, pid_t *ret_pid, int *ret_exit_code,
			     struct err *e);
