/* SPDX-License-Identifier: Apache-2.0 */
/* Starting a workload, and asking its shim for what the other verbs of its life mean. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/auto.h"
#include "image/resolve.h"
#include "store/event.h"
#include "svc/ahead.h"
#include "svc/attach.h"
#include "svc/bundle.h"
#include "svc/bundle_parts.h"
#include "svc/checkpoint.h"
#include "svc/events.h"
#include "svc/heal.h"
#include "svc/logs.h"
#include "svc/plan.h"
#include "svc/snapshot.h"
#include "svc/supervise.h"
#include "svc/workload.h"
#include "sys/spawn.h"

#define LAST_SHIM_WITHIN (10 * NSEC_PER_SEC)

static int no_memory(struct err *e)
{
	return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
}

static int load(struct svc *s, const char *ref, struct arena *a, struct workload_record *w,
		struct workload_config *c, struct err *e)
{
	const char *json;
	int r = heal_find(s, ref, a, w, e);

	if (r >= 0)
		r = store_workload_config(s->store, w->id, a, &json, e);
	return r < 0 ? r : workload_config_read(a, str_of(json), c, e);
}

static int open_state(struct svc *s, const char *id, bool make, struct err *e)
{
	struct path_text path = paths_run(&s->paths, id);

	if (make && mkdir(path.z, 0700) < 0 && errno != EEXIST) {
		/* /run is emptied by a reboot. */
		if (errno != ENOENT)
			return err_sys(e, errno, "make '%s'", path.z);
		int r = paths_make(&s->paths, e);
		if (r < 0)
			return r;
		if (mkdir(path.z, 0700) < 0)
			return err_sys(e, errno, "make '%s'", path.z);
	}
	int fd = open(path.z, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? err_sys(e, errno, "open '%s'", path.z) : fd;
}

/* ---- start ------------------------------------------------------------------------------ */

/* The user's health check, with the image's for what he left open. test: argv, NULL: none. */
static int health_of(const struct workload_config *c, const struct plan_image *image,
		     struct arena *a, struct shim_health *ret, struct err *e)
{
	const struct health_config *mine = &c->health, *its = &image->health;
	const struct health_config *from = mine->test_n ? mine : its;
	struct shim_health h = {};

	*ret = h;
	if (c->no_healthcheck || from->test_n == 0 || streq(from->test[0], "NONE"))
		return 0;
	const char **argv = arena_array(a, from->test_n + 3, sizeof(*argv));
	if (!argv)
		return no_memory(e);
	size_t n = 0;
	if (streq(from->test[0], "CMD-SHELL")) {
		argv[n++] = "/bin/sh";
		argv[n++] = "-c";
	} else if (!streq(from->test[0], "CMD")) {
		return err_set(e, ERR_INVALID, EINVAL,
			       "health check: it begins with '%s', not with CMD, CMD-SHELL or NONE",
			       from->test[0]);
	}
	for (size_t i = 1; i < from->test_n; i++)
		argv[n++] = from->test[i];
	h.test = (struct field_strings){ argv, n };
	h.interval_ns = (uint64_t) (mine->interval_ns ? mine->interval_ns : its->interval_ns);
	h.timeout_ns = (uint64_t) (mine->timeout_ns ? mine->timeout_ns : its->timeout_ns);
	h.start_period_ns = (uint64_t) (mine->start_period_ns ? mine->start_period_ns
							      : its->start_period_ns);
	h.retries = mine->retries ? mine->retries : its->retries;
	if (n > 0)
		*ret = h;
	return 0;
}

static enum shim_restart shim_restart_of(uint32_t kind)
{
	switch ((enum restart_kind) kind) {
	case RESTART_NO:
		return SHIM_RESTART_NO;
	case RESTART_ON_FAILURE:
		return SHIM_RESTART_ON_FAILURE;
	case RESTART_ALWAYS:
		return SHIM_RESTART_ALWAYS;
	case RESTART_UNLESS_STOPPED:
		return SHIM_RESTART_UNLESS_STOPPED;
	}
	return SHIM_RESTART_NO;
}

