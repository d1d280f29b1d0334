/* SPDX-License-Identifier: Apache-2.0 */
#include "store/schema.h"

#include <errno.h>
#include <stdio.h>

#include <sqlite3.h>

#include "base/auto.h"
#include "store/store.h"

/*
 * Rows that `ps` reads are small and in one table; the configuration, which is large and read for
 * one workload at a time, has a table of its own, so that a thousand rows stay few pages.
 */
static const char step_workloads[] =
	"CREATE TABLE workloads ("
	" seq INTEGER PRIMARY KEY AUTOINCREMENT,"
	" id TEXT NOT NULL UNIQUE,"
	" name TEXT NOT NULL UNIQUE,"
	" image TEXT NOT NULL,"
	" image_id TEXT NOT NULL,"
	" isolation TEXT NOT NULL,"
	" command TEXT NOT NULL,"
	" network TEXT NOT NULL,"
	" labels TEXT,"
	" mounts TEXT,"
	" created INTEGER NOT NULL,"
	" auto_remove INTEGER NOT NULL,"
	/* from here on: the shim's half */
	" boot_id TEXT NOT NULL DEFAULT '',"
	" state INTEGER NOT NULL DEFAULT 0,"
	" health INTEGER NOT NULL DEFAULT 0,"
	" pid INTEGER NOT NULL DEFAULT 0,"
	" pid_ident INTEGER NOT NULL DEFAULT 0,"
	" shim_pid INTEGER NOT NULL DEFAULT 0,"
	" shim_ident INTEGER NOT NULL DEFAULT 0,"
	" exit_code INTEGER NOT NULL DEFAULT 0,"
	" oom_killed INTEGER NOT NULL DEFAULT 0,"
	" stopped_by_user INTEGER NOT NULL DEFAULT 0,"
	" restarts INTEGER NOT NULL DEFAULT 0,"
	" started INTEGER NOT NULL DEFAULT 0,"
	" finished INTEGER NOT NULL DEFAULT 0,"
	" error TEXT,"
	" health_log TEXT);"
	"CREATE TABLE workload_configs ("
	" id TEXT NOT NULL PRIMARY KEY REFERENCES workloads(id) ON DELETE CASCADE,"
	" json TEXT NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE events ("
	" seq INTEGER PRIMARY KEY AUTOINCREMENT,"
	" at INTEGER NOT NULL,"
	" type TEXT NOT NULL,"
	" action TEXT NOT NULL,"
	" id TEXT NOT NULL,"
	" attributes TEXT);"
	"CREATE TABLE networks ("
	" id TEXT NOT NULL PRIMARY KEY,"
	" name TEXT NOT NULL UNIQUE,"
	" driver TEXT NOT NULL,"
	" created INTEGER NOT NULL) WITHOUT ROWID;"
	/* Their ids are the SHA-256 of their names: the same on every machine. */
	"INSERT INTO networks VALUES"
	" ('140bedbf9c3f6d56a9846d2ba7088798683f4da0c248231336e6a05679e4fdfe','none','null',0),"
	" ('4740ae6347b0172c01254ff55bae5aff5199f4446e7f6d643d40185b3f475145','host','host',0);";

static const char step_volumes[] =
	"CREATE TABLE volumes ("
	" name TEXT NOT NULL PRIMARY KEY,"
	" driver TEXT NOT NULL,"
	" labels TEXT,"
	" options TEXT,"
	" created INTEGER NOT NULL,"
	" anonymous INTEGER NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE volume_users ("
	" volume TEXT NOT NULL REFERENCES volumes(name),"
	" workload TEXT NOT NULL REFERENCES workloads(id) ON DELETE CASCADE,"
	" PRIMARY KEY (volume, workload)) WITHOUT ROWID;"
	"CREATE INDEX volume_users_by_workload ON volume_users(workload);";

