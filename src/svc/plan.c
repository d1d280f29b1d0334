/* SPDX-License-Identifier: Apache-2.0 */
#include "svc/plan.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "store/workload.h"
#include "svc/plan_devices.h"
#include "svc/plan_process.h"
#include "sys/ns.h"

#define SHM_DEFAULT ((uint64_t) 64 << 20)
#define INIT_INSIDE "/dev/init"

/* What the kernel shows of the whole machine, that a workload has no use for. */
const char *const plan_masked_paths[] = {
	"/proc/asound",
	"/proc/acpi",
	"/proc/interrupts",
	"/proc/kcore",
	"/proc/keys",
	"/proc/latency_stats",
	"/proc/timer_list",
	"/proc/timer_stats",
	"/proc/sched_debug",
	"/proc/scsi",
	"/sys/firmware",
	"/sys/devices/virtual/powercap",
	NULL,
};
const char *const plan_readonly_paths[] = {
	"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger", NULL,
};

static bool mode_is(const char *mode, const char *what)
{
	return mode && streq(mode, what);
}

static void mount_write(struct json_writer *w, const char *target, const char *type,
			const char *source, const char *const *options)
{
	json_w_object(w, NULL);
	json_w_string(w, "destination", target);
	json_w_string(w, "type", type);
	json_w_string(w, "source", source);
	json_w_strings(w, "options", options);
	json_w_end(w);
}
#define OPTIONS(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* Whether the user mounts something there himself: then the default stays away. */
static bool taken(const struct plan_input *in, const char *target)
{
	for (size_t i = 0; i < in->mounts_n; i++) {
		if (streq(in->mounts[i].target, target))
			return true;
	}
	return false;
}

static int shm_write(const struct plan_input *in, struct json_writer *w, struct arena *a,
		     struct err *e)
{
	const struct workload_config *c = in->config;

	if (taken(in, "/dev/shm") || mode_is(c->ipc_mode, "none"))
		return 0;
	if (mode_is(c->ipc_mode, "host")) {
		mount_write(w, "/dev/shm", "bind", "/dev/shm", OPTIONS("rbind", "rprivate", "rw"));
		return 0;
	}
	if (in->shm_dir) {
		mount_write(w, "/dev/shm", "bind", in->shm_dir,
			    OPTIONS("bind", "rprivate", "rw", "nosuid", "noexec", "nodev"));
		return 0;
	}
	const char *size = arena_printf(
		a, "size=%llu", (unsigned long long) (c->shm_size ? c->shm_size : SHM_DEFAULT));
	if (!size)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	mount_write(w, "/dev/shm", "tmpfs", "shm",
		    OPTIONS("nosuid", "noexec", "nodev", "mode=1777", size));
	return 0;
}

static int file_write(const struct plan_input *in, struct json_writer *w, const char *target,
		      const char *name, struct arena *a, struct err *e)
{
	if (taken(in, target))
		return 0;
	const char *source = arena_printf(a, "%s/%s", in->run_dir, name);
	if (!source)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	mount_write(w, target, "bind", source, OPTIONS("bind", "rprivate", "rw"));
	return 0;
}

static int mounts_write(const struct plan_input *in, struct json_writer *w, struct arena *a,
			struct err *e)
{
	bool privileged = in->config->privileged;
	const char *rw = privileged ? "rw" : "ro";

	json_w_array(w, "mounts");
	if (!taken(in, "/proc"))
		mount_write(w, "/proc", "proc", "proc", OPTIONS("nosuid", "noexec", "nodev"));
	/* Sticky but not world-writable: in a 1777 /dev even root cannot open another's device. */
	if (!taken(in, "/dev"))
		mount_write(w, "/dev", "tmpfs", "tmpfs",
			    OPTIONS("nosuid", "strictatime", "mode=755", "size=65536k"));
	mount_write(
		w, "/dev/pts", "devpts", "devpts",
		OPTIONS("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"));
	/* sysfs shows the network namespace of its mounter: with the host's, it must be bound. */
	if (!taken(in, "/sys"))
		mount_write(w, "/sys", "sysfs", "sysfs", OPTIONS("nosuid", "noexec", "nodev", rw));
	if (!taken(in, "/sys/fs/cgroup"))
		mount_write(w, "/sys/fs/cgroup", "cgroup", "cgroup",
			    OPTIONS(rw, "nosuid", "noexec", "nodev"));
	mount_write(w, "/dev/mqueue", "mqueue", "mqueue", OPTIONS("nosuid", "noexec", "nodev"));
	int r = shm_write(in, w, a, e);
	if (r >= 0)
		r = file_write(in, w, "/etc/resolv.conf", "resolv.conf", a, e);
	if (r >= 0)
		r = file_write(in, w, "/etc/hostname", "hostname", a, e);
	if (r >= 0)
		r = file_write(in, w, "/etc/hosts", "hosts", a, e);
	if (r >= 0 && in->config->init)
		mount_write(w, INIT_INSIDE, "bind", in->init_path,
			    OPTIONS("bind", "rprivate", "ro", "nosuid"));
	for (size_t i = 0; i < in->mounts_n; i++) {
		const struct plan_mount *m = &in->mounts[i];

		mount_write(w, m->target, m->type, m->source, (const char *const *) m->options);
	}
	json_w_end(w);
	return r;
}

