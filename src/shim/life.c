/* SPDX-License-Identifier: Apache-2.0 */
/* The states of a workload: see the diagram in shim.h. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/log.h"
#include "fmt/json.h"
#include "shim/lean.h"
#include "shim/shim.h"
#include "sys/mount.h"
#include "sys/pty.h"

#define SPEC_ARENA_MAX	(16u << 20)
#define CREATE_DEADLINE (120 * NSEC_PER_SEC)
#define KILL_DEADLINE	(10 * NSEC_PER_SEC)
#define STOP_TIMEOUT	(10 * NSEC_PER_SEC)
/* A foreground run has acknowledged nothing: a short one is recorded once, at its end. */
#define RECORD_SOON   (20 * NSEC_PER_MSEC)
#define SLOW_CLIENTS  (3 * NSEC_PER_SEC) /* waited for once the user wanted the end */
#define LEAN_AFTER    (300 * NSEC_PER_MSEC)
#define SERVED_WITHIN (10 * NSEC_PER_SEC)

#define EXIT_CANNOT	  125
#define EXIT_NOT_RUNNABLE 126
#define EXIT_NOT_FOUND	  127

static void drained(struct streams *io);
static int life_start(struct shim *s, int *ret_exit_code, struct err *e);

bool life_running(const struct shim *s)
{
	return s->phase == PHASE_UP;
}

static enum workload_state state_of(const struct shim *s)
{
	return s->in && s->in->state == ENGINE_PAUSED ? WORKLOAD_PAUSED : WORKLOAD_RUNNING;
}

/* ---- setting up -------------------------------------------------------------------------- */

