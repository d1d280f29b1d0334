/* SPDX-License-Identifier: Apache-2.0 */
/* Containers of the guest: see the diagram in agent.h. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/log.h"
#include "engine/host.h"
#include "fmt/json.h"
#include "fmt/spec.h"
#include "guest/agent.h"
#include "guest/boot_id.h"
#include "guest/machine.h"
#include "guest/network.h"
#include "guest/root.h"
#include "sys/accounts.h"
#include "sys/mount.h"
#include "sys/path.h"

#define SPEC_ARENA_MAX	(64u << 20)
#define CREATE_DEADLINE (60 * NSEC_PER_SEC)
#define KILL_DEADLINE	(10 * NSEC_PER_SEC)
#define KILL_PIDS_MAX	4096
#define WORKLOADS_MAX	256
#define LAYERS_MAX	200 /* bytes of the path of a root */

static int no_memory(struct err *e)
{
	return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
}

/* ---- the spec ---------------------------------------------------------------------------- */

/* Its sysfs would be of a network that another user namespace owns: the guest's own is bound. */
static int bind_sysfs(struct arena *a, struct spec *s, struct err *e)
{
	struct spec_mount *mounts = arena_array(a, s->mounts_n + 1, sizeof(*mounts));

	if (!mounts)
		return no_memory(e);
	for (size_t i = 0; i < s->mounts_n; i++) {
		struct spec_mount *m = &mounts[i];
		const char **options;

		*m = s->mounts[i];
		if (!m->type || !streq(m->type, "sysfs"))
			continue;
		options = arena_array(a, m->options_n + 2, sizeof(*options));
		if (!options)
			return no_memory(e);
		for (size_t k = 0; k < m->options_n; k++)
			options[k] = m->options[k];
		options[m->options_n++] = "rbind";
		m->options = options;
		m->type = "none";
		m->source = "/sys";
	}
	s->mounts = mounts;
	return 0;
}

/* Whether it is of a namespace that the container shares with the machine. */
static bool is_machines(const struct spec_linux *l, const char *key)
{
	static const struct {
		const char *prefix;
		enum spec_ns_type of;
	} known[] = { { "net", SPEC_NS_NETWORK },	   { "kernel.msg", SPEC_NS_IPC },
		      { "kernel.sem", SPEC_NS_IPC },	   { "kernel.shm", SPEC_NS_IPC },
		      { "fs.mqueue", SPEC_NS_IPC },	   { "kernel.hostname", SPEC_NS_UTS },
		      { "kernel.domainname", SPEC_NS_UTS } };

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		const char *k = key, *p = known[i].prefix;

		while (*p && (*k == *p || (*p == '.' && *k == '/')))
			k++, p++;
		if (!*p && !l->ns[known[i].of].present)
			return *k == '.' || *k == '/' || known[i].of != SPEC_NS_NETWORK;
	}
	return false;
}

/* Those of the network, which is the machine's, and of what a pod shares are not the engine's: it
 * refuses them. So with the names of a machine that is a pod. */
static int part_sysctls(struct arena *a, struct workload *w, struct spec *s, struct err *e)
{
	struct spec_linux *l = &s->linux_;
	struct json_pair *others = arena_array(a, l->sysctl_n + 1, sizeof(*others));
	struct json_pair *ours = arena_array(a, l->sysctl_n + 3, sizeof(*ours));
	size_t n = 0;

	if (!others || !ours)
		return no_memory(e);
	for (size_t i = 0; i < l->sysctl_n; i++) {
		if (is_machines(l, l->sysctl[i].key))
			ours[w->sysctls_n++] = l->sysctl[i];
		else
			others[n++] = l->sysctl[i];
	}
	if (!l->ns[SPEC_NS_UTS].present && s->hostname && *s->hostname)
		ours[w->sysctls_n++] = (struct json_pair){ "kernel.hostname", s->hostname };
	if (!l->ns[SPEC_NS_UTS].present && s->domainname && *s->domainname)
		ours[w->sysctls_n++] = (struct json_pair){ "kernel.domainname", s->domainname };
	if (!l->ns[SPEC_NS_UTS].present)
		s->hostname = s->domainname = NULL;
	w->sysctls = ours;
	l->sysctl = others;
	l->sysctl_n = n;
	return 0;
}

/* The one of another container, which must be running. */
static int join_pids(struct arena *a, struct workload *w, const char *other, struct spec_linux *l,
		     struct err *e)
{
	struct workload *o = workload_find(w->agent, other, e);
	const char *path;