static int message_of(struct svc *s, const struct workload_record *w,
		      const struct workload_config *c, const struct plan_image *image,
		      const struct attach_options *attach, struct arena *a, struct shim_create *ret,
		      struct err *e)
{
	struct shim_create m = shim_msg_of(SHIM_CREATE).create;
	const char *stop = c->stop_signal ? c->stop_signal : image->stop_signal;
	struct logs_config logs;
	int signo = 0;
	int r = logs_configure(c->log_driver, c->log_options, c->log_options_n, &logs, e);

	if (r >= 0 && stop && *stop)
		r = config_parse_signal(stop, &signo, e);
	if (r >= 0)
		r = health_of(c, image, a, &m.health, e);
	if (r < 0)
		return r;
	m.id = w->id;
	m.name = w->name;
	m.image = w->image;
	m.root = s->paths.root;
	m.state = s->paths.state;
	m.isolation = w->isolation;
	m.attach = attach != NULL;
	m.stdin_open = c->open_stdin;
	m.stdin_once = c->stdin_once;
	m.auto_remove = c->auto_remove;
	m.acknowledged = !attach;
	m.records = attach && c->auto_remove;
	m.stop_signal = (uint64_t) signo;
	/* 0 on the wire is "the default"; a timeout of nothing is the shortest there is. */
	m.stop_timeout_ns = c->stop_timeout_s < 0    ? 0
			    : c->stop_timeout_s == 0 ? 1
						     : (uint64_t) c->stop_timeout_s * NSEC_PER_SEC;
	m.restart = shim_restart_of(c->restart);
	m.restart_max = c->restart_max;
	m.log_driver = logs.driver;
	m.log_max_bytes = logs.max_bytes;
	m.log_max_files = logs.max_files;
	m.log_tag = logs.tag ? logs.tag : "";
	if (attach) {
		m.rows = attach->rows;
		m.cols = attach->cols;
		for (int i = 0; i < 3; i++)
			m.sink[i] = attach->sink[i];
	}
	*ret = m;
	return 0;
}

/* A start that failed before a shim could say so: the record tells why it does not run. */
static void record_failure(struct svc *s, const struct workload_record *w, int exit_code,
			   const struct err *why)
{
	auto_arena struct arena a = ARENA_INIT(4u << 20);
	struct workload_record now;
	struct err ignored;

	/* The failure is being told already; where even this cannot be written, nothing is lost. */
	if (store_write(s->store, STORE_RELAXED, &ignored) < 0)
		return;
	if (store_workload_find(s->store, w->id, &a, &now, &ignored) < 0 ||
	    now.status.shim_pid != 0) {
		store_rollback(s->store);
		return;
	}
	struct workload_status st = now.status;
	st.exit_code = exit_code;
	st.error = why->msg;
	if (st.state != WORKLOAD_EXITED)
		st.state = WORKLOAD_CREATED;
	if (store_workload_set_status(s->store, w->id, &st, NULL, NULL, &ignored) < 0)
		store_rollback(s->store);
	else
		(void) store_commit(s->store, &ignored);
}

/*
 * One start of a workload at a time: its root and files are prepared in the same places. The turn
 * ends with *ret_turn; the shim does not inherit it.
 */
static int take_turn(int state_fd, const struct workload_record *w, int *ret_turn, struct err *e)
{
	auto_fd int fd = openat(state_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	while (fd >= 0 && flock(fd, LOCK_EX) < 0)
		if (errno != EINTR)
			return err_sys(e, errno, "wait for another start of '%s'", w->name);
	if (fd < 0)
		return err_sys(e, errno, "open the run directory of '%s'", w->name);
	*ret_turn = take_fd(&fd);
	return 0;
}

/*
 * Whether it is held by a shim that runs it. The last one may be at its end: its record says so
 * already, and its lock goes in a moment; starts of others wait for the turn that we have.
 */
static bool runs_already(struct svc *s, const struct workload_record *w, int state_fd)
{
	nsec_t deadline = clock_deadline(LAST_SHIM_WITHIN);
	struct timespec nap = { .tv_nsec = NSEC_PER_MSEC };

	while (shim_alive(state_fd)) {
		auto_arena struct arena a = ARENA_INIT(4u << 20);
		struct workload_record now;
		struct err ignored;

		if (store_workload_find(s->store, w->id, &a, &now, &ignored) < 0 ||
		    now.status.shim_pid != 0 || clock_mono() > deadline)
			return true;
		(void) clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, NULL);
	}
	return false;
}

