/* SPDX-License-Identifier: Apache-2.0 */
/* update: other limits for a container that exists. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/num.h"
#include "fmt/spec.h"
#include "runtime/state.h"

struct update_options {
	const char *resources;
	const char *blkio_weight, *cpu_period, *cpu_quota, *cpu_share, *cpu_burst, *cpu_idle;
	const char *cpu_rt_period, *cpu_rt_runtime, *cpus, *mems;
	const char *memory, *reservation, *swap, *kernel, *kernel_tcp, *pids;
	const char *l3, *mem_bw;
};

#define OPT(name_, letter_, member, value_, help_)                                                 \
	{                                                                                          \
		.name = (name_), .letter = (letter_), .kind = OPTION_STRING,                       \
		.offset = offsetof(struct update_options, member), .value = (value_),              \
		.help = (help_)                                                                    \
	}
static const struct option update_options[] = {
	OPT("resources", 'r', resources, "FILE",
	    "a resources section as JSON; - is standard input"),
	OPT("blkio-weight", 0, blkio_weight, "N", "share of block I/O, 10 to 1000"),
	OPT("cpu-period", 0, cpu_period, "USEC", "period of the CPU quota"),
	OPT("cpu-quota", 0, cpu_quota, "USEC", "CPU time per period; -1: no limit"),
	OPT("cpu-burst", 0, cpu_burst, "USEC", "CPU time saved up for later periods"),
	OPT("cpu-share", 0, cpu_share, "N", "share of CPU time, 2 to 262144"),
	OPT("cpu-idle", 0, cpu_idle, "0|1", "only CPU time that nobody else wants"),
	OPT("cpu-rt-period", 0, cpu_rt_period, "USEC", "period of the real-time limit"),
	OPT("cpu-rt-runtime", 0, cpu_rt_runtime, "USEC", "real-time CPU time per period"),
	OPT("cpuset-cpus", 0, cpus, "LIST", "CPUs: 0-3,7"),
	OPT("cpuset-mems", 0, mems, "LIST", "memory nodes"),
	OPT("memory", 0, memory, "BYTES", "memory limit; -1: none"),
	OPT("memory-reservation", 0, reservation, "BYTES", "memory it keeps under pressure"),
	OPT("memory-swap", 0, swap, "BYTES", "memory and swap together; -1: no limit"),
	OPT("kernel-memory", 0, kernel, "BYTES", "without effect on today's kernels"),
	OPT("kernel-memory-tcp", 0, kernel_tcp, "BYTES", "memory of TCP buffers"),
	OPT("pids-limit", 0, pids, "N", "number of processes; -1: no limit"),
	OPT("l3-cache-schema", 0, l3, "TEXT", "shares of the L3 cache: L3:0=ff;1=f0"),
	OPT("mem-bw-schema", 0, mem_bw, "TEXT", "memory bandwidth: MB:0=70;1=20"),
};

struct changed {
	struct spec_resources r;
	struct spec_memory memory;
	struct spec_cpu cpu;
	struct spec_pids pids;
	struct spec_block_io block;
};

static int bytes(const char *name, const char *text, int64_t *ret_v, bool *ret_set, struct err *e)
{
	uint64_t v;

	if (!text)
		return 0;
	if (streq(text, "-1")) {
		*ret_v = -1;
	} else if (num_parse_bytes(str_of(text), &v) == 0 && v <= INT64_MAX) {
		*ret_v = (int64_t) v;
	} else {
		return err_set(e, ERR_INVALID, EINVAL,
			       "invalid value for %s: '%s' is neither a size nor -1", name, text);
	}
	*ret_set = true;
	return 0;
}

static int number(const char *name, const char *text, uint64_t *ret_v, bool *ret_set, struct err *e)
{
	if (!text)
		return 0;
	if (num_parse_u64(str_of(text), 0, UINT64_MAX, ret_v) < 0)
		return err_set(e, ERR_INVALID, EINVAL, "invalid value for %s: '%s' is no number",
			       name, text);
	*ret_set = true;
	return 0;
}

static int whole(const char *name, const char *text, int64_t min, int64_t max, int64_t *ret_v,
		 bool *ret_set, struct err *e)
{
	if (!text)
		return 0;
	if (num_parse_i64(str_of(text), min, max, ret_v) < 0)
		return err_set(e, ERR_INVALID, EINVAL, "invalid value for %s: '%s'", name, text);
	*ret_set = true;
	return 0;
}

static int from_options(const struct update_options *o, struct changed *c, struct err *e)
{
	int64_t weight = 0;
	int r = bytes("memory", o->memory, &c->memory.limit, &c->memory.limit_set, e);

	if (r == 0)
		r = bytes("memory-reservation", o->reservation, &c->memory.reservation,
			  &c->memory.reservation_set, e);
	if (r == 0)
		r = bytes("memory-swap", o->swap, &c->memory.swap, &c->memory.swap_set, e);
	if (r == 0)
		r = bytes("kernel-memory", o->kernel, &c->memory.kernel, &c->memory.kernel_set, e);
	if (r == 0)
		r = bytes("kernel-memory-tcp", o->kernel_tcp, &c->memory.kernel_tcp,
			  &c->memory.kernel_tcp_set, e);
	if (r == 0)
		r = number("cpu-share", o->cpu_share, &c->cpu.shares, &c->cpu.shares_set, e);
	if (r == 0)
		r = number("cpu-period", o->cpu_period, &c->cpu.period, &c->cpu.period_set, e);
	if (r == 0)
		r = number("cpu-burst", o->cpu_burst, &c->cpu.burst, &c->cpu.burst_set, e);
	if (r == 0)
		r = number("cpu-rt-period", o->cpu_rt_period, &c->cpu.realtime_period,
			   &c->cpu.realtime_period_set, e);
	if (r == 0)
		r = whole("cpu-quota", o->cpu_quota, -1, INT64_MAX, &c->cpu.quota,
			  &c->cpu.quota_set, e);
	if (r == 0)
		r = whole("cpu-rt-runtime", o->cpu_rt_runtime, -1, INT64_MAX,
			  &c->cpu.realtime_runtime, &c->cpu.realtime_runtime_set, e);
	if (r == 0)
		r = whole("cpu-idle", o->cpu_idle, 0, 1, &c->cpu.idle, &c->cpu.idle_set, e);
	if (r == 0)
		r = whole("pids-limit", o->pids, -1, INT64_MAX, &c->pids.limit, &c->pids.limit_set,
			  e);
	if (r == 0)
		r = whole("blkio-weight", o->blkio_weight, 0, 1000, &weight, &c->block.weight_set,
			  e);
	c->block.weight = (uint32_t) weight;
	c->cpu.cpus = o->cpus;
	c->cpu.mems = o->mems;
	return r;
}

static int from_json(struct runtime *rt, const char *path, const struct spec_resources **ret_r,
		     struct err *e)
{
	auto_buf struct buf text = BUF_INIT(JSON_TEXT_MAX);
	const struct json *v;
	bool input = streq(path, "-");
	int r = input ? fd_read_all(STDIN_FILENO, &text) : file_read(AT_FDCWD, path, &text);

	if (r < 0)
		return err_sys(e, -r, "read '%s' (--resources)", path);
	r = json_parse(rt->arena, buf_str(&text), &v, e);
	if (r == 0)
		r = spec_resources_decode(rt->arena, v, ret_r, e);
	return r < 0 ? err_ctx(e, "'%s' (--resources)", path) : 0;
}

static int run_update(struct runtime *rt, const void *options, const struct strings *args,
		      struct err *e)
{
	const struct update_options *o = options;
	auto_container struct container c = CONTAINER_INIT;
	struct changed changed = { 0 };
	const struct spec_resources *r = &changed.r;
	struct spec_intel_rdt rdt = { .l3_cache_schema = o->l3, .mem_bw_schema = o->mem_bw };
	struct spec_resources with_rdt;

	changed.r.memory = &changed.memory;
	changed.r.cpu = &changed.cpu;
	changed.r.pids = &changed.pids;
	changed.r.block_io = &changed.block;
	int res = o->resources && o->resources[0] ? from_json(rt, o->resources, &r, e)
						  : from_options(o, &changed, e);

	if (res == 0)
		res = container_open(rt, args->v[0], CONTAINER_CHANGE, &c, e);
	if (res < 0)
		return res;
	if (container_pid(&c) == 0)
		return err_set(e, ERR_CONFLICT, 0, "container not running: '%s' is %s", c.id,
			       container_status(&c));
	with_rdt = *r;
	if ((o->l3 && o->l3[0]) || (o->mem_bw && o->mem_bw[0]))
		with_rdt.intel_rdt = &rdt;
	return engine_update(c.in, &with_rdt, e);
}

const struct verb verb_update = {
	.name = "update",
	.usage = "CONTAINER",
	.help = "change the limits of a container",
	.options = VERB_OPTIONS(update_options),
	.size = sizeof(struct update_options),
	.min_args = 1,
	.max_args = 1,
	.run = run_update,
};
