/* SPDX-License-Identifier: Apache-2.0 */
/* logs: what a workload has written. */
#include <errno.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/num.h"
#include "cli/cli.h"
#include "cli/times.h"
#include "cli/verbs.h"
#include "svc/logs.h"

struct options {
	bool details, follow, timestamps;
	const char *since, *until, *tail;
};

static const struct options defaults = { .tail = "all" };

static const struct option table[] = {
	{ OPTION_ITEM_(struct options, details, OPTION_BOOL, "details", 0), .hidden = true,
	  .help = "Accepted for docker's sake: lines carry no further attributes" },
	{ OPTION_ITEM_(struct options, follow, OPTION_BOOL, "follow", 'f'),
	  .help = "Follow log output" },
	{ OPTION_ITEM_(struct options, since, OPTION_STRING, "since", 0), .value = "string",
	  .help = "Show logs since timestamp (2026-01-02T13:23:37Z) or relative (42m)" },
	{ OPTION_ITEM_(struct options, tail, OPTION_STRING, "tail", 'n'), .value = "string",
	  .help = "Number of lines to show from the end of the logs (default \"all\")" },
	{ OPTION_ITEM_(struct options, timestamps, OPTION_BOOL, "timestamps", 't'),
	  .help = "Show timestamps" },
	{ OPTION_ITEM_(struct options, until, OPTION_STRING, "until", 0), .value = "string",
	  .help = "Show logs before a timestamp (2026-01-02T13:23:37Z) or relative (42m)" },
};

struct printer {
	struct cli *c;
	bool timestamps;
	bool follow;
	bool broken; /* nobody reads any more */
	bool line_start[2];
	enum shim_stream last;
	struct buf err_text;
};

/* Both streams in their order: what is pending of one goes out before the other's line. */
static int flush(struct printer *p)
{
	int r = cli_flush(p->c);

	if (r == 0 && p->err_text.n)
		r = fd_write_all(STDERR_FILENO, p->err_text.p, p->err_text.n);
	buf_clear(&p->err_text);
	p->broken = p->broken || r < 0;
	return r;
}

static int print_line(void *arg, const struct logs_line *l)
{
	struct printer *p = arg;
	bool err = l->stream == SHIM_STREAM_STDERR;
	struct buf *to = err ? &p->err_text : &p->c->out;
	char at[CLOCK_RFC3339_MAX];
	int r = 0;

	if (l->stream != p->last)
		r = flush(p);
	p->last = l->stream;
	if (p->timestamps && p->line_start[err]) {
		clock_rfc3339(l->at, at);
		buf_addf(to, "%s ", at);
	}
	buf_addstr(to, l->text);
	p->line_start[err] = l->text.n && l->text.p[l->text.n - 1] == '\n';
	if (r == 0 && (p->follow || to->n > (64u << 10)))
		r = flush(p);
	return r;
}

static int parse(const struct options *o, struct logs_read *r, struct err *e)
{
	nsec_t now = clock_wall();

	*r = (struct logs_read){ .out = true,
				 .err = true,
				 .follow = o->follow,
				 .tail = UINT64_MAX,
				 .wake_fd = FD_NONE };
	if (!streq(o->tail, "all") &&
	    num_parse_u64(str_of(o->tail), 0, UINT64_MAX - 1, &r->tail) < 0) {
		if (o->tail[0] != '-') /* docker: a negative number is all */
			return err_set(e, ERR_INVALID, EINVAL,
				       "--tail '%.60s': a number of lines, or \"all\"", o->tail);
		r->tail = UINT64_MAX;
	}
	if (time_parse("--since", o->since, now, &r->since, e) < 0)
		return -1;
	return time_parse("--until", o->until, now, &r->until, e);
}

static int run(struct cli *c, const void *options, struct option_args args)
{
	const struct options *o = options;
	struct printer p = { .c = c,
			     .timestamps = o->timestamps,
			     .follow = o->follow,
			     .line_start = { true, true },
			     .last = SHIM_STREAM_STDOUT,
			     .err_text = BUF_INIT(64u << 20) };
	struct logs_read what;
	struct err e;
	int r;

	r = parse(o, &what, &e);
	if (r == 0)
		r = logs_read(&c->svc, args.argv[0], &what, print_line, &p, &e);
	(void) flush(&p);
	if (p.broken)
		r = 0; /* main tells by the exit status; e was not filled */
	buf_fini(&p.err_text);
	return r < 0 ? cli_fail(c, &e) : CLI_OK;
}

const struct verb verb_logs = {
	.usage = "[OPTIONS] CONTAINER",
	.summary = "Fetch the logs of a workload",
	.options = table,
	.options_n = ARRAY_SIZE(table),
	.size = sizeof(struct options),
	.defaults = &defaults,
	.args_min = 1,
	.args_max = 1,
	.complete = OPTION_COMPLETE_CONTAINER,
	.run = run,
};