int life_cache(const struct shim *s)
{
	int fd = s->spec->linux_.seccomp ? open(s->c.state, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;

	return fd < 0 ? FD_NONE : fd;
}

static int read_plan(struct shim *s, struct err *e)
{
	auto_buf struct buf text = BUF_INIT(JSON_TEXT_MAX);
	const struct json *root;
	int r = file_read(s->c.bundle_fd, "config.json", &text);

	if (r < 0)
		return err_sys(e, -r, "read 'config.json' of workload '%s'", s->c.id);
	s->spec_arena = ARENA_INIT(SPEC_ARENA_MAX);
	if (json_parse(&s->spec_arena, buf_str(&text), &root, e) < 0 ||
	    spec_decode(&s->spec_arena, root, &s->spec, e) < 0)
		return err_ctx(e, "config.json");
	if (!s->spec->process)
		return err_set(e, ERR_INVALID, 0, "config.json: no process section");
	return 0;
}

static int pick_engine(struct shim *s, struct err *e)
{
	struct host host;

	if (host_probe(&host, e) < 0)
		return -1;
	/* Where engines keep what lasts: the kernels of machines. */
	if (setenv("ATOLL_ROOT", s->c.root, 1) < 0)
		return err_sys(e, errno, "setenv");
	return engine_pick(s->c.isolation, &host, s->spec, &s->ops, &s->caps, e);
}

/*
 * A mount of the root file system for one start: a clone, as the one given goes when the
 * workload's mount namespace does. Before Linux 6.15 a detached mount cannot be cloned, one that
 * is attached in the caller's namespace can: so it is attached in a namespace of the shim's own,
 * which the host's mounts still propagate to.
 */
static int clone_root(struct shim *s, int *ret_fd, struct err *e)
{
	int fd = mount_clone(s->c.root_fd, "", true);

	if (fd == -EINVAL && !s->root_kept) {
		/* Descriptors stay with the mounts they were opened on; the working directory moves
		 * to the new namespace's, and only there can something be attached. */
		if (fchdir(s->state_fd) < 0 || unshare(CLONE_NEWNS) < 0 ||
		    mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
			return err_sys(e, errno, "a mount namespace to keep the root in");
		if (mkdir("root", 0700) < 0 && errno != EEXIST)
			return err_sys(e, errno, "make 'root' in the run directory");
		fd = mount_attach(s->c.root_fd, AT_FDCWD, "root");
		if (fd < 0)
			return err_sys(e, -fd, "attach the root file system");
		close_fd(&s->c.root_fd);
		s->c.root_fd = open("root", O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (s->c.root_fd < 0 || chdir("/") < 0)
			return err_sys(e, errno, "open the root file system");
		s->root_kept = true;
		fd = mount_clone(s->c.root_fd, "", true);
	}
	if (fd < 0)
		return err_sys(e, -fd, "clone the mount of the root file system");
	*ret_fd = fd;
	return 0;
}

/* --rm, unless the client that stopped it starts it again (`restart`). */
static bool to_be_removed(const struct shim *s)
{
	return s->c.auto_remove && (!s->stop_wanted || s->user_stopped);
}

/*
 * No start comes any more: the run directory is about to be removed, also from here. Where all of
 * the workload is removed, the mount goes with this process, after everybody was told: unmounting
 * waits for the kernel's grace periods.
 */
static void release_root(struct shim *s)
{
	char name[32];

	close_fd(&s->c.root_disk_fd);
	close_fd(&s->c.root_upper_fd);
	if (!s->root_kept && to_be_removed(s))
		return;
	if (s->root_kept) {
		(void) snprintf(name, sizeof(name), "/proc/self/fd/%d", s->c.root_fd);
		(void) umount2(name, MNT_DETACH);
		(void) unlinkat(s->state_fd, "root", AT_REMOVEDIR);
	}
	close_fd(&s->c.root_fd);
}

static int make_ends(struct shim *s, struct ends ret[static 3])
{
	int r;

	if (!s->c.stdin_open)
		r = ends_null(&ret[0]);
	else if (s->c.stdin_once && ends_is_pipe(s->c.sink[0]))
		r = ends_straight(&s->c.sink[0], &ret[0]);
	else
		r = ends_pipe(&ret[0], true);
	for (int i = 1; r >= 0 && i < 3; i++) {
		if (s->log.driver == SHIM_LOG_NONE && s->restart.policy == SHIM_RESTART_NO &&
		    ends_is_pipe(s->c.sink[i]))
			r = ends_straight(&s->c.sink[i], &ret[i]);
		else
			r = ends_pipe(&ret[i], false);
	}
	return r;
}

static void join_streams(struct shim *s)
{
	if (!s->sinks_used) {
		s->sinks_used = true;
		streams_sinks(&s->io, s->c.sink);
		for (size_t i = 0; i < ARRAY_SIZE(s->c.sink); i++)
			s->c.sink[i] = FD_NONE;
	}
}

/* "x.slice:atoll:ID": what svc's plan writes where the user has named a slice of systemd's. */
static bool is_scope(const char *cgroups_path)
{
	struct str rest, slice = str_cut(str_of(cgroups_path), ':', &rest);

	return rest.p && str_ends(slice, ".slice");
}

/* ---- before it is known ------------------------------------------------------------------- */

void life_prepare(struct shim *s, const struct shim_prepare *p)
{
	auto_arena struct arena a = ARENA_INIT(1u << 20);
	const struct engine_ops *ops = engine_find(*p->isolation ? p->isolation : "container");
	const struct engine_caps none = {};
	struct engine_prepare what = { .id = p->id,
				       .cgroups_path = p->cgroups_path,
				       .systemd_cgroup = is_scope(p->cgroups_path),
				       .network = p->network,
				       .state_fd = s->state_fd };
	const struct json *root;
	struct err ignored;

	/* The lock first: nothing of another shim's may be touched. */
	if (s->in || !ops || !record_try_lock(s) ||
	    json_parse(&a, str_of(p->resources), &root, &ignored) < 0 ||
	    spec_resources_decode(&a, root, &what.resources, &ignored) < 0)
		return;
	s->in = instance_new(ops, &none);
	if (s->in && engine_prepare(s->in, &what, &ignored) < 0)
		life_unprepare(s);
}

void life_unprepare(struct shim *s)
{
	if (s->phase == PHASE_NONE && s->in)
		instance_free(TAKE(s->in));
}

/* ---- starting ---------------------------------------------------------------------------- */

/* A user may have changed files since the last start (`cp`): the disk has them as they were. */
static int root_disk(const struct shim *s)
{
	if (s->c.root_upper_fd >= 0)
		return s->c.root_disk_fd;
	auto_dir DIR *upper = s->c.root_disk_fd < 0 ? NULL : dir_open(s->c.bundle_fd, "upper");

	return upper && !dir_next(upper) ? s->c.root_disk_fd : FD_NONE;
}

static int create_instance(struct shim *s, const struct ends *ends, struct err *e)
{
	auto_fd int root = FD_NONE, cache = life_cache(s);
	struct bundle b = { .id = s->c.id,
			    .spec = s->spec,
			    .bundle_fd = s->c.bundle_fd,
			    .root_disk_fd = root_disk(s),
			    .root_upper_fd = s->c.root_upper_fd,
			    .stdio = { ends[0].theirs, ends[1].theirs, ends[2].theirs },
			    .console_socket = FD_NONE,
			    .bound = true,
			    .systemd_cgroup = is_scope(s->spec->linux_.cgroups_path),
			    .state_fd = s->state_fd,
			    .cache_fd = cache };
	int r;

	if (clone_root(s, &root, e) < 0)
		return -1;
	/* A machine wants clones of its own, which a detached one does not give before Linux 6.15.
	 */
	b.root_fd = s->ops->own_kernel && s->root_kept ? s->c.root_fd : root;
	if (s->in && s->in->ops == s->ops) { /* prepared */
		s->in->caps = s->caps;
	} else {
		instance_free(s->in);
		s->in = instance_new(s->ops, &s->caps);
	}
	if (!s->in)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory for the workload");
	guard_drop(s);
	r = s->c.checkpoint_fd >= 0 ? life_restore(s, &b, e)
				    : engine_create(s->in, &b, clock_deadline(CREATE_DEADLINE), e);
	guard_raise(s);
	return r;
}

static void drop_instance(struct shim *s)
{
	instance_free(TAKE(s->in));
	s->record.status.pid = 0;
	s->record.status.pid_ident = 0;
}

static int life_start(struct shim *s, int *ret_exit_code, struct err *e)
{
	struct ends ends[3] = ENDS_INIT;
	struct workload_status *st = &s->record.status;
	bool tty = s->spec->process->terminal, restored = s->c.checkpoint_fd >= 0;
	int r = 0;

	s->phase = PHASE_STARTING;
	s->ooms_seen = 0;
	*ret_exit_code = EXIT_CANNOT;
	if (!tty)
		r = make_ends(s, ends);
	if (r < 0) {
		(void) err_sys(e, -r, "pipes for the workload's streams");
		goto fail;
	}
	if (create_instance(s, ends, e) < 0)
		goto fail;
	st->pid = s->in->pid;
	st->pid_ident = 0;
	record_pids(s);
	if (engine_save(s->in, s->state_fd, e) < 0)
		goto fail;
	for (size_t i = 0; i < 3; i++)
		close_fd(&ends[i].theirs);
	r = tty ? ends_take_console(take_fd(&s->in->console_fd), &s->io, s->c.stdin_once,
				    (unsigned) s->c.rows, (unsigned) s->c.cols)
		: ends_take(ends, &s->io, s->c.stdin_once);
	if (r < 0) {
		(void) err_sys(e, -r, "take up the workload's streams");
		goto fail;
	}
	if (!restored && engine_start(s->in, e) < 0)
		goto fail;
	close_fd(&s->c.checkpoint_fd); /* whatever comes next begins at the beginning */
	ends_fini(ends);
	join_streams(s);
	s->phase = PHASE_UP;
	s->up_since = clock_mono();
	st->state = WORKLOAD_RUNNING;
	st->started = clock_wall();
	st->finished = 0;
	st->exit_code = 0;
	st->oom_killed = false;
	st->error = NULL;
	health_started(&s->health, s->up_since);
	st->health = s->health.status;
	record_change(s, restored ? "restore" : "start", 0);
	checks_begin(s);
	return 0;
fail:
	*ret_exit_code = ends_exit_code(e);
	ends_fini(ends);
	drop_instance(s);
	return -1;
}

/* It cannot be started: that is its end, told in the record. */
static void record_failure(struct shim *s, int exit_code, const struct err *e)
{
	struct workload_status *st = &s->record.status;

	st->state = WORKLOAD_EXITED;
	st->exit_code = exit_code;
	st->error = arena_strdup(&s->request, e->msg);
	st->finished = clock_wall();
	st->pid = 0;
	st->pid_ident = 0;
	record_change(s, "die", exit_code);
}

static void begin_ending(struct shim *s)
{
	struct workload_status *st = &s->record.status;
	bool lent;

	release_root(s);
	s->phase = PHASE_ENDING;
	st->stopped_by_user = s->user_stopped;
	st->shim_pid = 0; /* from this record on nobody shall look for it */
	st->shim_ident = 0;
	record_change(s, NULL, 0);
	s->record.discard = to_be_removed(s);
	lent = record_lend(s);
	if (s->in) /* meanwhile */
		drop_instance(s);
	if (!lent)
		record_write(s, 0);
}

int life_create(struct shim *s, int *ret_exit_code, struct err *e)
{
	struct workload_status *st = &s->record.status;

	*ret_exit_code = EXIT_CANNOT;
	s->restart = (struct restart){ .policy = (enum shim_restart) s->c.restart,
				       .max = s->c.restart_max };
	health_init(&s->health, &s->c.health);
	st->shim_pid = getpid();
	if (record_lock(s, e) < 0)
		return -1; /* another's: touch nothing */
	if (clients_listen(s, e) < 0 || read_plan(s, e) < 0 || pick_engine(s, e) < 0)
		goto fail;
	st->emulated = s->caps.emulated;
	if (output_open(&s->log, &s->c, s->c.bundle_fd, e) < 0)
		goto fail;
	s->log_open = true;
	streams_init(&s->io, &s->loop, &s->log, drained);
	if (life_start(s, ret_exit_code, e) < 0)
		goto fail;
	s->record.durable = s->c.acknowledged;
	record_write(s, s->c.acknowledged ? 0 : RECORD_SOON);
	return 0;
fail:
	life_unprepare(s);
	record_failure(s, *ret_exit_code, e);
	begin_ending(s);
	return -1;
}

/* ---- its end ----------------------------------------------------------------------------- */

/* Looked for where it can be: below a limit, or where the end looks like it. */
static void see_oom(struct shim *s, int code)
{
	const struct spec_resources *r = s->spec->linux_.resources;
	struct usage u;
	struct err e;

	if (code != 128 + SIGKILL && !(r && r->memory && r->memory->limit_set))
		return;
	if (engine_usage(s->in, &u, &e) < 0 || u.oom_kills == UINT64_MAX ||
	    u.oom_kills <= s->ooms_seen)
		return;
	s->ooms_seen = u.oom_kills;
	s->record.status.oom_killed = true;
	record_change(s, "oom", 0);
}

static void give_up_on_slow(struct loop_timer *t)
{
	streams_give_up(&LOOP_OWNER(t, struct shim, linger_timer)->io);
}

static bool own_pids(const struct shim *s)
{
	const struct spec_ns *ns = &s->spec->linux_.ns[SPEC_NS_PID];

	return ns->present && !ns->path;
}

static bool ending_is_lent(const struct shim *s)
{
	return record_lendable(s) && to_be_removed(s) && s->restart.policy == SHIM_RESTART_NO;
}

void life_ended(struct shim *s, int code)
{
	struct workload_status *st = &s->record.status;
	struct err e = {};

	loop_timer_cancel(&s->stop_timer);
	checks_stop(s);
	see_oom(s, code);
	st->error = engine_why_ended(s->in, &s->request);
	/* Nothing of it may write any more: what is left in its cgroup goes now. With the init of
	 * a pid namespace the kernel has ended it all. */
	if (own_pids(s))
		engine_exited(s->in);
	else if (engine_kill(s->in, clock_deadline(KILL_DEADLINE), &e) < 0)
		log_warn("what is left of the workload does not end: %s id=%s", e.msg, s->c.id);
	/* What is removed by its client is cleared up beside it: begin_ending(). Until then its
	 * files say what there is. */
	if (!ending_is_lent(s)) {
		drop_instance(s);
		record_pids(s);
	}
	s->phase = PHASE_DRAINING;
	st->state = WORKLOAD_EXITED;
	st->exit_code = code;
	st->finished = clock_wall();
	st->stopped_by_user = s->user_stopped;
	st->pid = 0;
	st->pid_ident = 0;
	record_change(s, "die", code);
	record_write(s, RECORD_SOON); /* at the latest: a slow client may hold up the rest */
	if (s->stop_wanted)
		loop_timer_set(&s->loop, &s->linger_timer, clock_deadline(SLOW_CLIENTS),
			       give_up_on_slow);
	streams_finish(&s->io);
}

static void start_again(struct loop_timer *t)
{
	struct shim *s = LOOP_OWNER(t, struct shim, restart_timer);
	struct err e = {};
	int code;

	if (life_start(s, &code, &e) == 0) {
		record_write(s, 0);
		return;
	}
	log_error("cannot start again: %s id=%s", e.msg, s->c.id);
	record_failure(s, code, &e);
	begin_ending(s);
}

/* Sessions stay with the workload over a restart; everything else of the streams begins anew. */
static void renew_streams(struct shim *s)
{
	struct session *sessions = s->io.sessions;
	struct sink sinks[3];

	memcpy(sinks, s->io.sink, sizeof(sinks));
	s->io.sessions = NULL;
	for (size_t i = 0; i < ARRAY_SIZE(sinks); i++) {
		loop_remove(&s->io.sink[i].ls);
		s->io.sink[i].fd = FD_NONE;
		s->io.sink[i].held = BUF_INIT(SHIM_DATA_MAX);
	}
	streams_fini(&s->io);
	streams_init(&s->io, &s->loop, &s->log, drained);
	s->io.sessions = sessions;
	for (size_t i = 0; i < ARRAY_SIZE(sinks); i++) {
		s->io.sink[i].fd = sinks[i].fd;
		s->io.sink[i].held = sinks[i].held;
		s->io.sink[i].owner = &s->io;
	}
}

static void drained(struct streams *io)
{
	struct shim *s = LOOP_OWNER(io, struct shim, io);
	struct workload_status *st = &s->record.status;
	nsec_t delay, ran = clock_mono() - s->up_since;

	loop_timer_cancel(&s->linger_timer);
	if (restart_wanted(&s->restart, st->exit_code, ran, s->stop_wanted, &delay)) {
		s->phase = PHASE_WAITING;
		st->state = WORKLOAD_RESTARTING;
		st->restarts = (uint32_t) s->restart.count;
		record_change(s, NULL, 0);
		record_write(s, 0);
		renew_streams(s);
		loop_timer_set(&s->loop, &s->restart_timer, clock_deadline(delay), start_again);
		return;
	}
	begin_ending(s);
}

static void leave(struct loop_timer *t)
{
	loop_stop(&LOOP_OWNER(t, struct shim, linger_timer)->loop);
}

void life_leave_when_served(struct shim *s)
{
	if (s->phase == PHASE_GONE && clients_served(s))
		loop_stop(&s->loop);
}

static void go_lean(struct loop_timer *)
{
	lean_now();
}

void life_recorded(struct shim *s)
{
	clients_recorded(s);
	if (!s->lean_timer.loop)
		loop_timer_set(&s->loop, &s->lean_timer, clock_deadline(LEAN_AFTER), go_lean);
	switch (s->phase) {
	case PHASE_WAITING:
	case PHASE_DRAINING:
		clients_ended(s, false);
		return;
	case PHASE_ENDING:
		s->phase = PHASE_GONE;
		clients_unlisten(s);
		if (s->log_open)
			output_close(&s->log);
		if (s->log_open && output_lost(&s->log))
			log_warn(
				"%ju lines of the log are lost: its disk or journal was full id=%s",
				(uintmax_t) output_lost(&s->log), s->c.id);
		s->log_open = false;
		record_fini(s);
		clients_ended(s, true);
		loop_timer_set(&s->loop, &s->linger_timer, clock_deadline(SERVED_WITHIN), leave);
		life_leave_when_served(s);
		return;
	case PHASE_NONE:
	case PHASE_STARTING:
	case PHASE_UP:
	case PHASE_GONE:
		return;
	}
}

/* ---- requests ---------------------------------------------------------------------------- */

static int not_running(struct shim *s, struct err *e)
{
	return err_set(e, ERR_CONFLICT, 0, "workload '%s' is not running", s->c.name);
}

int life_signal(struct shim *s, int signo, struct err *e)
{
	int stop_signal = s->c.stop_signal ? (int) s->c.stop_signal : SIGTERM;

	if (s->phase == PHASE_WAITING && (signo == SIGKILL || signo == stop_signal))
		return life_stop(s, signo, 0, true, e);
	if (!life_running(s))
		return not_running(s, e);
	if (engine_signal(s->in, signo, e) < 0)
		return -1;
	if (signo == SIGKILL || signo == stop_signal)
		s->stop_wanted = s->user_stopped = true;
	if (signo == SIGKILL && s->in->state == ENGINE_PAUSED)
		return life_resume(s, e); /* a frozen process does not die */
	return 0;
}

static void stop_overdue(struct loop_timer *t)
{
	struct shim *s = LOOP_OWNER(t, struct shim, stop_timer);
	struct err e = {};

	if (life_running(s) && engine_signal(s->in, SIGKILL, &e) < 0)
		log_warn("the workload is not killed: %s id=%s", e.msg, s->c.id);
}

int life_stop(struct shim *s, int signo, nsec_t timeout, bool user, struct err *e)
{
	nsec_t at = clock_deadline(timeout);

	s->stop_wanted = true;
	s->user_stopped |= user;
	s->record.durable = true; /* it will be acknowledged */
	if (s->phase == PHASE_WAITING) {
		loop_timer_cancel(&s->restart_timer);
		s->record.status.state = WORKLOAD_EXITED;
		begin_ending(s);
		return 0;
	}
	if (s->phase == PHASE_DRAINING && !s->linger_timer.loop)
		loop_timer_set(&s->loop, &s->linger_timer, clock_deadline(SLOW_CLIENTS),
			       give_up_on_slow);
	if (!life_running(s))
		return 0; /* on its way out already */
	if (s->in->state == ENGINE_PAUSED && life_resume(s, e) < 0)
		return -1;
	if (timeout <= 0)
		signo = SIGKILL;
	if (engine_signal(s->in, signo, e) < 0)
		return -1;
	if (signo != SIGKILL && (!s->stop_timer.loop || s->stop_timer.at > at))
		loop_timer_set(&s->loop, &s->stop_timer, at, stop_overdue);
	return 0;
}

int life_pause(struct shim *s, struct err *e)
{
	if (!life_running(s))
		return not_running(s, e);
	if (engine_pause(s->in, e) < 0)
		return -1;
	s->record.status.state = state_of(s);
	record_change(s, "pause", 0);
	record_write(s, 0);
	return 0;
}

int life_resume(struct shim *s, struct err *e)
{
	if (!life_running(s))
		return not_running(s, e);
	if (engine_resume(s->in, e) < 0)
		return -1;
	s->record.status.state = state_of(s);
	record_change(s, "unpause", 0);
	record_write(s, 0);
	return 0;
}

int life_update(struct shim *s, const struct shim_update *u, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(1u << 20);
	const struct spec_resources *res;
	const struct json *root;

	if (*u->resources) {
		if (!life_running(s))
			return not_running(s, e);
		if (json_parse(&a, str_of(u->resources), &root, e) < 0 ||
		    spec_resources_decode(&a, root, &res, e) < 0)
			return err_ctx(e, "resources");
		if (engine_update(s->in, res, e) < 0)
			return -1;
		/* So that repair finds the limits that hold. */
		if (engine_save(s->in, s->state_fd, e) < 0)
			return -1;
	}
	if (u->set_restart) {
		s->restart.policy = (enum shim_restart) u->restart;
		s->restart.max = u->restart_max;
	}
	return 0;
}

int life_resize(struct shim *s, unsigned rows, unsigned cols, struct err *e)
{
	int r;

	if (!life_running(s) || s->io.in.fd < 0 || !s->io.in.tty)
		return err_set(e, ERR_CONFLICT, ENOTTY, "workload '%s' has no terminal", s->c.name);
	s->c.rows = rows; /* of the next start too */
	s->c.cols = cols;
	r = pty_resize(s->io.in.fd, rows, cols);
	return r < 0 ? err_sys(e, -r, "resize the terminal") : 0;
}
