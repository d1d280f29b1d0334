/* SPDX-License-Identifier: Apache-2.0 */
#include "svc/heal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>

#include "base/auto.h"
#include "engine/engine.h"
#include "store/discard.h"
#include "store/event.h"
#include "svc/running.h"
#include "sys/cgroup.h"
#include "sys/pidfd.h"
#include "sys/process.h"
#include "sys/tree.h"

#define KILL_WAIT (10 * NSEC_PER_SEC)
/* Records in a list up to which each shim is looked at exactly. */
enum { EXACT_MAX = 64 };

static bool claims_shim(const struct workload_status *st)
{
	switch (st->state) {
	case WORKLOAD_RUNNING:
	case WORKLOAD_PAUSED:
	case WORKLOAD_RESTARTING:
		return true;
	case WORKLOAD_CREATED:
	case WORKLOAD_EXITED:
	case WORKLOAD_REMOVING:
	case WORKLOAD_DEAD:
		return false;
	}
	return false;
}

static bool needs_healing(const struct workload_record *w, const char *boot_id,
			  enum process_kind *kind)
{
	if (!claims_shim(&w->status))
		return false;
	return !streq(w->boot_id, boot_id) ||
	       !process_alive_next(w->status.shim_pid, w->status.shim_ident, kind);
}

static bool lost_shim(const struct workload_record *w, const char *boot_id)
{
	enum process_kind kind = PROCESS_KIND_UNKNOWN;

	return needs_healing(w, boot_id, &kind);
}

/*
 * The same for long lists: a shim whose pid another process has got meanwhile is seen only by the
 * verbs that name the workload, and by repair.
 */
static bool heal_likely(const struct workload_record *w, const char *boot_id)
{
	return claims_shim(&w->status) &&
	       (!streq(w->boot_id, boot_id) || !process_pid_runs(w->status.shim_pid));
}

/* The process itself, where the engine left nothing to find it by. */
static bool kill_init(const struct workload_record *w)
{
	if (!w || !process_alive(w->status.pid, w->status.pid_ident))
		return false;
	auto_fd int pidfd = pidfd_of(w->status.pid);
	/* Asked again with the descriptor held: now the pid cannot become another's. */
	if (pidfd < 0 || !process_alive(w->status.pid, w->status.pid_ident))
		return false;
	if (pidfd_kill(pidfd, SIGKILL) < 0)
		return false;
	return pidfd_poll(pidfd, clock_deadline(KILL_WAIT)) > 0;
}

/* By what the engine saved in the run directory: kills, removes cgroups. */
static bool destroy_instance(int state_fd, const struct workload_record *w)
{
	const struct engine_ops *ops = engine_find(w ? w->isolation : "container");
	struct engine_caps caps = { .usable = true, .caps = ~0u };
	struct err ignored;

	if (!ops)
		return false;
	struct instance *in = instance_new(ops, &caps);
	if (!in)
		return false;
	if (engine_load(in, state_fd, &ignored) < 0) {
		instance_free(in); /* nothing was loaded: only the memory */
		return false;
	}
	bool ran = in->state == ENGINE_RUNNING || in->state == ENGINE_PAUSED ||
		   in->state == ENGINE_CREATED;
	instance_free(in); /* destroys: nothing of it can run any more */
	return ran;
}

/*
 * The cgroups by their usual place, where the engine's own notes are lost (an emptied run
 * directory). What still runs in them is ended.
 */
static bool sweep_groups(const char *id)
{
	auto_cgroup_layout struct cgroup_layout l = CGROUP_LAYOUT_INIT;
	char path[CGROUP_PATH_MAX];
	bool killed = false;

	if (cgroup_layout_open(&l) < 0)
		return false; /* no cgroups here, none left */
	(void) snprintf(path, sizeof(path), "atoll/%s", id);
	for (size_t i = 0; i < l.n; i++) {
		auto_fd int group = cgroup_open(&l.at[i], path);
		pid_t pids[64];
		size_t n = 0;

		if (group < 0)
			continue;
		nsec_t deadline = clock_deadline(KILL_WAIT);
		while (cgroup_pids(group, true, pids, ARRAY_SIZE(pids), &n) >= 0 && n > 0 &&
		       clock_mono() < deadline) {
			for (size_t k = 0; k < n && k < ARRAY_SIZE(pids); k++) {
				auto_fd int pidfd = pidfd_of(pids[k]);

				if (pidfd < 0 || pidfd_kill(pidfd, SIGKILL) < 0)
					continue;
				killed = true;
				/* Late ones are seen again by the next look. */
				(void) pidfd_poll(pidfd, deadline);
			}
		}
		(void) cgroup_remove(&l.at[i], path); /* system repair tries again */
	}
	return killed;
}

