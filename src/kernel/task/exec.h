/* SPDX-License-Identifier: Apache-2.0 */
/*
 * execve(2) but for what it reads from the guest: another program in a new space, one thread,
 * credentials by set-id bits and file capabilities, signals and descriptors as they are inherited.
 */
#pragma once

#include "kernel/core/types.h"

struct path;
struct task;
struct words;

/*
 * exe: found by the caller's walk, borrowed; name: as it was called (execveat with "": /dev/fd/N),
 * borrowed; arguments are changed by scripts. 0: the registers are the new program's, and there is
 * no result to give (task->call.in is false). -EACCES, -ENOEXEC, -ETXTBSY, -E2BIG, -ENOMEM, ... as
 * program_load(); -EAGAIN: RLIMIT_NPROC was passed by a setuid before. After the other threads have
 * ended a failure is the process' end.
 */
sysret_t task_exec(struct task *t, const struct path *exe, const char *name,
		   struct words *arguments, const struct words *environment);

/* The same for the first thread before task_start(): nobody is there to be told but the caller. */
[[nodiscard]] int task_load(struct task *t, const struct path *exe, const char *name,
			    struct words *arguments, const struct words *environment);
