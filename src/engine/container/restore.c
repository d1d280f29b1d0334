/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A restore by CRIU, in place of create and start. What the spec says of cgroups, limits, root,
 * mounts and namespaces is made here as for a new container (the same plan); CRIU gets it as
 * external mounts and inherited descriptors and brings the processes back into it, the init as our
 * child (rst_sibling). The order, by what CRIU asks back:
 *
 *	setup-namespaces       the init exists: its pid; the runtime's hooks
 *	post-setup-namespaces  its own network namespace: loopback and sysctls
 *	orphan-pts-master      the terminal's master
 *	post-restore           nothing runs yet: the host name
 *	(its answer, its end)  limits that it would have had to fit in itself; the pid file
 *
 * Nothing of the container runs before CRIU's last step; on a failure it kills what it made, and
 * engine_restore destroys the rest. The images may be hostile: of what this program reads itself
 * nothing goes beyond the spec, and no link is followed.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/log.h"
#include "base/num.h"
#include "engine/container/container.h"
#include "engine/container/groups.h"
#include "engine/container/hooked.h"
#include "engine/container/hooks.h"
#include "engine/container/restore.h"
#include "fmt/snapshot.h"
#include "sys/pidfd.h"
#include "sys/process.h"

#define PLAN_MAX       (16u << 20) /* bytes */
#define CRIU_LOG_LEVEL 4
#define RESTORE_LOG    "restore.log"
#define REMOVE_TIME    (10 * NSEC_PER_SEC)

static int no_memory(struct err *e)
{
	return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
}

/* ---- what the checkpoint says ------------------------------------------------------------- */

/* 1, 0: there is none. */
static int read_file(struct restore *x, const char *name, struct buf *ret_text, struct err *e)
{
	auto_fd int fd = openat(x->dirfd, name,
				O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;
	int r;

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, errno, "read '%s' of the checkpoint", name);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_INVALID, EINVAL, "'%s' of the checkpoint is no file", name);
	r = fd_read_all(fd, ret_text);
	return r < 0 ? err_sys(e, -r, "read '%s' of the checkpoint", name) : 1;
}

