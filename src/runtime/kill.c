/* SPDX-License-Identifier: Apache-2.0 */
/* kill and delete. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/log.h"
#include "base/num.h"
#include "engine/container/groups.h"
#include "engine/container/hostroot.h"
#include "engine/container/rdt.h"
#include "fmt/spec.h"
#include "runtime/delete.h"
#include "runtime/match.h"

#define KILL_WITHIN   (10 * NSEC_PER_SEC)
#define REMOVE_WITHIN (2 * NSEC_PER_SEC)
#define MEMBERS_MAX   2048

static const struct {
	const char *name;
	int number;
} signals[] = {
	{ "ABRT", SIGABRT }, { "ALRM", SIGALRM }, { "BUS", SIGBUS },	   { "CHLD", SIGCHLD },
	{ "CLD", SIGCHLD },  { "CONT", SIGCONT }, { "FPE", SIGFPE },	   { "HUP", SIGHUP },
	{ "ILL", SIGILL },   { "INT", SIGINT },	  { "IO", SIGIO },	   { "IOT", SIGIOT },
	{ "KILL", SIGKILL }, { "PIPE", SIGPIPE }, { "POLL", SIGPOLL },	   { "PROF", SIGPROF },
	{ "PWR", SIGPWR },   { "QUIT", SIGQUIT }, { "SEGV", SIGSEGV },	   { "STKFLT", SIGSTKFLT },
	{ "STOP", SIGSTOP }, { "SYS", SIGSYS },	  { "TERM", SIGTERM },	   { "TRAP", SIGTRAP },
	{ "TSTP", SIGTSTP }, { "TTIN", SIGTTIN }, { "TTOU", SIGTTOU },	   { "URG", SIGURG },
	{ "USR1", SIGUSR1 }, { "USR2", SIGUSR2 }, { "VTALRM", SIGVTALRM }, { "WINCH", SIGWINCH },
	{ "XCPU", SIGXCPU }, { "XFSZ", SIGXFSZ },
};

/* A name with or without SIG, in any case, RTMIN+n, RTMAX-n, or a number. */
static int signal_of(const char *text, int *ret_signo, struct err *e)
{
	const char *name = strncasecmp(text, "SIG", 3) == 0 ? text + 3 : text;
	uint32_t n;

	if (num_parse_u32(str_of(text), 0, 64, &n) == 0) {
		*ret_signo = (int) n;
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		if (strcasecmp(name, signals[i].name) == 0) {
			*ret_signo = signals[i].number;
			return 0;
		}
	}
	bool min = strncasecmp(name, "RTMIN", 5) == 0, max = strncasecmp(name, "RTMAX", 5) == 0;
	uint32_t offset = 0;

	if ((min || max) &&
	    (name[5] == 0 || (name[5] == (min ? '+' : '-') &&
			      num_parse_u32(str_of(name + 6), 0, 30, &offset) == 0))) {
		*ret_signo = min ? SIGRTMIN + (int) offset : SIGRTMAX - (int) offset;
		return 0;
	}
	return err_set(e, ERR_INVALID, EINVAL, "unknown signal \"%s\"", text);
}

struct kill_options {
	bool all, regex;
};

static const struct option kill_options[] = {
	{ "all", 'a', OPTION_FLAG, offsetof(struct kill_options, all), NULL,
	  "to all processes of the container" },
	{ "regex", 'r', OPTION_FLAG, offsetof(struct kill_options, regex), NULL,
	  "CONTAINER is a regular expression: to all that match" },
};

/* An ordinary user's container without a cgroup: what can be found of it. */
static int signal_each(struct container *c, int signo, struct err *e)
{
	pid_t pids[MEMBERS_MAX];
	size_t n = 0;
	int r = engine_processes(c->in, pids, MEMBERS_MAX, &n, e);

	for (size_t i = 0; i < n && i < MEMBERS_MAX && r == 0; i++) {
		if (kill(pids[i], signo) < 0 && errno != ESRCH)
			r = err_sys(e, errno, "send signal %d to process %d", signo, pids[i]);
	}
	return r;
}

