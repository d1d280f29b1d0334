/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PROGRAM atoll-shim, one per workload: sets it up, starts it, keeps its streams and log, runs
 * execs and health checks, restarts it, and alone writes what becomes of it into its record. No
 * daemon stands behind it; it survives whoever started it.
 *
 *	main.c     what the process itself is: signals, descriptors, memory; the first message
 *	client.c   connections and requests
 *	life.c     the workload's states
 *	exec.c     further processes in it; check.c: health checks
 *	ends.c     pipes and terminals between a process and its streams
 *	streams.c  who gets what is written, and who is waited for
 *	record.c   what is on disk while it runs, and the record in the store
 *	checkpoint.c  the workload as files, and back
 *
 *	            CREATE             pidfd           streams     restart wanted
 *	(none) --> STARTING --> UP -----------> DRAINING ---------> WAITING --> STARTING
 *	                |  [life_start]  [life_ended]   |  [life_drained]     [life_start]
 *	                |                               | for good
 *	                +------ cannot start -----------+---------> ENDING -----> GONE
 *	                                                   [last record written]  [clients served]
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/loop.h"
#include "engine/engine.h"
#include "engine/host.h"
#include "fmt/spec.h"
#include "proto/shim.h"
#include "shim/health.h"
#include "shim/output.h"
#include "shim/record.h"
#include "shim/restart.h"
#include "shim/streams.h"
#include "store/paths.h"
#include "store/workload.h"

enum phase {
	PHASE_NONE, /* nothing asked for yet */
	PHASE_STARTING,
	PHASE_UP,	/* its process runs, or is paused */
	PHASE_DRAINING, /* it ended; what it wrote is still being delivered */
	PHASE_WAITING,	/* for the next start */
	PHASE_ENDING,	/* for good: the last record is being written */
	PHASE_GONE,	/* only clients are left to be served */
};

struct client;
struct exec_session;

struct shim {
	struct loop loop;
	struct loop_source signals, listener;
	int signal_fd;			  /* owned */
	int state_fd, listen_fd, lock_fd; /* owned: STATE/workloads/ID, shim.sock, shim.lock */
	char oom_score[8];		  /* to give to children; "" when it is not changed */
	enum phase phase;

	struct arena request; /* of CREATE: everything `c` points to */
	struct shim_create c; /* its descriptors are owned */
	struct paths paths;
	struct arena spec_arena;
	const struct spec *spec;
	const struct engine_ops *ops;
	struct engine_caps caps;

	struct instance *in; /* owned; NULL while there is none */
	struct streams io;
	struct output log;
	bool log_open, sinks_used, root_kept;
	nsec_t up_since; /* CLOCK_MONOTONIC */
	struct restart restart;
	struct loop_timer restart_timer, stop_timer, linger_timer, lean_timer;
	bool stop_wanted;  /* somebody asked for the end: no restart */
	bool user_stopped; /* the user did: unless-stopped stays stopped */
	bool removed;	   /* --rm has been done */
	uint64_t ooms_seen;

	struct record record;
	struct health health;
	struct loop_timer health_timer;
	struct exec_session *check; /* the health check running now */
	struct exec_session *execs;
	struct client *clients;
	struct client *keeper; /* offered to write the end of the record; NULL: nobody (any more) */
};

/* ---- life.c: 0, or negative with *e. --------------------------------------------------- */
/* PREPARE: before CREATE, and perhaps for nothing: what fails is undone, and CREATE meets it. */
void life_prepare(struct shim *s, const struct shim_prepare *p);
/* What was prepared, where CREATE never came. */
void life_unprepare(struct shim *s);
/* CREATE: read the plan, set up the log, and start. *ret_exit_code: 125, 126, 127. */
[[nodiscard]] int life_create(struct shim *s, int *ret_exit_code, struct err *e);
[[nodiscard]] int life_signal(struct shim *s, int signo, struct err *e);
/* Its stop signal now, SIGKILL after the timeout. No restart follows unless `restarting`. */
[[nodiscard]] int life_stop(struct shim *s, int signo, nsec_t timeout, bool user, struct err *e);
[[nodiscard]] int life_pause(struct shim *s, struct err *e);
[[nodiscard]] int life_resume(struct shim *s, struct err *e);
[[nodiscard]] int life_update(struct shim *s, const struct shim_update *u, struct err *e);
/* checkpoint.c; in place of engine_create and engine_start: from c.checkpoint_fd. */
[[nodiscard]] int life_checkpoint(struct shim *s, const struct shim_checkpoint *m, struct err *e);
[[nodiscard]] int life_restore(struct shim *s, const struct bundle *b, struct err *e);
[[nodiscard]] int life_resize(struct shim *s, unsigned rows, unsigned cols, struct err *e);
void life_ended(struct shim *s, int code); /* the workload's process was reaped */
void life_recorded(struct shim *s);	   /* everything told to the store is in it */
/* Where engines keep what is the same for many; opened when the workload has use for it. Gives. */
int life_cache(const struct shim *s);
bool life_running(const struct shim *s); /* a process is there */