static int read_checkpoint(struct restore *x, struct err *e)
{
	auto_buf struct buf ours = BUF_INIT(SNAPSHOT_TEXT_MAX);
	auto_buf struct buf list = BUF_INIT(SNAPSHOT_TEXT_MAX);
	struct stat st;
	int r = read_file(x, SNAPSHOT_FILE, &ours, e);

	if (r > 0)
		return snapshot_decode(&x->arena, buf_str(&ours), &x->snap, e);
	r = r < 0 ? r : read_file(x, SNAPSHOT_DESCRIPTORS, &list, e);
	if (r > 0)
		return snapshot_descriptors_decode(&x->arena, buf_str(&list), &x->links,
						   &x->links_n, e);
	if (r == 0 && fstatat(x->dirfd, "inventory.img", &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_set(e, ERR_NOT_FOUND, ENOENT,
			       "there is no checkpoint: the directory has no inventory.img");
	return r;
}

/* ---- descriptors and namespaces ----------------------------------------------------------- */

static int add_fd(struct restore *x, const char *key, int fd, struct err *e)
{
	struct criu_fd *f = arena_push(&x->arena, &x->inherit, &x->inherit_n, sizeof(*f));

	if (!f)
		return no_memory(e);
	if (x->fds_n == ARRAY_SIZE(x->fds))
		return err_set(e, ERR_EXHAUSTED, E2BIG, "too many descriptors for criu");
	*f = (struct criu_fd){ .key = key, .fd = CRIU_SOCKET_FD + (int) x->fds_n };
	x->fds[x->fds_n++] = fd;
	return 0;
}

static int collect_streams(struct restore *x, struct err *e)
{
	const char **keys = x->snap ? x->snap->streams : x->links;
	size_t n = x->snap ? x->snap->streams_n : x->links_n;

	for (size_t i = 0; i < n && i < SNAPSHOT_STREAMS; i++) {
		int fd = x->plan.process.stdio[i] >= 0 ? x->plan.process.stdio[i]
						       : x->plan.host_dev_null;
		int r;

		if (!snapshot_is_stream(keys[i]))
			continue;
		/* criu seeks to where it was in a file or /dev/null: no pipe can stand for it. */
		if (strncmp(keys[i], "file[", 5) == 0 && lseek(fd, 0, SEEK_CUR) < 0) {
			log_debug("restore: stream %zu was a file, and is none now: /dev/null", i);
			fd = x->plan.host_dev_null;
		}
		r = add_fd(x, keys[i], fd, e);
		if (r < 0)
			return r;
	}
	return 0;
}

static int collect_namespaces(struct restore *x, struct err *e)
{
	const struct spec_linux *l = &x->b->spec->linux_;
	int r = 0;

	for (int t = 0; t < SPEC_NS_N_ && r == 0; t++) {
		int fd = x->plan.join_fd[t];
		struct criu_pair *j;

		if (fd < 0)
			continue;
		switch ((enum spec_ns_type) t) {
		case SPEC_NS_NETWORK:
			r = add_fd(x, SNAPSHOT_NET_KEY, fd, e);
			break;
		case SPEC_NS_PID:
			r = add_fd(x, SNAPSHOT_PID_KEY, fd, e);
			break;
		case SPEC_NS_IPC:
		case SPEC_NS_UTS:
			j = arena_push(&x->arena, &x->joined, &x->joined_n, sizeof(*j));
			if (!j)
				return no_memory(e);
			j->key = t == SPEC_NS_IPC ? "ipc" : "uts";
			j->value = arena_printf(&x->arena, "/proc/%d/fd/%d", (int) getpid(), fd);
			if (!j->value)
				return no_memory(e);
			break;
		case SPEC_NS_USER:
		case SPEC_NS_MOUNT:
		case SPEC_NS_CGROUP:
		case SPEC_NS_TIME:
		case SPEC_NS_N_:
			return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
				       "restoring into the existing %s namespace '%.200s': criu "
				       "cannot",
				       spec_ns_name((enum spec_ns_type) t), l->ns[t].path);
		}
	}
	return r;
}

static bool same_group(const struct snapshot *s, const struct groups_place *p)
{
	for (size_t i = 0; s && i < s->groups_n; i++) {
		if (streq(s->groups[i].name, p->name))
			return streq(s->groups[i].path, p->path);
	}
	return false;
}

/*
 * CRIU puts its new root in the place of the outermost cgroup that it knows of a controller, which
 * may be one the container made: only where there is a difference.
 */
static int collect_groups(struct restore *x, struct err *e)
{
	const struct groups *g = x->c->groups;

	for (size_t i = 0; g && i < g->n; i++) {
		struct criu_pair *p;

		if (g->at[i].dir_fd < 0 || same_group(x->snap, &g->at[i]))
			continue;
		p = arena_push(&x->arena, &x->groups_roots, &x->groups_roots_n, sizeof(*p));
		if (!p)
			return no_memory(e);
		p->key = g->at[i].name;
		p->value = arena_printf(&x->arena, "/%s", g->at[i].path);
		if (!p->value)
			return no_memory(e);
	}
	return 0;
}

/* ---- the conversation --------------------------------------------------------------------- */

/* The init has just been made: from here on it is known whom to end. */
static int take_init(struct restore *x, pid_t pid, struct err *e)
{
	enum process_kind kind = PROCESS_KIND_UNKNOWN;
	struct container *c = x->c;
	int r;

	if (pid <= 0)
		return err_set(e, ERR_REMOTE, EBADMSG, "criu does not say which process it made");
	close_fd(&c->in.pidfd);
	r = c->in.pidfd = pidfd_of(pid);
	if (r >= 0)
		r = process_ident_fd(c->in.pidfd, pid, &c->ident, &kind);
	if (r < 0)
		return err_sys(e, -r, "the restored init");
	c->in.pid = pid;
	return 0;
}

static int runtime_hooks(struct restore *x, struct err *e)
{
	static const enum spec_hook_kind kinds[] = { SPEC_HOOK_PRESTART, SPEC_HOOK_CREATE_RUNTIME };
	struct container *c = x->c;
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(kinds) && r == 0; i++) {
		struct hooks_call call = {
			.list = &x->b->spec->hooks[kinds[i]],
			.kind = kinds[i],
			.head = c->state_head,
			.tail = c->state_tail,
			.status = "creating",
			.pid = c->in.pid,
			.cwd_fd = x->b->bundle_fd,
		};

		r = call.list->n ? hooks_run(&call, e) : 0;
	}
	return r;
}

