/* SPDX-License-Identifier: Apache-2.0 */
#include "store/volume.h"

#include <errno.h>

int store_volume_add(struct store *s, const struct volume_record *v, bool *ret_made, struct err *e)
{
	int64_t changed = 0;
	int r = store_run(s,
			  "INSERT OR IGNORE INTO volumes(name,driver,labels,options,created,"
			  "anonymous) VALUES(?1,?2,?3,?4,?5,?6)",
			  STORE_ARGS(STORE_TEXT(v->name), STORE_TEXT(v->driver),
				     STORE_TEXT(v->labels), STORE_TEXT(v->options),
				     STORE_INT(v->created), STORE_INT(v->anonymous)),
			  &changed, e);
	if (r < 0)
		return r;
	*ret_made = changed > 0;
	return 0;
}

int store_volume_use(struct store *s, const char *name, const char *workload_id, struct err *e)
{
	return store_run(s, "INSERT OR IGNORE INTO volume_users(volume,workload) VALUES(?1,?2)",
			 STORE_ARGS(STORE_TEXT(name), STORE_TEXT(workload_id)), NULL, e);
}

int store_volume_remove(struct store *s, const char *name, struct err *e)
{
	auto_stmt struct sqlite3_stmt *st = NULL;
	struct arena a = ARENA_INIT(4096);
	int64_t changed = 0;
	int r = store_prepare(
		s,
		"SELECT w.name FROM volume_users u JOIN workloads w ON w.id=u.workload"
		" WHERE u.volume=?1 LIMIT 1",
		STORE_ARGS(STORE_TEXT(name)), &st, e);

	if (r >= 0)
		r = store_step(s, st, e);
	if (r > 0) {
		const char *user = store_text(&a, st, 0);

		r = err_set(e, ERR_CONFLICT, EBUSY,
			    "volume '%s' is in use by workload '%s': remove that one first", name,
			    user ? user : "");
	}
	arena_fini(&a);
	if (r < 0)
		return r;
	r = store_run(s, "DELETE FROM volumes WHERE name=?1", STORE_ARGS(STORE_TEXT(name)),
		      &changed, e);
	if (r >= 0 && changed == 0)
		return err_set(e, ERR_NOT_FOUND, ENOENT, "no such volume: %s", name);
	return r;
}

#define SELECT                                                                                     \
	"SELECT name,driver,labels,options,created,anonymous,"                                     \
	"(SELECT count(*) FROM volume_users u WHERE u.volume=v.name) FROM volumes v "

static int record_of(struct arena *a, struct sqlite3_stmt *st, struct volume_record *ret,
		     struct err *e)
{
	*ret = (struct volume_record){
		.name = store_text(a, st, 0),
		.driver = store_text(a, st, 1),
		.labels = store_text(a, st, 2),
		.options = store_text(a, st, 3),
		.created = store_int(st, 4),
		.anonymous = store_int(st, 5) != 0,
		.users = (unsigned) store_int(st, 6),
	};
	if (!ret->name || !ret->driver)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory reading volume records");
	return 0;
}

int store_volume_find(struct store *s, const char *name, struct arena *a, struct volume_record *ret,
		      struct err *e)
{
	auto_stmt struct sqlite3_stmt *st = NULL;
	int r = store_prepare(s, SELECT "WHERE name=?1", STORE_ARGS(STORE_TEXT(name)), &st, e);

	if (r >= 0)
		r = store_step(s, st, e);
	if (r < 0)
		return r;
	if (r == 0)
		return err_set(e, ERR_NOT_FOUND, ENOENT, "no such volume: %s", name);
	return record_of(a, st, ret, e);
}

static int list(struct store *s, const char *sql, const struct store_arg *args, struct arena *a,
		struct volume_records *ret, struct err *e)
{
	auto_stmt struct sqlite3_stmt *st = NULL;
	struct volume_records got = {};
	int r = store_prepare(s, sql, args, &st, e);

	while (r >= 0 && (r = store_step(s, st, e)) > 0) {
		struct volume_record *v = arena_push(a, &got.v, &got.n, sizeof(*v));

		if (!v)
			return err_set(e, ERR_EXHAUSTED, ENOMEM,
				       "out of memory reading volume records");
		r = record_of(a, st, v, e);
	}
	if (r < 0)
		return r;
	*ret = got;
	return 0;
}

int store_volume_list(struct store *s, struct arena *a, struct volume_records *ret, struct err *e)
{
	return list(s, SELECT "ORDER BY name", NULL, a, ret, e);
}

/* Most workloads have none: told by one look into an index, without the whole question. */
static int uses_any(struct store *s, const char *workload_id, struct err *e)
{
	auto_stmt struct sqlite3_stmt *st = NULL;
	int r = store_prepare(s, "SELECT 1 FROM volume_users WHERE workload=?1 LIMIT 1",
			      STORE_ARGS(STORE_TEXT(workload_id)), &st, e);

	return r < 0 ? r : store_step(s, st, e);
}

int store_volume_of(struct store *s, const char *workload_id, bool anonymous_only, struct arena *a,
		    struct volume_records *ret, struct err *e)
{
	int r = uses_any(s, workload_id, e);

	if (r < 0)
		return r;
	if (r == 0) {
		*ret = (struct volume_records){};
		return 0;
	}
	return list(s,
		    SELECT "WHERE name IN (SELECT volume FROM volume_users WHERE workload=?1)"
			   " AND (?2=0 OR (anonymous AND NOT EXISTS (SELECT 1 FROM volume_users u"
			   "  WHERE u.volume=v.name AND u.workload<>?1))) ORDER BY name",
		    STORE_ARGS(STORE_TEXT(workload_id), STORE_INT(anonymous_only)), a, ret, e);
}
