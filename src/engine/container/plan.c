/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/container/plan.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <linux/mempolicy.h>
#include <linux/sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/log.h"
#include "base/num.h"
#include "engine/container/cpus.h"
#include "engine/container/groups.h"
#include "engine/container/hooks.h"
#include "engine/container/listener.h"
#include "engine/container/seccomp.h"
#include "sys/caps.h"

static const unsigned ns_flag[SPEC_NS_N_] = {
	[SPEC_NS_USER] = CLONE_NEWUSER,	    [SPEC_NS_MOUNT] = CLONE_NEWNS,
	[SPEC_NS_PID] = CLONE_NEWPID,	    [SPEC_NS_NETWORK] = CLONE_NEWNET,
	[SPEC_NS_IPC] = CLONE_NEWIPC,	    [SPEC_NS_UTS] = CLONE_NEWUTS,
	[SPEC_NS_CGROUP] = CLONE_NEWCGROUP, [SPEC_NS_TIME] = CLONE_NEWTIME,
};

static int no_memory(struct err *e)
{
	return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
}

int plan_own(struct plan *p, int fd)
{
	int *slot = fd < 0 ? NULL : arena_push(p->a, &p->fds, &p->fds_n, sizeof(*slot));

	if (fd < 0)
		return fd;
	if (!slot) {
		(void) close(fd);
		return -ENOMEM;
	}
	*slot = fd;
	return fd;
}

void plan_close(struct plan *p)
{
	for (size_t i = 0; i < p->fds_n; i++)
		(void) close(p->fds[i]);
	p->fds_n = 0;
}

/*
 * CLONE_NEWCGROUP takes the cgroups of that moment for roots, and a time namespace has its offsets
 * written before anybody is in it: those two the child makes itself.
 */
static int plan_namespaces(struct plan *p, struct err *e)
{
	const struct spec_linux *l = &p->spec->linux_;

	for (int t = 0; t < SPEC_NS_N_; t++) {
		int kind;

		p->join_fd[t] = FD_NONE;
		if (!l->ns[t].present)
			continue;
		p->all_flags |= ns_flag[t];
		if (!l->ns[t].path) {
			if (t == SPEC_NS_CGROUP || t == SPEC_NS_TIME)
				p->unshare_flags |= ns_flag[t];
			else
				p->clone_flags |= ns_flag[t];
			continue;
		}
		p->join_fd[t] = plan_own(p, open(l->ns[t].path, O_RDONLY | O_CLOEXEC));
		if (p->join_fd[t] < 0)
			return err_sys(e, errno, "namespace %s at '%s'",
				       spec_ns_name((enum spec_ns_type) t), l->ns[t].path);
		kind = ns_kind(p->join_fd[t]);
		if (kind != (int) ns_flag[t])
			return err_set(e, ERR_INVALID, EINVAL, "'%s' is not a %s namespace",
				       l->ns[t].path, spec_ns_name((enum spec_ns_type) t));
	}
	p->new_user = (p->clone_flags & CLONE_NEWUSER) != 0;
	p->fork_inside = p->join_user = p->join_fd[SPEC_NS_USER] >= 0;
	p->process.joined_user = p->new_user || p->join_user;
	return 0;
}

static struct ns_map *maps_of(struct arena *a, const struct spec_id_map *m, size_t n)
{
	struct ns_map *maps = arena_array(a, n ? n : 1, sizeof(*maps));

	for (size_t i = 0; maps && i < n; i++)
		maps[i] = (struct ns_map){ m[i].container_id, m[i].host_id, m[i].size };
	return maps;
}

/* Every id we have ourselves, as itself: what a user namespace without mappings means to crun. */
static int own_maps(struct plan *p, const char *file, struct ns_map **ret_maps, size_t *ret_n,
		    struct err *e)
{
	auto_buf struct buf text = BUF_INIT(1 << 16);
	struct ns_map *maps = NULL;
	size_t n = 0;
	int r = file_read(p->proc_fd, file, &text);

