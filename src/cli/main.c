/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PROGRAM atoll: finds the verb, parses its options by its table, calls it, and turns what it gave
 * into the exit status. It opens nothing by itself: svc opens the store for the verbs that need it.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/log.h"
#include "base/loop.h"
#include "cli/cli.h"
#include "cli/user.h"
#include "cli/verbs.h"

#define ARENA_MAX (512u << 20) /* bytes one call may use: ps of very many workloads */
#define OUT_MAX	  (1u << 30)
#define PATH_MAX_ 96 /* of "atoll container ls" */

const struct option root_option_table[ROOT_OPTIONS] = {
	{ OPTION_ITEM_(struct root_options, debug, OPTION_BOOL, "debug", 'D'),
	  .help = "Log what is done, on stderr" },
	{ OPTION_ITEM_(struct root_options, log_level, OPTION_STRING, "log-level", 0),
	  .value = "string", .help = "Log level (debug|info|warn|error) (default warn)",
	  .words = "debug info warn error" },
	{ OPTION_ITEM_(struct root_options, root, OPTION_STRING, "root", 0), .value = "directory",
	  .complete = OPTION_COMPLETE_DIR,
	  .help = "Where lasting data lies (ATOLL_ROOT; default /var/lib/atoll)" },
	{ OPTION_ITEM_(struct root_options, state, OPTION_STRING, "state", 0), .value = "directory",
	  .complete = OPTION_COMPLETE_DIR,
	  .help = "Where data of this boot lies (ATOLL_STATE; default /run/atoll)" },
	{ OPTION_ITEM_(struct root_options, version, OPTION_BOOL, "version", 'v'),
	  .help = "Print the version and quit" },
};

static void notice(struct svc *s, const char *text)
{
	cli_warn(LOOP_OWNER(s, struct cli, svc), "%s", text);
}

static int configure_log(const struct root_options *o, struct err *e)
{
	static const char *const names[] = { [LOG_LEVEL_ERROR] = "error",
					     [LOG_LEVEL_WARN] = "warn",
					     [LOG_LEVEL_INFO] = "info",
					     [LOG_LEVEL_DEBUG] = "debug" };
	struct log_config config = { .fd = STDERR_FILENO, .level = LOG_LEVEL_WARN };
	bool known = !o->log_level;

	for (size_t i = 0; o->log_level && i < ARRAY_SIZE(names); i++)
		if (streq(o->log_level, names[i])) {
			config.level = (enum log_level) i;
			known = true;
		}
	if (!known)
		return err_set(e, ERR_INVALID, EINVAL,
			       "--log-level '%.60s': debug, info, warn or error", o->log_level);
	if (o->debug)
		config.level = LOG_LEVEL_DEBUG;
	log_configure(&config);
	return 0;
}

static int help(struct cli *c)
{
	verb_help(c->verb, c->path, &c->out);
	return CLI_OK;
}