static void ns_write(struct json_writer *w, const char *type, const char *path)
{
	json_w_object(w, NULL);
	json_w_string(w, "type", type);
	if (path)
		json_w_string(w, "path", path);
	json_w_end(w);
}

static void namespaces_write(const struct plan_input *in, struct json_writer *w)
{
	const struct workload_config *c = in->config;

	json_w_array(w, "namespaces");
	ns_write(w, "mount", NULL);
	if (!mode_is(c->pid_mode, "host"))
		ns_write(w, "pid", in->pid_ns);
	if (!mode_is(c->ipc_mode, "host"))
		ns_write(w, "ipc", in->ipc_ns);
	if (!mode_is(c->uts_mode, "host"))
		ns_write(w, "uts", in->uts_ns);
	if (!mode_is(c->network, "host"))
		ns_write(w, "network", in->net_ns);
	if (!mode_is(c->cgroupns_mode, "host"))
		ns_write(w, "cgroup", NULL);
	json_w_end(w);
}

const char *plan_cgroups_path(const struct workload_config *c, const char *id, struct arena *a)
{
	const char *parent = c->cgroup_parent;

	/* A slice is systemd's where there is one; elsewhere it is a name like another. */
	if (parent && str_ends(str_of(parent), ".slice") && !strchr(parent, '/') &&
	    access("/run/systemd/system", F_OK) == 0)
		return arena_printf(a, "%s:atoll:%s", parent, id);
	if (parent && *parent)
		return arena_printf(a, "%s%s/%s", parent[0] == '/' ? "" : "/", parent, id);
	if (ns_in_user())
		return ""; /* a user's: beside or below his own, or none */
	return arena_printf(a, "/atoll/%s", id);
}

static int cgroup_write(const struct plan_input *in, struct json_writer *w, struct arena *a,
			struct err *e)
{
	const char *path = plan_cgroups_path(in->config, in->id, a);

	if (!path)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	if (path[0])
		json_w_string(w, "cgroupsPath", path);
	return 0;
}

static int seccomp_write(const struct plan_input *in, const struct plan_security *sec,
			 const char *const *caps, struct json_writer *w, struct err *e)
{
	if (sec->seccomp && streq(sec->seccomp, "unconfined"))
		return 0;
	if (sec->seccomp && *sec->seccomp)
		return plan_seccomp_profile(w, "seccomp", sec->seccomp, caps, e);
	if (!in->config->privileged)
		plan_seccomp_default(w, "seccomp", caps);
	return 0;
}

static int linux_write(struct svc *s, const struct plan_input *in, const struct plan_security *sec,
		       const char *const *caps, struct json_writer *w, struct arena *a,
		       struct err *e)
{
	const struct workload_config *c = in->config;
	struct plan_devices devices = {};
	int r = plan_devices_of(c, a, &devices, e);

	if (r < 0)
		return r;
	struct resources_config resources = plan_enforceable(s, &c->resources);

