/* SPDX-License-Identifier: Apache-2.0 */
/* create, run and start. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/log.h"
#include "engine/engine.h"
#include "engine/host.h"
#include "fmt/spec.h"
#include "runtime/bundle.h"
#include "runtime/delete.h"
#include "runtime/foreground.h"
#include "runtime/notify.h"
#include "runtime/state.h"

/* Hooks have their own time limits; this one is for a machine that does not answer. */
#define CREATE_WITHIN (3600 * NSEC_PER_SEC)

#define PODS "@pods" /* below the root; no container has such a name */

struct create_options {
	const char *bundle, *config, *console_socket, *pid_file, *preserve_fds, *pidfd_socket;
	bool no_pivot, no_new_keyring;
	bool detach, keep, no_subreaper; /* of run */
};

#define OPT(kind_, name_, letter_, member, value_, help_)                                          \
	{                                                                                          \
		.name = (name_), .letter = (letter_), .kind = (kind_),                             \
		.offset = offsetof(struct create_options, member), .value = (value_),              \
		.help = (help_)                                                                    \
	}
#define CREATE_OPTIONS                                                                             \
	OPT(OPTION_STRING, "bundle", 'b', bundle, "DIR", "the bundle (the current directory)"),    \
		OPT(OPTION_STRING, "config", 'f', config, "FILE",                                  \
		    "the spec (config.json of the bundle)"),                                       \
		OPT(OPTION_STRING, "console-socket", 0, console_socket, "PATH",                    \
		    "unix socket that receives the pty's master"),                                 \
		OPT(OPTION_STRING, "pid-file", 0, pid_file, "FILE", "write the pid there"),        \
		OPT(OPTION_STRING, "pidfd-socket", 0, pidfd_socket, "PATH",                        \
		    "unix socket that receives the pidfd of the container's process"),             \
		OPT(OPTION_STRING, "preserve-fds", 0, preserve_fds, "N",                           \
		    "pass N more descriptors on: 3, 4, ..."),                                      \
		OPT(OPTION_FLAG, "no-pivot", 0, no_pivot, NULL,                                    \
		    "no pivot_root: for a root file system on a ramdisk"),                         \
		OPT(OPTION_FLAG, "no-new-keyring", 0, no_new_keyring, NULL,                        \
		    "keep the caller's session keyring")

static const struct option create_options[] = { CREATE_OPTIONS };
static const struct option run_options[] = {
	CREATE_OPTIONS,
	OPT(OPTION_FLAG, "detach", 'd', detach, NULL, "do not wait for its end"),
	OPT(OPTION_FLAG, "keep", 0, keep, NULL, "keep the container when it ended"),
	OPT(OPTION_FLAG, "no-subreaper", 0, no_subreaper, NULL,
	    "do not reap the orphans of its processes"),
};

void loaded_fini(struct loaded *l)
{
	close_fd(&l->bundle_fd);
	buf_fini(&l->text);
}

static int absolute(struct runtime *rt, const char *path, const char **ret_path, struct err *e)
{
	auto_free char *full = realpath(path && path[0] ? path : ".", NULL);

	if (!full)
		return err_sys(e, errno, "find '%s'", path);
	*ret_path = arena_strdup(rt->arena, full);
	return *ret_path ? 0 : err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
}

int bundle_load(struct runtime *rt, const char *bundle, const char *file, struct loaded *l,
		struct err *e)
{
	const char *config = file && file[0] ? file : "config.json";
	const struct spec *s;
	int r = absolute(rt, bundle, &l->bundle, e);

	if (r < 0)
		return r;
	l->bundle_fd = open(l->bundle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (l->bundle_fd < 0)
		return err_sys(e, errno, "open the bundle '%s'", l->bundle);
	r = file_read(config == file ? AT_FDCWD : l->bundle_fd, config, &l->text);
	if (r == -ENOENT)
		return err_set(e, ERR_NOT_FOUND, ENOENT,
			       "JSON specification file '%s' not found in bundle '%s'", config,
			       l->bundle);
	if (r < 0)
		return err_sys(e, -r, "read '%s' of bundle '%s'", config, l->bundle);
	if (config == file)
		r = absolute(rt, config, &l->config_path, e);
	if (r == 0)
		r = json_parse(rt->arena, buf_str(&l->text), &l->json, e);
	if (r == 0)
		r = spec_decode(rt->arena, l->json, &s, e);
	if (r < 0)
		return err_ctx(e, "'%s' of bundle '%s'", config, l->bundle);
	if (!s->process)
		return err_set(e, ERR_INVALID, EINVAL,
			       "'%s' of bundle '%s': process: missing, there is nothing to run",
			       config, l->bundle);
	if (!s->root || !s->root->path[0])
		return err_set(e, ERR_INVALID, EINVAL, "'%s' of bundle '%s': root.path: missing",
			       config, l->bundle);
	/* Copies, so that what the command line adds to the process goes in. */
	l->spec = arena_alloc(rt->arena, sizeof(*l->spec));
	l->process = arena_alloc(rt->arena, sizeof(*l->process));
	if (!l->spec || !l->process)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	*l->spec = *s;
	*l->process = *s->process;
	l->spec->process = l->process;
	return 0;
}

int engine_for(const struct runtime *rt, const struct spec *s, const struct engine_ops **ret_ops,
	       struct engine_caps *ret_caps, struct err *e)
{
	struct host h;
	int r = host_probe(&h, e);