/* Whether the process is number 1 of its pid namespace: then all others there end with it. */
static bool leads_its_pids(pid_t pid)
{
	auto_buf struct buf text = BUF_INIT(1 << 16);
	char path[40];
	const char *line;

	(void) snprintf(path, sizeof(path), "/proc/%d/status", pid);
	if (file_read(AT_FDCWD, path, &text) < 0)
		return true;
	line = strstr(buf_z(&text), "\nNSpid:");
	if (!line)
		return true;
	struct str rest, ids = str_trim(str_cut(str_of(line + 1), '\n', &rest));

	return ids.n > 2 && ids.p[ids.n - 1] == '1' && ids.p[ids.n - 2] == '\t';
}

/* SIGKILL to all in its cgroups; *ret_any is set when somebody was there. */
static int kill_rest(const struct container *c, bool *ret_any, struct err *e)
{
	auto_groups struct groups *g = NULL;
	pid_t pid;
	size_t n = 0;

	if (groups_load(c->dir_fd, &g, e) < 0)
		return e->sys == ENOENT ? 0 : -1; /* it has none */
	if (groups_pids(g, &pid, 1, &n, e) < 0 || n == 0)
		return 0;
	*ret_any = true;
	return groups_signal(g, SIGKILL, e);
}

struct killing {
	bool all;
	int signo;
};

static int kill_one(struct runtime *rt, const char *id, const void *with, struct err *e)
{
	const struct killing *k = with;
	auto_container struct container c = CONTAINER_INIT;
	int signo = k->signo, r = container_open(rt, id, CONTAINER_LOOK, &c, e);

	if (r < 0)
		return r;
	if (k->all && c.in && c.in->ops->signal_all && container_pid(&c) != 0)
		return c.in->ops->signal_all(c.in, signo, e);
	if (k->all && c.in) {
		auto_groups struct groups *g = NULL;

		/* Also of a container whose first process has ended: others may live in a shared
		 * pid namespace. */
		r = groups_load(c.dir_fd, &g, e);
		if (r == 0 && (groups_any(g) || g->unit))
			return groups_signal(g, signo, e);
		if (r < 0 && e->sys != ENOENT)
			return r;
		r = container_pid(&c) != 0 ? signal_each(&c, signo, e) : 0;
		if (r == 0 && container_pid(&c) != 0)
			return 0;
		if (r < 0 && e->kind != ERR_UNSUPPORTED)
			return r;
		/* Only the init is known, and SIGKILL of that ends all. */
	}
	bool running = container_pid(&c) != 0, all = false;

	/* In a pid namespace that is not its own the others outlive the init. */
	if (c.in && signo == SIGKILL && !(running && leads_its_pids(c.in->pid))) {
		r = kill_rest(&c, &all, e);
		if (r < 0)
			return r;
	}
	if (!running && !all)
		return err_set(e, ERR_CONFLICT, ESRCH, "container not running: '%s'", c.id);
	if (all)
		return c.state == ENGINE_PAUSED ? engine_resume(c.in, e) : 0;
	r = engine_signal(c.in, signo, e);
	/* A frozen process of cgroup v1 cannot even die. */
	if (r == 0 && signo == SIGKILL && c.state == ENGINE_PAUSED)
		r = engine_resume(c.in, e);
	return r;
}

static int run_kill(struct runtime *rt, const void *options, const struct strings *args,
		    struct err *e)
{
	const struct kill_options *o = options;
	struct killing k = { .all = o->all, .signo = SIGTERM };
	int r = args->n > 1 ? signal_of(args->v[1], &k.signo, e) : 0;

	if (r < 0)
		return r;
	return o->regex ? containers_each(rt, args->v[0], kill_one, &k, e)
			: kill_one(rt, args->v[0], &k, e);
}

/*
 * What a creation left that was cut short before the engine could save all, and has not found. Once
 * it has saved where the cgroups are, what runs in them was started by it: they were empty when it
 * took them.
 */
