/* SPDX-License-Identifier: Apache-2.0 */
/* ps: the list of workloads. */
#include "base/auto.h"
#include "base/clock.h"
#include "cli/cli.h"
#include "cli/format.h"
#include "cli/human.h"
#include "cli/verbs.h"
#include "svc/workload.h"

struct options {
	bool all, latest, no_trunc, quiet, size;
	int64_t last;
	const char *format;
	struct option_list filter;
};

static const struct options defaults = { .last = -1 };

static const struct option table[] = {
	{ OPTION_ITEM_(struct options, all, OPTION_BOOL, "all", 'a'),
	  .help = "Show all workloads (default shows just running)" },
	{ OPTION_ITEM_(struct options, filter, OPTION_LIST, "filter", 'f'), .value = "filter",
	  .help = "Filter output based on conditions provided",
	  .words = "id= name= label= status= ancestor= exited= health= isolation= network= volume= "
		   "before= since=" },
	{ OPTION_ITEM_(struct options, format, OPTION_STRING, "format", 0), .value = "string",
	  .help = "Format output: table, json, 'table TEMPLATE' or a Go template",
	  .words = "table json" },
	{ OPTION_ITEM_(struct options, last, OPTION_INT, "last", 'n'), .value = "int", .min = -1,
	  .max = INT32_MAX, .help = "Show n last created workloads (includes all states)" },
	{ OPTION_ITEM_(struct options, latest, OPTION_BOOL, "latest", 'l'),
	  .help = "Show the latest created workload (includes all states)" },
	{ OPTION_ITEM_(struct options, no_trunc, OPTION_BOOL, "no-trunc", 0),
	  .help = "Don't truncate output" },
	{ OPTION_ITEM_(struct options, quiet, OPTION_BOOL, "quiet", 'q'),
	  .help = "Only display container IDs" },
	{ OPTION_ITEM_(struct options, size, OPTION_BOOL, "size", 's'),
	  .help = "Display total file sizes" },
};

static const struct format_column columns[] = {
	{ "Command", "COMMAND" },
	{ "CreatedAt", "CREATED AT" },
	{ "ID", "CONTAINER ID" },
	{ "Image", "IMAGE" },
	{ "Isolation", "ISOLATION" },
	{ "Labels", "LABELS" },
	{ "LocalVolumes", "LOCAL VOLUMES" },
	{ "Mounts", "MOUNTS" },
	{ "Names", "NAMES" },
	{ "Networks", "NETWORKS" },
	{ "Ports", "PORTS" },
	{ "RunningFor", "CREATED" },
	{ "Size", "SIZE" },
	{ "State", "STATE" },
	{ "Status", "STATUS" },
};

#define TABLE                                                                                      \
	"table {{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t"      \
	"{{.Names}}"

static const char *size_text(struct arena *a, const struct workload_info *w)
{
	if (w->size_rw < 0)
		return "0B";
	return arena_printf(a, "%s (virtual %s)", human_size((uint64_t) w->size_rw).z,
			    human_size((uint64_t) w->size_root).z);
}

/* The record's JSON array of volume names and host paths. */
static void add_mounts(struct arena *a, struct json *row, const char *json, bool trunc)
{
	auto_buf struct buf text = BUF_INIT(1u << 20);
	const struct json *list = NULL;
	size_t local = 0;
	struct err e;

	if (json && json_parse(a, str_of(json), &list, &e) < 0)
		list = NULL;
	for (size_t i = 0; list && list->type == JSON_ARRAY && i < list->n; i++) {
		const char *name = json_string(&list->items[i]);

		if (!name)
			continue;
		local += name[0] != '/';
		buf_addf(&text, "%s%s", text.n ? "," : "",
			 trunc ? human_ellipsis(a, name, 15) : name);
	}
	row_text(a, row, "Mounts", arena_dup(a, (struct str){ buf_z(&text), text.n }));
	row_textf(a, row, "LocalVolumes", "%zu", local);
}

/* What only --format can ask for. */
static void add_rest(struct arena *a, const struct workload_info *w, bool trunc, struct json *row,
		     struct json *hidden)
{
	const struct workload_record *r = &w->record;
	const struct json *labels = row_labels(a, r->labels);

