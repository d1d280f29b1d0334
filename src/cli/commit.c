/* SPDX-License-Identifier: Apache-2.0 */
/* commit: a workload's files become an image. */
#include "base/auto.h"
#include "cli/cli.h"
#include "cli/verbs.h"
#include "svc/workload.h"

struct options {
	const char *author, *message;
	struct option_list change;
	bool pause;
};

static const struct options defaults = { .pause = true };

static const struct option table[] = {
	{ OPTION_ITEM_(struct options, author, OPTION_STRING, "author", 'a'), .value = "string",
	  .help = "Author (e.g., \"John Hannibal Smith <hannibal@a-team.com>\")" },
	{ OPTION_ITEM_(struct options, change, OPTION_LIST, "change", 'c'), .value = "list",
	  .help = "Apply Dockerfile instruction to the created image",
	  .words = "CMD ENTRYPOINT ENV EXPOSE LABEL USER VOLUME WORKDIR" },
	{ OPTION_ITEM_(struct options, message, OPTION_STRING, "message", 'm'), .value = "string",
	  .help = "Commit message" },
	{ OPTION_ITEM_(struct options, pause, OPTION_BOOL, "pause", 'p'),
	  .help = "Pause the workload during commit (default true)" },
};

static int run(struct cli *c, const void *options, struct option_args args)
{
	const struct options *o = options;
	struct commit_options what = {
		.reference = args.n > 1 ? args.argv[1] : NULL,
		.author = o->author,
		.message = o->message,
		.changes = o->change.items,
		.changes_n = o->change.n,
		.no_pause = !o->pause,
	};
	char id[IMAGE_ID_TEXT_MAX];
	struct err e;

	if (workload_commit(&c->svc, args.argv[0], &what, id, &e) < 0)
		return cli_fail(c, &e);
	buf_addf(&c->out, "%s\n", id);
	return CLI_OK;
}

const struct verb verb_commit = {
	.usage = "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
	.summary = "Create a new image from a workload's changes",
	.options = table,
	.options_n = ARRAY_SIZE(table),
	.size = sizeof(struct options),
	.defaults = &defaults,
	.args_min = 1,
	.args_max = 2,
	.complete = OPTION_COMPLETE_CONTAINER,
	.run = run,
};
