/* SPDX-License-Identifier: Apache-2.0 */
/* exec: another process in a running workload. */
#include <errno.h>

#include "base/auto.h"
#include "cli/create_options.h"
#include "cli/stream.h"
#include "cli/verbs.h"
#include "svc/exec.h"

struct options {
	bool detach, interactive, tty, privileged;
	const char *detach_keys, *user, *workdir;
	struct option_list env, env_file;
};

static const struct option table[] = {
	{ OPTION_ITEM_(struct options, detach, OPTION_BOOL, "detach", 'd'),
	  .help = "Detached mode: run command in the background" },
	{ OPTION_ITEM_(struct options, detach_keys, OPTION_STRING, "detach-keys", 0),
	  .value = "string", .help = "Override the key sequence for detaching" },
	{ OPTION_ITEM_(struct options, env, OPTION_LIST, "env", 'e'), .value = "list",
	  .help = "Set environment variables" },
	{ OPTION_ITEM_(struct options, env_file, OPTION_LIST, "env-file", 0), .value = "list",
	  .complete = OPTION_COMPLETE_FILE, .help = "Read in a file of environment variables" },
	{ OPTION_ITEM_(struct options, interactive, OPTION_BOOL, "interactive", 'i'),
	  .help = "Keep STDIN open even if not attached" },
	{ OPTION_ITEM_(struct options, privileged, OPTION_BOOL, "privileged", 0),
	  .help = "Give extended privileges to the command" },
	{ OPTION_ITEM_(struct options, tty, OPTION_BOOL, "tty", 't'),
	  .help = "Allocate a pseudo-TTY" },
	{ OPTION_ITEM_(struct options, user, OPTION_STRING, "user", 'u'), .value = "string",
	  .help = "Username or UID (format: <name|uid>[:<group|gid>])" },
	{ OPTION_ITEM_(struct options, workdir, OPTION_STRING, "workdir", 'w'), .value = "string",
	  .help = "Working directory inside the workload" },
};

static int gather_env(struct cli *c, const struct options *o, struct option_list *ret,
		      struct err *e)
{
	int r = 0;

	*ret = (struct option_list){ 0 };
	for (size_t i = 0; i < o->env_file.n && r == 0; i++)
		r = read_pairs_file(c, o->env_file.items[i], true, ret, e);
	for (size_t i = 0; i < o->env.n && r == 0; i++)
		r = add_env(c, o->env.items[i], ret, e);
	return r;
}

static int run(struct cli *c, const void *options, struct option_args args)
{
	auto_shim_conn struct shim_conn conn = SHIM_CONN_NONE;
	struct exec_options x = EXEC_OPTIONS_INIT;
	auto_stream struct stream s = STREAM_INIT;
	const struct options *o = options;
	int status = CLI_FAILED;
	struct option_list env;
	pid_t pid;
	struct err e;
	int r;

	s.tty = o->tty && !o->detach;
	s.stdin_open = o->interactive && !o->detach;
	r = gather_env(c, o, &env, &e);
	if (r == 0)
		r = detach_keys_parse(&s.keys,
				      o->detach_keys ? o->detach_keys : DETACH_KEYS_DEFAULT, &e);
	if (r == 0 && !o->detach)
		r = stream_init(&s, true, &e);
	if (r < 0) {
		(void) cli_fail(c, &e);
		return CLI_FAILED;
	}
	x.what = (struct plan_exec){
		.argv = args.argv + 1,
		.argv_n = args.n - 1,
		.env = env.items,
		.env_n = env.n,
		.user = o->user,
		.workdir = o->workdir,
		.tty = o->tty,
		.privileged = o->privileged,
	};
	x.stdin_open = s.stdin_open;
	x.detach = o->detach;
	if (s.tty)
		terminal_size(STDOUT_FILENO, &x.rows, &x.cols);
	for (size_t i = 0; i < ARRAY_SIZE(x.sink); i++)
		x.sink[i] = s.sink[i];
	if (exec_start(&c->svc, args.argv[0], &x, &conn, &pid, &status, &e) < 0) {
		(void) cli_fail(c, &e);
		/* As docker: 126 and 127 tell about the command, 1 about everything before it. */
		return status == CLI_NOT_EXECUTABLE || status == CLI_NOT_FOUND ? status
									       : CLI_FAILED;
	}
	return o->detach ? CLI_OK : stream_status(c, &s, &conn);
}

const struct verb verb_exec = {
	.usage = "[OPTIONS] CONTAINER COMMAND [ARG...]",
	.summary = "Execute a command in a running workload",
	.example = "atoll exec -it web bash\natoll exec -u www-data web id",
	.options = table,
	.options_n = ARRAY_SIZE(table),
	.size = sizeof(struct options),
	.args_min = 2,
	.args_max = VERB_ARGS_ANY,
	.operands_end = true,
	.complete = OPTION_COMPLETE_RUNNING,
	.run = run,
};
