/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The terminal end of a session (svc/attach.h): the user's stdin, stdout and stderr moved to and
 * from a workload or an exec, with signals passed on, the window's size kept, and detaching.
 */
#pragma once

#include <signal.h>
#include <stdbool.h>

#include "cli/cli.h"
#include "cli/terminal.h"
#include "svc/supervise.h"

struct stream {
	bool tty;	 /* the workload has a terminal */
	bool stdin_open; /* send our stdin */
	bool out, err;	 /* which streams to show */
	bool sig_proxy;
	struct detach_keys keys;

	int signal_fd; /* owned */
	sigset_t old_mask;
	int sink[3]; /* owned; what the shim serves directly */
};

/*
 * Before the start: hold signals back, so that a ^C during it is passed on and not lost, and open
 * the sinks (session: of a start or an exec, not of an attach). Refuses -t with a stdin that is no
 * terminal. Undone by stream_fini().
 */
[[nodiscard]] int stream_init(struct stream *s, bool sinks, struct err *e);
void stream_fini(struct stream *s);
#define auto_stream __attribute__((cleanup(stream_fini)))
#define STREAM_INIT                                                                                \
	((struct stream){ .out = true,                                                             \
			  .err = true,                                                             \
			  .sig_proxy = true,                                                       \
			  .signal_fd = FD_NONE,                                                    \
			  .sink = { FD_NONE, FD_NONE, FD_NONE } })

enum stream_end {
	STREAM_EXITED,	 /* *ret_status is the exit code */
	STREAM_DETACHED, /* by keys; it runs on */
	STREAM_SIGNALED, /* a signal that is not passed on: *ret_status is 128 + its number */
	STREAM_CLOSED,	 /* nobody reads our stdout any more */
};

/* Until the session ends. Borrows conn. Fails: REMOTE the shim is gone. */
[[nodiscard]] int stream_run(struct stream *s, struct shim_conn *conn, enum stream_end *ret_end,
			     int *ret_status, struct err *e);

/* The same, worded: what went wrong on stderr, and the exit status of the program. */
int stream_status(struct cli *c, struct stream *s, struct shim_conn *conn);
