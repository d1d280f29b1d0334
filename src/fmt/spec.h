/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The OCI runtime specification's config.json (1.0 to 1.3) as structs in an arena. Pure decoding:
 * names that the kernel knows by number (namespaces, capabilities, rlimits, scheduler policies)
 * become those numbers and ranges are checked; what a combination means, and whether this machine
 * can do it, is for the engines. Optional objects are NULL when absent; optional scalars carry a
 * `*_set`. Unknown keys are ignored, as the specification demands ("Extensibility").
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "fmt/json.h"

struct spec_ids { /* an array of numbers */
	uint32_t *v;
	size_t n;
};

struct spec_user {
	uint32_t uid, gid;
	uint32_t umask;
	bool umask_set;
	struct spec_ids additional_gids;
	/* "user[:group]" and more groups, for the agent of a machine: proto/agent.h. Ignored by
	 * others: it belongs to other platforms. */
	const char *username;
	const char **group_names;
	size_t group_names_n;
};

struct spec_console_size {
	uint32_t height, width;
};

struct spec_rlimit {
	uint32_t resource; /* RLIMIT_* */
	uint64_t soft, hard;
};

/* Sets of capabilities: bit n is capability number n. */
struct spec_caps {
	uint64_t bounding, effective, inheritable, permitted, ambient;
	const char
		*unknown; /* the first name that is no capability known here, or NULL: a warning */
};

struct spec_scheduler {
	uint32_t policy; /* SCHED_* */
	int64_t nice;
	int64_t priority;
	uint64_t flags; /* SCHED_FLAG_* */
	uint64_t runtime, deadline, period;
	bool runtime_set, deadline_set;
};

struct spec_io_priority {
	uint32_t class; /* IOPRIO_CLASS_*: 1 RT, 2 BE, 3 IDLE */
	int64_t priority;
};

struct spec_cpu_affinity { /* lists as "0-3,7" */
	const char *initial;
	const char *final;
};

struct spec_process {
	bool terminal;
	struct spec_console_size *console_size;
	struct spec_user user;
	const char **args; /* NULL-terminated, as env */
	size_t args_n;
	const char **env;
	size_t env_n;
	const char *cwd;
	struct spec_rlimit *rlimits;
	size_t rlimits_n;
	struct spec_caps *caps; /* NULL: none named; the engine drops all */
	bool no_new_privileges;
	int64_t oom_score_adj;
	bool oom_score_adj_set;
	const char *apparmor_profile;
	const char *selinux_label;
	struct spec_scheduler *scheduler;
	struct spec_io_priority *io_priority;
	struct spec_cpu_affinity *exec_cpu_affinity;
};

struct spec_root {
	const char *path;
	bool readonly;
};

struct spec_id_map {
	uint32_t container_id, host_id, size;
};

struct spec_mount {
	const char *destination;
	const char *source; /* NULL: none */
	const char *type;   /* NULL: none, a bind when the options say so */
	const char **options;
	size_t options_n;
	struct spec_id_map *uid_maps;
	size_t uid_maps_n;
	struct spec_id_map *gid_maps;
	size_t gid_maps_n;
};

struct spec_hook {
	const char *path;
	const char **args;
	size_t args_n;
	const char **env;
	size_t env_n;
	int64_t timeout; /* seconds, 0: none */
};

enum spec_hook_kind {
	SPEC_HOOK_PRESTART,
	SPEC_HOOK_CREATE_RUNTIME,
	SPEC_HOOK_CREATE_CONTAINER,
	SPEC_HOOK_START_CONTAINER,
	SPEC_HOOK_POSTSTART,
	SPEC_HOOK_POSTSTOP,
	SPEC_HOOK_N_
};

struct spec_hook_list {
	struct spec_hook *v;
	size_t n;
};

enum spec_ns_type {
	SPEC_NS_USER,
	SPEC_NS_MOUNT,
	SPEC_NS_PID,
	SPEC_NS_NETWORK,
	SPEC_NS_IPC,
	SPEC_NS_UTS,
	SPEC_NS_CGROUP,
	SPEC_NS_TIME,
	SPEC_NS_N_
};

struct spec_ns {
	bool present;
	const char *path; /* NULL: a new one */
};