/* Our own turn, and nobody's shim: 1 when one runs already. */
static int begin_start(struct svc *s, const struct workload_record *w, int state_fd, bool ours,
		       int *ret_turn, struct err *e)
{
	int r = take_turn(state_fd, w, ret_turn, e);

	if (r < 0 || ours)
		return r;
	if (runs_already(s, w, state_fd)) /* somebody started it after we read the record */
		return 1;
	if (faccessat(state_fd, "instance.json", F_OK, 0) == 0 && heal_instance(state_fd, w))
		svc_notice(s, "workload '%s': its shim was gone; what still ran of it was ended",
			   w->name);
	return 0;
}

/* The first start is a restore. The program is the caller's: another PATH may lead to another. */
static int restore_message(const struct restore_point *from, const char *isolation, struct arena *a,
			   struct shim_create *m, struct err *e)
{
	const struct checkpoint_options *o = from->options;
	char program[SPAWN_PATH_MAX];

	int r = checkpoint_program(isolation, program, e);

	if (r < 0)
		return r;
	m->checkpoint_fd = from->dir_fd;
	m->restore.program = arena_strdup(a, program);
	m->restore.tcp_established = o->tcp_established;
	m->restore.tcp_close = o->tcp_close;
	m->restore.ext_unix_sk = o->ext_unix_sk;
	m->restore.file_locks = o->file_locks;
	return m->restore.program ? 0 : no_memory(e);
}

/* What goes on has its volumes already: they get nothing of the image, however empty they are. */
static int leave_volumes(struct workload_config *c, struct arena *a, struct err *e)
{
	struct mount_config *v = arena_array(a, c->mounts_n + 1, sizeof(*v));

	if (!v)
		return no_memory(e);
	for (size_t i = 0; i < c->mounts_n; i++) {
		v[i] = c->mounts[i];
		v[i].no_copy = true;
	}
	c->mounts = v;
	return 0;
}

/* Takes conn, with the shim that waits there. from: NULL begins at the beginning. */
static int start_with(struct svc *s, struct shim_conn *conn, const struct workload_record *w,
		      const struct workload_config *c, const struct image *im,
		      const struct restore_point *from, const struct attach_options *attach,
		      int *ret_exit_code, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(1u << 20);
	struct bundle_set bundle = BUNDLE_SET_INIT;
	struct workload_config going_on = *c;
	struct shim_create m;
	struct plan_image image;
	pid_t pid;
	int r;

	plan_image_of(im->config->config, &image);
	r = message_of(s, w, c, &image, attach, &a, &m, e);
	if (r >= 0 && from)
		r = restore_message(from, w->isolation, &a, &m, e);
	if (r >= 0 && from)
		r = leave_volumes(&going_on, &a, e);
	if (r >= 0)
		r = bundle_open(s, w, from ? &going_on : c, im, &bundle, e);
	if (r < 0)
		return r;
	m.bundle_fd = bundle.bundle_fd;
	m.root_fd = bundle.root_fd;
	m.root_disk_fd = bundle.root_disk_fd;
	m.root_upper_fd = bundle.root_upper_fd;
	r = supervise_start(conn, &m, &pid, ret_exit_code, e);
	bundle_set_fini(&bundle);
	if (r >= 0 && m.records)
		conn->keeper = s;
	return r;
}

static int start_known(struct svc *s, const struct workload_record *w,
		       const struct workload_config *c, const struct restore_point *from,
		       const struct attach_options *attach, struct shim_conn *ret_conn,
		       int *ret_exit_code, struct err *e)
{
	auto_shim_conn struct shim_conn conn = SHIM_CONN_NONE;
	auto_image struct image *im = NULL;
	/* Until the shim holds the run directory itself. */
	auto_fd int held = FD_NONE;
	auto_fd int turn = FD_NONE;
	int r = image_resolve(s->store, w->image_id, &im, e);

	if (r < 0)
		return r;
	auto_fd int state_fd = open_state(s, w->id, true, e);
	if (state_fd < 0)
		return state_fd;
	r = begin_start(s, w, state_fd, false, &turn, e);
	if (r > 0 && !attach && !from)
		return 0;
	if (r > 0)
		return err_set(e, ERR_CONFLICT, EALREADY,
			       "workload '%s' runs already: attach to it instead", w->name);
	if (r >= 0)
		r = svc_hold(paths_runs(&s->paths).z, false, &held, e);
	if (r >= 0 && from)
		r = checkpoint_put_files(s, from, w->id, e);
	if (r >= 0)
		r = ahead_spawn(state_fd, w->id, c, false, &conn, e);
	if (r >= 0)
		r = start_with(s, &conn, w, c, im, from, attach, ret_exit_code, e);
	if (r >= 0) {
		*ret_conn = conn;
		conn = SHIM_CONN_NONE;
	}
	return r;
}

