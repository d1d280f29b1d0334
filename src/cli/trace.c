/* SPDX-License-Identifier: Apache-2.0 */
/* trace: the system calls of a workload on Atoll's kernel, as they come, counted, or refused. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/num.h"
#include "cli/cli.h"
#include "cli/format.h"
#include "cli/verbs.h"
#include "kernel/syscall/list/arguments.h"
#include "kernel/syscall/list/calls.h"
#include "svc/trace.h"
#include "trace/choice.h"
#include "trace/lines.h"
#include "trace/names.h"
#include "trace/summary.h"
#include "trace/values.h"

#define PIDS_MAX 32
#define TEXT_MAX ((size_t) 8 << 20) /* of one message's lines */
/* What was called before the signal that ends the trace may be on its way still. */
#define DRAIN_WITHIN (50 * NSEC_PER_MSEC)
/* A call that takes longer is told before it has ended. */
#define TELL_AFTER (100 * NSEC_PER_MSEC)

struct options {
	struct option_list expressions, pids;
	const char *output, *format;
	int64_t text;
	bool summary, clock, relative, durations, refused, quiet;
};
static const struct options defaults = { .text = 32 };

static const struct option table[] = {
	{ OPTION_ITEM_(struct options, clock, OPTION_BOOL, "absolute-timestamps", 't'),
	  .help = "Begin each line with the time of day" },
	{ OPTION_ITEM_(struct options, expressions, OPTION_LIST, "expr", 'e'),
	  .value = "expression",
	  .help = "Which calls: trace=SET of names, %file, %desc, %process, %network, %signal, "
		  "%memory, %ipc, all others after a '!'; signal=none",
	  .words = "trace=%file trace=%desc trace=%process trace=%network trace=%signal "
		   "trace=%memory trace=%ipc signal=none" },
	{ OPTION_ITEM_(struct options, format, OPTION_STRING, "format", 0), .value = "string",
	  .help = "Format of --refused: table, json, 'table TEMPLATE' or a Go template",
	  .words = "table json" },
	{ OPTION_ITEM_(struct options, output, OPTION_STRING, "output", 'o'), .value = "file",
	  .complete = OPTION_COMPLETE_FILE, .help = "Write the trace to a file" },
	{ OPTION_ITEM_(struct options, pids, OPTION_LIST, "pid", 'p'), .value = "pid",
	  .help = "Only this process (its number inside) and those below it" },
	{ OPTION_ITEM_(struct options, quiet, OPTION_BOOL, "quiet", 'q'),
	  .help = "Do not tell when the trace begins" },
	{ OPTION_ITEM_(struct options, refused, OPTION_BOOL, "refused", 0),
	  .help = "Show which calls were not served, or not in full, and how often, and end" },
	{ OPTION_ITEM_(struct options, relative, OPTION_BOOL, "relative-timestamps", 'r'),
	  .help = "Begin each line with the seconds since the one before" },
	{ OPTION_ITEM_(struct options, text, OPTION_INT, "string-limit", 's'), .value = "bytes",
	  .min = 0, .max = TRACE_TEXT_MAX, .help = "How much of a text or buffer is shown (32)" },
	{ OPTION_ITEM_(struct options, summary, OPTION_BOOL, "summary-only", 'c'),
	  .help = "Count calls, errors and time, and print a table at the end" },
	{ OPTION_ITEM_(struct options, durations, OPTION_BOOL, "syscall-times", 'T'),
	  .help = "End each line with the time that the call took" },
};

/* ---- a trace ---- */

struct trace {
	const struct options *o;
	struct lines lines;
	struct summary *summary; /* owned; NULL: lines are printed */
	struct buf out;
	int out_fd;
};

static int what_to_trace(const struct options *o, uint32_t pids[static PIDS_MAX],
			 struct engine_trace *ret, struct err *e)
{
	struct choice choice;

	choice_all(&choice);
	for (size_t n = 0; n < o->expressions.n; n++)
		if (choice_parse(&choice, o->expressions.items[n], e) < 0)
			return err_ctx(e, "-e");
	if (o->pids.n > PIDS_MAX)
		return err_set(e, ERR_INVALID, EINVAL, "-p: at most %d processes", PIDS_MAX);
	for (size_t n = 0; n < o->pids.n; n++)
		if (num_parse_u32(str_of(o->pids.items[n]), 1, INT32_MAX, &pids[n]) < 0)
			return err_set(e, ERR_INVALID, EINVAL, "-p: '%.40s' is no process' number",
				       o->pids.items[n]);
	*ret = (struct engine_trace){
		.pids = pids,
		.pids_n = o->pids.n,
		/* 0 would leave the names of files out, too. */
		.text = o->summary ? 0 : (uint32_t) (o->text ? o->text : 1),
		.entries = !o->summary,
		.signals = !o->summary && choice.signals,
	};
	static_assert(sizeof(ret->calls) == sizeof(choice.calls), "the same bits");
	memcpy(ret->calls, choice.calls, sizeof(ret->calls));
	return 0;
}

