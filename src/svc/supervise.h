/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's side of a shim: start one for a workload, ask it for what `start`, `stop`, `kill`
 * ... mean. Knows nothing of records: the verbs above fill in what the record says, and the shim
 * writes what becomes of it. A shim that is not there is NOT_FOUND: the workload is not running, or
 * its shim was killed (svc's repair tells which).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/err.h"
#include "engine/engine.h"
#include "proto/shim.h"

struct svc; /* svc/svc.h */

/* A connection to a shim; plain data, also the session of attach.h and exec.h. */
struct shim_conn {
	int fd;		    /* owned; FD_NONE when closed */
	bool session;	    /* streams flow: see attach.h */
	size_t untaken;	    /* bytes of stdin sent and not yet taken by the workload */
	struct svc *keeper; /* borrowed: writes the end of a record when asked; NULL: never is */
};
#define SHIM_CONN_NONE ((struct shim_conn){ .fd = FD_NONE })

void shim_conn_close(struct shim_conn *c); /* hang up: detaches a session; nothing when closed */
#define auto_shim_conn __attribute__((cleanup(shim_conn_close)))

/*
 * Start a shim for a workload whose directory STATE/workloads/ID (state_fd, borrowed) exists. It
 * waits to be told what to run, and goes when it is hung up on before. It is nobody's child; but as
 * `child` it is the caller's, who does not reap it: for a process that soon ends, or when it does.
 */
[[nodiscard]] int supervise_spawn(const char *id, int state_fd, bool child,
				  struct shim_conn *ret_conn, struct err *e);
/* What it may make already. Unanswered: what fails there is met again by supervise_start(). */
[[nodiscard]] int supervise_prepare(struct shim_conn *c, const struct shim_prepare *p,
				    struct err *e);
/*
 * Have a shim that was just spawned create and start the engine's instance. ROOT/workloads/ID
 * (create->bundle_fd) holds config.json. Returns when the workload's process runs (or failed to),
 * *ret_pid as the host sees it; with create->attach *c is the session, else it is open for further
 * requests. Borrows all descriptors. *ret_exit_code on failure: what `run` exits with (125, 126,
 * 127).
 * Fails: CONFLICT it runs already; NOT_FOUND / DENIED the command cannot be executed (127 / 126);
 * what engine_pick and engine_create say.
 */
[[nodiscard]] int supervise_start(struct shim_conn *c, const struct shim_create *create,
				  pid_t *ret_pid, int *ret_exit_code, struct err *e);

/*
 * The caller's stdio as sinks of a foreground run or exec: descriptors the shim may write to and
 * read from directly, so that output takes no way through this process. A sink is a description
 * of its own (reopened, non-blocking), given to the caller; FD_NONE where fd cannot serve (a
 * terminal on stdin, a file that cannot be reopened): its stream then comes as messages.
 * want: 3 flags for stdin, stdout, stderr.
 */
void supervise_sinks(const bool want[static 3], int ret_sink[static 3]);

/* Connect to the shim listening in STATE/workloads/ID (state_fd). NOT_FOUND: none there. */
[[nodiscard]] int shim_connect(int state_fd, struct shim_conn *ret_conn, struct err *e);
/* Whether a shim holds the workload: its lock in STATE/workloads/ID is taken. */
bool shim_alive(int state_fd);

/* Requests; each waits for its answer. Not on a session's connection. */
[[nodiscard]] int supervise_signal(struct shim_conn *c, int signo, struct err *e);
/* o: signal and timeout; returns when the workload has ended and its record says so. */
[[nodiscard]] int supervise_stop(struct shim_conn *c, const struct shim_stop *o, struct err *e);
[[nodiscard]] int supervise_pause(struct shim_conn *c, struct err *e);
[[nodiscard]] int supervise_resume(struct shim_conn *c, struct err *e);
[[nodiscard]] int supervise_update(struct shim_conn *c, const struct shim_update *u, struct err *e);
/* Borrows m->dir_fd; the workload has ended unless it was left running. */
[[nodiscard]] int supervise_checkpoint(struct shim_conn *c, const struct shim_checkpoint *m,
				       struct err *e);
[[nodiscard]] int supervise_resize(struct shim_conn *c, unsigned rows, unsigned cols,
				   struct err *e);
[[nodiscard]] int supervise_rename(struct shim_conn *c, const char *name, struct err *e);
/* Until the condition holds. The connection may be polled instead: see supervise_wait_send. */
[[nodiscard]] int supervise_wait(struct shim_conn *c, enum shim_wait_for until,
				 struct shim_exited *ret, struct err *e);
/* The two halves of it, for callers with other descriptors to watch; c->fd is readable then. */
[[nodiscard]] int supervise_wait_send(struct shim_conn *c, enum shim_wait_for until, struct err *e);
[[nodiscard]] int supervise_wait_recv(struct shim_conn *c, struct shim_exited *ret, struct err *e);
[[nodiscard]] int supervise_usage(struct shim_conn *c, struct usage *ret, struct err *e);
/* pids of all processes of the workload, as the host sees them; the array lives in the arena. */
/* What runs: pids of the host, or, of an engine that says it itself, a list. In the arena. */
struct supervise_processes {
	pid_t *pids;
	size_t pids_n;
	bool listed;
	struct engine_processes list;
};
[[nodiscard]] int supervise_top(struct shim_conn *c, struct arena *a,
				struct supervise_processes *ret, struct err *e);
[[nodiscard]] int supervise_status(struct shim_conn *c, struct shim_status *ret, struct err *e);
