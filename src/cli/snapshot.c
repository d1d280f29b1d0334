/* SPDX-License-Identifier: Apache-2.0 */
/* snapshot: create, ls, inspect, rm, prune; and clone. What is made from them is run.c's. */
#include "svc/snapshot.h"

#include "base/auto.h"
#include "cli/cli.h"
#include "cli/format.h"
#include "cli/human.h"
#include "cli/inspect.h"
#include "cli/prune.h"
#include "cli/verbs.h"
#include "svc/workload.h"

/* ---- create, clone ------------------------------------------------------------------------ */

struct make_options {
	bool leave_running, diff, tcp_established, ext_unix_sk, file_locks;
};

#define ITEM(member, name_) OPTION_ITEM_(struct make_options, member, OPTION_BOOL, name_, 0)
#define CRIU_OPTIONS                                                                               \
	{ ITEM(ext_unix_sk, "ext-unix-sk"),                                                        \
	  .help = "Of a container: allow unix sockets whose other end is outside" },               \
		{ ITEM(file_locks, "file-locks"),                                                  \
		  .help = "Of a container: allow held file locks" },                               \
	{                                                                                          \
		ITEM(tcp_established, "tcp-established"),                                          \
			.help = "Of a container: allow established TCP connections, which what "   \
				"is made from it finds closed"                                     \
	}

static const struct option create_table[] = {
	{ ITEM(diff, "diff"),
	  .help = "Keep only memory that changed since the workload's last snapshot" },
	{ ITEM(leave_running, "leave-running"),
	  .help = "Leave the workload running after the snapshot (default true)" },
	CRIU_OPTIONS,
};
static const struct option clone_table[] = { CRIU_OPTIONS };
static const struct make_options make_defaults = { .leave_running = true };

static struct snapshot_make wanted(const struct make_options *o)
{
	return (struct snapshot_make){ .stop = !o->leave_running,
				       .diff = o->diff,
				       .tcp_established = o->tcp_established,
				       .ext_unix_sk = o->ext_unix_sk,
				       .file_locks = o->file_locks };
}

static int create_run(struct cli *c, const void *options, struct option_args args)
{
	struct snapshot_make what = wanted(options);
	struct err e;

	if (snapshot_create(&c->svc, args.argv[0], args.argv[1], &what, &e) < 0)
		return cli_fail(c, &e);
	buf_addf(&c->out, "%s\n", args.argv[1]);
	return CLI_OK;
}

const struct verb verb_snapshot_create = {
	.usage = "[OPTIONS] CONTAINER NAME",
	.summary = "Keep a running workload under a name, to make more of it",
	.about = "Keeps a running workload as it is: its memory, the files it changed and its "
		 "configuration. It goes on; 'run --from-snapshot' makes new workloads that go on "
		 "from there, each with an id, a name and a host name of its own. Volumes and bind "
		 "mounts are not part of it: all that are made from it share them.\n\n"
		 "A microVM needs KVM for it, and its new ones have network addresses and random "
		 "numbers of their own, too. A container needs CRIU: the program criu in PATH.",
	.example = "atoll snapshot create web warm\n"
		   "atoll run -d --from-snapshot warm --name web2",
	.options = create_table,
	.options_n = ARRAY_SIZE(create_table),
	.size = sizeof(struct make_options),
	.defaults = &make_defaults,
	.args_min = 2,
	.args_max = 2,
	.complete = OPTION_COMPLETE_RUNNING,
	.run = create_run,
};

static void cloned(void *ctx, const char *id)
{
	struct cli *c = ctx;

	buf_addf(&c->out, "%s\n", id);
}

static int clone_run(struct cli *c, const void *options, struct option_args args)
{
	struct snapshot_make what = wanted(options);
	struct err e;

	if (workload_clone(&c->svc, args.argv[0], args.argv + 1, args.n - 1, &what, cloned, c, &e) <
	    0)
		return cli_fail(c, &e);
	return CLI_OK;
}

const struct verb verb_clone = {
	.usage = "[OPTIONS] CONTAINER NAME [NAME...]",
	.summary = "Make more of a running workload, which go on from where it is",
	.about = "Makes more workloads of a running one: each goes on from where it is now, in the "
		 "background, with an id, a name and a host name of its own, and the files as they "
		 "are. The original goes on, too. Volumes and bind mounts are shared by all. As "
		 "'snapshot create' and 'run -d --from-snapshot', without a snapshot that stays.",
	.example = "atoll clone web web-2 web-3 web-4",
	.options = clone_table,
	.options_n = ARRAY_SIZE(clone_table),
	.size = sizeof(struct make_options),
	.defaults = &make_defaults,
	.args_min = 2,
	.args_max = VERB_ARGS_ANY,
	.complete = OPTION_COMPLETE_RUNNING,
	.run = clone_run,
};

/* ---- ls, inspect -------------------------------------------------------------------------- */

struct ls_options {
	bool quiet;
	const char *format;
};

static const struct option ls_table[] = {
	{ OPTION_ITEM_(struct ls_options, format, OPTION_STRING, "format", 0), .value = "string",
	  .help = "Format output: table, json, 'table TEMPLATE' or a Go template",
	  .words = "table json" },
	{ OPTION_ITEM_(struct ls_options, quiet, OPTION_BOOL, "quiet", 'q'),
	  .help = "Only display snapshot names" },
};