	if (!o)
		return -ENOENT;
	if (!o->in || o->in->pid <= 0)
		return err_set(e, ERR_CONFLICT, ESRCH,
			       "container '%.128s', whose processes it shall see, is not running",
			       other);
	path = arena_printf(a, "/proc/%d/ns/pid", (int) o->in->pid);
	l->ns[SPEC_NS_PID] = (struct spec_ns){ .present = true, .path = path };
	return path ? 0 : no_memory(e);
}

/*
 * What is the host's is left out: its hooks (those that are programs of the container are not), its
 * security modules' labels, its cgroup's place. The network is the machine's: a namespace of its
 * own would have nothing in it but a loopback.
 */
static int adapt(struct arena *a, struct workload *w, struct spec *s, struct err *e)
{
	struct spec_process *p = arena_alloc(a, sizeof(*p));
	struct spec_linux *l = &s->linux_;
	bool network;
	int r;

	if (!p)
		return no_memory(e);
	*p = *s->process;
	p->apparmor_profile = p->selinux_label = NULL;
	s->process = p;
	l->mount_label = NULL;
	l->cgroups_path = NULL;
	for (int k = 0; k < SPEC_HOOK_N_; k++)
		if (k != SPEC_HOOK_START_CONTAINER)
			s->hooks[k] = (struct spec_hook_list){};
	if (!w->agent->machine && !l->ns[SPEC_NS_NETWORK].present)
		return 0;
	network = l->ns[SPEC_NS_NETWORK].present;
	l->ns[SPEC_NS_NETWORK] = (struct spec_ns){};
	r = part_sysctls(a, w, s, e);
	if (r == 0 && network && l->ns[SPEC_NS_USER].present)
		r = bind_sysfs(a, s, e);
	return r;
}

static int read_spec(struct workload *w, const struct agent_create *m, struct err *e)
{
	struct arena *a = &w->arena;
	struct spec *s = arena_alloc(a, sizeof(*s));
	/* A copy: the request's bytes are gone when the container runs. */
	const char *text = arena_strdup(a, m->config);
	const struct spec *decoded;
	const struct json *root;
	int r;

	if (!s || !text)
		return no_memory(e);
	if (json_parse(a, str_of(text), &root, e) < 0 || spec_decode(a, root, &decoded, e) < 0)
		return err_ctx(e, "config");
	*s = *decoded;
	if (!s->process)
		return err_set(e, ERR_INVALID, EINVAL, "config: no process section");
	r = adapt(a, w, s, e);
	if (r == 0 && *m->pids_of)
		r = join_pids(a, w, m->pids_of, &s->linux_, e);
	if (r == 0)
		w->spec = s;
	return r;
}

/* ---- making it --------------------------------------------------------------------------- */

/* An id is the name of a directory, of control groups. */
static bool id_good(const char *id)
{
	size_t n = strspn(id, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_.+-");

	return n > 0 && n <= 128 && !id[n] && !streq(id, ".") && !streq(id, "..");
}

static struct workload *look_for(struct agent *a, const char *id)
{
	struct workload *w = a->workloads;

	while (w && !streq(w->id, id))
		w = w->next;
	return w;
}

struct workload *workload_find(struct agent *a, const char *id, struct err *e)
{
	struct workload *w = look_for(a, id);

	if (!w)
		(void) err_set(e, ERR_NOT_FOUND, ENOENT, "no container '%.128s' in this machine",
			       id);
	return w;
}

static void layers_path(const struct workload *w, char ret[static LAYERS_MAX])
{
	(void) snprintf(ret, LAYERS_MAX, "/proc/self/fd/%d/layers.%s", w->agent->run_fd, w->id);
}

static void forget(struct workload *w)
{
	for (struct workload **p = &w->agent->workloads; *p; p = &(*p)->next)
		if (*p == w) {
			*p = w->next;
			break;
		}
	session_forget_workload(w);
	instance_free(w->in);
	close_fd(&w->upper_fd);
	if (w->layers_fd >= 0) {
		char path[LAYERS_MAX];

		close_fd(&w->layers_fd);
		layers_path(w, path);
		(void) mount_detach(path);
		(void) rmdir(path);
	}
	arena_fini(&w->arena);
	free(w);
}

/* Of the namespace that its init is in: the caller is there meanwhile. */
static int set_hostname(const struct workload *w, const char *hostname, struct err *e)
{
	auto_fd int own = open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC), theirs = FD_NONE;
	char path[64];
	int r = 0;

	(void) snprintf(path, sizeof(path), "/proc/%d/ns/uts", (int) w->in->pid);
	theirs = open(path, O_RDONLY | O_CLOEXEC);
	if (own < 0 || theirs < 0 || setns(theirs, CLONE_NEWUTS) < 0)
		return err_sys(e, errno, "enter the container's UTS namespace");
	if (sethostname(hostname, strlen(hostname)) < 0)
		r = err_sys(e, errno, "hostname '%.100s'", hostname);
	if (setns(own, CLONE_NEWUTS) < 0)
		r = err_sys(e, errno, "return to the own UTS namespace");
	return r;
}

