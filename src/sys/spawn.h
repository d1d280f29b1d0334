/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Start a program: vfork and exec, with the descriptors it shall have and no others. For hooks,
 * shims, workers and tools. Nothing of a shell. Results: >= 0 or -errno.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/auto.h"

struct sock_fprog; /* linux/filter.h */

struct spawn {
	const char *path; /* of the program: absolute, or below the current directory */
	int exec_fd;	  /* FD_NONE, or the program itself: then path is only its name */
	char *const *argv;
	char *const *env; /* NULL: the caller's */
	int stdio[3];	  /* borrowed; FD_NONE: /dev/null */
	const int *fds;	  /* borrowed: become 3, 4, ... in this order */
	size_t fds_n;
	int cwd_fd;			 /* FD_NONE: the caller's */
	int netns_fd;			 /* network namespace; FD_NONE: the caller's */
	bool new_session;		 /* setsid: not to die with the caller's terminal */
	bool new_group;			 /* setpgid: to be killed with all of its children */
	int death_signal;		 /* PR_SET_PDEATHSIG, 0: none */
	const struct sock_fprog *filter; /* seccomp, the last before exec; NULL: none */
	unsigned filter_flags;
	bool no_new_privs; /* else the filter takes CAP_SYS_ADMIN, effective or permitted */
};
#define SPAWN_INIT                                                                                 \
	((struct spawn){ .exec_fd = FD_NONE,                                                       \
			 .stdio = { FD_NONE, FD_NONE, FD_NONE },                                   \
			 .cwd_fd = FD_NONE,                                                        \
			 .netns_fd = FD_NONE })

#define SPAWN_PATH_MAX 4096
/* A program of this name in a directory of PATH: its absolute path. -ENOENT. */
[[nodiscard]] int spawn_find(const char *name, char ret_path[static SPAWN_PATH_MAX]);

/* Gives the pid and, unless ret_pidfd is NULL, a pidfd. A failed exec is the result: -ENOENT... */
[[nodiscard]] int spawn_process(const struct spawn *s, pid_t *ret_pid, int *ret_pidfd);