/* What workload_create() has just made, with the shim that waits for it. */
static int start_ahead(struct svc *s, struct ahead *ahead, const struct attach_options *attach,
		       struct shim_conn *ret_conn, int *ret_exit_code, struct err *e)
{
	auto_fd int turn = FD_NONE;
	int r = begin_start(s, &ahead->record, ahead->state_fd, true, &turn, e);

	if (r >= 0)
		r = start_with(s, &ahead->conn, &ahead->record, &ahead->config, ahead->image, NULL,
			       attach, ret_exit_code, e);
	if (r < 0) {
		shim_conn_close(&ahead->conn); /* it ends, before anybody looks at what is left */
		return r;
	}
	*ret_conn = ahead->conn;
	ahead->conn = SHIM_CONN_NONE;
	close_fd(&ahead->held_fd); /* the shim holds the run directory itself */
	close_fd(&ahead->state_fd);
	return 0;
}

static int begun(const struct attach_options *attach, struct shim_conn *conn,
		 struct shim_conn *ret_conn)
{
	if (attach && ret_conn)
		*ret_conn = *conn;
	else
		shim_conn_close(conn);
	return 0;
}

static int begin(struct svc *s, const char *ref, struct ahead *ahead,
		 const struct restore_point *from, const struct attach_options *attach,
		 struct shim_conn *ret_conn, int *ret_exit_code, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(32u << 20);
	struct workload_record w;
	struct workload_config c;
	struct shim_conn conn = SHIM_CONN_NONE;
	int exit_code = 125, r;

	if (ahead_of(ahead, ref) && ahead->made) {
		r = start_ahead(s, ahead, attach, &conn, &exit_code, e);
		if (r >= 0)
			return begun(attach, &conn, ret_conn);
		record_failure(s, &ahead->record, exit_code, e);
		goto told;
	}
	r = load(s, ref, &a, &w, &c, e);
	if (r < 0)
		goto told;
	switch (w.status.state) {
	case WORKLOAD_RUNNING:
	case WORKLOAD_RESTARTING:
		if (!attach)
			return 0;
		r = err_set(e, ERR_CONFLICT, EALREADY,
			    "workload '%s' runs already: attach to it instead", w.name);
		goto told;
	case WORKLOAD_PAUSED:
		r = err_set(e, ERR_CONFLICT, EBUSY, "workload '%s' is paused: unpause it instead",
			    w.name);
		goto told;
	case WORKLOAD_REMOVING:
	case WORKLOAD_DEAD:
		r = err_set(e, ERR_CONFLICT, EBUSY, "workload '%s' is being removed", w.name);
		goto told;
	case WORKLOAD_CREATED:
	case WORKLOAD_EXITED:
		break;
	}
	if (!from && c.snapshot && !w.status.started)
		return snapshot_start(s, c.snapshot, w.id, attach, ret_conn, ret_exit_code, e);
	r = start_known(s, &w, &c, from, attach, &conn, &exit_code, e);
	if (r >= 0)
		return begun(attach, &conn, ret_conn);
	record_failure(s, &w, exit_code, e);

told:
	if (ret_exit_code)
		*ret_exit_code = exit_code;
	return r;
}

int workload_start(struct svc *s, const char *ref, struct ahead *ahead,
		   const struct attach_options *attach, struct shim_conn *ret_conn,
		   int *ret_exit_code, struct err *e)
{
	return begin(s, ref, ahead, NULL, attach, ret_conn, ret_exit_code, e);
}

int workload_start_from(struct svc *s, const char *ref, const struct restore_point *from,
			const struct attach_options *attach, struct shim_conn *ret_conn,
			int *ret_exit_code, struct err *e)
{
	return begin(s, ref, NULL, from, attach, ret_conn, ret_exit_code, e);
}

