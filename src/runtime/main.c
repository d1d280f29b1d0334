/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: global options, the table of verbs, and the one place that reports errors. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/log.h"
#include "runtime/runtime.h"
#include "sys/ns.h"
#include "sys/self.h"
#include "sys/unix.h"

#define NAME	     "atoll-runtime"
#define MICROVM_NAME "atoll-microvm"
#define SANDBOX_NAME "atoll-sandbox"
#define DEFAULT_ROOT "/run/atoll-runtime"
#define ARENA_MAX    (64u << 20)
#define SPEC_VERSION "1.3.0"

static const struct verb *const verbs[] = {
	&verb_create,  &verb_delete, &verb_events, &verb_exec,	 &verb_features, &verb_checkpoint,
	&verb_restore, &verb_kill,   &verb_list,   &verb_mounts, &verb_pause,	 &verb_ps,
	&verb_resume,  &verb_run,    &verb_spec,   &verb_start,	 &verb_state,	 &verb_update,
};

#define GLOBAL(kind_, name_, letter_, member, value_, help_)                                       \
	{                                                                                          \
		.name = (name_), .letter = (letter_), .kind = (kind_),                             \
		.offset = offsetof(struct runtime, member), .value = (value_), .help = (help_)     \
	}
static const struct option global_options[] = {
	GLOBAL(OPTION_STRING, "root", 0, root, "DIR",
	       "state of containers (" DEFAULT_ROOT ", or below XDG_RUNTIME_DIR)"),
	GLOBAL(OPTION_STRING, "log", 0, log, "TARGET",
	       "write the log there: FILE, file:FILE, journald:NAME, syslog:NAME"),
	GLOBAL(OPTION_STRING, "log-format", 0, log_format, "text|json", "form of the log (text)"),
	GLOBAL(OPTION_STRING, "log-level", 0, log_level, "LEVEL", "error, warning, info or debug"),
	GLOBAL(OPTION_FLAG, "debug", 0, debug, NULL, "log what is done"),
	GLOBAL(OPTION_FLAG, "systemd-cgroup", 0, systemd_cgroup, NULL,
	       "as --cgroup-manager systemd"),
	GLOBAL(OPTION_STRING, "cgroup-manager", 0, cgroup_manager, "NAME",
	       "cgroupfs, systemd, or disabled: containers stay in the caller's cgroup"),
	GLOBAL(OPTION_STRING, "rootless", 0, rootless, "auto|true|false",
	       "tolerate cgroups that cannot be written (auto)"),
	GLOBAL(OPTION_STRING, "isolation", 0, isolation, "NAME",
	       "the engine that runs it (container)"),
	GLOBAL(OPTION_STRING, "criu", 0, criu, "PATH",
	       "the program that checkpoint and restore use (criu in PATH)"),
	GLOBAL(OPTION_FLAG, "version", 'v', version, NULL, "print the version"),
};
static const struct option_table globals = { .v = global_options,
					     .n = ARRAY_SIZE(global_options),
					     .first = true };

/* What it was called as: who installs it in the place of runc or crun is told of runc or crun. */
static const char *program_name(const char *argv0)
{
	const char *slash = argv0 ? strrchr(argv0, '/') : NULL;
	const char *name = slash ? slash + 1 : argv0;

	return name && name[0] ? name : NAME;
}

static void help(const char *program)
{
	(void) printf("NAME:\n   %s - Open Container Initiative runtime\n\n"
		      "Usage: %s [OPTION...] COMMAND [OPTION...] [ARGUMENT...]\n\n"
		      "COMMANDS:\n",
		      program, program);
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		(void) printf("   %-10s %s\n", verbs[i]->name, verbs[i]->help);
	(void) printf("\nOPTIONS:\n");
	options_help(&globals);
	(void) printf("\n%s COMMAND --help tells about a command.\n", program);
}

static void verb_help(const char *program, const struct verb *v)
{
	(void) printf("NAME:\n   %s %s - %s\n\nUsage: %s [OPTION...] %s %s\n", program, v->name,
		      v->help, program, v->name, v->usage);
	if (v->options.n)
		(void) printf("\nOPTIONS:\n");
	options_help(&v->options);
}

static bool asks_for_help(const struct strings *args)
{
	for (size_t i = 0; i < args->n; i++) {
		if (streq(args->v[i], "-h") || streq(args->v[i], "--help"))
			return true;
	}
	return false;
}

static const struct verb *find_verb(const struct strings *args, struct err *e)
{
	const char *names[ARRAY_SIZE(verbs)], *name = args->v[0];

	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
		if (streq(verbs[i]->name, name))
			return verbs[i];
		names[i] = verbs[i]->name;
	}
	const char *near = str_nearest(name, names, ARRAY_SIZE(names));

	(void) err_set(e, ERR_INVALID, EINVAL, "%s'%s'%s%s%s",
		       asks_for_help(args) ? "No help topic for " : "no such command: ", name,
		       near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
	return NULL;
}

