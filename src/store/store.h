/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The embedded state store: one SQLite database in WAL mode, holding the records of workloads,
 * images, networks, volumes and events. Blobs and layers are files by digest, not rows.
 * It knows no policy: what a verb means is svc's.
 *
 * Writers queue: store_write() takes an flock on ROOT/atoll.lock before the transaction begins, so
 * that racers wait in line instead of failing busy. Readers see the last commit and never wait.
 *
 * Durability is the writer's choice, because only it knows whether it acknowledges anything:
 * STORE_DURABLE syncs the log before store_commit() returns (create, rm, tag: the user was told);
 * STORE_RELAXED leaves it to the next durable commit (a foreground run has acknowledged nothing
 * until it ends). A power cut loses at most a tail of relaxed commits, never consistency and never
 * a durable commit, because SQLite's log is sequential: syncing one commit syncs all before it.
 *
 * A connection is not to be carried over a fork: the shim opens one in a short-lived child.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/auto.h"
#include "base/err.h"
#include "store/paths.h"

struct sqlite3;
struct sqlite3_stmt;

struct store {
	struct sqlite3 *db; /* owned */
	int lock_fd;	    /* owned: flock'd while a write is open, FD_NONE before the first */
	unsigned depth;	    /* of open writes */
	bool failed;	    /* an inner write was rolled back */
	bool durable, read_only;
	int denied;	    /* errno of why it is read-only */
	unsigned log_pages; /* length of the log after the last commit */
	struct paths paths;
};

enum store_sync { STORE_RELAXED, STORE_DURABLE };

/*
 * Open, creating and migrating as needed. Where the directory is not writable the store opens
 * read-only and store_write() fails with DENIED.
 * Fails: CONFLICT the schema is newer than this program; DENIED; EXHAUSTED disk full.
 */
[[nodiscard]] int store_open(const struct paths *p, struct store **ret, struct err *e);
void store_close(struct store *s); /* rolls an open write back; NULL is fine */
AUTO_DEFINE(struct store *, store_close)
#define auto_store __attribute__((cleanup(store_closep)))

/*
 * Begin a write: waits for its turn. Nested ones join the outermost: its commit commits, any
 * rollback undoes all (the outer commit then fails), whose durability
 * is the outermost's.
 */
[[nodiscard]] int store_write(struct store *s, enum store_sync sync, struct err *e);
[[nodiscard]] int store_commit(struct store *s, struct err *e); /* on failure it is rolled back */
void store_rollback(struct store *s);				/* nothing when none is open */
/*
 * Move committed pages from the log into the database, and empty the log. Syncs; so only where
 * nobody waits: a child of the shim's after its last word, prune, repair. Due: the log has grown
 * long, as this connection's last commit saw it.
 */
bool store_checkpoint_due(const struct store *s);
void store_checkpoint(struct store *s);

/* The whole database checked for damage (system repair); ret_n problems, each told in a line. */
[[nodiscard]] int store_check(struct store *s, unsigned *ret_n, struct err *e);

/* ---- for the files of this room -------------------------------------------------------- */

struct store_arg { /* a bound parameter */
	enum { STORE_ARG_END, STORE_ARG_TEXT, STORE_ARG_INT } kind;
	const char *text; /* NULL binds null */
	int64_t number;
};
#define STORE_TEXT(z)                                                                              \
	(struct store_arg)                                                                         \
	{                                                                                          \
		.kind = STORE_ARG_TEXT, .text = (z)                                                \
	}
#define STORE_INT(v)                                                                               \
	(struct store_arg)                                                                         \
	{                                                                                          \
		.kind = STORE_ARG_INT, .number = (int64_t) (v)                                     \
	}
#define STORE_ARGS(...)                                                                            \
	(const struct store_arg[])                                                                 \
	{                                                                                          \
		__VA_ARGS__,                                                                       \
		{                                                                                  \
		}                                                                                  \
	}

/* Prepare and bind ?1, ?2 ...; args NULL: none. Gives. */
[[nodiscard]] int store_prepare(struct store *s, const char *sql, const struct store_arg *args,
				struct sqlite3_stmt **ret, struct err *e);
void store_finalize(struct sqlite3_stmt *st);
AUTO_DEFINE(struct sqlite3_stmt *, store_finalize)
#define auto_stmt __attribute__((cleanup(store_finalizep)))
/* 1: a row stands ready; 0: no more; negative: failed. */
[[nodiscard]] int store_step(struct store *s, struct sqlite3_stmt *st, struct err *e);
/* Prepare, run to the end; *ret_changed rows when not NULL. A constraint fails with CONFLICT. */
[[nodiscard]] int store_run(struct store *s, const char *sql, const struct store_arg *args,
			    int64_t *ret_changed, struct err *e);
/* The row number that the last INSERT gave. */
int64_t store_last_row(const struct store *s);
struct arena;
/* Column i as text in the arena (NULL for null or no memory), and as a number. */
const char *store_text(struct arena *a, struct sqlite3_stmt *st, int i);
int64_t store_int(struct sqlite3_stmt *st, int i);
/* *e from the connection's last failure. */
int store_fail(struct store *s, struct err *e, const char *what);