/* ---- asking the shim -------------------------------------------------------------------- */

/* A running workload's shim. CONFLICT when it does not run. */
static int reach(struct svc *s, const char *ref, const char *verb, struct arena *a,
		 struct workload_record *w, struct shim_conn *ret_conn, struct err *e)
{
	int r = heal_find(s, ref, a, w, e);

	if (r < 0)
		return r;
	if (w->status.shim_pid == 0)
		return err_set(e, ERR_CONFLICT, ESRCH, "cannot %s workload '%s': it is not running",
			       verb, w->name);
	auto_fd int state_fd = open_state(s, w->id, false, e);
	if (state_fd < 0)
		return state_fd;
	return shim_connect(state_fd, ret_conn, e);
}

static int tell(struct svc *s, const struct workload_record *w, const char *action, struct err *e)
{
	auto_buf struct buf attributes = BUF_INIT(64u << 10);

	event_attributes(&attributes, w->name, w->image, w->labels);
	int r = store_write(s->store, STORE_RELAXED, e);
	if (r < 0)
		return r;
	r = store_event_add(s->store,
			    &(struct event){ .type = "container",
					     .action = action,
					     .id = w->id,
					     .attributes = buf_z(&attributes) },
			    e);
	if (r < 0) {
		store_rollback(s->store);
		return r;
	}
	return store_commit(s->store, e);
}

static int stop(struct svc *s, const char *ref, int64_t timeout_s, const char *signal,
		bool restarting, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(4u << 20);
	auto_shim_conn struct shim_conn conn = SHIM_CONN_NONE;
	struct workload_record w;
	struct shim_stop m = { .restarting = restarting };
	int signo = 0;
	int r = signal ? config_parse_signal(signal, &signo, e) : 0;

	if (r >= 0)
		r = heal_find(s, ref, &a, &w, e);
	if (r < 0)
		return r;
	if (w.status.shim_pid == 0)
		return 0; /* it does not run: that is what was asked for */
	r = reach(s, w.id, "stop", &a, &w, &conn, e);
	if (r < 0)
		goto ended;
	m.signo = (uint64_t) signo;
	m.use_timeout = timeout_s >= 0;
	m.timeout_ns = timeout_s >= 0 ? (uint64_t) timeout_s * NSEC_PER_SEC : 0;
	r = supervise_stop(&conn, &m, e);
	if (r >= 0)
		return 0;
ended:;
	/* It may have ended between our look and our asking. */
	struct workload_record now;
	struct err ignored;
	if (heal_find(s, w.id, &a, &now, &ignored) < 0)
		return ignored.kind == ERR_NOT_FOUND ? 0 : r;
	return now.status.shim_pid == 0 ? 0 : r;
}

int workload_stop(struct svc *s, const char *ref, int64_t timeout_s, const char *signal,
		  struct err *e)
{
	return stop(s, ref, timeout_s, signal, false, e);
}

int workload_restart(struct svc *s, const char *ref, int64_t timeout_s, const char *signal,
		     struct err *e)
{
	int r = stop(s, ref, timeout_s, signal, true, e);

	return r < 0 ? r : workload_start(s, ref, NULL, NULL, NULL, NULL, e);
}

int workload_kill(struct svc *s, const char *ref, const char *signal, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(4u << 20);
	auto_shim_conn struct shim_conn conn = SHIM_CONN_NONE;
	struct workload_record w;
	int signo = SIGKILL;
	int r = signal && *signal ? config_parse_signal(signal, &signo, e) : 0;

	if (r >= 0)
		r = reach(s, ref, "kill", &a, &w, &conn, e);
	if (r >= 0)
		r = supervise_signal(&conn, signo, e);
	return r < 0 ? r : tell(s, &w, "kill", e);
}

int workload_pause(struct svc *s, const char *ref, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(4u << 20);
	auto_shim_conn struct shim_conn conn = SHIM_CONN_NONE;
	struct workload_record w;
	int r = reach(s, ref, "pause", &a, &w, &conn, e);

	if (r < 0)
		return r;
	if (w.status.state == WORKLOAD_PAUSED)
		return err_set(e, ERR_CONFLICT, EALREADY, "workload '%s' is paused already",
			       w.name);
	return supervise_pause(&conn, e);
}

