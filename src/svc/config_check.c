/* SPDX-License-Identifier: Apache-2.0 */
/* What is wrong with a configuration that can be told by looking at nothing else. */
#include <errno.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/num.h"
#include "fmt/spec.h"
#include "svc/config.h"
#include "svc/own_disk.h"

#define MEMORY_MIN ((uint64_t) 6 << 20) /* docker's: less, and no program starts */

static int invalid(struct err *e, const char *flag, const char *value, const char *why)
{
	return err_set(e, ERR_INVALID, EINVAL, "%s '%s': %s", flag, value, why);
}

static int check_cpus(uint64_t nano_cpus, struct err *e)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (nano_cpus < 10000000)
		return err_set(e, ERR_INVALID, EINVAL, "--cpus: the minimum is 0.01");
	if (cpus > 0 && nano_cpus > (uint64_t) cpus * 1000000000)
		return err_set(e, ERR_INVALID, EINVAL,
			       "--cpus: range of CPUs is from 0.01 to %ld.00, as there are only "
			       "%ld CPUs available",
			       cpus, cpus);
	return 0;
}

int config_machine_disk(const char *rate)
{
	return rate[0] == 'v' && rate[1] == 'd' && rate[2] >= 'a' && rate[2] <= 'z' &&
			       rate[3] == ':'
		       ? rate[2] - 'a'
		       : -1;
}

static bool names_machine_disk(const char *const *rates, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (config_machine_disk(rates[i]) >= 0)
			return true;
	return false;
}

/* The first flag that is of machines alone; NULL: none. */
static const char *machine_flag(const struct resources_config *r)
{
	const struct {
		bool given;
		const char *flag;
	} flags[] = {
		{ r->cpus_max, "--cpus-max" },
		{ r->memory_max, "--memory-max" },
		{ r->network_rx_bps, "--network-rx-bps" },
		{ r->network_rx_pps, "--network-rx-pps" },
		{ r->network_tx_bps, "--network-tx-bps" },
		{ r->network_tx_pps, "--network-tx-pps" },
		{ names_machine_disk(r->read_bps, r->read_bps_n), "--device-read-bps vda" },
		{ names_machine_disk(r->write_bps, r->write_bps_n), "--device-write-bps vda" },
		{ names_machine_disk(r->read_iops, r->read_iops_n), "--device-read-iops vda" },
		{ names_machine_disk(r->write_iops, r->write_iops_n), "--device-write-iops vda" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (flags[i].given)
			return flags[i].flag;
	return NULL;
}

/* Only a machine has devices of its own, and a size that is more than a limit. */
static int check_machine(const struct workload_config *c, struct err *e)
{
	const struct resources_config *r = &c->resources;
	const char *flag = machine_flag(r);

	if (r->cpus_max && r->nano_cpus > r->cpus_max * 1000000000)
		return err_set(e, ERR_INVALID, EINVAL, "--cpus-max is below --cpus");
	if (r->memory_max && r->memory_max < r->memory)
		return err_set(e, ERR_INVALID, EINVAL, "--memory-max is below --memory");
	if (!flag || (c->isolation && streq(c->isolation, "microvm")))
		return 0;
	return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
		       "%s: only a machine has it: use --isolation=microvm", flag);
}

/* There is nothing of the host's in there that it could be let at. */
static int check_privileged(const struct workload_config *c, struct err *e)
{
	if (!c->privileged || !c->isolation || !streq(c->isolation, "sandbox"))
		return 0;
	return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
		       "--privileged: a sandbox has no devices and no kernel of the host: use "
		       "--isolation=container, or --cap-add");
}

/* Ports are a machine's that shares the host's network; a container there has them all. */
static int check_publish(const struct workload_config *c, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(1u << 20);
	struct port_config ignored;
	int r = 0;

	if (c->publish_n && !(c->isolation && streq(c->isolation, "microvm") && c->network &&
			      streq(c->network, "host")))
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "--publish: workloads have no bridge network yet: a container is "
			       "reached with --network host, a microvm with --network host and "
			       "--publish");
	for (size_t i = 0; r == 0 && i < c->publish_n; i++)
		r = config_parse_publish(&a, c->publish[i], &ignored, e);
	return r;
}

