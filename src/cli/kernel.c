/* SPDX-License-Identifier: Apache-2.0 */
/* kernel: ls, use, rm, prune. */
#include "svc/kernel.h"

#include "base/auto.h"
#include "cli/cli.h"
#include "cli/format.h"
#include "cli/human.h"
#include "cli/prune.h"
#include "cli/verbs.h"

/* ---- ls ---- */

struct ls_options {
	bool no_trunc, quiet;
	const char *format;
};

static const struct option ls_table[] = {
	{ OPTION_ITEM_(struct ls_options, format, OPTION_STRING, "format", 0), .value = "string",
	  .help = "Format output: table, json, 'table TEMPLATE' or a Go template",
	  .words = "table json" },
	{ OPTION_ITEM_(struct ls_options, no_trunc, OPTION_BOOL, "no-trunc", 0),
	  .help = "Do not truncate the output" },
	{ OPTION_ITEM_(struct ls_options, quiet, OPTION_BOOL, "quiet", 'q'),
	  .help = "Only display versions" },
};

static const struct format_column columns[] = {
	{ "ID", "PREPARED" },	  { "Lacks", "LACKS" },
	{ "Path", "PATH" },	  { "PreparedSize", "PREPARED SIZE" },
	{ "Size", "SIZE" },	  { "Used", "USED" },
	{ "Version", "VERSION" },
};

static struct json *ls_row(struct cli *c, const struct kernel_row *k, bool trunc)
{
	struct arena *a = &c->arena;
	struct json *row = row_new(a);

	row_text(a, row, "ID", k->id ? human_id(a, k->id, trunc) : "");
	row_text(a, row, "Lacks", k->lacks);
	row_text(a, row, "Path", human_clean(a, k->path));
	row_text(a, row, "PreparedSize", k->id ? arena_strdup(a, human_size(k->bytes).z) : "");
	row_text(a, row, "Size", arena_strdup(a, human_size(k->size).z));
	row_text(a, row, "Used", k->used ? "*" : "");
	row_text(a, row, "Version", k->version);
	return row;
}

static int ls_run(struct cli *c, const void *options, struct option_args args)
{
	static const char standard[] =
		"table {{.Version}}\t{{.Path}}\t{{.Size}}\t{{.ID}}\t{{.Used}}";
	const struct ls_options *o = options;
	auto_format struct format f = { 0 };
	struct kernel_rows list;
	struct err e;
	int r = svc_kernel_ls(&c->svc, &c->arena, &list, &e);

	(void) args;
	if (r == 0)
		r = format_init(&f, &c->arena, o->format, o->quiet ? "{{.Version}}" : standard,
				columns, ARRAY_SIZE(columns), &e);
	for (size_t i = 0; r == 0 && i < list.n; i++)
		r = format_row(&f, ls_row(c, &list.v[i], !o->no_trunc), NULL, &c->out, &e);
	if (r == 0)
		r = format_end(&f, &c->out, &e);
	return r < 0 ? cli_fail(c, &e) : CLI_OK;
}

const struct verb verb_kernel_ls = {
	.usage = "[OPTIONS]",
	.summary = "List kernels for machines",
	.about = "List the kernels of this host that a machine can have: those in /boot whose "
		 "modules are in /lib/modules. The one marked * is used where none is asked for: "
		 "what ATOLL_KERNEL names, else what 'atoll kernel use' chose, else the newest "
		 "made for clouds, else the newest.",
	.options = ls_table,
	.options_n = ARRAY_SIZE(ls_table),
	.size = sizeof(struct ls_options),
	.run = ls_run,
};

/* ---- use ---- */

struct use_options {
	bool reset;
};

static const struct option use_table[] = {
	{ OPTION_ITEM_(struct use_options, reset, OPTION_BOOL, "default", 0),
	  .help = "Forget the choice: use the default again" },
};

static int use_run(struct cli *c, const void *options, struct option_args args)
{
	const struct use_options *o = options;
	struct kernel k;
	struct err e;

	if (o->reset == (args.n > 0)) {
		(void) err_set(&e, ERR_INVALID, 0, "either a kernel or --default is needed");
		return cli_usage(c, &e);
	}
	if (svc_kernel_use(&c->svc, o->reset ? NULL : args.argv[0], &k, &e) < 0)
		return cli_fail(c, &e);
	buf_addf(&c->out, "%s\n", k.version[0] ? k.version : k.path);
	return CLI_OK;
}

const struct verb verb_kernel_use = {
	.usage = "VERSION|PATH | --default",
	.summary = "Choose the kernel of machines",
	.about = "Choose the kernel that machines get which ask for none. It is prepared at once, "
		 "so that one which is not fit is told now. Machines that run are not changed. "
		 "A kernel in a tree like a host's (DIR/boot/vmlinuz, DIR/lib/modules) brings its "
		 "modules along.",
	.options = use_table,
	.options_n = ARRAY_SIZE(use_table),
	.size = sizeof(struct use_options),
	.args_max = 1,
	.complete = OPTION_COMPLETE_KERNEL,
	.run = use_run,
};

/* ---- rm ---- */

static int rm_one(struct cli *c, const char *ref, const void *options, struct err *e)
{
	(void) options;
	return svc_kernel_rm(&c->svc, ref, e);
}

static int rm_run(struct cli *c, const void *options, struct option_args args)
{
	return cli_each(c, args, true, options, rm_one);
}

const struct verb verb_kernel_rm = {
	.usage = "KERNEL [KERNEL...]",
	.summary = "Remove the prepared files of kernels",
	.about = "Remove what was prepared of one or more kernels, named by version, path or "
		 "prepared ID. The kernels of the host stay; a machine that needs one prepares it "
		 "again.",
	.args_min = 1,
	.args_max = VERB_ARGS_ANY,
	.complete = OPTION_COMPLETE_KERNEL,
	.run = rm_run,
};

/* ---- prune ---- */

static const struct option prune_table[] = {
	{ PRUNE_ALL, .help = "Remove all prepared files, not just those that are out of date" },
	{ PRUNE_FORCE },
};

static int prune(struct cli *c, const struct prune_options *o, struct prune_result *ret,
		 struct err *e)
{
	return svc_kernel_prune(&c->svc, o->all, &c->arena, ret, e);
}

static int run_prune(struct cli *c, const void *options, struct option_args args)
{
	static const struct prune_kind kind = {
		.of_all = "WARNING! This will remove the prepared files of all kernels.",
		.of_unused = "WARNING! This will remove prepared files that no kernel of this host "
			     "uses.",
		.title = "Deleted Kernels:",
		.prune = prune,
	};

	(void) args;
	return prune_run(c, &kind, options);
}

const struct verb verb_kernel_prune = {
	.usage = "[OPTIONS]",
	.summary = "Remove unused prepared files of kernels",
	.options = prune_table,
	.options_n = ARRAY_SIZE(prune_table),
	.size = sizeof(struct prune_options),
	.run = run_prune,
};
