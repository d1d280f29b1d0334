/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything a create says about a workload: docker's create flags as one plain struct, its JSON
 * (what the store keeps), and the parsers of those flag values that are small languages. Zeroed
 * (WORKLOAD_CONFIG_INIT for the few that differ) means docker's default throughout. All text
 * lives as long as the struct is used: argv, or an arena.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "fmt/json.h"

enum mount_kind { MOUNT_VOLUME, MOUNT_BIND, MOUNT_TMPFS };

struct mount_config {
	uint32_t kind;	    /* enum mount_kind */
	const char *source; /* volume name (NULL: anonymous) or host path */
	const char *target; /* absolute, in the workload */
	bool read_only;
	bool no_copy;		 /* volume: do not copy the image's content into an empty one */
	bool create_source;	 /* bind: -v makes a missing source directory, --mount refuses */
	bool non_recursive;	 /* bind: without the mounts below */
	const char *propagation; /* "rprivate" "rslave" ... or NULL */
	uint64_t tmpfs_size;	 /* bytes, 0: half of memory */
	bool tmpfs_mode_set;
	uint32_t tmpfs_mode;
	const char *tmpfs_options; /* further mount options of --tmpfs, comma-separated, or NULL */
	bool from_image;	   /* an anonymous volume the image's VOLUME asks for */
};

struct ulimit_config {
	const char *name;   /* "nofile" */
	int64_t soft, hard; /* -1: unlimited */
};

enum restart_kind { RESTART_NO, RESTART_ON_FAILURE, RESTART_ALWAYS, RESTART_UNLESS_STOPPED };

struct health_config {
	const char **test; /* "CMD", args... | "CMD-SHELL", text | "NONE"; n 0: the image's */
	size_t test_n;
	int64_t interval_ns, timeout_ns, start_period_ns; /* 0: the image's, then 30s 30s 0s */
	uint32_t retries;				  /* 0: the image's, then 3 */
};

struct resources_config {    /* what `update` can change as well */
	uint64_t memory;     /* bytes; 0: no limit */
	int64_t memory_swap; /* memory and swap together; 0: twice memory; -1: no limit */
	uint64_t memory_reservation;
	uint64_t nano_cpus; /* --cpus times 1e9 */
	uint64_t cpu_shares, cpu_period;
	int64_t cpu_quota;
	const char *cpuset_cpus, *cpuset_mems;
	int64_t pids_limit; /* 0: none, -1: explicitly none */
	uint64_t blkio_weight;
	bool swappiness_set;
	uint32_t swappiness;
	bool oom_kill_disable;
	/* --device-read-bps and kin: "PATH:RATE" as given; of a microvm also "vda:RATE" */
	const char **read_bps, **write_bps, **read_iops, **write_iops;
	size_t read_bps_n, write_bps_n, read_iops_n, write_iops_n;
	/* Of machines alone. Per second, 0: no limit. */
	uint64_t network_rx_bps, network_rx_pps, network_tx_bps, network_tx_pps;
	uint64_t cpus_max,
		memory_max; /* 0: what it has from the beginning; not changed by update */
	bool machine;	    /* it is one: set where this is written into a spec */
};

struct workload_config {
	const char *name;      /* NULL: one is made up */
	const char *image;     /* reference or id */
	const char *isolation; /* NULL: "container" */
	const char **command;  /* NULL: the image's */
	size_t command_n;
	bool entrypoint_set; /* --entrypoint given; with n 0 it clears the image's */
	const char **entrypoint;
	size_t entrypoint_n;
	const char **env; /* "K=V" in order; "K" alone was resolved or dropped by the caller */
	size_t env_n;
	struct json_pair *labels;
	size_t labels_n;
	struct json_pair *annotations;
	size_t annotations_n;
	const char *workdir, *user, *hostname, *domainname;
	bool tty, open_stdin, stdin_once;
	bool attach_stdout, attach_stderr; /* recorded for inspect */
	bool volatile_root; /* its files need not outlive this boot: nothing of them is synced */
	bool auto_remove, init, read_only, privileged, oom_score_adj_set;
	int64_t oom_score_adj;

