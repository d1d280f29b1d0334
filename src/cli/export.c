/* SPDX-License-Identifier: Apache-2.0 */
/* export: a workload's files as a tar. */
#include "base/auto.h"
#include "cli/cli.h"
#include "cli/output.h"
#include "cli/verbs.h"
#include "svc/workload.h"

struct options {
	const char *output;
};

static const struct option table[] = {
	{ OPTION_ITEM_(struct options, output, OPTION_STRING, "output", 'o'), .value = "string",
	  .complete = OPTION_COMPLETE_FILE, .help = "Write to a file, instead of STDOUT" },
};

static int run(struct cli *c, const void *options, struct option_args args)
{
	const struct options *o = options;
	auto_output struct output out = OUTPUT_INIT;
	struct err e;
	int r;

	r = output_open(&out, o->output, &e);
	if (r == 0)
		r = workload_export(&c->svc, args.argv[0], out.fd, &e);
	if (r == 0)
		r = output_commit(&out, &e);
	return r < 0 ? cli_fail(c, &e) : CLI_OK;
}

const struct verb verb_export = {
	.usage = "[OPTIONS] CONTAINER",
	.summary = "Export a workload's filesystem as a tar archive",
	.options = table,
	.options_n = ARRAY_SIZE(table),
	.size = sizeof(struct options),
	.args_min = 1,
	.args_max = 1,
	.complete = OPTION_COMPLETE_CONTAINER,
	.run = run,
};
