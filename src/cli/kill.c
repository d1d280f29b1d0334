/* SPDX-License-Identifier: Apache-2.0 */
/* kill: a signal to a workload's first process. */
#include "base/auto.h"
#include "cli/cli.h"
#include "cli/verbs.h"
#include "svc/workload.h"

struct options {
	const char *signal;
};

static const struct options defaults = { .signal = "KILL" };

static const struct option table[] = {
	{ OPTION_ITEM_(struct options, signal, OPTION_STRING, "signal", 's'), .value = "string",
	  .help = "Signal to send to the workload (default KILL)",
	  .words = "KILL TERM INT HUP USR1 USR2 QUIT" },
};

static int kill_one(struct cli *c, const char *ref, const void *options, struct err *e)
{
	const struct options *o = options;

	return workload_kill(&c->svc, ref, o->signal, e);
}

static int run(struct cli *c, const void *options, struct option_args args)
{
	return cli_each(c, args, true, options, kill_one);
}

const struct verb verb_kill = {
	.usage = "[OPTIONS] CONTAINER [CONTAINER...]",
	.summary = "Kill one or more running workloads",
	.options = table,
	.options_n = ARRAY_SIZE(table),
	.size = sizeof(struct options),
	.defaults = &defaults,
	.args_min = 1,
	.args_max = VERB_ARGS_ANY,
	.complete = OPTION_COMPLETE_RUNNING,
	.run = run,
};