	struct mount_config *mounts;
	size_t mounts_n;
	const char **volumes_from; /* "WORKLOAD[:ro]" */
	size_t volumes_from_n;
	uint64_t shm_size;    /* bytes; 0: 64 MiB */
	uint64_t disk_size;   /* bytes of its own disk; 0: svc/own_disk.h */
	const char **devices; /* "HOST[:INSIDE[:rwm]]" */
	size_t devices_n;
	const char **device_rules; /* --device-cgroup-rule: "c 1:3 rwm" */
	size_t device_rules_n;
	struct ulimit_config *ulimits;
	size_t ulimits_n;
	struct json_pair *sysctls;
	size_t sysctls_n;
	const char **cap_add, **cap_drop, **security_opt, **group_add;
	size_t cap_add_n, cap_drop_n, security_opt_n, group_add_n;
	struct resources_config resources;
	const char *cgroup_parent;

	/* "host", "private", "container:X", "shareable", "none": as docker's flags; NULL: default
	 */
	const char *pid_mode, *ipc_mode, *uts_mode, *userns_mode, *cgroupns_mode;
	const char *network;  /* "none" "host"; NULL: none */
	const char **publish; /* "[ADDRESS:]PORT:PORT[/tcp|/udp]" */
	size_t publish_n;
	const char **dns, **dns_search, **dns_options, **extra_hosts; /* "NAME:ADDR" */
	size_t dns_n, dns_search_n, dns_options_n, extra_hosts_n;

	const char *stop_signal; /* NULL: the image's, then SIGTERM */
	int64_t stop_timeout_s;	 /* -1: 10 s */
	uint32_t restart;	 /* enum restart_kind */
	uint32_t restart_max;	 /* on-failure:n, 0: no bound */
	bool no_healthcheck;
	struct health_config health;
	const char *snapshot;	/* that it was made from; NULL: from its image */
	const char *require;	/* of its image (svc/require.h), or NULL; not kept */
	const char *log_driver; /* "json-file" "journald" "none"; NULL: json-file */
	struct json_pair *log_options;
	size_t log_options_n;
};

#define WORKLOAD_CONFIG_INIT ((struct workload_config){ .stop_timeout_s = -1 })

/* The JSON of the store, and back. Unknown keys are ignored: a newer atoll may have written it. */
void workload_config_write(const struct workload_config *c, struct buf *out);
[[nodiscard]] int workload_config_read(struct arena *a, struct str json,
				       struct workload_config *ret, struct err *e);

/* The number of the machine's disk that "vda:RATE" speaks of; -1: of a device of the host. */
int config_machine_disk(const char *rate);

/*
 * What is wrong with it that can be told without looking at anything else: bad names, numbers out
 * of range, contradictions (docker's words where it has some), what no engine can do yet.
 */
[[nodiscard]] int workload_config_check(const struct workload_config *c, struct err *e);

/* The small languages of flags. Errors name the value and what is wrong with it. */
[[nodiscard]] int config_parse_volume(struct arena *a, const char *text, struct mount_config *ret,
				      struct err *e); /* -v */
[[nodiscard]] int config_parse_mount(struct arena *a, const char *text, struct mount_config *ret,
				     struct err *e); /* --mount */
[[nodiscard]] int config_parse_tmpfs(struct arena *a, const char *text, struct mount_config *ret,
				     struct err *e); /* --tmpfs */
[[nodiscard]] int config_parse_ulimit(struct arena *a, const char *text, struct ulimit_config *ret,
				      struct err *e); /* "nofile=1024:2048" */
struct port_config {
	const char *address; /* NULL: all */
	uint32_t host, guest;
	bool udp;
};
[[nodiscard]] int config_parse_publish(struct arena *a, const char *text, struct port_config *ret,
				       struct err *e); /* -p */
[[nodiscard]] int config_parse_restart(const char *text, uint32_t *ret_kind, uint32_t *ret_max,
				       struct err *e); /* "on-failure:3" */
/* "TERM", "SIGTERM", "15"; 0 is no signal. */
[[nodiscard]] int config_parse_signal(const char *text, int *ret_signo, struct err *e);
const char *restart_kind_name(uint32_t kind); /* "no" "on-failure" "always" "unless-stopped" */

/* Workload and volume names: [a-zA-Z0-9][a-zA-Z0-9_.-]*, at most 128 (docker wants two at least).
 */
bool config_name_ok(const char *name);
