/* SPDX-License-Identifier: Apache-2.0 */
/* exec: another process in a running container. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/log.h"
#include "base/num.h"
#include "fmt/spec.h"
#include "runtime/foreground.h"
#include "runtime/state.h"
#include "sys/pidfd.h"

struct exec_options {
	const char *console_socket, *cwd, *user, *process, *pid_file, *process_label, *apparmor;
	const char *preserve_fds, *pidfd_socket;
	struct strings env, caps, groups, cgroups;
	bool tty, detach, no_new_privs, ignore_paused;
};

#define OPT(kind_, name_, letter_, member, value_, help_)                                          \
	{                                                                                          \
		.name = (name_), .letter = (letter_), .kind = (kind_),                             \
		.offset = offsetof(struct exec_options, member), .value = (value_),                \
		.help = (help_)                                                                    \
	}
static const struct option exec_options[] = {
	OPT(OPTION_STRING, "process", 'p', process, "FILE", "the process section as JSON"),
	OPT(OPTION_STRING, "cwd", 0, cwd, "DIR", "its current directory"),
	OPT(OPTION_STRINGS, "env", 'e', env, "NAME=VALUE", "one more of its environment"),
	OPT(OPTION_FLAG, "tty", 't', tty, NULL, "give it a terminal"),
	OPT(OPTION_STRING, "user", 'u', user, "UID[:GID]", "run it as"),
	OPT(OPTION_STRINGS, "additional-gids", 'g', groups, "GID", "one more group"),
	OPT(OPTION_STRINGS, "cap", 'c', caps, "CAP_NAME", "one more capability"),
	OPT(OPTION_FLAG, "no-new-privs", 0, no_new_privs, NULL, "it cannot gain privileges"),
	OPT(OPTION_STRING, "process-label", 0, process_label, "LABEL", "its SELinux label"),
	OPT(OPTION_STRING, "apparmor", 0, apparmor, "PROFILE", "its AppArmor profile"),
	OPT(OPTION_FLAG, "detach", 'd', detach, NULL, "do not wait for its end"),
	OPT(OPTION_STRING, "pid-file", 0, pid_file, "FILE", "write the pid there"),
	OPT(OPTION_STRING, "pidfd-socket", 0, pidfd_socket, "PATH",
	    "unix socket that receives its pidfd"),
	OPT(OPTION_STRING, "console-socket", 0, console_socket, "PATH",
	    "unix socket that receives the pty's master"),
	OPT(OPTION_STRING, "preserve-fds", 0, preserve_fds, "N",
	    "pass N more descriptors on: 3, 4, ..."),
	OPT(OPTION_STRINGS, "cgroup", 0, cgroups, "[CONTROLLER:]PATH",
	    "a cgroup below the container's"),
	OPT(OPTION_FLAG, "ignore-paused", 0, ignore_paused, NULL, "also when it is paused"),
};

static int no_memory(struct err *e)
{
	return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
}

static int read_process(struct runtime *rt, const char *path, const struct spec_process **ret_p,
			struct err *e)
{
	auto_buf struct buf text = BUF_INIT(JSON_TEXT_MAX);
	const struct json *v;
	int r = file_read(AT_FDCWD, path, &text);

	if (r < 0)
		return err_sys(e, -r, "read '%s' (--process)", path);
	r = json_parse(rt->arena, buf_str(&text), &v, e);
	if (r == 0)
		r = spec_process_decode(rt->arena, v, ret_p, e);
	return r < 0 ? err_ctx(e, "'%s' (--process)", path) : 0;
}

/* Numbers that end where the text ends: "1x" is nobody, and not user 1 or root. */
static int set_user(struct spec_user *u, const char *text, struct err *e)
{
	struct str gid, uid = str_cut(str_of(text), ':', &gid);

	if (num_parse_u32(uid, 0, UINT32_MAX - 1, &u->uid) < 0 ||
	    (gid.p && num_parse_u32(gid, 0, UINT32_MAX - 1, &u->gid) < 0))
		return err_set(e, ERR_INVALID, EINVAL,
			       "--user '%s': must be UID or UID:GID, as numbers", text);
	return 0;
}

static int add_env(struct runtime *rt, struct spec_process *p, const struct strings *more,
		   struct err *e)
{
	const char **env = arena_array(rt->arena, p->env_n + more->n + 1, sizeof(*env));