/* In the container's network namespace; one message through the pipe when it fails. */
[[gnu::noreturn]] static void set_network(const struct plan *p, int net_fd, int report_fd)
{
	struct err e = {};
	int r = 0;

	if (setns(net_fd, CLONE_NEWNET) < 0)
		r = err_sys(&e, errno, "entering the container's network namespace");
	else if (ns_loopback_up() < 0)
		r = err_set(&e, ERR_INTERNAL, 0, "the loopback interface does not come up");
	for (size_t i = 0; i < p->sysctls_n && r == 0; i++) {
		if (strncmp(p->sysctl_files[i], "sys/net/", 8) != 0)
			continue; /* the others are in CRIU's images */
		r = file_put(p->proc_fd, p->sysctl_files[i], str_of(p->sysctl_values[i]));
		if (r < 0)
			(void) err_sys(&e, -r, "sysctl '%s' = '%.60s'", p->sysctl_files[i] + 4,
				       p->sysctl_values[i]);
	}
	if (r < 0)
		(void) !write(report_fd, &e, sizeof(e)); /* nobody left to tell */
	_exit(0);
}

/* 0: the child ended or went on to its program without a word; else what it reported. */
static int hear_report(int fd, struct err *e)
{
	struct err told;
	ssize_t n;

	do
		n = read(fd, &told, sizeof(told));
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t) sizeof(told))
		return n == 0 ? 0 : err_set(e, ERR_INTERNAL, EPROTO, "a child's broken report");
	told.msg[sizeof(told.msg) - 1] = '\0';
	*e = told;
	return -1;
}

static int restore_network(struct restore *x, struct err *e)
{
	auto_fd int net = FD_NONE, pidfd = FD_NONE, in = FD_NONE;
	char path[40];
	int pair[2], r;
	pid_t pid;

	if (!(x->plan.clone_flags & CLONE_NEWNET))
		return 0;
	(void) snprintf(path, sizeof(path), "%d/ns/net", (int) x->c->in.pid);
	net = openat(x->plan.proc_fd, path, O_RDONLY | O_CLOEXEC);
	if (net < 0 || pipe2(pair, O_CLOEXEC) < 0)
		return err_sys(e, errno, "the container's network namespace");
	in = pair[0];
	pid = ns_clone(0, FD_NONE, &pidfd);
	if (pid == 0)
		set_network(&x->plan, net, pair[1]);
	(void) close(pair[1]);
	if (pid < 0)
		return err_sys(e, -pid, "a process for the network");
	r = hear_report(in, e);
	(void) pidfd_reap(pidfd, NULL); /* it had nothing else to tell */
	return r;
}

/* The snapshot may be of another workload: its processes find the name of this one. */
static int restore_hostname(const struct restore *x, struct err *e)
{
	const struct spec *s = x->b->spec;
	auto_fd int own = FD_NONE, theirs = FD_NONE;
	char path[40];
	int r = 0;

	if (!s->hostname || !(x->plan.clone_flags & CLONE_NEWUTS))
		return 0;
	(void) snprintf(path, sizeof(path), "%d/ns/uts", (int) x->c->in.pid);
	theirs = openat(x->plan.proc_fd, path, O_RDONLY | O_CLOEXEC);
	own = open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC);
	if (own < 0 || theirs < 0 || setns(theirs, CLONE_NEWUTS) < 0)
		return err_sys(e, errno, "enter the container's UTS namespace");
	if (sethostname(s->hostname, strlen(s->hostname)) < 0)
		r = err_sys(e, errno, "hostname '%.100s'", s->hostname);
	if (setns(own, CLONE_NEWUTS) < 0)
		r = err_sys(e, errno, "return to the own UTS namespace");
	return r;
}