static int unknown_verb(struct cli *c, const char *name)
{
	const char *near = verb_nearest(c->verb, name);

	(void) cli_failf(c, "'%.60s' is not a command of '%s'%s%s%s", name, c->path,
			 near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
	cli_warn(c, "see '%s --help'", c->path);
	return CLI_FAILED;
}

/* Operands and flags of a leaf, and then the verb itself. */
static int call(struct cli *c, int argc, char *const *argv)
{
	const struct verb *v = c->verb;
	enum option_outcome outcome;
	struct option_args args;
	void *options = NULL;
	struct err e;

	if (v->size) {
		options = arena_alloc(&c->arena, v->size);
		if (!options)
			return cli_failf(c, "out of memory");
		if (v->defaults)
			memcpy(options, v->defaults, v->size);
	}
	if (option_parse(v, argc, argv, &c->arena, options, &outcome, &args, &e) < 0)
		return cli_usage(c, &e);
	if (outcome == OPTION_HELP)
		return help(c);
	if (option_check_args(v, c->path, args, &e) < 0) {
		(void) cli_usage(c, &e);
		cli_warn(c, "usage: %s %s", c->path, v->usage);
		return CLI_FAILED; /* as docker: a wrong number is 1, a wrong flag 125 */
	}
	int status = cli_user(c);

	return status == CLI_OK ? v->run(c, options, args) : status;
}

/* Down the tree by one word after the other. */
static int dispatch(struct cli *c, struct option_args words, char *const *argv)
{
	static char path[PATH_MAX_] = "atoll";
	bool asked = words.n && streq(words.argv[0], "help"); /* "atoll help run" */
	size_t at = asked;

	while (c->verb->verbs) {
		const struct verb_entry *en;
		size_t n = strlen(path);

		if (at == words.n || streq(words.argv[at], "--help") || streq(words.argv[at], "-h"))
			return help(c);
		en = verb_find(c->verb, words.argv[at]);
		if (!en && c->verb->otherwise) {
			c->verb = c->verb->otherwise;
			break;
		}
		if (!en)
			return unknown_verb(c, words.argv[at]);
		(void) snprintf(path + n, sizeof(path) - n, " %s", en->name);
		c->path = path;
		c->verb = en->verb;
		at++;
	}
	return asked ? help(c) : call(c, (int) (words.n - at), argv + at);
}

/* After the verb: the root's flags end at the first operand, so the rest is untouched argv. */
static int run(struct cli *c, int argc, char *const *argv)
{
	struct root_options o = { 0 };
	enum option_outcome outcome;
	struct option_args words;
	struct err e;
	int first = 0;

	/* Up to the first operand only: what follows is another table's. */
	while (first < argc && argv[first][0] == '-' && argv[first][1]) {
		const struct option *given = NULL;

		for (size_t i = 0; i < ROOT_OPTIONS; i++)
			if (streq(argv[first] + (argv[first][1] == '-' ? 2 : 1),
				  root_option_table[i].name))
				given = &root_option_table[i];
		first += given && option_takes_value(given) ? 2 : 1;
	}
	if (first > argc)
		first = argc;
	if (option_parse(&verb_root, first, argv, &c->arena, &o, &outcome, &words, &e) < 0)
		return cli_usage(c, &e);
	if (configure_log(&o, &e) < 0)
		return cli_usage(c, &e);
	if ((o.root && !*o.root) || (o.state && !*o.state)) { /* a script's unset variable */
		(void) err_set(&e, ERR_INVALID, EINVAL, "--root and --state need a directory");
		return cli_usage(c, &e);
	}
	c->debug = o.debug;
	if (outcome == OPTION_HELP)
		return help(c);
	if (o.version) {
		buf_adds(&c->out, "atoll version " ATOLL_VERSION "\n");
		return CLI_OK;
	}
	if (svc_init(&c->svc, o.root, o.state, notice, &e) < 0)
		return cli_fail(c, &e);
	words = (struct option_args){ .argv = (const char *const *) argv + first,
				      .n = (size_t) (argc - first) };
	return dispatch(c, words, argv + first);
}

/* Closed standard descriptors would be taken by the next files opened. */
static void fill_stdio(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		(void) close(fd);
}

int main(int argc, char **argv)
{
	/* Static: its memory is not freed at the end, and a leak checker shall find it held. */
	static struct cli c;
	int status;

	c = (struct cli){ .arena = ARENA_INIT(ARENA_MAX),
			  .out = BUF_INIT(OUT_MAX),
			  .user_fd = FD_NONE,
			  .path = "atoll",
			  .verb = &verb_root,
			  .root = &verb_root };
	if (fcntl(STDIN_FILENO, F_GETFD) < 0 || fcntl(STDOUT_FILENO, F_GETFD) < 0 ||
	    fcntl(STDERR_FILENO, F_GETFD) < 0)
		fill_stdio();
	status = run(&c, argc - 1, argv + 1);
	if (!buf_ok(&c.out))
		status = cli_failf(&c, "out of memory for the output");
	if (cli_flush(&c) < 0 && status == CLI_OK) {
		if (c.out_status == -EPIPE)
			status = CLI_SIGNAL + SIGPIPE;
		else
			status = cli_failf(&c, "write to standard output: %s",
					   strerror(-c.out_status));
	}
	return status; /* memory goes with the process, and so does the store, which writes nothing
			*/
}
