/* SPDX-License-Identifier: Apache-2.0 */
/* docker's inspect object of a workload, and Atoll's own under "Atoll". */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/auto.h"
#include "base/num.h"
#include "image/resolve.h"
#include "store/network.h"
#include "svc/bundle_parts.h"
#include "svc/workload.h"

static const char *text_or(const char *z, const char *other)
{
	return z && *z ? z : other;
}

/* docker writes an empty list of these as null. */
static void list_or_null(struct json_writer *w, const char *key, const char *const *v, size_t n)
{
	if (n == 0) {
		json_w_null(w, key);
		return;
	}
	json_w_array(w, key);
	for (size_t i = 0; i < n; i++)
		json_w_string(w, NULL, v[i]);
	json_w_end(w);
}
#define LIST(w, key, v, n) list_or_null((w), (key), (const char *const *) (v), (n))

static void list(struct json_writer *w, const char *key, const char *const *v, size_t n)
{
	json_w_array(w, key);
	for (size_t i = 0; i < n; i++)
		json_w_string(w, NULL, v[i]);
	json_w_end(w);
}

static void pairs(struct json_writer *w, const char *key, const struct json_pair *v, size_t n)
{
	json_w_object(w, key);
	for (size_t i = 0; i < n; i++)
		json_w_string(w, v[i].key, v[i].value);
	json_w_end(w);
}

static void time_write(struct json_writer *w, const char *key, nsec_t wall)
{
	char text[CLOCK_RFC3339_MAX];

	clock_rfc3339(wall, text);
	json_w_string(w, key, text);
}

static void health_write(struct json_writer *w, const struct workload_status *st, struct arena *a)
{
	const struct json *log = NULL;
	struct err ignored;

	if (st->health == HEALTH_NONE && !st->health_log)
		return;
	json_w_object(w, "Health");
	json_w_string(w, "Status", workload_health_name(st->health));
	if (st->health_log && json_parse(a, str_of(st->health_log), &log, &ignored) < 0)
		log = NULL;
	int64_t streak = 0;
	for (size_t i = log && log->type == JSON_ARRAY ? log->n : 0; i > 0; i--) {
		int64_t code = 0;

		if (json_i64(json_get(&log->items[i - 1], "ExitCode"), &code) < 0 || code == 0)
			break;
		streak++;
	}
	json_w_i64(w, "FailingStreak", streak);
	if (log)
		json_w_value(w, "Log", log);
	else
		list(w, "Log", NULL, 0);
	json_w_end(w);
}

static void state_write(struct json_writer *w, const struct workload_status *st, struct arena *a)
{
	bool running = st->state == WORKLOAD_RUNNING || st->state == WORKLOAD_PAUSED ||
		       st->state == WORKLOAD_RESTARTING;

	json_w_object(w, "State");
	json_w_string(w, "Status", workload_state_name(st->state));
	json_w_bool(w, "Running", running);
	json_w_bool(w, "Paused", st->state == WORKLOAD_PAUSED);
	json_w_bool(w, "Restarting", st->state == WORKLOAD_RESTARTING);
	json_w_bool(w, "OOMKilled", st->oom_killed);
	json_w_bool(w, "Dead", st->state == WORKLOAD_DEAD);
	json_w_i64(w, "Pid", st->pid);
	json_w_i64(w, "ExitCode", st->exit_code);
	json_w_string(w, "Error", text_or(st->error, ""));
	time_write(w, "StartedAt", st->started);
	time_write(w, "FinishedAt", st->finished);
	health_write(w, st, a);
	json_w_end(w);
}

static void binds_write(struct json_writer *w, const struct workload_config *c, struct arena *a)
{
	size_t n = 0;

	for (size_t i = 0; i < c->mounts_n; i++)
		n += c->mounts[i].kind != MOUNT_TMPFS && !c->mounts[i].from_image;
	if (n == 0) {
		json_w_null(w, "Binds");
		return;
	}
	json_w_array(w, "Binds");
	for (size_t i = 0; i < c->mounts_n; i++) {
		const struct mount_config *m = &c->mounts[i];

		if (m->kind == MOUNT_TMPFS || m->from_image)
			continue;
		json_w_string(w, NULL,
			      arena_printf(a, "%s:%s%s", text_or(m->source, ""), m->target,
					   m->read_only ? ":ro" : ""));
	}
	json_w_end(w);
}