int workload_unpause(struct svc *s, const char *ref, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(4u << 20);
	auto_shim_conn struct shim_conn conn = SHIM_CONN_NONE;
	struct workload_record w;
	int r = reach(s, ref, "unpause", &a, &w, &conn, e);

	if (r < 0)
		return r;
	if (w.status.state != WORKLOAD_PAUSED)
		return err_set(e, ERR_CONFLICT, EALREADY, "workload '%s' is not paused", w.name);
	return supervise_resume(&conn, e);
}

/* Until the record is gone; woken by the events of the store. */
static int wait_removed(struct svc *s, const char *id, struct err *e)
{
	struct event_watch watch;
	const char *const filters[] = { "type=container", "event=destroy" };
	struct events_options o = { .filters = filters, .filters_n = 2 };
	int r = event_watch_open(&watch, s, &o, e);

	if (r < 0)
		return r;
	for (;;) {
		auto_arena struct arena a = ARENA_INIT(4u << 20);
		const struct event *ev;
		struct workload_record w;

		if (store_workload_find(s->store, id, &a, &w, e) < 0) {
			r = e->kind == ERR_NOT_FOUND ? 0 : -1;
			break;
		}
		r = event_watch_next(&watch, NSEC_NEVER, &ev, e);
		if (r < 0)
			break;
	}
	event_watch_close(&watch);
	return r;
}

int workload_wait(struct svc *s, const char *ref, enum wait_for until, int *ret_code, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(4u << 20);
	auto_shim_conn struct shim_conn conn = SHIM_CONN_NONE;
	struct workload_record w;
	struct shim_exited exited = {};
	int r = heal_find(s, ref, &a, &w, e);

	if (r < 0)
		return r;
	if (w.status.shim_pid == 0) {
		if (until == WAIT_REMOVED)
			r = wait_removed(s, w.id, e);
		if (r >= 0)
			*ret_code = w.status.exit_code;
		return r;
	}
	char id[WORKLOAD_ID_MAX];
	memcpy(id, w.id, sizeof(id));
	r = reach(s, id, "wait for", &a, &w, &conn, e);
	if (r >= 0) {
		enum shim_wait_for condition = until == WAIT_NEXT_EXIT ? SHIM_WAIT_NEXT_EXIT
					       : until == WAIT_REMOVED ? SHIM_WAIT_REMOVED
								       : SHIM_WAIT_NOT_RUNNING;

		r = supervise_wait(&conn, condition, &exited, e);
	}
	if (r >= 0) {
		*ret_code = (int) exited.code;
		return 0;
	}
	/* The shim went while we asked: the record has its last word, or gets it by healing. */
	struct err why;
	if (heal_find(s, id, &a, &w, &why) < 0 || w.status.shim_pid != 0)
		return r;
	*ret_code = w.status.exit_code;
	return 0;
}

/* ---- update ----------------------------------------------------------------------------- */

/* "PATH:RATE": what is new goes before what was said of the same device. */
static int merge_rates(const char ***list, size_t *n, const char *const *more, size_t more_n,
		       struct arena *a, struct err *e)
{
	const char **all = arena_array(a, *n + more_n + 1, sizeof(*all));
	size_t all_n = 0;

	if (!all)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	for (size_t i = 0; i < *n; i++) {
		struct str rest, path = str_cut(str_of((*list)[i]), ':', &rest);
		bool again = false;

		for (size_t k = 0; k < more_n; k++)
			again = again || str_eq(path, str_cut(str_of(more[k]), ':', &rest));
		if (!again)
			all[all_n++] = (*list)[i];
	}
	for (size_t k = 0; k < more_n; k++)
		all[all_n++] = more[k];
	*list = all;
	*n = all_n;
	return 0;
}

static int merge_devices(struct resources_config *to, const struct workload_update *u,
			 struct arena *a, struct err *e)
{
	const struct resources_config *from = &u->resources;
	int r = 0;

