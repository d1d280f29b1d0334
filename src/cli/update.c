/* SPDX-License-Identifier: Apache-2.0 */
/* update: the limits and the restart policy of workloads, while they run. */
#include <errno.h>

#include "base/auto.h"
#include "cli/cli.h"
#include "cli/rate_options.h"
#include "cli/verbs.h"
#include "svc/workload.h"

struct options {
	int64_t blkio_weight, cpu_period, cpu_quota, cpu_shares, cpus, memory, memory_reservation,
		memory_swap, pids_limit;
	struct rate_options rates;
	const char *cpuset_cpus, *cpuset_mems, *restart;
	bool blkio_weight_set, cpu_period_set, cpu_quota_set, cpu_shares_set, cpus_set, memory_set,
		memory_reservation_set, memory_swap_set, pids_limit_set, cpuset_cpus_set,
		cpuset_mems_set, restart_set;
};

#define ITEM(member, kind, name, letter)                                                           \
	OPTION_ITEM_(struct options, member, kind, name, letter), OPTION_SET(struct options, member)

static const struct option table[] = {
	{ ITEM(blkio_weight, OPTION_INT, "blkio-weight", 0), .value = "uint16", .max = 1000,
	  .help = "Block IO (relative weight), between 10 and 1000, or 0 to disable" },
	{ ITEM(cpu_period, OPTION_INT, "cpu-period", 0), .value = "int", .max = 1000000,
	  .help = "Limit CPU CFS (Completely Fair Scheduler) period, microseconds" },
	{ ITEM(cpu_quota, OPTION_INT, "cpu-quota", 0), .value = "int", .min = -1, .max = INT64_MAX,
	  .help = "Limit CPU CFS (Completely Fair Scheduler) quota, microseconds" },
	{ ITEM(cpu_shares, OPTION_INT, "cpu-shares", 'c'), .value = "int", .max = 262144,
	  .help = "CPU shares (relative weight)" },
	{ ITEM(cpus, OPTION_NANO, "cpus", 0), .value = "decimal", .help = "Number of CPUs" },
	{ ITEM(cpuset_cpus, OPTION_STRING, "cpuset-cpus", 0), .value = "string",
	  .help = "CPUs in which to allow execution (0-3, 0,1)" },
	{ ITEM(cpuset_mems, OPTION_STRING, "cpuset-mems", 0), .value = "string",
	  .help = "MEMs in which to allow execution (0-3, 0,1)" },
	{ OPTION_ITEM_(struct options, rates.read_bps, OPTION_LIST, "device-read-bps", 0),
	  .value = "list", .help = "Limit read rate (bytes per second) from a device" },
	{ OPTION_ITEM_(struct options, rates.read_iops, OPTION_LIST, "device-read-iops", 0),
	  .value = "list", .help = "Limit read rate (IO per second) from a device" },
	{ OPTION_ITEM_(struct options, rates.write_bps, OPTION_LIST, "device-write-bps", 0),
	  .value = "list", .help = "Limit write rate (bytes per second) to a device" },
	{ OPTION_ITEM_(struct options, rates.write_iops, OPTION_LIST, "device-write-iops", 0),
	  .value = "list", .help = "Limit write rate (IO per second) to a device" },
	{ ITEM(memory, OPTION_BYTES, "memory", 'm'), .value = "bytes", .help = "Memory limit" },
	{ ITEM(memory_reservation, OPTION_BYTES, "memory-reservation", 0), .value = "bytes",
	  .help = "Memory soft limit" },
	{ ITEM(memory_swap, OPTION_BYTES, "memory-swap", 0), .value = "bytes", .min = -1,
	  .help = "Swap limit equal to memory plus swap: -1 to enable unlimited swap" },
	{ ITEM(rates.rx_bps, OPTION_BYTES, "network-rx-bps", 0), .value = "bytes",
	  .help = "Limit what each network card of a microvm receives (bytes per second)" },
	{ ITEM(rates.rx_pps, OPTION_INT, "network-rx-pps", 0), .value = "int", .max = INT64_MAX,
	  .help = "Limit what each network card of a microvm receives (packets per second)" },
	{ ITEM(rates.tx_bps, OPTION_BYTES, "network-tx-bps", 0), .value = "bytes",
	  .help = "Limit what each network card of a microvm sends (bytes per second)" },
	{ ITEM(rates.tx_pps, OPTION_INT, "network-tx-pps", 0), .value = "int", .max = INT64_MAX,
	  .help = "Limit what each network card of a microvm sends (packets per second)" },
	{ ITEM(pids_limit, OPTION_INT, "pids-limit", 0), .value = "int", .min = -1, .max = 4194304,
	  .help = "Tune the pids limit (-1 for unlimited)" },
	{ ITEM(restart, OPTION_STRING, "restart", 0), .value = "string",
	  .help = "Restart policy to apply when the workload exits",
	  .words = "no on-failure on-failure: always unless-stopped" },
};