static const char step_images[] =
	"CREATE TABLE images ("
	" seq INTEGER PRIMARY KEY AUTOINCREMENT,"
	" id TEXT NOT NULL UNIQUE,"
	" config TEXT NOT NULL,"
	" created INTEGER NOT NULL,"
	" added INTEGER NOT NULL,"
	" size INTEGER NOT NULL,"
	" chains TEXT NOT NULL," /* hex, bottom to top, parted by blanks: what a start needs */
	" manifest TEXT);"
	"CREATE TABLE image_names ("
	" name TEXT NOT NULL PRIMARY KEY,"
	" image TEXT NOT NULL REFERENCES images(id) ON DELETE CASCADE) WITHOUT ROWID;"
	"CREATE INDEX image_names_by_image ON image_names(image);"
	"CREATE TABLE layers ("
	" chain TEXT NOT NULL PRIMARY KEY,"
	" diff TEXT NOT NULL,"
	" blob TEXT NOT NULL,"
	" media TEXT NOT NULL,"
	" blob_size INTEGER NOT NULL,"
	" size INTEGER NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE image_layers ("
	" image TEXT NOT NULL REFERENCES images(id) ON DELETE CASCADE,"
	" pos INTEGER NOT NULL,"
	" chain TEXT NOT NULL REFERENCES layers(chain),"
	" PRIMARY KEY (image, pos)) WITHOUT ROWID;"
	"CREATE INDEX image_layers_by_chain ON image_layers(chain);"
	"CREATE TABLE image_pins ("
	" owner TEXT NOT NULL,"
	" image TEXT NOT NULL REFERENCES images(id),"
	" PRIMARY KEY (owner, image)) WITHOUT ROWID;"
	"CREATE INDEX image_pins_by_image ON image_pins(image);";

/* Whether the processor of the last start's machine is a program: the shim's half. */
static const char step_emulated[] =
	"ALTER TABLE workloads ADD COLUMN emulated INTEGER NOT NULL DEFAULT 0;";

/* Where layers' blobs are known to be (store/origin.h). */
static const char step_origins[] = "CREATE TABLE layer_origins ("
				   " blob TEXT NOT NULL,"
				   " repository TEXT NOT NULL,"
				   " at INTEGER NOT NULL,"
				   " PRIMARY KEY (blob, repository)) WITHOUT ROWID;";

/* Steps of builds (store/build.h). */
static const char step_builds[] = "CREATE TABLE build_steps ("
				  " key TEXT NOT NULL PRIMARY KEY,"
				  " image TEXT NOT NULL REFERENCES images(id) ON DELETE CASCADE,"
				  " inner INTEGER NOT NULL) WITHOUT ROWID;"
				  "CREATE INDEX build_steps_by_image ON build_steps(image);";

/* To be appended to, never edited. */
static const char *const steps[] = {
	step_workloads, step_volumes, step_images, step_emulated, step_origins, step_builds,
};

const unsigned schema_version = ARRAY_SIZE(steps);

int schema_current(struct store *s, unsigned *ret_version, struct err *e)
{
	auto_stmt struct sqlite3_stmt *st = NULL;
	int r = store_prepare(s, "PRAGMA user_version", NULL, &st, e);

	if (r < 0)
		return r;
	r = store_step(s, st, e);
	if (r < 0)
		return r;
	*ret_version = (unsigned) store_int(st, 0);
	return 0;
}

int schema_migrate(struct store *s, unsigned version, struct err *e)
{
	unsigned have;
	int r = store_write(s, STORE_DURABLE, e);

	if (r < 0)
		return r;
	/* Read again now that it is our turn: another process may have done it meanwhile. */
	r = schema_current(s, &have, e);
	for (unsigned i = have; r >= 0 && i < version; i++) {
		if (sqlite3_exec(s->db, steps[i], NULL, NULL, NULL) != SQLITE_OK)
			r = store_fail(s, e, "bring the state store to its next version");
	}
	if (r >= 0 && have < version) {
		char sql[64];

		/* A pragma takes no bound parameter. */
		(void) snprintf(sql, sizeof(sql), "PRAGMA user_version=%u", version);
		if (sqlite3_exec(s->db, sql, NULL, NULL, NULL) != SQLITE_OK)
			r = store_fail(s, e, "record the state store's version");
	}
	if (r < 0) {
		store_rollback(s);
		return r;
	}
	return store_commit(s, e);
}
