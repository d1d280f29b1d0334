/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of config.json's linux.resources and linux.seccomp. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/auto.h"
#include "fmt/spec_tables.h"

static int decode_rule_type(struct arena *, const struct json *v, void *to, const char *path,
			    struct err *e)
{
	const char *z = json_string(v);

	if (!z || (z[0] && !streq(z, "a") && !streq(z, "b") && !streq(z, "c") && !streq(z, "u")))
		return err_set(e, ERR_INVALID, EINVAL, "%s: must be a, b or c", path);
	*(char *) to = z[0] == 'u' ? 'c' : z[0] ? z[0] : 'a';
	return 0;
}

static int decode_access(struct arena *, const struct json *v, void *to, const char *path,
			 struct err *e)
{
	struct spec_device_rule *rule = to;
	const char *z = json_string(v);

	if (!z || strspn(z, "rwma") != strlen(z))
		return err_set(e, ERR_INVALID, EINVAL, "%s: must be of the letters r, w, m", path);
	rule->read = strpbrk(z, "ra") != NULL;
	rule->write = strpbrk(z, "wa") != NULL;
	rule->make_node = strpbrk(z, "ma") != NULL;
	return 0;
}

struct device_rule_raw {
	struct spec_device_rule rule; /* first: decode_access fills it */
	bool major_set, minor_set;
};

static const struct json_field rule_fields[] = {
	JSON_BOOL_FIELD(struct device_rule_raw, rule.allow, "allow", 0),
	JSON_CUSTOM_FIELD(struct device_rule_raw, rule.type, "type", decode_rule_type, 0),
	JSON_I64_OPT(struct device_rule_raw, rule.major, major_set, "major", -1, UINT32_MAX),
	JSON_I64_OPT(struct device_rule_raw, rule.minor, minor_set, "minor", -1, UINT32_MAX),
	{ .key = "access",
	  .kind = JSON_KIND_CUSTOM,
	  .offset = 0,
	  .count_offset = JSON_NONE,
	  .present_offset = JSON_NONE,
	  .decode = decode_access },
};
static const struct json_table rule_table = JSON_TABLE(struct device_rule_raw, rule_fields,
						       JSON_UNKNOWN_IGNORE);

/* Absent numbers mean "any", which a plain table cannot say. */
static int decode_rules(struct arena *a, const struct json *v, void *to, const char *path,
			struct err *e)
{
	struct spec_resources *res = to;

	if (v->type != JSON_ARRAY)
		return err_set(e, ERR_INVALID, EINVAL, "%s: must be an array", path);
	res->devices = arena_array(a, v->n ? v->n : 1, sizeof(*res->devices));
	if (!res->devices)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "%s: too large", path);
	for (size_t i = 0; i < v->n; i++) {
		struct device_rule_raw raw = { .rule.type = 'a' };
		char at[100];
		int r;

		(void) snprintf(at, sizeof(at), "%s[%zu]", path, i);
		r = json_decode(a, &v->items[i], &rule_table, &raw, at, e);
		if (r < 0)
			return r;
		raw.rule.major = raw.major_set ? raw.rule.major : -1;
		raw.rule.minor = raw.minor_set ? raw.rule.minor : -1;
		res->devices[i] = raw.rule;
	}
	res->devices_n = v->n;
	return 0;
}

