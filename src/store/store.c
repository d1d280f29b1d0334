/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

#include "base/arena.h"
#include "store/schema.h"

/*
 * Pages in the log (4 KiB each) at which a checkpoint is due. A process that opens the database
 * while no other has it open reads the whole log once to index it: about 4 us a page, so the log
 * is kept short. Past the second bound even a writer that somebody waits for does it.
 */
#define CHECKPOINT_PAGES	128
#define CHECKPOINT_PAGES_URGENT 256

/* Only processes outside the queue (a backup tool) can hold the database for long. */
#define BUSY_TIMEOUT_MS 20000

int store_fail(struct store *s, struct err *e, const char *what)
{
	int code = sqlite3_extended_errcode(s->db);
	int sys = sqlite3_system_errno(s->db);
	const char *text = sqlite3_errmsg(s->db);
	const char *where = s->paths.root;

	switch (code & 0xff) {
	case SQLITE_FULL:
		return err_set(e, ERR_EXHAUSTED, ENOSPC, "%s: no space left in '%s'", what, where);
	case SQLITE_NOMEM:
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "%s: out of memory", what);
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return err_set(e, ERR_TIMEOUT, EBUSY,
			       "%s: another program holds the state store in '%s'", what, where);
	case SQLITE_READONLY:
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return err_set(e, ERR_DENIED, EROFS, "%s: the state directory '%s' is read-only",
			       what, where);
	case SQLITE_CANTOPEN:
		return err_set(e, sys ? err_kind_of(sys) : ERR_DENIED, sys ? sys : EACCES,
			       "%s: cannot open the state store in '%s': %s", what, where,
			       sys ? strerror(sys) : text);
	case SQLITE_CONSTRAINT:
		return err_set(e, ERR_CONFLICT, EEXIST, "%s: %s", what, text);
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return err_set(e, ERR_INTERNAL, EUCLEAN,
			       "%s: the state store '%s/atoll.db' is damaged (%s); restore it from "
			       "a backup, or move it away to begin anew",
			       what, where, text);
	case SQLITE_IOERR:
		if (sys == ENOSPC || sys == EDQUOT)
			return err_set(e, ERR_EXHAUSTED, sys, "%s: no space left in '%s'", what,
				       where);
		if (sys == EROFS)
			return err_set(e, ERR_DENIED, sys,
				       "%s: the state directory '%s' is read-only", what, where);
		break;
	}
	return err_set(e, ERR_INTERNAL, sys ? sys : EIO, "%s: state store in '%s': %s (%d)", what,
		       where, text, code);
}

static int run_sql(struct store *s, const char *sql, const char *what, struct err *e)
{
	if (sqlite3_exec(s->db, sql, NULL, NULL, NULL) != SQLITE_OK)
		return store_fail(s, e, what);
	return 0;
}

/* SQLite's own trampoline: how long the log is after a commit. */
static int committed(void *owner, sqlite3 *, const char *, int pages)
{
	struct store *s = owner;

	s->log_pages = (unsigned) pages;
	return SQLITE_OK;
}

/*
 * Records hold the environment of workloads, and secrets with it: nobody else's to read
 * (CVE-2024-25621). Files that an older program left open to all are closed; not to be done
 * through a descriptor, whose end would take the database's locks with it.
 */
static void keep_private(const char *db)
{
	static const char *const files[] = { "", "-wal", "-shm" };
	struct stat st;

	if (stat(db, &st) < 0 || !(st.st_mode & 077) || st.st_uid != geteuid())
		return;
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		char path[PATH_MAX];

		if (snprintf(path, sizeof(path), "%s%s", db, files[i]) < (int) sizeof(path))
			(void) chmod(path, 0600); /* it works as well as before */
	}
}

static int open_database(struct store *s, bool read_only, struct err *e)
{
	struct path_text db = paths_db(&s->paths);
	int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;

	/*
	 * No threads here: no locks. No statistics. For the whole process, so they are refused
	 * once a database was opened; then they hold already.
	 */
	(void) sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
	(void) sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	flags |= read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
	if (!read_only)
		keep_private(db.z);
	mode_t mask = umask(077); /* the log and its index take the database's mode */
	int opened = sqlite3_open_v2(db.z, &s->db, flags, NULL);

	(void) umask(mask);
	if (opened != SQLITE_OK) {
		if (!s->db)
			return err_set(e, ERR_EXHAUSTED, ENOMEM, "open the state store");
		int r = store_fail(s, e, "open the state store");

		(void) sqlite3_close(s->db); /* the handle of a failed open; nothing to lose */
		s->db = NULL;
		return r;
	}
	s->read_only = read_only;
	(void) sqlite3_busy_timeout(s->db, BUSY_TIMEOUT_MS); /* fails only on a bad handle */
	/*
	 * The log stays when the last process closes: a checkpoint and its syncs would stand at the
	 * end of every command. store_checkpoint() does it where nobody waits.
	 */
	(void) sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	(void) sqlite3_wal_hook(s->db, committed, s);
	return 0;
}

