/* SPDX-License-Identifier: Apache-2.0 */
/* system: info, df, prune, repair. */
#include "svc/system.h"

#include <errno.h>

#include "base/auto.h"
#include "cli/cli.h"
#include "cli/format.h"
#include "cli/human.h"
#include "cli/prune.h"
#include "cli/verbs.h"
#include "kernel/syscall/list/calls.h"

/* ---- info ---- */

struct info_options {
	const char *format;
	bool syscalls;
};

static const struct option info_table[] = {
	{ OPTION_ITEM_(struct info_options, format, OPTION_STRING, "format", 'f'),
	  .value = "string", .help = "Format output: json or a Go template", .words = "json" },
	{ OPTION_ITEM_(struct info_options, syscalls, OPTION_BOOL, "syscalls", 0),
	  .help = "List what Atoll's own kernel does with each system call" },
};

static struct json number(struct arena *a, uint64_t v)
{
	const char *text = arena_printf(a, "%llu", (unsigned long long) v);

	return (struct json){ .type = JSON_NUMBER, .text = str_of(text ? text : "0") };
}

static struct json strings(struct arena *a, const char *const *v, size_t n)
{
	struct json list = { .type = JSON_ARRAY };

	for (size_t i = 0; i < n; i++) {
		struct json *item = arena_push(a, &list.items, &list.n, sizeof(*item));

		if (item)
			*item = (struct json){ .type = JSON_STRING, .text = str_of(v[i]) };
	}
	return list;
}

/* Docker's names where it has them. */
static struct json *info_row(struct arena *a, const struct system_info *i)
{
	struct json *row = row_new(a), engines = { .type = JSON_ARRAY };

	row_value(a, row, "Containers", number(a, i->workloads));
	row_value(a, row, "ContainersRunning", number(a, i->running));
	row_value(a, row, "ContainersPaused", number(a, i->paused));
	row_value(a, row, "ContainersStopped", number(a, i->stopped));
	row_value(a, row, "Images", number(a, i->images));
	row_value(a, row, "Volumes", number(a, i->volumes));
	row_text(a, row, "Driver", "overlay");
	row_text(a, row, "CgroupVersion", i->cgroup);
	row_text(a, row, "KernelVersion", i->kernel);
	row_text(a, row, "OperatingSystem", i->os);
	row_text(a, row, "OSType", "linux");
	row_text(a, row, "Architecture", i->architecture);
	row_value(a, row, "NCPU", number(a, i->cpus));
	row_value(a, row, "MemTotal", number(a, i->memory));
	row_text(a, row, "Name", i->hostname);
	row_text(a, row, "DockerRootDir", i->root);
	row_text(a, row, "StateDir", i->state);
	row_text(a, row, "ServerVersion", i->version);
	row_value(a, row, "SecurityOptions", strings(a, i->security, i->security_n));
	for (size_t k = 0; k < i->engines_n; k++) {
		struct json *item = arena_push(a, &engines.items, &engines.n, sizeof(*item));
		struct json *engine = row_new(a);

		row_text(a, engine, "Name", i->engines[k].name);
		row_value(a, engine, "Usable",
			  (struct json){ .type = JSON_BOOL, .boolean = i->engines[k].usable });
		row_value(a, engine, "Emulated",
			  (struct json){ .type = JSON_BOOL, .boolean = i->engines[k].emulated });
		row_text(a, engine, "Why", i->engines[k].usable ? "" : i->engines[k].why);
		if (item && engine)
			*item = *engine;
	}
	row_value(a, row, "Engines", engines);
	row_value(a, row, "Warnings", strings(a, i->warnings, i->warnings_n));
	return row;
}

static void info_print(struct cli *c, const struct system_info *i)
{
	struct buf *out = &c->out;

	buf_addf(out, "Version: %s\n", i->version);
	buf_addf(out, "Containers: %u\n Running: %u\n Paused: %u\n Stopped: %u\n", i->workloads,
		 i->running, i->paused, i->stopped);
	buf_addf(out, "Images: %u\nVolumes: %u\n", i->images, i->volumes);
	buf_adds(out, "Engines:\n");
	for (size_t k = 0; k < i->engines_n; k++)
		buf_addf(out, " %s: %s\n", i->engines[k].name,
			 !i->engines[k].usable	  ? i->engines[k].why
			 : i->engines[k].emulated ? "ready (emulated)"
						  : "ready");
	buf_addf(out, "Storage Driver: overlay\nCgroup Version: %s\n", i->cgroup);
	buf_adds(out, "Security Options:");
	for (size_t k = 0; k < i->security_n; k++)
		buf_addf(out, " %s", i->security[k]);
	buf_addf(out, "\nKernel Version: %s\nOperating System: %s\nArchitecture: %s\n", i->kernel,
		 i->os, i->architecture);
	buf_addf(out, "CPUs: %u\nTotal Memory: %s\nName: %s\n", i->cpus, human_memory(i->memory).z,
		 i->hostname);
	buf_addf(out, "Root Dir: %s\nState Dir: %s\n", i->root, i->state);
	for (size_t k = 0; k < i->warnings_n; k++)
		cli_warn(c, "WARNING: %s", i->warnings[k]);
}

