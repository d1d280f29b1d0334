/* SPDX-License-Identifier: Apache-2.0 */
/*
 * system_repair(): after a crash, what the records say and what there is are brought together.
 * Safe beside other verbs: a create holds the workloads' directory shared (workload.c) while it
 * has a directory without a row, and content is swept only by who holds it alone (image/content).
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <time.h>

#include "base/auto.h"
#include "base/file.h"
#include "image/content.h"
#include "store/discard.h"
#include "store/volume.h"
#include "svc/config.h"
#include "svc/heal.h"
#include "svc/snapshot.h"
#include "svc/supervise.h"
#include "svc/system.h"
#include "sys/cgroup.h"
#include "sys/process.h"
#include "sys/tree.h"

struct mending {
	struct svc *svc;
	struct arena *a; /* of the findings */
	bool dry_run;
	struct repair found;
};

/* A finding; mended says what came of it. */
[[gnu::format(printf, 4, 5)]] static int found(struct mending *m, bool mended, struct err *e,
					       const char *fmt, ...)
{
	struct repair_finding *f = arena_push(m->a, &m->found.v, &m->found.n, sizeof(*f));
	auto_buf struct buf text = BUF_INIT(4096);
	va_list ap;

	va_start(ap, fmt);
	buf_vaddf(&text, fmt, ap);
	va_end(ap);
	if (f)
		f->what = arena_strdup(m->a, buf_z(&text));
	if (!f || !f->what)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	f->mended = mended;
	return 0;
}

/* Mending one thing failed: told among the findings, the others go on. */
static int resisted(struct mending *m, const char *what, const struct err *why, struct err *e)
{
	return found(m, false, e, "%s: %s", what, why->msg);
}

static const char *verdict(const struct mending *m, const char *done)
{
	return m->dry_run ? "left as it is" : done;
}

static int check_database(struct mending *m, struct err *e)
{
	unsigned problems = 0;
	int r = store_check(m->svc->store, &problems, e);

	if (r < 0 || problems == 0)
		return r;
	return found(m, false, e,
		     "the state store is damaged: %u problems; restore it from a backup", problems);
}

/* ---- records --------------------------------------------------------------------------- */

static int mend_records(struct mending *m, struct workload_records *list, struct err *e)
{
	char boot[PROCESS_BOOT_ID_MAX];
	int r = process_boot_id(boot);

	if (r < 0)
		return err_sys(e, -r, "read this boot's id");
	r = store_workload_list(m->svc->store, 0, m->a, list, e);
	for (size_t i = 0; r >= 0 && i < list->n; i++) {
		struct workload_record *w = &list->v[i];
		bool healed = false, gone = false;
		struct err why;

		if (!heal_needed(m->svc, w, boot))
			continue;
		if (!m->dry_run && heal_record(m->svc, m->a, w, &healed, &gone, &why) < 0)
			r = resisted(m, w->name, &why, e);
		else if (m->dry_run || healed)
			r = found(m, !m->dry_run, e, "workload '%s': its shim is gone; %s", w->name,
				  verdict(m, gone ? "removed, as --rm asks" : "recorded as ended"));
	}
	return r;
}

/* What its policy wants to run and nobody stopped. A shim that lived would have seen to it. */
static bool wants_restart(const struct workload_record *w, const struct workload_config *c)
{
	const struct workload_status *st = &w->status;

	if (st->state != WORKLOAD_EXITED || st->stopped_by_user)
		return false;
	switch ((enum restart_kind) c->restart) {
	case RESTART_NO:
		return false;
	case RESTART_ON_FAILURE:
		return st->exit_code != 0 && (c->restart_max == 0 || st->restarts < c->restart_max);
	case RESTART_ALWAYS:
	case RESTART_UNLESS_STOPPED:
		return true;
	}
	return false;
}

static int restart_one(struct mending *m, const struct workload_record *w, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(4u << 20);
	struct workload_config c;
	const char *json = NULL;
	int exit_code = 0;
	struct err why;

	if (store_workload_config(m->svc->store, w->id, &a, &json, &why) < 0 ||
	    workload_config_read(&a, str_of(json), &c, &why) < 0)
		return resisted(m, w->name, &why, e);
	if (!wants_restart(w, &c))
		return 0;
	if (!m->dry_run && workload_start(m->svc, w->id, NULL, NULL, NULL, &exit_code, &why) < 0)
		return resisted(m, w->name, &why, e);
	return found(m, !m->dry_run, e, "workload '%s': its restart policy is '%s'; %s", w->name,
		     restart_kind_name(c.restart), verdict(m, "started"));
}

