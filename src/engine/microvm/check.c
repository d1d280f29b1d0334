/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/microvm/check.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>

#include "base/auto.h"
#include "base/str.h"
#include "engine/container/container.h"
#include "engine/container/groups.h"
#include "engine/microvm/guest.h"
#include "engine/microvm/usernet.h"
#include "engine/pod.h"
#include "engine/refuse.h"
#include "engine/source.h"
#include "fmt/spec.h"

#define WHO "a microvm"

/* Its own all, in a machine of its own: nothing of the host's or of another's can be joined. */
static int check_namespaces(const struct spec *s, bool pod, struct err *e)
{
	static const enum spec_ns_type own[] = { SPEC_NS_MOUNT, SPEC_NS_PID, SPEC_NS_IPC,
						 SPEC_NS_UTS };
	const struct spec_ns *ns = s->linux_.ns;

	for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
		if (!ns[own[i]].present)
			return refuse_to(e, WHO, "share the host's %s namespace",
					 spec_ns_name(own[i]));
	}
	if (!ns[SPEC_NS_NETWORK].present && usernet_check(e) < 0)
		return -1;
	/* That of the network is not joined, but its interfaces are taken (network.h). */
	for (int t = 0; t < SPEC_NS_N_; t++) {
		if (pod && (t == SPEC_NS_PID || t == SPEC_NS_IPC || t == SPEC_NS_UTS))
			continue; /* the pod's, which is the machine */
		if (ns[t].path && t != SPEC_NS_NETWORK)
			return refuse_to(e, WHO, "join the %s namespace '%.100s'",
					 spec_ns_name((enum spec_ns_type) t), ns[t].path);
	}
	return 0;
}

/* Those of the kernel itself, which the guest's has as well. */
static bool is_virtual(const struct spec_device *d)
{
	static const struct {
		int64_t major, minor;
	} known[] = { { 1, 3 }, { 1, 5 }, { 1, 7 }, { 1, 8 },
		      { 1, 9 }, { 5, 0 }, { 5, 2 }, { 10, 229 } };

	if (d->type == 'p')
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(known) && d->type == 'c'; i++) {
		if (d->major == known[i].major && d->minor == known[i].minor)
			return true;
	}
	return false;
}

int check_source(int fd, const char *path, struct err *e)
{
	return source_check(fd, path, "a microvm", e);
}

static int check_bind(const struct spec_mount *m, struct err *e)
{
	static const char *const spreads[] = { "shared", "rshared", "slave", "rslave" };
	auto_fd int fd = FD_NONE;

	for (size_t i = 0; i < m->options_n; i++) {
		for (size_t k = 0; k < ARRAY_SIZE(spreads); k++) {
			if (streq(m->options[i], spreads[k]))
				return refuse_to(e, WHO, "have mounts come through '%.100s' (%s)",
						 m->destination, spreads[k]);
		}
		if (streq(m->options[i], "idmap") || streq(m->options[i], "ridmap"))
			return refuse_to(e, WHO, "have an idmapped mount at '%.100s'",
					 m->destination);
		if (streq(m->options[i], "copy-symlink"))
			return refuse_to(e, WHO, "have a link of the host's at '%.100s'",
					 m->destination);
	}
	if (m->uid_maps_n || m->gid_maps_n)
		return refuse_to(e, WHO, "have an idmapped mount at '%.100s'", m->destination);
	if (!m->source || !m->source[0])
		return err_set(e, ERR_INVALID, EINVAL, "mount at '%.100s': a bind without a source",
			       m->destination);
	if (m->source[0] == '/')
		fd = open(m->source, O_PATH | O_CLOEXEC);
	return fd < 0 ? 0 : check_source(fd, m->source, e); /* what is missing create finds */
}

static int check_mounts(const struct spec *s, struct err *e)
{
	static const char *const types[] = { "proc",   "sysfs",	 "tmpfs",  "devpts",
					     "mqueue", "cgroup", "cgroup2" };

	for (size_t i = 0; i < s->mounts_n; i++) {
		const struct spec_mount *m = &s->mounts[i];
		bool known = false;
		int r;

		if (guest_is_bind(m)) {
			r = check_bind(m, e);
			if (r < 0)
				return r;
			continue;
		}
		for (size_t k = 0; k < ARRAY_SIZE(types); k++)
			known = known || (m->type && streq(m->type, types[k]));
		if (!known)
			return refuse_to(e, WHO,
					 "mount a '%.40s' at '%.100s': mount it on the host and "
					 "bind it",
					 m->type ? m->type : "", m->destination);
	}
	return 0;
}

