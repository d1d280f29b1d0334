/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One more process in a running container: one clone3, born in the container's pid namespace,
 * which then joins the other namespaces of the init through its pidfd. It is the caller's child.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/log.h"
#include "engine/container/child.h"
#include "engine/container/container.h"
#include "engine/container/cpus.h"
#include "engine/container/exec.h"
#include "engine/container/groups.h"
#include "engine/container/listener.h"
#include "engine/container/plan.h"
#include "engine/container/seccomp.h"
#include "sys/fdpass.h"
#include "sys/pidfd.h"

#define PLAN_MAX (4u << 20) /* bytes */

static int plan_affinity(struct plan *p, const char *list, uint64_t **ret_mask, size_t *ret_bytes,
			 const char *key, struct err *e)
{
	size_t bits = 0;
	int r;

	if (!list || !list[0])
		return 0;
	*ret_mask = arena_alloc(p->a, CPUS_MAX / 8);
	if (!*ret_mask)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	r = cpus_parse(list, *ret_mask, &bits);
	if (r < 0)
		return err_set(e, ERR_INVALID, EINVAL,
			       "process.execCPUAffinity.%s: '%.60s' is no list of processors", key,
			       list);
	*ret_bytes = (bits + 63) / 64 * 8;
	if (*ret_bytes == 8)
		log_debug("nsexec: affinity: 0x%llx (%s)", (unsigned long long) **ret_mask, key);
	return 0;
}

static int plan_exec(struct exec_plan *xp, struct container *c, const struct exec_spec *x,
		     struct arena *a, struct err *e)
{
	const struct spec_process *s = x->process;
	const struct spec_cpu_affinity *aff = s->exec_cpu_affinity;
	struct plan *p = &xp->plan;
	char path[40];
	int r;

	*xp = (struct exec_plan){ .plan = { .a = a,
					    .id = c->id,
					    .groups = c->groups,
					    .root_fd = FD_NONE,
					    .sync_fd = FD_NONE,
					    .gate_fd = FD_NONE },
				  .init_pidfd = c->in.pidfd,
				  .root_fd = FD_NONE,
				  .ns_flags = c->ns_flags };
	p->proc_fd = plan_own(p, open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC));
	p->host_dev_null = plan_own(p, open("/dev/null", O_RDWR | O_CLOEXEC | O_NOCTTY));
	if (p->proc_fd < 0 || p->host_dev_null < 0)
		return err_sys(e, errno, "/proc and /dev/null");
	if (c->chrooted) {
		(void) snprintf(path, sizeof(path), "%d/root", (int) c->in.pid);
		xp->root_fd = plan_own(p,
				       openat(p->proc_fd, path, O_PATH | O_DIRECTORY | O_CLOEXEC));
		if (xp->root_fd < 0)
			return err_sys(e, errno, "the container's root");
	}
	p->process.memory_policy = x->memory_policy;
	r = plan_process_make(p, s, e);
	if (r == 0 && aff)
		r = plan_affinity(p, aff->initial, &xp->initial_cpus, &xp->initial_bytes, "initial",
				  e);
	if (r == 0 && aff)
		r = plan_affinity(p, aff->final, &xp->final_cpus, &xp->final_bytes, "final", e);
	if (r == 0 && x->seccomp)
		r = seccomp_compile(a, x->cache_fd, x->seccomp, &p->process.seccomp,
				    &p->process.seccomp_flags, e);
	if (r < 0)
		return r;
	p->process.new_keyring = !c->callers_keyring;
	p->process.personality_set = x->personality_set;
	p->process.personality = x->personality;
	p->process.joined_user = (c->ns_flags & CLONE_NEWUSER) != 0;
	for (int i = 0; i < 3; i++)
		p->process.stdio[i] = s->terminal	 ? FD_NONE
				      : x->stdio[i] >= 0 ? x->stdio[i]
							 : p->host_dev_null;
	return plan_preserve(p, x->preserve_fds, x->preserve_fds_n, e);
}

/* Born in the container's pid namespace: we lend ourselves to it for this one clone. */
static int clone_exec(struct exec_plan *xp, struct container *c, pid_t *ret_pid, int *ret_pidfd,
		      struct err *e)
{
	bool join = (c->ns_flags & CLONE_NEWPID) != 0;
	auto_fd int own = FD_NONE;
	pid_t pid;

	if (join) {
		own = pidfd_of(getpid());
		if (own < 0)
			return err_sys(e, -own, "pidfd of the own process");
		/* An ordinary user has the right to only in his user namespace, and root of one
		 * may not come back: then a helper goes in for good. */
		xp->fork_inside = setns(own, CLONE_NEWPID) < 0;
		if (!xp->fork_inside && setns(c->in.pidfd, CLONE_NEWPID) < 0)
			return err_sys(e, errno, "joining the container's pid namespace");
		join = !xp->fork_inside;
	}
	/* Processes of the container see it at once: they shall not look into it, nor at the
	 * program it comes from (CVE-2016-9962, CVE-2019-5736). */
	int dumpable = prctl(PR_GET_DUMPABLE);

	(void) prctl(PR_SET_DUMPABLE, 0);
	int unified = xp->enters ? groups_clone_fd(c->groups) : FD_NONE;

