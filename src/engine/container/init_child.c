/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The container's init from clone3 to exec. Order (reference: runtime specification, lifecycle):
 * cgroups (unless they are still being made: then after the mounts, before the hooks), identity in
 * a new user namespace, joined namespaces, the two namespaces made late,
 * what is per namespace (sysctls, names, loopback), mounts, hooks, masks, the new root, the
 * process's own attributes; then it waits to be started.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "engine/container/child.h"
#include "engine/container/groups.h"
#include "engine/container/hooks.h"
#include "engine/container/plan.h"
#include "sys/fdpass.h"
#include "sys/ns.h"
#include "sys/pidfd.h"
#include "sys/pty.h"

int child_tell(int sync_fd, enum child_word w, pid_t pid, int fd, const struct err *e)
{
	struct child_message m = { .word = w, .pid = pid };

	if (e)
		m.err = *e;
	/* A filter that may be there already lets through write sooner than sendmsg. */
	if (fd < 0)
		return write(sync_fd, &m, sizeof(m)) == (ssize_t) sizeof(m) ? 0 : -EPIPE;
	return fdpass_send(sync_fd, &m, sizeof(m), &fd, fd >= 0 ? 1 : 0);
}

int child_wait(int sync_fd)
{
	char byte;
	ssize_t r;

	do
		r = read(sync_fd, &byte, 1);
	while (r < 0 && errno == EINTR);
	return r == 1 ? byte : -EPIPE;
}

void child_fail(int sync_fd, const struct err *e)
{
	(void) child_tell(sync_fd, CHILD_FAILED, 0, FD_NONE, e); /* nobody left to tell about it */
	_exit(1);
}

static void fail(struct plan *p, const struct err *e)
{
	child_fail(p->sync_fd, e);
}

static int join(struct plan *p, enum spec_ns_type t, struct err *e)
{
	if (p->join_fd[t] < 0 || setns(p->join_fd[t], 0) == 0)
		return 0;
	return err_sys(e, errno, "joining the %s namespace '%s'", spec_ns_name(t),
		       p->spec->linux_.ns[t].path ? p->spec->linux_.ns[t].path : "prepared");
}

static int join_all(struct plan *p, struct err *e)
{
	static const enum spec_ns_type order[] = { SPEC_NS_CGROUP,  SPEC_NS_IPC,  SPEC_NS_UTS,
						   SPEC_NS_NETWORK, SPEC_NS_TIME, SPEC_NS_MOUNT };

	for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
		int r = join(p, order[i], e);

		if (r < 0)
			return r;
	}
	return 0;
}

/* Offsets are fixed once somebody is in: so make it, write them, and only then go in. */
static int enter_time(struct plan *p, struct err *e)
{
	auto_fd int fd = FD_NONE;
	int r;

	if (!(p->unshare_flags & CLONE_NEWTIME))
		return 0;
	if (unshare(CLONE_NEWTIME) < 0)
		return err_sys(e, errno, "making a time namespace");
	r = p->time_offsets ? fd_write_all(p->time_fd, p->time_offsets, strlen(p->time_offsets))
			    : 0;
	if (r < 0)
		return err_sys(e, -r, "linux.timeOffsets");
	fd = openat(p->proc_fd, "self/ns/time_for_children", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWTIME) < 0)
		return err_sys(e, errno, "entering the time namespace");
	return 0;
}

static int set_names(struct plan *p, struct err *e)
{
	const char *h = p->spec->hostname, *d = p->spec->domainname;

	if (h && h[0] && sethostname(h, strlen(h)) < 0)
		return err_sys(e, errno, "hostname '%.64s'", h);
	if (d && d[0] && setdomainname(d, strlen(d)) < 0)
		return err_sys(e, errno, "domainname '%.64s'", d);
	return 0;
}

/* Through the host's procfs: /proc/sys shows the namespaces of whoever opens the file. */
static int set_sysctls(struct plan *p, struct err *e)
{
	for (size_t i = 0; i < p->sysctls_n; i++) {
		int r = file_put(p->proc_fd, p->sysctl_files[i], str_of(p->sysctl_values[i]));

		if (r < 0)
			return err_sys(e, -r, "sysctl '%.100s' = '%.60s'",
				       p->spec->linux_.sysctl[i].key, p->sysctl_values[i]);
	}
	return 0;
}

