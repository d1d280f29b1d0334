/* SPDX-License-Identifier: Apache-2.0 */
#include "sentry/control.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/auto.h"
#include "kernel/core/heap.h"
#include "kernel/fs/sysfs.h"
#include "kernel/mm/frame.h"
#include "kernel/platform/host/host.h"
#include "kernel/platform/platform.h"
#include "kernel/task/limit.h"
#include "kernel/task/pid.h"
#include "kernel/task/signal.h"
#include "kernel/task/task.h"
#include "proto/sentry.h"
#include "sentry/config.h"
#include "sentry/processes.h"
#include "sentry/sandbox.h"

#define CONNECTIONS_MOST 512
#define ARENA_MAX	 ((size_t) 4 << 20) /* of one request */

/* A socket that is watched: who waits for it waits for the sandbox's `changed`. */
struct end {
	struct host_watch watch;
	struct sandbox *sandbox;
	int fd;
	uint64_t happened;
};

static struct heap_cache ends = HEAP_CACHE_INIT(struct end);
static size_t connections;

static void ready(struct host_watch *w, uint32_t events)
{
	struct end *n = container_of(w, struct end, watch);

	(void) events; /* who waits looks for itself */
	n->happened++;
	(void) waitq_wake(&n->sandbox->changed, 0, 0);
}

/* Takes fd. */
static struct end *end_new(struct sandbox *s, int fd)
{
	struct end *n = heap_cache_alloc(&ends);

	if (n) {
		*n = (struct end){ .watch.ready = ready, .sandbox = s, .fd = fd };
		if (host_watch(fd, &n->watch, EPOLLIN | EPOLLRDHUP) == 0)
			return n;
		heap_cache_free(&ends, n);
	}
	close_fd(&fd);
	return NULL;
}

static void end_free(struct end *n)
{
	host_unwatch(n->fd);
	close_fd(&n->fd);
	heap_cache_free(&ends, n);
}

static bool hung_up(const struct end *n)
{
	struct pollfd p = { .fd = n->fd, .events = POLLRDHUP };

	return poll(&p, 1, 0) > 0;
}

/* ---- requests ---- */

static void refuse(struct sentry_reply *a, int error, const char *reason)
{
	a->error = (uint64_t) error;
	a->reason = reason;
}

static void start(struct sandbox *s, struct sentry_reply *a)
{
	if (s->started) {
		refuse(a, EBUSY, "it runs already");
		return;
	}
	s->started = true;
	(void) waitq_wake(&s->changed, 0, 0);
}

static void signal_all(const struct signal_info *info)
{
	struct pid *p;

	for (uint64_t nr = 1; (p = pid_next(&nr)); nr++)
		if (p->process && !p->process->zombie)
			(void) signal_send_process(p->process, info, false); /* it may be ending */
}

/* As kill(2) from outside of the guest's numbers. */
static void send_signal(struct sandbox *s, const struct sentry_request *q, struct sentry_reply *a)
{
	const struct signal_info info = { .nr = (int32_t) q->signal };
	struct job *j = sandbox_job(s, q->process);
	int r;

	if (q->process == 0) {
		if (q->signal)
			signal_all(&info);
		return;
	}
	if (!j || j->ended || !j->pid->process) {
		refuse(a, ESRCH, "there is no such process");
		return;
	}
	if (q->signal == 0)
		return; /* it is there */
	r = signal_send_process(j->pid->process, &info, false);
	if (r < 0)
		refuse(a, -r, "it could not be sent");
}

static bool await_end(struct end *n, struct job *j, struct sentry_reply *a)
{
	struct sandbox *s = n->sandbox;

	j->waiting++;
	(void) waitq_wait(&s->changed, sandbox_ended(j) || hung_up(n), NSEC_NEVER, 0);
	if (!sandbox_ended(j)) {
		j->waiting--;
		return false;
	}
	a->status = (uint64_t) j->status;
	return true;
}

/* The answer is on its way, or nobody is there to hear it. */
static void told(struct sandbox *s, uint64_t nr)
{
	struct job *j = sandbox_job(s, nr);

	j->waiting--;
	if (j != s->first && j->waiting == 0)
		sandbox_forget(j);
	(void) waitq_wake(&s->changed, 0, 0);
}

static void exec(struct sandbox *s, struct sentry_request *q, struct arena *arena,
		 struct sentry_reply *a, struct err *e)
{
	const struct spec_process *p = NULL;
	int stdio[3] = { take_fd(&q->in), take_fd(&q->out), take_fd(&q->err) };
	struct job *j = NULL;
	int r;

	if (s->first->ended)
		r = err_set(e, ERR_CONFLICT, ESRCH, "the sandbox has ended");
	else
		r = config_process(q->spec, arena, &p, e);
	if (r == 0 && (stdio[0] < 0 || (!p->terminal && (stdio[1] < 0 || stdio[2] < 0))))
		r = err_set(e, ERR_INVALID, EINVAL,
			    p->terminal ? "the descriptor of a terminal is needed"
					: "three descriptors are needed");
	if (r == 0)
		r = sandbox_exec(s, p, stdio, &j, e);
	for (size_t n = 0; n < 3; n++)
		close_fd(&stdio[n]);
	if (r < 0) {
		refuse(a, e->sys > 0 ? e->sys : EIO, e->msg);
		return;
	}
	a->process = j->nr;
	a->pid = j->pid->nr;
}

