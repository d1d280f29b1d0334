/* SPDX-License-Identifier: Apache-2.0 */
/* create: everything `run` does before the start. */
#include "base/auto.h"
#include "cli/create_options.h"
#include "cli/verbs.h"
#include "svc/workload.h"

static const struct option more[] = { CREATE_FROM_SNAPSHOT };

static int run(struct cli *c, const void *options, struct option_args args)
{
	const struct create_options *o = options;
	char id[WORKLOAD_ID_MAX];
	struct workload_config w;
	struct err e;
	int r;

	r = create_check_args(c, &verb_create, o, args);
	if (r != CLI_OK)
		return r;
	r = o->from_snapshot ? create_config_from(c, o, args, &w, &e)
			     : create_config(c, o, args, &w, &e);
	if (r == 0)
		r = cidfile_check(o->cidfile, &e);
	w.stdin_once = o->interactive;
	w.attach_stdout = w.attach_stderr = true;
	if (r == 0)
		r = create_workload(c, o, &w, false, NULL, id, &e);
	if (r == 0 && cidfile_write(o->cidfile, id, &e) < 0) {
		struct err ignored;

		r = -1;
		(void) workload_rm(&c->svc, id, true, true, &ignored);
	}
	if (r < 0) {
		(void) cli_fail(c, &e);
		return CLI_USAGE;
	}
	buf_addf(&c->out, "%s\n", id);
	return CLI_OK;
}

const struct verb verb_create = {
	.usage = "[OPTIONS] IMAGE [COMMAND] [ARG...]",
	.summary = "Create a new workload from an image or a snapshot without starting it",
	.about = "Everything that 'run' does before the start.\n\n"
		 "With --from-snapshot (see 'snapshot create') its first start goes on from there, "
		 "and has what the snapshot keeps of files; it has none before. The snapshot stays "
		 "as long as that start is to come.",
	.example = "atoll create --name job debian:bookworm make check\natoll start -a job",
	.options = create_option_table,
	.options_n = CREATE_OPTIONS,
	.more = more,
	.more_n = ARRAY_SIZE(more),
	.size = sizeof(struct create_options),
	.defaults = &create_option_defaults,
	.args_max = VERB_ARGS_ANY, /* at least one but with --from-snapshot: run() checks */
	.operands_end = true,
	.complete = OPTION_COMPLETE_IMAGE,
	.run = run,
};
