/* SPDX-License-Identifier: Apache-2.0 */
/* pause and unpause: freeze all processes of a workload, and let them go on. */
#include "cli/cli.h"
#include "cli/verbs.h"
#include "svc/workload.h"

static int pause_one(struct cli *c, const char *ref, const void *options, struct err *e)
{
	(void) options;
	return workload_pause(&c->svc, ref, e);
}

static int unpause_one(struct cli *c, const char *ref, const void *options, struct err *e)
{
	(void) options;
	return workload_unpause(&c->svc, ref, e);
}

static int run_pause(struct cli *c, const void *options, struct option_args args)
{
	(void) options;
	return cli_each(c, args, true, NULL, pause_one);
}

static int run_unpause(struct cli *c, const void *options, struct option_args args)
{
	(void) options;
	return cli_each(c, args, true, NULL, unpause_one);
}

const struct verb verb_pause = {
	.usage = "CONTAINER [CONTAINER...]",
	.summary = "Pause all processes within one or more workloads",
	.args_min = 1,
	.args_max = VERB_ARGS_ANY,
	.complete = OPTION_COMPLETE_RUNNING,
	.run = run_pause,
};

const struct verb verb_unpause = {
	.usage = "CONTAINER [CONTAINER...]",
	.summary = "Unpause all processes within one or more workloads",
	.args_min = 1,
	.args_max = VERB_ARGS_ANY,
	.complete = OPTION_COMPLETE_RUNNING,
	.run = run_unpause,
};
