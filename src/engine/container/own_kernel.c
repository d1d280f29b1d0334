/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/container/own_kernel.h"

#include <errno.h>

#include "base/str.h"
#include "engine/container/groups.h"
#include "engine/container/seccomp.h"
#include "engine/refuse.h"
#include "fmt/spec.h"

bool own_kernel_is_bind(const struct spec_mount *m)
{
	if (m->type && streq(m->type, "bind"))
		return true;
	for (size_t i = 0; i < m->options_n; i++) {
		if (streq(m->options[i], "bind") || streq(m->options[i], "rbind"))
			return true;
	}
	return false;
}

int own_kernel_check_namespaces(const struct own_kernel *k, const struct spec *s, struct err *e)
{
	static const enum spec_ns_type own[] = { SPEC_NS_MOUNT, SPEC_NS_PID, SPEC_NS_IPC,
						 SPEC_NS_UTS };
	const struct spec_ns *ns = s->linux_.ns;

	for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
		if (!ns[own[i]].present)
			return refuse_to(e, k->who, "share the host's %s namespace",
					 spec_ns_name(own[i]));
	}
	for (int t = 0; t < SPEC_NS_N_; t++) {
		if (k->in_pod && (t == SPEC_NS_PID || t == SPEC_NS_IPC || t == SPEC_NS_UTS))
			continue; /* the pod's, which is its kernel */
		if (ns[t].path && t != SPEC_NS_NETWORK)
			return refuse_to(e, k->who, "join the %s namespace '%.100s'",
					 spec_ns_name((enum spec_ns_type) t), ns[t].path);
	}
	return 0;
}

/* What is limited for one container of a pod is limited by their kernel, or nobody. */
static int check_in_pod(const struct own_kernel *k, const struct spec *s, struct err *e)
{
	const struct spec_resources *r = s->linux_.resources;
	const struct spec_cpu *c = r ? r->cpu : NULL;
	const struct refusal list[] = {
		{ r && groups_needed(&(struct spec_resources){ .block_io = r->block_io }),
		  "limit the disks of one container of a pod" },
		{ c && ((c->cpus && *c->cpus) || (c->mems && *c->mems)),
		  "bind one container of a pod to processors" },
		{ c && (c->realtime_period_set || c->realtime_runtime_set),
		  "give real time to one container of a pod" },
	};

	return refuse_first(e, k->who, list, ARRAY_SIZE(list));
}

/* ---- mounts ---- */

static int check_option(const struct own_kernel *k, const struct spec_mount *m, const char *option,
			struct err *e)
{
	static const char *const spreads[] = { "shared", "rshared", "slave", "rslave" };

	for (size_t i = 0; i < ARRAY_SIZE(spreads) && own_kernel_is_bind(m); i++) {
		if (streq(option, spreads[i]))
			return refuse_to(e, k->who, "have mounts come through '%.100s' (%s)",
					 m->destination, option);
	}
	if (streq(option, "idmap") || streq(option, "ridmap"))
		return refuse_to(e, k->who, "have an idmapped mount at '%.100s'", m->destination);
	if (streq(option, "copy-symlink"))
		return refuse_to(e, k->who, "have a mount with option '%s' at '%.100s'", option,
				 m->destination);
	return 0;
}

static int check_mount(const struct own_kernel *k, const struct spec_mount *m, struct err *e)
{
	static const char *const types[] = { "proc",   "sysfs",	 "tmpfs",  "devpts",
					     "mqueue", "cgroup", "cgroup2" };
	bool bind = own_kernel_is_bind(m), known = bind;

	for (size_t i = 0; i < m->options_n; i++) {
		if (check_option(k, m, m->options[i], e) < 0)
			return -1;
	}
	if (m->uid_maps_n || m->gid_maps_n)
		return refuse_to(e, k->who, "have an idmapped mount at '%.100s'", m->destination);
	if (bind && (!m->source || !m->source[0]))
		return err_set(e, ERR_INVALID, EINVAL, "mount at '%.100s': a bind without a source",
			       m->destination);
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		known = known || (m->type && streq(m->type, types[i]));
	if (!known)
		return refuse_to(e, k->who,
				 "mount a '%.40s' at '%.100s': mount it on the host and bind it",
				 m->type ? m->type : "", m->destination);
	return 0;
}

/* ---- the rest ---- */

/* Those of the kernel itself, which its own has as well. */
static bool is_virtual(const struct own_kernel *k, const struct spec_device *d)
{
	static const struct {
		int64_t major, minor;
	} known[] = { { 1, 3 }, { 1, 5 }, { 1, 7 }, { 1, 8 }, { 1, 9 }, { 5, 0 }, { 5, 2 } };

	if (d->type == 'p' || (k->has_fuse && d->type == 'c' && d->major == 10 && d->minor == 229))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(known) && d->type == 'c'; i++) {
		if (d->major == known[i].major && d->minor == known[i].minor)
			return true;
	}
	return false;
}

static int check_rest(const struct own_kernel *k, const struct spec *s, struct err *e)
{
	const struct spec_linux *l = &s->linux_;
	const struct refusal list[] = {
		{ l->seccomp && l->seccomp->listener_path && l->seccomp->listener_path[0],
		  "hand its system calls to a listener (linux.seccomp.listenerPath)" },
		{ l->seccomp && seccomp_notifies(l->seccomp),
		  "hand its system calls to a listener (SCMP_ACT_NOTIFY)" },
		{ l->net_devices_n, "have network devices of the host (linux.netDevices)" },
		{ l->intel_rdt, "have a class of cache of its own (linux.intelRdt)" },
		{ l->memory_policy, "have a memory policy (linux.memoryPolicy)" },
	};

	for (size_t i = 0; i < l->devices_n; i++) {
		if (!is_virtual(k, &l->devices[i]))
			return refuse_to(e, k->who, "have the host's device '%.200s'",
					 l->devices[i].path);
	}
	return refuse_first(e, k->who, list, ARRAY_SIZE(list));
}

int own_kernel_check(const struct own_kernel *k, const struct spec *s, struct err *e)
{
	int r = own_kernel_check_namespaces(k, s, e);

	if (r == 0 && k->in_pod)
		r = check_in_pod(k, s, e);
	for (size_t i = 0; r == 0 && i < s->mounts_n; i++)
		r = check_mount(k, &s->mounts[i], e);
	return r < 0 ? r : check_rest(k, s, e);
}
