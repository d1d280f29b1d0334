/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wrappers around the ops, and the one place where an instance's state moves. Each arrow of
 * the diagram in engine.h, with the function that performs it:
 *
 *	NONE -> CREATING -> CREATED		engine_create
 *	CREATED -> RUNNING			engine_start
 *	NONE -> CREATING -> RUNNING		engine_restore
 *	RUNNING <-> PAUSED			engine_pause, engine_resume
 *	CREATED, RUNNING, PAUSED -> STOPPED	engine_exited
 *	RUNNING, PAUSED -> STOPPED		engine_snapshot, unless it goes on
 *	 ... -> STOPPING -> STOPPED		engine_kill
 *	any -> FAILED				a create or start that failed
 *	any -> NONE				engine_destroy
 */
#include "engine/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/auto.h"
#include "sys/pidfd.h"
#include "sys/tree.h"

#define FILES_END (60 * NSEC_PER_SEC) /* to synchronise what was written */

static const char *const state_names[] = {
	[ENGINE_NONE] = "none",	      [ENGINE_CREATING] = "creating",
	[ENGINE_CREATED] = "created", [ENGINE_RUNNING] = "running",
	[ENGINE_PAUSED] = "paused",   [ENGINE_STOPPING] = "stopping",
	[ENGINE_STOPPED] = "stopped", [ENGINE_FAILED] = "stopped", /* OCI has no word for it */
};

#define IN(state) (1u << (state))

/* From which states each state may be entered. */
static const unsigned enters[] = {
	[ENGINE_NONE] = ~0u,
	[ENGINE_CREATING] = IN(ENGINE_NONE),
	[ENGINE_CREATED] = IN(ENGINE_CREATING),
	[ENGINE_RUNNING] = IN(ENGINE_CREATING) | IN(ENGINE_CREATED) | IN(ENGINE_PAUSED),
	[ENGINE_PAUSED] = IN(ENGINE_RUNNING),
	[ENGINE_STOPPING] = IN(ENGINE_CREATING) | IN(ENGINE_CREATED) | IN(ENGINE_RUNNING) |
			    IN(ENGINE_PAUSED) | IN(ENGINE_STOPPING) | IN(ENGINE_FAILED),
	[ENGINE_STOPPED] = IN(ENGINE_CREATED) | IN(ENGINE_RUNNING) | IN(ENGINE_PAUSED) |
			   IN(ENGINE_STOPPING) | IN(ENGINE_STOPPED),
	[ENGINE_FAILED] = ~0u,
};

const char *engine_state_name(enum engine_state s)
{
	return state_names[s];
}

enum engine_state engine_state_of(const char *name)
{
	static const enum engine_state all[] = { ENGINE_CREATING, ENGINE_CREATED, ENGINE_RUNNING,
						 ENGINE_PAUSED, ENGINE_STOPPED };

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		if (streq(name, state_names[all[i]]))
			return all[i];
	}
	return ENGINE_FAILED;
}

static bool may_enter(const struct instance *in, enum engine_state to)
{
	return (enters[to] & IN(in->state)) != 0;
}

static void move(struct instance *in, enum engine_state to)
{
	assert(may_enter(in, to));
	in->state = to;
}

static int wrong_state(const struct instance *in, const char *verb, struct err *e)
{
	return err_set(e, ERR_CONFLICT, EBUSY, "cannot %s a container that is %s", verb,
		       engine_state_name(in->state));
}

static int need(const struct instance *in, enum engine_cap cap, const void *op, const char *verb,
		struct err *e)
{
	if (op && (in->caps.caps & cap))
		return 0;
	return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP, "the engine '%s' cannot %s", in->ops->name,
		       verb);
}

struct instance *instance_new(const struct engine_ops *ops, const struct engine_caps *caps)
{
	struct instance *in = calloc(1, ops->instance_size);

	if (in) {
		in->ops = ops;
		in->caps = *caps;
		in->pidfd = FD_NONE;
		in->console_fd = FD_NONE;
	}
	return in;
}

void instance_forget(struct instance *in)
{
	if (!in)
		return;
	if (in->ops->forget)
		in->ops->forget(in);
	free(in);
}

void instance_free(struct instance *in)
{
	if (!in)
		return;
	engine_destroy(in);
	free(in);
}

int engine_prepare(struct instance *in, const struct engine_prepare *p, struct err *e)
{
	int r;

	if (!may_enter(in, ENGINE_CREATING))
		return wrong_state(in, "prepare", e);
	r = in->ops->prepare ? in->ops->prepare(in, p, e) : 0;
	if (r < 0)
		in->ops->destroy(in);
	return r;
}

