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

int prune_run(struct cli *c, const struct prune_kind *kind, const struct prune_options *o)
{
	struct prune_result gone;
	struct err e;

	if (!o->force && !cli_confirm(c, o->all ? kind->of_all : kind->of_unused))
		return CLI_OK;
	if (kind->prune(c, o, &gone, &e) < 0)
		return cli_fail(c, &e);
	prune_print(c, kind->title, &gone);
	prune_print_total(c, gone.bytes);
	return CLI_OK;
}

static const struct option table[] = {
	{ PRUNE_FILTER, .help = "Provide filter values (e.g. until=<timestamp>)",
	  .words = "until= label= label!=" },
	{ PRUNE_FORCE },
};

static int prune(struct cli *c, const struct prune_options *o, struct prune_result *ret,
		 struct err *e)
{
	return workload_prune(&c->svc, o->filter.items, o->filter.n, &c->arena, ret, e);
}

static int run(struct cli *c, const void *options, struct option_args args)
{
	static const struct prune_kind kind = {
		.of_unused = "WARNING! This will remove all stopped containers.",
		.title = "Deleted Containers:",
		.prune = prune,
	};

	(void) args;
	return prune_run(c, &kind, options);
}

const struct verb verb_container_prune = {
	.usage = "[OPTIONS]",
	.summary = "Remove all stopped workloads",
	.options = table,
	.options_n = ARRAY_SIZE(table),
	.size = sizeof(struct prune_options),
	.run = run,
};
