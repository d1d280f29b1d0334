/* SPDX-License-Identifier: Apache-2.0 */
/* attach: join a running workload's streams. */
#include <errno.h>

#include "base/auto.h"
#include "cli/stream.h"
#include "cli/verbs.h"
#include "svc/attach.h"
#include "svc/workload.h"

struct options {
	bool no_stdin, sig_proxy;
	const char *detach_keys;
};

static const struct options defaults = { .sig_proxy = true };

static const struct option table[] = {
	{ OPTION_ITEM_(struct options, detach_keys, OPTION_STRING, "detach-keys", 0),
	  .value = "string", .help = "Override the key sequence for detaching" },
	{ OPTION_ITEM_(struct options, no_stdin, OPTION_BOOL, "no-stdin", 0),
	  .help = "Do not attach STDIN" },
	{ OPTION_ITEM_(struct options, sig_proxy, OPTION_BOOL, "sig-proxy", 0),
	  .help = "Proxy received signals to the process (default true)" },
};

static int check_running(const struct workload_status *st, struct err *e)
{
	if (st->state == WORKLOAD_PAUSED)
		return err_set(e, ERR_CONFLICT, EBUSY,
			       "you cannot attach to a paused container, unpause it first");
	if (st->state == WORKLOAD_RESTARTING)
		return err_set(e, ERR_CONFLICT, EBUSY,
			       "you cannot attach to a restarting container, wait until it is "
			       "running");
	if (st->state != WORKLOAD_RUNNING)
		return err_set(e, ERR_CONFLICT, ESRCH,
			       "you cannot attach to a stopped container, start it first");
	return 0;
}

static int run(struct cli *c, const void *options, struct option_args args)
{
	auto_shim_conn struct shim_conn conn = SHIM_CONN_NONE;
	auto_stream struct stream s = STREAM_INIT;
	const struct options *o = options;
	/* One who looks on: it makes nobody wait, and is told what it missed. */
	struct shim_attach a = { .output = true };
	struct workload_detail look;
	unsigned rows, cols;
	struct err e;
	int r;

	r = workload_look(&c->svc, args.argv[0], false, &c->arena, &look, &e);
	if (r == 0)
		r = check_running(&look.info.record.status, &e);
	if (r < 0)
		return cli_fail(c, &e);
	s.tty = look.config.tty;
	s.stdin_open = look.config.open_stdin && !o->no_stdin;
	s.sig_proxy = o->sig_proxy;
	a.stdin_open = s.stdin_open;
	r = detach_keys_parse(&s.keys, o->detach_keys ? o->detach_keys : DETACH_KEYS_DEFAULT, &e);
	if (r == 0)
		r = stream_init(&s, false, &e);
	if (r == 0)
		r = attach_open(&c->svc, look.info.record.id, &a, &conn, &e);
	terminal_size(STDOUT_FILENO, &rows, &cols);
	if (r == 0 && s.tty && rows && cols)
		r = session_resize(&conn, rows, cols, &e);
	if (r < 0)
		return cli_fail(c, &e);
	return stream_status(c, &s, &conn);
}

const struct verb verb_attach = {
	.usage = "[OPTIONS] CONTAINER",
	.summary = "Attach local standard input, output, and error streams to a running workload",
	.options = table,
	.options_n = ARRAY_SIZE(table),
	.size = sizeof(struct options),
	.defaults = &defaults,
	.args_min = 1,
	.args_max = 1,
	.complete = OPTION_COMPLETE_RUNNING,
	.run = run,
};