struct spec_device { /* a node to make */
	const char *path;
	char type; /* 'c' 'b' 'p'; a "u" is 'c' */
	int64_t major, minor;
	uint32_t file_mode;
	bool file_mode_set;
	uint32_t uid, gid;
	bool uid_set, gid_set;
};

struct spec_device_rule { /* of the device cgroup */
	bool allow;
	char type;		     /* 'a' 'c' 'b' */
	int64_t major, minor;	     /* -1: any */
	bool read, write, make_node; /* all false when access was not given: then all are meant */
};

struct spec_memory {
	int64_t limit, reservation, swap, kernel, kernel_tcp; /* bytes; -1: no limit */
	bool limit_set, reservation_set, swap_set, kernel_set, kernel_tcp_set;
	uint64_t swappiness;
	bool swappiness_set;
	bool disable_oom_killer, disable_oom_killer_set;
	bool use_hierarchy, use_hierarchy_set;
	bool check_before_update, check_before_update_set;
};

struct spec_cpu {
	uint64_t shares, period, realtime_period, burst; /* periods, burst: microseconds */
	int64_t quota, realtime_runtime, idle;
	bool shares_set, period_set, realtime_period_set, burst_set;
	bool quota_set, realtime_runtime_set, idle_set;
	const char *cpus, *mems;
};

struct spec_weight_device {
	int64_t major, minor;
	uint32_t weight, leaf_weight;
	bool weight_set, leaf_weight_set;
};

struct spec_throttle_device {
	int64_t major, minor;
	uint64_t rate;
};

struct spec_block_io {
	uint32_t weight, leaf_weight;
	bool weight_set, leaf_weight_set;
	struct spec_weight_device *weight_devices;
	size_t weight_devices_n;
	struct spec_throttle_device *read_bps, *write_bps, *read_iops, *write_iops;
	size_t read_bps_n, write_bps_n, read_iops_n, write_iops_n;
};

struct spec_hugepage_limit {
	const char *page_size; /* "2MB" */
	uint64_t limit;
};

struct spec_net_priority {
	const char *name;
	uint32_t priority;
};

struct spec_net_cls {
	uint32_t class_id;
	bool class_id_set;
	struct spec_net_priority *priorities;
	size_t priorities_n;
};

struct spec_rdma {
	const char *device;
	uint32_t hca_handles, hca_objects;
	bool hca_handles_set, hca_objects_set;
};

struct spec_pids {
	int64_t limit; /* -1: no limit */
	bool limit_set;
};

/* Per second; 0: no limit. */
struct spec_rate {
	uint64_t read_bytes, read_ops, write_bytes, write_ops;
};

struct spec_disk_rate {
	uint32_t index; /* the machine's first disk is 0 */
	struct spec_rate rate;
};

struct spec_port {
	const char *address; /* of the host, IPv4; NULL or "": all */
	uint32_t host, guest;
	bool udp;
};

/* Our own, "atoll": of a workload that is a machine. Other engines ignore it. */
struct spec_machine {
	uint32_t cpus_max;	   /* it can be given while it runs; 0: the engine's choice */
	uint64_t memory_max;	   /* bytes; 0: as much as it has from the beginning */
	struct spec_rate *network; /* of each of its cards: reads are what it receives */
	struct spec_disk_rate *disks;
	size_t disks_n;
	struct spec_port *ports; /* of the host that are the machine's, without a namespace */
	size_t ports_n;
};

struct spec_resources {
	struct spec_device_rule *devices;
	size_t devices_n;
	struct spec_memory *memory;
	struct spec_cpu *cpu;
	struct spec_pids *pids;
	struct spec_block_io *block_io;
	struct spec_hugepage_limit *hugepages;
	size_t hugepages_n;
	struct spec_net_cls *network;
	struct spec_rdma *rdma;
	size_t rdma_n;
	struct spec_machine *machine;
	/* Not of linux.resources: a caller's update of linux.intelRdt. NULL: unchanged. */
	const struct spec_intel_rdt *intel_rdt;
	struct json_pair *unified; /* cgroup v2 file -> text; names hold no '/' */
	size_t unified_n;
};

struct spec_seccomp_arg {
	uint32_t index;
	uint64_t value, value_two;
	const char *op; /* "SCMP_CMP_EQ"... */
};

struct spec_seccomp_rule {
	const char **names;
	size_t names_n;
	const char *action; /* "SCMP_ACT_ALLOW"... */
	uint32_t errno_ret;
	bool errno_ret_set;
	struct spec_seccomp_arg *args;
	size_t args_n;
};