	xp->enters = xp->enters && !xp->fork_inside;
	xp->plan.groups_born = xp->enters && unified >= 0;
	pid = ns_clone(0, xp->enters ? unified : FD_NONE, ret_pidfd);
	if (pid < 0 && xp->plan.groups_born) { /* it has groups below it, say: see groups_attach */
		xp->enters = false;
		pid = ns_clone(0, FD_NONE, ret_pidfd);
	}
	if (pid == 0)
		exec_child(xp);
	(void) prctl(PR_SET_DUMPABLE, dumpable == 1);
	if (join && setns(own, CLONE_NEWPID) < 0 && pid > 0)
		return err_sys(e, errno, "returning to the own pid namespace");
	if (pid < 0)
		return err_sys(e, -pid, "clone3 of a process for exec");
	*ret_pid = pid;
	return 0;
}

/* The process proper, forked by a helper in the container's user namespace: our child as well. */
static int take_pid(int sock, struct exec *got, struct err *e)
{
	struct child_message m;
	int fd = FD_NONE, pidfd, r = container_receive(sock, NSEC_NEVER, &m, &fd, e);

	close_fd(&fd);
	if (r < 0)
		return r;
	if (r == 0)
		return err_set(e, ERR_INTERNAL, ECHILD, "exec ended without a word");
	if (m.word != CHILD_PID) {
		*e = m.err;
		return err_ctx(e, "exec failed");
	}
	pidfd = pidfd_of(m.pid);
	if (pidfd < 0)
		return err_sys(e, -pidfd, "the process for exec");
	(void) pidfd_reap(got->pidfd, NULL); /* the helper: it has nothing more to tell */
	(void) close(got->pidfd);
	got->pidfd = pidfd;
	got->pid = m.pid;
	return 0;
}

static int take_console(const struct exec_spec *x, int fd, struct exec *ret, struct err *e)
{
	static const char name[] = "/dev/ptmx"; /* what console sockets are sent by custom */
	int r;

	if (x->console_socket < 0) {
		ret->console_fd = fd;
		return 0;
	}
	r = fdpass_send(x->console_socket, name, sizeof(name) - 1, &fd, 1);
	(void) close(fd);
	return r < 0 ? err_sys(e, -r, "sending the terminal to the console socket") : 0;
}

/* As for the init at its start: see create.c. */
static int give_listener(const struct container *c, int sock, const struct exec *x, int number,
			 struct err *e)
{
	struct listener_call call = {
		.spec = c->spec,
		.head = c->state_head,
		.tail = c->state_tail,
		.status = engine_state_name(c->in.state),
		.init_pid = c->in.pid,
		.pid = x->pid,
		.pidfd = x->pidfd,
		.number = number,
	};
	int r;

	r = listener_serve(&call, e);
	if (r == 0 && send(sock, "g", 1, MSG_NOSIGNAL) < 0)
		r = err_sys(e, errno, "the process for exec is gone");
	return r;
}

/* Until end of file, which is its exec. */
static int serve(const struct container *c, const struct exec_spec *x, int sock, struct exec *ret,
		 struct err *e)
{
	for (;;) {
		struct child_message m;
		int fd = FD_NONE, r = container_receive(sock, NSEC_NEVER, &m, &fd, e);

		if (r <= 0)
			return r;
		if (m.word == CHILD_LISTENER) {
			close_fd(&fd);
			r = give_listener(c, sock, ret, m.pid, e);
			if (r < 0)
				return r;
			continue;
		}
		if (m.word == CHILD_CONSOLE && fd >= 0) {
			r = take_console(x, fd, ret, e);
			if (r < 0)
				return r;
			continue;
		}
		close_fd(&fd);
		*e = m.err;
		return err_ctx(e, "exec failed");
	}
}

/*
 * Into the container's cgroups while it waits. A v2 container that made sub-groups of its own
 * cannot take processes at its root any more: then beside its init.
 */
static int enter_groups(struct container *c, const struct exec_spec *x, pid_t pid, struct err *e)
{
	if (!c->groups)
		return 0;
	return groups_attach(c->groups, pid, c->in.pid, x->cgroups, x->cgroups_n, e);
}

int container_exec(struct instance *in, const struct exec_spec *x, struct exec *ret, struct err *e)
{
	struct container *c = container_of_instance(in);
	auto_arena struct arena arena = ARENA_INIT(PLAN_MAX);
	struct exec got = { .pidfd = FD_NONE, .console_fd = FD_NONE };
	struct exec_plan xp;
	auto_fd int sock = FD_NONE;
	int pair[2], r = plan_exec(&xp, c, x, &arena, e);

	if (r == 0 && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		r = err_sys(e, errno, "socket pair");
	if (r < 0) {
		plan_close(&xp.plan);
		return r;
	}
	/* Moving another process waits for an RCU grace period in v1: it shall move itself. */
	xp.enters = c->groups && x->cgroups_n == 0 && groups_open(c->groups);
	sock = pair[0];
	xp.plan.sync_fd = pair[1];
	r = clone_exec(&xp, c, &got.pid, &got.pidfd, e);
	(void) close(pair[1]);
	r = r < 0 || !xp.fork_inside ? r : take_pid(sock, &got, e);
	r = r < 0 || xp.enters ? r : enter_groups(c, x, got.pid, e);
	r = r < 0 ? r : rdt_enter(&c->rdt, got.pid, e);
	if (r == 0 && send(sock, "g", 1, MSG_NOSIGNAL) < 0)
		r = err_sys(e, errno, "the process for exec is gone");
	r = r < 0 ? r : serve(c, x, sock, &got, e);
	plan_close(&xp.plan);
	if (r < 0) {
		if (got.pidfd >= 0) {
			(void) pidfd_kill(got.pidfd, SIGKILL);
			(void) pidfd_reap(got.pidfd, NULL);
		}
		close_fd(&got.pidfd);
		close_fd(&got.console_fd);
		return r;
	}
	*ret = got;
	return 0;
}