int workload_rename(struct workload *w, const char *id, const char *hostname, struct err *e)
{
	const struct spec_ns *uts = &w->spec->linux_.ns[SPEC_NS_UTS];
	int r = 0;

	if (*id && !streq(id, w->id) && !id_good(id))
		return err_set(e, ERR_INVALID, EINVAL, "'%.128s' is no id of a container", id);
	if (*id && !streq(id, w->id) && look_for(w->agent, id))
		return err_set(e, ERR_CONFLICT, EEXIST, "there is a container '%s' already", id);
	/* Without a namespace of its own it has the machine's name, which SETUP changes. */
	if (*hostname && w->in && w->in->pid > 0 && uts->present && !uts->path)
		r = set_hostname(w, hostname, e);
	if (r == 0 && *id && !streq(id, w->id) && w->in && w->in->pid > 0)
		r = boot_id_renew(w->agent->run_fd, w->in->pid, e);
	if (r == 0 && *id)
		(void) snprintf(w->id, sizeof(w->id), "%s", id);
	return r;
}

void workload_remove(struct workload *w)
{
	struct err e = {};

	if (w->in && engine_kill(w->in, clock_deadline(KILL_DEADLINE), &e) < 0)
		log_warn("a container does not end: %s id=%s", e.msg, w->id);
	forget(w);
}

int workload_new(struct agent *a, const struct agent_create *m, struct workload **ret_w,
		 struct err *e)
{
	struct engine_caps caps;
	const struct engine_ops *ops;
	struct workload *w;
	struct host host;
	size_t n = 0;
	int r;

	if (!id_good(m->id))
		return err_set(e, ERR_INVALID, EINVAL, "'%.128s' is no id of a container", m->id);
	if (look_for(a, m->id))
		return err_set(e, ERR_CONFLICT, EEXIST, "there is a container '%s' already", m->id);
	for (w = a->workloads; w; w = w->next)
		n++;
	w = n < WORKLOADS_MAX ? calloc(1, sizeof(*w)) : NULL;
	if (!w)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "no room for another container");
	w->agent = a;
	w->layers_fd = w->upper_fd = FD_NONE;
	w->arena = ARENA_INIT(SPEC_ARENA_MAX);
	(void) snprintf(w->id, sizeof(w->id), "%s", m->id);
	w->next = a->workloads;
	a->workloads = w;
	r = read_spec(w, m, e);
	r = r < 0 ? r : host_probe(&host, e);
	r = r < 0 ? r : engine_pick("container", &host, w->spec, &ops, &caps, e);
	if (r == 0) {
		w->in = instance_new(ops, &caps);
		r = w->in ? 0 : no_memory(e);
	}
	if (r < 0) {
		forget(w);
		return r;
	}
	*ret_w = w;
	return 0;
}

/* Compiled filters are kept: compiling takes longer than anything else of an exec. */
static int cache_of(const struct workload *w)
{
	int fd = w->spec->linux_.seccomp ? fcntl(w->agent->run_fd, F_DUPFD_CLOEXEC, 3) : -1;

	return fd < 0 ? FD_NONE : fd;
}

/*
 * A root on a disk is also looked at without what is mounted in the container. The kernel makes a
 * copy of a mount only of one that is attached (Linux before 6.15): this one is, here.
 */
static int keep_layers(struct workload *w, struct root *root, struct err *e)
{
	char path[LAYERS_MAX];
	int r;

	layers_path(w, path);
	r = dir_make_all(path, 0700);
	r = r < 0 ? r : mount_attach(root->fd, AT_FDCWD, path);
	if (r < 0)
		return err_sys(e, -r, "attach the root of container '%s'", w->id);
	w->layers_fd = take_fd(&root->fd);
	w->upper_fd = take_fd(&root->upper_fd);
	r = root->fd = mount_clone(w->layers_fd, "", false);
	return r < 0 ? err_sys(e, -r, "clone the root of container '%s'", w->id) : 0;
}