static int set_oom(struct plan *p, struct err *e)
{
	const struct spec_process *s = p->process.spec;
	char text[16];
	int n, r;

	if (!s || !s->oom_score_adj_set || p->process.oom_done)
		return 0;
	n = snprintf(text, sizeof(text), "%d", (int) s->oom_score_adj);
	r = file_put(p->proc_fd, "self/oom_score_adj", (struct str){ text, (size_t) n });
	if (r < 0)
		return err_sys(e, -r, "process.oomScoreAdj %s (lowering it needs CAP_SYS_RESOURCE)",
			       text);
	return 0;
}

static int become_root_inside(struct plan *p, struct err *e)
{
	int r;

	p->time_fd = FD_NONE;
	if (p->time_offsets) {
		/* After the change of ids below, procfs shows our files as root's. */
		p->time_fd = openat(p->proc_fd, "self/timens_offsets", O_WRONLY | O_CLOEXEC);
		if (p->time_fd < 0)
			return err_sys(e, errno, "linux.timeOffsets");
	}
	if (p->new_user) {
		r = child_wait(p->sync_fd); /* the parent writes the maps */
		if (r < 0)
			return err_sys(e, -r, "waiting for the id maps");
	}
	if (!p->new_user && !p->join_user)
		return 0;
	r = process_become_root(p->process.spec);
	/* The kernel forgets it with a change of ids. */
	(void) prctl(PR_SET_PDEATHSIG, SIGKILL);
	return r < 0 ? err_sys(e, -r, "becoming root in the user namespace") : 0;
}

/* The parent moves them here; sysctls may be about them. */
static int network_devices(struct plan *p, struct err *e)
{
	int r;

	if (!p->spec->linux_.net_devices_n)
		return 0;
	r = groups_arrive(p, e); /* the next message is the answer */
	if (r < 0)
		return r;
	r = child_tell(p->sync_fd, CHILD_NETWORK, 0, FD_NONE, NULL);
	r = r < 0 ? r : child_wait(p->sync_fd);
	return r < 0 ? err_sys(e, -r, "waiting for the network devices") : 0;
}

static int prepare_namespaces(struct plan *p, struct err *e)
{
	int r = become_root_inside(p, e);

	if (r == 0 && p->groups_due && /* it was born with these two alone */
	    unshare((int) (p->clone_flags & ~(unsigned) (CLONE_NEWPID | CLONE_NEWUSER))) < 0)
		r = err_sys(e, errno, "making the container's namespaces");
	r = r < 0 ? r : set_oom(p, e);
	r = r < 0 ? r : join_all(p, e);
	if (r == 0 && (p->unshare_flags & CLONE_NEWCGROUP) && !p->groups_due &&
	    unshare(CLONE_NEWCGROUP) < 0)
		r = err_sys(e, errno, "making a cgroup namespace");
	r = r < 0 ? r : enter_time(p, e);
	if (r < 0)
		return r;
	if ((p->clone_flags & CLONE_NEWNET) && ns_loopback_up() < 0)
		return err_set(e, ERR_INTERNAL, 0, "the loopback interface does not come up");
	r = set_names(p, e);
	r = r < 0 ? r : network_devices(p, e);
	return r < 0 ? r : set_sysctls(p, e);
}

static int container_hooks(struct plan *p, enum spec_hook_kind kind, const char *status,
			   struct err *e)
{
	auto_fd int cwd = FD_NONE;
	struct hooks_call c = {
		.list = &p->spec->hooks[kind],
		.kind = kind,
		.head = p->state_head,
		.tail = p->state_tail,
		.status = status,
		.pid = getpid(), /* as this namespace sees it */
		.cwd_fd = FD_NONE,
		.output = p->hook_output,
	};

