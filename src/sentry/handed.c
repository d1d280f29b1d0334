/* SPDX-License-Identifier: Apache-2.0 */
#include "sentry/handed.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/auto.h"
#include "kernel/platform/host/host.h"
#include "kernel/task/pid.h"
#include "kernel/task/signal.h"
#include "kernel/task/task.h"
#include "sentry/sandbox.h"

/* A descriptor that says something now and then. */
static struct end {
	struct host_watch watch;
	struct sandbox *sandbox;
	uint64_t happened;
} signals, creator;

static void ready(struct host_watch *w, uint32_t events)
{
	struct end *n = container_of(w, struct end, watch);

	(void) events; /* who waits looks for itself */
	n->happened++;
	(void) waitq_wake(&n->sandbox->changed, 0, 0);
}

static void take_signals(struct sandbox *s)
{
	unsigned char bytes[64];
	struct iovec v = { bytes, sizeof(bytes) };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };
	ssize_t n = recvmsg(s->signals, &m, MSG_DONTWAIT);

	for (ssize_t i = 0; i < n; i++) {
		const struct signal_info info = { .nr = bytes[i] };

		/* One that has not begun has no handler, and is number 1. */
		if (s->started && !s->first->ended && s->first->pid->process && bytes[i] <= 64)
			(void) signal_send_process(s->first->pid->process, &info,
						   false); /* it may be ending */
	}
}

static void hand_on(void *arg)
{
	struct sandbox *s = arg;

	for (;;) {
		uint64_t seen = signals.happened;
		struct pollfd p = { .fd = s->signals, .events = POLLIN };

		while (poll(&p, 1, 0) > 0 && p.revents == POLLIN)
			take_signals(s);
		(void) waitq_wait(&s->changed, signals.happened != seen, NSEC_NEVER, 0);
	}
}

static void look_after_creator(void *arg)
{
	struct sandbox *s = arg;

	while (!s->started && !s->abandoned) {
		uint64_t seen = creator.happened;
		struct pollfd p = { .fd = s->creator };

		s->abandoned = poll(&p, 1, 0) > 0;
		if (s->abandoned)
			(void) waitq_wake(&s->changed, 0, 0);
		else
			(void) waitq_wait(&s->changed, s->started || creator.happened != seen,
					  NSEC_NEVER, 0);
	}
	host_unwatch(s->creator);
	close_fd(&s->creator);
	fiber_exit();
}

static int watch(struct sandbox *s, int fd, struct end *n, void (*what)(void *), struct err *e)
{
	struct fiber *f;
	int r;

	if (fd < 0)
		return 0;
	*n = (struct end){ .watch.ready = ready, .sandbox = s };
	r = host_watch(fd, &n->watch, EPOLLIN | EPOLLRDHUP);
	if (r == 0)
		r = sched_spawn(what, s, &f);
	return r < 0 ? err_sys(e, -r, "watch descriptor %d", fd) : 0;
}

int handed_begin(struct sandbox *s, struct err *e)
{
	int r = watch(s, s->signals, &signals, hand_on, e);

	return r < 0 ? r : watch(s, s->creator, &creator, look_after_creator, e);
}