static void limits_write(struct json_writer *w, const struct workload_config *c)
{
	const struct resources_config *r = &c->resources;

	json_w_u64(w, "CpuShares", r->cpu_shares);
	json_w_u64(w, "Memory", r->memory);
	json_w_u64(w, "NanoCpus", r->nano_cpus);
	json_w_string(w, "CgroupParent", text_or(c->cgroup_parent, ""));
	json_w_u64(w, "BlkioWeight", r->blkio_weight);
	json_w_u64(w, "CpuPeriod", r->cpu_period);
	json_w_i64(w, "CpuQuota", r->cpu_quota);
	json_w_string(w, "CpusetCpus", text_or(r->cpuset_cpus, ""));
	json_w_string(w, "CpusetMems", text_or(r->cpuset_mems, ""));
	json_w_u64(w, "MemoryReservation", r->memory_reservation);
	json_w_i64(w, "MemorySwap",
		   r->memory_swap || r->memory > INT64_MAX / 2 ? r->memory_swap
							       : (int64_t) (2 * r->memory));
	if (r->swappiness_set)
		json_w_u64(w, "MemorySwappiness", r->swappiness);
	else
		json_w_null(w, "MemorySwappiness");
	json_w_bool(w, "OomKillDisable", r->oom_kill_disable);
	if (r->pids_limit)
		json_w_i64(w, "PidsLimit", r->pids_limit);
	else
		json_w_null(w, "PidsLimit");
	if (c->ulimits_n == 0) {
		json_w_null(w, "Ulimits");
		return;
	}
	json_w_array(w, "Ulimits");
	for (size_t i = 0; i < c->ulimits_n; i++) {
		json_w_object(w, NULL);
		json_w_string(w, "Name", c->ulimits[i].name);
		json_w_i64(w, "Hard", c->ulimits[i].hard);
		json_w_i64(w, "Soft", c->ulimits[i].soft);
		json_w_end(w);
	}
	json_w_end(w);
}

static void devices_write(struct json_writer *w, const struct workload_config *c, struct arena *a)
{
	json_w_array(w, "Devices");
	for (size_t i = 0; i < c->devices_n; i++) {
		struct str rest, access;
		struct str host = str_cut(str_of(c->devices[i]), ':', &rest);
		struct str inside = rest.p ? str_cut(rest, ':', &access) : host;

		json_w_object(w, NULL);
		json_w_str(w, "PathOnHost", host);
		json_w_str(w, "PathInContainer", inside.n && inside.p[0] == '/' ? inside : host);
		json_w_str(w, "CgroupPermissions", rest.p && access.p ? access : STR("rwm"));
		json_w_end(w);
	}
	json_w_end(w);
	(void) a;
}

/* Members that every reader of docker's object may look for, of what is not there or not ours. */
struct constant {
	const char *key;
	enum { CONSTANT_NULL, CONSTANT_FALSE, CONSTANT_ZERO, CONSTANT_EMPTY, CONSTANT_LIST } value;
};

static void constants_write(struct json_writer *w, const struct constant *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		switch (v[i].value) {
		case CONSTANT_NULL:
			json_w_null(w, v[i].key);
			break;
		case CONSTANT_FALSE:
			json_w_bool(w, v[i].key, false);
			break;
		case CONSTANT_ZERO:
			json_w_u64(w, v[i].key, 0);
			break;
		case CONSTANT_EMPTY:
			json_w_string(w, v[i].key, "");
			break;
		case CONSTANT_LIST:
			list(w, v[i].key, NULL, 0);
			break;
		}
}

