/* SPDX-License-Identifier: Apache-2.0 */
/* compare: every engine of this machine against bare metal, with the user's image. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "bench/chart.h"
#include "bench/compare.h"
#include "cli/cli.h"
#include "cli/verbs.h"

struct options {
	int64_t runs;
	const char *format, *output;
	struct option_list isolation;
	bool quiet;
};

static const struct options defaults = { .runs = COMPARE_RUNS_DEFAULT };

static const struct option table[] = {
	{ OPTION_ITEM_(struct options, format, OPTION_STRING, "format", 0), .value = "string",
	  .help = "Format output: table or json", .words = "table json" },
	{ OPTION_ITEM_(struct options, isolation, OPTION_LIST, "isolation", 0), .value = "name",
	  .help = "Only this wall; may be repeated (default all there are)",
	  .words = "container sandbox microvm" },
	{ OPTION_ITEM_(struct options, output, OPTION_STRING, "output", 'o'),
	  .complete = OPTION_COMPLETE_FILE, .value = "file",
	  .help = "Also write charts to a file: .svg or .html; or the figures: .json" },
	{ OPTION_ITEM_(struct options, quiet, OPTION_BOOL, "quiet", 'q'),
	  .help = "Do not show progress" },
	{ OPTION_ITEM_(struct options, runs, OPTION_INT, "runs", 0), .value = "n",
	  .help = "How often each start-up is measured (default 20)", .min = 1,
	  .max = COMPARE_RUNS_MAX },
};

enum { TEXT_MAX = 16 << 20 };

static void progress(struct compare *c, const char *row, const char *what, unsigned done,
		     unsigned total)
{
	(void) c;
	/* Over the line before; the blanks clear what was longer. */
	(void) fprintf(stderr, "\r%s: %s, %u of %u          ", row, what, done, total);
}

static void progress_end(void)
{
	(void) fprintf(stderr, "\r%60s\r", "");
}

enum chart { CHART_NONE, CHART_SVG, CHART_HTML, CHART_JSON };

static int chart_of(const char *path, enum chart *ret, struct err *e)
{
	static const struct {
		const char *suffix;
		enum chart chart;
	} kinds[] = {
		{ ".svg", CHART_SVG },
		{ ".html", CHART_HTML },
		{ ".htm", CHART_HTML },
		{ ".json", CHART_JSON },
	};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (str_ends(str_of(path), kinds[i].suffix)) {
			*ret = kinds[i].chart;
			return 0;
		}
	}
	return err_set(e, ERR_INVALID, EINVAL,
		       "--output %s: the name must end in .svg, .html or .json", path);
}

static int write_chart(const struct report *r, const char *path, enum chart chart, struct err *e)
{
	auto_buf struct buf text = BUF_INIT(TEXT_MAX);
	auto_fd int fd = FD_NONE;
	int result;

	switch (chart) {
	case CHART_NONE:
		return 0;
	case CHART_SVG:
		chart_svg(r, &text);
		break;
	case CHART_HTML:
		chart_html(r, &text);
		break;
	case CHART_JSON:
		report_json(r, &text);
		break;
	}
	if (!buf_ok(&text))
		return err_sys(e, -buf_error(&text), "--output %s", path);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0)
		return err_sys(e, errno, "--output %s", path);
	result = fd_write_all(fd, text.p, text.n);
	if (result < 0)
		return err_sys(e, -result, "--output %s", path);
	return 0;
}

/*
 * ^C and SIGTERM become readable instead of ending us: what runs is then ended and removed.
 * Nothing that is spawned inherits the blocked signals (sys/spawn).
 */
static int catch_signals(struct err *e)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return err_sys(e, errno, "compare: signals");
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return err_sys(e, errno, "compare: signals");
	return fd;
}

static int run(struct cli *c, const void *options, struct option_args args)
{
	const struct options *o = options;
	const char *format = o->format ? o->format : "table";
	auto_fd int signals = FD_NONE;
	static struct report report;
	struct compare compare = { .svc = &c->svc,
				   .image = args.argv[0],
				   .command = args.argv + 1,
				   .command_n = args.n - 1,
				   .walls = o->isolation.items,
				   .walls_n = o->isolation.n,
				   .runs = (uint32_t) o->runs };
	enum chart chart = CHART_NONE;
	bool cancelled = false;
	struct path_text dir;
	struct err e;
	int r;

	/* All that can be wrong is told before a minute is spent. */
	if (!streq(format, "table") && !streq(format, "json")) {
		(void) err_set(&e, ERR_INVALID, EINVAL, "--format %s: table or json", format);
		return cli_usage(c, &e);
	}
	if (o->output && chart_of(o->output, &chart, &e) < 0)
		return cli_usage(c, &e);
	if (compare.command_n && streq(compare.command[0], "--")) {
		compare.command++;
		compare.command_n--;
	}
	signals = catch_signals(&e);
	if (signals < 0 || svc_store(&c->svc, &e) < 0)
		return cli_fail(c, &e);
	dir = paths_tmp(&c->svc.paths);
	compare.dir = dir.z;
	compare.cancel_fd = signals;
	if (cli_is_tty(STDERR_FILENO) && !o->quiet)
		compare.progress = progress;
	r = compare_run(&compare, &report, &cancelled, &e);
	if (compare.progress)
		progress_end();
	if (r < 0)
		return cli_fail(c, &e);
	if (cancelled)
		return CLI_SIGNAL + SIGINT;
	if (streq(format, "json"))
		report_json(&report, &c->out);
	else
		report_table(&report, &c->out);
	if (o->output && write_chart(&report, o->output, chart, &e) < 0)
		return cli_fail(c, &e);
	return CLI_OK;
}

const struct verb verb_compare = {
	.usage = "[OPTIONS] IMAGE [-- COMMAND [ARG...]]",
	.summary = "Measure the walls against each other and against bare metal",
	.about = "Runs a small program of atoll's own in workloads made from IMAGE, once behind "
		 "each "
		 "engine that this machine can use and once as a plain process, and compares: time "
		 "to the first instruction and to the exit, stopping, memory beyond the workload's "
		 "own, the cost of system calls, processes, computing and files, and how much of "
		 "the "
		 "host's kernel the workload can reach.\n\n"
		 "With COMMAND its run in IMAGE is timed as well, from the start to its exit.",
	.example = "atoll compare debian:bookworm\n"
		   "atoll compare --output walls.html debian:bookworm -- cat /etc/debian_version\n",
	.options = table,
	.options_n = ARRAY_SIZE(table),
	.size = sizeof(struct options),
	.defaults = &defaults,
	.args_min = 1,
	.args_max = VERB_ARGS_ANY,
	.operands_end = true,
	.complete = OPTION_COMPLETE_IMAGE,
	.run = run,
};
