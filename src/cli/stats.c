/* SPDX-License-Identifier: Apache-2.0 */
/* stats: what workloads use, once or as a live table. */
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "cli/cli.h"
#include "cli/format.h"
#include "cli/human.h"
#include "cli/verbs.h"
#include "svc/workload.h"

struct options {
	bool all, no_stream, no_trunc;
	const char *format;
};

static const struct option table[] = {
	{ OPTION_ITEM_(struct options, all, OPTION_BOOL, "all", 'a'),
	  .help = "Show all workloads (default shows just running)" },
	{ OPTION_ITEM_(struct options, format, OPTION_STRING, "format", 0), .value = "string",
	  .help = "Format output: table, json, 'table TEMPLATE' or a Go template",
	  .words = "table json" },
	{ OPTION_ITEM_(struct options, no_stream, OPTION_BOOL, "no-stream", 0),
	  .help = "Disable streaming stats and only pull the first result" },
	{ OPTION_ITEM_(struct options, no_trunc, OPTION_BOOL, "no-trunc", 0),
	  .help = "Do not truncate output" },
};

static const struct format_column columns[] = {
	{ "BlockIO", "BLOCK I/O" },   { "BlockOps", "BLOCK OPS" },	   { "CPUPerc", "CPU %" },
	{ "Container", "CONTAINER" }, { "HostMem", "HOST MEM" },	   { "ID", "CONTAINER ID" },
	{ "MemPerc", "MEM %" },	      { "MemUsage", "MEM USAGE / LIMIT" }, { "Name", "NAME" },
	{ "NetIO", "NET I/O" },	      { "NetPackets", "NET PACKETS" },	   { "PIDs", "PIDS" },
};

#define TABLE                                                                                      \
	"table {{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t"        \
	"{{.BlockIO}}\t{{.PIDs}}"

#define SAMPLE_MS 1000 /* between two samples, as docker */

struct sample {
	struct stats *v;
	size_t n;
};

static const struct stats *find(const struct sample *s, const char *id)
{
	for (size_t i = 0; i < s->n; i++)
		if (streq(s->v[i].id, id))
			return &s->v[i];
	return NULL;
}

static uint64_t known(uint64_t v)
{
	return v == UINT64_MAX ? 0 : v;
}

static uint64_t host_memory(void)
{
	return (uint64_t) sysconf(_SC_PHYS_PAGES) * (uint64_t) sysconf(_SC_PAGESIZE);
}

/* Docker's: how much of the host's processor time of all CPUs, 100% being one CPU. */
static const char *cpu_percent(struct arena *a, const struct stats *now, const struct stats *before)
{
	uint64_t mine, host;

	if (!before || known(now->now.cpu_ns) < known(before->now.cpu_ns) ||
	    now->now.at <= before->now.at)
		return "0.00%";
	mine = known(now->now.cpu_ns) - known(before->now.cpu_ns);
	host = (uint64_t) (now->now.at - before->now.at);
	return arena_strdup(a, human_percent(mine, host).z);
}

static struct json *make_row(struct arena *a, const struct stats *s, const struct stats *before,
			     bool trunc)
{
	struct json *row = row_new(a);
	const struct usage *u = &s->now;
	uint64_t used, limit = known(u->memory_limit_bytes), host = host_memory();

	row_text(a, row, "Container", human_id(a, s->id, trunc));
	row_text(a, row, "ID", human_id(a, s->id, trunc));
	row_text(a, row, "Name", s->name);
	if (!s->running) {
		static const char *const none[] = { "CPUPerc", "HostMem", "MemPerc", "PIDs" };

		for (size_t i = 0; i < ARRAY_SIZE(none); i++)
			row_text(a, row, none[i], "--");
		row_text(a, row, "MemUsage", "-- / --");
		row_text(a, row, "NetIO", "-- / --");
		row_text(a, row, "BlockIO", "-- / --");
		row_text(a, row, "BlockOps", "-- / --");
		row_text(a, row, "NetPackets", "-- / --");
		return row;
	}
	if (!limit || limit > host) /* none is the host's memory, as docker shows it */
		limit = host;
	used = known(u->memory_bytes);
	used -= known(u->memory_cache_bytes) < used ? known(u->memory_cache_bytes) : 0;
	row_text(a, row, "CPUPerc", cpu_percent(a, s, before));
	row_textf(a, row, "MemUsage", "%s / %s", human_memory(used).z, human_memory(limit).z);
	row_text(a, row, "MemPerc", arena_strdup(a, human_percent(used, limit).z));
	row_textf(a, row, "NetIO", "%s / %s", human_size(known(u->net_rx_bytes)).z,
		  human_size(known(u->net_tx_bytes)).z);
	row_textf(a, row, "BlockIO", "%s / %s", human_size(known(u->block_read_bytes)).z,
		  human_size(known(u->block_write_bytes)).z);
	row_textf(a, row, "BlockOps", "%llu / %llu", (unsigned long long) known(u->block_reads),
		  (unsigned long long) known(u->block_writes));
	row_textf(a, row, "NetPackets", "%llu / %llu",
		  (unsigned long long) known(u->net_rx_packets),
		  (unsigned long long) known(u->net_tx_packets));
	/* Of a machine: all that it costs, its own kernel included. Of others the same as used. */
	row_text(a, row, "HostMem",
		 arena_strdup(a, human_memory(u->memory_host_bytes == UINT64_MAX
						      ? used
						      : u->memory_host_bytes)
					 .z));
	row_textf(a, row, "PIDs", "%llu", (unsigned long long) known(u->pids));
	return row;
}