static const struct format_column columns[] = {
	{ "Base", "BASE" },   { "CreatedAt", "CREATED AT" }, { "CreatedSince", "CREATED" },
	{ "Image", "IMAGE" }, { "Isolation", "ISOLATION" },  { "Name", "SNAPSHOT NAME" },
	{ "Size", "SIZE" },   { "Workload", "CONTAINER" },
};

static struct json *ls_row(struct arena *a, const struct snapshot_info *s)
{
	struct json *row = row_new(a);

	row_text(a, row, "Base", s->base ? s->base : "");
	row_text(a, row, "CreatedAt", arena_strdup(a, human_time(s->created).z));
	row_text(a, row, "CreatedSince", arena_strdup(a, human_ago(s->created, clock_wall()).z));
	row_text(a, row, "Image", s->image);
	row_text(a, row, "Isolation", s->isolation);
	row_text(a, row, "Name", s->name);
	row_text(a, row, "Size", arena_strdup(a, human_size4(s->bytes).z));
	row_text(a, row, "Workload", s->workload);
	return row;
}

static int ls_run(struct cli *c, const void *options, struct option_args args)
{
	const struct ls_options *o = options;
	auto_format struct format f = { 0 };
	struct snapshot_infos list;
	struct err e;
	int r = snapshot_ls(&c->svc, &c->arena, &list, &e);

	(void) args;
	if (r == 0)
		r = format_init(&f, &c->arena, o->format,
				o->quiet ? "{{.Name}}"
					 : "table {{.Name}}\t{{.Workload}}\t{{.Isolation}}\t"
					   "{{.Image}}\t{{.CreatedSince}}\t{{.Size}}",
				columns, ARRAY_SIZE(columns), &e);
	for (size_t i = 0; r == 0 && i < list.n; i++)
		r = format_row(&f, ls_row(&c->arena, &list.v[i]), NULL, &c->out, &e);
	if (r == 0)
		r = format_end(&f, &c->out, &e);
	return r < 0 ? cli_fail(c, &e) : CLI_OK;
}

const struct verb verb_snapshot_ls = {
	.usage = "[OPTIONS]",
	.summary = "List snapshots",
	.options = ls_table,
	.options_n = ARRAY_SIZE(ls_table),
	.size = sizeof(struct ls_options),
	.run = ls_run,
};

static const struct option inspect_table[] = {
	{ OPTION_ITEM_(struct inspect_options, format, OPTION_STRING, "format", 'f'),
	  .value = "string", .help = "Format output: json or a Go template", .words = "json" },
};

static int look(struct cli *c, const char *ref, const struct inspect_options *o, struct buf *json,
		struct err *e)
{
	(void) o;
	return snapshot_inspect(&c->svc, ref, json, e);
}

static int inspect_one_run(struct cli *c, const void *options, struct option_args args)
{
	static inspect_look *const looks[] = { look };

	return inspect_run(c, options, args, looks, 1, "snapshot");
}

const struct verb verb_snapshot_inspect = {
	.usage = "[OPTIONS] SNAPSHOT [SNAPSHOT...]",
	.summary = "Display detailed information on snapshots",
	.options = inspect_table,
	.options_n = ARRAY_SIZE(inspect_table),
	.size = sizeof(struct inspect_options),
	.args_min = 1,
	.args_max = VERB_ARGS_ANY,
	.complete = OPTION_COMPLETE_SNAPSHOT,
	.run = inspect_one_run,
};

/* ---- rm, prune ---------------------------------------------------------------------------- */

static int rm_one(struct cli *c, const char *ref, const void *options, struct err *e)
{
	(void) options;
	return snapshot_rm(&c->svc, ref, e);
}

static int rm_run(struct cli *c, const void *options, struct option_args args)
{
	return cli_each(c, args, true, options, rm_one);
}

const struct verb verb_snapshot_rm = {
	.usage = "SNAPSHOT [SNAPSHOT...]",
	.summary = "Remove one or more snapshots",
	.about = "Removes snapshots. Workloads that were made from them go on.",
	.args_min = 1,
	.args_max = VERB_ARGS_ANY,
	.complete = OPTION_COMPLETE_SNAPSHOT,
	.run = rm_run,
};

static const struct option prune_table[] = {
	{ PRUNE_ALL,
	  .help = "Remove all snapshots, not just those that no workload was made from" },
	{ PRUNE_FORCE },
};

static int prune(struct cli *c, const struct prune_options *o, struct prune_result *ret,
		 struct err *e)
{
	return snapshot_prune(&c->svc, o->all, &c->arena, ret, e);
}

static int run_prune(struct cli *c, const void *options, struct option_args args)
{
	static const struct prune_kind kind = {
		.of_all = "WARNING! This will remove all snapshots.",
		.of_unused = "WARNING! This will remove snapshots that no container was made "
			     "from.",
		.title = "Deleted Snapshots:",
		.prune = prune,
	};

	(void) args;
	return prune_run(c, &kind, options);
}

const struct verb verb_snapshot_prune = {
	.usage = "[OPTIONS]",
	.summary = "Remove snapshots that no workload was made from",
	.options = prune_table,
	.options_n = ARRAY_SIZE(prune_table),
	.size = sizeof(struct prune_options),
	.run = run_prune,
};