static int answer(struct criu_session *s, const struct criu_response *m, int fd, struct err *e)
{
	struct restore *x = (struct restore *) s; /* its first member */
	int r = 0;

	if (str_is(m->script, "orphan-pts-master") && fd >= 0)
		return container_take_console(x->c, x->b, fd, e);
	close_fd(&fd);
	if (str_is(m->script, "setup-namespaces")) {
		r = take_init(x, m->notify_pid, e);
		r = r < 0 ? r : runtime_hooks(x, e);
	} else if (str_is(m->script, "post-setup-namespaces")) {
		r = restore_network(x, e);
	} else if (str_is(m->script, "post-restore")) {
		if (x->c->in.pid <= 0) /* without namespaces nobody said so before */
			r = take_init(x, m->notify_pid, e);
		r = r < 0 ? r : restore_hostname(x, e);
	}
	return r;
}

static int start_criu(struct restore *x, struct err *e)
{
	struct criu_session *s = &x->session;
	auto_fd int theirs = FD_NONE, in = FD_NONE, gate = FD_NONE, told = FD_NONE;
	bool placed = x->c->groups && groups_placed(x->c->groups);
	int pair[2], r = criu_open(s, &theirs, e);
	bool own = x->o->cgroups == SNAPSHOT_CGROUPS_OWN;

	if (r < 0)
		return r;
	x->fds[0] = theirs;
	struct criu_child child = {
		.path = s->path,
		.yard = x->yard,
		.groups = x->c->groups,
		.gate_fd = FD_NONE,
		.new_cgroup_ns = own && (x->plan.unshare_flags & CLONE_NEWCGROUP),
		.own_group = !x->o->shell_job,
		.root_fd = x->plan.root_fd,
		.trees = x->trees,
		.trees_n = x->trees_n,
		.stdio = { x->plan.host_dev_null, s->errors_fd, s->errors_fd },
		.fds = x->fds,
		.fds_n = x->fds_n,
	};

	/* A job of the caller's shell gets its terminal from CRIU's own streams. */
	for (int i = 0; i < 3 && x->o->shell_job; i++)
		child.stdio[i] = x->b->stdio[i] >= 0 ? x->b->stdio[i] : i;
	if (placed) {
		if (pipe2(pair, O_CLOEXEC) < 0)
			return err_sys(e, errno, "pipe");
		child.gate_fd = gate = pair[0];
		told = pair[1];
	}
	if (pipe2(pair, O_CLOEXEC) < 0)
		return err_sys(e, errno, "pipe");
	in = pair[0];
	child.report_fd = pair[1];
	s->pid = ns_clone(0, FD_NONE, &s->pidfd);
	if (s->pid == 0)
		criu_child(&child);
	(void) close(pair[1]);
	if (s->pid < 0) {
		r = s->pid;
		s->pid = 0;
		return err_sys(e, -r, "a process for criu");
	}
	r = placed ? groups_place(x->c->groups, s->pid, e) : 0;
	if (r == 0 && placed && write(told, "g", 1) != 1)
		r = err_sys(e, errno, "the process for criu");
	return r < 0 ? r : hear_report(in, e);
}

/*
 * CRIU mounts the hierarchies below its working directory: that has to be one of its own mount
 * namespace. A copy of the mount stands in the yard; we reach it through its process.
 */
static int add_work(struct restore *x, struct err *e)
{
	struct criu_tree *t = arena_push(&x->arena, &x->trees, &x->trees_n, sizeof(*t));
	int fd = mount_clone(x->session.log_dir_fd, "", false);

	if (!t)
		return no_memory(e);
	t->is_dir = true;
	t->fd = plan_own(&x->plan, fd);
	return t->fd < 0 ? err_sys(e, -t->fd, "the work path") : 0;
}