static int flush(struct trace *t, struct err *e)
{
	int r = !buf_ok(&t->out) ? buf_error(&t->out)
				 : fd_write_all(t->out_fd, buf_z(&t->out), t->out.n);

	buf_clear(&t->out);
	return r < 0 ? err_sys(e, -r, "write the trace") : 0;
}

static int take(struct trace *t, struct str message, struct err *e)
{
	struct trace_call call;
	int r;

	while ((r = trace_next(&message, &call)) > 0) {
		if (t->summary)
			summary_add(t->summary, &call);
		else
			lines_add(&t->lines, &call, &t->out);
	}
	if (r < 0)
		return err_set(e, ERR_REMOTE, EBADMSG,
			       "the workload's kernel tells what is no trace");
	return flush(t, e);
}

/* A message, where there is one: 1; 0: it has ended. */
static int receive(struct trace *t, int sock, struct err *e)
{
	static char message[TRACE_MESSAGE_MAX];
	ssize_t n = recv(sock, message, sizeof(message), MSG_DONTWAIT);

	if (n == 0 || (n < 0 && errno == ECONNRESET))
		return 0;
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		return err_sys(e, errno, "read the trace");
	return n > 0 && take(t, (struct str){ message, (size_t) n }, e) < 0 ? -1 : 1;
}

static int drain(struct trace *t, int sock, struct err *e)
{
	nsec_t deadline = clock_deadline(DRAIN_WITHIN);
	struct pollfd p = { .fd = sock, .events = POLLIN };
	int r = 1;

	while (r > 0 && clock_mono() < deadline && poll(&p, 1, clock_poll_ms(deadline)) > 0)
		r = receive(t, sock, e);
	return r < 0 ? r : 0;
}

/* Until it ends or a signal comes. */
static int follow(struct trace *t, int sock, int signals, struct err *e)
{
	struct pollfd fds[] = { { .fd = sock, .events = POLLIN },
				{ .fd = signals, .events = POLLIN } };

	for (;;) {
		int wait = lines_wait(&t->lines) ? (int) (TELL_AFTER / NSEC_PER_MSEC) : -1, r;

		if (poll(fds, ARRAY_SIZE(fds), wait) < 0 && errno != EINTR)
			return err_sys(e, errno, "wait for the trace");
		if (fds[1].revents)
			return drain(t, sock, e);
		r = receive(t, sock, e);
		if (r <= 0)
			return r;
		if (lines_wait(&t->lines)) {
			lines_tell(&t->lines, clock_wall() - TELL_AFTER, &t->out);
			if (flush(t, e) < 0)
				return -1;
		}
	}
}

static int catch_signals(struct err *e)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	fd = sigprocmask(SIG_BLOCK, &set, NULL) < 0
		     ? -1
		     : signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? err_sys(e, errno, "signals") : fd;
}

