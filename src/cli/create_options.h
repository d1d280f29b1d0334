/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The flags that `run` and `create` share, and what they mean as a struct workload_config: all
 * that is said about a workload before it exists.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "cli/cli.h"
#include "cli/rate_options.h"
#include "svc/config.h"
#include "svc/workload.h"

struct create_options {
	const char *name, *isolation, *hostname, *domainname, *user, *workdir, *entrypoint;
	const char *network, *pid, *ipc, *uts, *userns, *cgroupns, *cgroup_parent, *cidfile;
	const char *restart, *stop_signal, *log_driver, *pull, *require;
	const char *cpuset_cpus, *cpuset_mems, *health_cmd;
	struct option_list env, env_file, label, label_file, annotation, volume, mount, tmpfs,
		volumes_from, device, device_rule, ulimit, sysctl, cap_add, cap_drop, security_opt,
		group_add, dns, dns_search, dns_option, add_host, log_opt, attach, storage_opt;
	struct option_list publish;
	struct rate_options rates;
	int64_t memory, memory_swap, memory_reservation, shm_size, cpus, cpu_shares, cpu_period,
		cpu_quota, pids_limit, blkio_weight, swappiness, oom_score_adj, stop_timeout;
	int64_t cpus_max, memory_max;
	int64_t health_interval, health_timeout, health_start_period, health_retries;
	bool entrypoint_set, swappiness_set, oom_score_adj_set, stop_timeout_set;
	bool interactive, tty, rm, init, read_only, privileged, no_healthcheck, oom_kill_disable;
	bool quiet, trust;
	const char *from_snapshot;
	/* of `run` alone */
	bool detach, sig_proxy;
	const char *detach_keys;
};

#define CREATE_OPTIONS 108
extern const struct option create_option_table[CREATE_OPTIONS];
extern const struct create_options create_option_defaults;

/*
 * args: IMAGE [COMMAND...]. Reads env files and label files. The result borrows from options,
 * args and c's arena.
 */
[[nodiscard]] int create_config(struct cli *c, const struct create_options *o,
				struct option_args args, struct workload_config *ret,
				struct err *e);

/* In the tables of the two verbs' own options. */
#define CREATE_FROM_SNAPSHOT                                                                       \
	{                                                                                          \
		OPTION_ITEM_(struct create_options, from_snapshot, OPTION_STRING, "from-snapshot", \
			     0),                                                                   \
			.value = "snapshot", .complete = OPTION_COMPLETE_SNAPSHOT,                 \
			.help = "Go on from a snapshot, in place of IMAGE and COMMAND"             \
	}
/* CLI_OK; or it has been said that there is neither an image nor a snapshot. */
[[nodiscard]] int create_check_args(struct cli *c, const struct verb *verb,
				    const struct create_options *o, struct option_args args);

/*
 * The same with --from-snapshot: everything is the snapshot's but what says who it is. INVALID:
 * an option that cannot be another.
 */
[[nodiscard]] int create_config_from(struct cli *c, const struct create_options *o,
				     struct option_args args, struct workload_config *ret,
				     struct err *e);

/* workload_create(); an image that is not here is fetched first, as --pull says. */
struct ahead;
[[nodiscard]] int create_workload(struct cli *c, const struct create_options *o,
				  const struct workload_config *w, bool foreground,
				  struct ahead *ahead, char ret_id[static WORKLOAD_ID_MAX],
				  struct err *e);

/* --cidfile: refuse early when it exists, write the id late. Nothing when path is NULL. */
[[nodiscard]] int cidfile_check(const char *path, struct err *e);
[[nodiscard]] int cidfile_write(const char *path, const char *id, struct err *e);

/* Append the "KEY=VALUE" lines of a file: --env-file, --label-file. '#' starts a comment line. */
[[nodiscard]] int read_pairs_file(struct cli *c, const char *path, bool env, struct option_list *to,
				  struct err *e);
/* Append "KEY=VALUE"; "KEY" takes the value of our own environment, or nothing. */
[[nodiscard]] int add_env(struct cli *c, const char *text, struct option_list *to, struct err *e);