/* The limits of a container among others in one machine are the guest's. */
static int check_in_pod(const struct spec *s, struct err *e)
{
	const struct spec_resources *r = s->linux_.resources;
	const struct spec_cpu *c = r ? r->cpu : NULL;

	if (r && groups_needed(&(struct spec_resources){ .block_io = r->block_io }))
		return refuse_to(e, WHO, "limit the disks of one container of a pod");
	if (c && ((c->cpus && *c->cpus) || (c->mems && *c->mems)))
		return refuse_to(e, WHO, "bind one container of a pod to processors");
	if (c && (c->realtime_period_set || c->realtime_runtime_set))
		return refuse_to(e, WHO, "give real time to one container of a pod");
	return 0;
}

static int check_rest(const struct spec *s, struct err *e)
{
	const struct spec_linux *l = &s->linux_;

	for (size_t i = 0; i < l->devices_n; i++) {
		if (!is_virtual(&l->devices[i]))
			return refuse_to(e, WHO, "have the host's device '%.200s'",
					 l->devices[i].path);
	}
	if (s->hooks[SPEC_HOOK_CREATE_CONTAINER].n)
		return refuse_to(e, WHO,
				 "run createContainer hooks: they would be the host's programs in "
				 "the machine's namespaces");
	if (l->seccomp && l->seccomp->listener_path && l->seccomp->listener_path[0])
		return refuse_to(
			e, WHO, "hand its system calls to a listener (linux.seccomp.listenerPath)");
	for (size_t i = 0; l->seccomp && i < l->seccomp->rules_n; i++) {
		if (streq(l->seccomp->rules[i].action, "SCMP_ACT_NOTIFY"))
			return refuse_to(e, WHO,
					 "hand its system calls to a listener (SCMP_ACT_NOTIFY)");
	}
	if (l->net_devices_n)
		return refuse_to(e, WHO, "have network devices of the host (linux.netDevices)");
	if (l->intel_rdt)
		return refuse_to(e, WHO, "have a class of cache of its own (linux.intelRdt)");
	if (l->memory_policy)
		return refuse_to(e, WHO, "have a memory policy (linux.memoryPolicy)");
	return 0;
}

/* Its kernel would take what is not there for its tables of pages alone, and never come up. */
static int check_memory(const struct spec_memory *m, struct err *e)
{
	struct sysinfo host;
	uint64_t there;

	if (!m || !m->limit_set || m->limit <= 0)
		return 0;
	if (sysinfo(&host) < 0)
		return err_sys(e, errno, "ask for the host's memory");
	there = (uint64_t) host.totalram * host.mem_unit;
	if ((uint64_t) m->limit > there)
		return err_set(
			e, ERR_INVALID, ENOMEM,
			"a microvm with %llu MiB of memory is larger than its host, which has "
			"%llu MiB",
			(unsigned long long) m->limit >> 20, (unsigned long long) there >> 20);
	return 0;
}

int microvm_check(const struct engine_caps *caps, const struct spec *s, struct err *e)
{
	struct pod_name pod;
	int r = container_check(caps, s, e);

	if (r == 0 && !s->process)
		r = err_set(e, ERR_INVALID, EINVAL, "process: missing, there is nothing to run");
	r = r < 0 ? r : pod_find(s, &pod, e);
	r = r < 0 ? r : check_namespaces(s, pod.role != POD_NONE, e);
	if (r == 0 && pod.role != POD_NONE)
		r = check_in_pod(s, e);
	r = r < 0 ? r : check_mounts(s, e);
	if (r == 0 && s->linux_.resources)
		r = check_memory(s->linux_.resources->memory, e);
	return r < 0 ? r : check_rest(s, e);
}

int check_alone(const struct spec *s, struct err *e)
{
	return check_namespaces(s, false, e);
}