/* New, or of an older program: switch to the log mode and make the tables. */
static int bring_up(struct store *s, struct err *e)
{
	unsigned have;
	int r = schema_current(s, &have, e);

	if (r < 0)
		return r;
	if (have > schema_version)
		return err_set(e, ERR_CONFLICT, EEXIST,
			       "the state store in '%s' is of a newer atoll (version %u, this one "
			       "knows %u): use that one",
			       s->paths.root, have, schema_version);
	if (have == schema_version)
		return 0;
	if (s->read_only)
		return err_set(e, ERR_DENIED, EROFS,
			       "the state store in '%s' needs a change of version, but the "
			       "directory cannot be written",
			       s->paths.root);
	if (have == 0) {
		/* Changing the mode needs the database alone: in the queue, before any write. */
		if (flock(s->lock_fd, LOCK_EX) < 0)
			return err_sys(e, errno, "queue for the state store");
		r = run_sql(s, "PRAGMA journal_mode=WAL", "set up the state store", e);
		(void) flock(s->lock_fd, LOCK_UN);
		if (r < 0)
			return r;
	}
	r = schema_migrate(s, schema_version, e);
	if (r < 0 || have > 0)
		return r;
	/* The directory entries of the store itself: a durable commit must find it again. */
	auto_fd int root = open(s->paths.root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_fd int above = root < 0 ? FD_NONE
				     : openat(root, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (above < 0 || fsync(root) < 0 || fsync(above) < 0)
		return err_sys(e, errno, "sync the state directory '%s'", s->paths.root);
	return 0;
}

/* The queue's file. -EROFS, -EACCES: no writing here. */
static int open_lock(struct store *s)
{
	struct path_text lock = paths_lock(&s->paths);
	int fd = open(lock.z, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	s->lock_fd = fd;
	return 0;
}

int store_open(const struct paths *p, struct store **ret, struct err *e)
{
	struct err why;
	int made = paths_make(p, &why);

	if (made < 0 && made != -EROFS && made != -EACCES) {
		*e = why;
		return made;
	}
	auto_store struct store *s = calloc(1, sizeof(*s));
	if (!s)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "open the state store");
	s->lock_fd = FD_NONE;
	s->paths = *p;

	int r = open_lock(s);
	if (r < 0 && r != -EROFS && r != -EACCES && r != -ENOENT)
		return err_sys(e, -r, "open '%s'", paths_lock(p).z);
	bool read_only = r < 0;
	s->denied = -r;
	struct path_text db = paths_db(p);
	if (read_only && access(db.z, R_OK) < 0) {
		if (made < 0) {
			*e = why;
			return made;
		}
		return err_set(
			e, ERR_DENIED, errno,
			"the state directory '%s' cannot be written, and holds no state yet: "
			"choose another with --root",
			p->root);
	}
	r = open_database(s, read_only, e);
	if (r < 0)
		return r;
	r = run_sql(s, "PRAGMA foreign_keys=ON; PRAGMA synchronous=NORMAL;", "open the state store",
		    e);
	if (r >= 0)
		r = bring_up(s, e);
	if (r < 0)
		return r;
	*ret = TAKE(s);
	return 0;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	store_rollback(s);
	if (s->db)
		(void) sqlite3_close_v2(s->db); /* fails never: zombie handles are allowed */
	close_fdp(&s->lock_fd);
	free(s);
}

int store_write(struct store *s, enum store_sync sync, struct err *e)
{
	if (s->depth > 0) {
		s->depth++;
		return 0;
	}
	if (s->read_only)
		return err_sys(e, s->denied, "write to the state directory '%s'", s->paths.root);
	while (flock(s->lock_fd, LOCK_EX) < 0) {
		if (errno != EINTR)
			return err_sys(e, errno, "queue for the state store");
	}
	bool durable = sync == STORE_DURABLE;
	int r = 0;

	if (durable != s->durable)
		r = run_sql(s, durable ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL",
			    "begin a write", e);
	if (r >= 0) {
		s->durable = durable;
		r = run_sql(s, "BEGIN IMMEDIATE", "begin a write", e);
	}
	if (r < 0) {
		(void) flock(s->lock_fd, LOCK_UN);
		return r;
	}
	s->failed = false;
	s->depth = 1;
	return 0;
}

static void write_end(struct store *s)
{
	s->depth = 0;
	(void) flock(s->lock_fd, LOCK_UN); /* fails only on a bad descriptor */
}

static void undo(struct store *s)
{
	/* A full disk rolls back by itself; then there is nothing left to undo. */
	if (!sqlite3_get_autocommit(s->db))
		(void) sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
}

/*
 * In the queue. Truncating, because between our short-lived processes nobody has the database open:
 * the index of the log, which knows how much of it was moved, is lost each time, and a log that is
 * only moved would be read and moved again by everyone. With no wait for readers: whoever comes
 * next tries again, so the outcome does not matter.
 */
static void checkpoint(struct store *s)
{
	(void) sqlite3_busy_timeout(s->db, 0);
	(void) sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	(void) sqlite3_busy_timeout(s->db, BUSY_TIMEOUT_MS);
	s->log_pages = 0;
}

int store_commit(struct store *s, struct err *e)
{
	assert(s->depth > 0);
	if (s->depth > 1) {
		s->depth--;
		return 0;
	}
	int r;
	if (s->failed)
		r = err_set(e, ERR_INTERNAL, ECANCELED,
			    "a part of a write to the state store failed: nothing was written");
	else
		r = run_sql(s, "COMMIT", "write to the state store", e);
	if (r < 0) {
		undo(s);
		write_end(s);
		return r;
	}
	/* Inside the queue: a checkpoint and a writer would only wait for each other. */
	if (s->log_pages >= CHECKPOINT_PAGES_URGENT)
		checkpoint(s);
	write_end(s);
	return 0;
}

void store_rollback(struct store *s)
{
	if (s->depth == 0)
		return;
	if (s->depth > 1) {
		s->depth--;
		s->failed = true;
		return;
	}
	undo(s);
	write_end(s);
}

bool store_checkpoint_due(const struct store *s)
{
	return !s->read_only && s->log_pages >= CHECKPOINT_PAGES;
}

/*
 * The first write to an empty log syncs the log's header, whatever the durability asked for: done
 * here, where nobody waits, by writing what is there already.
 */
static void begin_log(struct store *s)
{
	char sql[64];

	(void) snprintf(sql, sizeof(sql), "PRAGMA user_version=%u", schema_version);
	(void) sqlite3_exec(s->db, sql, NULL, NULL, NULL); /* else the next writer does it */
}

void store_checkpoint(struct store *s)
{
	if (s->read_only || s->depth > 0)
		return;
	/* Most of the syncing first, outside of the queue: writers go on meanwhile. */
	(void) sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	/* Somebody writes: the log is not idle, and he may do it after. */
	if (flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0)
		return;
	checkpoint(s);
	begin_log(s);
	(void) flock(s->lock_fd, LOCK_UN); /* fails only on a bad descriptor */
}

int store_check(struct store *s, unsigned *ret_n, struct err *e)
{
	auto_stmt struct sqlite3_stmt *st = NULL;
	unsigned n = 0;
	int r = store_prepare(s, "PRAGMA quick_check", NULL, &st, e);

	while (r >= 0 && (r = store_step(s, st, e)) > 0) {
		if (strcmp((const char *) sqlite3_column_text(st, 0), "ok") != 0)
			n++;
	}
	if (r < 0)
		return r;
	*ret_n = n;
	return 0;
}

int store_prepare(struct store *s, const char *sql, const struct store_arg *args,
		  struct sqlite3_stmt **ret, struct err *e)
{
	struct sqlite3_stmt *st = NULL;

	if (sqlite3_prepare_v2(s->db, sql, -1, &st, NULL) != SQLITE_OK)
		return store_fail(s, e, "read the state store");
	for (int i = 0; args && args[i].kind != STORE_ARG_END; i++) {
		int r;

		if (args[i].kind == STORE_ARG_INT)
			r = sqlite3_bind_int64(st, i + 1, args[i].number);
		else if (!args[i].text)
			r = sqlite3_bind_null(st, i + 1);
		else /* borrowed: the statement is finished before its caller returns */
			r = sqlite3_bind_text(st, i + 1, args[i].text, -1, SQLITE_STATIC);
		if (r != SQLITE_OK) {
			r = store_fail(s, e, "read the state store");
			store_finalize(st);
			return r;
		}
	}
	*ret = st;
	return 0;
}

void store_finalize(struct sqlite3_stmt *st)
{
	(void) sqlite3_finalize(st); /* repeats the failure of the last step, told already */
}

int store_step(struct store *s, struct sqlite3_stmt *st, struct err *e)
{
	switch (sqlite3_step(st)) {
	case SQLITE_ROW:
		return 1;
	case SQLITE_DONE:
		return 0;
	}
	return store_fail(s, e, s->depth > 0 ? "write to the state store" : "read the state store");
}

int store_run(struct store *s, const char *sql, const struct store_arg *args, int64_t *ret_changed,
	      struct err *e)
{
	auto_stmt struct sqlite3_stmt *st = NULL;
	int r = store_prepare(s, sql, args, &st, e);

	while (r >= 0 && (r = store_step(s, st, e)) > 0)
		;
	if (r >= 0 && ret_changed)
		*ret_changed = sqlite3_changes64(s->db);
	return r;
}

int64_t store_last_row(const struct store *s)
{
	return sqlite3_last_insert_rowid(s->db);
}

const char *store_text(struct arena *a, struct sqlite3_stmt *st, int i)
{
	const char *z = (const char *) sqlite3_column_text(st, i);

	if (!z)
		return NULL;
	return arena_dup(a, (struct str){ z, (size_t) sqlite3_column_bytes(st, i) });
}

int64_t store_int(struct sqlite3_stmt *st, int i)
{
	return sqlite3_column_int64(st, i);
}