static const struct constant host_constants[] = {
	{ "BlkioWeightDevice", CONSTANT_LIST },
	{ "Cgroup", CONSTANT_EMPTY },
	{ "ContainerIDFile", CONSTANT_EMPTY },
	{ "CpuCount", CONSTANT_ZERO },
	{ "CpuPercent", CONSTANT_ZERO },
	{ "CpuRealtimePeriod", CONSTANT_ZERO },
	{ "CpuRealtimeRuntime", CONSTANT_ZERO },
	{ "DeviceRequests", CONSTANT_NULL },
	{ "IOMaximumBandwidth", CONSTANT_ZERO },
	{ "IOMaximumIOps", CONSTANT_ZERO },
	{ "KernelMemory", CONSTANT_ZERO },
	{ "KernelMemoryTCP", CONSTANT_ZERO },
	{ "Links", CONSTANT_NULL },
	{ "PublishAllPorts", CONSTANT_FALSE },
	{ "VolumeDriver", CONSTANT_EMPTY },
};
static const struct constant network_constants[] = {
	{ "Bridge", CONSTANT_EMPTY },
	{ "EndpointID", CONSTANT_EMPTY },
	{ "GlobalIPv6Address", CONSTANT_EMPTY },
	{ "GlobalIPv6PrefixLen", CONSTANT_ZERO },
	{ "HairpinMode", CONSTANT_FALSE },
	{ "IPPrefixLen", CONSTANT_ZERO },
	{ "IPv6Gateway", CONSTANT_EMPTY },
	{ "LinkLocalIPv6Address", CONSTANT_EMPTY },
	{ "LinkLocalIPv6PrefixLen", CONSTANT_ZERO },
	{ "MacAddress", CONSTANT_EMPTY },
	{ "SandboxID", CONSTANT_EMPTY },
	{ "SandboxKey", CONSTANT_EMPTY },
	{ "SecondaryIPAddresses", CONSTANT_NULL },
	{ "SecondaryIPv6Addresses", CONSTANT_NULL },
};

/* "/dev/sda:1mb" of --device-read-bps and its kin. */
static void throttle_write(struct json_writer *w, const char *key, const char *const *v, size_t n)
{
	if (n == 0) {
		json_w_null(w, key);
		return;
	}
	json_w_array(w, key);
	for (size_t i = 0; i < n; i++) {
		struct str rate, path = str_cut(str_of(v[i]), ':', &rate);
		uint64_t bytes = 0;

		if (rate.p && num_parse_bytes(rate, &bytes) < 0)
			bytes = 0; /* it was checked at create */
		json_w_object(w, NULL);
		json_w_str(w, "Path", path);
		json_w_u64(w, "Rate", bytes);
		json_w_end(w);
	}
	json_w_end(w);
}

static bool unmasked(const struct workload_config *c)
{
	for (size_t i = 0; i < c->security_opt_n; i++)
		if (streq(c->security_opt[i], "systempaths=unconfined"))
			return true;
	return c->privileged;
}

static void host_rest_write(struct json_writer *w, const struct workload_config *c)
{
	const struct resources_config *r = &c->resources;

	if (r->cpus_max)
		json_w_u64(w, "CpusMax", r->cpus_max);
	if (r->memory_max)
		json_w_u64(w, "MemoryMax", r->memory_max);
	if (c->isolation && streq(c->isolation, "microvm")) {
		json_w_u64(w, "NetworkReceiveBps", r->network_rx_bps);
		json_w_u64(w, "NetworkReceivePps", r->network_rx_pps);
		json_w_u64(w, "NetworkSendBps", r->network_tx_bps);
		json_w_u64(w, "NetworkSendPps", r->network_tx_pps);
	}
	throttle_write(w, "BlkioDeviceReadBps", r->read_bps, r->read_bps_n);
	throttle_write(w, "BlkioDeviceWriteBps", r->write_bps, r->write_bps_n);
	throttle_write(w, "BlkioDeviceReadIOps", r->read_iops, r->read_iops_n);
	throttle_write(w, "BlkioDeviceWriteIOps", r->write_iops, r->write_iops_n);
	json_w_strings(w, "MaskedPaths", unmasked(c) ? NULL : plan_masked_paths);
	json_w_strings(w, "ReadonlyPaths", unmasked(c) ? NULL : plan_readonly_paths);
	json_w_array(w, "ConsoleSize");
	json_w_u64(w, NULL, 0);
	json_w_u64(w, NULL, 0);
	json_w_end(w);
	constants_write(w, host_constants, ARRAY_SIZE(host_constants));
}

