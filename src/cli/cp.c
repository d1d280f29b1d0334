/* SPDX-License-Identifier: Apache-2.0 */
/* cp: files between a workload and this machine, or as a tar through standard input and output. */
#include <errno.h>
#include <unistd.h>

#include "base/auto.h"
#include "cli/cli.h"
#include "cli/human.h"
#include "cli/verbs.h"
#include "svc/copy.h"
#include "svc/workload.h"

struct options {
	bool archive, follow, quiet;
};

static const struct option table[] = {
	{ OPTION_ITEM_(struct options, archive, OPTION_BOOL, "archive", 'a'),
	  .help = "Archive mode (copy all uid/gid information)" },
	{ OPTION_ITEM_(struct options, follow, OPTION_BOOL, "follow-link", 'L'),
	  .help = "Always follow symbol link in SRC_PATH" },
	{ OPTION_ITEM_(struct options, quiet, OPTION_BOOL, "quiet", 'q'),
	  .help = "Do not say what was copied" },
};

/* "CONTAINER:PATH" apart; a path of this machine's has no colon, or begins with "/" or ".". */
static const char *split(struct arena *a, const char *text, const char **ret_ref)
{
	const char *colon = strchr(text, ':');

	*ret_ref = NULL;
	if (!colon || colon == text || text[0] == '/' || text[0] == '.')
		return text;
	*ret_ref = arena_dup(a, (struct str){ text, (size_t) (colon - text) });
	return colon[1] ? colon + 1 : "/";
}

static int run_out(struct cli *c, const struct options *o, const char *ref, const char *from,
		   const char *to, uint64_t *ret_bytes, struct err *e)
{
	struct copy_options how = { .follow = o->follow, .keep_owner = o->archive };

	if (!streq(to, "-"))
		return workload_copy_out(&c->svc, ref, from, to, &how, ret_bytes, e);
	if (cli_is_tty(STDOUT_FILENO))
		return err_set(e, ERR_INVALID, EINVAL,
			       "refusing to write an archive to a terminal: redirect it");
	return workload_archive_out(&c->svc, ref, from, o->follow, STDOUT_FILENO, e);
}

static int run_in(struct cli *c, const struct options *o, const char *from, const char *ref,
		  const char *to, uint64_t *ret_bytes, struct err *e)
{
	struct copy_options how = { .follow = o->follow, .keep_owner = o->archive };
	/* As docker: a stream says whose its files are. */
	struct archive_in_options stream = { .keep_owner = true };

	if (!streq(from, "-"))
		return workload_copy_in(&c->svc, from, ref, to, &how, ret_bytes, e);
	return workload_archive_in(&c->svc, ref, to, &stream, STDIN_FILENO, e);
}

static int run(struct cli *c, const void *options, struct option_args args)
{
	const struct options *o = options;
	const char *from_ref, *to_ref;
	const char *from = split(&c->arena, args.argv[0], &from_ref);
	const char *to = split(&c->arena, args.argv[1], &to_ref);
	uint64_t bytes = UINT64_MAX;
	struct err e;
	int r;

	if (from_ref && to_ref)
		return cli_failf(c, "copying between containers is not supported");
	if (from_ref)
		r = run_out(c, o, from_ref, from, to, &bytes, &e);
	else if (to_ref)
		r = run_in(c, o, from, to_ref, to, &bytes, &e);
	else
		return cli_failf(c, "must specify at least one container source: CONTAINER:PATH");
	if (r < 0)
		return cli_fail(c, &e);
	if (!o->quiet && bytes != UINT64_MAX && cli_is_tty(STDERR_FILENO))
		cli_warn(c, "copied %s to %s", human_size(bytes).z, args.argv[1]);
	return CLI_OK;
}

const struct verb verb_cp = {
	.usage = "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n"
		 "        atoll cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
	.summary = "Copy files/folders between a workload and the local filesystem",
	.about = "Copy files/folders between a workload and the local filesystem. With '-' as the "
		 "source a tar is read from STDIN and unpacked into a directory of the workload; "
		 "with "
		 "'-' as the destination a tar is written to STDOUT.",
	.options = table,
	.options_n = ARRAY_SIZE(table),
	.size = sizeof(struct options),
	.args_min = 2,
	.args_max = 2,
	.complete = OPTION_COMPLETE_FILE,
	.run = run,
};
