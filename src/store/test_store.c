/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sqlite3.h>

#include "base/auto.h"
#include "base/test.h"
#include "store/event.h"
#include "store/image.h"
#include "store/network.h"
#include "store/origin.h"
#include "store/schema.h"
#include "store/volume.h"
#include "store/workload.h"
#include "sys/process.h"
#include "sys/tree.h"

static struct paths paths;
static struct err e;

static const char *id_of(unsigned n, char ret[static WORKLOAD_ID_MAX])
{
	(void) snprintf(ret, WORKLOAD_ID_MAX, "%08x%056x", n * 2654435761u, n);
	return ret;
}

static int add(struct store *s, unsigned n, const char *name)
{
	char id[WORKLOAD_ID_MAX];
	struct workload_record w = {
		.id = id_of(n, id),
		.name = name,
		.image = "debian:latest",
		.image_id = "sha256:00",
		.isolation = "container",
		.command = "sleep 1",
		.network = "none",
		.labels = "{\"a\":\"b\"}",
		.created = clock_wall(),
	};
	int r = store_write(s, STORE_RELAXED, &e);

	if (r < 0)
		return r;
	r = store_workload_add(s, &w, "{\"image\":\"debian\"}", &e);
	if (r < 0) {
		struct err kept = e;

		store_rollback(s);
		e = kept;
		return r;
	}
	return store_commit(s, &e);
}

static void test_records(void)
{
	auto_arena struct arena a = ARENA_INIT(8u << 20);
	auto_store struct store *s = NULL;
	char id[WORKLOAD_ID_MAX], other[WORKLOAD_ID_MAX];
	struct workload_record w;
	const char *json;

	CHECK(store_open(&paths, &s, &e) == 0);
	CHECK(add(s, 1, "one") == 0);
	CHECK(add(s, 2, "two") == 0);
	CHECK(add(s, 3, "one") < 0 && e.kind == ERR_CONFLICT);
	CHECK(strstr(e.msg, "'one' is in use by workload") != NULL);
	CHECK(store_workload_find(s, "one", &a, &w, &e) == 0);
	CHECK_STR(w.id, id_of(1, id));
	CHECK(w.status.state == WORKLOAD_CREATED && w.seq > 0);
	CHECK(store_workload_find(s, "/two", &a, &w, &e) == 0);
	CHECK(store_workload_find(s, id, &a, &w, &e) == 0);
	id[5] = '\0';
	CHECK(store_workload_find(s, id, &a, &w, &e) == 0);
	CHECK_STR(w.name, "one");
	CHECK(store_workload_find(s, "three", &a, &w, &e) < 0 && e.kind == ERR_NOT_FOUND);
	CHECK(store_workload_find(s, "", &a, &w, &e) < 0 && e.kind == ERR_NOT_FOUND);
	CHECK(store_workload_find(s, "%", &a, &w, &e) < 0 && e.kind == ERR_NOT_FOUND);
	CHECK(store_workload_config(s, id_of(1, id), &a, &json, &e) == 0);
	CHECK_STR(json, "{\"image\":\"debian\"}");

	/* A name that looks like an id wins over a prefix, never over a whole id. */
	CHECK(add(s, 4, "abcdef") == 0);
	CHECK(store_workload_find(s, "abcdef", &a, &w, &e) == 0);

	struct workload_status st = { .state = WORKLOAD_EXITED, .exit_code = 3, .finished = 7 };
	CHECK(store_write(s, STORE_DURABLE, &e) == 0);
	CHECK(store_workload_set_status(s, id, &st, "die", "{}", &e) == 0);
	CHECK(store_workload_rename(s, id, "two", &e) < 0 && e.kind == ERR_CONFLICT);
	CHECK(store_workload_rename(s, id, "uno", &e) == 0);
	CHECK(store_workload_set_status(s, id_of(77, other), &st, NULL, NULL, &e) < 0 &&
	      e.kind == ERR_NOT_FOUND);
	CHECK(store_commit(s, &e) == 0);
	CHECK(store_workload_find(s, "uno", &a, &w, &e) == 0);
	CHECK(w.status.state == WORKLOAD_EXITED && w.status.exit_code == 3 &&
	      w.status.finished == 7);

	/* Nested: an inner failure undoes all. */
	CHECK(store_write(s, STORE_RELAXED, &e) == 0);
	CHECK(store_workload_rename(s, id, "lost", &e) == 0);
	CHECK(store_write(s, STORE_RELAXED, &e) == 0);
	store_rollback(s);
	CHECK(store_commit(s, &e) < 0);
	CHECK(store_workload_find(s, "lost", &a, &w, &e) < 0);

	struct network_record n;
	CHECK(store_network_find(s, "host", &a, &n, &e) == 0);
	CHECK_STR(n.driver, "host");
	CHECK(store_network_find(s, "bridge", &a, &n, &e) < 0 && e.kind == ERR_NOT_FOUND);
}

