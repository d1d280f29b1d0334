/* SPDX-License-Identifier: Apache-2.0 */
/* What a container uses and may use, from the files of its control groups. */
#include <fcntl.h>

#include "base/auto.h"
#include "base/num.h"
#include "engine/container/groups.h"
#include "engine/container/groups_limits.h"
#include "engine/engine.h"

/* memory.stat is the longest: some 60 lines. */
#define TEXT_MAX 8192

/* v1 reports "no limit" as the largest number of whole pages. */
#define NO_LIMIT_V1 ((uint64_t) 1 << 62)

static void one(const struct groups_place *p, const char *file, uint64_t *ret_v)
{
	uint64_t v;

	if (p && cgroup_read_u64(p->dir_fd, file, &v) == 0)
		*ret_v = v;
}

static void from(const char *text, const char *key, uint64_t scale, uint64_t *ret_v)
{
	uint64_t v, scaled;

	if (cgroup_stat_get(text, key, &v) == 0)
		*ret_v = mul_u64(v, scale, &scaled) ? scaled : UINT64_MAX;
}

static bool text(const struct groups_place *p, const char *file, char *ret_text)
{
	return p && cgroup_read(p->dir_fd, file, ret_text, TEXT_MAX) >= 0;
}

static void cpu(const struct groups *g, struct usage *u)
{
	const struct groups_place *p = groups_place_of(g, CGROUP_CPU);
	const struct groups_place *acct = groups_place_of(g, CGROUP_CPUACCT);
	const struct groups_place *all = groups_unified(g);
	char t[TEXT_MAX];

	if (acct) {
		one(acct, "cpuacct.usage", &u->cpu_ns);
		one(acct, "cpuacct.usage_user", &u->cpu_user_ns);
		one(acct, "cpuacct.usage_sys", &u->cpu_system_ns);
	} else if (text(all, "cpu.stat", t)) { /* every v2 cgroup has the times */
		from(t, "usage_usec", 1000, &u->cpu_ns);
		from(t, "user_usec", 1000, &u->cpu_user_ns);
		from(t, "system_usec", 1000, &u->cpu_system_ns);
	}
	if (text(p, "cpu.stat", t)) {
		from(t, "nr_periods", 1, &u->periods);
		from(t, "nr_throttled", 1, &u->throttled_periods);
		from(t, "throttled_time", 1, &u->throttled_ns);
		from(t, "throttled_usec", 1000, &u->throttled_ns);
	}
}

static void memory(const struct groups *g, struct usage *u)
{
	const struct groups_place *p = groups_place_of(g, CGROUP_MEMORY);
	char t[TEXT_MAX];

	if (!p)
		return;
	if (p->unified) {
		one(p, "memory.current", &u->memory_bytes);
		one(p, "memory.peak", &u->memory_peak_bytes);
		one(p, "memory.max", &u->memory_limit_bytes);
		one(p, "memory.swap.current", &u->memory_swap_bytes);
		if (text(p, "memory.stat", t))
			from(t, "inactive_file", 1, &u->memory_cache_bytes);
		if (text(p, "memory.events", t)) {
			from(t, "max", 1, &u->memory_failures);
			from(t, "oom_kill", 1, &u->oom_kills);
		}
		return;
	}
	one(p, "memory.usage_in_bytes", &u->memory_bytes);
	one(p, "memory.max_usage_in_bytes", &u->memory_peak_bytes);
	one(p, "memory.limit_in_bytes", &u->memory_limit_bytes);
	if (u->memory_limit_bytes >= NO_LIMIT_V1)
		u->memory_limit_bytes = UINT64_MAX;
	one(p, "memory.failcnt", &u->memory_failures);
	if (text(p, "memory.stat", t)) {
		from(t, "total_inactive_file", 1, &u->memory_cache_bytes);
		from(t, "total_swap", 1, &u->memory_swap_bytes);
	}
	if (text(p, "memory.oom_control", t))
		from(t, "oom_kill", 1, &u->oom_kills);
}

/* Lines "MAJ:MIN Read 4096" of v1; their sums, per direction. */
static void sum_v1(const char *t, uint64_t *ret_read, uint64_t *ret_write)
{
	uint64_t r = 0, w = 0, v;

	for (struct str rest = str_of(t); rest.p && rest.n > 0;) {
		struct str line = str_cut(rest, '\n', &rest), tail;

		(void) str_cut(line, ' ', &tail);
		struct str op = str_cut(tail, ' ', &tail);

		if (!tail.p || num_parse_u64(str_trim(tail), 0, UINT64_MAX, &v) < 0)
			continue;
		if (str_is(op, "Read"))
			r += v;
		else if (str_is(op, "Write"))
			w += v;
	}
	*ret_read = r;
	*ret_write = w;
}

