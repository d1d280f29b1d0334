/* SPDX-License-Identifier: Apache-2.0 */
/* What a sandbox cannot have, refused before anything is done. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/auto.h"
#include "base/str.h"
#include "engine/container/container.h"
#include "engine/container/groups.h"
#include "engine/container/seccomp.h"
#include "engine/pod.h"
#include "engine/refuse.h"
#include "engine/sandbox/inside.h"
#include "engine/sandbox/sandbox.h"

#define WHO "a sandbox"

/* Its own all, but the network: its broker is in the host's or in one that is named (network.h). */
static int check_namespaces(const struct spec *s, bool pod, struct err *e)
{
	static const enum spec_ns_type own[] = { SPEC_NS_MOUNT, SPEC_NS_PID, SPEC_NS_IPC,
						 SPEC_NS_UTS };
	const struct spec_linux *l = &s->linux_;

	for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
		if (!l->ns[own[i]].present)
			return refuse_to(e, WHO, "share the host's %s namespace",
					 spec_ns_name(own[i]));
	}
	for (int t = 0; t < SPEC_NS_N_; t++) {
		if (pod && (t == SPEC_NS_PID || t == SPEC_NS_IPC || t == SPEC_NS_UTS))
			continue; /* the pod's, which is its kernel */
		if (l->ns[t].path && t != SPEC_NS_NETWORK)
			return refuse_to(e, WHO, "join the %s namespace '%.100s'",
					 spec_ns_name((enum spec_ns_type) t), l->ns[t].path);
	}
	if (l->uid_maps_n || l->gid_maps_n)
		return refuse_to(e, WHO,
				 "map its ids to others (linux.uidMappings): they are another "
				 "kernel's than the host's");
	return 0;
}

/* What is limited for one container of a pod is limited by their kernel, or nobody. */
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

static int check_bind(const struct spec_mount *m, struct err *e)
{
	static const char *const spreads[] = { "shared", "rshared", "slave", "rslave" };

	for (size_t i = 0; i < m->options_n; i++) {
		for (size_t k = 0; k < ARRAY_SIZE(spreads); k++) {
			if (streq(m->options[i], spreads[k]))
				return refuse_to(e, WHO, "have mounts come through '%.100s' (%s)",
						 m->destination, spreads[k]);
		}
	}
	if (!m->source || !m->source[0])
		return err_set(e, ERR_INVALID, EINVAL, "mount at '%.100s': a bind without a source",
			       m->destination);
	return 0;
}

static int check_mounts(const struct spec *s, struct err *e)
{
	static const char *const types[] = { "proc",   "sysfs",	 "tmpfs",  "devpts",
					     "mqueue", "cgroup", "cgroup2" };

	for (size_t i = 0; i < s->mounts_n; i++) {
		const struct spec_mount *m = &s->mounts[i];
		bool known = inside_is_bind(m);

		for (size_t k = 0; k < m->options_n; k++) {
			if (streq(m->options[k], "idmap") || streq(m->options[k], "ridmap"))
				return refuse_to(e, WHO, "have an idmapped mount at '%.100s'",
						 m->destination);
			if (streq(m->options[k], "copy-symlink"))
				return refuse_to(e, WHO,
						 "have a mount with option '%s' at '%.100s'",
						 m->options[k], m->destination);
		}
		if (m->uid_maps_n || m->gid_maps_n)
			return refuse_to(e, WHO, "have an idmapped mount at '%.100s'",
					 m->destination);
		if (known && check_bind(m, e) < 0)
			return -1;
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

/* Those of the kernel itself, which the sandbox's has as well. */
static bool is_virtual(const struct spec_device *d)
{
	static const struct {
		int64_t major, minor;
	} known[] = { { 1, 3 }, { 1, 5 }, { 1, 7 }, { 1, 8 }, { 1, 9 }, { 5, 0 }, { 5, 2 } };

	if (d->type == 'p')
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(known) && d->type == 'c'; i++) {
		if (d->major == known[i].major && d->minor == known[i].minor)
			return true;
	}
	return false;
}

static int check_process(const struct spec_process *p, struct err *e)
{
	const struct refusal list[] = {
		{ p->scheduler, "choose how the host schedules it (process.scheduler)" },
		{ p->io_priority, "have a priority at the host's disks (process.ioPriority)" },
		{ p->exec_cpu_affinity, "choose the host's processors (process.execCPUAffinity)" },
	};

	return refuse_first(e, WHO, list, ARRAY_SIZE(list));
}

static int check_rest(const struct spec *s, struct err *e)
{
	const struct spec_linux *l = &s->linux_;
	const struct refusal list[] = {
		{ s->hooks[SPEC_HOOK_CREATE_CONTAINER].n || s->hooks[SPEC_HOOK_START_CONTAINER].n,
		  "run createContainer and startContainer hooks: they would be the host's programs "
		  "in namespaces that the workload is not in" },
		{ l->seccomp && l->seccomp->listener_path && l->seccomp->listener_path[0],
		  "hand its system calls to a listener (linux.seccomp.listenerPath)" },
		{ l->seccomp && seccomp_notifies(l->seccomp),
		  "hand its system calls to a listener (SCMP_ACT_NOTIFY)" },
		{ l->net_devices_n, "have network devices of the host (linux.netDevices)" },
		{ l->intel_rdt, "have a class of cache of its own (linux.intelRdt)" },
		{ l->memory_policy, "have a memory policy (linux.memoryPolicy)" },
		{ l->personality_set && l->personality, "be of another personality" },
		{ l->monotonic.set || l->boottime.set,
		  "have clocks of its own (linux.timeOffsets)" },
	};

	for (size_t i = 0; i < l->devices_n; i++) {
		if (!is_virtual(&l->devices[i]))
			return refuse_to(e, WHO, "have the host's device '%.200s'",
					 l->devices[i].path);
	}
	return refuse_first(e, WHO, list, ARRAY_SIZE(list));
}

int sandbox_check_memory(uint64_t memory, struct err *e)
{
	return memory && memory < SANDBOX_MEMORY_LEAST
		       ? err_set(e, ERR_INVALID, EINVAL,
				 "linux.resources.memory.limit: a sandbox needs at least %llu "
				 "bytes",
				 (unsigned long long) SANDBOX_MEMORY_LEAST)
		       : 0;
}

int sandbox_check(const struct engine_caps *caps, const struct spec *s, struct err *e)
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
	r = r < 0 ? r : check_process(s->process, e);
	r = r < 0 ? r : sandbox_check_memory(inside_memory(s), e);
	return r < 0 ? r : check_rest(s, e);
}

int sandbox_check_alone(const struct spec *s, struct err *e)
{
	return check_namespaces(s, false, e);
}
