/* SPDX-License-Identifier: Apache-2.0 */
/* run: create and start, and stay until the end unless -d. */
#include <errno.h>
#include <strings.h>

#include "base/auto.h"
#include "cli/create_options.h"
#include "cli/stream.h"
#include "cli/verbs.h"
#include "svc/ahead.h"
#include "svc/attach.h"
#include "svc/snapshot.h"
#include "svc/workload.h"

static const struct option more[] = {
	{ OPTION_ITEM_(struct create_options, detach, OPTION_BOOL, "detach", 'd'),
	  .help = "Run in the background and print the container ID" },
	{ OPTION_ITEM_(struct create_options, detach_keys, OPTION_STRING, "detach-keys", 0),
	  .value = "string", .help = "Override the key sequence for detaching" },
	CREATE_FROM_SNAPSHOT,
	{ OPTION_ITEM_(struct create_options, sig_proxy, OPTION_BOOL, "sig-proxy", 0),
	  .help = "Proxy received signals to the process (default true)" },
};

/* -a: what is joined; without it all. */
static int wanted_streams(const struct create_options *o, struct workload_config *w,
			  struct stream *s, struct err *e)
{
	bool in = o->attach.n == 0 && o->interactive;

	s->out = s->err = o->attach.n == 0;
	for (size_t i = 0; i < o->attach.n; i++) {
		const char *name = o->attach.items[i];

		if (strcasecmp(name, "stdin") == 0)
			in = true;
		else if (strcasecmp(name, "stdout") == 0)
			s->out = true;
		else if (strcasecmp(name, "stderr") == 0)
			s->err = true;
		else
			return err_set(e, ERR_INVALID, EINVAL,
				       "--attach '%.60s': valid streams are STDIN, STDOUT and "
				       "STDERR",
				       name);
	}
	if (o->attach.n && o->detach)
		return err_set(e, ERR_INVALID, EINVAL, "conflicting options: -a and -d");
	s->tty = w->tty;
	s->stdin_open = in;
	s->sig_proxy = o->sig_proxy;
	w->stdin_once = o->interactive && !o->detach;
	w->attach_stdout = s->out && !o->detach;
	w->attach_stderr = s->err && !o->detach;
	return detach_keys_parse(&s->keys, o->detach_keys ? o->detach_keys : DETACH_KEYS_DEFAULT,
				 e);
}

/* A workload that could not start: docker keeps it for a look, unless --rm. */
static int start_failed(struct cli *c, const char *id, bool rm, int status, const struct err *e)
{
	struct err ignored;

	if (rm) /* svc may have done so already */
		(void) workload_rm(&c->svc, id, true, true, &ignored);
	(void) cli_fail(c, e);
	return status ? status : CLI_USAGE;
}

/* One that could not go on from its snapshot is removed: a start would begin at the beginning. */
static int start(struct cli *c, const struct create_options *o, const char *id, struct ahead *ahead,
		 const struct attach_options *a, struct shim_conn *ret_conn)
{
	int status = CLI_USAGE, r;
	struct err e;

	r = o->from_snapshot
		    ? snapshot_start(&c->svc, o->from_snapshot, id, a, ret_conn, &status, &e)
		    : workload_start(&c->svc, id, ahead, a, ret_conn, &status, &e);
	return r < 0 ? start_failed(c, id, o->rm || o->from_snapshot, status, &e) : CLI_OK;
}

static int run_detached(struct cli *c, const struct create_options *o, const char *id,
			struct ahead *ahead)
{
	int status = start(c, o, id, ahead, NULL, NULL);

	if (status != CLI_OK)
		return status;
	buf_addf(&c->out, "%s\n", id);
	return CLI_OK;
}

static int run_attached(struct cli *c, const struct create_options *o, const char *id,
			struct ahead *ahead, struct stream *s)
{
	auto_shim_conn struct shim_conn conn = SHIM_CONN_NONE;
	struct attach_options a = ATTACH_OPTIONS_INIT;
	int status;

	a.stdin_open = s->stdin_open;
	if (s->tty)
		terminal_size(STDOUT_FILENO, &a.rows, &a.cols);
	for (size_t i = 0; i < ARRAY_SIZE(a.sink); i++)
		a.sink[i] = s->sink[i];
	status = start(c, o, id, ahead, &a, &conn);
	return status == CLI_OK ? stream_status(c, s, &conn) : status;
}

static int run(struct cli *c, const void *options, struct option_args args)
{
	const struct create_options *o = options;
	auto_stream struct stream s = STREAM_INIT;
	auto_ahead struct ahead ahead = AHEAD_INIT;
	char id[WORKLOAD_ID_MAX];
	struct workload_config w;
	struct err e;
	int r;

	r = create_check_args(c, &verb_run, o, args);
	if (r != CLI_OK)
		return r;
	ahead.short_lived = true;
	r = o->from_snapshot ? create_config_from(c, o, args, &w, &e)
			     : create_config(c, o, args, &w, &e);
	if (r == 0)
		r = wanted_streams(o, &w, &s, &e);
	if (r == 0)
		r = cidfile_check(o->cidfile, &e);
	if (r == 0 && !o->detach)
		r = stream_init(&s, true, &e);
	if (r == 0)
		r = create_workload(c, o, &w, !o->detach, o->from_snapshot ? NULL : &ahead, id, &e);
	if (r < 0) {
		(void) cli_fail(c, &e);
		return CLI_USAGE;
	}
	r = cidfile_write(o->cidfile, id, &e);
	if (r < 0)
		return start_failed(c, id, true, CLI_USAGE, &e);
	return o->detach ? run_detached(c, o, id, &ahead) : run_attached(c, o, id, &ahead, &s);
}

const struct verb verb_run = {
	.usage = "[OPTIONS] IMAGE [COMMAND] [ARG...]",
	.summary = "Create and run a new workload from an image or a snapshot",
	.about =
		"Create a workload from an image and run it. Without -d its output and exit status "
		"are those of this command: 125 when Atoll failed, 126 when the command could not "
		"be executed, 127 when it was not found, 128 and the signal's number when a signal "
		"ended it.\n\n"
		"With --from-snapshot (see 'snapshot create') it goes on from there instead: "
		"image, "
		"command and all but names, labels, restart policy and log are the snapshot's.",
	.example = "atoll run --rm debian:bookworm cat /etc/os-release\n"
		   "atoll run -it --rm debian:bookworm bash\n"
		   "atoll run -d --name web --network host -v site:/var/www nginx",
	.options = create_option_table,
	.options_n = CREATE_OPTIONS,
	.more = more,
	.more_n = ARRAY_SIZE(more),
	.size = sizeof(struct create_options),
	.defaults = &create_option_defaults,
	.args_max = VERB_ARGS_ANY, /* at least one but with --from-snapshot: run() checks */
	.operands_end = true,
	.complete = OPTION_COMPLETE_IMAGE,
	.run = run,
};
