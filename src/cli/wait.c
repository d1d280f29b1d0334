/* SPDX-License-Identifier: Apache-2.0 */
/* wait: block until workloads stop, then print their exit codes. */
#include "cli/cli.h"
#include "cli/verbs.h"
#include "svc/workload.h"

static int wait_one(struct cli *c, const char *ref, const void *options, struct err *e)
{
	int code, r = workload_wait(&c->svc, ref, WAIT_NOT_RUNNING, &code, e);

	(void) options;
	if (r == 0) {
		buf_addf(&c->out, "%d\n", code);
		(void) cli_flush(c);
	}
	return r;
}

static int run(struct cli *c, const void *options, struct option_args args)
{
	(void) options;
	return cli_each(c, args, false, NULL, wait_one);
}

const struct verb verb_wait = {
	.usage = "CONTAINER [CONTAINER...]",
	.summary = "Block until one or more workloads stop, then print their exit codes",
	.args_min = 1,
	.args_max = VERB_ARGS_ANY,
	.complete = OPTION_COMPLETE_CONTAINER,
	.run = run,
};
