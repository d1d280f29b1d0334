/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session with a workload's or an exec's streams: what supervise_start() (with attach),
 * attach_open() and exec_start() give. The caller polls c->fd beside its own descriptors and moves
 * bytes; terminals, detach keys and signals are the CLI's business.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "proto/shim.h"
#include "svc/supervise.h"
#include "svc/svc.h"

/* How a foreground start joins the streams: workload_start(). */
struct attach_options {
	bool stdin_open;     /* this client sends stdin */
	unsigned rows, cols; /* of the caller's terminal, when the workload has one; 0: unknown */
	int sink[3];	     /* from supervise_sinks(), borrowed; or FD_NONE: messages */
};
#define ATTACH_OPTIONS_INIT ((struct attach_options){ .sink = { FD_NONE, FD_NONE, FD_NONE } })

/*
 * Join a running workload's streams, from now on.
 * Fails: NOT_FOUND no such workload; CONFLICT it does not run.
 */
[[nodiscard]] int attach_open(struct svc *s, const char *ref, const struct shim_attach *a,
			      struct shim_conn *ret, struct err *e);

enum session_what {
	SESSION_OUTPUT, /* bytes of stream */
	SESSION_GAP,	/* so many bytes of stream were not sent: this client was too slow */
	SESSION_READY,	/* the workload took stdin: session_stdin_some() takes more again */
	SESSION_CLOSED, /* nobody reads the sink of stream any more (as SIGPIPE) */
	SESSION_KEPT,	/* nothing to be done: the record's end was written, as the shim asked */
	SESSION_EXITED, /* the last: exited is set */
	SESSION_HUNGUP, /* the shim is gone without a word (killed) */
};

struct session_event {
	enum session_what what;
	enum shim_stream stream;
	struct str bytes; /* OUTPUT; in the arena */
	uint64_t lost;	  /* GAP: bytes */
	struct shim_exited exited;
};

/*
 * The next thing the shim sent; waits for it. Bytes live in the arena, which the caller empties
 * (arena_fini) after each event. Of a run that is removed at its end, this also removes the record
 * when the shim asks for that.
 */
[[nodiscard]] int session_next(struct shim_conn *c, struct arena *a, struct session_event *ret,
			       struct err *e);
/*
 * Bytes for stdin, as far as they go without waiting: *ret_taken of them, 0 when the workload has
 * not taken what was sent before. Then wait for SESSION_READY (the socket itself is writable all
 * the time: do not poll it for that). A peer that has gone is no error: EXITED or HUNGUP says so.
 */
[[nodiscard]] int session_stdin_some(struct shim_conn *c, struct str bytes, size_t *ret_taken,
				     struct err *e);
[[nodiscard]] int session_stdin_end(struct shim_conn *c, struct err *e);
[[nodiscard]] int session_resize(struct shim_conn *c, unsigned rows, unsigned cols, struct err *e);
[[nodiscard]] int session_signal(struct shim_conn *c, int signo, struct err *e); /* sig-proxy */

/*
 * The whole session for callers without a terminal: copies OUTPUT to out[0] (stdout) and out[1]
 * (stderr) and in_fd (FD_NONE: nothing) to stdin, until EXITED. A write that fails with EPIPE ends
 * that stream only. Gaps are reported on stderr's descriptor. HUNGUP is ERR_REMOTE.
 */
[[nodiscard]] int session_copy(struct shim_conn *c, int in_fd, const int out[static 2],
			       struct shim_exited *ret, struct err *e);