	if (r < 0)
		return err_sys(e, -r, "/proc/%s", file);
	for (struct str rest = buf_str(&text); rest.p && rest.n > 0;) {
		struct str line = str_cut(rest, '\n', &rest), word[3] = { { 0 } };
		struct ns_map *m;
		uint32_t first, count;

		for (size_t i = 0; i < 3 && line.p;) {
			word[i] = str_cut(line, ' ', &line);
			i += word[i].n > 0;
		}
		if (num_parse_u32(word[0], 0, UINT32_MAX, &first) < 0 ||
		    num_parse_u32(word[2], 1, UINT32_MAX, &count) < 0)
			continue;
		m = arena_push(p->a, &maps, &n, sizeof(*maps));
		if (!m)
			return no_memory(e);
		*m = (struct ns_map){ first, first, count };
	}
	*ret_maps = maps;
	*ret_n = n;
	return 0;
}

static int plan_maps(struct plan *p, struct err *e)
{
	const struct spec_linux *l = &p->spec->linux_;

	if (p->new_user && !l->uid_maps_n && !l->gid_maps_n) {
		int r = own_maps(p, "self/uid_map", &p->uid_maps, &p->uid_maps_n, e);

		return r < 0 ? r : own_maps(p, "self/gid_map", &p->gid_maps, &p->gid_maps_n, e);
	}
	p->uid_maps = maps_of(p->a, l->uid_maps, l->uid_maps_n);
	p->gid_maps = maps_of(p->a, l->gid_maps, l->gid_maps_n);
	if (!p->uid_maps || !p->gid_maps)
		return no_memory(e);
	p->uid_maps_n = l->uid_maps_n;
	p->gid_maps_n = l->gid_maps_n;
	return 0;
}

/* "net.ipv4.ip_forward" and "net/ipv4/conf/eth0.1/forwarding" to files below /proc/sys. */
static int plan_sysctls(struct plan *p, struct err *e)
{
	const struct spec_linux *l = &p->spec->linux_;
	const char **files = arena_array(p->a, l->sysctl_n + 1, sizeof(*files));
	const char **values = arena_array(p->a, l->sysctl_n + 1, sizeof(*values));

	if (!files || !values)
		return no_memory(e);
	for (size_t i = 0; i < l->sysctl_n; i++) {
		char *file = arena_printf(p->a, "sys/%s", l->sysctl[i].key);
		bool slashes = strchr(l->sysctl[i].key, '/') &&
			       (!strchr(l->sysctl[i].key, '.') ||
				strchr(l->sysctl[i].key, '/') < strchr(l->sysctl[i].key, '.'));

		if (!file)
			return no_memory(e);
		for (char *c = file + 4; *c && !slashes; c++)
			*c = *c == '.' ? '/' : *c == '/' ? '.' : *c;
		files[i] = file;
		values[i] = l->sysctl[i].value;
	}
	p->sysctl_files = files;
	p->sysctl_values = values;
	p->sysctls_n = l->sysctl_n;
	return 0;
}

static int plan_time(struct plan *p, struct err *e)
{
	const struct spec_linux *l = &p->spec->linux_;
	const char *mono = "", *boot = "";

	if (!(p->unshare_flags & CLONE_NEWTIME) || (!l->monotonic.set && !l->boottime.set))
		return 0;
	if (l->monotonic.set)
		mono = arena_printf(p->a, "monotonic %lld %u\n", (long long) l->monotonic.secs,
				    l->monotonic.nanosecs);
	if (l->boottime.set)
		boot = arena_printf(p->a, "boottime %lld %u\n", (long long) l->boottime.secs,
				    l->boottime.nanosecs);
	if (!mono || !boot)
		return no_memory(e);
	p->time_offsets = arena_printf(p->a, "%s%s", mono, boot);
	return p->time_offsets ? 0 : no_memory(e);
}