static const struct json_field memory_fields[] = {
	JSON_I64_OPT(struct spec_memory, limit, limit_set, "limit", -1, INT64_MAX),
	JSON_I64_OPT(struct spec_memory, reservation, reservation_set, "reservation", -1,
		     INT64_MAX),
	JSON_I64_OPT(struct spec_memory, swap, swap_set, "swap", -1, INT64_MAX),
	JSON_I64_OPT(struct spec_memory, kernel, kernel_set, "kernel", -1, INT64_MAX),
	JSON_I64_OPT(struct spec_memory, kernel_tcp, kernel_tcp_set, "kernelTCP", -1, INT64_MAX),
	JSON_U64_OPT(struct spec_memory, swappiness, swappiness_set, "swappiness", 0, UINT64_MAX),
	JSON_BOOL_OPT(struct spec_memory, disable_oom_killer, disable_oom_killer_set,
		      "disableOOMKiller"),
	JSON_BOOL_OPT(struct spec_memory, use_hierarchy, use_hierarchy_set, "useHierarchy"),
	JSON_BOOL_OPT(struct spec_memory, check_before_update, check_before_update_set,
		      "checkBeforeUpdate"),
};
static const struct json_table memory_table = JSON_TABLE(struct spec_memory, memory_fields,
							 JSON_UNKNOWN_IGNORE);

static const struct json_field cpu_fields[] = {
	JSON_U64_OPT(struct spec_cpu, shares, shares_set, "shares", 0, UINT64_MAX),
	JSON_U64_OPT(struct spec_cpu, period, period_set, "period", 0, UINT64_MAX),
	JSON_U64_OPT(struct spec_cpu, realtime_period, realtime_period_set, "realtimePeriod", 0,
		     UINT64_MAX),
	JSON_U64_OPT(struct spec_cpu, burst, burst_set, "burst", 0, UINT64_MAX),
	JSON_I64_OPT(struct spec_cpu, quota, quota_set, "quota", INT64_MIN, INT64_MAX),
	JSON_I64_OPT(struct spec_cpu, realtime_runtime, realtime_runtime_set, "realtimeRuntime",
		     INT64_MIN, INT64_MAX),
	JSON_I64_OPT(struct spec_cpu, idle, idle_set, "idle", INT64_MIN, INT64_MAX),
	JSON_STRING_FIELD(struct spec_cpu, cpus, "cpus", 0),
	JSON_STRING_FIELD(struct spec_cpu, mems, "mems", 0),
};
static const struct json_table cpu_table = JSON_TABLE(struct spec_cpu, cpu_fields,
						      JSON_UNKNOWN_IGNORE);

static const struct json_field pids_fields[] = {
	JSON_I64_OPT(struct spec_pids, limit, limit_set, "limit", INT64_MIN, INT64_MAX),
};
static const struct json_table pids_table = JSON_TABLE(struct spec_pids, pids_fields,
						       JSON_UNKNOWN_IGNORE);

static const struct json_field weight_device_fields[] = {
	JSON_I64_FIELD(struct spec_weight_device, major, "major", 0, UINT32_MAX, JSON_REQUIRED),
	JSON_I64_FIELD(struct spec_weight_device, minor, "minor", 0, UINT32_MAX, JSON_REQUIRED),
	JSON_U32_OPT(struct spec_weight_device, weight, weight_set, "weight", 0, UINT16_MAX),
	JSON_U32_OPT(struct spec_weight_device, leaf_weight, leaf_weight_set, "leafWeight", 0,
		     UINT16_MAX),
};
static const struct json_table weight_device_table =
	JSON_TABLE(struct spec_weight_device, weight_device_fields, JSON_UNKNOWN_IGNORE);

static const struct json_field throttle_fields[] = {
	JSON_I64_FIELD(struct spec_throttle_device, major, "major", 0, UINT32_MAX, JSON_REQUIRED),
	JSON_I64_FIELD(struct spec_throttle_device, minor, "minor", 0, UINT32_MAX, JSON_REQUIRED),
	JSON_U64_FIELD(struct spec_throttle_device, rate, "rate", 0, UINT64_MAX, 0),
};
static const struct json_table throttle_table = JSON_TABLE(struct spec_throttle_device,
							   throttle_fields, JSON_UNKNOWN_IGNORE);