int engine_create(struct instance *in, const struct bundle *b, nsec_t deadline, struct err *e)
{
	int r;

	if (!may_enter(in, ENGINE_CREATING))
		return wrong_state(in, "create", e);
	move(in, ENGINE_CREATING);
	r = in->ops->create(in, b, deadline, e);
	if (r < 0) {
		in->ops->destroy(in);
		move(in, ENGINE_FAILED);
		return r;
	}
	move(in, ENGINE_CREATED);
	return 0;
}

int engine_start(struct instance *in, struct err *e)
{
	int r;

	if (in->state != ENGINE_CREATED)
		return wrong_state(in, "start", e);
	r = in->ops->start(in, e);
	move(in, r < 0 ? ENGINE_FAILED : ENGINE_RUNNING);
	return r;
}

int engine_signal(struct instance *in, int signo, struct err *e)
{
	if (in->state != ENGINE_CREATED && in->state != ENGINE_RUNNING &&
	    in->state != ENGINE_PAUSED)
		return err_set(e, ERR_CONFLICT, ESRCH, "container not running");
	return in->ops->signal(in, signo, e);
}

int engine_kill(struct instance *in, nsec_t deadline, struct err *e)
{
	int r;

	if (in->state == ENGINE_NONE || in->state == ENGINE_STOPPED)
		return 0; /* nothing of it runs */
	move(in, ENGINE_STOPPING);
	r = in->ops->kill(in, deadline, e);
	if (r == 0)
		move(in, ENGINE_STOPPED);
	return r;
}

int engine_usage(struct instance *in, struct usage *ret, struct err *e)
{
	return in->ops->usage(in, ret, e);
}

int engine_processes(struct instance *in, pid_t *ret_pids, size_t max, size_t *ret_n, struct err *e)
{
	return in->ops->processes(in, ret_pids, max, ret_n, e);
}

int engine_pause(struct instance *in, struct err *e)
{
	int r = need(in, ENGINE_CAP_PAUSE, (const void *) (uintptr_t) in->ops->pause, "pause", e);

	if (r < 0)
		return r;
	if (in->state != ENGINE_RUNNING)
		return wrong_state(in, "pause", e);
	r = in->ops->pause(in, e);
	if (r == 0)
		move(in, ENGINE_PAUSED);
	return r;
}

int engine_resume(struct instance *in, struct err *e)
{
	int r = need(in, ENGINE_CAP_PAUSE, (const void *) (uintptr_t) in->ops->resume, "resume", e);

	if (r < 0)
		return r;
	if (in->state != ENGINE_PAUSED)
		return wrong_state(in, "resume", e);
	r = in->ops->resume(in, e);
	if (r == 0)
		move(in, ENGINE_RUNNING);
	return r;
}

int engine_exec(struct instance *in, const struct exec_spec *x, struct exec *ret, struct err *e)
{
	int r = need(in, ENGINE_CAP_EXEC, (const void *) (uintptr_t) in->ops->exec, "exec", e);

	if (r < 0)
		return r;
	if (in->state == ENGINE_PAUSED && !x->ignore_paused)
		return err_set(
			e, ERR_CONFLICT, EBUSY,
			"cannot exec in a paused container (use --ignore-paused to override)");
	if (in->state != ENGINE_RUNNING && in->state != ENGINE_CREATED &&
	    in->state != ENGINE_PAUSED)
		return err_set(e, ERR_CONFLICT, ESRCH, "cannot exec in a stopped container");
	return in->ops->exec(in, x, ret, e);
}

const char *engine_why_ended(struct instance *in, struct arena *a)
{
	return in->ops->why_ended ? in->ops->why_ended(in, a) : NULL;
}

bool engine_lists(const struct instance *in)
{
	return in->ops->list != NULL;
}

int engine_list(struct instance *in, struct arena *a, struct engine_processes *ret, struct err *e)
{
	*ret = (struct engine_processes){};
	return in->ops->list ? in->ops->list(in, a, ret, e) : 0;
}

int engine_update(struct instance *in, const struct spec_resources *r, struct err *e)
{
	int got = need(in, ENGINE_CAP_UPDATE, (const void *) (uintptr_t) in->ops->update, "update",
		       e);

	if (got < 0)
		return got;
	if (in->state != ENGINE_CREATED && in->state != ENGINE_RUNNING &&
	    in->state != ENGINE_PAUSED)
		return wrong_state(in, "update", e);
	return in->ops->update(in, r, e);
}

int engine_can_snapshot(const struct engine_ops *ops, const char *program, struct err *e)
{
	if (!ops->can_snapshot)
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "the engine '%s' cannot checkpoint or restore", ops->name);
	return ops->can_snapshot(program, e);
}

/* The capability is found out here, not by probe: on the way of a start it would cost time. */
static int need_snapshot(struct instance *in, const struct snapshot_options *o, struct err *e)
{
	int r = engine_can_snapshot(in->ops, o->program, e);

	if (r == 0)
		in->caps.caps |= ENGINE_CAP_SNAPSHOT;
	return r;
}

