/* SPDX-License-Identifier: Apache-2.0 */
#include "sentry/control.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/auto.h"
#include "kernel/core/heap.h"
#include "kernel/fs/sysfs.h"
#include "kernel/mm/frame.h"
#include "kernel/platform/host/host.h"
#include "kernel/platform/platform.h"
#include "kernel/task/hold.h"
#include "kernel/task/limit.h"
#include "kernel/task/pid.h"
#include "kernel/task/signal.h"
#include "kernel/task/task.h"
#include "proto/sentry.h"
#include "sentry/checkpoint.h"
#include "sentry/config.h"
#include "sentry/containers.h"
#include "sentry/processes.h"
#include "sentry/sandbox.h"
#include "sentry/tracer.h"

#define CONNECTIONS_MOST 512
#define ARENA_MAX	 ((size_t) 4 << 20) /* of one request */

/* A socket that is watched: who waits for it waits for the sandbox's `changed`. */
struct end {
	struct host_watch watch;
	struct sandbox *sandbox;
	int fd;
	bool watched;
	uint64_t happened;
	uint64_t added; /* a container that nobody else knows of yet */
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
		*n = (struct end){ .watch.ready = ready, .sandbox = s, .fd = fd, .watched = true };
		if (host_watch(fd, &n->watch, EPOLLIN | EPOLLRDHUP) == 0)
			return n;
		heap_cache_free(&ends, n);
	}
	close_fd(&fd);
	return NULL;
}

