/* SPDX-License-Identifier: Apache-2.0 */
/* top: the processes of a workload. */
#include "cli/cli.h"
#include "cli/format.h"
#include "cli/human.h"
#include "cli/verbs.h"
#include "svc/workload.h"

static int run(struct cli *c, const void *options, struct option_args args)
{
	auto_buf struct buf cells = BUF_INIT(64u << 20);
	struct top t;
	struct err e;
	int r;

	(void) options;
	r = workload_top(&c->svc, args.argv[0], args.n > 1 ? args.argv + 1 : NULL, args.n - 1,
			 &c->arena, &t, &e);
	if (r < 0)
		return cli_fail(c, &e);
	for (size_t i = 0; i < t.titles_n; i++)
		buf_addf(&cells, "%s%s", i ? "\t" : "", t.titles[i]);
	buf_addc(&cells, '\n');
	for (size_t row = 0; row < t.rows_n; row++) {
		for (size_t i = 0; i < t.titles_n; i++)
			buf_addf(&cells, "%s%s", i ? "\t" : "",
				 human_clean(&c->arena, t.rows[row].columns[i]));
		buf_addc(&cells, '\n');
	}
	table_align((struct str){ buf_z(&cells), cells.n }, &c->out);
	return CLI_OK;
}

const struct verb verb_top = {
	.usage = "CONTAINER [ps OPTIONS]",
	.summary = "Display the running processes of a workload",
	.args_min = 1,
	.args_max = VERB_ARGS_ANY,
	.operands_end = true,
	.complete = OPTION_COMPLETE_RUNNING,
	.run = run,
};
