/* SPDX-License-Identifier: Apache-2.0 */
/* start: what was created or has ended runs (again). */
#include <errno.h>

#include "base/auto.h"
#include "cli/stream.h"
#include "cli/verbs.h"
#include "svc/attach.h"
#include "svc/checkpoint.h"
#include "svc/workload.h"

struct options {
	bool attach, interactive, sig_proxy;
	const char *detach_keys, *checkpoint, *checkpoint_dir;
};

static const struct options defaults = { .sig_proxy = true };

static const struct option table[] = {
	{ OPTION_ITEM_(struct options, attach, OPTION_BOOL, "attach", 'a'),
	  .help = "Attach STDOUT/STDERR and forward signals" },
	{ OPTION_ITEM_(struct options, checkpoint, OPTION_STRING, "checkpoint", 0),
	  .value = "string", .help = "Restore from this checkpoint" },
	{ OPTION_ITEM_(struct options, checkpoint_dir, OPTION_STRING, "checkpoint-dir", 0),
	  .value = "string", .complete = OPTION_COMPLETE_DIR,
	  .help = "Use a custom checkpoint storage directory" },
	{ OPTION_ITEM_(struct options, detach_keys, OPTION_STRING, "detach-keys", 0),
	  .value = "string", .help = "Override the key sequence for detaching" },
	{ OPTION_ITEM_(struct options, interactive, OPTION_BOOL, "interactive", 'i'),
	  .help = "Attach the workload's STDIN" },
	{ OPTION_ITEM_(struct options, sig_proxy, OPTION_BOOL, "sig-proxy", 0),
	  .help = "Proxy received signals to the process (default true)" },
};

static int begin(struct cli *c, const struct options *o, const char *ref,
		 const struct attach_options *a, struct shim_conn *ret_conn, int *ret_status,
		 struct err *e)
{
	struct checkpoint_options from = { .name = o->checkpoint, .dir = o->checkpoint_dir };

	return o->checkpoint ? workload_restore(&c->svc, ref, &from, a, ret_conn, ret_status, e)
			     : workload_start(&c->svc, ref, NULL, a, ret_conn, ret_status, e);
}

static int start_attached(struct cli *c, const struct options *o, const char *ref)
{
	auto_shim_conn struct shim_conn conn = SHIM_CONN_NONE;
	struct attach_options a = ATTACH_OPTIONS_INIT;
	auto_stream struct stream s = STREAM_INIT;
	struct workload_detail look;
	int status = CLI_FAILED;
	struct err e;
	int r;

	r = workload_look(&c->svc, ref, false, &c->arena, &look, &e);
	if (r < 0)
		return cli_fail(c, &e);
	s.tty = look.config.tty;
	s.stdin_open = o->interactive && look.config.open_stdin;
	s.out = s.err = o->attach || o->interactive;
	s.sig_proxy = o->sig_proxy;
	r = detach_keys_parse(&s.keys, o->detach_keys ? o->detach_keys : DETACH_KEYS_DEFAULT, &e);
	if (r == 0)
		r = stream_init(&s, true, &e);
	if (r < 0)
		return cli_fail(c, &e);
	a.stdin_open = s.stdin_open;
	if (s.tty)
		terminal_size(STDOUT_FILENO, &a.rows, &a.cols);
	for (size_t i = 0; i < ARRAY_SIZE(a.sink); i++)
		a.sink[i] = s.sink[i];
	if (begin(c, o, look.info.record.id, &a, &conn, &status, &e) < 0) {
		(void) cli_fail(c, &e);
		return status ? status : CLI_FAILED;
	}
	return stream_status(c, &s, &conn);
}

static int start_one(struct cli *c, const char *ref, const void *options, struct err *e)
{
	int status;

	return begin(c, options, ref, NULL, NULL, &status, e);
}

static int run(struct cli *c, const void *options, struct option_args args)
{
	const struct options *o = options;

	if (o->checkpoint && args.n > 1)
		return cli_failf(c, "you cannot start multiple containers from one checkpoint");
	if (o->checkpoint_dir && !o->checkpoint)
		return cli_failf(c, "--checkpoint-dir is of --checkpoint: give that, too");
	if (!o->attach && !o->interactive)
		return cli_each(c, args, true, o, start_one);
	if (args.n > 1)
		return cli_failf(c, "you cannot start and attach multiple containers at once");
	return start_attached(c, o, args.argv[0]);
}

const struct verb verb_start = {
	.usage = "[OPTIONS] CONTAINER [CONTAINER...]",
	.summary = "Start one or more stopped workloads",
	.options = table,
	.options_n = ARRAY_SIZE(table),
	.size = sizeof(struct options),
	.defaults = &defaults,
	.args_min = 1,
	.args_max = VERB_ARGS_ANY,
	.complete = OPTION_COMPLETE_CONTAINER,
	.run = run,
};
