/* SPDX-License-Identifier: Apache-2.0 */
#include "store/workload.h"

#include <errno.h>
#include <string.h>

#include "store/event.h"
#include "sys/process.h"

const char *workload_state_name(enum workload_state s)
{
	switch (s) {
	case WORKLOAD_CREATED:
		return "created";
	case WORKLOAD_RUNNING:
		return "running";
	case WORKLOAD_PAUSED:
		return "paused";
	case WORKLOAD_RESTARTING:
		return "restarting";
	case WORKLOAD_EXITED:
		return "exited";
	case WORKLOAD_REMOVING:
		return "removing";
	case WORKLOAD_DEAD:
		return "dead";
	}
	return "unknown";
}

const char *workload_health_name(enum workload_health h)
{
	switch (h) {
	case HEALTH_NONE:
		return "none";
	case HEALTH_STARTING:
		return "starting";
	case HEALTH_HEALTHY:
		return "healthy";
	case HEALTH_UNHEALTHY:
		return "unhealthy";
	}
	return "unknown";
}

/* Who holds the name or the id, for the message; "" when it cannot be told. */
static void holder_of(struct store *s, const char *name, char ret[static WORKLOAD_ID_MAX])
{
	auto_stmt struct sqlite3_stmt *st = NULL;
	struct arena a = ARENA_INIT(4096);
	struct err ignored;

	ret[0] = '\0';
	if (store_prepare(s, "SELECT id FROM workloads WHERE name=?1", STORE_ARGS(STORE_TEXT(name)),
			  &st, &ignored) >= 0 &&
	    store_step(s, st, &ignored) > 0) {
		const char *id = store_text(&a, st, 0);

		if (id && strlen(id) < WORKLOAD_ID_MAX)
			memcpy(ret, id, strlen(id) + 1);
	}
	arena_fini(&a);
}

static int name_conflict(struct store *s, const char *name, int r, struct err *e)
{
	char holder[WORKLOAD_ID_MAX];

	if (e->kind != ERR_CONFLICT)
		return r;
	holder_of(s, name, holder);
	return err_set(e, ERR_CONFLICT, EEXIST,
		       "the name '%s' is in use by workload %.12s: remove or rename that one, or "
		       "choose another name",
		       name, holder);
}

int store_workload_add(struct store *s, const struct workload_record *w, const char *config_json,
		       struct err *e)
{
	int r = store_run(s,
			  "INSERT INTO workloads(id,name,image,image_id,isolation,command,network,"
			  "labels,mounts,created,auto_remove) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,"
			  "?10,?11)",
			  STORE_ARGS(STORE_TEXT(w->id), STORE_TEXT(w->name), STORE_TEXT(w->image),
				     STORE_TEXT(w->image_id), STORE_TEXT(w->isolation),
				     STORE_TEXT(w->command), STORE_TEXT(w->network),
				     STORE_TEXT(w->labels), STORE_TEXT(w->mounts),
				     STORE_INT(w->created), STORE_INT(w->auto_remove)),
			  NULL, e);
	if (r < 0)
		return name_conflict(s, w->name, r, e);
	return store_run(s, "INSERT INTO workload_configs(id,json) VALUES(?1,?2)",
			 STORE_ARGS(STORE_TEXT(w->id), STORE_TEXT(config_json)), NULL, e);
}

static int changed_or_gone(int r, int64_t changed, const char *id, struct err *e)
{
	if (r >= 0 && changed == 0)
		return err_set(e, ERR_NOT_FOUND, ENOENT, "no such workload: %.12s", id);
	return r;
}

int store_workload_rename(struct store *s, const char *id, const char *name, struct err *e)
{
	int64_t changed = 0;
	int r = store_run(s, "UPDATE workloads SET name=?2 WHERE id=?1",
			  STORE_ARGS(STORE_TEXT(id), STORE_TEXT(name)), &changed, e);

	if (r < 0)
		return name_conflict(s, name, r, e);
	return changed_or_gone(r, changed, id, e);
}

int store_workload_set_config(struct store *s, const char *id, const char *config_json,
			      struct err *e)
{
	int64_t changed = 0;
	int r = store_run(s, "UPDATE workload_configs SET json=?2 WHERE id=?1",
			  STORE_ARGS(STORE_TEXT(id), STORE_TEXT(config_json)), &changed, e);

	return changed_or_gone(r, changed, id, e);
}

int store_workload_remove(struct store *s, const char *id, struct buf *ret_attributes,
			  bool *ret_found, struct err *e)
{
	auto_stmt struct sqlite3_stmt *st = NULL;
	auto_arena struct arena a = ARENA_INIT(1u << 20);
	const char *name, *image;
	int r = store_prepare(s, "DELETE FROM workloads WHERE id=?1 RETURNING name,image,labels",
			      STORE_ARGS(STORE_TEXT(id)), &st, e);

	if (r >= 0)
		r = store_step(s, st, e);
	if (r < 0)
		return r;
	*ret_found = r > 0;
	if (r == 0)
		return 0;
	name = store_text(&a, st, 0);
	image = store_text(&a, st, 1);
	if (!name || !image)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory reading workload records");
	if (ret_attributes)
		event_attributes(ret_attributes, name, image, store_text(&a, st, 2));
	r = store_step(s, st, e); /* to its end: only then is it done */
	return r < 0 ? r : 0;
}