static void host_config_write(struct json_writer *w, const struct workload_record *r,
			      const struct workload_config *c, struct arena *a)
{
	json_w_object(w, "HostConfig");
	binds_write(w, c, a);
	json_w_object(w, "LogConfig");
	json_w_string(w, "Type", text_or(c->log_driver, "json-file"));
	pairs(w, "Config", c->log_options, c->log_options_n);
	json_w_end(w);
	json_w_string(w, "NetworkMode", r->network);
	json_w_object(w, "PortBindings");
	json_w_end(w);
	json_w_object(w, "RestartPolicy");
	json_w_string(w, "Name", restart_kind_name(c->restart));
	json_w_u64(w, "MaximumRetryCount", c->restart_max);
	json_w_end(w);
	json_w_bool(w, "AutoRemove", c->auto_remove);
	LIST(w, "VolumesFrom", c->volumes_from, c->volumes_from_n);
	LIST(w, "CapAdd", c->cap_add, c->cap_add_n);
	LIST(w, "CapDrop", c->cap_drop, c->cap_drop_n);
	json_w_string(w, "CgroupnsMode", text_or(c->cgroupns_mode, "private"));
	list(w, "Dns", (const char *const *) c->dns, c->dns_n);
	list(w, "DnsOptions", (const char *const *) c->dns_options, c->dns_options_n);
	list(w, "DnsSearch", (const char *const *) c->dns_search, c->dns_search_n);
	LIST(w, "ExtraHosts", c->extra_hosts, c->extra_hosts_n);
	LIST(w, "GroupAdd", c->group_add, c->group_add_n);
	json_w_string(w, "IpcMode", text_or(c->ipc_mode, "private"));
	json_w_i64(w, "OomScoreAdj", c->oom_score_adj);
	json_w_string(w, "PidMode", text_or(c->pid_mode, ""));
	json_w_bool(w, "Privileged", c->privileged);
	json_w_bool(w, "ReadonlyRootfs", c->read_only);
	LIST(w, "SecurityOpt", c->security_opt, c->security_opt_n);
	json_w_string(w, "UTSMode", text_or(c->uts_mode, ""));
	json_w_string(w, "UsernsMode", text_or(c->userns_mode, ""));
	json_w_u64(w, "ShmSize", c->shm_size ? c->shm_size : 64u << 20);
	if (c->disk_size) {
		char size[24];

		(void) snprintf(size, sizeof(size), "%llu", (unsigned long long) c->disk_size);
		json_w_object(w, "StorageOpt");
		json_w_string(w, "size", size);
		json_w_end(w);
	}
	pairs(w, "Sysctls", c->sysctls, c->sysctls_n);
	json_w_bool(w, "Init", c->init);
	json_w_string(w, "Runtime", "atoll");
	json_w_string(w, "Isolation", r->isolation);
	limits_write(w, c);
	devices_write(w, c, a);
	LIST(w, "DeviceCgroupRules", c->device_rules, c->device_rules_n);
	host_rest_write(w, c);
	json_w_end(w);
}

static void mounts_write(struct svc *s, struct json_writer *w, const struct workload_config *c,
			 struct arena *a)
{
	static const char *const kinds[] = { "volume", "bind", "tmpfs" };

	json_w_array(w, "Mounts");
	for (size_t i = 0; i < c->mounts_n; i++) {
		const struct mount_config *m = &c->mounts[i];

		json_w_object(w, NULL);
		json_w_string(w, "Type", kinds[m->kind <= MOUNT_TMPFS ? m->kind : 0]);
		if (m->kind == MOUNT_VOLUME && m->source) {
			json_w_string(w, "Name", m->source);
			json_w_string(
				w, "Source",
				arena_printf(a, "%s/_data", paths_volume(&s->paths, m->source).z));
		} else {
			json_w_string(w, "Source", text_or(m->source, ""));
		}
		json_w_string(w, "Destination", m->target);
		if (m->kind == MOUNT_VOLUME)
			json_w_string(w, "Driver", "local");
		json_w_string(w, "Mode", text_or(m->tmpfs_options, ""));
		json_w_bool(w, "RW", !m->read_only);
		json_w_string(w, "Propagation",
			      m->kind == MOUNT_BIND ? text_or(m->propagation, "rprivate") : "");
		json_w_end(w);
	}
	json_w_end(w);
}