static const struct format_column syscall_columns[] = {
	{ "Error", "ERROR" },	{ "Name", "NAME" },   { "Note", "NOTE" },
	{ "Number", "NUMBER" }, { "State", "STATE" },
};
#define SYSCALL_TABLE "table {{.Number}}\t{{.Name}}\t{{.State}}\t{{.Error}}\t{{.Note}}"

/* One row for each call: FULL, PART and the rest of kernel/syscall/list. */
static int syscalls_run(struct cli *c, const struct info_options *o)
{
	auto_format struct format f = { 0 };
	size_t n;
	const struct call_info *all = call_list(&n);
	struct err e;
	int r = format_init(&f, &c->arena, o->format, SYSCALL_TABLE, syscall_columns,
			    ARRAY_SIZE(syscall_columns), &e);

	for (size_t i = 0; r == 0 && i < n; i++) {
		struct json *row = row_new(&c->arena);

		row_value(&c->arena, row, "Number", number(&c->arena, all[i].nr));
		row_text(&c->arena, row, "Name", all[i].name);
		row_text(&c->arena, row, "State", call_state_text(all[i].state));
		row_text(&c->arena, row, "Error", all[i].error ? all[i].error : "");
		row_text(&c->arena, row, "Note", all[i].words ? all[i].words : "");
		r = format_row(&f, row, NULL, &c->out, &e);
	}
	if (r == 0)
		r = format_end(&f, &c->out, &e);
	return r < 0 ? cli_fail(c, &e) : CLI_OK;
}

static int info_run(struct cli *c, const void *options, struct option_args args)
{
	const struct info_options *o = options;
	auto_format struct format f = { 0 };
	struct system_info i;
	struct err e;
	int r;

	(void) args;
	if (o->syscalls)
		return syscalls_run(c, o);
	r = system_info(&c->svc, &c->arena, &i, &e);
	if (r == 0 && !o->format) {
		info_print(c, &i);
		return CLI_OK;
	}
	if (r == 0)
		r = format_init(&f, &c->arena, o->format, "json", NULL, 0, &e);
	if (r == 0)
		r = format_row(&f, info_row(&c->arena, &i), NULL, &c->out, &e);
	return r < 0 ? cli_fail(c, &e) : CLI_OK;
}

const struct verb verb_system_info = {
	.usage = "[OPTIONS]",
	.summary = "Display system-wide information",
	.options = info_table,
	.options_n = ARRAY_SIZE(info_table),
	.size = sizeof(struct info_options),
	.run = info_run,
};

/* ---- df ---- */

static const struct format_column df_columns[] = {
	{ "Active", "ACTIVE" }, { "Reclaimable", "RECLAIMABLE" },
	{ "Size", "SIZE" },	{ "TotalCount", "TOTAL" },
	{ "Type", "TYPE" },
};

static struct json *df_row(struct arena *a, const struct system_usage *u)
{
	struct json *row = row_new(a);

	row_textf(a, row, "Active", "%u", u->active);
	if (u->bytes)
		row_textf(a, row, "Reclaimable", "%s (%llu%%)", human_size4(u->reclaimable).z,
			  (unsigned long long) (u->reclaimable * 100 / u->bytes));
	else
		row_textf(a, row, "Reclaimable", "%s", human_size4(u->reclaimable).z);
	row_text(a, row, "Size", arena_strdup(a, human_size4(u->bytes).z));
	row_textf(a, row, "TotalCount", "%u", u->total);
	row_text(a, row, "Type", u->type);
	return row;
}

static const struct option df_table[] = {
	{ OPTION_ITEM_(struct info_options, format, OPTION_STRING, "format", 0), .value = "string",
	  .help = "Format output: table, json, 'table TEMPLATE' or a Go template",
	  .words = "table json" },
};

static int df_run(struct cli *c, const void *options, struct option_args args)
{
	const struct info_options *o = options;
	auto_format struct format f = { 0 };
	struct system_df df;
	struct err e;
	int r = system_df(&c->svc, &c->arena, &df, &e);

	(void) args;
	if (r == 0)
		r = format_init(&f, &c->arena, o->format,
				"table {{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t"
				"{{.Reclaimable}}",
				df_columns, ARRAY_SIZE(df_columns), &e);
	if (r == 0)
		r = format_row(&f, df_row(&c->arena, &df.images), NULL, &c->out, &e);
	if (r == 0)
		r = format_row(&f, df_row(&c->arena, &df.workloads), NULL, &c->out, &e);
	if (r == 0)
		r = format_row(&f, df_row(&c->arena, &df.volumes), NULL, &c->out, &e);
	if (r == 0)
		r = format_row(&f, df_row(&c->arena, &df.snapshots), NULL, &c->out, &e);
	if (r == 0)
		r = format_row(&f, df_row(&c->arena, &df.disks), NULL, &c->out, &e);
	if (r == 0)
		r = format_row(&f, df_row(&c->arena, &df.kernels), NULL, &c->out, &e);
	if (r == 0)
		r = format_end(&f, &c->out, &e);
	return r < 0 ? cli_fail(c, &e) : CLI_OK;
}