	json_w_object(w, "linux");
	r = cgroup_write(in, w, a, e);
	namespaces_write(in, w);
	if (r >= 0)
		r = plan_resources(&resources, c, w, "resources", e);
	plan_devices_write(w, &devices);
	if (c->sysctls_n > 0) {
		json_w_object(w, "sysctl");
		for (size_t i = 0; i < c->sysctls_n; i++)
			json_w_string(w, c->sysctls[i].key, c->sysctls[i].value);
		json_w_end(w);
	}
	if (r >= 0)
		r = seccomp_write(in, sec, caps, w, e);
	if (!c->privileged && !sec->unmasked) {
		json_w_strings(w, "maskedPaths", plan_masked_paths);
		json_w_strings(w, "readonlyPaths", plan_readonly_paths);
	}
	json_w_string(w, "rootfsPropagation", "rprivate");
	json_w_end(w);
	return r;
}

static int process_write(struct svc *s, const struct plan_input *in,
			 const struct plan_security *sec, const char *const *caps,
			 struct json_writer *w, struct arena *a, struct err *e)
{
	const struct workload_config *c = in->config;
	const char *user = c->user && *c->user ? c->user : in->image->user;
	const char *cwd = c->workdir && *c->workdir ? c->workdir : in->image->workdir;
	struct account account = {};
	struct plan_env env;
	const char **argv;
	size_t argv_n;
	int r = in->names_inside
			? 0
			: accounts_find(in->root_fd, user, (const char *const *) c->group_add,
					c->group_add_n, a, &account, e);

	if (r >= 0)
		r = plan_command(c, in->image, a, &argv, &argv_n, e);
	if (r >= 0)
		r = plan_env(c, in->image, in->hostname, account.home, a, &env, e);
	if (r < 0)
		return r;
	json_w_object(w, "process");
	json_w_bool(w, "terminal", c->tty);
	if (in->names_inside)
		plan_names_write(w, user, (const char *const *) c->group_add, c->group_add_n);
	else
		plan_user_write(w, &account);
	json_w_array(w, "args");
	if (c->init) {
		json_w_string(w, NULL, INIT_INSIDE);
		json_w_string(w, NULL, "--");
	}
	for (size_t i = 0; i < argv_n; i++)
		json_w_string(w, NULL, argv[i]);
	json_w_end(w);
	json_w_array(w, "env");
	for (size_t i = 0; i < env.n; i++)
		json_w_string(w, NULL, env.v[i]);
	json_w_end(w);
	json_w_string(w, "cwd", cwd && *cwd ? cwd : "/");
	plan_caps_write(w, caps);
	plan_limits_write(s, w, c);
	json_w_bool(w, "noNewPrivileges", sec->no_new_privileges);
	if (sec->apparmor)
		json_w_string(w, "apparmorProfile", sec->apparmor);
	if (c->oom_score_adj_set)
		json_w_i64(w, "oomScoreAdj", plan_oom_score(s, c->oom_score_adj));
	json_w_end(w);
	return 0;
}

int plan_write(struct svc *s, const struct plan_input *in, struct arena *a, struct buf *out,
	       struct err *e)
{
	const struct workload_config *c = in->config;
	struct json_writer w = JSON_WRITER(out);
	struct plan_security sec;
	const char **caps;
	uint64_t cap_bits;
	int r = plan_security(c, &sec, e);

	if (r >= 0)
		r = plan_caps(s, c, &cap_bits, e);
	if (r >= 0)
		r = plan_cap_names(cap_bits, a, &caps, e);
	if (r < 0)
		return r;
	json_w_object(&w, NULL);
	json_w_string(&w, "ociVersion", "1.2.0");
	r = process_write(s, in, &sec, (const char *const *) caps, &w, a, e);
	json_w_object(&w, "root");
	json_w_string(&w, "path", "rootfs");
	json_w_bool(&w, "readonly", c->read_only);
	json_w_end(&w);
	if (!mode_is(c->uts_mode, "host") && !in->uts_ns) {
		json_w_string(&w, "hostname", in->hostname);
		if (c->domainname && *c->domainname)
			json_w_string(&w, "domainname", c->domainname);
	}
	if (r >= 0)
		r = mounts_write(in, &w, a, e);
	if (c->annotations_n > 0) {
		json_w_object(&w, "annotations");
		for (size_t i = 0; i < c->annotations_n; i++)
			json_w_string(&w, c->annotations[i].key, c->annotations[i].value);
		json_w_end(&w);
	}
	if (r >= 0)
		r = linux_write(s, in, &sec, (const char *const *) caps, &w, a, e);
	json_w_end(&w);
	if (r >= 0 && !buf_ok(out))
		return err_sys(e, -buf_error(out), "write the plan of workload %.12s", in->id);
	return r;
}
