/* SPDX-License-Identifier: Apache-2.0 */
/* rm: remove workloads. */
#include <errno.h>

#include "base/auto.h"
#include "cli/cli.h"
#include "cli/verbs.h"
#include "svc/workload.h"

struct options {
	bool force, volumes;
};

static const struct option table[] = {
	{ OPTION_ITEM_(struct options, force, OPTION_BOOL, "force", 'f'),
	  .help = "Force the removal of a running workload (uses SIGKILL)" },
	{ .name = "link",
	  .letter = 'l',
	  .kind = OPTION_REFUSED_BOOL,
	  .why = "there are no links between workloads" },
	{ OPTION_ITEM_(struct options, volumes, OPTION_BOOL, "volumes", 'v'),
	  .help = "Remove anonymous volumes associated with the workload" },
};

static int rm_one(struct cli *c, const char *ref, const void *options, struct err *e)
{
	const struct options *o = options;
	int r = workload_rm(&c->svc, ref, o->force, o->volumes, e);

	/* As `rm -f`: what is not there need not be removed. */
	if (r < 0 && o->force && e->kind == ERR_NOT_FOUND) {
		(void) cli_fail(c, e);
		return 0;
	}
	return r;
}

static int run(struct cli *c, const void *options, struct option_args args)
{
	return cli_each(c, args, true, options, rm_one);
}

const struct verb verb_rm = {
	.usage = "[OPTIONS] CONTAINER [CONTAINER...]",
	.summary = "Remove one or more workloads",
	.options = table,
	.options_n = ARRAY_SIZE(table),
	.size = sizeof(struct options),
	.args_min = 1,
	.args_max = VERB_ARGS_ANY,
	.complete = OPTION_COMPLETE_CONTAINER,
	.run = run,
};
