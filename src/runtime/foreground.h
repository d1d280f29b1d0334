/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The caller's descriptors and terminal: sockets to hand a pty or a pidfd over, what is passed on
 * to the workload, and the time in the foreground, until the workload ends.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"
#include "runtime/runtime.h"

struct notify;
struct spec_process;

struct terminal_request {
	bool terminal, detach;
	const char *console_socket; /* path, or NULL */
	const char *preserve_fds;   /* number, or NULL */
};

struct passed {
	int console_socket; /* owned */
	int *fds;	    /* in the arena: 3, 4, ... */
	size_t fds_n;
	size_t listen_fds; /* of them by LISTEN_FDS of our own environment */
};

/* Refuse combinations that cannot work; connect; see that the descriptors are there. */
[[nodiscard]] int passed_open(struct runtime *rt, const struct terminal_request *t,
			      struct passed *ret_p, struct err *e);
void passed_close(struct passed *p);
#define auto_passed __attribute__((cleanup(passed_close)))

/* LISTEN_FDS, LISTEN_PID and LISTEN_FDNAMES for the workload, when there are any: process gets a
 * new env. */
[[nodiscard]] int passed_env(struct runtime *rt, const struct passed *p,
			     struct spec_process *process, struct err *e);

/* Connect to the unix socket `path`, also one longer than an address can hold. Gives. */
[[nodiscard]] int socket_connect(const char *path, struct err *e);
/* Send a pidfd to the unix socket `path`. */
[[nodiscard]] int pidfd_hand_over(const char *path, int pidfd, struct err *e);

/*
 * Block the signals that foreground_wait takes: to be called before the workload starts, so that
 * none is lost. The workload does not inherit it (the engine resets its mask).
 */
void foreground_prepare(void);
/*
 * Stay until the process ends: pass signals on to it, and, with a terminal, what is typed and
 * printed; what it says on NOTIFY_SOCKET (n, or NULL) goes to the service manager. Reaps it. The
 * exit status, or negative with *e.
 */
[[nodiscard]] int foreground_wait(pid_t pid, int pidfd, int console_fd, const struct notify *n,
				  struct err *e);
