/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Create and start, the parent's side. One clone3; the child is told what to do by a plan made
 * before, and tells how it goes over one socket pair. The pair is also the gate that holds the
 * init between create and start. The child keeps a copy of our end, so that a later `start` in
 * another process can take it over (pidfd_getfd) without a file in between.
 *
 * Where nothing stands against it the two work at the same time: the child makes its namespaces
 * and its root, the parent the cgroups, which it then sends (groups_child.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "engine/container/ahead.h"
#include "engine/container/child.h"
#include "engine/container/container.h"
#include "engine/container/cpus.h"
#include "engine/container/groups.h"
#include "engine/container/hooked.h"
#include "engine/container/hooks.h"
#include "engine/container/listener.h"
#include "engine/container/netdevs.h"
#include "engine/container/plan.h"
#include "engine/container/seccomp.h"
#include "engine/idmap.h"
#include "sys/fdpass.h"
#include "sys/pidfd.h"
#include "sys/process.h"

#define PLAN_MAX (16u << 20) /* bytes */

struct making {
	struct container *c;
	const struct bundle *b;
	struct plan plan;
	struct arena arena;
	int sync_fd; /* owned: our end */
	nsec_t deadline;
};

int container_receive(int sock, nsec_t deadline, struct child_message *ret_m, int *ret_fd,
		      struct err *e)
{
	struct pollfd pfd = { .fd = sock, .events = POLLIN };
	size_t n_fds = 0;
	ssize_t n;
	int r;

	do
		r = poll(&pfd, 1, clock_poll_ms(deadline));
	while ((r < 0 && errno == EINTR) || (r == 0 && clock_mono() < deadline));
	if (r < 0)
		return err_sys(e, errno, "waiting for the container's init");
	if (r == 0)
		return err_set(e, ERR_TIMEOUT, ETIMEDOUT,
			       "the container's init did not get ready in time");
	*ret_fd = FD_NONE;
	ret_m->word = 0;
	n = fdpass_recv(sock, ret_m, sizeof(*ret_m), ret_fd, 1, &n_fds);
	if (n == -ECONNRESET) { /* told first, once; then what it had sent before */
		n = fdpass_recv(sock, ret_m, sizeof(*ret_m), ret_fd, 1, &n_fds);
		ret_m->word = n == 0 ? CHILD_NEVER_READ : ret_m->word;
	}
	if (n == 0)
		return 0;
	if (n != (ssize_t) sizeof(*ret_m)) {
		if (n_fds)
			close_fd(ret_fd);
		return n < 0 ? err_sys(e, (int) -n, "reading from the container's init")
			     : err_set(e, ERR_INTERNAL, EPROTO,
				       "the container's init sent %zd bytes", n);
	}
	ret_m->err.msg[sizeof(ret_m->err.msg) - 1] = '\0';
	return 1;
}

static int send_byte(int sock, char byte)
{
	ssize_t r;

	do
		r = send(sock, &byte, 1, MSG_NOSIGNAL);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

static int go_on(int sock)
{
	return send_byte(sock, CHILD_GO);
}

/* Whether a child of ours that has no handlers has nothing to reset before exec. */
static bool ignores_nothing(void)
{
	unsigned long act[4]; /* the kernel's struct; see reset_signals() */

	for (int sig = 1; sig <= 64; sig++) {
		if (syscall(SYS_rt_sigaction, sig, NULL, act, 8L) < 0 ||
		    act[0] == (unsigned long) (uintptr_t) SIG_IGN)
			return false;
	}
	return true;
}

/* What a child in a user namespace of its own may not do for itself. */
static int set_from_outside(const struct plan *p, pid_t pid, struct err *e)
{
	const struct spec_process *s = p->spec->process;
	char path[40], text[16];
	int r = s ? process_limits_raise(s, pid, e) : 0, n;

	if (r < 0)
		return r;
	if (!s || !s->oom_score_adj_set)
		return 0;
	(void) snprintf(path, sizeof(path), "%d/oom_score_adj", (int) pid);
	n = snprintf(text, sizeof(text), "%d", (int) s->oom_score_adj);
	r = file_put(p->proc_fd, path, (struct str){ text, (size_t) n });
	return r < 0 ? err_sys(e, -r, "process.oomScoreAdj %s (lowering it needs CAP_SYS_RESOURCE)",
			       text)
		     : 0;
}

static int write_maps(struct making *m, pid_t pid, struct err *e)
{
	struct plan *p = &m->plan;
	int r;

	if (!p->new_user)
		return 0;
	r = set_from_outside(p, pid, e);
	if (r < 0)
		return r;
	r = idmap_write(pid, p->uid_maps, p->uid_maps_n, p->gid_maps, p->gid_maps_n, e);
	if (r < 0)
		return r;
	r = go_on(m->sync_fd);
	return r < 0 ? err_sys(e, -r, "the container's init is gone") : 0;
}

/* User namespaces are what ordinary users are kept from, each in another way. */
static int clone_refused(const struct plan *p, int error, struct err *e)
{
	if (p->new_user && (error == ENOSPC || error == EUSERS))
		return err_set(e, ERR_EXHAUSTED, error,
			       "a user namespace: there may be no more of them "
			       "(/proc/sys/user/max_user_namespaces, and 32 within one another)");
	if (p->new_user && error == EPERM)
		return err_set(e, ERR_DENIED, error,
			       "a user namespace: this machine does not let the caller make one "
			       "(see kernel.unprivileged_userns_clone, "
			       "kernel.apparmor_restrict_unprivileged_userns; nor may a chroot)");
	return err_sys(e, error, "clone3 of the container's init");
}

/*
 * The two are to work at the same time. A kernel that spares processors puts the init on the one
 * that we run on, where it would wait until we do: it is sent from there to another one. Its mask
 * is then what it sets itself (process_all_cpus), so that the kernel may move it as ever. Where
 * there is one processor, or this is forbidden, it comes in its turn.
 */
static void part_from(pid_t init)
{
	uint64_t mask[CPUS_MAX / 64] = {};
	long size = syscall(SYS_sched_getaffinity, 0, sizeof(mask), mask);
	int here = sched_getcpu();

	if (size <= 0 || here < 0 || (long) here >= 8 * size)
		return;
	mask[here / 64] &= ~(UINT64_C(1) << (here % 64));
	if (syscall(SYS_sched_setaffinity, init, size, mask) < 0)
		return;
	memset(mask, 0xff, sizeof(mask));
	(void) syscall(SYS_sched_setaffinity, init, sizeof(mask), mask);
}

/* A pid namespace is joined by whoever forks: we lend ourselves to it for one clone. */
static int clone_init(struct making *m, struct err *e)
{
	struct container *c = m->c;
	struct plan *p = &m->plan;
	int join = p->fork_inside ? FD_NONE : p->join_fd[SPEC_NS_PID];
	int cgroup = c->groups ? groups_clone_fd(c->groups) : FD_NONE;
	auto_fd int own = FD_NONE, creator = pidfd_of(getpid());
	bool hide = join >= 0 || p->fork_inside;
	pid_t pid;

	if (creator < 0)
		return err_sys(e, -creator, "a pidfd of this process");
	p->creator_fd = creator;
	if (join >= 0) {
		own = openat(p->proc_fd, "self/ns/pid_for_children", O_RDONLY | O_CLOEXEC);
		if (own < 0)
			own = openat(p->proc_fd, "self/ns/pid", O_RDONLY | O_CLOEXEC);
		if (own < 0)
			return err_sys(e, errno, "the own pid namespace");
		/* Root of a user namespace may not come back to the one he came from. */
		p->fork_inside = setns(own, CLONE_NEWPID) < 0;
		if (p->fork_inside)
			join = FD_NONE;
		else if (setns(join, CLONE_NEWPID) < 0)
			return err_sys(e, errno, "joining the pid namespace '%s'",
				       p->spec->linux_.ns[SPEC_NS_PID].path);
	}
	int dumpable = prctl(PR_GET_DUMPABLE);

	if (hide) /* born among strangers: nothing of it may be looked at */
		(void) prctl(PR_SET_DUMPABLE, 0);
	p->groups_born = cgroup >= 0;
	pid = ns_clone(p->fork_inside  ? 0
		       : p->groups_due ? p->clone_flags & (CLONE_NEWPID | CLONE_NEWUSER)
				       : p->clone_flags,
		       cgroup, &c->in.pidfd);
	if (pid == 0) {
		/* The caller's lock may be on it: it must end with the caller. */
		if (m->b->state_fd > STDERR_FILENO)
			(void) close(m->b->state_fd);
		if (m->b->spare_fd && *m->b->spare_fd >= 0)
			(void) close(*m->b->spare_fd);
		init_child(p);
	}
	if (hide)
		(void) prctl(PR_SET_DUMPABLE, dumpable == 1);
	if (join >= 0 && setns(own, CLONE_NEWPID) < 0 && pid > 0)
		return err_sys(e, errno, "returning to the own pid namespace");
	if (pid < 0)
		return clone_refused(p, -pid, e);
	c->in.pid = pid;
	if (p->groups_due)
		part_from(pid);
	return 0;
}

int container_take_console(struct container *c, const struct bundle *b, int fd, struct err *e)
{
	static const char name[] = "/dev/ptmx"; /* what console sockets are sent by custom */
	int r;

	if (b->console_socket < 0) {
		close_fd(&c->in.console_fd);
		c->in.console_fd = fd;
		return 0;
	}
	r = fdpass_send(b->console_socket, name, sizeof(name) - 1, &fd, 1);
	(void) close(fd);
	return r < 0 ? err_sys(e, -r, "sending the terminal to the console socket") : 0;
}

static int runtime_hooks(struct making *m, struct err *e)
{
	static const enum spec_hook_kind kinds[] = { SPEC_HOOK_PRESTART, SPEC_HOOK_CREATE_RUNTIME };
	struct container *c = m->c;
	int output[2], r = hooks_open_output(m->b->spec, output, e);

	if (r < 0)
		return r;
	auto_fd int out = output[0];
	auto_fd int err = output[1];

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct hooks_call call = {
			.list = &m->b->spec->hooks[kinds[i]],
			.kind = kinds[i],
			.head = c->state_head,
			.tail = c->state_tail,
			.status = "creating",
			.pid = c->in.pid,
			.cwd_fd = m->b->bundle_fd,
			.output = (const int[]){ out, err },
		};

		r = hooks_run(&call, e);
		if (r < 0)
			return r;
	}
	r = go_on(m->sync_fd);
	return r < 0 ? err_sys(e, -r, "the container's init is gone") : 0;
}

/* The init proper, forked by a helper in the joined user namespace: our child all the same. */
static int take_pid(struct container *c, pid_t pid, struct err *e)
{
	int fd = pidfd_of(pid);

	if (fd < 0)
		return err_sys(e, -fd, "the container's init");
	(void) pidfd_reap(c->in.pidfd, NULL); /* the helper: it has nothing more to tell */
	(void) close(c->in.pidfd);
	c->in.pidfd = fd;
	c->in.pid = pid;
	return 0;
}

static int child_gone(struct container *c, struct err *e)
{
	siginfo_t info = {};
	int r = pidfd_reap(c->in.pidfd, &info);

	if (r == 0 && info.si_code != CLD_EXITED)
		return err_set(e, ERR_EXHAUSTED, ECHILD,
			       "the container's init was killed by signal %d while it was set up%s",
			       info.si_status,
			       info.si_status == SIGKILL
				       ? " (is the memory limit too low to start anything?)"
				       : "");
	return err_set(e, ERR_INTERNAL, ECHILD, "the container's init ended without a word");
}

/* A mount of something in the container, where the init is root of a user namespace. */
static int map_ids(struct making *m, pid_t i, int fd, struct err *e)
{
	const struct plan *p = &m->plan;
	int r;

	if (i < 0 || (size_t) i >= p->mounts_n || fd < 0 || !plan_idmap_asked(p, &p->mounts[i]))
		return err_set(e, ERR_INTERNAL, EPROTO, "the container's init is confused");
	r = plan_idmap(&p->mounts[i], fd, e);
	if (r == 0 && (r = go_on(m->sync_fd)) < 0)
		r = err_sys(e, -r, "the container's init is gone");
	return r;
}

/* Until it says the word. */
static int serve_child(struct making *m, enum child_word until, struct err *e)
{
	struct container *c = m->c;

	for (;;) {
		struct child_message msg;
		int fd = FD_NONE, r;

		r = container_receive(m->sync_fd, m->deadline, &msg, &fd, e);
		if (r < 0)
			return r;
		if (r == 0)
			return child_gone(c, e);
		switch ((enum child_word) msg.word) {
		case CHILD_PID:
			r = take_pid(c, msg.pid, e);
			if (r == 0 && (r = go_on(m->sync_fd)) < 0)
				r = err_sys(e, -r, "the container's init is gone");
			break;
		case CHILD_CONSOLE:
			r = container_take_console(c, m->b, fd, e);
			fd = FD_NONE;
			break;
		case CHILD_NETWORK:
			r = netdevs_move(&m->b->spec->linux_, c->in.pidfd, e);
			if (r == 0 && (r = go_on(m->sync_fd)) < 0)
				r = err_sys(e, -r, "the container's init is gone");
			break;
		case CHILD_IDMAP:
			r = map_ids(m, msg.pid, fd, e);
			break;
		case CHILD_HOOKS:
			r = runtime_hooks(m, e);
			break;
		case CHILD_READY:
			return 0;
		case CHILD_LISTENER: /* after the start only */
			r = err_set(e, ERR_INTERNAL, EPROTO, "the container's init is confused");
			break;
		case CHILD_FAILED:
			*e = msg.err;
			return err_ctx(e, "unable to start container process");
		}
		close_fd(&fd);
		if (r < 0 || msg.word == until)
			return r;
	}
}

/* What start, exec and destroy need later, maybe in another process. */
int container_remember(struct container *c, const struct bundle *b, const struct plan *p,
		       struct err *e)
{
	const struct spec *s = b->spec;
	bool hooks = false, notifies = s->linux_.seccomp && seccomp_notifies(s->linux_.seccomp);
	char link[40], path[4096];
	ssize_t n;

	for (int k = 0; k < SPEC_HOOK_N_; k++)
		hooks = hooks || s->hooks[k].n;
	hooks = hooks || notifies;
	c->late_hooks = s->hooks[SPEC_HOOK_POSTSTART].n || s->hooks[SPEC_HOOK_POSTSTOP].n ||
			notifies;
	c->own_pids = (p->clone_flags & CLONE_NEWPID) != 0;
	c->ns_flags = p->all_flags;
	c->callers_keyring = b->no_new_keyring;
	c->chrooted = b->no_pivot || !(p->clone_flags & CLONE_NEWNS);
	if (b->note && !(c->note = strdup(b->note)))
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	if (!hooks)
		return 0;
	(void) snprintf(link, sizeof(link), "/proc/self/fd/%d", b->bundle_fd);
	n = b->bundle_fd < 0 ? -1 : readlink(link, path, sizeof(path) - 1);
	if (n >= 0) {
		path[n] = '\0';
		c->bundle_path = strdup(path);
	}
	if (b->config_path)
		c->config_path = strdup(b->config_path);
	if ((n >= 0 && !c->bundle_path) || (b->config_path && !c->config_path))
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	return hooks_state_text(&c->arena, s, c->id, b->bundle_fd, &c->state_head, &c->state_tail,
				e);
}

/* Limits that nobody would enforce are refused, not forgotten. */
static int without_groups(const struct spec *s, struct groups **ret_g, struct err *e)
{
	if (groups_needed(s->linux_.resources) == 0)
		return groups_none(ret_g, e);
	return err_set(e, ERR_INVALID, EINVAL,
		       "linux.resources: limits need a cgroup, and --cgroup-manager disabled "
		       "leaves the container without one");
}

/* A scope that the init cannot be born in, nor enter by itself: it waits until it is in there. */
static int place(struct making *m, struct err *e)
{
	struct container *c = m->c;

	if (!c->groups || !groups_placed(c->groups)) {
		if (c->groups && m->plan.groups_born)
			groups_arrived(c->groups);
		return 0;
	}
	int r = groups_place(c->groups, c->in.pid, e);

	if (r < 0)
		return r;
	groups_arrived(c->groups);
	r = go_on(m->sync_fd);
	return r < 0 ? err_sys(e, -r, "the container's init is gone") : 0;
}

static struct groups_options groups_of(const struct bundle *b, const struct spec_resources *limits)
{
	return (struct groups_options){
		.id = b->id,
		.path = b->spec->linux_.cgroups_path,
		.resources = limits,
		.systemd = b->systemd_cgroup,
		.spec = b->spec,
		.state_fd = b->state_fd,
		.rootless = b->rootless,
	};
}

int container_make_groups(struct container *c, const struct bundle *b,
			  const struct spec_resources *limits, struct err *e)
{
	struct groups_options go = groups_of(b, limits);
	int r = b->no_cgroups ? without_groups(b->spec, &c->groups, e)
			      : groups_make(&go, &c->groups, e);

	/* Before anything runs in there: whoever cleans up after us finds it. */
	if (r == 0 && c->groups && b->state_fd > STDERR_FILENO)
		r = groups_save(c->groups, b->state_fd, e);
	return r;
}

/* The second half of the cgroups; then they are noted: whoever cleans up after us finds them. */
static int finish_groups(struct making *m, const struct groups_options *o, struct err *e)
{
	struct container *c = m->c;
	int r = groups_finish(c->groups, o, e);

	c->groups->saved = false; /* there are more of them now */
	if (r == 0 && m->b->state_fd > STDERR_FILENO)
		r = groups_save(c->groups, m->b->state_fd, e);
	return r < 0 ? r : plan_cgroups(&m->plan, e);
}

/*
 * Half of the time that a container takes to be made is its cgroups', where each controller has a
 * hierarchy of its own: the init builds its root meanwhile. Not where it has to do so in some other
 * way; nor is it asked to copy into a tmpfs what would then count as somebody else's memory.
 */
static bool beside(const struct plan *p)
{
	for (size_t i = 0; i < p->mounts_n; i++) {
		if (p->mounts[i].words.copy_up)
			return false;
	}
	return p->groups_due && !p->late && !p->fork_inside && p->join_fd[SPEC_NS_PID] < 0 &&
	       !p->unprivileged && groups_fit_message(p);
}

/* What the init waits for. If it is gone, what it said of that comes next. */
static int send_groups(struct making *m, const struct groups_options *o, struct err *e)
{
	int r = finish_groups(m, o, e);

	if (r < 0)
		return r;
	ahead_make(&m->plan);
	r = groups_send(&m->plan, m->sync_fd);
	part_from(m->c->in.pid); /* a message calls its reader to where it comes from */
	return r == 0 || r == -EPIPE || r == -ECONNRESET
		       ? 0
		       : err_sys(e, -r, "sending the cgroups to the container's init");
}

/* It goes on to its program by itself: `start` finds out how that went. */
static int let_go(struct making *m, struct err *e)
{
	struct container *c = m->c;
	int r = container_save_as(c, ENGINE_RUNNING, m->b->state_fd, e);

	if (r < 0)
		return r;
	c->let_go = true;
	/* We have the time to look, and it has not. */
	r = send_byte(m->sync_fd, ignores_nothing() ? CHILD_GO_UNIGNORED : CHILD_GO);
	return r == -EPIPE || r == -ECONNRESET ? 0
	       : r < 0			       ? err_sys(e, -r, "the container's init is gone")
					       : 0;
}

/* A network namespace that was prepared is joined: most of the clone's time goes by before it. */
static void use_prepared(struct container *c, struct plan *p)
{
	if (!c->net_made || !(p->clone_flags & CLONE_NEWNET) || p->new_user || p->fork_inside)
		return;
	p->clone_flags &= ~(unsigned) CLONE_NEWNET;
	p->join_fd[SPEC_NS_NETWORK] = c->net_fd;
}

static void drop_prepared(struct container *c)
{
	if (c->net_made)
		close_fd(&c->net_fd);
	c->net_made = false;
}

static int make(struct making *m, struct err *e)
{
	struct container *c = m->c;
	struct plan *p = &m->plan;
	struct groups_options go = groups_of(m->b, m->b->spec->linux_.resources);
	enum process_kind kind = PROCESS_KIND_UNKNOWN;
	int pair[2], r = 0;

	if (!c->groups) /* else prepared */
		r = m->b->no_cgroups ? without_groups(m->b->spec, &c->groups, e)
				     : groups_begin(&go, &c->groups, e);
	if (r == 0 && c->groups && !c->groups->begun && m->b->state_fd > STDERR_FILENO)
		r = groups_save(c->groups, m->b->state_fd, e);
	r = r < 0 ? r : hostroot_find(m->b, &c->hostroot, e);
	if (r == 0 && m->b->state_fd > STDERR_FILENO)
		r = hostroot_save(&c->hostroot, m->b->state_fd, e);
	if (r == 0 && m->b->spec->linux_.intel_rdt)
		r = rdt_make(m->b->spec->linux_.intel_rdt, c->id, &c->rdt, e);
	if (r == 0 && c->rdt.class && m->b->state_fd > STDERR_FILENO)
		r = rdt_save(&c->rdt, m->b->state_fd, e);
	r = r < 0 ? r : plan_make(p, &m->arena, m->b, c->groups, e);
	if (r == 0 && p->groups_due && !beside(p)) {
		p->groups_due = false;
		r = finish_groups(m, &go, e);
	} else if (r == 0 && p->groups_due && groups_clone_fd(c->groups) >= 0 &&
		   m->b->state_fd > STDERR_FILENO) {
		r = groups_save(c->groups, m->b->state_fd, e); /* the one it is born into */
	}
	r = r < 0 ? r : container_remember(c, m->b, p, e);
	if (r < 0)
		return r;
	ahead_plan(p);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(e, errno, "socket pair");
	p->gate_fd = m->sync_fd = pair[0];
	p->sync_fd = pair[1];
	p->process.oom_done = p->new_user;
	/* Somebody has to hold a scope of several hierarchies until it is in all of them. */
	p->at_once = p->at_once && !(c->groups && c->groups->unit && c->groups->n > 1);
	p->answers = true;
	for (size_t i = 0; i < p->mounts_n; i++)
		p->at_once = p->at_once && !plan_idmap_asked(p, &p->mounts[i]);
	use_prepared(c, p);
	r = clone_init(m, e);
	drop_prepared(c); /* the init's alone from here on */
	(void) close(pair[1]);
	c->gate_number = p->gate_fd;
	r = r < 0 ? r : place(m, e);
	r = r < 0 || !p->fork_inside ? r : serve_child(m, CHILD_PID, e);
	r = r < 0 ? r : write_maps(m, c->in.pid, e);
	r = r < 0 || !p->groups_due ? r : send_groups(m, &go, e);
	if (r < 0)
		return r;
	r = process_ident_fd(c->in.pidfd, c->in.pid, &c->ident, &kind);
	if (r < 0)
		return err_sys(e, -r, "the container's init");
	r = p->at_once ? let_go(m, e) : 0;
	if (m->b->spare_fd) /* what is left for now is the init's to do */
		close_fd(m->b->spare_fd);
	if (r < 0 || p->at_once)
		return r;
	r = serve_child(m, CHILD_READY, e);
	r = r < 0 ? r : rdt_enter(&c->rdt, c->in.pid, e); /* what it starts will be in it too */
	if (r < 0)
		return r;
	if (c->groups)
		groups_arrived(c->groups);
	return pid_file_write(m->b->pid_file, c->in.pid, e);
}

int container_prepare(struct instance *in, const struct engine_prepare *p, struct err *e)
{
	struct container *c = container_of_instance(in);
	struct groups_options go = {
		.id = p->id,
		.path = p->cgroups_path,
		.resources = p->resources,
		.systemd = p->systemd_cgroup,
		.state_fd = p->state_fd,
	};
	int r;

	c->gate_fd = FD_NONE;
	c->id = strdup(p->id);
	if (!c->id)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	r = groups_make(&go, &c->groups, e);
	r = r < 0 ? r : groups_save(c->groups, p->state_fd, e);
	if (r < 0 || !p->network)
		return r;
	c->net_fd = ns_network_make();
	c->net_made = c->net_fd >= 0; /* else by the clone, which says what is wrong */
	return 0;
}

int container_create(struct instance *in, const struct bundle *b, nsec_t deadline, struct err *e)
{
	struct making m = { .c = container_of_instance(in),
			    .b = b,
			    .arena = ARENA_INIT(PLAN_MAX),
			    .sync_fd = FD_NONE,
			    .deadline = deadline };
	struct container *c = m.c;
	int r;

	c->spec = b->spec;
	c->arena = ARENA_INIT(PLAN_MAX);
	c->gate_fd = FD_NONE;
	if (!c->id)
		c->id = strdup(b->id);
	r = c->id ? make(&m, e) : err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	plan_close(&m.plan);
	arena_fini(&m.arena);
	if (r < 0) {
		close_fd(&m.sync_fd);
		return r; /* engine_create destroys what there is */
	}
	c->gate_fd = take_fd(&m.sync_fd);
	c->poststop_due = c->spec->hooks[SPEC_HOOK_POSTSTOP].n != 0;
	return 0;
}

/* The gate of an init that another process created: its copy of the creator's end. */
static int take_gate(struct container *c, struct err *e)
{
	int fd;

	if (c->gate_fd >= 0)
		return 0;
	fd = pidfd_getfd(c->in.pidfd, c->gate_number, 0);
	if (fd < 0)
		return err_sys(e, errno, "taking over the gate of the container's init");
	c->gate_fd = fd;
	return 0;
}

static int run_poststart(struct container *c, struct err *e)
{
	int output[2], r = hooks_open_output(c->spec, output, e);

	if (r < 0)
		return r;
	auto_fd int out = output[0];
	auto_fd int err = output[1];
	struct hooks_call call = {
		.list = &c->spec->hooks[SPEC_HOOK_POSTSTART],
		.kind = SPEC_HOOK_POSTSTART,
		.head = c->state_head,
		.tail = c->state_tail,
		.status = "running",
		.pid = c->in.pid,
		.cwd_fd = FD_NONE,
		.output = (const int[]){ out, err },
	};

	return hooks_run(&call, e);
}

/* The filter is on, and its descriptor waits to be handed to who listens. */
static int give_listener(struct container *c, const struct child_message *msg, struct err *e)
{
	struct listener_call call = {
		.spec = c->spec,
		.head = c->state_head,
		.tail = c->state_tail,
		.status = "created",
		.init_pid = c->in.pid,
		.pid = c->in.pid,
		.pidfd = c->in.pidfd,
		.number = msg->pid,
	};
	int r;

	r = listener_serve(&call, e);
	if (r < 0)
		return r;
	r = go_on(c->gate_fd);
	return r < 0 ? err_sys(e, -r, "the container's init is gone") : 0;
}

int container_start(struct instance *in, struct err *e)
{
	struct container *c = container_of_instance(in);
	struct child_message msg;
	int fd = FD_NONE, r = take_gate(c, e);

	if (r < 0)
		return r;
	r = c->let_go ? 0 : go_on(c->gate_fd);
	if (r < 0)
		return err_sys(e, -r, "the container's init is gone");
	/* End of file: exec closed the other end. The init may also have been killed: then the
	 * caller sees its pidfd. startContainer hooks have their own time limits. */
	do {
		r = container_receive(c->gate_fd, NSEC_NEVER, &msg, &fd, e);
		close_fd(&fd);
	} while (r > 0 && msg.word == CHILD_LISTENER && (r = give_listener(c, &msg, e)) == 0);
	close_fd(&c->gate_fd);
	if (r == 0 && c->let_go && msg.word == CHILD_NEVER_READ)
		return child_gone(c, e); /* before its program: that is no end of the workload */
	if (r < 0)
		return r;
	if (r > 0) {
		*e = msg.err;
		return err_ctx(e, "unable to start container process");
	}
	if (c->late_hooks && c->spec && c->spec->hooks[SPEC_HOOK_POSTSTART].n)
		return run_poststart(c, e);
	return 0;
}