static const struct json_field block_fields[] = {
	JSON_U32_OPT(struct spec_block_io, weight, weight_set, "weight", 0, UINT16_MAX),
	JSON_U32_OPT(struct spec_block_io, leaf_weight, leaf_weight_set, "leafWeight", 0,
		     UINT16_MAX),
	JSON_ARRAY_FIELD(struct spec_block_io, weight_devices, weight_devices_n, "weightDevice",
			 &weight_device_table, 0),
	JSON_ARRAY_FIELD(struct spec_block_io, read_bps, read_bps_n, "throttleReadBpsDevice",
			 &throttle_table, 0),
	JSON_ARRAY_FIELD(struct spec_block_io, write_bps, write_bps_n, "throttleWriteBpsDevice",
			 &throttle_table, 0),
	JSON_ARRAY_FIELD(struct spec_block_io, read_iops, read_iops_n, "throttleReadIOPSDevice",
			 &throttle_table, 0),
	JSON_ARRAY_FIELD(struct spec_block_io, write_iops, write_iops_n, "throttleWriteIOPSDevice",
			 &throttle_table, 0),
};
static const struct json_table block_table = JSON_TABLE(struct spec_block_io, block_fields,
							JSON_UNKNOWN_IGNORE);

static const struct json_field hugepage_fields[] = {
	JSON_STRING_FIELD(struct spec_hugepage_limit, page_size, "pageSize", JSON_REQUIRED),
	JSON_U64_FIELD(struct spec_hugepage_limit, limit, "limit", 0, UINT64_MAX, JSON_REQUIRED),
};
static const struct json_table hugepage_table = JSON_TABLE(struct spec_hugepage_limit,
							   hugepage_fields, JSON_UNKNOWN_IGNORE);

static const struct json_field priority_fields[] = {
	JSON_STRING_FIELD(struct spec_net_priority, name, "name", JSON_REQUIRED),
	JSON_U32_FIELD(struct spec_net_priority, priority, "priority", 0, UINT32_MAX,
		       JSON_REQUIRED),
};
static const struct json_table priority_table = JSON_TABLE(struct spec_net_priority,
							   priority_fields, JSON_UNKNOWN_IGNORE);

static const struct json_field network_fields[] = {
	JSON_U32_OPT(struct spec_net_cls, class_id, class_id_set, "classID", 0, UINT32_MAX),
	JSON_ARRAY_FIELD(struct spec_net_cls, priorities, priorities_n, "priorities",
			 &priority_table, 0),
};
static const struct json_table network_table = JSON_TABLE(struct spec_net_cls, network_fields,
							  JSON_UNKNOWN_IGNORE);

static const struct json_field network_rate_fields[] = {
	JSON_U64_FIELD(struct spec_rate, read_bytes, "receiveBytes", 0, UINT64_MAX, 0),
	JSON_U64_FIELD(struct spec_rate, read_ops, "receivePackets", 0, UINT64_MAX, 0),
	JSON_U64_FIELD(struct spec_rate, write_bytes, "sendBytes", 0, UINT64_MAX, 0),
	JSON_U64_FIELD(struct spec_rate, write_ops, "sendPackets", 0, UINT64_MAX, 0),
};
static const struct json_table network_rate_table =
	JSON_TABLE(struct spec_rate, network_rate_fields, JSON_UNKNOWN_IGNORE);
static const struct json_field disk_rate_fields[] = {
	JSON_U32_FIELD(struct spec_disk_rate, index, "index", 0, 255, JSON_REQUIRED),
	JSON_U64_FIELD(struct spec_disk_rate, rate.read_bytes, "readBytes", 0, UINT64_MAX, 0),
	JSON_U64_FIELD(struct spec_disk_rate, rate.read_ops, "readOperations", 0, UINT64_MAX, 0),
	JSON_U64_FIELD(struct spec_disk_rate, rate.write_bytes, "writeBytes", 0, UINT64_MAX, 0),
	JSON_U64_FIELD(struct spec_disk_rate, rate.write_ops, "writeOperations", 0, UINT64_MAX, 0),
};
static const struct json_table disk_rate_table = JSON_TABLE(struct spec_disk_rate, disk_rate_fields,
							    JSON_UNKNOWN_IGNORE);
