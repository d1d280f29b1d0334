/* SPDX-License-Identifier: Apache-2.0 */
/* Processes by descriptor. Results: >= 0 or -errno. */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
/* The C library has a header of this name: <sys/pidfd.h> finds ours first, and gives both. */
#include_next <sys/pidfd.h>

#include "base/clock.h"

[[nodiscard]] int pidfd_of(pid_t pid);		    /* gives a descriptor; -ESRCH */
[[nodiscard]] int pidfd_kill(int pidfd, int signo); /* -ESRCH: it ended */
/* Wait for the end without reaping: 1 ended, 0 the deadline passed. */
[[nodiscard]] int pidfd_poll(int pidfd, nsec_t deadline);
/* Reap one's own child: si_code and si_status of waitid(2). */
[[nodiscard]] int pidfd_reap(int pidfd, siginfo_t *ret_info);
/* The same of one that is killed if it has not ended by the deadline: then 0, else 1. */
[[nodiscard]] int pidfd_reap_by(int pidfd, nsec_t deadline, siginfo_t *ret_info);
/* An exit status as shells and docker say it: the code, or 128 + signal. */
int pidfd_status(const siginfo_t *info);

/* Field 22 of /proc/PID/stat, clock ticks since boot: with the pid it names a process for good.
 * *ret_zombie (may be NULL): it ended but is not reaped. -ESRCH when there is none. */
[[nodiscard]] int pid_start_time(pid_t pid, uint64_t *ret_ticks, bool *ret_zombie);