/* Descriptors of one stream: the process's end, and ours (FD_NONE: nothing to copy). Owned. */
struct ends {
	int theirs, ours;
};
#define ENDS_INIT                                                                                  \
	{                                                                                          \
		{ FD_NONE, FD_NONE }, { FD_NONE, FD_NONE },                                        \
		{                                                                                  \
			FD_NONE, FD_NONE                                                           \
		}                                                                                  \
	}
void ends_fini(struct ends p[static 3]);
bool ends_is_pipe(int fd);
/* 0 or -errno: a pipe; /dev/null; the sink itself, which is taken and made blocking. */
[[nodiscard]] int ends_pipe(struct ends *ret, bool to_process);
[[nodiscard]] int ends_null(struct ends *ret);
[[nodiscard]] int ends_straight(int *sink, struct ends *ret);
/* Our ends, or a terminal's master (taken), become the process's streams. */
[[nodiscard]] int ends_take(struct ends p[static 3], struct streams *io, bool once);
[[nodiscard]] int ends_take_console(int master, struct streams *io, bool once, unsigned rows,
				    unsigned cols);

/* What `run` and `exec` exit with when the process did not start: 127 and 126 when its program was
 * the trouble (not found, not executable), else 125. */
int ends_exit_code(const struct err *e);

/* ---- exec.c ----------------------------------------------------------------------------- */
struct exec_session {
	struct shim *shim;
	struct exec_session *next;
	pid_t pid;
	int pidfd; /* owned */
	struct streams io;
	struct client *client; /* NULL: detached, or a health check */
	bool ended;
	struct shim_exited how;
	/* a health check */
	bool is_check, timed_out;
	nsec_t start;
	struct loop_timer timeout;
	struct loop_source output;
	int output_fd; /* owned */
	struct buf text;
};
/* Takes x's descriptors. *ret_exit_code as life_create. The caller may make itself its client. */
[[nodiscard]] int exec_begin(struct shim *s, struct shim_exec *x, struct exec_session **ret_x,
			     int *ret_exit_code, struct err *e);
bool exec_ended(struct shim *s, pid_t pid, int code); /* false: none of ours */
[[nodiscard]] int exec_signal(struct exec_session *x, int signo, struct err *e);
[[nodiscard]] int exec_resize(struct exec_session *x, unsigned rows, unsigned cols, struct err *e);
void exec_client_gone(struct exec_session *x);
/* Register a process that runs in the workload; NULL: no memory. */
struct exec_session *exec_new(struct shim *s);
void exec_free(struct exec_session *x);

/* ---- check.c ---------------------------------------------------------------------------- */
void check_ended(struct exec_session *x); /* its process was reaped: x->how */
void checks_begin(struct shim *s);	  /* the workload is up */
void checks_stop(struct shim *s);
void exec_fini(struct shim *s);

/* ---- client.c --------------------------------------------------------------------------- */
[[nodiscard]] int clients_listen(struct shim *s, struct err *e);
void clients_unlisten(struct shim *s);
/* Takes fd: serve it. NULL: out of memory. */
struct client *client_new(struct shim *s, int fd);
/* Everything told to the store is in it: the answers that waited for that. */
void clients_recorded(struct shim *s);
/* Send the keeper its task; false: there is none, or it does not listen. */
bool clients_lend(struct shim *s, const struct shim_msg *m);
/* Tell those who wait for the end; final: no restart follows. */
void clients_ended(struct shim *s, bool final);
void clients_exec_ended(struct exec_session *x);
bool clients_served(const struct shim *s); /* nothing waits to be sent */
void clients_fini(struct shim *s);
/* After the workload ended: leave once all clients are served. */
void life_leave_when_served(struct shim *s);

/* ---- main.c ----------------------------------------------------------------------------- */
/* Children are made between these two: not with the shim's own protection from the OOM killer. */
void guard_drop(struct shim *s);
void guard_raise(struct shim *s);