static void end_free(struct end *n)
{
	if (n->watched)
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

static void signal_all(const struct container *c, const struct signal_info *info)
{
	struct pid *p;

	for (uint64_t nr = 1; (p = pid_next_in(c ? c->numbers : NULL, &nr)); nr++)
		if (p->process && !p->process->zombie && p->process->container == (c ? c->nr : 0))
			(void) signal_send_process(p->process, info, false); /* it may be ending */
}

/* As kill(2) from outside of the guest's numbers. */
static void send_signal(struct sandbox *s, const struct container *c,
			const struct sentry_request *q, struct sentry_reply *a)
{
	const struct signal_info info = { .nr = (int32_t) q->signal };
	struct job *j = sandbox_job(s, q->process);
	int r;

	if (q->process == 0) {
		if (q->signal)
			signal_all(c, &info);
		return;
	}
	if (j && j->of && j == j->of->first && j->of->task && q->signal == SIGKILL) {
		container_give_up(s, j->of);
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

	if (j->of && j->of->nr == n->added)
		n->added = 0;

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
	if (!sandbox_stays(s, j) && j->waiting == 0)
		sandbox_forget(j);
	(void) waitq_wake(&s->changed, 0, 0);
}

static void exec(struct sandbox *s, struct container *c, struct sentry_request *q,
		 struct arena *arena, struct sentry_reply *a, struct err *e)
{
	const struct spec_process *p = NULL;
	int stdio[3] = { take_fd(&q->in), take_fd(&q->out), take_fd(&q->err) };
	struct job *j = NULL;
	int r;

	if (s->first->ended)
		r = err_set(e, ERR_CONFLICT, ESRCH, "the sandbox has ended");
	else if (c && (c->task || c->removing || c->first->ended))
		r = err_set(e, ERR_CONFLICT, ESRCH, "the container does not run");
	else
		r = config_process(q->spec, arena, &p, e);
	if (r == 0 && (stdio[0] < 0 || (!p->terminal && (stdio[1] < 0 || stdio[2] < 0))))
		r = err_set(e, ERR_INVALID, EINVAL,
			    p->terminal ? "the descriptor of a terminal is needed"
					: "three descriptors are needed");
	if (r == 0)
		r = sandbox_exec(s, c, p, stdio, &j, e);
	for (size_t n = 0; n < 3; n++)
		close_fd(&stdio[n]);
	if (r < 0) {
		refuse(a, e->sys > 0 ? e->sys : EIO, e->msg);
		return;
	}
	a->process = j->nr;
	a->pid = j->pid->nr;
}

static void list(const struct container *c, const struct sentry_request *q, struct arena *arena,
		 struct sentry_reply *a)
{
	if (processes_list(c, q->process, arena, a) < 0)
		refuse(a, ENOMEM, "there is no memory for it");
}

/* All of it, or nothing. */
static void update(const struct sentry_request *q, struct sentry_reply *a)
{
	struct sandbox_limits l = sandbox_limits();

	int r = q->memory ? sandbox_memory(q->memory) : 0;

	if (r == -EBUSY)
		refuse(a, EBUSY, "more memory than that is in use");
	else if (r < 0)
		refuse(a, -r, "a sandbox cannot have so much memory, or so little");
	if (r < 0)
		return;
	if (q->memory > 0)
		l.memory = q->memory != SENTRY_NO_LIMIT;
	if (q->tasks > 0)
		limit_tasks(q->tasks == SENTRY_NO_LIMIT ? 0 : q->tasks);
	if (q->cpu_quota > 0)
		l.cpu_quota_us = q->cpu_quota == SENTRY_NO_LIMIT ? 0 : q->cpu_quota;
	if (q->cpu_period > 0)
		l.cpu_period_us = q->cpu_period;
	else if (l.cpu_period_us == 0)
		l.cpu_period_us = SANDBOX_CPU_PERIOD;
	sandbox_set_limits(&l);
	host_limit_cpus(l.cpu_quota_us, l.cpu_period_us);
}

/* Its memory is the pod's. */
static void update_container(struct container *c, const struct sentry_request *q,
			     struct sentry_reply *a)
{
	if (q->memory)
		refuse(a, EOPNOTSUPP, "the memory of a pod's container is all of the pod's");
	else if (q->tasks && !c->numbers)
		refuse(a, EOPNOTSUPP, "the number of its processes is all of the pod's");
	else if (q->tasks)
		limit_tasks_in(c->numbers, q->tasks == SENTRY_NO_LIMIT ? 0 : q->tasks);
}

/* What was answered holds until the connection is closed. */
static bool checkpoint(struct end *n, struct sentry_request *q, struct sentry_reply *a)
{
	struct err e = {};
	struct sandbox *s = n->sandbox;
	int r;

	if (q->out < 0) {
		refuse(a, EINVAL, "the descriptor of a file is needed");
		return sentry_send_reply(n->fd, a) == 0;
	}
	if (s->first->ended)
		r = err_set(&e, ERR_CONFLICT, ESRCH, "the sandbox has ended");
	else if (!list_empty(&s->containers))
		r = err_set(&e, ERR_UNSUPPORTED, EOPNOTSUPP,
			    "several containers on one kernel cannot be saved");
	else
		r = checkpoint_write(s, q->out, &e);
	if (r < 0)
		refuse(a, e.sys, e.msg);
	r = r < 0 ? -1 : 0;
	if (sentry_send_reply(n->fd, a) < 0 && r < 0)
		return false;
	if (r < 0)
		return true;
	(void) waitq_wait(&s->changed, hung_up(n), NSEC_NEVER, 0); /* cannot fail */
	tasks_let_go();
	return false;
}

/* ---- traces ---- */

static const char *why_no_trace(int error)
{
	switch (error) {
	case EBUSY:
		return "too many look at its calls already";
	case EINVAL:
		return "this is no choice of calls and processes";
	default:
		return "there is no memory for it";
	}
}

/* Until the reader hangs up or the sandbox has ended and all is told. */
static void tell(struct end *n, struct tracer *t)
{
	struct sandbox *s = n->sandbox;

	for (;;) {
		uint64_t seen = n->happened;
		bool ended = s->first->ended;
		int r = hung_up(n) ? -EPIPE : tracer_send(t, n->fd);

		if ((r < 0 && r != -EAGAIN) || (r == 0 && ended))
			return;
		(void) waitq_wait(&s->changed,
				  n->happened != seen ||
					  (r == 0 && (tracer_due(t) || s->first->ended)),
				  NSEC_NEVER, 0);
	}
}

/* The connection's last request. */
static void trace(struct end *n, const struct sentry_request *q)
{
	struct sentry_reply a = { .type = q->type };
	struct tracer *t = NULL;
	int r = tracer_new(q, &n->sandbox->changed, &t);

	if (r < 0) {
		refuse(&a, -r, why_no_trace(-r));
		(void) sentry_send_reply(n->fd, &a); /* or nobody is there to hear it */
		return;
	}
	n->sandbox->traces++;
	/* From now on room in the socket is waited for, too. */
	host_unwatch(n->fd);
	n->watched = host_watch(n->fd, &n->watch, EPOLLIN | EPOLLRDHUP | EPOLLOUT) == 0;
	if (n->watched && sentry_send_reply(n->fd, &a) == 0)
		tell(n, t);
	tracer_free(t);
	n->sandbox->traces--;
	(void) waitq_wake(&n->sandbox->changed, 0, 0);
}

/* False: nobody is there to be answered. */
static bool serve(struct end *n, struct sentry_request *q, struct arena *arena)
{
	struct sentry_reply a = { .type = q->type };
	struct sandbox *s = n->sandbox;
	struct container *c = NULL;
	struct err e = {};
	struct job *j;
	bool waited = false;
	int r;

	if (q->type == SENTRY_TRACE) {
		trace(n, q);
		return false;
	}
	if (q->container > SENTRY_FIRST_CONTAINER && q->type != SENTRY_ADD &&
	    q->type != SENTRY_CHECKPOINT) {
		c = container_find(s, q->container);
		if (!c) {
			refuse(&a, ESRCH, "there is no such container");
			return sentry_send_reply(n->fd, &a) == 0;
		}
		c->users++;
	}
	if (!s->started && q->type != SENTRY_START && q->type != SENTRY_STATS &&
	    q->type != SENTRY_UPDATE && q->type != SENTRY_REFUSED) {
		refuse(&a, EBUSY, "it was not started");
	} else if (q->type == SENTRY_START && c) {
		if (container_start(s, c, &e) < 0)
			refuse(&a, e.sys, e.msg);
	} else if (q->type == SENTRY_START) {
		start(s, &a);
	} else if (q->type == SENTRY_ADD) {
		if (container_add(s, q, &c, &e) < 0) {
			refuse(&a, e.sys > 0 ? e.sys : EIO, e.msg);
		} else {
			a.container = n->added = c->nr;
			a.process = c->first->nr;
		}
	} else if (q->type == SENTRY_REMOVE) {
		if (!c)
			refuse(&a, EINVAL, "this is no container that can be removed");
		else if (container_remove(s, c, &e) < 0)
			refuse(&a, e.sys, e.msg);
		else
			c = NULL;
	} else if (q->type == SENTRY_SIGNAL) {
		send_signal(s, c, q, &a);
	} else if (q->type == SENTRY_EXEC) {
		exec(s, c, q, arena, &a, &e);
	} else if (q->type == SENTRY_STATS) {
		processes_stats(c, &a);
		if (!c)
			a.cpu_ns += s->cpu_gone;
	} else if (q->type == SENTRY_LIST) {
		list(c, q, arena, &a);
	} else if (q->type == SENTRY_CHECKPOINT) {
		return checkpoint(n, q, &a);
	} else if (q->type == SENTRY_REFUSED) {
		tracer_refused(&a);
	} else if (q->type == SENTRY_UPDATE && c) {
		update_container(c, q, &a);
	} else if (q->type == SENTRY_UPDATE) {
		update(q, &a);
	} else if (!(j = sandbox_job(s, q->process))) {
		refuse(&a, ESRCH, "there is no such process");
	} else if (await_end(n, j, &a)) {
		waited = true;
	} else {
		if (q->signal)
			send_signal(s, NULL, q, &a); /* nobody is there to be told */
		if (c)
			c->users--;
		return false;
	}
	if (c && q->type != SENTRY_ADD)
		c->users--;
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

/* Who asked for it is gone, and has told nobody. */
static void drop_added(struct end *n)
{
	struct container *c = n->added ? container_find(n->sandbox, n->added) : NULL;
	struct err e;

	if (!c || c->removing)
		return;
	c->users++;
	if (container_remove(n->sandbox, c, &e) < 0)
		c->users--;
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
	drop_added(n);
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