	return r < 0 ? r : engine_pick(rt->isolation, &h, s, ret_ops, ret_caps, e);
}

/*
 * Whether the created state must be on disk before start: others may ask for it (a hook), or come
 * later. For `run` without hooks the running state follows at once, under the same lock.
 */
static bool must_save(const struct spec *s, bool runs)
{
	return !runs || s->hooks[SPEC_HOOK_POSTSTART].n > 0 ||
	       s->hooks[SPEC_HOOK_START_CONTAINER].n > 0;
}

/* Where the pidfd goes: by runc's option, or as crun's annotation says. NULL: nowhere. */
static const char *pidfd_receiver(const struct create_options *o, const struct spec *s)
{
	const char *to = o->pidfd_socket && o->pidfd_socket[0]
				 ? o->pidfd_socket
				 : spec_annotation(s, "run.oci.pidfd_receiver");

	return to && to[0] ? to : NULL;
}

/* Whether `run` has nothing to do between the two halves of it: no state, pidfd or socket. */
static bool goes_on(const struct create_options *o, const struct spec *s)
{
	return !must_save(s, true) && !pidfd_receiver(o, s) && !secure_getenv("NOTIFY_SOCKET");
}

/* NULL: out of memory, or the root is gone; then whatever comes next says so. */
static const char *pods_path(struct runtime *rt)
{
	auto_free char *root = realpath(rt->root, NULL);

	return root ? arena_printf(rt->arena, "%s/" PODS, root) : NULL;
}

/* Everything up to a created container; on failure nothing of it is left. */
static int create(struct runtime *rt, const struct create_options *o, const char *id, bool runs,
		  bool detach, struct container *ret_c, struct err *e)
{
	__attribute__((cleanup(loaded_fini))) struct loaded l = { .bundle_fd = FD_NONE,
								  .text = BUF_INIT(JSON_TEXT_MAX) };
	auto_container struct container c = CONTAINER_INIT;
	auto_passed struct passed p = { .console_socket = FD_NONE };
	const struct engine_ops *ops;
	struct engine_caps caps;
	int r = container_check_id(id, e);

	if (r == 0)
		r = bundle_load(rt, o->bundle, o->config, &l, e);
	if (r < 0)
		return r;
	struct terminal_request t = { l.process->terminal, detach, o->console_socket,
				      o->preserve_fds };

	r = passed_open(rt, &t, &p, e);
	if (r == 0)
		r = passed_env(rt, &p, l.process, e);
	if (r == 0)
		r = engine_for(rt, l.spec, &ops, &caps, e);
	if (r == 0)
		r = container_new(rt, id, l.bundle, ops->name, l.spec, l.json, buf_str(&l.text), &c,
				  e);
	if (r < 0)
		return r;
	r = notify_plan(rt, &c, l.spec, l.process, e);
	if (r < 0) {
		container_remove(rt, &c);
		return r;
	}
	c.in = instance_new(ops, &caps);
	auto_fd int cache = l.spec->linux_.seccomp ? container_cache(rt) : FD_NONE;
	struct bundle b = {
		.id = id,
		.spec = l.spec,
		.bundle_fd = l.bundle_fd,
		.root_fd = FD_NONE,
		.stdio = { STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO },
		.console_socket = p.console_socket,
		.preserve_fds = p.fds,
		.preserve_fds_n = p.fds_n,
		.no_pivot = o->no_pivot,
		.no_new_keyring = o->no_new_keyring,
		.rootless = rt->rootless_mode,
		.systemd_cgroup = rt->systemd_cgroup,
		.pid_file = o->pid_file && o->pid_file[0] ? o->pid_file : NULL,
		.bundle_path = l.bundle,
		.config_path = l.config_path,
		.no_cgroups = rt->no_cgroups,
		.at_once = runs && goes_on(o, l.spec),
		.pods_path = pods_path(rt),
		.state_fd = c.dir_fd,
		.cache_fd = cache,
		.spare_fd = &rt->self_fd,
		.note = container_note(rt, &c),
	};

	const char *receiver = pidfd_receiver(o, l.spec);

	if (l.process->terminal)
		b.stdio[0] = b.stdio[1] = b.stdio[2] = FD_NONE;
	process_warn(l.process);
	log_debug("nsexec container setup: engine %s makes '%s'", ops->name, id);
	r = c.in ? engine_create(c.in, &b, clock_deadline(CREATE_WITHIN), e)
		 : err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	if (r == 0)
		log_debug("child process in init(): pid %d of '%s'", c.in->pid, id);
	if (r == 0 && (must_save(l.spec, runs) || receiver))
		r = engine_save(c.in, c.dir_fd, e);
	if (r == 0 && receiver)
		r = pidfd_hand_over(receiver, c.in->pidfd, e);
	if (r < 0) {
		if (c.in)
			engine_destroy(c.in);
		container_remove(rt, &c);
		return r;
	}
	log_debug("init: closing the pipe to signal completion: '%s' waits for its start", id);
	c.state = ENGINE_CREATED;
	*ret_c = c;
	c = CONTAINER_INIT;
	return 0;
}

static int run_create(struct runtime *rt, const void *options, const struct strings *args,
		      struct err *e)
{
	auto_container struct container c = CONTAINER_INIT;