/* The kernel's own procfs and nothing somebody mounted in its place (CVE-2019-16884). */
static int plan_proc(struct plan *p, struct err *e)
{
	struct statfs fs;

	p->proc_fd = plan_own(p, open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC));
	if (p->proc_fd < 0)
		return err_sys(e, errno, "/proc");
	if (fstatfs(p->proc_fd, &fs) < 0 || fs.f_type != PROC_SUPER_MAGIC)
		return err_set(e, ERR_UNSUPPORTED, ENOTSUP, "/proc is not a procfs");
	return 0;
}

static size_t env_name_len(const char *z)
{
	return strcspn(z, "=");
}

/* Later values of a name replace earlier ones, in their place. */
static int plan_env(struct plan *p, const struct spec_process *s, struct err *e)
{
	struct plan_process *pp = &p->process;

	pp->env = arena_array(p->a, s->env_n + 2, sizeof(*pp->env));
	if (!pp->env)
		return no_memory(e);
	pp->home_missing = true;
	for (size_t i = 0; i < s->env_n; i++) {
		const char *v = s->env[i];
		size_t n = env_name_len(v), at = 0;

		if (n == 0)
			continue;
		/* A few dozen at most in practice: the square is smaller than a table. */
		while (at < pp->env_n &&
		       (strncmp(pp->env[at], v, n) != 0 || env_name_len(pp->env[at]) != n))
			at++;
		pp->env[at] = arena_strdup(p->a, v);
		if (!pp->env[at])
			return no_memory(e);
		pp->env_n = at == pp->env_n ? at + 1 : pp->env_n;
		if (n == 4 && strncmp(v, "PATH", 4) == 0 && v[4] == '=')
			pp->path_list = v + 5;
		if (n == 4 && strncmp(v, "HOME", 4) == 0)
			pp->home_missing = v[4] != '=' || !v[5];
	}
	return 0;
}

/* LSM labels are written by the process itself, just before exec, through the verified procfs. */
static int plan_lsm(struct plan_process *pp, const struct spec_process *s, struct plan *p,
		    struct err *e)
{
	pp->lsm_fd = FD_NONE;
	if (s->apparmor_profile && s->apparmor_profile[0])
		pp->lsm_text = arena_printf(p->a, "exec %s", s->apparmor_profile);
	else if (s->selinux_label && s->selinux_label[0])
		pp->lsm_text = s->selinux_label;
	else
		return 0;
	return pp->lsm_text ? 0 : no_memory(e);
}

/* What the kernel would refuse with a bare EINVAL, in the words that callers of runc know. */
static int plan_memory_policy(struct plan *p, struct err *e)
{
	struct plan_process *pp = &p->process;
	const struct spec_memory_policy *m = pp->memory_policy;
	const char *nodes = m && m->nodes ? m->nodes : "";
	int n = 0;

	if (!m)
		return 0;
	if (!m->mode_set)
		return err_set(e, ERR_INVALID, EINVAL,
			       "linux.memoryPolicy: invalid memory policy mode: missing");
	pp->memory_nodes = arena_alloc(p->a, CPUS_MAX / 8);
	if (!pp->memory_nodes)
		return no_memory(e);
	if (cpus_parse(nodes, pp->memory_nodes, &pp->memory_nodes_max) < 0)
		return err_set(e, ERR_INVALID, EINVAL,
			       "linux.memoryPolicy.nodes: invalid memory policy nodes: '%.60s' is "
			       "no list of nodes",
			       nodes);
	for (size_t i = 0; i < CPUS_MAX / 64; i++)
		n += __builtin_popcountll(pp->memory_nodes[i]);
	if (n > 0 && (m->mode == MPOL_DEFAULT || m->mode == MPOL_LOCAL))
		return err_set(e, ERR_INVALID, EINVAL,
			       "linux.memoryPolicy: this memory policy mode requires 0 nodes but "
			       "got %d: leave 'nodes' out",
			       n);
	if (n == 0 && m->mode != MPOL_DEFAULT && m->mode != MPOL_LOCAL && m->mode != MPOL_PREFERRED)
		return err_set(e, ERR_INVALID, EINVAL,
			       "linux.memoryPolicy: this memory policy mode requires at least one "
			       "node but got 0: name it in 'nodes'");
	return 0;
}