static void test_volumes(void)
{
	auto_arena struct arena a = ARENA_INIT(8u << 20);
	auto_store struct store *s = NULL;
	char id[WORKLOAD_ID_MAX], id2[WORKLOAD_ID_MAX];
	struct volume_records list;
	bool made, found;

	CHECK(store_open(&paths, &s, &e) == 0);
	CHECK(store_write(s, STORE_RELAXED, &e) == 0);
	CHECK(store_volume_add(s, &(struct volume_record){ .name = "v", .driver = "local" }, &made,
			       &e) == 0 &&
	      made);
	CHECK(store_volume_add(s, &(struct volume_record){ .name = "v", .driver = "local" }, &made,
			       &e) == 0 &&
	      !made);
	CHECK(store_volume_add(s,
			       &(struct volume_record){
				       .name = "anon", .driver = "local", .anonymous = true },
			       &made, &e) == 0);
	CHECK(store_volume_use(s, "v", id_of(1, id), &e) == 0);
	CHECK(store_volume_use(s, "anon", id, &e) == 0);
	CHECK(store_volume_use(s, "anon", id_of(2, id2), &e) == 0);
	CHECK(store_volume_remove(s, "v", &e) < 0 && e.kind == ERR_CONFLICT);
	CHECK(store_volume_of(s, id, true, &a, &list, &e) == 0 && list.n == 0);
	CHECK(store_workload_remove(s, id2, NULL, &found, &e) == 0 && found);
	CHECK(store_volume_of(s, id, true, &a, &list, &e) == 0 && list.n == 1);
	CHECK(store_volume_of(s, id, false, &a, &list, &e) == 0 && list.n == 2);
	CHECK(store_workload_remove(s, id, NULL, &found, &e) == 0 && found);
	CHECK(store_volume_remove(s, "v", &e) == 0);
	CHECK(store_volume_remove(s, "v", &e) < 0 && e.kind == ERR_NOT_FOUND);
	CHECK(store_commit(s, &e) == 0);
	CHECK(store_volume_list(s, &a, &list, &e) == 0 && list.n == 1);
}

/* Processes that all want to write at once, and to make the database: each gets its turn. */
static void test_racers(void)
{
	pid_t pids[32];

	for (unsigned i = 0; i < 32; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			auto_store struct store *s = NULL;
			char name[16];

			(void) snprintf(name, sizeof(name), "racer-%u", i);
			int r = store_open(&paths, &s, &e);
			if (r >= 0)
				r = add(s, 1000 + i, name);
			if (r >= 0 && add(s, 2000 + i, "the-one") < 0 && e.kind != ERR_CONFLICT)
				r = -1;
			if (r < 0)
				(void) fprintf(stderr, "racer: %s\n", e.msg);
			_exit(r < 0 ? 1 : 0);
		}
	}
	for (unsigned i = 0; i < 32; i++) {
		int status = 0;

		CHECK(waitpid(pids[i], &status, 0) == pids[i] && status == 0);
	}
	auto_arena struct arena a = ARENA_INIT(8u << 20);
	auto_store struct store *s = NULL;
	struct workload_records list;
	unsigned ones = 0, racers = 0;
	CHECK(store_open(&paths, &s, &e) == 0);
	CHECK(store_workload_list(s, 0, &a, &list, &e) == 0);
	for (size_t i = 0; i < list.n; i++) {
		ones += streq(list.v[i].name, "the-one");
		racers += strncmp(list.v[i].name, "racer-", 6) == 0;
		CHECK(i == 0 || list.v[i - 1].seq > list.v[i].seq);
	}
	CHECK(ones == 1 && racers == 32);
}

