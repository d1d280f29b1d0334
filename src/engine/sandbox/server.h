/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program of ours that serves a sandbox's kernel over a socket: it confines itself, and ends when
 * that kernel hangs up.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

struct groups;

#define SERVER_SOCKET 3 /* its descriptor there; the others follow */

/* All borrowed. */
struct server {
	const char *program; /* beside this one */
	char *const *words;
	int *fds; /* the first is filled in: the socket */
	size_t fds_n;
	int netns_fd; /* its network namespace; FD_NONE: the caller's */
	int log_fd;   /* its standard error */
};

/* A process of ours into them, which may be NULL. */
[[nodiscard]] int server_enter_groups(const struct groups *g, pid_t pid, struct err *e);
/*
 * Starts one in the control groups (which may be NULL). *ret_sock: the sandbox's end, *ret_pid
 * and *ret_pidfd: of the process; descriptors given.
 */
[[nodiscard]] int server_start(const struct server *s, const struct groups *g, int *ret_sock,
			       pid_t *ret_pid, int *ret_pidfd, struct err *e);
/* The same in two steps: the ends of its socket, given, and the start with its own, borrowed. */
[[nodiscard]] int server_pair(int *ret_ours, int *ret_theirs, struct err *e);
[[nodiscard]] int server_start_at(const struct server *s, const struct groups *g, int sock,
				  pid_t *ret_pid, int *ret_pidfd, struct err *e);