static void healthcheck_write(struct json_writer *w, const struct workload_config *c,
			      const struct plan_image *image)
{
	const struct health_config *h = c->health.test_n ? &c->health : &image->health;

	if (h->test_n == 0 && !c->no_healthcheck)
		return;
	json_w_object(w, "Healthcheck");
	if (c->no_healthcheck)
		list(w, "Test", (const char *const[]){ "NONE" }, 1);
	else
		list(w, "Test", (const char *const *) h->test, h->test_n);
	json_w_i64(w, "Interval", c->health.interval_ns ? c->health.interval_ns : h->interval_ns);
	json_w_i64(w, "Timeout", c->health.timeout_ns ? c->health.timeout_ns : h->timeout_ns);
	json_w_i64(w, "StartPeriod",
		   c->health.start_period_ns ? c->health.start_period_ns : h->start_period_ns);
	json_w_u64(w, "Retries", c->health.retries ? c->health.retries : h->retries);
	json_w_end(w);
}

static void env_write(struct json_writer *w, const struct workload_config *c,
		      const struct plan_image *image)
{
	json_w_array(w, "Env");
	for (size_t i = 0; i < c->env_n; i++)
		json_w_string(w, NULL, c->env[i]);
	for (size_t i = 0; i < image->env_n; i++) {
		size_t n = strcspn(image->env[i], "="), j = 0;

		while (j < c->env_n &&
		       (strcspn(c->env[j], "=") != n || memcmp(c->env[j], image->env[i], n) != 0))
			j++;
		if (j == c->env_n)
			json_w_string(w, NULL, image->env[i]);
	}
	json_w_end(w);
}

static void config_write(struct json_writer *w, const struct workload_record *r,
			 const struct workload_config *c, const struct plan_image *image)
{
	bool image_command = c->command_n == 0 && !c->entrypoint_set;

	json_w_object(w, "Config");
	if (c->hostname && *c->hostname)
		json_w_string(w, "Hostname", c->hostname);
	else
		json_w_str(w, "Hostname", (struct str){ r->id, WORKLOAD_SHORT_LEN });
	json_w_string(w, "Domainname", text_or(c->domainname, ""));
	json_w_string(w, "User", text_or(c->user, text_or(image->user, "")));
	json_w_bool(w, "AttachStdin", c->stdin_once);
	json_w_bool(w, "AttachStdout", c->attach_stdout);
	json_w_bool(w, "AttachStderr", c->attach_stderr);
	json_w_bool(w, "Tty", c->tty);
	json_w_bool(w, "OpenStdin", c->open_stdin);
	json_w_bool(w, "StdinOnce", c->stdin_once);
	env_write(w, c, image);
	if (image_command)
		LIST(w, "Cmd", image->command, image->command_n);
	else
		LIST(w, "Cmd", c->command, c->command_n);
	healthcheck_write(w, c, image);
	json_w_string(w, "Image", r->image);
	if (image->volumes_n) {
		json_w_object(w, "Volumes");
		for (size_t i = 0; i < image->volumes_n; i++) {
			json_w_object(w, image->volumes[i]);
			json_w_end(w);
		}
		json_w_end(w);
	} else {
		json_w_null(w, "Volumes");
	}
	json_w_string(w, "WorkingDir", text_or(c->workdir, text_or(image->workdir, "")));
	if (c->entrypoint_set)
		LIST(w, "Entrypoint", c->entrypoint, c->entrypoint_n);
	else
		LIST(w, "Entrypoint", image->entrypoint, image->entrypoint_n);
	json_w_null(w, "OnBuild");
	pairs(w, "Labels", c->labels, c->labels_n);
	if (c->stop_signal || image->stop_signal)
		json_w_string(w, "StopSignal",
			      c->stop_signal ? c->stop_signal : image->stop_signal);
	if (c->stop_timeout_s >= 0)
		json_w_i64(w, "StopTimeout", c->stop_timeout_s);
	json_w_end(w);
}

static void network_write(struct svc *s, struct json_writer *w, const struct workload_record *r,
			  struct arena *a)
{
	struct network_record n = { .id = "" };
	struct err ignored;