int plan_process_make(struct plan *p, const struct spec_process *s, struct err *e)
{
	struct plan_process *pp = &p->process;
	int r = plan_env(p, s, e);

	if (r < 0)
		return r;
	pp->spec = s;
	pp->caps = s->caps ? *s->caps : (struct spec_caps){};
	r = plan_lsm(pp, s, p, e);
	if (r < 0)
		return r;
	if (p->spec)
		pp->memory_policy = p->spec->linux_.memory_policy;
	return plan_memory_policy(p, e);
}

int plan_preserve(struct plan *p, const int *fds, size_t n, struct err *e)
{
	p->process.preserve_fds = arena_array(p->a, n ? n : 1, sizeof(*fds));
	if (!p->process.preserve_fds)
		return no_memory(e);
	if (n)
		memcpy(p->process.preserve_fds, fds, n * sizeof(*fds));
	p->process.preserve_fds_n = n;
	return 0;
}

static int plan_stdio(struct plan *p, const struct bundle *b, struct err *e)
{
	p->host_dev_null = plan_own(p, open("/dev/null", O_RDWR | O_CLOEXEC | O_NOCTTY));
	if (p->host_dev_null < 0)
		return err_sys(e, errno, "/dev/null");
	for (int i = 0; i < 3; i++) {
		p->process.stdio[i] = p->spec->process && p->spec->process->terminal ? FD_NONE
				      : b->stdio[i] >= 0			     ? b->stdio[i]
							 : p->host_dev_null;
	}
	return plan_preserve(p, b->preserve_fds, b->preserve_fds_n, e);
}

const char *plan_path_of(struct plan *p, int fd)
{
	char link[40], path[4096];
	ssize_t n;

	(void) snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n <= 0 || path[0] != '/')
		return NULL;
	path[n] = '\0';
	return arena_strdup(p->a, path);
}

/*
 * Hooks that run before the pivot find the container's files by the path of its root (they read it
 * from the bundle's config.json): then it is mounted there.
 */
static int plan_hook_paths(struct plan *p, const struct bundle *b, struct err *e)
{
	const struct spec_hook_list *h = b->spec->hooks;
	int from = b->bundle_fd >= 0 ? b->bundle_fd : AT_FDCWD;
	auto_fd int root = FD_NONE;

	p->host_mounts = !b->spec->linux_.ns[SPEC_NS_MOUNT].present;
	if (!p->host_mounts && !h[SPEC_HOOK_PRESTART].n && !h[SPEC_HOOK_CREATE_RUNTIME].n &&
	    !h[SPEC_HOOK_CREATE_CONTAINER].n)
		return 0;
	if (b->spec->root && b->root_fd < 0)
		root = openat(from, b->spec->root->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0 && b->root_fd < 0)
		return err_sys(e, errno, "root file system");
	p->root_path = plan_path_of(p, root >= 0 ? root : b->root_fd);
	p->bundle_path = b->bundle_fd >= 0 ? plan_path_of(p, b->bundle_fd) : NULL;
	return 0;
}

static bool asked_for(const struct spec *s, const char *annotation)
{
	const char *v = spec_annotation(s, annotation);

	return v && !streq(v, "0") && !streq(v, "false");
}

