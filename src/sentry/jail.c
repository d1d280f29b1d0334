/* SPDX-License-Identifier: Apache-2.0 */
#include "sentry/jail.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "sentry/filter.h"
#include "sentry/landlock.h"
#include "sys/caps.h"
#include "sys/enclose.h"
#include "sys/ns.h"

#define SPACES (CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP)

static int become(uint32_t uid, uint32_t gid, struct err *e)
{
	if (setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return err_sys(e, errno, "become user %u, group %u", uid, gid);
	/* What is in /proc of it is its own again: the maps are written there. */
	if (prctl(PR_SET_DUMPABLE, 1) < 0)
		return err_sys(e, errno, "become user %u, group %u", uid, gid);
	return 0;
}

/* Without the right to it, or with too few ids, it stays who it is, in a user namespace. */
static int become_nobody(struct err *e)
{
	uint32_t id;

	if (!caps_effective(CAP_SETUID) || !caps_effective(CAP_SETGID) || !ns_stranger(&id))
		return 0;
	/* Some user namespaces forbid it (ns_deny_setgroups). */
	if (setgroups(0, NULL) < 0 && errno != EPERM)
		return err_sys(e, errno, "give up groups");
	return become(id, id, e);
}

static int take_ids(const struct jail *j, struct err *e)
{
	if (j->own_ids)
		return become_nobody(e);
	if (!j->set_ids)
		return 0;
	if (setgroups(0, NULL) < 0)
		return err_sys(e, errno, "become user %u, group %u", j->uid, j->gid);
	return become(j->uid, j->gid, e);
}

static int own_id(enum ns_map_kind kind, uint32_t id)
{
	const struct ns_map map = { .inside = id, .outside = id, .count = 1 };

	return ns_write_map(getpid(), kind, &map, 1);
}

static int take_namespaces(bool network, struct err *e)
{
	const uint32_t uid = geteuid(), gid = getegid();
	int r;

	if (unshare(SPACES | (network ? CLONE_NEWNET : 0) | (getpid() == 1 ? 0 : CLONE_NEWPID)) < 0)
		return err_sys(e, errno, "make namespaces to be jailed in");
	r = ns_deny_setgroups(getpid());
	if (r == 0)
		r = own_id(NS_MAP_UID, uid);
	if (r == 0)
		r = own_id(NS_MAP_GID, gid);
	return r < 0 ? err_sys(e, -r, "map the ids of its user namespace") : 0;
}

/* All but its capabilities in its user namespace. Processes of one Landlock domain may signal each
 * other, which the death of a parent is, too: before there are two. */
static int give_up(struct err *e)
{
	static const struct rlimit none = { 0, 0 };

	if (enclose_root(e) < 0)
		return -1;
	if (setrlimit(RLIMIT_CORE, &none) < 0)
		return err_sys(e, errno, "forbid core files");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0)
		return err_sys(e, errno, "give up privileges");
	return landlock_nothing(e);
}

/* It has nothing any more, and does nothing but wait, with `all` signals blocked. */
[[gnu::noreturn]] static void stand_for(pid_t child, int sock, const sigset_t *all)
{
	siginfo_t info = {};
	struct err e;

	enclose_fds(0, (const int[]){ sock }, 1);
	if (filter_enter_waiting(&e) < 0)
		_exit(SANDBOX_FAILED);
	while (info.si_pid != child) {
		int signo = sigwaitinfo(all, NULL);
		unsigned char byte = (unsigned char) signo;

		if (signo == SIGCHLD)
			(void) waitid(P_PID, (id_t) child, &info, WEXITED | WNOHANG);
		else if (signo > 0) /* nobody reads any more: then it ends */
			(void) send(sock, &byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	}
	_exit(info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status);
}

/* One byte to the other, and one back: 0, or -1 when the other has ended. */
static int exchange(int fd, bool first)
{
	char byte = 0;
	ssize_t n;

	for (int turn = 0; turn < 2; turn++) {
		do
			n = (turn == 0) == first ? write(fd, &byte, 1) : read(fd, &byte, 1);
		while (n < 0 && errno == EINTR);
		if (n != 1)
			return -1;
	}
	return 0;
}

/* With what take_namespaces() has left to it. */
static int give_up_network(struct err *e)
{
	return unshare(CLONE_NEWNET) < 0 ? err_sys(e, errno, "make a network namespace")
					 : enclose_caps(0, e);
}

/* stays: both have their capabilities yet, and who stands for it stays in its network namespace. */
static int go_on_as_first(bool stays, int *ret_signals, struct err *e)
{
	const struct sigaction usual = { .sa_handler = SIG_DFL };
	auto_fd int own = FD_NONE, other = FD_NONE;
	sigset_t all, before;
	int ends[2];
	pid_t child;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return err_sys(e, errno, "make a pair of sockets");
	own = ends[0];
	other = ends[1];
	(void) sigaction(SIGCHLD, &usual, NULL); /* these three are given what is valid */
	(void) sigfillset(&all);
	(void) sigprocmask(SIG_BLOCK, &all, &before);
	child = fork();
	if (child < 0)
		return err_sys(e, errno, "make the sandbox's process");
	if (child > 0) {
		close_fd(&other);
		if (stays && enclose_caps(0, e) < 0) {
			(void) fprintf(stderr, "atoll-sentry: %s\n", e->msg);
			_exit(SANDBOX_FAILED);
		}
		(void) exchange(own, false); /* its end is waited for anyway */
		stand_for(child, own, &all);
	}
	(void) sigprocmask(SIG_SETMASK, &before, NULL);
	close_fd(&own);
	if (stays && give_up_network(e) < 0)
		return -1;
	/* Then the parent answers, if it is there still: it has no number in here. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return err_sys(e, errno, "set the signal of the parent's death");
	if (exchange(other, true) < 0)
		return err_set(e, ERR_CONFLICT, ESRCH, "the process that started this has ended");
	*ret_signals = take_fd(&other);
	return 0;
}

int jail_enter(const struct jail *j, int *ret_signals, struct err *e)
{
	bool stays = j->network_stays && getpid() != 1;
	int death_signal = 0;
	pid_t parent = getppid();

	if (prctl(PR_GET_PDEATHSIG, &death_signal) < 0)
		return err_sys(e, errno, "ask for the signal of the parent's death");
	if (take_ids(j, e) < 0 || take_namespaces(!stays, e) < 0 || give_up(e) < 0 ||
	    (!stays && enclose_caps(0, e) < 0))
		return -1;
	/* A change of credentials forgets it. */
	if (death_signal && prctl(PR_SET_PDEATHSIG, death_signal) < 0)
		return err_sys(e, errno, "set the signal of the parent's death");
	if (death_signal && getppid() != parent)
		return err_set(e, ERR_CONFLICT, ESRCH, "the process that started this has ended");
	*ret_signals = FD_NONE;
	return getpid() == 1 ? 0 : go_on_as_first(stays, ret_signals, e);
}