static int check_resources(const struct resources_config *r, struct err *e)
{
	if (r->memory && r->memory < MEMORY_MIN)
		return err_set(e, ERR_INVALID, EINVAL, "--memory: the minimum is 6 MiB");
	if (r->memory_swap > 0 && !r->memory)
		return err_set(e, ERR_INVALID, EINVAL,
			       "--memory-swap needs --memory: it limits both together");
	if (r->memory_swap > 0 && (uint64_t) r->memory_swap < r->memory)
		return err_set(e, ERR_INVALID, EINVAL,
			       "--memory-swap limits memory and swap together: it cannot be less "
			       "than --memory");
	if (r->memory_swap < -1)
		return err_set(e, ERR_INVALID, EINVAL, "--memory-swap: below -1");
	if (r->memory_reservation && r->memory && r->memory_reservation > r->memory)
		return err_set(e, ERR_INVALID, EINVAL,
			       "--memory-reservation is above --memory: it can never be reached");
	if (r->nano_cpus && (r->cpu_quota || r->cpu_period))
		return err_set(e, ERR_INVALID, EINVAL,
			       "conflicting options: --cpus sets what --cpu-period and --cpu-quota "
			       "do");
	if (r->nano_cpus && check_cpus(r->nano_cpus, e) < 0)
		return -1;
	if (r->cpu_period && (r->cpu_period < 1000 || r->cpu_period > 1000000))
		return err_set(e, ERR_INVALID, EINVAL,
			       "--cpu-period: between 1000 and 1000000 microseconds");
	if (r->cpu_quota > 0 && r->cpu_quota < 1000)
		return err_set(e, ERR_INVALID, EINVAL, "--cpu-quota: the minimum is 1000");
	if (r->blkio_weight && (r->blkio_weight < 10 || r->blkio_weight > 1000))
		return err_set(e, ERR_INVALID, EINVAL, "--blkio-weight: between 10 and 1000");
	if (r->swappiness_set && r->swappiness > 100)
		return err_set(e, ERR_INVALID, EINVAL, "--memory-swappiness: between 0 and 100");
	if (r->pids_limit < -1)
		return err_set(e, ERR_INVALID, EINVAL, "--pids-limit: below -1");
	return 0;
}

/* One of the words, or "container:X". */
static int check_mode(const char *flag, const char *mode, const char *const *words, bool container,
		      struct err *e)
{
	if (!mode || !*mode)
		return 0;
	for (; *words; words++) {
		if (streq(mode, *words))
			return 0;
	}
	if (container && strncmp(mode, "container:", 10) == 0 && mode[10])
		return 0;
	return invalid(e, flag, mode,
		       container ? "it is none of the modes, nor container:NAME"
				 : "it is none of the modes");
}

static int check_modes(const struct workload_config *c, struct err *e)
{
	static const char *const shared[] = { "host", "private", NULL };
	static const char *const ipc[] = { "host", "private", "shareable", "none", NULL };
	static const char *const host[] = { "host", NULL };
	static const char *const networks[] = { "none", "host", NULL };
	int r = check_mode("--pid", c->pid_mode, shared, true, e);

	if (r >= 0)
		r = check_mode("--ipc", c->ipc_mode, ipc, true, e);
	if (r >= 0)
		r = check_mode("--uts", c->uts_mode, shared, true, e);
	if (r >= 0)
		r = check_mode("--cgroupns", c->cgroupns_mode, shared, false, e);
	if (r >= 0 && check_mode("--userns", c->userns_mode, host, false, e) < 0)
		return err_set(e, ERR_UNSUPPORTED, ENOTSUP,
			       "--userns '%s': workloads share the host's user namespace today; "
			       "there is: host",
			       c->userns_mode);
	if (r < 0)
		return r;
	if (c->network && *c->network) {
		struct err ignored;

		if (check_mode("--network", c->network, networks, true, &ignored) < 0)
			return err_set(e, ERR_UNSUPPORTED, ENOTSUP,
				       "--network '%s': networks today are none, host and "
				       "container:NAME",
				       c->network);
	}
	if (c->uts_mode && streq(c->uts_mode, "host") && (c->hostname || c->domainname))
		return err_set(e, ERR_INVALID, EINVAL,
			       "conflicting options: --hostname with --uts=host would rename this "
			       "machine");
	return 0;
}

static int check_caps(const char *flag, const char *const *caps, size_t n, struct err *e)
{
	for (size_t i = 0; i < n; i++) {
		if (strcasecmp(caps[i], "all") != 0 && spec_cap_number(caps[i]) < 0)
			return invalid(e, flag, caps[i], "no such capability");
	}
	return 0;
}

static int check_mounts(const struct workload_config *c, struct err *e)
{
	for (size_t i = 0; i < c->mounts_n; i++) {
		for (size_t j = 0; j < i; j++) {
			if (streq(c->mounts[i].target, c->mounts[j].target))
				return err_set(e, ERR_INVALID, EINVAL, "duplicate mount point: %s",
					       c->mounts[i].target);
		}
	}
	return 0;
}

