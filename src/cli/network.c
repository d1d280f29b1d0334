/* SPDX-License-Identifier: Apache-2.0 */
/* network ls: the networks there are, none and host (inspect is in inspect.c). */
#include "svc/network.h"

#include <errno.h>

#include "base/auto.h"
#include "cli/cli.h"
#include "cli/format.h"
#include "cli/human.h"
#include "cli/verbs.h"

struct options {
	bool no_trunc, quiet;
	const char *format;
	struct option_list filter;
};

static const struct option table[] = {
	{ OPTION_ITEM_(struct options, filter, OPTION_LIST, "filter", 'f'), .value = "filter",
	  .help = "Provide filter values (name=, driver=, id=)", .words = "name= driver= id=" },
	{ OPTION_ITEM_(struct options, format, OPTION_STRING, "format", 0), .value = "string",
	  .help = "Format output: table, json, 'table TEMPLATE' or a Go template",
	  .words = "table json" },
	{ OPTION_ITEM_(struct options, no_trunc, OPTION_BOOL, "no-trunc", 0),
	  .help = "Do not truncate the output" },
	{ OPTION_ITEM_(struct options, quiet, OPTION_BOOL, "quiet", 'q'),
	  .help = "Only display network IDs" },
};

static const struct format_column columns[] = {
	{ "CreatedAt", "CREATED AT" },
	{ "Driver", "DRIVER" },
	{ "ID", "NETWORK ID" },
	{ "IPv6", "IPV6" },
	{ "Internal", "INTERNAL" },
	{ "Labels", "LABELS" },
	{ "Name", "NAME" },
	{ "Scope", "SCOPE" },
};

static struct json *make_row(struct arena *a, const struct network_record *n, bool trunc)
{
	struct json *row = row_new(a);

	row_text(a, row, "CreatedAt", arena_strdup(a, human_time(n->created).z));
	row_text(a, row, "Driver", n->driver);
	row_text(a, row, "ID", human_id(a, n->id, trunc));
	row_text(a, row, "IPv6", "false");
	row_text(a, row, "Internal", "false");
	row_text(a, row, "Labels", "");
	row_text(a, row, "Name", n->name);
	row_text(a, row, "Scope", "local");
	return row;
}

static int run(struct cli *c, const void *options, struct option_args args)
{
	const struct options *o = options;
	auto_format struct format f = { 0 };
	struct network_records list;
	struct err e;
	int r;

	(void) args;
	r = network_ls(&c->svc, o->filter.items, o->filter.n, &c->arena, &list, &e);
	if (r == 0)
		r = format_init(&f, &c->arena, o->format,
				o->quiet ? "{{.ID}}"
					 : "table {{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}",
				columns, ARRAY_SIZE(columns), &e);
	for (size_t i = 0; r == 0 && i < list.n; i++) {
		r = format_row(&f, make_row(&c->arena, &list.v[i], !o->no_trunc), NULL, &c->out,
			       &e);
	}
	if (r == 0)
		r = format_end(&f, &c->out, &e);
	return r < 0 ? cli_fail(c, &e) : CLI_OK;
}

const struct verb verb_network_ls = {
	.usage = "[OPTIONS]",
	.summary = "List networks",
	.options = table,
	.options_n = ARRAY_SIZE(table),
	.size = sizeof(struct options),
	.run = run,
};