static int restart_wanted(struct mending *m, struct err *e)
{
	struct workload_records list;
	int r = store_workload_list(m->svc->store, 0, m->a, &list, e);

	for (size_t i = 0; r >= 0 && i < list.n; i++)
		if (list.v[i].status.state == WORKLOAD_EXITED)
			r = restart_one(m, &list.v[i], e);
	return r;
}

/* ---- cgroups --------------------------------------------------------------------------- */

/* Kill until nothing is left in it; 0, or -ETIMEDOUT. */
static int empty_cgroup(int dir_fd)
{
	nsec_t deadline = clock_deadline(10 * NSEC_PER_SEC);
	pid_t pids[64];
	size_t n = 0;

	for (;;) {
		int r = cgroup_pids(dir_fd, /* deep= */ true, pids, ARRAY_SIZE(pids), &n);

		if (r < 0 || n == 0)
			return r;
		for (size_t i = 0; i < n && i < ARRAY_SIZE(pids); i++)
			(void) kill(pids[i], SIGKILL); /* gone already is as good */
		if (clock_mono() > deadline)
			return -ETIMEDOUT;
		/* Nothing tells when a cgroup of v1 has become empty. */
		(void) nanosleep(&(struct timespec){ .tv_nsec = 2 * NSEC_PER_MSEC }, NULL);
	}
}

/* The cgroups that plan.c names after a workload which does not run. */
static int sweep_cgroups(struct mending *m, const struct cgroup_layout *l, const char *id,
			 struct err *e)
{
	char path[sizeof("atoll/") + WORKLOAD_ID_LEN];
	unsigned n = 0;
	int worst = 0;

	(void) snprintf(path, sizeof(path), "atoll/%.*s", WORKLOAD_ID_LEN, id);
	for (size_t i = 0; i < l->n; i++) {
		auto_fd int dir = cgroup_open(&l->at[i], path);
		int r;

		if (dir < 0)
			continue;
		n++;
		if (m->dry_run)
			continue;
		r = empty_cgroup(dir);
		if (r >= 0)
			r = cgroup_remove(&l->at[i], path);
		if (r < 0)
			worst = r;
	}
	if (n == 0)
		return 0;
	return found(m, !m->dry_run && worst == 0, e, "%u control groups of workload %.12s; %s", n,
		     id, worst ? "they resist" : verdict(m, "removed"));
}

/* ---- directories ----------------------------------------------------------------------- */

/* 1: the store has a row of this id, 0: it has not. */
static int has_record(struct mending *m, const char *id, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(1u << 20);
	struct workload_record w;

	if (strlen(id) != WORKLOAD_ID_LEN)
		return 0;
	if (store_workload_find(m->svc->store, id, &a, &w, e) == 0)
		return 1;
	return e->kind == ERR_NOT_FOUND ? 0 : -1;
}

static int sweep_one(struct mending *m, const struct cgroup_layout *l, const char *id,
		     struct err *e)
{
	bool killed = false;
	struct err why;

	if (!m->dry_run && (heal_leftovers(m->svc, id, NULL, &killed, &why) < 0 ||
			    store_workload_sweep(&m->svc->paths, id, &why) < 0))
		return resisted(m, id, &why, e);
	if (found(m, !m->dry_run, e, "directories of a workload without a record, %.12s; %s", id,
		  verdict(m, killed ? "ended what ran, and removed" : "removed")) < 0)
		return -1;
	return sweep_cgroups(m, l, id, e);
}

/* Directories named by id below `top` whose workload is not recorded. */
static int sweep_directories(struct mending *m, const struct cgroup_layout *l, const char *top,
			     struct err *e)
{
	auto_dir DIR *d = dir_open(AT_FDCWD, top);
	const struct dirent *entry;
	int r = 0;

	if (!d)
		return errno == ENOENT ? 0 : err_sys(e, errno, "read %s", top);
	/* Waits for creates that have made a directory and no row yet. */
	while (flock(dirfd(d), LOCK_EX) < 0)
		if (errno != EINTR)
			return err_sys(e, errno, "lock %s", top);
	while (r >= 0 && (entry = dir_next(d))) {
		r = has_record(m, entry->d_name, e);
		if (r == 0)
			r = sweep_one(m, l, entry->d_name, e);
	}
	return r;
}

static int sweep_volumes(struct mending *m, struct err *e)
{
	struct path_text top = paths_volumes(&m->svc->paths);
	auto_dir DIR *d = dir_open(AT_FDCWD, top.z);
	const struct dirent *entry;
	int r = 0;

	if (!d)
		return errno == ENOENT ? 0 : err_sys(e, errno, "read %s", top.z);
	while (r >= 0 && (entry = dir_next(d))) {
		auto_arena struct arena a = ARENA_INIT(1u << 20);
		struct volume_record v;
		struct err why;
		int gone;

		if (store_volume_find(m->svc->store, entry->d_name, &a, &v, &why) == 0)
			continue;
		if (why.kind != ERR_NOT_FOUND) {
			*e = why;
			return -1;
		}
		gone = m->dry_run ? 0 : tree_unlink(dirfd(d), entry->d_name);
		r = found(m, !m->dry_run && gone == 0, e, "data of a removed volume, '%.64s'; %s",
			  entry->d_name, gone < 0 ? "it resists" : verdict(m, "removed"));
	}
	return r;
}