/* What callers ask for in the words of crun. */
static int plan_annotations(struct plan *p, struct err *e)
{
	const struct spec_hook_list *h = p->spec->hooks;
	const struct spec_seccomp *filter = p->spec->linux_.seccomp;
	int fds[2], r = 0;

	p->process.keep_groups = asked_for(p->spec, "run.oci.keep_original_groups");
	if (filter && asked_for(p->spec, "run.oci.seccomp_fail_unknown_syscall"))
		r = seccomp_check_names(filter, e);
	if (r < 0)
		return r;
	p->hook_output[0] = p->hook_output[1] = FD_NONE;
	if (!h[SPEC_HOOK_CREATE_CONTAINER].n && !h[SPEC_HOOK_START_CONTAINER].n)
		return 0;
	/* Now: the hooks run where the host's files are not seen any more. */
	r = hooks_open_output(p->spec, fds, e);
	if (r < 0)
		return r;
	p->hook_output[0] = fds[0] < 0 ? FD_NONE : plan_own(p, fds[0]);
	p->hook_output[1] = fds[1] < 0 ? FD_NONE : plan_own(p, fds[1]);
	return 0;
}

/* Whether nobody needs to hear of it before its program runs. */
static bool plan_at_once(const struct bundle *b)
{
	const struct spec *s = b->spec;

	for (int k = 0; k < SPEC_HOOK_N_; k++) {
		if (s->hooks[k].n && k != SPEC_HOOK_POSTSTOP)
			return false;
	}
	return b->at_once && b->state_fd >= 0 && !b->pid_file && s->process &&
	       !s->process->terminal && !s->linux_.net_devices_n &&
	       !(s->linux_.seccomp && seccomp_notifies(s->linux_.seccomp)) &&
	       !s->linux_.intel_rdt && !s->linux_.ns[SPEC_NS_USER].path &&
	       !s->linux_.ns[SPEC_NS_PID].path;
}

int plan_make(struct plan *ret_p, struct arena *a, const struct bundle *b, struct groups *g,
	      struct err *e)
{
	struct plan *p = ret_p;
	const struct spec_process *s = b->spec->process;
	int r;

	*p = (struct plan){ .a = a,
			    .spec = b->spec,
			    .id = b->id,
			    .groups = g,
			    .groups_due = g && g->begun,
			    .no_pivot = b->no_pivot,
			    .root_fd = FD_NONE,
			    .sync_fd = FD_NONE,
			    .gate_fd = FD_NONE };
	p->process.new_keyring = !b->no_new_keyring;
	p->bound = b->bound;
	p->at_once = plan_at_once(b);
	p->unprivileged = !caps_effective(CAP_SYS_ADMIN);
	r = plan_namespaces(p, e);
	r = r < 0 ? r : plan_proc(p, e);
	r = r < 0 ? r : plan_maps(p, e);
	r = r < 0 ? r : plan_sysctls(p, e);
	r = r < 0 ? r : plan_time(p, e);
	r = r < 0 ? r : plan_stdio(p, b, e);
	p->process.personality_set = b->spec->linux_.personality_set;
	p->process.personality = b->spec->linux_.personality;
	if (r == 0 && s)
		r = plan_process_make(p, s, e);
	if (r == 0 && b->spec->linux_.seccomp)
		r = seccomp_compile(a, b->cache_fd, b->spec->linux_.seccomp, &p->process.seccomp,
				    &p->process.seccomp_flags, e);
	if (r == 0 && p->process.seccomp.len)
		log_debug("seccomp filter flags: %u", p->process.seccomp_flags);
	if (r == 0 && p->process.seccomp.len)
		r = listener_check_filter(b->spec, &p->process.seccomp, e);
	r = r < 0 ? r : plan_root(p, b, e);
	r = r < 0 ? r : plan_mounts(p, b, e);
	r = r < 0 ? r : plan_devices(p, e);
	r = r < 0 ? r : plan_hook_paths(p, b, e);
	r = r < 0 ? r : plan_annotations(p, e);
	if (r == 0 && b->spec->hooks[SPEC_HOOK_CREATE_CONTAINER].n +
			      b->spec->hooks[SPEC_HOOK_START_CONTAINER].n)
		r = hooks_state_text(a, b->spec, b->id, b->bundle_fd, &p->state_head,
				     &p->state_tail, e);
	return r;
}
