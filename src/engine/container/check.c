/* SPDX-License-Identifier: Apache-2.0 */
/* What can be refused without touching anything: the spec against itself and this engine. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/str.h"
#include "engine/container/check_user.h"
#include "engine/container/container.h"
#include "engine/container/hostroot.h"
#include "engine/container/listener.h"
#include "engine/container/netdevs.h"
#include "engine/container/options.h"
#include "fmt/spec.h"

static int refuse(struct err *e, enum err_kind kind, const char *text)
{
	return err_set(e, kind, kind == ERR_UNSUPPORTED ? EOPNOTSUPP : EINVAL, "%s", text);
}

static bool starts(const char *z, const char *prefix)
{
	return strncmp(z, prefix, strlen(prefix)) == 0;
}

/* A sysctl that is not of a namespace of the container would change the host (CVE-2022-0811). */
static int check_sysctl(const struct spec *s, const char *given, const char *value, struct err *e)
{
	static const char *const ipc[] = { "kernel.msgmax", "kernel.msgmnb",
					   "kernel.msgmni", "kernel.sem",
					   "kernel.shmall", "kernel.shmmax",
					   "kernel.shmmni", "kernel.shm_rmid_forced" };
	const struct spec_ns *ns = s->linux_.ns;
	enum spec_ns_type need = SPEC_NS_N_;
	char key[256];

	if (snprintf(key, sizeof(key), "%s", given) >= (int) sizeof(key) || !key[0])
		return err_set(e, ERR_INVALID, EINVAL, "sysctl '%.60s': too long a name", given);
	if (strstr(key, ".."))
		return err_set(e, ERR_INVALID, EINVAL, "sysctl '%.60s': '..' in its name", given);
	for (char *c = key; *c; c++)
		*c = *c == '/' ? '.' : *c;
	for (size_t i = 0; i < ARRAY_SIZE(ipc); i++) {
		if (streq(key, ipc[i]))
			need = SPEC_NS_IPC;
	}
	if (starts(key, "fs.mqueue."))
		need = SPEC_NS_IPC;
	if (starts(key, "net."))
		need = SPEC_NS_NETWORK;
	if (starts(key, "user."))
		need = SPEC_NS_USER;
	if (streq(key, "kernel.domainname"))
		need = SPEC_NS_UTS;
	if (streq(key, "kernel.hostname"))
		return err_set(e, ERR_INVALID, EINVAL,
			       "sysctl 'kernel.hostname': use the field hostname");
	if (need == SPEC_NS_N_)
		return err_set(e, ERR_INVALID, EINVAL,
			       "sysctl \"%.60s\" is not in a separate kernel namespace", given);
	if (!ns[need].present)
		return err_set(e, ERR_INVALID, EINVAL,
			       "sysctl \"%.60s\" is not allowed in the host's %s namespace", given,
			       spec_ns_name(need));
	if (streq(key, "kernel.domainname") && s->domainname && s->domainname[0] &&
	    !streq(s->domainname, value))
		return err_set(e, ERR_INVALID, EINVAL,
			       "sysctl \"kernel.domainname\" conflicts with the field domainname");
	return 0;
}

static int check_namespaces(const struct spec *s, struct err *e)
{
	const struct spec_linux *l = &s->linux_;
	const struct spec_ns *ns = l->ns;

	if (ns[SPEC_NS_USER].present && !ns[SPEC_NS_USER].path && !l->uid_maps_n != !l->gid_maps_n)
		return refuse(e, ERR_INVALID,
			      "a user namespace needs both linux.uidMappings and "
			      "linux.gidMappings, or neither: then all ids stay what they are");
	if (!ns[SPEC_NS_USER].present && (l->uid_maps_n || l->gid_maps_n))
		return refuse(e, ERR_INVALID, "linux.uidMappings without a user namespace");
	if (s->hostname && s->hostname[0] && !ns[SPEC_NS_UTS].present)
		return refuse(e, ERR_INVALID,
			      "unable to set hostname without a private UTS namespace");
	if (s->domainname && s->domainname[0] && !ns[SPEC_NS_UTS].present)
		return refuse(e, ERR_INVALID,
			      "unable to set domainname without a private UTS namespace");
	if ((l->monotonic.set || l->boottime.set) && !ns[SPEC_NS_TIME].present)
		return refuse(e, ERR_INVALID, "time namespace offsets require a time namespace");
	if ((l->monotonic.set || l->boottime.set) && ns[SPEC_NS_TIME].path)
		return refuse(e, ERR_INVALID,
			      "time namespace offsets of a joined time namespace are fixed");
	if (ns[SPEC_NS_TIME].present && access("/proc/self/timens_offsets", F_OK) < 0)
		return refuse(e, ERR_UNSUPPORTED, "this kernel has no time namespaces");
	return 0;
}

