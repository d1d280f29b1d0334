/* SPDX-License-Identifier: Apache-2.0 */
/* The child of an exec, from clone3 into the container's namespaces to the program. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/auto.h"
#include "engine/container/child.h"
#include "engine/container/exec.h"
#include "engine/container/groups.h"
#include "sys/pty.h"

static int set_affinity(const uint64_t *mask, size_t n, const char *key, struct err *e)
{
	if (mask && syscall(SYS_sched_setaffinity, 0, n, mask) < 0)
		return err_sys(e, errno, "process.execCPUAffinity.%s", key);
	return 0;
}

/* A terminal of the container's own devpts, as its init's. */
static int console(struct plan *p, struct err *e)
{
	const struct spec_process *s = p->process.spec;
	auto_fd int pts = FD_NONE, master = FD_NONE, slave = FD_NONE;
	struct statfs fs;
	int r;

	if (!s->terminal)
		return 0;
	pts = open("/dev/pts", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (pts < 0 || fstatfs(pts, &fs) < 0)
		return err_sys(e, errno, "terminal: /dev/pts of the container");
	if (fs.f_type != DEVPTS_SUPER_MAGIC)
		return err_set(e, ERR_DENIED, ENOTTY,
			       "terminal: /dev/pts of the container is not a devpts");
	r = pty_open(pts, "ptmx", &master, &slave);
	if (r == 0 && s->console_size && (s->console_size->height || s->console_size->width))
		r = pty_resize(master, s->console_size->height, s->console_size->width);
	r = r < 0 ? r : pty_no_onlcr(slave);
	if (r == 0 && fchown(slave, s->user.uid, (gid_t) -1) < 0 && errno != EPERM)
		r = -errno;
	r = r < 0 ? r : child_tell(p->sync_fd, CHILD_CONSOLE, 0, master, NULL);
	r = r < 0 ? r : pty_take(slave);
	return r < 0 ? err_sys(e, -r, "terminal") : 0;
}

static int join(struct exec_plan *xp, struct err *e)
{
	/* We are in the pid namespace by birth; it may be none of the process's own to join. */
	int flags = (int) (xp->ns_flags & ~(unsigned) (xp->fork_inside ? 0 : CLONE_NEWPID));

	if (flags && setns(xp->init_pidfd, flags) < 0)
		return err_sys(e, errno, "joining the container's namespaces");
	/* A mount namespace is entered at its own root, which is not the container's then. */
	if (xp->root_fd >= 0 && (fchdir(xp->root_fd) < 0 || chroot(".") < 0))
		return err_sys(e, errno, "entering the container's root");
	return 0;
}

static int become_root(struct exec_plan *xp, struct err *e)
{
	int r = xp->ns_flags & CLONE_NEWUSER ? process_become_root(xp->plan.process.spec) : 0;

	(void) prctl(PR_SET_PDEATHSIG, SIGKILL); /* the kernel forgets it with a change of ids */
	return r < 0 ? err_sys(e, -r, "becoming root in the container's user namespace") : 0;
}

/* A pid namespace takes those that are born after its joining: the process proper is. */
static void fork_inside(struct exec_plan *xp)
{
	struct err e = {};
	int pidfd = FD_NONE;
	pid_t pid;

	if (join(xp, &e) < 0)
		child_fail(xp->plan.sync_fd, &e);
	pid = ns_clone(CLONE_PARENT, FD_NONE, &pidfd);
	if (pid == 0)
		return;
	if (pid < 0) {
		(void) err_sys(&e, -pid, "clone3 of a process for exec");
		child_fail(xp->plan.sync_fd, &e);
	}
	_exit(child_tell(xp->plan.sync_fd, CHILD_PID, pid, FD_NONE, NULL) < 0);
}

static int enter(struct plan *p, struct err *e)
{
	size_t place = 0;
	int r = groups_enter(p->groups, p->groups_born, &place);

	return r < 0 ? err_sys(e, -r, "entering the container's cgroup of %s",
			       p->groups->layout.at[place].dir)
		     : 0;
}

void exec_child(struct exec_plan *xp)
{
	struct plan *p = &xp->plan;
	const char *path = NULL;
	struct err e = {};
	int r;

	if ((xp->ns_flags & CLONE_NEWUSER) && process_limits_raise(p->process.spec, 0, &e) < 0)
		child_fail(p->sync_fd, &e);
	if (xp->fork_inside)
		fork_inside(xp);
	(void) prctl(PR_SET_PDEATHSIG, SIGKILL); /* until it stands on its own feet */
	(void) setsid();
	/* Specification: `initial` before the cgroup is entered, `final` after. */
	r = set_affinity(xp->initial_cpus, xp->initial_bytes, "initial", &e);
	if (r == 0 && xp->enters)
		r = enter(p, &e);
	if (r == 0 && child_wait(p->sync_fd) < 0)
		_exit(1); /* the parent gave up */
	if (r == 0 && !xp->initial_cpus && !xp->final_cpus)
		process_all_cpus();
	r = r < 0 ? r : set_affinity(xp->final_cpus, xp->final_bytes, "final", &e);
	r = r < 0 ? r : process_open_label(p, &e);
	r = r < 0 || xp->fork_inside ? r : join(xp, &e);
	r = r < 0 ? r : become_root(xp, &e);
	r = r < 0 ? r : process_keyring(p, &e);
	r = r < 0 ? r : console(p, &e);
	r = r < 0 ? r : process_prepare(&p->process, &path, &e);
	(void) prctl(PR_SET_PDEATHSIG, 0);
	if (r == 0)
		r = process_exec(&p->process, path, &p->sync_fd, &e);
	child_fail(p->sync_fd, &e);
}
