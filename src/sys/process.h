/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Identity of a process beyond its pid, which recurs: a number that no other process of this boot
 * has under the same pid. No policy.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * pidfs' inode number where pidfds have their own file system (Linux 6.9: unique for the boot),
 * else the start time in clock ticks (/proc/PID/stat, field 22). pid 0: the caller itself.
 * 0 or -errno; -ESRCH: there is none, or it is a zombie.
 */
[[nodiscard]] int process_ident(pid_t pid, uint64_t *ret_ident);

/* The same through a pidfd of it: 1 it runs, 0 it ended and is not reaped, or -errno. */
enum process_kind { PROCESS_KIND_UNKNOWN, PROCESS_KIND_PIDFS, PROCESS_KIND_TICKS };
[[nodiscard]] int process_ident_fd(int pidfd, pid_t pid, uint64_t *ret_ident,
				   enum process_kind *kind);

/* A pidfd of the process with this pid and this ident, or FD_NONE: it ended (another may have its
 * pid). The caller closes it. */
[[nodiscard]] int process_find(pid_t pid, uint64_t ident);

/* Whether the process with this pid and this ident still runs. */
bool process_alive(pid_t pid, uint64_t ident);
/* The same for many in a row; *kind is PROCESS_KIND_UNKNOWN before the first. */
bool process_alive_next(pid_t pid, uint64_t ident, enum process_kind *kind);

/*
 * A tenth of process_alive()'s cost, for long lists: whether any process with this pid runs,
 * zombies excluded. It may be another one that has got the pid since.
 */
bool process_pid_runs(pid_t pid);
/* A thread of the kernel. */
bool process_is_kernels(pid_t pid);

/* What the list of processes shows of the caller instead of its arguments, which are gone. */
void process_retitle(const char *title);

#define PROCESS_BOOT_ID_MAX 37
/* /proc/sys/kernel/random/boot_id. 0 or -errno. */
[[nodiscard]] int process_boot_id(char ret_id[static PROCESS_BOOT_ID_MAX]);