struct spec_seccomp {
	const char *default_action;
	uint32_t default_errno_ret;
	bool default_errno_ret_set;
	const char **architectures;
	size_t architectures_n;
	const char **flags;
	size_t flags_n;
	const char *listener_path;
	const char *listener_metadata;
	struct spec_seccomp_rule *rules;
	size_t rules_n;
};

struct spec_time_offset {
	int64_t secs;
	uint32_t nanosecs;
	bool set;
};

struct spec_memory_policy {
	bool mode_set;
	uint32_t mode;	/* MPOL_* without flags */
	uint32_t flags; /* MPOL_F_* */
	const char *nodes;
};

struct spec_net_device {
	const char *host_name;
	const char *name; /* in the container; NULL: the same */
};

struct spec_intel_rdt {
	const char *clos_id;
	const char *l3_cache_schema;
	const char *mem_bw_schema;
	const char **schemata;
	size_t schemata_n;
	bool enable_monitoring;
};

struct spec_linux {
	struct spec_ns ns[SPEC_NS_N_];
	struct spec_id_map *uid_maps;
	size_t uid_maps_n;
	struct spec_id_map *gid_maps;
	size_t gid_maps_n;
	struct json_pair *sysctl;
	size_t sysctl_n;
	struct spec_resources *resources;
	const char *cgroups_path;
	struct spec_device *devices;
	size_t devices_n;
	struct spec_net_device *net_devices;
	size_t net_devices_n;
	struct spec_seccomp *seccomp;
	const char
		*rootfs_propagation; /* "private" "rprivate" "slave" "rslave" "shared" ...; NULL */
	const char **masked_paths;
	size_t masked_paths_n;
	const char **readonly_paths;
	size_t readonly_paths_n;
	const char *mount_label;
	struct spec_intel_rdt *intel_rdt;
	struct spec_memory_policy *memory_policy;
	bool personality_set;
	uint32_t personality;			     /* PER_LINUX, PER_LINUX32 */
	struct spec_time_offset monotonic, boottime; /* timeOffsets */
};

struct spec {
	const char *oci_version;
	struct spec_process *process; /* NULL: allowed for `create` alone */
	struct spec_root *root;
	const char *hostname;
	const char *domainname;
	struct spec_mount *mounts;
	size_t mounts_n;
	struct spec_hook_list hooks[SPEC_HOOK_N_];
	struct json_pair *annotations;
	size_t annotations_n;
	struct spec_linux linux_; /* all zero when absent (`linux` is a macro in GNU mode) */
	bool has_vm;		  /* a "vm" section: not for the container engine */
};

/*
 * Decode a whole config.json. Everything lives in the arena; it also refers to the tree's texts,
 * so the tree's arena must live as long. INVALID with the path of what is wrong.
 */
[[nodiscard]] int spec_decode(struct arena *a, const struct json *root, const struct spec **ret_s,
			      struct err *e);
/* A process object alone (exec --process). */
[[nodiscard]] int spec_process_decode(struct arena *a, const struct json *v,
				      const struct spec_process **ret_p, struct err *e);
/* The process object again, as spec_process_decode reads it. */
void spec_process_write(struct json_writer *w, const char *key, const struct spec_process *p);
/* A resources object alone (update --resources). */
[[nodiscard]] int spec_resources_decode(struct arena *a, const struct json *v,
					const struct spec_resources **ret_r, struct err *e);

/* The number of "CAP_CHOWN" (also "chown"), or -EINVAL; the name of a number, or NULL. */
int spec_cap_number(const char *name);
const char *spec_cap_name(unsigned number);
#define SPEC_CAP_N 41 /* CAP_CHECKPOINT_RESTORE + 1 */

/* A list of mounts alone, as of config.json's `mounts`. */
[[nodiscard]] int spec_mounts_decode(struct arena *a, const struct json *v,
				     const struct spec_mount **ret_v, size_t *ret_n, struct err *e);

/* The annotation's value, or NULL. */
const char *spec_annotation(const struct spec *s, const char *key);
const char *spec_ns_name(enum spec_ns_type t);	   /* the specification's: "network" */
const char *spec_hook_name(enum spec_hook_kind k); /* "createRuntime" */
