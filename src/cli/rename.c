/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#include "cli/verbs.h"
#include "svc/workload.h"

static int run(struct cli *c, const void *options, struct option_args args)
{
	struct err e;

	(void) options;
	if (workload_rename(&c->svc, args.argv[0], args.argv[1], &e) < 0)
		return cli_fail(c, &e);
	return CLI_OK;
}

const struct verb verb_rename = {
	.usage = "CONTAINER NEW_NAME",
	.summary = "Rename a workload",
	.args_min = 2,
	.args_max = 2,
	.complete = OPTION_COMPLETE_CONTAINER,
	.run = run,
};