	return create(rt, options, args->v[0], false, true, &c, e);
}

static int start(struct container *c, struct notify *ret_notify, struct err *e)
{
	int r = notify_open(c, ret_notify, e);

	if (r == 0)
		r = engine_start(c->in, e);
	if (r == 0)
		r = engine_save(c->in, c->dir_fd, e);
	return r;
}

/* Started and left alone; but for what a service manager waits for. */
static int leave(struct container *c, const struct notify *n)
{
	container_unlock(c);
	notify_wait(n, c->in->pid, c->in->pidfd);
	return 0;
}

static int run_run(struct runtime *rt, const void *options, const struct strings *args,
		   struct err *e)
{
	const struct create_options *o = options;
	auto_container struct container c = CONTAINER_INIT;
	auto_notify struct notify n = NOTIFY_INIT;
	struct err again;

	if (!o->detach) {
		if (!o->no_subreaper && prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
			return err_sys(e, errno, "become the reaper of orphans");
		foreground_prepare();
	}
	int r = create(rt, o, args->v[0], true, o->detach, &c, e);

	if (r < 0)
		return r;
	r = start(&c, &n, e);
	if (r < 0) { /* the first failure is the one to tell */
		(void) container_delete(rt, &c, true, &again);
		return r;
	}
	if (o->detach)
		return leave(&c, &n);
	container_unlock(&c);
	close_fd(&rt->self_fd);
	r = foreground_wait(c.in->pid, c.in->pidfd, c.in->console_fd, &n, e);
	engine_exited(c.in);
	c.state = c.in->state;
	int there = container_relock(rt, &c, &again);

	if (there < 0) {
		log_warn("%s", again.msg);
	} else if (there == 0) {
		log_debug("'%s' was deleted by another", c.id);
	} else if (o->keep) {
		if (engine_save(c.in, c.dir_fd, &again) < 0)
			log_warn("%s", again.msg);
	} else if (container_delete(rt, &c, true, &again) < 0) {
		log_warn("%s", again.msg);
	}
	return r;
}

static int run_start(struct runtime *rt, const void *options, const struct strings *args,
		     struct err *e)
{
	auto_container struct container c = CONTAINER_INIT;
	auto_notify struct notify n = NOTIFY_INIT;
	int r = container_open(rt, args->v[0], CONTAINER_CHANGE, &c, e);

	(void) options;
	if (r < 0)
		return r;
	switch (c.state) {
	case ENGINE_CREATED:
		r = start(&c, &n, e);
		if (r == 0)
			return leave(&c, &n);
		if (c.in->state == ENGINE_FAILED) {
			struct err ignored;

			/* A poststart hook failed, say: the specification wants it deleted. */
			(void) container_delete(rt, &c, true, &ignored);
		}
		return r;
	case ENGINE_RUNNING:
	case ENGINE_PAUSED:
		return err_set(e, ERR_CONFLICT, 0,
			       "cannot start an already running container: '%s'", c.id);
	case ENGINE_NONE:
	case ENGINE_CREATING:
	case ENGINE_STOPPING:
	case ENGINE_STOPPED:
	case ENGINE_FAILED:
		break;
	}
	return err_set(e, ERR_CONFLICT, 0, "cannot start a container that has stopped: '%s'", c.id);
}

const struct verb verb_create = {
	.name = "create",
	.usage = "CONTAINER",
	.help = "make a container; start runs its process",
	.options = VERB_OPTIONS(create_options),
	.size = sizeof(struct create_options),
	.min_args = 1,
	.max_args = 1,
	.run = run_create,
	.prefixed = true,
	.enters = true,
};
const struct verb verb_run = {
	.name = "run",
	.usage = "CONTAINER",
	.help = "create and start a container, wait for its end and delete it",
	.options = VERB_OPTIONS(run_options),
	.size = sizeof(struct create_options),
	.min_args = 1,
	.max_args = 1,
	.run = run_run,
	.prefixed = true,
	.enters = true,
};
const struct verb verb_start = {
	.name = "start",
	.usage = "CONTAINER",
	.help = "run the process of a created container",
	.min_args = 1,
	.max_args = 1,
	.run = run_start,
};