static int clean_unfinished(struct runtime *rt, const struct container *c, struct err *e)
{
	const struct spec *s;
	auto_groups struct groups *g = NULL;
	struct rdt rdt = { 0 };
	struct hostroot root = { 0 };
	int r = rdt_load(&rdt, c->dir_fd, e);

	if (r == 0)
		rdt_remove(&rdt);
	rdt_fini(&rdt);
	if (hostroot_load(&root, c->dir_fd, e) == 0)
		hostroot_remove(&root);
	hostroot_fini(&root);
	r = groups_load(c->dir_fd, &g, e);
	if (r == 0) {
		r = groups_any(g) ? groups_kill(g, clock_deadline(KILL_WITHIN), e) : 0;
		r = r < 0 ? r : groups_remove(g, clock_deadline(REMOVE_WITHIN), e);
		groups_free(TAKE(g)); /* it may have been at making the others */
		if (r < 0)
			return r;
	}
	if (container_spec(rt, c, &s, e) < 0)
		return 0; /* so early that there are no cgroups either */
	struct groups_options o = { .id = c->id, .path = s->linux_.cgroups_path };

	/* Some may have been made. With processes in them they are another container's. */
	if (groups_find(&o, &g, e) < 0 || groups_remove(g, clock_mono(), e) < 0)
		log_warn("clean up after an unfinished creation: %s", e->msg);
	return 0;
}

int container_delete(struct runtime *rt, struct container *c, bool force, struct err *e)
{
	/* FAILED: its record was there, and its creator crashed before there was all. */
	bool unfinished = !c->in || c->state == ENGINE_FAILED;
	int r = 0;

	switch (c->state) {
	case ENGINE_CREATED: /* none of its own code ran: as with runc and crun */
		break;
	case ENGINE_CREATING:
	case ENGINE_RUNNING:
	case ENGINE_PAUSED:
	case ENGINE_STOPPING:
		if (!force)
			return err_set(e, ERR_CONFLICT, EBUSY,
				       "cannot delete container %s that is not stopped: %s", c->id,
				       container_status(c));
		r = c->in ? engine_kill(c->in, clock_deadline(KILL_WITHIN), e) : 0;
		if (r < 0)
			return r;
		break;
	case ENGINE_NONE:
	case ENGINE_STOPPED:
	case ENGINE_FAILED:
		break;
	}
	if (c->in)
		engine_destroy(c->in);
	if (unfinished)
		r = clean_unfinished(rt, c, e);
	if (r == 0)
		container_remove(rt, c);
	return r;
}

struct delete_options {
	bool force, regex;
};

static const struct option delete_options[] = {
	{ "force", 'f', OPTION_FLAG, offsetof(struct delete_options, force), NULL,
	  "kill it first when it runs; not an error when there is none" },
	{ "regex", 'r', OPTION_FLAG, offsetof(struct delete_options, regex), NULL,
	  "CONTAINER is a regular expression: all that match" },
};

static int delete_one(struct runtime *rt, const char *id, const void *with, struct err *e)
{
	const struct delete_options *o = with;
	auto_container struct container c = CONTAINER_INIT;
	int r = container_open(rt, id, o->force ? CONTAINER_END : CONTAINER_CHANGE, &c, e);

	if (r < 0 && o->force && e->kind == ERR_NOT_FOUND)
		return 0;
	return r < 0 ? r : container_delete(rt, &c, o->force, e);
}

static int run_delete(struct runtime *rt, const void *options, const struct strings *args,
		      struct err *e)
{
	const struct delete_options *o = options;

	return o->regex ? containers_each(rt, args->v[0], delete_one, o, e)
			: delete_one(rt, args->v[0], o, e);
}

const struct verb verb_kill = {
	.name = "kill",
	.usage = "CONTAINER [SIGNAL]",
	.help = "send a signal (TERM) to a container's process",
	.options = VERB_OPTIONS(kill_options),
	.size = sizeof(struct kill_options),
	.min_args = 1,
	.max_args = 2,
	.run = run_kill,
};
const struct verb verb_delete = {
	.name = "delete",
	.usage = "CONTAINER",
	.help = "take away what a stopped container has",
	.options = VERB_OPTIONS(delete_options),
	.size = sizeof(struct delete_options),
	.min_args = 1,
	.max_args = 1,
	.run = run_delete,
};