	if (c.list->n && kind == SPEC_HOOK_CREATE_CONTAINER) {
		/* In this mount namespace: the container's mounts are seen from there. */
		cwd = openat(p->root_fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
		c.cwd_fd = cwd;
	}
	/* Inside, its environment is the process's own, as with runc: never the caller's. */
	if (kind == SPEC_HOOK_START_CONTAINER && p->process.spec) {
		c.env = p->process.env;
		c.no_new_privs = p->process.spec->no_new_privileges;
		/* They are behind its filter, too; but nobody listens to it yet. */
		if (p->process.seccomp.len &&
		    !(p->process.seccomp_flags & SECCOMP_FILTER_FLAG_NEW_LISTENER))
			c.filter = &p->process.seccomp;
		c.filter_flags = p->process.seccomp_flags;
	}
	return c.list->n ? hooks_run(&c, e) : 0;
}

static int runtime_hooks(struct plan *p, struct err *e)
{
	int r;

	if (!p->spec->hooks[SPEC_HOOK_PRESTART].n && !p->spec->hooks[SPEC_HOOK_CREATE_RUNTIME].n)
		return 0;
	r = child_tell(p->sync_fd, CHILD_HOOKS, 0, FD_NONE, NULL);
	r = r < 0 ? r : child_wait(p->sync_fd);
	return r < 0 ? err_sys(e, -r, "waiting for the runtime's hooks") : 0;
}

static int console(struct plan *p, struct err *e)
{
	const struct spec_process *s = p->process.spec;
	auto_fd int master = FD_NONE, slave = FD_NONE;
	int r;

	if (!s || !s->terminal)
		return 0;
	r = devices_console(p, &master, &slave, e);
	if (r < 0)
		return r;
	if (s->console_size && (s->console_size->height || s->console_size->width))
		r = pty_resize(master, s->console_size->height, s->console_size->width);
	r = r < 0 ? r : pty_no_onlcr(slave);
	if (r == 0 && fchown(slave, s->user.uid, (gid_t) -1) < 0 && errno != EPERM)
		r = -errno;
	r = r < 0 ? r : child_tell(p->sync_fd, CHILD_CONSOLE, 0, master, NULL);
	r = r < 0 ? r : pty_take(slave);
	return r < 0 ? err_sys(e, -r, "console") : 0;
}

static int build(struct plan *p, struct err *e)
{
	int r = prepare_namespaces(p, e);

	r = r < 0 ? r : process_open_label(p, e);
	/* Whoever shares a pid namespace with us shall not look at what we hold (CVE-2016-9962). */
	(void) prctl(PR_SET_DUMPABLE, 0);
	r = r < 0 || !p->late ? r : late_sources(p, e);
	r = r < 0 ? r : rootfs_build(p, e);
	r = r < 0 ? r : (p->make_dev ? devices_fill(p, e) : 0);
	r = r < 0 ? r : groups_arrive(p, e);
	r = r < 0 ? r : console(p, e);
	r = r < 0 ? r : runtime_hooks(p, e);
	r = r < 0 ? r : container_hooks(p, SPEC_HOOK_CREATE_CONTAINER, "creating", e);
	r = r < 0 ? r : rootfs_protect(p, e);
	return r < 0 ? r : rootfs_enter(p, e);
}

/*
 * Whoever looks into the init while it waits shall find nothing of the host's: all is closed but
 * the streams, the gate, and what is passed on or still written to.
 */
static void close_the_rest(struct plan *p)
{
	int keep[8] = { p->sync_fd, p->gate_fd, p->process.lsm_fd, p->hook_output[0],
			p->hook_output[1] };
	size_t n = p->process.preserve_fds_n;
	unsigned from = 3;

	for (;;) {
		int next = INT_MAX;

		for (size_t i = 0; i < 5 + n; i++) {
			int fd = i < 5 ? keep[i] : p->process.preserve_fds[i - 5];

			if (fd >= (int) from && fd < next)
				next = fd;
		}
		if ((unsigned) next > from)
			(void) close_range(from, next == INT_MAX ? ~0u : (unsigned) next - 1, 0);
		if (next == INT_MAX)
			return;
		from = (unsigned) next + 1;
	}
}

static void end_by_signal(int signo)
{
	_exit(128 + signo);
}

/*
 * Number 1 of a pid namespace ignores what it has no handler for. While it waits it is to end by
 * what ends any process; exec takes the handlers away again.
 */
static void heed_signals(void)
{
	static const int ends[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2 };
	struct sigaction act = { .sa_handler = end_by_signal };
	sigset_t set;

	(void) sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		(void) sigaction(ends[i], &act, NULL);
		(void) sigaddset(&set, ends[i]);
	}
	(void) sigprocmask(SIG_UNBLOCK, &set, NULL);
}

/*
 * From here on whoever holds the gate talks to us: the creator, or another process that took it
 * over with pidfd_getfd. Our own copy must go, or nobody would see us end.
 */