static int check_lists(const struct workload_config *c, struct err *e)
{
	for (size_t i = 0; i < c->env_n; i++) {
		if (c->env[i][0] == '=' || c->env[i][0] == '\0')
			return invalid(e, "--env", c->env[i], "a variable has a name");
	}
	for (size_t i = 0; i < c->labels_n; i++) {
		if (!*c->labels[i].key)
			return err_set(e, ERR_INVALID, EINVAL, "--label: a label has a name");
	}
	for (size_t i = 0; i < c->sysctls_n; i++) {
		const char *key = c->sysctls[i].key;

		if (!*key || strchr(key, '/') || strstr(key, "..") ||
		    strchr(c->sysctls[i].value, '\n'))
			return invalid(e, "--sysctl", key, "it is no name of a kernel setting");
	}
	for (size_t i = 0; i < c->extra_hosts_n; i++) {
		if (!strchr(c->extra_hosts[i], ':') || strpbrk(c->extra_hosts[i], " \t\r\n"))
			return invalid(e, "--add-host", c->extra_hosts[i], "write it NAME:ADDRESS");
	}
	int r = check_caps("--cap-add", c->cap_add, c->cap_add_n, e);
	return r < 0 ? r : check_caps("--cap-drop", c->cap_drop, c->cap_drop_n, e);
}

static int check_health(const struct workload_config *c, struct err *e)
{
	const struct health_config *h = &c->health;

	if (c->no_healthcheck && h->test_n > 0)
		return err_set(e, ERR_INVALID, EINVAL,
			       "conflicting options: --no-healthcheck and --health-cmd");
	if (h->interval_ns < 0 || h->timeout_ns < 0 || h->start_period_ns < 0)
		return err_set(e, ERR_INVALID, EINVAL, "--health-*: a duration cannot be negative");
	return 0;
}

static bool is_hostname(const char *z)
{
	return *z && strlen(z) <= 63 && !strpbrk(z, " \t\r\n/") && z[0] != '-';
}

int workload_config_check(const struct workload_config *c, struct err *e)
{
	int signo, r;

	if (!c->image || !*c->image)
		return err_set(e, ERR_INVALID, EINVAL, "no image is given");
	if (c->name && !config_name_ok(c->name))
		return invalid(e, "--name", c->name,
			       "only [a-zA-Z0-9][a-zA-Z0-9_.-]+ are allowed, at most 128 of them");
	if (c->hostname && *c->hostname && !is_hostname(c->hostname))
		return invalid(e, "--hostname", c->hostname, "it is no host name");
	if (c->auto_remove && c->restart != RESTART_NO)
		return err_set(e, ERR_INVALID, EINVAL, "conflicting options: --restart and --rm");
	if (c->stop_signal) {
		r = config_parse_signal(c->stop_signal, &signo, e);
		if (r < 0)
			return err_ctx(e, "--stop-signal");
	}
	if (c->disk_size && c->read_only)
		return err_set(e, ERR_INVALID, EINVAL,
			       "conflicting options: --read-only and --storage-opt size=");
	if (c->disk_size && (c->disk_size % 4096 || c->disk_size < OWN_DISK_SIZE_MIN ||
			     c->disk_size > OWN_DISK_SIZE_MAX))
		return err_set(e, ERR_INVALID, EINVAL,
			       "--storage-opt size=%llu: pages of 4096 bytes, from 64M to 8T",
			       (unsigned long long) c->disk_size);
	if (c->stop_timeout_s < -1 || c->stop_timeout_s > INT32_MAX)
		return err_set(e, ERR_INVALID, EINVAL, "--stop-timeout: out of range");
	if (c->oom_score_adj_set && (c->oom_score_adj < -1000 || c->oom_score_adj > 1000))
		return err_set(e, ERR_INVALID, EINVAL, "--oom-score-adj: between -1000 and 1000");
	if (c->workdir && *c->workdir && c->workdir[0] != '/')
		return invalid(e, "--workdir", c->workdir, "it is no absolute path");
	r = check_resources(&c->resources, e);
	if (r >= 0)
		r = check_machine(c, e);
	if (r >= 0)
		r = check_privileged(c, e);
	if (r >= 0)
		r = check_publish(c, e);
	if (r >= 0)
		r = check_modes(c, e);
	if (r >= 0)
		r = check_mounts(c, e);
	if (r >= 0)
		r = check_lists(c, e);
	return r < 0 ? r : check_health(c, e);
}