/* "FILE", "file:FILE", "syslog:IDENTIFIER", "journald:IDENTIFIER": as crun has them. Gives. */
static int open_log(const char *to, struct log_config *c, struct err *e)
{
	static const struct {
		const char *prefix, *path;
		enum log_format format;
	} sockets[] = {
		{ "syslog:", "/dev/log", LOG_FORMAT_SYSLOG },
		{ "journald:", "/run/systemd/journal/socket", LOG_FORMAT_JOURNALD },
	};
	int fd;

	for (size_t i = 0; i < ARRAY_SIZE(sockets); i++) {
		size_t n = strlen(sockets[i].prefix);

		if (strncmp(to, sockets[i].prefix, n) != 0)
			continue;
		c->format = sockets[i].format;
		c->ident = to[n] ? to + n : NAME;
		fd = unix_connect(sockets[i].path, SOCK_DGRAM, 0);
		return fd < 0 ? err_sys(e, -fd, "--log '%s': connect to %s", to, sockets[i].path)
			      : fd;
	}
	if (strncmp(to, "file:", 5) == 0)
		to += 5;
	fd = open(to, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	return fd < 0 ? err_sys(e, errno, "open the log '%s'", to) : fd;
}

static int set_log(const struct runtime *rt, struct err *e)
{
	struct log_config c = { .fd = STDERR_FILENO, .level = LOG_LEVEL_WARN };
	static const char *const levels[] = {
		[LOG_LEVEL_ERROR] = "error",
		[LOG_LEVEL_WARN] = "warning",
		[LOG_LEVEL_INFO] = "info",
		[LOG_LEVEL_DEBUG] = "debug",
	};

	if (rt->log_format && streq(rt->log_format, "json"))
		c.format = LOG_FORMAT_JSON;
	else if (rt->log_format && rt->log_format[0] && !streq(rt->log_format, "text"))
		return err_set(e, ERR_INVALID, EINVAL, "invalid log-format: '%s'", rt->log_format);
	for (size_t i = 0; rt->log_level && i < ARRAY_SIZE(levels); i++) {
		if (streq(rt->log_level, levels[i]))
			c.level = (enum log_level) i;
		else if (i + 1 == ARRAY_SIZE(levels) && !streq(levels[c.level], rt->log_level))
			return err_set(e, ERR_INVALID, EINVAL, "invalid log-level: '%s'",
				       rt->log_level);
	}
	if (rt->debug)
		c.level = LOG_LEVEL_DEBUG;
	if (rt->log && rt->log[0]) {
		int fd = open_log(rt->log, &c, e);

		if (fd < 0)
			return fd;
		/* Above the descriptors that --preserve-fds passes on; open until the end. */
		c.fd = fcntl(fd, F_DUPFD_CLOEXEC, 100);
		if (c.fd < 0)
			c.fd = fd;
		else
			(void) close(fd);
	}
	log_configure(&c);
	return 0;
}

/*
 * Root of a user namespace is the user outside when the environment is the user's: as runc has it,
 * and what podman relies on.
 */
static bool is_user(const char *run)
{
	const char *user = secure_getenv("USER");

	return geteuid() != 0 || (run && run[0] && !(user && streq(user, "root")) && ns_in_user());
}

/* The usual place; without XDG_RUNTIME_DIR the one that login managers make, or a private one. */
static int default_root(struct runtime *rt, struct err *e)
{
	const char *run = secure_getenv("XDG_RUNTIME_DIR");
	struct stat st;

	rt->root = DEFAULT_ROOT;
	if (!is_user(run))
		return 0;
	rt->root_private = true;
	if (run && run[0] == '/') {
		rt->root = arena_printf(rt->arena, "%s/" NAME, run);
	} else {
		const char *made = arena_printf(rt->arena, "/run/user/%u", geteuid());
		bool there = made && lstat(made, &st) == 0 && S_ISDIR(st.st_mode) &&
			     st.st_uid == geteuid();

		rt->root = there ? arena_printf(rt->arena, "%s/" NAME, made)
				 : arena_printf(rt->arena, "/tmp/" NAME "-%u", geteuid());
	}
	return rt->root ? 0 : err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
}

static int check_globals(struct runtime *rt, struct err *e)
{
	rt->root_named = rt->root && rt->root[0];
	int r = rt->root_named ? 0 : default_root(rt, e);

	if (r < 0)
		return r;
	/* What callers that cannot give options choose by name. */
	if (streq(rt->program, MICROVM_NAME) && !rt->isolation)
		rt->isolation = "microvm";
	if (streq(rt->program, SANDBOX_NAME) && !rt->isolation)
		rt->isolation = "sandbox";
	const char *manager = rt->cgroup_manager;

	if (manager && !streq(manager, "cgroupfs") && !streq(manager, "systemd") &&
	    !streq(manager, "disabled"))
		return err_set(e, ERR_INVALID, EINVAL,
			       "--cgroup-manager '%s': must be cgroupfs, systemd or disabled",
			       manager);
	if (rt->systemd_cgroup && manager && !streq(manager, "systemd"))
		return err_set(e, ERR_INVALID, EINVAL,
			       "--systemd-cgroup and --cgroup-manager '%s' contradict each other",
			       manager);
	rt->systemd_cgroup = rt->systemd_cgroup || (manager && streq(manager, "systemd"));
	rt->no_cgroups = manager && streq(manager, "disabled");
	if (rt->rootless && !streq(rt->rootless, "auto") && !streq(rt->rootless, "true") &&
	    !streq(rt->rootless, "false"))
		return err_set(e, ERR_INVALID, EINVAL,
			       "--rootless '%s': must be auto, true or false", rt->rootless);
	rt->rootless_mode = !rt->rootless || streq(rt->rootless, "auto") ? ROOTLESS_AUTO
			    : streq(rt->rootless, "true")		 ? ROOTLESS_TRUE
									 : ROOTLESS_FALSE;
	return 0;
}

static int run_verb(struct runtime *rt, const struct verb *v, const struct strings *argv,
		    struct err *e)
{
	struct strings args;
	void *options = arena_alloc(rt->arena, v->size ? v->size : 1);
	bool wants_help;
	int r;

	if (!options)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	r = options_parse(&v->options, (char *const *) (const void *) argv->v, argv->n, rt->arena,
			  options, &args, &wants_help, e);
	if (r < 0)
		return r;
	if (wants_help) {
		verb_help(rt->program, v);
		return 0;
	}
	if (args.n < v->min_args || args.n > v->max_args)
		return err_set(e, ERR_INVALID, EINVAL,
			       "\"%s\" requires %s %zu argument(s), not %zu: %s %s", v->name,
			       v->min_args == v->max_args ? "exactly"
			       : args.n < v->min_args	  ? "a minimum of"
							  : "a maximum of",
			       args.n < v->min_args ? v->min_args : v->max_args, args.n, v->name,
			       v->usage);
	log_debug("%s", v->name);
	return v->run(rt, options, &args, e);
}

static void print_version(const char *program)
{
	(void) printf("%s version " ATOLL_VERSION "\ncommit: v" ATOLL_VERSION
		      "\nspec: " SPEC_VERSION "\n"
		      "+SYSTEMD +SELINUX +APPARMOR +CAP +SECCOMP +EBPF +CRIU\n",
		      program);
}

/* The log has it for those who follow it; whoever called by hand sees it too. */
static int fail(const struct runtime *rt, const struct verb *v, struct err *e)
{
	if (v && v->prefixed)
		(void) err_ctx(e, "%s %s failed", rt->program, v->name);
	log_error("%s", e->msg);
	if (rt->log && rt->log[0])
		(void) fprintf(stderr, "%s\n", e->msg);
	return v && v->failure ? v->failure : 1;
}

int main(int argc, char **argv)
{
	auto_arena struct arena arena = ARENA_INIT(ARENA_MAX);
	struct runtime rt = { .arena = &arena,
			      .program = program_name(argc > 0 ? argv[0] : NULL),
			      .self_fd = FD_NONE };
	const struct verb *v = NULL;
	struct strings args;
	struct err e = { 0 };
	bool wants_help;

	/* Descriptors 0 to 2 that are closed would be given to files of ours. */
	for (int fd = 0; fd <= 2; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0)
			return 1;
	}
	int r = options_parse(&globals, argv + 1, argc > 0 ? (size_t) argc - 1 : 0, &arena, &rt,
			      &args, &wants_help, &e);

	if (r == 0)
		r = set_log(&rt, &e);
	if (r == 0)
		r = check_globals(&rt, &e);
	if (r < 0)
		return fail(&rt, v, &e);
	if (rt.version) {
		print_version(rt.program);
		return 0;
	}
	if (args.n == 0 || wants_help || (streq(args.v[0], "help") && args.n == 1)) {
		help(rt.program);
		return 0;
	}
	const char *topic[] = { args.v[1], "--help", NULL };

	if (streq(args.v[0], "help"))
		args = (struct strings){ topic, 2 };
	v = find_verb(&args, &e);
	if (v) {
		if (v->enters)
			rt.self_fd = self_protect(argv);
		struct strings rest = { args.v + 1, args.n - 1 };

		r = run_verb(&rt, v, &rest, &e);
		if (r >= 0)
			return fflush(stdout) == 0 ? r : 1;
	}
	return fail(&rt, v, &e);
}