	if (!env)
		return no_memory(e);
	for (size_t i = 0; i < p->env_n; i++)
		env[i] = p->env[i];
	for (size_t i = 0; i < more->n; i++) {
		const char *eq = strchr(more->v[i], '=');

		if (!eq || eq == more->v[i])
			return err_set(e, ERR_INVALID, EINVAL, "--env '%s': must be NAME=VALUE",
				       more->v[i]);
		env[p->env_n + i] = more->v[i];
	}
	p->env = env;
	p->env_n += more->n;
	return 0;
}

static int add_groups(struct runtime *rt, struct spec_user *u, const struct strings *more,
		      struct err *e)
{
	uint32_t *v = arena_array(rt->arena, u->additional_gids.n + more->n + 1, sizeof(*v));

	if (!v)
		return no_memory(e);
	for (size_t i = 0; i < u->additional_gids.n; i++)
		v[i] = u->additional_gids.v[i];
	for (size_t i = 0; i < more->n; i++) {
		if (num_parse_u32(str_of(more->v[i]), 0, UINT32_MAX - 1,
				  &v[u->additional_gids.n + i]) < 0)
			return err_set(e, ERR_INVALID, EINVAL,
				       "--additional-gids '%s': must be a number", more->v[i]);
	}
	u->additional_gids.v = v;
	u->additional_gids.n += more->n;
	return 0;
}

static int add_caps(struct runtime *rt, struct spec_process *p, const struct strings *more,
		    struct err *e)
{
	struct spec_caps *caps = arena_alloc(rt->arena, sizeof(*caps));

	if (!caps)
		return no_memory(e);
	if (p->caps)
		*caps = *p->caps;
	for (size_t i = 0; i < more->n; i++) {
		int n = spec_cap_number(more->v[i]);

		if (n < 0)
			return err_set(e, ERR_INVALID, EINVAL, "--cap '%s': no such capability",
				       more->v[i]);
		uint64_t bit = (uint64_t) 1 << n;

		caps->bounding |= bit;
		caps->effective |= bit;
		caps->permitted |= bit;
		/* Ambient needs it inheritable, and only then a user without root keeps it. */
		if (caps->inheritable || caps->ambient) {
			caps->inheritable |= bit;
			caps->ambient |= bit;
		}
	}
	p->caps = caps;
	return 0;
}

/* The process of the container's own spec, changed by what the command line says. */
static int process_of(struct runtime *rt, const struct spec *s, const struct exec_options *o,
		      const struct strings *args, struct spec_process *ret_p, struct err *e)
{
	const struct spec_process *base;
	int r = 0;

	if (o->process && o->process[0]) {
		r = read_process(rt, o->process, &base, e);
	} else {
		base = s->process;
		if (args->n < 2)
			return err_set(
				e, ERR_INVALID, EINVAL,
				"process args cannot be empty: name a command, or --process");
	}
	if (r < 0)
		return r;
	if (!base)
		return err_set(e, ERR_INVALID, EINVAL, "the container has no process section");
	*ret_p = *base;
	if (!o->process || !o->process[0]) {
		ret_p->args = args->v + 1;
		ret_p->args_n = args->n - 1;
		ret_p->terminal = o->tty;
		ret_p->console_size = NULL;
	} else if (o->tty) {
		ret_p->terminal = true;
	}
	if (o->cwd && o->cwd[0])
		ret_p->cwd = o->cwd;
	if (o->no_new_privs)
		ret_p->no_new_privileges = true;
	if (o->process_label && o->process_label[0])
		ret_p->selinux_label = o->process_label;
	if (o->apparmor && o->apparmor[0])
		ret_p->apparmor_profile = o->apparmor;
	if (o->user && o->user[0])
		r = set_user(&ret_p->user, o->user, e);
	if (r == 0 && o->env.n)
		r = add_env(rt, ret_p, &o->env, e);
	if (r == 0 && o->groups.n)
		r = add_groups(rt, &ret_p->user, &o->groups, e);
	if (r == 0 && o->caps.n)
		r = add_caps(rt, ret_p, &o->caps, e);
	return r;
}

static int check_state(const struct container *c, const struct exec_options *o, struct err *e)
{
	switch (c->state) {
	case ENGINE_CREATED:
	case ENGINE_RUNNING:
		return 0;
	case ENGINE_PAUSED:
		return o->ignore_paused
			       ? 0
			       : err_set(e, ERR_CONFLICT, 0,
					 "cannot exec in a paused container (use --ignore-paused "
					 "to override): '%s'",
					 c->id);
	case ENGINE_NONE:
	case ENGINE_CREATING:
	case ENGINE_STOPPING:
	case ENGINE_STOPPED:
	case ENGINE_FAILED:
		break;
	}
	return err_set(e, ERR_CONFLICT, 0, "cannot exec in a stopped container: '%s'", c->id);
}