	if (u->what & UPDATE_READ_BPS)
		r = merge_rates(&to->read_bps, &to->read_bps_n, from->read_bps, from->read_bps_n, a,
				e);
	if (r == 0 && (u->what & UPDATE_WRITE_BPS))
		r = merge_rates(&to->write_bps, &to->write_bps_n, from->write_bps,
				from->write_bps_n, a, e);
	if (r == 0 && (u->what & UPDATE_READ_IOPS))
		r = merge_rates(&to->read_iops, &to->read_iops_n, from->read_iops,
				from->read_iops_n, a, e);
	if (r == 0 && (u->what & UPDATE_WRITE_IOPS))
		r = merge_rates(&to->write_iops, &to->write_iops_n, from->write_iops,
				from->write_iops_n, a, e);
	if (u->what & UPDATE_NETWORK_RX_BPS)
		to->network_rx_bps = from->network_rx_bps;
	if (u->what & UPDATE_NETWORK_RX_PPS)
		to->network_rx_pps = from->network_rx_pps;
	if (u->what & UPDATE_NETWORK_TX_BPS)
		to->network_tx_bps = from->network_tx_bps;
	if (u->what & UPDATE_NETWORK_TX_PPS)
		to->network_tx_pps = from->network_tx_pps;
	return r;
}

static void merge(struct workload_config *c, const struct workload_update *u)
{
	struct resources_config *to = &c->resources;
	const struct resources_config *from = &u->resources;

	if (u->what & UPDATE_MEMORY)
		to->memory = from->memory;
	if (u->what & UPDATE_MEMORY_SWAP)
		to->memory_swap = from->memory_swap;
	if (u->what & UPDATE_MEMORY_RESERVATION)
		to->memory_reservation = from->memory_reservation;
	if (u->what & UPDATE_CPUS) {
		to->nano_cpus = from->nano_cpus;
		to->cpu_period = 0;
		to->cpu_quota = 0;
	}
	if (u->what & UPDATE_CPU_SHARES)
		to->cpu_shares = from->cpu_shares;
	if (u->what & UPDATE_CPU_PERIOD)
		to->cpu_period = from->cpu_period;
	if (u->what & UPDATE_CPU_QUOTA)
		to->cpu_quota = from->cpu_quota;
	if (u->what & UPDATE_CPUSET_CPUS)
		to->cpuset_cpus = from->cpuset_cpus;
	if (u->what & UPDATE_CPUSET_MEMS)
		to->cpuset_mems = from->cpuset_mems;
	if (u->what & UPDATE_PIDS_LIMIT)
		to->pids_limit = from->pids_limit;
	if (u->what & UPDATE_BLKIO_WEIGHT)
		to->blkio_weight = from->blkio_weight;
	if (u->what & UPDATE_RESTART) {
		c->restart = u->restart;
		c->restart_max = u->restart_max;
	}
}

int workload_update(struct svc *s, const char *ref, const struct workload_update *u, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(32u << 20);
	auto_buf struct buf json = BUF_INIT(4u << 20), resources = BUF_INIT(64u << 10);
	struct json_writer w = JSON_WRITER(&resources);
	struct workload_record record;
	struct workload_config c;
	int r = load(s, ref, &a, &record, &c, e);

	if (r < 0)
		return r;
	merge(&c, u);
	r = merge_devices(&c.resources, u, &a, e);
	if (r >= 0)
		r = workload_config_check(&c, e);
	c.resources.machine = streq(record.isolation, "microvm");
	if (r >= 0)
		r = plan_resources(&c.resources, NULL, &w, NULL, e);
	if (r < 0)
		return r;
	if (record.status.shim_pid != 0) {
		auto_shim_conn struct shim_conn conn = SHIM_CONN_NONE;
		struct shim_update m = { .resources = u->what & ~(unsigned) UPDATE_RESTART
							      ? buf_z(&resources)
							      : "" };

		m.set_restart = (u->what & UPDATE_RESTART) != 0;
		m.restart = shim_restart_of(c.restart);
		m.restart_max = c.restart_max;
		r = reach(s, record.id, "update", &a, &record, &conn, e);
		if (r >= 0)
			r = supervise_update(&conn, &m, e);
		if (r < 0)
			return r;
	}
	workload_config_write(&c, &json);
	if (!buf_ok(&json))
		return err_sys(e, -buf_error(&json), "the configuration of the workload");
	r = store_write(s->store, STORE_DURABLE, e);
	if (r < 0)
		return r;
	r = store_workload_set_config(s->store, record.id, buf_z(&json), e);
	if (r < 0) {
		store_rollback(s->store);
		return r;
	}
	r = store_commit(s->store, e);
	return r < 0 ? r : tell(s, &record, "update", e);
}
