/* SPDX-License-Identifier: Apache-2.0 */
/* volume: create, ls, rm, prune (inspect is in inspect.c). */
#include "svc/volume.h"

#include <errno.h>

#include "base/auto.h"
#include "cli/cli.h"
#include "cli/format.h"
#include "cli/human.h"
#include "cli/prune.h"
#include "cli/verbs.h"

/* ---- create ---- */

struct create_volume {
	const char *name, *driver;
	struct option_list label, opt;
};

static const struct option create_table[] = {
	{ OPTION_ITEM_(struct create_volume, driver, OPTION_STRING, "driver", 'd'),
	  .value = "string", .help = "Specify volume driver name (default \"local\")",
	  .words = "local" },
	{ OPTION_ITEM_(struct create_volume, label, OPTION_LIST, "label", 0), .value = "list",
	  .help = "Set metadata for a volume" },
	{ OPTION_ITEM_(struct create_volume, name, OPTION_STRING, "name", 0), .value = "string",
	  .hidden = true, .help = "Specify volume name" },
	{ OPTION_ITEM_(struct create_volume, opt, OPTION_LIST, "opt", 'o'), .value = "map",
	  .help = "Set driver specific options" },
};

static int create_run(struct cli *c, const void *options, struct option_args args)
{
	const struct create_volume *o = options;
	struct volume_config what = { .name = args.n ? args.argv[0] : o->name,
				      .driver = o->driver,
				      .labels = cli_pairs(c, &o->label),
				      .labels_n = o->label.n,
				      .options = cli_pairs(c, &o->opt),
				      .options_n = o->opt.n };
	char name[VOLUME_NAME_MAX];
	struct err e;

	if (args.n && o->name)
		return cli_failf(c, "conflicting options: cannot specify a volume-name through "
				    "both --name and as a positional arg");
	if (!what.labels || !what.options)
		return cli_failf(c, "out of memory");
	if (volume_create(&c->svc, &what, name, &e) < 0)
		return cli_fail(c, &e);
	buf_addf(&c->out, "%s\n", name);
	return CLI_OK;
}

const struct verb verb_volume_create = {
	.usage = "[OPTIONS] [VOLUME]",
	.summary = "Create a volume",
	.options = create_table,
	.options_n = ARRAY_SIZE(create_table),
	.size = sizeof(struct create_volume),
	.args_max = 1,
	.run = create_run,
};

/* ---- ls ---- */

struct ls_options {
	bool quiet;
	const char *format;
	struct option_list filter;
};

static const struct option ls_table[] = {
	{ OPTION_ITEM_(struct ls_options, filter, OPTION_LIST, "filter", 'f'), .value = "filter",
	  .help = "Provide filter values (e.g. dangling=true)",
	  .words = "name= label= driver= dangling=true dangling=false" },
	{ OPTION_ITEM_(struct ls_options, format, OPTION_STRING, "format", 0), .value = "string",
	  .help = "Format output: table, json, 'table TEMPLATE' or a Go template",
	  .words = "table json" },
	{ OPTION_ITEM_(struct ls_options, quiet, OPTION_BOOL, "quiet", 'q'),
	  .help = "Only display volume names" },
};

static const struct format_column columns[] = {
	{ "Driver", "DRIVER" },	   { "Labels", "LABELS" },
	{ "Links", "LINKS" },	   { "Mountpoint", "MOUNTPOINT" },
	{ "Name", "VOLUME NAME" }, { "Scope", "SCOPE" },
	{ "Size", "SIZE" },
};

static struct json *ls_row(struct cli *c, const struct volume_record *v, struct json **ret_hidden)
{
	const struct json *labels = row_labels(&c->arena, v->labels);
	struct json *row = row_new(&c->arena);