static int check_paths(const struct spec *s, struct err *e)
{
	const struct spec_linux *l = &s->linux_;

	for (size_t i = 0; i < s->mounts_n; i++) {
		if (!s->mounts[i].destination[0])
			return err_set(e, ERR_INVALID, EINVAL,
				       "mounts[%zu].destination: must not be empty", i);
	}
	for (size_t i = 0; i < l->masked_paths_n; i++) {
		if (l->masked_paths[i][0] != '/')
			return err_set(e, ERR_INVALID, EINVAL,
				       "linux.maskedPaths[%zu]: must be absolute", i);
		if (!l->masked_paths[i][strspn(l->masked_paths[i], "/.")])
			return err_set(e, ERR_INVALID, EINVAL,
				       "linux.maskedPaths[%zu]: nothing would be left to run", i);
	}
	for (size_t i = 0; i < l->readonly_paths_n; i++) {
		if (l->readonly_paths[i][0] != '/')
			return err_set(e, ERR_INVALID, EINVAL,
				       "linux.readonlyPaths[%zu]: must be absolute", i);
	}
	for (size_t i = 0; i < l->devices_n; i++) {
		if (l->devices[i].path[0] != '/')
			return err_set(e, ERR_INVALID, EINVAL,
				       "linux.devices[%zu].path: must be absolute", i);
	}
	return 0;
}

/* The kernel would say EINVAL to each of these (sched(7)): runtime <= deadline <= period. */
static int check_deadline(const struct spec_scheduler *s, struct err *e)
{
	static const char name[] = "process.scheduler: sched_setattr: `SCHED_DEADLINE`";
	const uint64_t least = 1024, most = (UINT64_C(1) << 63) - 1; /* ns */

	if (!s->runtime_set)
		return err_set(e, ERR_INVALID, EINVAL, "%s requires `runtime`", name);
	if (!s->deadline_set)
		return err_set(e, ERR_INVALID, EINVAL, "%s requires `deadline`", name);
	if (s->runtime == 0)
		return err_set(e, ERR_INVALID, EINVAL, "%s runtime must be greater than 0", name);
	if (s->runtime < least || s->runtime > most)
		return err_set(e, ERR_INVALID, EINVAL,
			       "%s runtime %llu must be between %llu and %llu ns", name,
			       (unsigned long long) s->runtime, (unsigned long long) least,
			       (unsigned long long) most);
	if (s->runtime > s->deadline)
		return err_set(e, ERR_INVALID, EINVAL, "%s runtime %llu must be <= deadline %llu",
			       name, (unsigned long long) s->runtime,
			       (unsigned long long) s->deadline);
	if (s->period && s->deadline > s->period)
		return err_set(e, ERR_INVALID, EINVAL, "%s deadline %llu must be <= period %llu",
			       name, (unsigned long long) s->deadline,
			       (unsigned long long) s->period);
	return 0;
}