static const struct json_field port_fields[] = {
	JSON_STRING_FIELD(struct spec_port, address, "address", 0),
	JSON_U32_FIELD(struct spec_port, host, "host", 1, 65535, JSON_REQUIRED),
	JSON_U32_FIELD(struct spec_port, guest, "guest", 1, 65535, JSON_REQUIRED),
	JSON_BOOL_FIELD(struct spec_port, udp, "udp", 0),
};
static const struct json_table port_table = JSON_TABLE(struct spec_port, port_fields,
						       JSON_UNKNOWN_IGNORE);
static const struct json_field machine_fields[] = {
	JSON_U32_FIELD(struct spec_machine, cpus_max, "cpusMax", 0, 1024, 0),
	JSON_U64_FIELD(struct spec_machine, memory_max, "memoryMax", 0, INT64_MAX, 0),
	JSON_OBJECT_FIELD(struct spec_machine, network, "network", &network_rate_table, 0),
	JSON_ARRAY_FIELD(struct spec_machine, disks, disks_n, "disks", &disk_rate_table, 0),
	JSON_ARRAY_FIELD(struct spec_machine, ports, ports_n, "ports", &port_table, 0),
};
static const struct json_table machine_table = JSON_TABLE(struct spec_machine, machine_fields,
							  JSON_UNKNOWN_IGNORE);

static const struct json_field rdma_fields[] = {
	JSON_U32_OPT(struct spec_rdma, hca_handles, hca_handles_set, "hcaHandles", 0, UINT32_MAX),
	JSON_U32_OPT(struct spec_rdma, hca_objects, hca_objects_set, "hcaObjects", 0, UINT32_MAX),
};
static const struct json_table rdma_table = JSON_TABLE(struct spec_rdma, rdma_fields,
						       JSON_UNKNOWN_IGNORE);

static int decode_rdma(struct arena *a, const struct json *v, void *to, const char *path,
		       struct err *e)
{
	struct spec_resources *res = to;

	if (v->type != JSON_OBJECT)
		return err_set(e, ERR_INVALID, EINVAL, "%s: must be an object", path);
	res->rdma = arena_array(a, v->members_n ? v->members_n : 1, sizeof(*res->rdma));
	if (!res->rdma)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "%s: too large", path);
	for (size_t i = 0; i < v->members_n; i++) {
		char at[150];
		int r;

		(void) snprintf(at, sizeof(at), "%s.%.60s", path, v->members[i].key.p);
		r = json_decode(a, &v->members[i].value, &rdma_table, &res->rdma[i], at, e);
		if (r < 0)
			return r;
		res->rdma[i].device = v->members[i].key.p;
	}
	res->rdma_n = v->members_n;
	return 0;
}

static const struct json_field unified_fields[] = {
	JSON_MAP_FIELD(struct spec_resources, unified, unified_n, "unified", 0),
};
static const struct json_table unified_table = JSON_TABLE(struct spec_resources, unified_fields,
							  JSON_UNKNOWN_IGNORE);

/* Keys are file names of one directory: one with a slash would write elsewhere. */
static int check_unified(const struct spec_resources *res, struct err *e)
{
	for (size_t i = 0; i < res->unified_n; i++) {
		const char *key = res->unified[i].key;

		if (!key[0] || key[0] == '.' || strchr(key, '/'))
			return err_set(e, ERR_INVALID, EINVAL,
				       "unified resource \"%.60s\" must be a file name without /",
				       key);
	}
	return 0;
}

static int decode_unified(struct arena *a, const struct json *v, void *to, const char *path,
			  struct err *e)
{
	struct json_member m = { STR("unified"), *v };
	struct json whole = { .type = JSON_OBJECT, .members = &m, .members_n = 1 };
	int r = json_decode(a, &whole, &unified_table, to, "linux.resources", e);

	(void) path;
	return r < 0 ? r : check_unified(to, e);
}