static int find_work(struct restore *x, int *ret_fd, struct err *e)
{
	char path[PATH_MAX];

	(void) snprintf(path, sizeof(path), "%d/root%s/" CRIU_YARD_TREE, (int) x->session.pid,
			x->yard, x->trees_n - 1);
	*ret_fd = openat(x->plan.proc_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *ret_fd < 0 ? err_sys(e, errno, "the work path in criu's namespace") : 0;
}

static int restore_with(struct restore *x, struct err *e)
{
	const struct snapshot_options *o = x->o;
	struct criu_request q = CRIU_REQUEST(CRIU_RESTORE);
	auto_fd int work = FD_NONE;
	struct criu_response m;
	int r = criu_find(o->program, x->session.path, e);

	snapshot_request(&q, o);
	q.images_dir_fd = x->dirfd;
	q.log_file = RESTORE_LOG;
	q.root = arena_printf(&x->arena, "%s/" CRIU_YARD_ROOT, x->yard);
	q.rst_sibling = true;
	q.evasive_devices = true;
	q.lsm_profile = o->lsm_profile;
	q.lsm_mount_context = o->lsm_mount_context;
	q.ext_mounts = x->keys;
	q.ext_mounts_n = x->keys_n;
	q.inherit = x->inherit;
	q.inherit_n = x->inherit_n;
	q.join_ns = x->joined;
	q.join_ns_n = x->joined_n;
	if (o->cgroups != SNAPSHOT_CGROUPS_OWN) {
		q.cgroup_roots = x->groups_roots;
		q.cgroup_roots_n = x->groups_roots_n;
	}
	if (r == 0 && !q.root)
		r = no_memory(e);
	r = r < 0 ? r : start_criu(x, e);
	if (r == 0 && o->cgroups != SNAPSHOT_CGROUPS_OWN)
		r = find_work(x, &work, e);
	if (work >= 0)
		q.work_dir_fd = work;
	r = r < 0 ? r : criu_ask(&x->session, &q, &m, e);
	if (r == 0 && m.restored_pid != x->c->in.pid)
		r = take_init(x, m.restored_pid, e);
	return r;
}

/* ---- before and after --------------------------------------------------------------------- */

/* CRIU is in the container's cgroups itself, and needs more than some containers may have. */
static int make_groups(struct restore *x, struct err *e)
{
	const struct spec_resources *all = x->b->spec->linux_.resources;
	struct spec_resources some = all ? *all : (struct spec_resources){};
	int r;

	some.memory = NULL;
	some.pids = NULL;
	/* Those that were prepared for a start have all limits. */
	if (x->c->groups) {
		r = groups_remove(x->c->groups, clock_deadline(REMOVE_TIME), e);
		groups_free(TAKE(x->c->groups));
		if (r < 0)
			return r;
	}
	return container_make_groups(x->c, x->b, all ? &some : NULL, e);
}

static int set_limits(struct restore *x, struct err *e)
{
	const struct spec_resources *all = x->b->spec->linux_.resources;
	struct spec_resources rest = {};

	if (!x->c->groups || !all || (!all->memory && !all->pids))
		return 0;
	rest.memory = all->memory;
	rest.pids = all->pids;
	return groups_update(x->c->groups, &rest, e);
}

/* Which namespaces an exec has to join: CRIU makes one for the time even where the spec has none.
 */
static unsigned differing(const struct restore *x)
{
	static const struct {
		const char *file;
		unsigned flag;
	} kinds[] = {
		{ "user", CLONE_NEWUSER }, { "mnt", CLONE_NEWNS },	  { "pid", CLONE_NEWPID },
		{ "net", CLONE_NEWNET },   { "ipc", CLONE_NEWIPC },	  { "uts", CLONE_NEWUTS },
		{ "time", CLONE_NEWTIME }, { "cgroup", CLONE_NEWCGROUP },
	};
	unsigned flags = 0;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct stat own, theirs;
		char path[40];

		(void) snprintf(path, sizeof(path), "self/ns/%s", kinds[i].file);
		if (fstatat(x->plan.proc_fd, path, &own, 0) < 0)
			continue;
		(void) snprintf(path, sizeof(path), "%d/ns/%s", (int) x->c->in.pid, kinds[i].file);
		if (fstatat(x->plan.proc_fd, path, &theirs, 0) == 0 && own.st_ino != theirs.st_ino)
			flags |= kinds[i].flag;
	}
	return flags;
}

