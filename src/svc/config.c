/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON of a workload's configuration: one table serves both directions. */
#include "svc/config.h"

#include <errno.h>
#include <stddef.h>

#include "base/auto.h"

#define STRING(key, member)  JSON_STRING_FIELD(struct workload_config, member, key, 0)
#define STRINGS(key, member) JSON_STRINGS_FIELD(struct workload_config, member, member##_n, key, 0)
#define MAP(key, member)     JSON_MAP_FIELD(struct workload_config, member, member##_n, key, 0)
#define BOOL(key, member)    JSON_BOOL_FIELD(struct workload_config, member, key, 0)
#define U32(key, member)     JSON_U32_FIELD(struct workload_config, member, key, 0, UINT32_MAX, 0)
#define U64(key, member)     JSON_U64_FIELD(struct workload_config, member, key, 0, UINT64_MAX, 0)
#define I64(key, member)                                                                           \
	JSON_I64_FIELD(struct workload_config, member, key, INT64_MIN, INT64_MAX, 0)

static const struct json_field mount_fields[] = {
	JSON_U32_FIELD(struct mount_config, kind, "kind", 0, MOUNT_TMPFS, 0),
	JSON_STRING_FIELD(struct mount_config, source, "source", 0),
	JSON_STRING_FIELD(struct mount_config, target, "target", JSON_REQUIRED),
	JSON_BOOL_FIELD(struct mount_config, read_only, "readOnly", 0),
	JSON_BOOL_FIELD(struct mount_config, no_copy, "noCopy", 0),
	JSON_BOOL_FIELD(struct mount_config, create_source, "createSource", 0),
	JSON_BOOL_FIELD(struct mount_config, non_recursive, "nonRecursive", 0),
	JSON_STRING_FIELD(struct mount_config, propagation, "propagation", 0),
	JSON_U64_FIELD(struct mount_config, tmpfs_size, "tmpfsSize", 0, UINT64_MAX, 0),
	JSON_BOOL_FIELD(struct mount_config, tmpfs_mode_set, "tmpfsModeSet", 0),
	JSON_U32_FIELD(struct mount_config, tmpfs_mode, "tmpfsMode", 0, 07777, 0),
	JSON_STRING_FIELD(struct mount_config, tmpfs_options, "tmpfsOptions", 0),
	JSON_BOOL_FIELD(struct mount_config, from_image, "fromImage", 0),
};
static const struct json_table mount_table = JSON_TABLE(struct mount_config, mount_fields,
							JSON_UNKNOWN_IGNORE);

static const struct json_field ulimit_fields[] = {
	JSON_STRING_FIELD(struct ulimit_config, name, "name", JSON_REQUIRED),
	JSON_I64_FIELD(struct ulimit_config, soft, "soft", -1, INT64_MAX, 0),
	JSON_I64_FIELD(struct ulimit_config, hard, "hard", -1, INT64_MAX, 0),
};
static const struct json_table ulimit_table = JSON_TABLE(struct ulimit_config, ulimit_fields,
							 JSON_UNKNOWN_IGNORE);

static const struct json_field config_fields[] = {
	STRING("name", name),
	STRING("image", image),
	STRING("isolation", isolation),
	STRINGS("command", command),
	BOOL("entrypointSet", entrypoint_set),
	STRINGS("entrypoint", entrypoint),
	STRINGS("env", env),
	MAP("labels", labels),
	MAP("annotations", annotations),
	STRING("workdir", workdir),
	STRING("user", user),
	STRING("hostname", hostname),
	STRING("domainname", domainname),
	BOOL("tty", tty),
	BOOL("openStdin", open_stdin),
	BOOL("stdinOnce", stdin_once),
	BOOL("attachStdout", attach_stdout),
	BOOL("attachStderr", attach_stderr),
	BOOL("autoRemove", auto_remove),
	BOOL("volatileRoot", volatile_root),
	BOOL("init", init),
	BOOL("readOnly", read_only),
	BOOL("privileged", privileged),
	BOOL("oomScoreAdjSet", oom_score_adj_set),
	I64("oomScoreAdj", oom_score_adj),
	JSON_ARRAY_FIELD(struct workload_config, mounts, mounts_n, "mounts", &mount_table, 0),
	STRINGS("volumesFrom", volumes_from),
	U64("shmSize", shm_size),
	U64("diskSize", disk_size),
	STRINGS("devices", devices),
	STRINGS("deviceRules", device_rules),
	JSON_ARRAY_FIELD(struct workload_config, ulimits, ulimits_n, "ulimits", &ulimit_table, 0),
	MAP("sysctls", sysctls),
	STRINGS("capAdd", cap_add),
	STRINGS("capDrop", cap_drop),
	STRINGS("securityOpt", security_opt),
	STRINGS("groupAdd", group_add),
	U64("memory", resources.memory),
	I64("memorySwap", resources.memory_swap),
	U64("memoryReservation", resources.memory_reservation),
	U64("nanoCpus", resources.nano_cpus),
	U64("cpuShares", resources.cpu_shares),
	U64("cpuPeriod", resources.cpu_period),
	I64("cpuQuota", resources.cpu_quota),
	STRING("cpusetCpus", resources.cpuset_cpus),
	STRING("cpusetMems", resources.cpuset_mems),
	I64("pidsLimit", resources.pids_limit),
	U64("blkioWeight", resources.blkio_weight),
	BOOL("swappinessSet", resources.swappiness_set),
	U32("swappiness", resources.swappiness),
	BOOL("oomKillDisable", resources.oom_kill_disable),
	STRINGS("readBps", resources.read_bps),
	STRINGS("writeBps", resources.write_bps),
	STRINGS("readIops", resources.read_iops),
	STRINGS("writeIops", resources.write_iops),
	U64("networkRxBps", resources.network_rx_bps),
	U64("networkRxPps", resources.network_rx_pps),
	U64("networkTxBps", resources.network_tx_bps),
	U64("networkTxPps", resources.network_tx_pps),
	U64("cpusMax", resources.cpus_max),
	U64("memoryMax", resources.memory_max),
	STRING("cgroupParent", cgroup_parent),
	STRING("pidMode", pid_mode),
	STRING("ipcMode", ipc_mode),
	STRING("utsMode", uts_mode),
	STRING("usernsMode", userns_mode),
	STRING("cgroupnsMode", cgroupns_mode),
	STRING("network", network),
	STRINGS("publish", publish),
	STRINGS("dns", dns),
	STRINGS("dnsSearch", dns_search),
	STRINGS("dnsOptions", dns_options),
	STRINGS("extraHosts", extra_hosts),
	STRING("stopSignal", stop_signal),
	I64("stopTimeout", stop_timeout_s),
	JSON_U32_FIELD(struct workload_config, restart, "restart", 0, RESTART_UNLESS_STOPPED, 0),
	U32("restartMax", restart_max),
	BOOL("noHealthcheck", no_healthcheck),
	STRINGS("healthTest", health.test),
	I64("healthInterval", health.interval_ns),
	I64("healthTimeout", health.timeout_ns),
	I64("healthStartPeriod", health.start_period_ns),
	U32("healthRetries", health.retries),
	STRING("snapshot", snapshot),
	STRING("logDriver", log_driver),
	MAP("logOptions", log_options),
};
static const struct json_table config_table = JSON_TABLE(struct workload_config, config_fields,
							 JSON_UNKNOWN_IGNORE);