/* A store that an older atoll made, version by version, with its rows. */
static void test_migration(void)
{
	for (unsigned from = 1; from <= schema_version; from++) {
		char dir[] = "/tmp/test_store.XXXXXX";
		auto_arena struct arena a = ARENA_INIT(1u << 20);
		auto_store struct store *s = NULL;
		struct volume_records list;
		struct workload_record w;
		struct paths p = { .root = "" };
		unsigned version = 0;

		CHECK(mkdtemp(dir) != NULL && paths_init(&p, dir, dir, &e) == 0);
		CHECK(paths_make(&p, &e) == 0);
		struct store old = { .paths = p, .lock_fd = FD_NONE };
		CHECK(sqlite3_open(paths_db(&p).z, &old.db) == SQLITE_OK);
		old.lock_fd = open(paths_lock(&p).z, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		CHECK(schema_migrate(&old, from, &e) == 0);
		CHECK(add(&old, 1, "old") == 0);
		CHECK(sqlite3_close(old.db) == SQLITE_OK && close(old.lock_fd) == 0);

		CHECK(store_open(&p, &s, &e) == 0);
		CHECK(schema_current(s, &version, &e) == 0 && version == schema_version);
		CHECK(store_workload_find(s, "old", &a, &w, &e) == 0);
		CHECK(store_volume_list(s, &a, &list, &e) == 0 && list.n == 0);
		/* And one of a newer program is refused, not damaged. */
		CHECK(store_run(s, "PRAGMA user_version=9999", NULL, NULL, &e) == 0);
		struct store *newer = NULL;
		CHECK(store_open(&p, &newer, &e) < 0 && e.kind == ERR_CONFLICT);
		store_close(TAKE(s));
		CHECK(tree_unlink(AT_FDCWD, dir) == 0);
	}
}

static void test_events(void)
{
	auto_arena struct arena a = ARENA_INIT(8u << 20);
	auto_store struct store *s = NULL;
	auto_buf struct buf text = BUF_INIT(4096);
	struct events list;
	int64_t last;

	event_attributes(&text, "n", "i", "{\"k\":\"v\",\"name\":\"x\"}");
	CHECK_STR(buf_z(&text), "{\"image\":\"i\",\"name\":\"n\",\"k\":\"v\"}");
	CHECK(store_open(&paths, &s, &e) == 0);
	CHECK(store_event_last(s, &last, &e) == 0 && last >= 1);
	CHECK(store_write(s, STORE_RELAXED, &e) == 0);
	for (int i = 0; i < EVENTS_KEPT + 1000; i++)
		CHECK(store_event_add(
			      s, &(struct event){ .type = "image", .action = "tag", .id = "x" },
			      &e) == 0);
	CHECK(store_commit(s, &e) == 0);
	CHECK(store_event_list(s, last, 3, &a, &list, &e) == 0 && list.n == 3);
	CHECK(list.v[0].seq < list.v[1].seq && list.v[0].at > 0);
	auto_stmt struct sqlite3_stmt *st = NULL;
	CHECK(store_prepare(s, "SELECT count(*) FROM events", NULL, &st, &e) == 0);
	CHECK(store_step(s, st, &e) == 1 && store_int(st, 0) <= EVENTS_KEPT + 256);
}

static void test_identity(void)
{
	char boot[PROCESS_BOOT_ID_MAX];
	uint64_t ident = 0, again = 0;

	CHECK(process_ident(0, &ident) == 0 && process_ident(getpid(), &again) == 0);
	CHECK(ident == again && process_alive(getpid(), ident) &&
	      !process_alive(getpid(), ident + 1));
	CHECK(process_boot_id(boot) == 0 && strlen(boot) == 36);
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	siginfo_t info;
	CHECK(waitid(P_PID, (id_t) pid, &info, WEXITED | WNOWAIT) == 0);
	CHECK(process_ident(pid, &ident) == -ESRCH); /* a zombie */
	CHECK(waitpid(pid, NULL, 0) == pid);
	CHECK(process_ident(pid, &ident) == -ESRCH && !process_alive(pid, ident));
}

static void test_origins(void)
{
	auto_arena struct arena a = ARENA_INIT(1u << 20);
	auto_store struct store *s = NULL;
	const struct digest blobs[] = { { { 1 } }, { { 2 } } }, other = { { 3 } };
	const char *name = "x";

	CHECK(store_open(&paths, &s, &e) == 0);
	CHECK(store_origin_find(s, &a, &blobs[0], "h:5/a", &name, &e) == 0 && !name);
	CHECK(store_origin_add(s, blobs, 2, "h:5/a/b", &e) == 0);
	CHECK(store_origin_add(s, blobs, 1, "h:50/c", &e) == 0);
	CHECK(store_origin_find(s, &a, &blobs[1], "h:5/a", &name, &e) == 0);
	CHECK_STR(name, "a/b");
	CHECK(store_origin_find(s, &a, &blobs[1], "h:5/a/b", &name, &e) == 0 && !name);
	CHECK(store_origin_find(s, &a, &blobs[1], "h:50/a", &name, &e) == 0 && !name);
	CHECK(store_origin_find(s, &a, &other, "h:5/a", &name, &e) == 0 && !name);
	CHECK(store_origin_add(s, blobs, 1, "h:5/d", &e) == 0);
	CHECK(store_origin_find(s, &a, &blobs[0], "h:5/a", &name, &e) == 0);
	CHECK_STR(name, "d");		      /* the latest */
	CHECK(store_layer_sweep(s, &e) == 0); /* of blobs that are not here nothing is known */
	CHECK(store_origin_find(s, &a, &blobs[0], "h:5/a", &name, &e) == 0 && !name);
}

int main(void)
{
	char dir[] = "/tmp/test_store.XXXXXX";

	CHECK(mkdtemp(dir) != NULL);
	CHECK(paths_init(&paths, dir, dir, &e) == 0);
	test_racers();
	test_records();
	test_volumes();
	test_events();
	test_migration();
	test_identity();
	test_origins();
	CHECK(tree_unlink(AT_FDCWD, dir) == 0);
	return test_done();
}
