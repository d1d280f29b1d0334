/* SPDX-License-Identifier: Apache-2.0 */
/* container prune, and what the other prunes print. */
#include "cli/prune.h"

#include "base/auto.h"
#include "cli/human.h"
#include "cli/verbs.h"

void prune_print(struct cli *c, const char *title, const struct prune_result *gone)
{
	if (!gone->n)
		return;
	buf_addf(&c->out, "%s\n", title);
	for (size_t i = 0; i < gone->n; i++)
		buf_addf(&c->out, "%s\n", gone->names[i]);
	buf_addc(&c->out, '\n');
}

void prune_print_total(struct cli *c, uint64_t bytes)
{
	buf_addf(&c->out, "Total reclaimed space: %s\n", human_size4(bytes).z);
}

struct options {
	bool force;
	struct option_list filter;
};

static const struct option table[] = {
	{ OPTION_ITEM_(struct options, filter, OPTION_LIST, "filter", 0), .value = "filter",
	  .help = "Provide filter values (e.g. until=<timestamp>)",
	  .words = "until= label= label!=" },
	{ OPTION_ITEM_(struct options, force, OPTION_BOOL, "force", 'f'),
	  .help = "Do not prompt for confirmation" },
};

static int run(struct cli *c, const void *options, struct option_args args)
{
	const struct options *o = options;
	struct prune_result gone;
	struct err e;

	(void) args;
	if (!o->force && !cli_confirm(c, "WARNING! This will remove all stopped containers."))
		return CLI_OK;
	if (workload_prune(&c->svc, o->filter.items, o->filter.n, &c->arena, &gone, &e) < 0)
		return cli_fail(c, &e);
	prune_print(c, "Deleted Containers:", &gone);
	prune_print_total(c, gone.bytes);
	return CLI_OK;
}

const struct verb verb_container_prune = {
	.usage = "[OPTIONS]",
	.summary = "Remove all stopped workloads",
	.options = table,
	.options_n = ARRAY_SIZE(table),
	.size = sizeof(struct options),
	.run = run,
};