static void write_object(struct json_writer *w, const char *key, const struct json_table *table,
			 const char *from);

/* What is zero is not written: it is what reading an absent key gives. */
static void write_field(struct json_writer *w, const struct json_field *f, const char *from)
{
	const void *at = from + f->offset;
	size_t n = f->count_offset == JSON_NONE
			   ? 0
			   : *(const size_t *) (const void *) (from + f->count_offset);

	switch (f->kind) {
	case JSON_KIND_STRING:
		if (*(const char *const *) at)
			json_w_string(w, f->key, *(const char *const *) at);
		break;
	case JSON_KIND_STRINGS:
		if (n == 0)
			break;
		json_w_array(w, f->key);
		for (size_t i = 0; i < n; i++)
			json_w_string(w, NULL, (*(const char *const *const *) at)[i]);
		json_w_end(w);
		break;
	case JSON_KIND_BOOL:
		if (*(const bool *) at)
			json_w_bool(w, f->key, true);
		break;
	case JSON_KIND_U32:
		if (*(const uint32_t *) at)
			json_w_u64(w, f->key, *(const uint32_t *) at);
		break;
	case JSON_KIND_U64:
		if (*(const uint64_t *) at)
			json_w_u64(w, f->key, *(const uint64_t *) at);
		break;
	case JSON_KIND_I64:
		if (*(const int64_t *) at)
			json_w_i64(w, f->key, *(const int64_t *) at);
		break;
	case JSON_KIND_ARRAY:
		if (n == 0)
			break;
		json_w_array(w, f->key);
		for (size_t i = 0; i < n; i++)
			write_object(w, NULL, f->table,
				     *(const char *const *) at + i * f->table->size);
		json_w_end(w);
		break;
	case JSON_KIND_MAP:
		if (n == 0)
			break;
		json_w_object(w, f->key);
		for (size_t i = 0; i < n; i++) {
			const struct json_pair *p = *(const struct json_pair *const *) at + i;
			json_w_string(w, p->key, p->value);
		}
		json_w_end(w);
		break;
	case JSON_KIND_OBJECT:
	case JSON_KIND_VALUE:
	case JSON_KIND_CUSTOM:
		assert(!"not used by these tables");
	}
}

static void write_object(struct json_writer *w, const char *key, const struct json_table *table,
			 const char *from)
{
	json_w_object(w, key);
	for (size_t i = 0; i < table->n; i++)
		write_field(w, &table->fields[i], from);
	json_w_end(w);
}

void workload_config_write(const struct workload_config *c, struct buf *out)
{
	struct json_writer w = JSON_WRITER(out);

	write_object(&w, NULL, &config_table, (const char *) c);
}

int workload_config_read(struct arena *a, struct str json, struct workload_config *ret,
			 struct err *e)
{
	struct workload_config c = {};
	const struct json *root;
	int r = json_parse(a, json, &root, e);

	if (r >= 0)
		r = json_decode(a, root, &config_table, &c, "", e);
	if (r < 0)
		return err_ctx(e, "configuration of a workload");
	*ret = c;
	return 0;
}
