/* SPDX-License-Identifier: Apache-2.0 */
/* diff: what a workload has changed in its files. */
#include "cli/cli.h"
#include "cli/verbs.h"
#include "svc/workload.h"

static int run(struct cli *c, const void *options, struct option_args args)
{
	struct diff d;
	struct err e;

	(void) options;
	if (workload_diff(&c->svc, args.argv[0], &c->arena, &d, &e) < 0)
		return cli_fail(c, &e);
	for (size_t i = 0; i < d.n; i++)
		buf_addf(&c->out, "%c %s\n", d.v[i].kind, d.v[i].path);
	return CLI_OK;
}

const struct verb verb_diff = {
	.usage = "CONTAINER",
	.summary = "Inspect changes to files or directories on a workload's filesystem",
	.about = "A line for each file or directory: A it was added, C it was changed, D it was "
		 "deleted.",
	.args_min = 1,
	.args_max = 1,
	.complete = OPTION_COMPLETE_CONTAINER,
	.run = run,
};