	if (store_network_find(s->store, r->network, a, &n, &ignored) < 0)
		n.id = "";
	json_w_object(w, "NetworkSettings");
	constants_write(w, network_constants, ARRAY_SIZE(network_constants));
	json_w_string(w, "IPAddress", "");
	json_w_string(w, "Gateway", "");
	json_w_object(w, "Ports");
	json_w_end(w);
	json_w_object(w, "Networks");
	json_w_object(w, r->network);
	json_w_string(w, "NetworkID", n.id);
	json_w_string(w, "IPAddress", "");
	json_w_string(w, "Gateway", "");
	json_w_string(w, "MacAddress", "");
	json_w_end(w);
	json_w_end(w);
	json_w_end(w);
}

static void head_write(struct svc *s, struct json_writer *w, const struct workload_detail *d,
		       const struct plan_image *image, struct arena *a)
{
	const struct workload_record *r = &d->info.record;
	struct path_text dir = paths_workload(&s->paths, r->id);
	const char **argv = NULL;
	struct err ignored;
	size_t n = 0;

	/* What was accepted at create; an image that went since leaves it empty. */
	if (plan_command(&d->config, image, a, &argv, &n, &ignored) < 0)
		n = 0;
	json_w_string(w, "Id", r->id);
	time_write(w, "Created", r->created);
	json_w_string(w, "Path", n ? argv[0] : "");
	list(w, "Args", n ? (const char *const *) argv + 1 : NULL, n ? n - 1 : 0);
	state_write(w, &r->status, a);
	json_w_string(w, "Image", r->image_id);
	json_w_string(w, "ResolvConfPath", arena_printf(a, "%s/resolv.conf", dir.z));
	json_w_string(w, "HostnamePath", arena_printf(a, "%s/hostname", dir.z));
	json_w_string(w, "HostsPath", arena_printf(a, "%s/hosts", dir.z));
	json_w_string(w, "LogPath", paths_log(&s->paths, r->id).z);
	json_w_string(w, "Name", arena_printf(a, "/%s", r->name));
	json_w_u64(w, "RestartCount", r->status.restarts);
	json_w_string(w, "Driver", "overlay");
	json_w_string(w, "Platform", "linux");
	json_w_string(w, "MountLabel", "");
	json_w_string(w, "ProcessLabel", "");
	json_w_string(w, "AppArmorProfile", "");
	json_w_null(w, "ExecIDs");
}

int workload_inspect(struct svc *s, const char *ref, bool size, struct buf *ret_json, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(32u << 20);
	auto_image struct image *im = NULL;
	struct json_writer w = JSON_WRITER(ret_json);
	struct workload_detail d;
	struct plan_image image = {};
	struct err ignored;
	int r = workload_look(s, ref, size, &a, &d, e);

	if (r < 0)
		return r;
	if (image_resolve(s->store, d.info.record.image_id, &im, &ignored) >= 0)
		plan_image_of(im->config->config, &image);
	struct path_text dir = paths_workload(&s->paths, d.info.record.id);
	json_w_object(&w, NULL);
	head_write(s, &w, &d, &image, &a);
	host_config_write(&w, &d.info.record, &d.config, &a);
	json_w_object(&w, "GraphDriver");
	json_w_string(&w, "Name", "overlay");
	json_w_object(&w, "Data");
	json_w_string(&w, "UpperDir", arena_printf(&a, "%s/upper", dir.z));
	json_w_string(&w, "WorkDir", arena_printf(&a, "%s/work", dir.z));
	json_w_end(&w);
	json_w_end(&w);
	if (size) {
		json_w_i64(&w, "SizeRw", d.info.size_rw);
		json_w_i64(&w, "SizeRootFs", d.info.size_root);
	}
	mounts_write(s, &w, &d.config, &a);
	config_write(&w, &d.info.record, &d.config, &image);
	network_write(s, &w, &d.info.record, &a);
	json_w_object(&w, "Atoll");
	json_w_string(&w, "Isolation", d.info.record.isolation);
	json_w_bool(&w, "Emulated", d.info.record.status.emulated);
	json_w_i64(&w, "ShimPid", d.info.record.status.shim_pid);
	json_w_string(&w, "Snapshot", text_or(d.config.snapshot, ""));
	json_w_string(&w, "Bundle", dir.z);
	json_w_string(&w, "RunDirectory", paths_run(&s->paths, d.info.record.id).z);
	json_w_end(&w);
	json_w_end(&w);
	if (!buf_ok(ret_json))
		return err_sys(e, -buf_error(ret_json), "write what is known of workload '%s'",
			       ref);
	return 0;
}
