/* SPDX-License-Identifier: Apache-2.0 */
/* atoll-sentry as the engine starts it: its words, its descriptors, and when it begins. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

#define PROGRAM_SENTRY "atoll-sentry"

struct groups;
struct shares;

/* All borrowed; FD_NONE: without. */
struct program {
	int stdio[3];
	int root_fd;	/* an EROFS image; FD_NONE: the first share is the root */
	int gofer_fd;	/* who serves the shares */
	int broker_fd;	/* who serves the network outside: a broker, or a stack */
	bool strict;	/* it is a stack */
	int config_fd;	/* inside_config() */
	int seccomp_fd; /* linux.seccomp, compiled */
	int restore_fd; /* a checkpoint that it goes on from */
	int control_fd, log_fd, end_fd;
	const struct shares *shares; /* NULL: none */
	int netns_fd; /* where hooks and others find it; FD_NONE: until it begins the caller's */
};

/*
 * Starts one in the control groups (which may be NULL). It waits there to begin, and ends with
 * *ret_creator, a pipe; also on failure *ret_pidfd is given, when there is a process.
 */
[[nodiscard]] int program_start(const struct program *p, const struct groups *g, pid_t *ret_pid,
				int *ret_pidfd, int *ret_creator, struct err *e);
/* It goes into its jail, and makes all but the start. bound: it ends with the pipe, unless it was
 * started. */
[[nodiscard]] int program_begin(int creator_fd, bool bound, struct err *e);