static int print(struct cli *c, struct arena *a, const struct options *o, const struct sample *now,
		 const struct sample *before, struct err *e)
{
	auto_format struct format f = { 0 };
	int r = format_init(&f, a, o->format, TABLE, columns, ARRAY_SIZE(columns), e);

	for (size_t i = 0; i < now->n && r == 0; i++) {
		if (!now->v[i].running && !o->all)
			continue;
		r = format_row(&f,
			       make_row(a, &now->v[i], find(before, now->v[i].id), !o->no_trunc),
			       NULL, &c->out, e);
	}
	return r < 0 ? r : format_end(&f, &c->out, e);
}

/* Names of all workloads: stats itself gives only those that run. */
static int all_refs(struct cli *c, struct option_args *args, struct err *e)
{
	struct workload_filter filter = { .all = true };
	struct workload_infos list;
	const char **refs;

	if (workload_ps(&c->svc, &filter, &c->arena, &list, e) < 0)
		return -1;
	refs = arena_array(&c->arena, list.n + 1, sizeof(*refs));
	for (size_t i = 0; refs && i < list.n; i++)
		refs[i] = list.v[i].record.id;
	*args = (struct option_args){ .argv = refs, .n = refs ? list.n : 0 };
	return 0;
}

static int take(struct cli *c, const struct option_args *args, struct arena *a, struct sample *ret,
		struct err *e)
{
	return workload_stats(&c->svc, args->n ? args->argv : NULL, args->n, a, &ret->v, &ret->n,
			      e);
}

/* Two arenas in turn: a sample lives until the one after the next. */
static int stream(struct cli *c, const struct options *o, const struct option_args *args,
		  struct err *e)
{
	struct arena arenas[2] = { ARENA_INIT(64u << 20), ARENA_INIT(64u << 20) };
	struct sample samples[2] = { 0 };
	bool tty = cli_is_tty(STDOUT_FILENO),
	     table_format = !o->format || strncmp(o->format, "table", 5) == 0;
	int r = take(c, args, &arenas[0], &samples[0], e);

	for (unsigned turn = 1; r == 0; turn++) {
		unsigned now = turn & 1, before = !now;

		(void) poll(NULL, 0,
			    SAMPLE_MS); /* the interval measured, not a wait for something */
		arena_fini(&arenas[now]);
		arenas[now] = ARENA_INIT(64u << 20);
		r = take(c, args, &arenas[now], &samples[now], e);
		if (r == 0 && tty && table_format && !o->no_stream)
			buf_adds(&c->out, "\033[2J\033[H"); /* clear, home */
		if (r == 0)
			r = print(c, &arenas[now], o, &samples[now], &samples[before], e);
		if (r < 0 || o->no_stream)
			break;
		if (cli_flush(c) < 0)
			break;
	}
	arena_fini(&arenas[0]);
	arena_fini(&arenas[1]);
	return r;
}

static int run(struct cli *c, const void *options, struct option_args args)
{
	const struct options *o = options;
	struct err e;
	int r = 0;

	if (o->all && !args.n)
		r = all_refs(c, &args, &e);
	if (r == 0 && o->all && !args.n)
		return CLI_OK;
	if (r == 0)
		r = stream(c, o, &args, &e);
	return r < 0 ? cli_fail(c, &e) : CLI_OK;
}

const struct verb verb_stats = {
	.usage = "[OPTIONS] [CONTAINER...]",
	.summary = "Display a live stream of workloads' resource usage statistics",
	.options = table,
	.options_n = ARRAY_SIZE(table),
	.size = sizeof(struct options),
	.args_max = VERB_ARGS_ANY,
	.complete = OPTION_COMPLETE_RUNNING,
	.run = run,
};