static void list(const struct sentry_request *q, struct arena *arena, struct sentry_reply *a)
{
	if (processes_list(q->process, arena, a) < 0)
		refuse(a, ENOMEM, "there is no memory for it");
}

/* All of it, or nothing. */
static void update(const struct sentry_request *q, struct sentry_reply *a)
{
	struct sandbox_limits l = sandbox_limits();

	if (q->memory / PAGE_SIZE > plat_ram_frames()) {
		refuse(a, ERANGE, "a sandbox has no more memory than it began with");
		return;
	}
	if (q->memory > 0 && q->memory / PAGE_SIZE < frame_used()) {
		refuse(a, EBUSY, "more memory than that is in use");
		return;
	}
	if (q->memory > 0) {
		frame_set_budget(q->memory / PAGE_SIZE);
		l.memory = true;
	}
	if (q->tasks > 0)
		limit_tasks(q->tasks);
	if (q->cpu_quota > 0)
		l.cpu_quota_us = q->cpu_quota;
	if (q->cpu_period > 0)
		l.cpu_period_us = q->cpu_period;
	sandbox_set_limits(&l);
}

/* False: nobody is there to be answered. */
static bool serve(struct end *n, struct sentry_request *q, struct arena *arena)
{
	struct sentry_reply a = { .type = q->type };
	struct sandbox *s = n->sandbox;
	struct err e = {};
	struct job *j;
	bool waited = false;
	int r;

	if (!s->started && q->type != SENTRY_START && q->type != SENTRY_STATS) {
		refuse(&a, EBUSY, "it was not started");
	} else if (q->type == SENTRY_START) {
		start(s, &a);
	} else if (q->type == SENTRY_SIGNAL) {
		send_signal(s, q, &a);
	} else if (q->type == SENTRY_EXEC) {
		exec(s, q, arena, &a, &e);
	} else if (q->type == SENTRY_STATS) {
		processes_stats(&a);
		a.cpu_ns += s->cpu_gone;
	} else if (q->type == SENTRY_LIST) {
		list(q, arena, &a);
	} else if (q->type == SENTRY_UPDATE) {
		update(q, &a);
	} else if (!(j = sandbox_job(s, q->process))) {
		refuse(&a, ESRCH, "there is no such process");
	} else if (await_end(n, j, &a)) {
		waited = true;
	} else {
		if (q->signal)
			send_signal(s, q, &a); /* nobody is there to be told */
		return false;
	}
	r = sentry_send_reply(n->fd, &a);
	if (waited)
		told(s, q->process);
	return r == 0;
}

/* ---- connections ---- */

/* The next request: 1; 0: there will be none. */
static int next(struct end *n, struct arena *arena, struct sentry_request *q)
{
	for (;;) {
		uint64_t seen = n->happened;
		int r = sentry_receive_request(n->fd, arena, q);

		if (r != -EAGAIN)
			return r > 0;
		(void) waitq_wait(&n->sandbox->changed, n->happened != seen, NSEC_NEVER, 0);
		arena_fini(arena);
		*arena = ARENA_INIT(ARENA_MAX);
	}
}

static void connection(void *arg)
{
	struct end *n = arg;
	bool more = true;

	while (more) {
		auto_arena struct arena arena = ARENA_INIT(ARENA_MAX);
		struct sentry_request q;

		more = next(n, &arena, &q) > 0;
		if (more) {
			more = serve(n, &q, &arena);
			sentry_close_fds(&q);
		}
	}
	end_free(n);
	connections--;
	fiber_exit();
}

static void accept_one(struct sandbox *s, int socket)
{
	int fd = accept4(socket, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct fiber *f;
	struct end *n;

	if (fd < 0)
		return;
	if (connections == CONNECTIONS_MOST) {
		close_fd(&fd);
		return;
	}
	n = end_new(s, fd);
	if (!n)
		return;
	connections++;
	if (sched_spawn(connection, n, &f) < 0) {
		end_free(n);
		connections--;
	}
}

static void listener(void *arg)
{
	struct end *n = arg;

	for (;;) {
		uint64_t seen = n->happened;
		struct pollfd p = { .fd = n->fd, .events = POLLIN };

		/* Nobody else accepts here: what poll says is there stays there. */
		while (poll(&p, 1, 0) > 0 && p.revents & POLLIN)
			accept_one(n->sandbox, n->fd);
		(void) waitq_wait(&n->sandbox->changed, n->happened != seen, NSEC_NEVER, 0);
	}
}

int control_begin(struct sandbox *s, struct err *e)
{
	struct end *n = end_new(s, s->control);
	struct fiber *f;

	s->control = n ? n->fd : FD_NONE;
	if (!n || sched_spawn(listener, n, &f) < 0)
		return err_set(e, ERR_INVALID, EINVAL, "--control: this is no socket to listen on");
	return 0;
}