/* The root of a disk, and what a host does in one that it sees itself. */
static int make_root(struct workload *w, const struct agent_create *m, struct root *root,
		     struct err *e)
{
	const char *cwd = w->spec->process->cwd;
	char dir[64];
	int r;

	(void) snprintf(dir, sizeof(dir), "/proc/self/fd/%d/lower", w->agent->run_fd);
	if (*m->upper_disk && w->agent->machine)
		machine_modules();
	r = root_make(m, dir, root, e);
	if (r < 0 || root->upper_fd < 0)
		return r;
	auto_fd int there = path_open_in(root->fd, cwd, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	if (there < 0) {
		auto_fd int made = path_make_dir(root->fd, cwd, 0755);

		if (made < 0)
			return err_sys(e, -made, "make the working directory '%s' of the workload",
				       cwd);
	}
	return keep_layers(w, root, e);
}

/* ---- whose processes they are ------------------------------------------------------------ */

static bool has_home(const struct spec_process *p)
{
	for (size_t i = 0; i < p->env_n; i++) {
		if (str_starts(str_of(p->env[i]), "HOME="))
			return true;
	}
	return false;
}

/* By the files that the container has now. root_fd: its root. */
static int find_user(struct arena *a, int root_fd, const struct spec_process *p,
		     struct spec_process *ret, struct err *e)
{
	const struct spec_user *u = &p->user;
	struct account found;
	const char **env;
	int r;

	*ret = *p;
	if (!u->username)
		return 0;
	r = accounts_find(root_fd, u->username, (const char *const *) u->group_names,
			  u->group_names_n, a, &found, e);
	if (r < 0)
		return r;
	ret->user.uid = found.uid;
	ret->user.gid = found.gid;
	ret->user.additional_gids = (struct spec_ids){ found.groups, found.groups_n };
	if (has_home(p))
		return 0;
	env = arena_array(a, p->env_n + 2, sizeof(*env));
	if (!env)
		return no_memory(e);
	for (size_t i = 0; i < p->env_n; i++)
		env[i] = p->env[i];
	env[p->env_n] = arena_printf(a, "HOME=%s", found.home);
	ret->env = env;
	ret->env_n = p->env_n + 1;
	return env[p->env_n] ? 0 : no_memory(e);
}

static int find_init_user(struct workload *w, int root_fd, struct err *e)
{
	struct spec *s = arena_alloc(&w->arena, sizeof(*s));
	struct spec_process *p = arena_alloc(&w->arena, sizeof(*p));
	auto_fd int share = FD_NONE;
	int r;

	if (!w->spec->process->user.username)
		return 0;
	if (!s || !p)
		return no_memory(e);
	if (root_fd < 0)
		root_fd = share = open(w->spec->root->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root_fd < 0)
		return err_sys(e, errno, "open '%.200s'", w->spec->root->path);
	*s = *w->spec;
	r = find_user(&w->arena, root_fd, s->process, p, e);
	s->process = p;
	if (r == 0)
		w->spec = s;
	return r;
}

int workload_create(struct workload *w, const struct agent_create *m, const int stdio[static 3],
		    struct err *e)
{
	struct root root = ROOT_INIT;
	auto_fd int cache = cache_of(w), top = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct bundle b = { .id = w->id,
			    .spec = w->spec,
			    .bundle_fd = top,
			    .root_fd = FD_NONE,
			    .stdio = { stdio[0], stdio[1], stdio[2] },
			    .console_socket = FD_NONE,
			    .bound = true,
			    .cache_fd = cache,
			    .state_fd = FD_NONE };
	int r = 0;