static int write_pid(const char *path, pid_t pid, struct err *e)
{
	char text[16];
	const char *slash = strrchr(path, '/');
	auto_free char *dir = str_dup((struct str){ path, slash ? (size_t) (slash - path) : 0 });

	if (!dir)
		return no_memory(e);
	auto_fd int fd = open(!slash   ? "."
			      : dir[0] ? dir
				       : "/",
			      O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int n = snprintf(text, sizeof(text), "%d", pid);
	int r = fd < 0 ? -errno
		       : file_replace(fd, slash ? slash + 1 : path,
				      (struct str){ text, (size_t) n }, 0644, false);

	return r < 0 ? err_sys(e, -r, "write the pid file '%s'", path) : 0;
}

/* It runs: tell those who asked about it. A failure ends it, or nobody would know of it. */
static int announce(const struct exec_options *o, const struct exec *x, struct err *e)
{
	int r = 0;

	if (o->pid_file && o->pid_file[0])
		r = write_pid(o->pid_file, x->pid, e);
	if (r == 0 && o->pidfd_socket && o->pidfd_socket[0])
		r = pidfd_hand_over(o->pidfd_socket, x->pidfd, e);
	if (r < 0)
		(void) pidfd_kill(x->pidfd, SIGKILL);
	return r;
}

static int run_exec(struct runtime *rt, const void *options, const struct strings *args,
		    struct err *e)
{
	const struct exec_options *o = options;
	auto_container struct container c = CONTAINER_INIT;
	auto_passed struct passed p = { .console_socket = FD_NONE };
	const struct spec *s = NULL;
	struct spec_process process;
	struct exec x = { .pidfd = FD_NONE, .console_fd = FD_NONE };
	int r = container_open(rt, args->v[0], CONTAINER_LOOK, &c, e);

	if (r == 0)
		r = check_state(&c, o, e);
	if (r == 0)
		r = container_spec(rt, &c, &s, e);
	if (r == 0)
		r = process_of(rt, s, o, args, &process, e);
	if (r < 0)
		return r;
	struct terminal_request t = { process.terminal, o->detach, o->console_socket,
				      o->preserve_fds };

	r = passed_open(rt, &t, &p, e);
	if (r == 0)
		r = passed_env(rt, &p, &process, e);
	if (r < 0)
		return r;
	auto_fd int cache = s->linux_.seccomp ? container_cache(rt) : FD_NONE;
	struct exec_spec spec = {
		.process = &process,
		.seccomp = s->linux_.seccomp,
		.cache_fd = cache,
		.stdio = { STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO },
		.console_socket = p.console_socket,
		.preserve_fds = p.fds,
		.preserve_fds_n = p.fds_n,
		.personality_set = s->linux_.personality_set,
		.personality = s->linux_.personality,
		.memory_policy = s->linux_.memory_policy,
		.cgroups = o->cgroups.v,
		.cgroups_n = o->cgroups.n,
		.ignore_paused = o->ignore_paused,
	};

	if (process.terminal)
		spec.stdio[0] = spec.stdio[1] = spec.stdio[2] = FD_NONE;
	process_warn(&process);
	if (!o->detach)
		foreground_prepare();
	log_debug("nsexec container setup: exec into '%s' joins its namespaces", c.id);
	r = engine_exec(c.in, &spec, &x, e);
	if (r < 0)
		return r;
	log_debug("child process in init(): pid %d of '%s'", x.pid, c.id);
	log_debug("setns_init: about to exec: done");
	auto_fd int pidfd = x.pidfd;
	auto_fd int console = x.console_fd;

	r = announce(o, &x, e);
	close_fd(&rt->self_fd);
	if (r == 0 && !o->detach)
		r = foreground_wait(x.pid, pidfd, console, NULL, e);
	return r;
}

const struct verb verb_exec = {
	.name = "exec",
	.usage = "CONTAINER cmd [ARGUMENT...]",
	.help = "run another process in a running container",
	.options = { .v = exec_options, .n = ARRAY_SIZE(exec_options), .first = true },
	.size = sizeof(struct exec_options),
	.min_args = 1,
	.max_args = VERB_ANY_ARGS,
	.run = run_exec,
	.enters = true,
	.failure = 255, /* not one that the command could give */
};