	row_text(a, row, "CreatedAt", arena_strdup(a, human_time(r->created).z));
	row_text(a, row, "Isolation",
		 r->status.emulated ? arena_printf(a, "%s (emulated)", r->isolation)
				    : r->isolation);
	row_text(a, row, "Labels", labels_text(a, labels));
	add_mounts(a, row, r->mounts, trunc);
	row_text(a, row, "Networks", r->network);
	row_text(a, row, "State", workload_state_name(r->status.state));
	row_value(a, hidden, "Label", *labels);
}

struct wanted { /* groups of columns; asked once for all rows */
	bool usual, size, rest;
};

/* *ret_hidden: what templates can use beside the row. */
static struct json *make_row(struct arena *a, const struct wanted *wanted,
			     const struct workload_info *w, bool trunc, nsec_t now,
			     struct json **ret_hidden)
{
	const struct workload_record *r = &w->record;
	struct json *row = row_new(a);

	*ret_hidden = row_new(a);
	row_text(a, row, "ID", human_id(a, r->id, trunc));
	if (wanted->usual) {
		const char *command = human_clean(a, r->command ? r->command : "");
		char status[WORKLOAD_STATUS_MAX];

		workload_status_text(&r->status, r->created, now, status);
		row_text(a, row, "Command",
			 arena_printf(a, "\"%s\"",
				      trunc ? human_ellipsis(a, command, 20) : command));
		row_text(a, row, "Image", r->image);
		row_text(a, row, "Names", r->name);
		row_text(a, row, "Ports", "");
		row_text(a, row, "RunningFor", arena_strdup(a, human_ago(r->created, now).z));
		row_text(a, row, "Status", arena_strdup(a, status));
	}
	if (wanted->size)
		row_text(a, row, "Size", size_text(a, w));
	if (wanted->rest)
		add_rest(a, w, trunc, row, *ret_hidden);
	return row;
}

static int print(struct cli *c, const struct options *o, const struct workload_infos *list,
		 struct err *e)
{
	auto_format struct format f = { 0 };
	const char *standard = o->quiet ? "{{.ID}}" : o->size ? TABLE "\t{{.Size}}" : TABLE;
	nsec_t now = clock_wall();
	int r = format_init(&f, &c->arena, o->format, standard, columns, ARRAY_SIZE(columns), e);
	struct wanted wanted = { format_wants(&f, "Command"), format_wants(&f, "Size"),
				 format_wants(&f, "Labels") };

	for (size_t i = 0; i < list->n && r == 0; i++) {
		struct json *hidden, *row = make_row(&c->arena, &wanted, &list->v[i], !o->no_trunc,
						     now, &hidden);

		r = format_row(&f, row, hidden, &c->out, e);
	}
	return r < 0 ? r : format_end(&f, &c->out, e);
}

static int run(struct cli *c, const void *options, struct option_args args)
{
	const struct options *o = options;
	struct workload_filter filter = {
		.all = o->all || o->latest || o->last >= 0,
		.size = o->size || (o->format && strstr(o->format, ".Size")),
		.brief = o->quiet && !o->format,
		.last = o->latest     ? 1
			: o->last > 0 ? (uint32_t) o->last
				      : 0,
		.filters = o->filter.items,
		.filters_n = o->filter.n,
	};
	struct workload_infos list;
	struct err e;
	int r;

	(void) args;
	r = workload_ps(&c->svc, &filter, &c->arena, &list, &e);
	if (r == 0)
		r = print(c, o, &list, &e);
	return r < 0 ? cli_fail(c, &e) : CLI_OK;
}

const struct verb verb_ps = {
	.usage = "[OPTIONS]",
	.summary = "List workloads",
	.example = "atoll ps -a --filter status=exited\n"
		   "atoll ps --format 'table {{.Names}}\\t{{.Status}}'\n"
		   "atoll ps --format json",
	.options = table,
	.options_n = ARRAY_SIZE(table),
	.size = sizeof(struct options),
	.defaults = &defaults,
	.run = run,
};