int engine_snapshot(struct instance *in, int dirfd, const struct snapshot_options *o, struct err *e)
{
	int r;

	if (in->state != ENGINE_RUNNING && in->state != ENGINE_PAUSED)
		return wrong_state(in, "checkpoint", e);
	r = need_snapshot(in, o, e);
	r = r < 0 ? r : in->ops->snapshot(in, dirfd, o, e);
	if (r == 0 && !o->leave_running && !o->pre_dump)
		move(in, ENGINE_STOPPED);
	return r;
}

static int copy_disk(const struct snapshot_options *o, int dirfd, struct err *e)
{
	auto_fd int to = FD_NONE;
	struct stat st;
	int r;

	if (o->disk_fd < 0)
		return 0;
	to = openat(dirfd, SNAPSHOT_DISK, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	r = to < 0 || fstat(o->disk_fd, &st) < 0
		    ? -errno
		    : tree_copy_data(o->disk_fd, to, (uint64_t) st.st_size);
	return r < 0 ? err_sys(e, -r, "copy the workload's disk into the snapshot") : 0;
}

int engine_copy_files(const struct snapshot_options *o, int dirfd, struct err *e)
{
	auto_fd int to = FD_NONE;
	int r = copy_disk(o, dirfd, e);

	if (r < 0 || o->files_fd < 0)
		return r;
	if (mkdirat(dirfd, SNAPSHOT_FILES, 0700) < 0)
		return err_sys(e, errno, "make '" SNAPSHOT_FILES "' of the snapshot");
	to = openat(dirfd, SNAPSHOT_FILES, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	r = to < 0 ? -errno : tree_copy(o->files_fd, to);
	return r < 0 ? err_sys(e, -r, "copy the workload's files into the snapshot") : 0;
}

int engine_restore(struct instance *in, const struct bundle *b, int dirfd,
		   const struct snapshot_options *o, struct err *e)
{
	int r;

	if (!may_enter(in, ENGINE_CREATING))
		return wrong_state(in, "restore", e);
	r = need_snapshot(in, o, e);
	if (r < 0)
		return r;
	move(in, ENGINE_CREATING);
	r = in->ops->restore(in, b, dirfd, o, e);
	if (r < 0) {
		in->ops->destroy(in);
		move(in, ENGINE_FAILED);
		return r;
	}
	move(in, ENGINE_RUNNING);
	return 0;
}

int engine_can_root_upper(const struct engine_ops *ops, nsec_t deadline, struct err *e)
{
	if (!ops->can_root_upper)
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "the engine '%s' gives a workload no disk of its own", ops->name);
	return ops->can_root_upper(deadline, e);
}

int engine_files(struct instance *in, bool hold, nsec_t deadline, struct engine_files *ret,
		 struct err *e)
{
	if (!in->ops->files)
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "the files of the engine '%s' are this machine's", in->ops->name);
	if (in->state == ENGINE_PAUSED && !in->ops->files_here)
		return err_set(e, ERR_CONFLICT, EBUSY,
			       "its files are read by its own kernel, which is paused: unpause it "
			       "first");
	if (in->state != ENGINE_CREATED && in->state != ENGINE_RUNNING &&
	    in->state != ENGINE_PAUSED)
		return wrong_state(in, "look at the files of", e);
	return in->ops->files(in, hold, deadline, ret, e);
}

void engine_files_close(struct engine_files *f)
{
	close_fd(&f->root_fd);
	close_fd(&f->layers_fd);
	close_fd(&f->upper_fd);
	close_fd(&f->top_fd);
	if (f->pidfd >= 0) {
		if (pidfd_poll(f->pidfd, clock_deadline(FILES_END)) != 1)
			(void) pidfd_kill(f->pidfd, SIGKILL); /* the workload's kernel hangs */
		(void) pidfd_reap(f->pidfd, NULL);
		close_fd(&f->pidfd);
	}
}

int engine_save(struct instance *in, int state_fd, struct err *e)
{
	return in->ops->save(in, state_fd, e);
}

int engine_load(struct instance *in, int state_fd, struct err *e)
{
	return in->ops->load(in, state_fd, e);
}

int engine_look(const struct engine_ops *ops, int parent_fd, const char *name, struct arena *a,
		struct engine_look *ret, struct err *e)
{
	return ops->look(parent_fd, name, a, ret, e);
}

void engine_exited(struct instance *in)
{
	if (may_enter(in, ENGINE_STOPPED))
		move(in, ENGINE_STOPPED);
}

void engine_destroy(struct instance *in)
{
	in->ops->destroy(in);
	move(in, ENGINE_NONE);
}