static int trace(struct cli *c, const char *ref, struct trace *t, struct err *e)
{
	auto_fd int sock = FD_NONE, signals = FD_NONE, file = FD_NONE;
	uint32_t pids[PIDS_MAX];
	struct engine_trace what;
	int r = what_to_trace(t->o, pids, &what, e);

	r = r < 0 ? r : trace_open(&c->svc, ref, &what, &sock, e);
	if (r < 0)
		return r;
	signals = catch_signals(e);
	if (signals < 0)
		return -1;
	if (t->o->output) {
		file = open(t->o->output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
		if (file < 0)
			return err_sys(e, errno, "--output %s", t->o->output);
		t->out_fd = file;
	}
	if (!t->o->quiet)
		cli_warn(c, "tracing workload '%s'", ref);
	r = follow(t, sock, signals, e);
	if (r < 0)
		return r;
	if (t->summary)
		summary_print(t->summary, &t->out);
	else
		lines_tell(&t->lines, INT64_MAX, &t->out);
	return flush(t, e);
}

/* ---- what was refused ---- */

static const struct format_column columns[] = {
	{ "Count", "COUNT" }, { "Error", "ERROR" }, { "Name", "NAME" },
	{ "Note", "NOTE" },   { "State", "STATE" }, { "Which", "WHICH" },
};
#define TABLE "table {{.Count}}\t{{.Name}}\t{{.Which}}\t{{.State}}\t{{.Error}}\t{{.Note}}"

static const struct call_info *info_of(uint64_t nr)
{
	size_t n;
	const struct call_info *all = call_list(&n);

	for (size_t i = 0; i < n; i++)
		if (all[i].nr == nr)
			return &all[i];
	return NULL;
}

static struct json *refused_row(struct arena *a, const struct engine_refused *r)
{
	const struct call_info *info = info_of(r->nr);
	const struct call_arguments *args = call_arguments((unsigned int) r->nr);
	const char *error = name_error((unsigned int) r->error);
	auto_buf struct buf which = BUF_INIT(1024), name = BUF_INIT(128);
	struct json *row = row_new(a);

	line_name(&name, (unsigned int) r->nr);
	if (args->which)
		value_plain(&which, (enum argument_kind) args->kinds[args->which - 1], r->which);
	row_textf(a, row, "Count", "%llu", (unsigned long long) r->count);
	row_text(a, row, "Name", arena_strdup(a, buf_z(&name)));
	row_text(a, row, "Which", arena_strdup(a, buf_z(&which)));
	row_text(a, row, "State",
		 r->filtered ? "filtered" : call_state_text(info ? info->state : CALL_NONE));
	row_text(a, row, "Error", error ? error : "");
	row_text(a, row, "Note",
		 r->filtered	       ? "by a seccomp filter of the workload"
		 : info && info->words ? info->words
				       : "");
	return row;
}

static int refused(struct cli *c, const char *ref, const struct options *o, struct err *e)
{
	auto_format struct format f = { 0 };
	struct engine_refusals all;
	int r = format_init(&f, &c->arena, o->format, TABLE, columns, ARRAY_SIZE(columns), e);

	r = r < 0 ? r : trace_refused(&c->svc, ref, &c->arena, &all, e);
	for (size_t n = 0; r == 0 && n < all.n; n++)
		r = format_row(&f, refused_row(&c->arena, &all.v[n]), NULL, &c->out, e);
	r = r < 0 ? r : format_end(&f, &c->out, e);
	if (r == 0 && all.others)
		cli_warn(c, "and %llu calls of more kinds than are told apart",
			 (unsigned long long) all.others);
	return r;
}

static int run(struct cli *c, const void *options, struct option_args args)
{
	const struct options *o = options;
	struct trace t = { .o = o,
			   .lines = LINES_INIT(((struct line_style){ .text = (size_t) o->text,
								     .clock = o->clock,
								     .relative = o->relative,
								     .durations = o->durations })),
			   .out = BUF_INIT(TEXT_MAX),
			   .out_fd = STDOUT_FILENO };
	struct err e;
	int r;

	if (o->refused) {
		r = refused(c, args.argv[0], o, &e);
		return r < 0 ? cli_fail(c, &e) : CLI_OK;
	}
	if (o->summary) {
		t.summary = calloc(1, sizeof(*t.summary));
		if (!t.summary)
			return cli_failf(c, "out of memory");
	}
	r = trace(c, args.argv[0], &t, &e);
	lines_fini(&t.lines);
	free(t.summary);
	buf_fini(&t.out);
	return r < 0 ? cli_fail(c, &e) : CLI_OK;
}

const struct verb verb_trace = {
	.usage = "[OPTIONS] CONTAINER",
	.summary = "Show the system calls of a workload on Atoll's kernel",
	.about =
		"Attaches to a workload of --isolation=sandbox that runs and prints each system "
		"call "
		"as its kernel serves it, of all its processes, as strace does: name, arguments, "
		"result. The workload is not stopped for it: where calls come faster than they are "
		"read, some are left out, and the trace says how many. A call that takes long is "
		"printed in two lines. ^C ends the trace, not the workload.\n\n"
		"--refused shows, of a workload that runs or has ended by itself, which calls "
		"Atoll's "
		"kernel did not serve, or serves in part and that failed, and how often: the first "
		"thing to look at when a program works in a container and not in a sandbox.",
	.example = "atoll trace web\natoll trace -e trace=%file -T web\natoll trace -c web\n"
		   "atoll trace --refused web",
	.options = table,
	.options_n = ARRAY_SIZE(table),
	.size = sizeof(struct options),
	.defaults = &defaults,
	.args_min = 1,
	.args_max = 1,
	.complete = OPTION_COMPLETE_RUNNING,
	.run = run,
};
