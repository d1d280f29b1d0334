/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a shim leaves for others to find, so that nothing depends on it staying alive.
 *
 * In STATE/workloads/ID (until reboot):
 *	shim.lock  locked (fcntl F_OFD_SETLK, for writing) for as long as the shim lives: where it
 *		   is not locked the shim is gone, however it went
 *	shim.sock  where it listens (proto/shim.h)
 *	pid        one line "ROLE PID IDENT" each (IDENT: sys/process.h): "shim", and while there is
 *		   one "init"; "exec" for each exec's process. A process is ours only if its ident
 *		   is the one written down
 *	and what engine_save() writes there, before the workload's first instruction: with
 *	engine_load(), engine_kill() and engine_destroy() repair ends all of it. A shim killed
 *before that leaves an init that never ran (it waits for the shim, sees it gone and ends) and at
 *most the empty cgroup that config.json's cgroupsPath names. All of it is removed at a regular end,
 *shim.lock last.
 *
 * In the store: the status half of the workload's row and events, written by a short-lived child,
 * so that neither SQLite nor a slow disk is ever in the shim. Changes that come while a child
 * writes go together into the next one's single transaction, in order. The end of a run that is
 * removed (--rm) is written by the client that waits for it, when it offered that: it has the store
 * open, and the shim clears up meanwhile. Should it go, fail or take long, a child does it.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/loop.h"
#include "store/workload.h"

struct shim;
struct shim_recorded;
struct record_entry;

struct record {
	struct workload_status status; /* as it is now */
	struct record_entry *waiting;  /* not yet written, oldest first */
	pid_t writer;		       /* 0: none runs */
	unsigned in_flight;	       /* of the waiting ones, the child's */
	bool discard;		       /* --rm: the next child removes all */
	bool discarding;	       /* this child does */
	bool durable;		       /* the next child syncs: somebody is told */
	bool lent;		       /* the waiting ones and the removal are with the client */
	bool kept;		       /* the client did it: what it set aside is the shim's last */
	bool checkpoint_due;	       /* ... and this, by the client's word */
	unsigned failures;	       /* in a row */
	struct loop_timer timer;
};

/* Take shim.lock, or have it already. CONFLICT: another shim has the workload. */
[[nodiscard]] int record_lock(struct shim *s, struct err *e);
bool record_try_lock(struct shim *s); /* without waiting; false also when it cannot be taken */
/* Write the pid file anew. */
void record_pids(struct shim *s);
/* The status changed, and why: the event's action (NULL: none). Written soon, in order. */
void record_change(struct shim *s, const char *action, int exit_code);
/* Event with one more attribute, e.g. health_status. */
void record_event(struct shim *s, const char *action, const char *key, const char *value);
/* Let a child write what waits, after `delay` at the latest. */
void record_write(struct shim *s, nsec_t delay);
/* Whether a client offers to write the end. */
bool record_lendable(const struct shim *s);
/* Ask it to: false when it cannot be asked now. Then it, or its hanging up, gives it back. */
bool record_lend(struct shim *s);
void record_returned(struct shim *s, const struct shim_recorded *how);
/* The shim's last: what the client left to be done where nobody waits. */
void record_clear_up(struct shim *s);
bool record_idle(const struct record *r);		/* everything is written */
bool record_ended(struct shim *s, pid_t pid, int code); /* false: no writer of ours */
/* Remove the files in STATE/workloads/ID, then let go of the lock. */
void record_fini(struct shim *s);