/* Layers, blobs and half-written files that no record names. */
static int sweep_content(struct mending *m, struct err *e)
{
	auto_content struct content c;
	uint64_t bytes = 0;
	struct err why;

	if (m->dry_run)
		return 0;
	if (content_open(&c, m->svc->store, CONTENT_SWEEP, &why) < 0) {
		/* Somebody loads an image at this moment: its rubbish is for the next time. */
		if (why.kind == ERR_CONFLICT)
			return 0;
		*e = why;
		return -1;
	}
	if (content_sweep(&c, &bytes, e) < 0)
		return -1;
	if (bytes == 0)
		return 0;
	return found(m, true, e, "%llu bytes of layers and files without a record; removed",
		     (unsigned long long) bytes);
}

/*
 * What is left of removed workloads (store/discard.h). No finding: their shims may be at it, and
 * whoever comes second finds less to do.
 */
static void sweep_aside(struct mending *m)
{
	auto_dir DIR *d = dir_open(AT_FDCWD, paths_tmp(&m->svc->paths).z);
	const struct dirent *entry;

	while (d && !m->dry_run && (entry = dir_next(d)))
		if (strncmp(entry->d_name, PATHS_ASIDE, strlen(PATHS_ASIDE)) == 0)
			(void) tree_unlink(dirfd(d), entry->d_name);
}

static int sweep_snapshots(struct mending *m, struct err *e)
{
	size_t half = 0, pins = 0;
	int r = snapshot_sweep(m->svc, m->dry_run, &half, e);

	r = r < 0 ? r : snapshot_sweep_pins(m->svc, m->dry_run, &pins, e);
	if (r >= 0 && half)
		r = found(m, !m->dry_run, e, "%zu half-written snapshots; %s", half,
			  verdict(m, "removed"));
	if (r >= 0 && pins)
		r = found(m, !m->dry_run, e, "%zu images held for snapshots that are not there; %s",
			  pins, verdict(m, "released"));
	return r;
}

/* Whether a shim holds the workload, as it does before its first word is in the record. */
static bool has_shim(const struct mending *m, const char *id)
{
	auto_fd int dir = open(paths_run(&m->svc->paths, id).z, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return dir >= 0 && shim_alive(dir);
}

/* What is left in the cgroups of workloads that have ended. */
static int sweep_ended(struct mending *m, const struct cgroup_layout *l, struct err *e)
{
	auto_fd int held = FD_NONE;
	struct workload_records list;
	/* No start is between its look at the record and its shim while this is held. */
	int r = svc_hold(paths_runs(&m->svc->paths).z, true, &held, e);

	if (r >= 0)
		r = store_workload_list(m->svc->store, 0, m->a, &list, e);
	for (size_t i = 0; r >= 0 && i < list.n; i++)
		if (list.v[i].status.state == WORKLOAD_EXITED && !has_shim(m, list.v[i].id))
			r = sweep_cgroups(m, l, list.v[i].id, e);
	return r;
}

static int mend(struct mending *m, struct err *e)
{
	auto_cgroup_layout struct cgroup_layout l = CGROUP_LAYOUT_INIT;
	struct workload_records list;
	int r;

	if (cgroup_layout_open(&l) < 0)
		l.n = 0;
	r = check_database(m, e);
	if (r >= 0)
		r = mend_records(m, &list, e);
	if (r >= 0)
		r = sweep_ended(m, &l, e);
	if (r >= 0)
		r = sweep_directories(m, &l, paths_runs(&m->svc->paths).z, e);
	if (r >= 0)
		r = sweep_directories(m, &l, paths_workloads(&m->svc->paths).z, e);
	if (r >= 0)
		r = sweep_volumes(m, e);
	if (r >= 0)
		r = sweep_snapshots(m, e);
	sweep_aside(m);
	if (r >= 0)
		r = sweep_content(m, e);
	return r < 0 ? r : restart_wanted(m, e);
}

int system_repair(struct svc *s, bool dry_run, struct arena *a, struct repair *ret, struct err *e)
{
	struct mending m = { .svc = s, .a = a, .dry_run = dry_run };
	int r = svc_store(s, e);

	if (r >= 0)
		r = mend(&m, e);
	if (r < 0)
		return r;
	if (!dry_run)
		store_checkpoint(s->store);
	*ret = m.found;
	return 0;
}