const struct verb verb_system_df = {
	.usage = "[OPTIONS]",
	.summary = "Show disk usage",
	.options = df_table,
	.options_n = ARRAY_SIZE(df_table),
	.size = sizeof(struct info_options),
	.run = df_run,
};

/* ---- prune ---- */

struct all_prune_options {
	bool all, force, volumes;
	struct option_list filter;
};

static const struct option prune_table[] = {
	{ OPTION_ITEM_(struct all_prune_options, all, OPTION_BOOL, "all", 'a'),
	  .help = "Remove all unused images not just dangling ones" },
	{ OPTION_ITEM_(struct all_prune_options, filter, OPTION_LIST, "filter", 0),
	  .value = "filter", .help = "Provide filter values (e.g. label=<key>=<value>)",
	  .words = "until= label=" },
	{ OPTION_ITEM_(struct all_prune_options, force, OPTION_BOOL, "force", 'f'),
	  .help = "Do not prompt for confirmation" },
	{ OPTION_ITEM_(struct all_prune_options, volumes, OPTION_BOOL, "volumes", 0),
	  .help = "Prune anonymous volumes" },
};

static bool prune_confirm(struct cli *c, const struct all_prune_options *o)
{
	const char *question =
		arena_printf(&c->arena,
			     "WARNING! This will remove:\n  - all stopped containers\n%s  - %s\n"
			     "  - what builds keep for later builds",
			     o->volumes ? "  - all anonymous volumes not used by at least one "
					  "container\n"
					: "",
			     o->all ? "all images without at least one container associated to them"
				    : "all dangling images");

	return question && cli_confirm(c, question);
}

static int run_prune(struct cli *c, const void *options, struct option_args args)
{
	const struct all_prune_options *o = options;
	struct system_prune_options what = { .all = o->all,
					     .volumes = o->volumes,
					     .filters = o->filter.items,
					     .filters_n = o->filter.n };
	struct system_prune gone;
	struct err e;

	(void) args;
	if (!o->force && !prune_confirm(c, o))
		return CLI_OK;
	if (system_prune(&c->svc, &what, &c->arena, &gone, &e) < 0)
		return cli_fail(c, &e);
	prune_print(c, "Deleted Containers:", &gone.workloads);
	prune_print(c, "Deleted Volumes:", &gone.volumes);
	prune_print(c, "Deleted Images:", &gone.images);
	prune_print_total(c, gone.workloads.bytes + gone.volumes.bytes + gone.images.bytes);
	return CLI_OK;
}

const struct verb verb_system_prune = {
	.usage = "[OPTIONS]",
	.summary = "Remove unused data",
	.options = prune_table,
	.options_n = ARRAY_SIZE(prune_table),
	.size = sizeof(struct all_prune_options),
	.run = run_prune,
};

/* ---- repair ---- */

struct repair_options {
	bool dry_run, quiet;
};

static const struct option repair_table[] = {
	{ OPTION_ITEM_(struct repair_options, dry_run, OPTION_BOOL, "dry-run", 'n'),
	  .help = "Only tell what is broken" },
	{ OPTION_ITEM_(struct repair_options, quiet, OPTION_BOOL, "quiet", 'q'),
	  .help = "Say nothing when nothing is broken" },
};

static int repair_run(struct cli *c, const void *options, struct option_args args)
{
	const struct repair_options *o = options;
	struct repair found;
	size_t left = 0;
	struct err e;

	(void) args;
	if (system_repair(&c->svc, o->dry_run, &c->arena, &found, &e) < 0)
		return cli_fail(c, &e);
	for (size_t i = 0; i < found.n; i++) {
		buf_addf(&c->out, "%s: %s\n",
			 found.v[i].mended ? "mended"
			 : o->dry_run	   ? "found"
					   : "not mended",
			 found.v[i].what);
		left += !found.v[i].mended;
	}
	if (!found.n && !o->quiet)
		buf_adds(&c->out, "nothing to mend\n");
	return left ? CLI_FAILED : CLI_OK;
}

const struct verb verb_system_repair = {
	.usage = "[OPTIONS]",
	.summary = "Find and mend what a crash left behind",
	.about =
		"Compares records, processes, mounts, control groups and directories, mends what "
		"disagrees, and starts again what its restart policy wants. Gives 1 when something "
		"is left broken (with --dry-run: when anything is broken).",
	.options = repair_table,
	.options_n = ARRAY_SIZE(repair_table),
	.size = sizeof(struct repair_options),
	.run = repair_run,
};