int store_workload_set_status(struct store *s, const char *id, const struct workload_status *st,
			      const char *action, const char *attributes, struct err *e)
{
	char boot[PROCESS_BOOT_ID_MAX];
	int64_t changed = 0;
	int r = process_boot_id(boot);

	if (r < 0)
		return err_sys(e, -r, "read this boot's id");
	r = store_run(s,
		      "UPDATE workloads SET boot_id=?2,state=?3,health=?4,pid=?5,pid_ident=?6,"
		      "shim_pid=?7,shim_ident=?8,exit_code=?9,oom_killed=?10,stopped_by_user=?11,"
		      "restarts=?12,started=?13,finished=?14,error=?15,health_log=?16,"
		      "emulated=?17 WHERE id=?1",
		      STORE_ARGS(STORE_TEXT(id), STORE_TEXT(boot), STORE_INT(st->state),
				 STORE_INT(st->health), STORE_INT(st->pid),
				 STORE_INT(st->pid_ident), STORE_INT(st->shim_pid),
				 STORE_INT(st->shim_ident), STORE_INT(st->exit_code),
				 STORE_INT(st->oom_killed), STORE_INT(st->stopped_by_user),
				 STORE_INT(st->restarts), STORE_INT(st->started),
				 STORE_INT(st->finished), STORE_TEXT(st->error),
				 STORE_TEXT(st->health_log), STORE_INT(st->emulated)),
		      &changed, e);
	r = changed_or_gone(r, changed, id, e);
	if (r < 0 || !action)
		return r;
	return store_event_add(
		s,
		&(struct event){
			.type = "container", .action = action, .id = id, .attributes = attributes },
		e);
}

#define COLUMNS                                                                                    \
	"seq,id,name,image,image_id,isolation,command,network,labels,mounts,created,auto_remove,"  \
	"boot_id,state,health,pid,pid_ident,shim_pid,shim_ident,exit_code,oom_killed,"             \
	"stopped_by_user,restarts,started,finished,error,health_log,emulated"

static int out_of_memory(struct err *e)
{
	return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory reading workload records");
}

static int check_state(const struct workload_record *w, int64_t state, int64_t health,
		       struct err *e)
{
	if (state < 0 || state > WORKLOAD_DEAD || health < 0 || health > HEALTH_UNHEALTHY)
		return err_set(e, ERR_INTERNAL, EUCLEAN,
			       "the record of workload %.12s is of no known state", w->id);
	return 0;
}

static int record_of(struct arena *a, struct sqlite3_stmt *st, struct workload_record *ret,
		     struct err *e)
{
	int64_t state = store_int(st, 13), health = store_int(st, 14);

	*ret = (struct workload_record){
		.seq = store_int(st, 0),
		.id = store_text(a, st, 1),
		.name = store_text(a, st, 2),
		.image = store_text(a, st, 3),
		.image_id = store_text(a, st, 4),
		.isolation = store_text(a, st, 5),
		.command = store_text(a, st, 6),
		.network = store_text(a, st, 7),
		.labels = store_text(a, st, 8),
		.mounts = store_text(a, st, 9),
		.created = store_int(st, 10),
		.auto_remove = store_int(st, 11) != 0,
		.boot_id = store_text(a, st, 12),
		.status = {
			.state = (enum workload_state) state,
			.health = (enum workload_health) health,
			.pid = (pid_t) store_int(st, 15),
			.pid_ident = (uint64_t) store_int(st, 16),
			.shim_pid = (pid_t) store_int(st, 17),
			.shim_ident = (uint64_t) store_int(st, 18),
			.exit_code = (int) store_int(st, 19),
			.oom_killed = store_int(st, 20) != 0,
			.stopped_by_user = store_int(st, 21) != 0,
			.restarts = (uint32_t) store_int(st, 22),
			.started = store_int(st, 23),
			.finished = store_int(st, 24),
			.error = store_text(a, st, 25),
			.health_log = store_text(a, st, 26),
			.emulated = store_int(st, 27) != 0,
		},
	};
	if (!ret->id || !ret->name || !ret->image || !ret->image_id || !ret->isolation ||
	    !ret->command || !ret->network || !ret->boot_id)
		return out_of_memory(e);
	return check_state(ret, state, health, e);
}

/* One row by a query; 1 found, 0 not. */
static int find_one(struct store *s, const char *sql, const char *text, const char *high,
		    struct arena *a, struct workload_record *ret, struct err *e)
{
	auto_stmt struct sqlite3_stmt *st = NULL;
	int r = high ? store_prepare(s, sql, STORE_ARGS(STORE_TEXT(text), STORE_TEXT(high)), &st, e)
		     : store_prepare(s, sql, STORE_ARGS(STORE_TEXT(text)), &st, e);

