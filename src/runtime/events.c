/* SPDX-License-Identifier: Apache-2.0 */
/* events: what a container uses, and when it ran out of memory, one JSON object per line. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>

#include "base/auto.h"
#include "base/file.h"
#include "runtime/state.h"
#include "sys/pidfd.h"

#define LINE_MAX_BYTES (1u << 20)
#define LOOK_EVERY     NSEC_PER_SEC /* for kills by the kernel's out-of-memory killer */

struct events_options {
	const char *interval;
	bool stats;
};

static const struct option events_options[] = {
	{ "interval", 0, OPTION_STRING, offsetof(struct events_options, interval), "DURATION",
	  "time between two reports (5s)" },
	{ "stats", 0, OPTION_FLAG, offsetof(struct events_options, stats), NULL,
	  "one report, then end" },
};

/* Figures the kernel did not give are left out. */
static void put(struct json_writer *w, const char *key, uint64_t v)
{
	if (v != UINT64_MAX)
		json_w_u64(w, key, v);
}

static void write_cpu(struct json_writer *w, const struct usage *u)
{
	json_w_object(w, "cpu");
	json_w_object(w, "usage");
	put(w, "total", u->cpu_ns);
	put(w, "kernel", u->cpu_system_ns);
	put(w, "user", u->cpu_user_ns);
	json_w_end(w);
	json_w_object(w, "throttling");
	put(w, "periods", u->periods);
	put(w, "throttledPeriods", u->throttled_periods);
	put(w, "throttledTime", u->throttled_ns);
	json_w_end(w);
	json_w_end(w);
}

static void write_memory(struct json_writer *w, const struct usage *u)
{
	json_w_object(w, "memory");
	put(w, "cache", u->memory_cache_bytes);
	json_w_object(w, "usage");
	/* No limit is the largest number there, as callers of runc expect it. */
	json_w_u64(w, "limit", u->memory_limit_bytes);
	put(w, "usage", u->memory_bytes);
	put(w, "max", u->memory_peak_bytes);
	put(w, "failcnt", u->memory_failures);
	json_w_end(w);
	json_w_object(w, "swap");
	put(w, "usage", u->memory_swap_bytes);
	json_w_end(w);
	json_w_object(w, "raw");
	put(w, "inactive_file", u->memory_cache_bytes);
	json_w_end(w);
	json_w_end(w);
}

static void write_block_entry(struct json_writer *w, const char *op, uint64_t v)
{
	if (v == UINT64_MAX)
		return;
	json_w_object(w, NULL);
	json_w_string(w, "op", op);
	json_w_u64(w, "value", v);
	json_w_end(w);
}

static void write_block(struct json_writer *w, const struct usage *u)
{
	json_w_object(w, "blkio");
	json_w_array(w, "ioServiceBytesRecursive");
	write_block_entry(w, "Read", u->block_read_bytes);
	write_block_entry(w, "Write", u->block_write_bytes);
	json_w_end(w);
	json_w_array(w, "ioServicedRecursive");
	write_block_entry(w, "Read", u->block_reads);
	write_block_entry(w, "Write", u->block_writes);
	json_w_end(w);
	json_w_end(w);
}

static int print(const struct container *c, const struct usage *u, struct err *e)
{
	auto_buf struct buf out = BUF_INIT(LINE_MAX_BYTES);
	struct json_writer w = JSON_WRITER(&out);

	json_w_object(&w, NULL);
	json_w_string(&w, "type", u ? "stats" : "oom");
	json_w_string(&w, "id", c->id);
	if (u) {
		json_w_object(&w, "data");
		write_cpu(&w, u);
		write_memory(&w, u);
		json_w_object(&w, "pids");
		put(&w, "current", u->pids);
		put(&w, "limit", u->pids_limit == UINT64_MAX ? 0 : u->pids_limit);
		json_w_end(&w);
		write_block(&w, u);
		json_w_end(&w);
	}
	json_w_end(&w);
	buf_addc(&out, '\n');
	int r = buf_ok(&out) ? fd_write_all(STDOUT_FILENO, out.p, out.n) : -ENOMEM;

	return r < 0 ? err_sys(e, -r, "write to standard output") : 0;
}

static int follow(const struct container *c, nsec_t interval, struct err *e)
{
	nsec_t next = clock_deadline(interval);
	struct usage u;
	uint64_t kills = 0;
	int r = engine_usage(c->in, &u, e);

	if (r == 0 && u.oom_kills != UINT64_MAX)
		kills = u.oom_kills;
	while (r >= 0) {
		nsec_t look = clock_deadline(LOOK_EVERY);

		r = pidfd_poll(c->in->pidfd, look < next ? look : next);
		if (r != 0)
			return r < 0 ? err_sys(e, -r, "wait for container '%s'", c->id) : 0;
		r = engine_usage(c->in, &u, e);
		if (r == 0 && u.oom_kills != UINT64_MAX && u.oom_kills > kills) {
			kills = u.oom_kills;
			r = print(c, NULL, e);
		}
		if (r == 0 && clock_mono() >= next) {
			next = clock_deadline(interval);
			r = print(c, &u, e);
		}
	}
	return r;
}

static int run_events(struct runtime *rt, const void *options, const struct strings *args,
		      struct err *e)
{
	const struct events_options *o = options;
	auto_container struct container c = CONTAINER_INIT;
	nsec_t interval = 5 * NSEC_PER_SEC;
	struct usage u;

	if (o->interval &&
	    (clock_parse_duration(str_of(o->interval), &interval) < 0 || interval <= 0))
		return err_set(e, ERR_INVALID, EINVAL,
			       "--interval '%s': duration interval must be greater than 0",
			       o->interval);
	int r = container_open(rt, args->v[0], CONTAINER_LOOK, &c, e);

	if (r < 0)
		return r;
	if (container_pid(&c) == 0)
		return err_set(e, ERR_CONFLICT, 0, "container with id %s is not running", c.id);
	if (!o->stats)
		return follow(&c, interval, e);
	r = engine_usage(c.in, &u, e);
	return r < 0 ? r : print(&c, &u, e);
}

const struct verb verb_events = {
	.name = "events",
	.usage = "CONTAINER",
	.help = "print what a container uses, and its out-of-memory kills",
	.options = VERB_OPTIONS(events_options),
	.size = sizeof(struct events_options),
	.min_args = 1,
	.max_args = 1,
	.run = run_events,
};
