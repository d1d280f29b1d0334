/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A container's files for the host: a process of the agent's that serves FUSE (device/fs_session.h)
 * on a connection, and lives as long as that.
 */
#pragma once

#include <sys/types.h>

#include "base/err.h"
#include "guest/agent.h"

/* As struct agent_files says. sock: borrowed; nothing of it is read or written here any more. */
[[nodiscard]] int files_serve(const struct workload *w, int sock, pid_t *ret_pid, struct err *e);