bool heal_instance(int state_fd, const struct workload_record *record)
{
	return destroy_instance(state_fd, record);
}

int heal_leftovers(struct svc *s, const char *id, const struct workload_record *record,
		   bool *ret_killed, struct err *e)
{
	struct path_text runs = paths_runs(&s->paths);
	auto_fd int runs_fd = open(runs.z, O_PATH | O_DIRECTORY | O_CLOEXEC);
	auto_fd int state_fd =
		runs_fd < 0 ? FD_NONE
			    : openat(runs_fd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	*ret_killed = false;
	if (state_fd >= 0)
		*ret_killed = destroy_instance(state_fd, record);
	if (kill_init(record))
		*ret_killed = true;
	/* A run directory outlives only a shim that was killed: perhaps before it noted its
	 * cgroups. */
	if ((state_fd >= 0 || !record || claims_shim(&record->status)) && sweep_groups(id))
		*ret_killed = true;
	if (state_fd < 0)
		return 0;
	int r = tree_unlink(runs_fd, id);
	return r < 0 ? err_sys(e, -r, "remove '%s/%s'", runs.z, id) : 0;
}

/* In a write: the record as it is now, for what two healers or a shim's last word changed. */
static int write_end(struct svc *s, struct arena *a, struct workload_record *w, const char *boot,
		     bool orphan, bool killed, bool *ret_changed, struct err *e)
{
	auto_buf struct buf attributes = BUF_INIT(64u << 10);
	int r = store_workload_find(s->store, w->id, a, w, e);

	*ret_changed = false;
	if (r < 0 || (orphan ? claims_shim(&w->status) : !lost_shim(w, boot)))
		return r;
	struct workload_status st = w->status;
	st.state = WORKLOAD_EXITED;
	st.health = HEALTH_NONE;
	st.pid = 0;
	st.pid_ident = 0;
	st.shim_pid = 0;
	st.shim_ident = 0;
	/* What it would have exited with nobody knows: 137 when it was ended here, else docker's.
	 */
	st.exit_code = killed ? 128 + SIGKILL : 255;
	st.finished = clock_wall();
	st.error = "its shim was killed or the machine went down; healed";
	event_attributes(&attributes, w->name, w->image, w->labels);
	r = store_workload_set_status(s->store, w->id, &st, "die", buf_z(&attributes), e);
	if (r < 0)
		return r;
	w->status = st;
	*ret_changed = true;
	return 0;
}

/*
 * A shim that was killed before its first word: the record says that nothing runs, but an instance
 * lies in the run directory and no shim holds it.
 */
static bool is_orphan(const struct svc *s, const struct workload_record *w)
{
	auto_fd int dir = FD_NONE;

	if (claims_shim(&w->status))
		return false;
	dir = running_state_dir(s, w->id);
	return dir >= 0 && faccessat(dir, "instance.json", F_OK, 0) == 0 && !shim_alive(dir);
}

bool heal_needed(const struct svc *s, const struct workload_record *w, const char *boot_id)
{
	return is_orphan(s, w) || lost_shim(w, boot_id);
}

int heal_record(struct svc *s, struct arena *a, struct workload_record *w, bool *ret_healed,
		bool *ret_gone, struct err *e)
{
	char boot[PROCESS_BOOT_ID_MAX];
	bool killed = false, changed = false;
	int r = process_boot_id(boot);

	*ret_healed = *ret_gone = false;
	if (r < 0)
		return err_sys(e, -r, "read this boot's id");
	if (!heal_needed(s, w, boot))
		return 0;
	/* Its last word may have come between our reading and its end. */
	r = store_workload_find(s->store, w->id, a, w, e);
	if (r < 0) {
		*ret_gone = e->kind == ERR_NOT_FOUND;
		return *ret_gone ? 0 : r;
	}
	bool orphan = is_orphan(s, w);
	if (!orphan && !lost_shim(w, boot))
		return 0;
	r = heal_leftovers(s, w->id, w, &killed, e);
	if (r >= 0)
		r = store_write(s->store, STORE_DURABLE, e);
	if (r < 0)
		return err_ctx(e, "heal workload '%s', whose shim is gone", w->name);
	r = write_end(s, a, w, boot, orphan, killed, &changed, e);
	if (r < 0) {
		store_rollback(s->store);
		return err_ctx(e, "heal workload '%s', whose shim is gone", w->name);
	}
	r = store_commit(s->store, e);
	if (r < 0)
		return err_ctx(e, "heal workload '%s', whose shim is gone", w->name);
	if (!changed)
		return 0;
	*ret_healed = true;
	svc_notice(s, "workload '%s': its shim was gone; %s, the record is healed", w->name,
		   killed ? "what still ran of it was ended" : "nothing of it runs any more");
	if (w->auto_remove) {
		*ret_gone = true;
		return store_workload_discard(s->store, w->id, true, STORE_DURABLE, e);
	}
	return 0;
}

/*
 * A foreground run is recorded only when it has lasted (it has acknowledged nothing): until then
 * the record says that nothing runs, and the shim knows better.
 */
static void ask_shim(struct svc *s, struct workload_record *w)
{
	auto_shim_conn struct shim_conn conn = SHIM_CONN_NONE;
	auto_fd int dir = running_state_dir(s, w->id);
	struct shim_status now;
	struct err ignored;

	if (dir < 0 || !shim_alive(dir) || shim_connect(dir, &conn, &ignored) < 0 ||
	    supervise_status(&conn, &now, &ignored) < 0)
		return;
	if (now.restarting)
		w->status.state = WORKLOAD_RESTARTING;
	else if (now.state == ENGINE_PAUSED)
		w->status.state = WORKLOAD_PAUSED;
	else if (now.state == ENGINE_RUNNING)
		w->status.state = WORKLOAD_RUNNING;
	else
		return; /* not started yet, or ended and about to say so */
	w->status.pid = (pid_t) now.pid;
	w->status.shim_pid = (pid_t) now.shim_pid;
	if (process_ident(w->status.shim_pid, &w->status.shim_ident) < 0)
		w->status.shim_ident = 0;
	if (w->status.pid == 0 || process_ident(w->status.pid, &w->status.pid_ident) < 0)
		w->status.pid_ident = 0;
}

int heal_find(struct svc *s, const char *ref, struct arena *a, struct workload_record *ret,
	      struct err *e)
{
	bool healed, gone;
	int r = svc_store(s, e);

	if (r >= 0)
		r = store_workload_find(s->store, ref, a, ret, e);
	if (r < 0)
		return r;
	if (!claims_shim(&ret->status) && !is_orphan(s, ret)) {
		ask_shim(s, ret);
		return 0;
	}
	/* A store that cannot be written is still worth reading. */
	if (s->store->read_only)
		return 0;
	r = heal_record(s, a, ret, &healed, &gone, e);
	if (r >= 0 && gone)
		return err_set(e, ERR_NOT_FOUND, ENOENT, "no such workload: %s", ref);
	return r;
}

int heal_list(struct svc *s, unsigned what, struct arena *a, struct workload_records *ret,
	      struct err *e)
{
	char boot[PROCESS_BOOT_ID_MAX];
	struct workload_records list;
	enum process_kind kind = PROCESS_KIND_UNKNOWN;
	size_t kept = 0;
	int r = svc_store(s, e);

	if (r >= 0)
		r = store_workload_list(s->store, what, a, &list, e);
	if (r < 0)
		return r;
	r = process_boot_id(boot);
	if (r < 0)
		return err_sys(e, -r, "read this boot's id");
	for (size_t i = 0; i < list.n; i++) {
		bool healed = false, gone = false;

		bool needed = list.n > EXACT_MAX ? heal_likely(&list.v[i], boot)
						 : needs_healing(&list.v[i], boot, &kind) ||
							   is_orphan(s, &list.v[i]);

		if (needed && !s->store->read_only) {
			struct err why;

			/* One that cannot be mended must not hide the others. */
			if (heal_record(s, a, &list.v[i], &healed, &gone, &why) < 0)
				svc_notice(s, "%s", why.msg);
		}
		if (gone || ((what & WORKLOAD_LIST_RUNNING) && !claims_shim(&list.v[i].status)))
			continue;
		list.v[kept++] = list.v[i];
	}
	list.n = kept;
	*ret = list;
	return 0;
}