#define WHOLE_FIELD(key_, decode_)                                                                 \
	{                                                                                          \
		.key = (key_), .kind = JSON_KIND_CUSTOM, .offset = 0, .count_offset = JSON_NONE,   \
		.present_offset = JSON_NONE, .decode = (decode_)                                   \
	}
static const struct json_field resources_fields[] = {
	WHOLE_FIELD("devices", decode_rules),
	JSON_OBJECT_FIELD(struct spec_resources, memory, "memory", &memory_table, 0),
	JSON_OBJECT_FIELD(struct spec_resources, cpu, "cpu", &cpu_table, 0),
	JSON_OBJECT_FIELD(struct spec_resources, pids, "pids", &pids_table, 0),
	JSON_OBJECT_FIELD(struct spec_resources, block_io, "blockIO", &block_table, 0),
	JSON_ARRAY_FIELD(struct spec_resources, hugepages, hugepages_n, "hugepageLimits",
			 &hugepage_table, 0),
	JSON_OBJECT_FIELD(struct spec_resources, network, "network", &network_table, 0),
	JSON_OBJECT_FIELD(struct spec_resources, machine, "atoll", &machine_table, 0),
	WHOLE_FIELD("rdma", decode_rdma),
	WHOLE_FIELD("unified", decode_unified),
};
const struct json_table spec_resources_table = JSON_TABLE(struct spec_resources, resources_fields,
							  JSON_UNKNOWN_IGNORE);

/* seccomp */

static const struct json_field arg_fields[] = {
	JSON_U32_FIELD(struct spec_seccomp_arg, index, "index", 0, 5, JSON_REQUIRED),
	JSON_U64_FIELD(struct spec_seccomp_arg, value, "value", 0, UINT64_MAX, JSON_REQUIRED),
	JSON_U64_FIELD(struct spec_seccomp_arg, value_two, "valueTwo", 0, UINT64_MAX, 0),
	JSON_STRING_FIELD(struct spec_seccomp_arg, op, "op", JSON_REQUIRED),
};
static const struct json_table arg_table = JSON_TABLE(struct spec_seccomp_arg, arg_fields,
						      JSON_UNKNOWN_IGNORE);

static const struct json_field syscall_fields[] = {
	JSON_STRINGS_FIELD(struct spec_seccomp_rule, names, names_n, "names", JSON_REQUIRED),
	JSON_STRING_FIELD(struct spec_seccomp_rule, action, "action", JSON_REQUIRED),
	JSON_U32_OPT(struct spec_seccomp_rule, errno_ret, errno_ret_set, "errnoRet", 0, UINT16_MAX),
	JSON_ARRAY_FIELD(struct spec_seccomp_rule, args, args_n, "args", &arg_table, 0),
};
static const struct json_table syscall_table = JSON_TABLE(struct spec_seccomp_rule, syscall_fields,
							  JSON_UNKNOWN_IGNORE);

static const struct json_field seccomp_fields[] = {
	JSON_STRING_FIELD(struct spec_seccomp, default_action, "defaultAction", JSON_REQUIRED),
	JSON_U32_OPT(struct spec_seccomp, default_errno_ret, default_errno_ret_set,
		     "defaultErrnoRet", 0, UINT16_MAX),
	JSON_STRINGS_FIELD(struct spec_seccomp, architectures, architectures_n, "architectures", 0),
	JSON_STRINGS_FIELD(struct spec_seccomp, flags, flags_n, "flags", 0),
	JSON_STRING_FIELD(struct spec_seccomp, listener_path, "listenerPath", 0),
	JSON_STRING_FIELD(struct spec_seccomp, listener_metadata, "listenerMetadata", 0),
	JSON_ARRAY_FIELD(struct spec_seccomp, rules, rules_n, "syscalls", &syscall_table, 0),
};
const struct json_table spec_seccomp_table = JSON_TABLE(struct spec_seccomp, seccomp_fields,
							JSON_UNKNOWN_IGNORE);