	row_text(&c->arena, row, "Driver", v->driver);
	row_text(&c->arena, row, "Labels", labels_text(&c->arena, labels));
	row_textf(&c->arena, row, "Links", "%u", v->users);
	row_textf(&c->arena, row, "Mountpoint", "%s/_data", paths_volume(&c->svc.paths, v->name).z);
	row_text(&c->arena, row, "Name", v->name);
	row_text(&c->arena, row, "Scope", "local");
	row_text(&c->arena, row, "Size", "N/A");
	*ret_hidden = row_new(&c->arena);
	row_value(&c->arena, *ret_hidden, "Label", *labels);
	return row;
}

static int ls_run(struct cli *c, const void *options, struct option_args args)
{
	const struct ls_options *o = options;
	auto_format struct format f = { 0 };
	struct volume_records list;
	struct err e;
	int r;

	(void) args;
	r = volume_ls(&c->svc, o->filter.items, o->filter.n, &c->arena, &list, &e);
	if (r == 0)
		r = format_init(&f, &c->arena, o->format,
				o->quiet ? "{{.Name}}" : "table {{.Driver}}\t{{.Name}}", columns,
				ARRAY_SIZE(columns), &e);
	for (size_t i = 0; r == 0 && i < list.n; i++) {
		struct json *hidden, *row = ls_row(c, &list.v[i], &hidden);

		r = format_row(&f, row, hidden, &c->out, &e);
	}
	if (r == 0)
		r = format_end(&f, &c->out, &e);
	return r < 0 ? cli_fail(c, &e) : CLI_OK;
}

const struct verb verb_volume_ls = {
	.usage = "[OPTIONS]",
	.summary = "List volumes",
	.options = ls_table,
	.options_n = ARRAY_SIZE(ls_table),
	.size = sizeof(struct ls_options),
	.run = ls_run,
};

/* ---- rm ---- */

struct rm_options {
	bool force;
};

static const struct option rm_table[] = {
	{ OPTION_ITEM_(struct rm_options, force, OPTION_BOOL, "force", 'f'),
	  .help = "Force the removal of one or more volumes" },
};

static int rm_one(struct cli *c, const char *ref, const void *options, struct err *e)
{
	const struct rm_options *o = options;

	return volume_rm(&c->svc, ref, o->force, e);
}

static int rm_run(struct cli *c, const void *options, struct option_args args)
{
	return cli_each(c, args, true, options, rm_one);
}

const struct verb verb_volume_rm = {
	.usage = "[OPTIONS] VOLUME [VOLUME...]",
	.summary = "Remove one or more volumes",
	.options = rm_table,
	.options_n = ARRAY_SIZE(rm_table),
	.size = sizeof(struct rm_options),
	.args_min = 1,
	.args_max = VERB_ARGS_ANY,
	.complete = OPTION_COMPLETE_VOLUME,
	.run = rm_run,
};

/* ---- prune ---- */

static const struct option prune_table[] = {
	{ PRUNE_ALL, .help = "Remove all unused volumes, not just anonymous ones" },
	{ PRUNE_FILTER, .help = "Provide filter values (e.g. label=<label>)", .words = "label=" },
	{ PRUNE_FORCE },
};

static int prune(struct cli *c, const struct prune_options *o, struct prune_result *ret,
		 struct err *e)
{
	return volume_prune(&c->svc, o->all, o->filter.items, o->filter.n, &c->arena, ret, e);
}

static int run_prune(struct cli *c, const void *options, struct option_args args)
{
	static const struct prune_kind kind = {
		.of_all = "WARNING! This will remove all volumes not used by at least one "
			  "container.",
		.of_unused = "WARNING! This will remove anonymous local volumes not used by at "
			     "least one container.",
		.title = "Deleted Volumes:",
		.prune = prune,
	};

	(void) args;
	return prune_run(c, &kind, options);
}

const struct verb verb_volume_prune = {
	.usage = "[OPTIONS]",
	.summary = "Remove unused local volumes",
	.options = prune_table,
	.options_n = ARRAY_SIZE(prune_table),
	.size = sizeof(struct prune_options),
	.run = run_prune,
};