	if (top < 0)
		return err_sys(e, errno, "open /");
	if (w->sysctls_n && !w->agent->machine)
		return err_set(e, ERR_UNSUPPORTED, EPERM,
			       "the namespaces here are not the agent's to set");
	for (size_t i = 0; r == 0 && i < w->sysctls_n; i++)
		r = machine_sysctl(w->sysctls[i].key, w->sysctls[i].value, e);
	if (r == 0 && *m->lower)
		r = make_root(w, m, &root, e);
	if (r == 0 && m->files_only) {
		instance_free(TAKE(w->in));
	} else {
		r = r < 0 ? r : find_init_user(w, root.fd, e);
		b.spec = w->spec;
		b.root_fd = root.fd;
		r = r < 0 ? r : engine_create(w->in, &b, clock_deadline(CREATE_DEADLINE), e);
	}
	close_fd(&root.fd);
	close_fd(&root.upper_fd);
	return r;
}

static int ended(const struct workload *w, struct err *e)
{
	return err_set(e, ERR_CONFLICT, ESRCH, "container '%s' is not running", w->id);
}

int workload_exec(struct workload *w, const struct spec_process *p, const struct agent_exec *m,
		  const int stdio[static 3], struct exec *ret, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(1u << 20);
	auto_fd int cache = cache_of(w), root = FD_NONE;
	struct spec_process own;
	struct exec_spec spec = { .process = &own,
				  .seccomp = w->spec->linux_.seccomp,
				  .cache_fd = cache,
				  .stdio = { stdio[0], stdio[1], stdio[2] },
				  .console_socket = FD_NONE,
				  .cgroups = m->cgroups.v,
				  .cgroups_n = m->cgroups.n,
				  .personality_set = w->spec->linux_.personality_set,
				  .personality = w->spec->linux_.personality,
				  .memory_policy = w->spec->linux_.memory_policy };

	if (!w->in)
		return ended(w, e);
	if (p->user.username) {
		char path[40];

		(void) snprintf(path, sizeof(path), "/proc/%d/root", (int) w->in->pid);
		root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (root < 0)
			return err_sys(e, errno, "open the root of container '%s'", w->id);
	}
	if (find_user(&a, root, p, &own, e) < 0)
		return -ENOENT;
	own.apparmor_profile = own.selinux_label = NULL; /* the host's, as in adapt() */
	return engine_exec(w->in, &spec, ret, e);
}

/* ---- while it runs ----------------------------------------------------------------------- */

static int signal_all(struct workload *w, int signo, struct err *e)
{
	auto_free pid_t *pids = calloc(KILL_PIDS_MAX, sizeof(*pids));
	size_t n = 0;
	int r;

	if (!pids)
		return no_memory(e);
	r = engine_processes(w->in, pids, KILL_PIDS_MAX, &n, e);
	for (size_t i = 0; r == 0 && i < n && i < KILL_PIDS_MAX; i++)
		(void) kill(pids[i], signo); /* those that ended meanwhile need none */
	return r;
}

int workload_signal(struct workload *w, int signo, bool all, struct err *e)
{
	int r;

	if (!w->in)
		return ended(w, e);
	r = all ? signal_all(w, signo, e) : engine_signal(w->in, signo, e);
	/* A frozen process does not die. */
	if (r == 0 && signo == SIGKILL && w->in->state == ENGINE_PAUSED)
		r = engine_resume(w->in, e);
	return r;
}

int workload_update(struct workload *w, const char *resources, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(1u << 20);
	const struct spec_resources *res;
	const struct json *root;

	if (!w->in)
		return ended(w, e);
	if (json_parse(&a, str_of(resources), &root, e) < 0 ||
	    spec_resources_decode(&a, root, &res, e) < 0)
		return err_ctx(e, "resources");
	return engine_update(w->in, res, e);
}

bool workload_released(struct agent *a, pid_t pid)
{
	for (struct workload *w = a->workloads; w; w = w->next) {
		struct err e;

		if (w->holder != pid)
			continue;
		w->holder = 0;
		if (w->in && w->in->state == ENGINE_PAUSED && engine_resume(w->in, &e) < 0)
			log_warn("a container stands still: %s id=%s", e.msg, w->id);
		return true;
	}
	return false;
}

void workload_ended(struct workload *w, int code)
{
	const struct spec_ns *pids = &w->spec->linux_.ns[SPEC_NS_PID];
	struct usage u;
	struct err e = {};

	w->ended = true;
	w->code = code;
	w->oom = engine_usage(w->in, &u, &e) == 0 && u.oom_kills != UINT64_MAX && u.oom_kills > 0;
	/* Nothing of it may write any more. With the init of a pid namespace the kernel has ended
	 * it all. */
	if (pids->present && !pids->path)
		engine_exited(w->in);
	else if (engine_kill(w->in, clock_deadline(KILL_DEADLINE), &e) < 0)
		log_warn("what is left of a container does not end: %s id=%s", e.msg, w->id);
	instance_free(TAKE(w->in));
	/* Its end is told after this: what it wrote is on the host then. */
	if (w->upper_fd >= 0 && syncfs(w->upper_fd) < 0)
		log_warn("the disk is not synchronised: %s id=%s", strerror(errno), w->id);
	if (w->agent->machine)
		machine_flush();
}