static int make(const struct options *o, struct workload_update *u, struct err *e)
{
	struct resources_config *r = &u->resources;

	*u = (struct workload_update){ 0 };
	r->blkio_weight = (uint64_t) o->blkio_weight;
	r->cpu_period = (uint64_t) o->cpu_period;
	r->cpu_quota = o->cpu_quota;
	r->cpu_shares = (uint64_t) o->cpu_shares;
	r->nano_cpus = (uint64_t) o->cpus;
	r->memory = (uint64_t) o->memory;
	r->memory_reservation = (uint64_t) o->memory_reservation;
	r->memory_swap = o->memory_swap;
	r->pids_limit = o->pids_limit;
	r->cpuset_cpus = o->cpuset_cpus;
	r->cpuset_mems = o->cpuset_mems;
	rate_options_into(&o->rates, r);
	u->what = (o->blkio_weight_set ? UPDATE_BLKIO_WEIGHT : 0u) |
		  (o->cpu_period_set ? UPDATE_CPU_PERIOD : 0u) |
		  (o->cpu_quota_set ? UPDATE_CPU_QUOTA : 0u) |
		  (o->cpu_shares_set ? UPDATE_CPU_SHARES : 0u) | (o->cpus_set ? UPDATE_CPUS : 0u) |
		  (o->memory_set ? UPDATE_MEMORY : 0u) |
		  (o->memory_reservation_set ? UPDATE_MEMORY_RESERVATION : 0u) |
		  (o->memory_swap_set ? UPDATE_MEMORY_SWAP : 0u) |
		  (o->pids_limit_set ? UPDATE_PIDS_LIMIT : 0u) |
		  (o->cpuset_cpus_set ? UPDATE_CPUSET_CPUS : 0u) |
		  (o->cpuset_mems_set ? UPDATE_CPUSET_MEMS : 0u) | rate_options_given(&o->rates) |
		  (o->restart_set ? UPDATE_RESTART : 0u);
	if (!u->what)
		return err_set(e, ERR_INVALID, EINVAL,
			       "you must provide one or more flags when using this command");
	if (o->restart_set)
		return config_parse_restart(o->restart, &u->restart, &u->restart_max, e);
	return 0;
}

static int update_one(struct cli *c, const char *ref, const void *options, struct err *e)
{
	return workload_update(&c->svc, ref, options, e);
}

static int run(struct cli *c, const void *options, struct option_args args)
{
	struct workload_update u;
	struct err e;

	if (make(options, &u, &e) < 0)
		return cli_fail(c, &e);
	return cli_each(c, args, true, &u, update_one);
}

const struct verb verb_update = {
	.usage = "[OPTIONS] CONTAINER [CONTAINER...]",
	.summary = "Update configuration of one or more workloads",
	.options = table,
	.options_n = ARRAY_SIZE(table),
	.size = sizeof(struct options),
	.args_min = 1,
	.args_max = VERB_ARGS_ANY,
	.complete = OPTION_COMPLETE_CONTAINER,
	.run = run,
};