static void wait_for_start(struct plan *p)
{
	/* Killed while it cloned us, it was gone before we asked for its death signal. */
	if (pidfd_poll(p->creator_fd, 0) > 0)
		_exit(1);
	/* The creator may go, or must not: a change of ids has disarmed it. */
	(void) prctl(PR_SET_PDEATHSIG, p->bound || p->at_once ? SIGKILL : 0);
	if (!p->bound && !p->at_once) {
		close_the_rest(p);
		/* Who has no power over hidden processes takes the gate of a visible one only. */
		if (p->unprivileged)
			(void) prctl(PR_SET_DUMPABLE, 1);
		heed_signals();
	}
	if (!p->at_once && child_tell(p->sync_fd, CHILD_READY, 0, FD_NONE, NULL) < 0)
		_exit(1);
	int go = child_wait(p->sync_fd);

	if (go < 0)
		_exit(1);
	p->process.signals_reset = go == CHILD_GO_UNIGNORED;
	/*
	 * Not before: killed until now, a creator that nobody can take over from would leave us
	 * waiting for good, with copies of all it had open.
	 */
	(void) prctl(PR_SET_PDEATHSIG, 0);
	close_fd(&p->gate_fd);
}

static void run(struct plan *p)
{
	const char *path = NULL;
	struct err e = {};

	(void) umask(0); /* modes are given in full until the process gets its own */
	(void) setsid();
	if (process_keyring(p, &e) < 0 || build(p, &e) < 0)
		fail(p, &e);
	if (p->process.spec && process_prepare(&p->process, &path, &e) < 0)
		fail(p, &e);
	wait_for_start(p);
	if (!p->process.spec) {
		(void) err_set(&e, ERR_INVALID, EINVAL, "config.json has no process to start");
		fail(p, &e);
	}
	if (container_hooks(p, SPEC_HOOK_START_CONTAINER, "created", &e) < 0)
		fail(p, &e);
	(void) process_exec(&p->process, path, &p->sync_fd, &e); /* returns only with a failure */
	fail(p, &e);
}

/*
 * Namespaces that belong to the caller's user namespace are joined with the rights he has there,
 * those that belong to the joined one with the rights in it: whichever the kernel accepts.
 */
static void join_as_ourselves(struct plan *p)
{
	static const enum spec_ns_type types[] = { SPEC_NS_PID, SPEC_NS_IPC, SPEC_NS_UTS,
						   SPEC_NS_NETWORK };

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		int *fd = &p->join_fd[types[i]];

		if (*fd >= 0 && setns(*fd, 0) == 0)
			*fd = FD_NONE; /* plan_close has it too */
	}
}

/*
 * A user namespace that exists already must own the namespaces made here: go in first, then make
 * them with a second clone whose child is the parent's, not ours. The same when the creator could
 * not leave a pid namespace again that he joined for the clone.
 */
static void fork_inside(struct plan *p)
{
	int pidfd = FD_NONE;
	struct err e = {};
	pid_t pid;

	/* What a user namespace takes the right to do comes first. */
	if (set_oom(p, &e) < 0 ||
	    (p->process.spec && process_limits_raise(p->process.spec, 0, &e) < 0))
		fail(p, &e);
	p->process.oom_done = true;
	join_as_ourselves(p);
	if (join(p, SPEC_NS_USER, &e) < 0 || join(p, SPEC_NS_PID, &e) < 0)
		fail(p, &e);
	pid = ns_clone(p->clone_flags | CLONE_PARENT, FD_NONE, &pidfd);
	if (pid == 0) {
		(void) prctl(PR_SET_PDEATHSIG, SIGKILL);
		/* Until the creator knows who we are. */
		if (child_wait(p->sync_fd) < 0)
			_exit(1);
		run(p);
	}
	if (pid < 0) {
		(void) err_sys(&e, -pid, "making the namespaces");
		fail(p, &e);
	}
	if (child_tell(p->sync_fd, CHILD_PID, pid, FD_NONE, NULL) < 0)
		_exit(1);
	_exit(0);
}

void init_child(struct plan *p)
{
	size_t place = 0;
	struct err e = {};
	int r;

	/* If the creator dies before we are ready, so shall we. */
	(void) prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (p->groups && groups_placed(p->groups) && child_wait(p->sync_fd) < 0)
		_exit(1);
	r = p->groups && !p->groups_due ? groups_enter(p->groups, p->groups_born, &place) : 0;
	if (r < 0) {
		(void) err_sys(&e, -r, "entering the cgroup '%s' of %s", p->groups->at[place].path,
			       p->groups->at[place].dir);
		fail(p, &e);
	}
	process_all_cpus();
	if (p->fork_inside)
		fork_inside(p);
	run(p);
	_exit(1); /* not reached */
}