	if (r >= 0)
		r = store_step(s, st, e);
	if (r <= 0)
		return r;
	r = record_of(a, st, ret, e);
	if (r < 0)
		return r;
	r = store_step(s, st, e);
	if (r > 0)
		return err_set(e, ERR_CONFLICT, EEXIST,
			       "'%s' begins the ids of several workloads: give more digits", text);
	return r < 0 ? r : 1;
}

static bool is_hex(const char *z)
{
	return *z && z[strspn(z, "0123456789abcdef")] == '\0';
}

int store_workload_find(struct store *s, const char *ref, struct arena *a,
			struct workload_record *ret, struct err *e)
{
	size_t n = strlen(ref);
	int r = 0;

	if (n == WORKLOAD_ID_LEN && is_hex(ref))
		r = find_one(s, "SELECT " COLUMNS " FROM workloads WHERE id=?1", ref, NULL, a, ret,
			     e);
	if (r == 0)
		r = find_one(s, "SELECT " COLUMNS " FROM workloads WHERE name=?1",
			     ref[0] == '/' ? ref + 1 : ref, NULL, a, ret, e);
	if (r == 0 && n < WORKLOAD_ID_LEN && is_hex(ref)) {
		char high[WORKLOAD_ID_MAX + 1];

		/* A range instead of LIKE: it uses the index. 'g' is past every hex digit. */
		memcpy(high, ref, n);
		high[n] = 'g';
		high[n + 1] = '\0';
		r = find_one(s, "SELECT " COLUMNS " FROM workloads WHERE id>=?1 AND id<?2 LIMIT 2",
			     ref, high, a, ret, e);
	}
	if (r == 0)
		return err_set(e, ERR_NOT_FOUND, ENOENT, "no such workload: %s", ref);
	return r < 0 ? r : 0;
}

int store_workload_config(struct store *s, const char *id, struct arena *a, const char **ret_json,
			  struct err *e)
{
	auto_stmt struct sqlite3_stmt *st = NULL;
	int r = store_prepare(s, "SELECT json FROM workload_configs WHERE id=?1",
			      STORE_ARGS(STORE_TEXT(id)), &st, e);

	if (r >= 0)
		r = store_step(s, st, e);
	if (r < 0)
		return r;
	if (r == 0)
		return err_set(e, ERR_NOT_FOUND, ENOENT, "no such workload: %.12s", id);
	const char *json = store_text(a, st, 0);
	if (!json)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory reading a configuration");
	*ret_json = json;
	return 0;
}

/* What it takes to say that it is there and whether its shim is. */
#define BRIEF_COLUMNS "seq,id,name,boot_id,state,shim_pid,shim_ident"

static int brief_of(struct arena *a, struct sqlite3_stmt *st, struct workload_record *ret,
		    struct err *e)
{
	int64_t state = store_int(st, 4);

	*ret = (struct workload_record){
		.seq = store_int(st, 0),
		.id = store_text(a, st, 1),
		.name = store_text(a, st, 2),
		.image = "",
		.image_id = "",
		.isolation = "",
		.command = "",
		.network = "",
		.boot_id = store_text(a, st, 3),
		.status = {
			.state = (enum workload_state) state,
			.shim_pid = (pid_t) store_int(st, 5),
			.shim_ident = (uint64_t) store_int(st, 6),
		},
	};
	if (!ret->id || !ret->name || !ret->boot_id)
		return out_of_memory(e);
	return check_state(ret, state, 0, e);
}

/* 1, 2, 3: RUNNING, PAUSED, RESTARTING; written on disk, so never renumbered. */
#define LIST(columns, where) "SELECT " columns " FROM workloads" where " ORDER BY seq DESC"
#define RUNNING		     " WHERE state IN (1,2,3)"

int store_workload_list(struct store *s, unsigned what, struct arena *a,
			struct workload_records *ret, struct err *e)
{
	auto_stmt struct sqlite3_stmt *st = NULL;
	bool running = what & WORKLOAD_LIST_RUNNING, brief = what & WORKLOAD_LIST_BRIEF;
	struct workload_records got = {};
	const char *sql = running && brief ? LIST(BRIEF_COLUMNS, RUNNING)
			  : running	   ? LIST(COLUMNS, RUNNING)
			  : brief	   ? LIST(BRIEF_COLUMNS, "")
					   : LIST(COLUMNS, "");
	int r = store_prepare(s, sql, NULL, &st, e);

	while (r >= 0 && (r = store_step(s, st, e)) > 0) {
		struct workload_record *w = arena_push(a, &got.v, &got.n, sizeof(*w));

		if (!w)
			return out_of_memory(e);
		r = brief ? brief_of(a, st, w, e) : record_of(a, st, w, e);
	}
	if (r < 0)
		return r;
	*ret = got;
	return 0;
}