static int check_scheduler(const struct spec *s, struct err *e)
{
	const struct spec_scheduler *sch = s->process ? s->process->scheduler : NULL;
	const struct spec_resources *res = s->linux_.resources;

	if (!sch)
		return 0;
	if (sch->priority && sch->policy != 1 && sch->policy != 2)
		return refuse(e, ERR_INVALID,
			      "scheduler.priority can only be specified for SchedFIFO or SchedRR "
			      "policy");
	if ((sch->runtime || sch->deadline || sch->period) && sch->policy != 6)
		return refuse(e, ERR_INVALID,
			      "scheduler runtime/deadline/period can only be specified for "
			      "SchedDeadline policy");
	if (sch->policy == 6) {
		int r = check_deadline(sch, e);

		if (r < 0)
			return r;
	}
	if (sch->policy == 6 && res && res->cpu && res->cpu->cpus && res->cpu->cpus[0])
		return refuse(e, ERR_INVALID,
			      "process scheduler can't be used together with AllowedCPUs");
	return 0;
}

static int check_lsm(const struct spec_process *p, struct err *e)
{
	if (p->apparmor_profile && p->apparmor_profile[0] &&
	    access("/sys/module/apparmor", F_OK) < 0)
		return refuse(e, ERR_UNSUPPORTED,
			      "process.apparmorProfile: apparmor is not enabled on this system");
	if (p->selinux_label && p->selinux_label[0] && access("/sys/fs/selinux", F_OK) < 0)
		return refuse(e, ERR_UNSUPPORTED,
			      "process.selinuxLabel: selinux is not enabled on this system");
	return 0;
}

/* What crun would do and this engine does not: never left out in silence. */
static int check_annotations(const struct spec *s, struct err *e)
{
	static const char *const unserved[] = { "run.oci.handler", "run.oci.seccomp_bpf_data",
						"run.oci.seccomp.plugins",
						"run.oci.delegate-cgroup",
						"run.oci.systemd.force_cgroup_v1" };
	static const char *const contexts[] = { "context", "fscontext", "defcontext",
						"rootcontext" };
	const char *kind = spec_annotation(s, "run.oci.mount_context_type");
	bool known = !kind || !kind[0];

	for (size_t i = 0; i < ARRAY_SIZE(unserved); i++) {
		const char *v = spec_annotation(s, unserved[i]);

		if (v && v[0])
			return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
				       "annotation %s: '%.80s' is not supported: leave it out",
				       unserved[i], v);
	}
	for (size_t i = 0; i < ARRAY_SIZE(contexts); i++)
		known = known || streq(kind, contexts[i]);
	if (!known)
		return err_set(e, ERR_INVALID, EINVAL,
			       "annotation run.oci.mount_context_type: '%.80s' is none of context, "
			       "fscontext, defcontext, rootcontext",
			       kind);
	return 0;
}

int container_check(const struct engine_caps *, const struct spec *s, struct err *e)
{
	const struct spec_linux *l = &s->linux_;
	int r;

	if (!s->root)
		return refuse(e, ERR_INVALID, "root: missing from config.json");
	if (s->has_vm && !s->process)
		return refuse(e, ERR_UNSUPPORTED,
			      "vm: a virtual machine's spec; the engines microvm and vm serve it");
	if (l->mount_label && l->mount_label[0] && access("/sys/fs/selinux", F_OK) < 0)
		return refuse(e, ERR_UNSUPPORTED,
			      "linux.mountLabel: selinux is not enabled on this system");
	r = hostroot_check(s, e);
	r = r < 0 ? r : check_namespaces(s, e);
	r = r < 0 ? r : check_user(s, e);
	for (size_t i = 0; i < l->sysctl_n && r == 0; i++)
		r = check_sysctl(s, l->sysctl[i].key, l->sysctl[i].value, e);
	r = r < 0 ? r : check_paths(s, e);
	r = r < 0 ? r : check_scheduler(s, e);
	r = r < 0 ? r : listener_check(s, e);
	r = r < 0 ? r : check_annotations(s, e);
	r = r < 0 ? r : netdevs_check(l, e);
	if (r == 0 && l->intel_rdt)
		r = rdt_check(l->intel_rdt, e);
	if (r == 0 && s->process)
		r = check_lsm(s->process, e);
	return r;
}
