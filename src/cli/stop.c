/* SPDX-License-Identifier: Apache-2.0 */
/* stop and restart: end a workload politely, then not; and start it again. */
#include "base/auto.h"
#include "cli/cli.h"
#include "cli/verbs.h"
#include "svc/workload.h"

struct options {
	int64_t time;
	const char *signal;
};

static const struct options defaults = { .time = -1 };

static const struct option table[] = {
	{ OPTION_ITEM_(struct options, signal, OPTION_STRING, "signal", 's'), .value = "string",
	  .help = "Signal to send to the workload" },
	{ OPTION_ITEM_(struct options, time, OPTION_INT, "timeout", 't'), .value = "int", .min = -1,
	  .max = INT32_MAX, .help = "Seconds to wait before killing the workload" },
	{ OPTION_ITEM_(struct options, time, OPTION_INT, "time", 0), .value = "int", .min = -1,
	  .max = INT32_MAX, .hidden = true, .help = "The same as --timeout" },
};

static int stop_one(struct cli *c, const char *ref, const void *options, struct err *e)
{
	const struct options *o = options;

	return workload_stop(&c->svc, ref, o->time, o->signal, e);
}

static int restart_one(struct cli *c, const char *ref, const void *options, struct err *e)
{
	const struct options *o = options;

	return workload_restart(&c->svc, ref, o->time, o->signal, e);
}

static int run_stop(struct cli *c, const void *options, struct option_args args)
{
	return cli_each(c, args, true, options, stop_one);
}

static int run_restart(struct cli *c, const void *options, struct option_args args)
{
	return cli_each(c, args, true, options, restart_one);
}

const struct verb verb_stop = {
	.usage = "[OPTIONS] CONTAINER [CONTAINER...]",
	.summary = "Stop one or more running workloads",
	.about = "Send the workload its stop signal (SIGTERM unless it or its image says "
		 "otherwise), "
		 "and SIGKILL when it has not ended after the timeout (10 seconds unless set).",
	.options = table,
	.options_n = ARRAY_SIZE(table),
	.size = sizeof(struct options),
	.defaults = &defaults,
	.args_min = 1,
	.args_max = VERB_ARGS_ANY,
	.complete = OPTION_COMPLETE_RUNNING,
	.run = run_stop,
};

const struct verb verb_restart = {
	.usage = "[OPTIONS] CONTAINER [CONTAINER...]",
	.summary = "Restart one or more workloads",
	.options = table,
	.options_n = ARRAY_SIZE(table),
	.size = sizeof(struct options),
	.defaults = &defaults,
	.args_min = 1,
	.args_max = VERB_ARGS_ANY,
	.complete = OPTION_COMPLETE_CONTAINER,
	.run = run_restart,
};