/* The state directory itself: nobody in CRIU's mount namespace needs what it hides there. */
static int find_yard(struct restore *x, struct err *e)
{
	char link[40], path[4096];
	ssize_t n;

	(void) snprintf(link, sizeof(link), "/proc/self/fd/%d", x->b->state_fd);
	n = x->b->state_fd < 0 ? -1 : readlink(link, path, sizeof(path) - 1);
	if (n <= 0 || path[0] != '/')
		return err_set(e, ERR_INTERNAL, EINVAL, "a restore needs a state directory");
	path[n] = '\0';
	x->yard = arena_strdup(&x->arena, path);
	return x->yard ? 0 : no_memory(e);
}

static int restore(struct restore *x, struct err *e)
{
	struct container *c = x->c;
	int r = 0;

	if (!x->b->spec->linux_.ns[SPEC_NS_MOUNT].present)
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "a container without a mount namespace cannot be restored");
	r = read_checkpoint(x, e);
	r = r < 0 ? r : find_yard(x, e);
	r = r < 0 ? r : make_groups(x, e);
	if (r == 0 && x->b->spec->linux_.intel_rdt)
		r = rdt_make(x->b->spec->linux_.intel_rdt, c->id, &c->rdt, e);
	if (r == 0 && c->rdt.class)
		r = rdt_save(&c->rdt, x->b->state_fd, e);
	r = r < 0 ? r : plan_make(&x->plan, &x->arena, x->b, c->groups, e);
	r = r < 0 ? r : container_remember(c, x->b, &x->plan, e);
	x->fds_n = 1; /* criu's end of the socket */
	r = r < 0 ? r : collect_namespaces(x, e);
	r = r < 0 ? r : collect_streams(x, e);
	r = r < 0 ? r : restore_mounts(x, e);
	r = r < 0 ? r : collect_groups(x, e);
	if (r == 0 && x->o->cgroups != SNAPSHOT_CGROUPS_OWN)
		r = add_work(x, e);
	r = r < 0 ? r : restore_with(x, e);
	r = r < 0 ? r : rdt_enter(&c->rdt, c->in.pid, e);
	r = r < 0 ? r : set_limits(x, e);
	if (r < 0)
		return r;
	if (c->groups)
		groups_arrived(c->groups);
	if (c->groups)
		groups_arrived(c->groups);
	c->ns_flags = differing(x);
	return pid_file_write(x->b->pid_file, c->in.pid, e);
}

int container_restore(struct instance *in, const struct bundle *b, int dirfd,
		      const struct snapshot_options *o, struct err *e)
{
	struct restore x = { .session = CRIU_SESSION("restore"),
			     .c = container_of_instance(in),
			     .b = b,
			     .o = o,
			     .dirfd = dirfd,
			     .arena = ARENA_INIT(PLAN_MAX) };
	struct container *c = x.c;
	int r;

	x.session.log_dir_fd = o->work_fd >= 0 ? o->work_fd : dirfd;
	x.session.log_file = RESTORE_LOG;
	x.session.notify = answer;
	c->spec = b->spec;
	c->arena = ARENA_INIT(PLAN_MAX);
	c->gate_fd = FD_NONE;
	if (!c->id) /* else prepared */
		c->id = strdup(b->id);
	r = c->id ? restore(&x, e) : no_memory(e);
	criu_close(&x.session);
	plan_close(&x.plan);
	arena_fini(&x.arena);
	if (r == 0)
		c->poststop_due = c->spec->hooks[SPEC_HOOK_POSTSTOP].n != 0;
	return r;
}
