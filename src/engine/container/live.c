/* SPDX-License-Identifier: Apache-2.0 */
/* Mounts of a running container: live.h. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "engine/container/child.h"
#include "engine/container/container.h"
#include "engine/container/live.h"
#include "engine/container/plan.h"
#include "sys/caps.h"
#include "sys/ns.h"
#include "sys/path.h"
#include "sys/pidfd.h"

#define PLAN_MAX (4u << 20) /* bytes */

struct change {
	struct plan plan;
	struct container *c;
	bool remove;
};

static int detach(struct plan *p, const struct plan_mount *m, struct err *e)
{
	auto_fd int at = path_open_in(p->root_fd, m->destination, O_PATH, 0);
	bool is_root = false;
	uint64_t id;
	char name[40];
	int r = at < 0 ? at : mount_id(at, &id, &is_root);

	if (r == 0 && !is_root)
		return err_set(e, ERR_NOT_FOUND, EINVAL, "nothing is mounted at '%.200s'",
			       m->destination);
	/* Through the host's procfs, which was open before: no path of the container is trusted. */
	(void) snprintf(name, sizeof(name), "self/fd/%d", at);
	if (r == 0 && (fchdir(p->proc_fd) < 0 || umount2(name, MNT_DETACH) < 0))
		r = -errno;
	return r < 0 ? err_sys(e, -r, "unmount '%.200s'", m->destination) : 0;
}

static int change_all(struct change *x, struct err *e)
{
	struct plan *p = &x->plan;

	for (size_t i = 0; i < p->mounts_n; i++) {
		int r = x->remove ? detach(p, &p->mounts[p->mounts_n - 1 - i], e)
				  : rootfs_mount(p, &p->mounts[i], e);

		if (r < 0)
			return r;
	}
	return 0;
}

[[gnu::noreturn]] static void run(struct change *x)
{
	struct plan *p = &x->plan;
	struct err e = {};
	int r = 0;

	(void) prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void) umask(0);
	/* The pid namespace would be our children's. */
	if (setns(x->c->in.pidfd, (int) (x->c->ns_flags & ~(unsigned) CLONE_NEWPID)) < 0)
		r = err_sys(&e, errno, "joining the container's namespaces");
	if (r == 0 && (x->c->ns_flags & CLONE_NEWUSER) &&
	    (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0))
		r = err_sys(&e, errno, "becoming root in the container's user namespace");
	if (r < 0 || change_all(x, &e) < 0)
		child_fail(p->sync_fd, &e);
	_exit(0);
}

static int make_plan(struct change *x, const struct bundle *b, struct err *e)
{
	struct container *c = x->c;
	struct plan *p = &x->plan;
	char root[40];

	p->proc_fd = plan_own(p, open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	(void) snprintf(root, sizeof(root), "%d/root", c->in.pid);
	if (p->proc_fd >= 0)
		p->root_fd = plan_own(p, openat(p->proc_fd, root, O_PATH | O_CLOEXEC));
	if (p->proc_fd < 0 || p->root_fd < 0)
		return err_sys(e, errno, "the container's root file system");
	/* Was it that process's root? */
	if (pidfd_kill(c->in.pidfd, 0) < 0)
		return err_set(e, ERR_CONFLICT, ESRCH, "container not running");
	p->new_user = (c->ns_flags & CLONE_NEWUSER) != 0;
	return plan_mounts(p, b, e);
}

static int serve(struct change *x, struct err *e)
{
	auto_fd int sock = FD_NONE, pidfd = FD_NONE;
	struct child_message m;
	int pair[2], fd = FD_NONE, r;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(e, errno, "socket pair");
	sock = pair[0];
	x->plan.sync_fd = pair[1];
	/* Among strangers: nothing of it may be looked at (CVE-2016-9962). */
	int dumpable = prctl(PR_GET_DUMPABLE);

	(void) prctl(PR_SET_DUMPABLE, 0);
	pid = ns_clone(0, FD_NONE, &pidfd);
	if (pid == 0)
		run(x);
	(void) prctl(PR_SET_DUMPABLE, dumpable == 1);
	(void) close(pair[1]);
	if (pid < 0)
		return err_sys(e, -pid, "clone3 of a process for the mounts");
	r = container_receive(sock, NSEC_NEVER, &m, &fd, e);
	close_fd(&fd);
	(void) pidfd_reap(pidfd, NULL);
	if (r > 0) {
		*e = m.err;
		return -1;
	}
	return r;
}

static int change_mounts(struct instance *in, const struct spec *s, const struct spec_mount *v,
			 size_t n, bool remove, struct err *e)
{
	auto_arena struct arena arena = ARENA_INIT(PLAN_MAX);
	struct spec with = *s;
	struct bundle b = { .spec = &with, .bundle_fd = AT_FDCWD, .root_fd = FD_NONE };
	struct change x = {
		.c = container_of_instance(in),
		.remove = remove,
		.plan = { .a = &arena, .spec = s, .root_fd = FD_NONE, .proc_fd = FD_NONE }
	};
	int r;

	if (!caps_effective(CAP_SYS_ADMIN))
		return err_set(e, ERR_UNSUPPORTED, EPERM,
			       "mounts of a running container need root: its sources cannot be "
			       "reached from inside");
	with.mounts = (struct spec_mount *) (uintptr_t) v;
	with.mounts_n = n;
	r = make_plan(&x, &b, e);
	r = r < 0 ? r : serve(&x, e);
	plan_close(&x.plan);
	return r;
}

int live_mounts_add(struct instance *in, const struct spec *s, const struct spec_mount *v, size_t n,
		    struct err *e)
{
	return change_mounts(in, s, v, n, false, e);
}

int live_mounts_remove(struct instance *in, const struct spec *s, const struct spec_mount *v,
		       size_t n, struct err *e)
{
	return change_mounts(in, s, v, n, true, e);
}
