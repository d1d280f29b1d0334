/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/sandbox/waiter.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/auto.h"
#include "proto/sentry.h"
#include "sys/caps.h"
#include "sys/enclose.h"
#include "sys/filter.h"
#include "sys/ns.h"

#define LOST	  (128 + SIGKILL) /* with its sandbox */
#define ARENA_MAX (1u << 20)

static const struct seccomp_rule own[] = {
	FILTER_CALL(poll),    FILTER_CALL(read),    FILTER_CALL(sendto),
	FILTER_CALL(sendmsg), FILTER_CALL(recvmsg),
};

struct waiter {
	int wait_sock, signal_sock, netns_fd, signals;
	uint64_t process;
};

static int receive(int sock, struct sentry_reply *ret)
{
	auto_arena struct arena a = ARENA_INIT(ARENA_MAX);
	struct sentry_reply answer;
	int r = sentry_receive_reply(sock, &a, &answer);

	if (r > 0) {
		*ret = answer;
		ret->reason = ""; /* it was in the arena */
	}
	return r;
}

static void hand_on(const struct waiter *w)
{
	struct sentry_request q = sentry_request(SENTRY_SIGNAL);
	struct signalfd_siginfo info;

	while (read(w->signals, &info, sizeof(info)) == (ssize_t) sizeof(info)) {
		q.process = w->process;
		q.signal = info.ssi_signo;
		(void) sentry_send_request(w->signal_sock, &q); /* it may have ended: seen next */
	}
}

[[gnu::noreturn]] static void stand_for(struct waiter *w)
{
	struct pollfd v[] = { { .fd = w->wait_sock, .events = POLLIN },
			      { .fd = w->signals, .events = POLLIN },
			      { .fd = w->signal_sock, .events = POLLIN } };
	struct sentry_reply answer = {};

	for (;;) {
		if (poll(v, ARRAY_SIZE(v), -1) < 0 && errno != EINTR)
			_exit(LOST);
		if (v[0].revents) {
			int r = receive(w->wait_sock, &answer);

			_exit(r > 0 && !answer.error ? (int) answer.status : LOST);
		}
		if (v[1].revents)
			hand_on(w);
		if (v[2].revents && receive(w->signal_sock, &answer) <= 0)
			v[2].fd = -1;
	}
}

/* No name is looked up after this: that there is a root changes nothing. */
[[gnu::noreturn]] static void child(struct waiter *w)
{
	const struct filter_table tables[] = { filter_common, FILTER_TABLE(own) };
	const struct caps none = {};
	sigset_t all;
	struct err e;

	(void) setsid(); /* not to die of the caller's terminal; it is no leader of a group */
	(void) sigfillset(&all);
	if (sigprocmask(SIG_BLOCK, &all, NULL) < 0)
		_exit(LOST);
	if (w->netns_fd >= 0 && setns(w->netns_fd, CLONE_NEWNET) < 0)
		_exit(LOST);
	enclose_fds(0, (const int[]){ w->wait_sock, w->signal_sock }, 2);
	w->signals = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
	if (w->signals < 0 || caps_set(&none) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    filter_set(tables, ARRAY_SIZE(tables), &e) < 0)
		_exit(LOST);
	stand_for(w);
}

int waiter_start(int wait_sock, int signal_sock, uint64_t process, int netns_fd, pid_t *ret_pid,
		 int *ret_pidfd, struct err *e)
{
	struct waiter w = { .wait_sock = wait_sock,
			    .signal_sock = signal_sock,
			    .netns_fd = netns_fd,
			    .process = process };
	struct sentry_request q = sentry_request(SENTRY_WAIT);
	pid_t pid;
	int r;

	q.process = process;
	q.signal = SIGKILL;
	r = sentry_send_request(wait_sock, &q);
	if (r < 0)
		return err_sys(e, -r, "wait for a process of the sandbox");
	pid = ns_clone(0, FD_NONE, ret_pidfd);
	if (pid < 0)
		return err_sys(e, -pid, "a process for one of the sandbox");
	if (pid == 0)
		child(&w);
	*ret_pid = pid;
	return 0;
}