/* Words "rbytes=4096" of v2's io.stat, one line per device. */
static void sum_v2(const char *t, struct usage *u)
{
	static const char *const keys[] = { "rbytes", "wbytes", "rios", "wios" };
	uint64_t *to[] = { &u->block_read_bytes, &u->block_write_bytes, &u->block_reads,
			   &u->block_writes };

	for (size_t i = 0; i < ARRAY_SIZE(to); i++)
		*to[i] = 0;
	for (struct str rest = str_of(t); rest.p && rest.n > 0;) {
		for (struct str line = str_cut(rest, '\n', &rest); line.p;) {
			struct str value = str_cut(line, ' ', &line);
			struct str key = str_cut(value, '=', &value);
			uint64_t v;

			if (!value.p || num_parse_u64(value, 0, UINT64_MAX, &v) < 0)
				continue;
			for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
				if (str_is(key, keys[i]))
					*to[i] += v;
			}
		}
	}
}

static void block(const struct groups *g, struct usage *u)
{
	const struct groups_place *p = groups_place_of(g, CGROUP_IO);
	char t[TEXT_MAX];

	if (!p)
		return;
	if (p->unified) {
		if (text(p, "io.stat", t))
			sum_v2(t, u);
		return;
	}
	if (text(p, "blkio.throttle.io_service_bytes_recursive", t) ||
	    text(p, "blkio.throttle.io_service_bytes", t))
		sum_v1(t, &u->block_read_bytes, &u->block_write_bytes);
	if (text(p, "blkio.throttle.io_serviced_recursive", t) ||
	    text(p, "blkio.throttle.io_serviced", t))
		sum_v1(t, &u->block_reads, &u->block_writes);
}

void groups_usage(const struct groups *g, struct usage *ret_u)
{
	const struct groups_place *p = groups_place_of(g, CGROUP_PIDS);
	uint64_t *const unknown[] = {
		&ret_u->cpu_ns,
		&ret_u->cpu_user_ns,
		&ret_u->cpu_system_ns,
		&ret_u->throttled_periods,
		&ret_u->throttled_ns,
		&ret_u->periods,
		&ret_u->memory_bytes,
		&ret_u->memory_peak_bytes,
		&ret_u->memory_limit_bytes,
		&ret_u->memory_cache_bytes,
		&ret_u->memory_host_bytes,
		&ret_u->memory_swap_bytes,
		&ret_u->memory_failures,
		&ret_u->oom_kills,
		&ret_u->pids,
		&ret_u->pids_limit,
		&ret_u->block_read_bytes,
		&ret_u->block_write_bytes,
		&ret_u->block_reads,
		&ret_u->block_writes,
	};

	for (size_t i = 0; i < ARRAY_SIZE(unknown); i++)
		*unknown[i] = UINT64_MAX;
	cpu(g, ret_u);
	memory(g, ret_u);
	one(p, "pids.current", &ret_u->pids);
	one(p, "pids.max", &ret_u->pids_limit);
	block(g, ret_u);
}

static int open_above(const struct groups *g, unsigned controller, bool *ret_unified)
{
	const struct groups_place *p = groups_place_of(g, controller);

	if (!p || p->dir_fd < 0)
		return FD_NONE;
	*ret_unified = p->unified;
	return openat(p->dir_fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* "QUOTA PERIOD", "max PERIOD". */
static void parse_cpu_max(const char *text, struct groups_bounds *b)
{
	struct str period, quota = str_cut(str_trim(str_of(text)), ' ', &period);

	if (num_parse_u64(quota, 1, NO_LIMIT_V1, &b->quota) < 0 || !period.p ||
	    num_parse_u64(period, 1, NO_LIMIT_V1, &b->period) < 0)
		b->quota = 0;
}

void groups_bounds(const struct groups *g, struct groups_bounds *ret_b)
{
	bool unified = false;
	struct groups_bounds b = {};
	char text[64];

	auto_fd int memory = open_above(g, CGROUP_MEMORY, &unified);
	if (memory < 0 ||
	    cgroup_read_u64(memory, unified ? "memory.max" : "memory.limit_in_bytes", &b.memory) <
		    0 ||
	    b.memory >= NO_LIMIT_V1)
		b.memory = 0;
	auto_fd int cpu = open_above(g, CGROUP_CPU, &unified);
	if (cpu >= 0 && unified) {
		if (cgroup_read(cpu, "cpu.max", text, sizeof(text)) > 0)
			parse_cpu_max(text, &b);
	} else if (cpu >= 0 && (cgroup_read_u64(cpu, "cpu.cfs_quota_us", &b.quota) < 0 ||
				cgroup_read_u64(cpu, "cpu.cfs_period_us", &b.period) < 0 ||
				b.quota >= NO_LIMIT_V1 || !b.period)) {
		b.quota = 0;
	}
	*ret_b = b;
}
