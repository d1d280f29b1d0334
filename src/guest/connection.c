/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections of the host. Each is one request, its first frame; CREATE and EXEC make a session of
 * it. What is not understood, or comes at the wrong time, ends the connection and nothing else.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#include "base/auto.h"
#include "base/log.h"
#include "guest/agent.h"
#include "guest/files.h"
#include "guest/look.h"
#include "guest/machine.h"

#define CONNECTIONS_MAX 4096
#define REQUEST_WITHIN	(60 * NSEC_PER_SEC) /* its first frame, whole */
#define CLOSE_WITHIN	(10 * NSEC_PER_SEC) /* the host hangs up, once all is said */
#define ANSWER_WITHIN	(60 * NSEC_PER_SEC) /* it takes an answer */
#define ACCEPT_AGAIN	(50 * NSEC_PER_MSEC)
#define OFF_WITHIN	(2 * NSEC_PER_SEC)  /* the same, of the last */
#define HOLD_WITHIN	(10 * NSEC_PER_SEC) /* each session's host stops sending */
#define ARENA_MAX	(64u << 20)	    /* of one message's lists */
#define PROCESSES_MAX	4000

enum phase {
	PHASE_REQUEST, /* its first frame is to come */
	PHASE_CREATED, /* START may come, and what belongs to a session */
	PHASE_SESSION,
	PHASE_HOLDING, /* HOLD, to be answered when all is still */
	PHASE_HELD,    /* RELEASE may come */
	PHASE_CLOSING, /* all is said, not all is sent, or the host has not hung up yet */
};

struct connection {
	struct agent *agent;
	struct connection *next;
	struct agent_link link;
	struct loop_source ls;
	struct loop_timer timer; /* the end of a phase that has one; or, at once, of a broken one */
	enum phase phase;
	bool broken; /* the peer has gone, or talks nonsense */
	bool shut;   /* CLOSING: our side is shut down */
	bool deaf;   /* CLOSING: the peer has shut its own */
	bool last;   /* POWER_OFF: with it goes the machine */
	struct session *session;
};

static void ready(struct loop_source *ls, uint32_t events);

/* ---- their ends -------------------------------------------------------------------------- */

static void connection_free(struct connection *c)
{
	bool last = c->last;

	for (struct connection **p = &c->agent->connections; *p; p = &(*p)->next)
		if (*p == c) {
			*p = c->next;
			break;
		}
	c->agent->connections_n--;
	loop_timer_cancel(&c->timer);
	loop_remove(&c->ls);
	if (c->session && c->session->held) {
		c->session->connection = NULL;
		hold_quiet(TAKE(c->session));
	} else if (c->session) {
		session_free(TAKE(c->session));
	}
	if (c->agent->holder == c && c->link.reset && c->phase == PHASE_HELD)
		c->agent->holder = NULL; /* this is the snapshot, restored: ATTACH comes */
	else if (c->agent->holder == c)
		hold_end(c->agent);
	agent_link_fini(&c->link);
	free(c);
	if (last)
		machine_off();
}

static void overdue(struct loop_timer *t)
{
	connection_free(LOOP_OWNER(t, struct connection, timer));
}

/* From the loop, never from within: whoever found out goes on to use it. */
static void break_off(struct connection *c)
{
	if (c->broken)
		return;
	c->broken = true;
	loop_remove(&c->ls);
	loop_timer_set(&c->agent->loop, &c->timer, 0, overdue);
}

static void wait_within(struct connection *c, nsec_t within)
{
	if (!c->broken)
		loop_timer_set(&c->agent->loop, &c->timer, clock_deadline(within), overdue);
}

/* ---- what is sent ------------------------------------------------------------------------ */

/* Listen for what is of interest now; when all is said and taken, shut our side. */
static void watch(struct connection *c)
{
	uint32_t events = EPOLLIN;

	if (c->broken)
		return;
	if (agent_link_waiting(&c->link))
		events |= EPOLLOUT;
	else if (c->phase == PHASE_CLOSING && !c->shut) {
		c->shut = true;
		(void) shutdown(c->link.fd, SHUT_WR); /* one that is gone is noticed anyway */
		if (!c->session)		      /* its output may take its time to be read */
			wait_within(c, CLOSE_WITHIN);
	}
	if (c->deaf) {
		events &= ~(uint32_t) EPOLLIN;
		if (c->shut)
			break_off(c);
	}
	if (!c->broken && loop_change(&c->ls, events) < 0)
		break_off(c);
}

void connection_send(struct connection *c, const struct agent_msg *m)
{
	if (!c || c->broken)
		return;
	if (agent_link_put(&c->link, m) < 0)
		break_off(c);
	else if (agent_link_waiting(&c->link))
		watch(c);
}

size_t connection_waiting(const struct connection *c)
{
	return !c || c->broken ? SIZE_MAX : agent_link_waiting(&c->link);
}

bool connection_said_all(const struct connection *c)
{
	return c->phase == PHASE_CLOSING && connection_waiting(c) == 0;
}

void connection_finish(struct connection *c, const struct agent_msg *last)
{
	c->phase = PHASE_CLOSING;
	connection_send(c, last);
	if (!c->session)
		wait_within(c, ANSWER_WITHIN);
	watch(c);
}

static void finish_error(struct connection *c, const struct err *e)
{
	struct agent_msg m = agent_msg_of(AGENT_ERROR);

	m.error = (struct agent_error){ (uint64_t) e->kind,
					(uint64_t) (e->sys > 0 && e->sys < 4096 ? e->sys : 0),
					e->msg };
	connection_finish(c, &m);
}

static void finish_result(struct connection *c, int r, const struct err *e)
{
	struct agent_msg m = agent_msg_of(AGENT_OK);

	if (r < 0)
		finish_error(c, e);
	else
		connection_finish(c, &m);
}

/* ---- requests ---------------------------------------------------------------------------- */

static int only_a_machine(const struct agent *a, struct err *e)
{
	return a->machine
		       ? 0
		       : err_set(e, ERR_UNSUPPORTED, EPERM, "this agent is not a machine's init");
}

static void on_setup(struct connection *c, const struct agent_msg *m, struct arena *)
{
	struct err e = {};
	int r = only_a_machine(c->agent, &e);

	finish_result(c, r < 0 ? r : machine_setup(&m->setup, &e), &e);
}

static void on_reseed(struct connection *c, const struct agent_msg *m, struct arena *)
{
	struct err e = {};
	int r = only_a_machine(c->agent, &e);

	finish_result(c, r < 0 ? r : machine_reseed(&m->reseed, &e), &e);
}

static void on_power_off(struct connection *c, const struct agent_msg *, struct arena *)
{
	struct err e = {};
	int r = only_a_machine(c->agent, &e);

	c->last = r == 0;
	finish_result(c, r, &e);
	if (c->last)
		wait_within(c, OFF_WITHIN);
}

static void send_started(struct connection *c, enum agent_type type)
{
	struct agent_msg m = agent_msg_of(type);

	m.started.pid = (uint64_t) c->session->pid;
	connection_send(c, &m);
}

static void on_begin(struct connection *c, const struct agent_msg *m, struct arena *)
{
	bool created = m->type == AGENT_CREATE;
	struct err e = {};

	if (session_begin(c->agent, c, m, &c->session, &e) < 0) {
		finish_error(c, &e);
		return;
	}
	c->phase = created ? PHASE_CREATED : PHASE_SESSION;
	send_started(c, created ? AGENT_CREATED : AGENT_STARTED);
}

static void on_start(struct connection *c)
{
	struct err e = {};

	if (c->phase != PHASE_CREATED) {
		break_off(c);
		return;
	}
	if (session_start(c->session, &e) < 0) {
		session_free(TAKE(c->session));
		finish_error(c, &e);
		return;
	}
	c->phase = PHASE_SESSION;
	send_started(c, AGENT_STARTED);
}

/* ---- around a snapshot ------------------------------------------------------------------- */

static void hold_overdue(struct loop_timer *t)
{
	struct connection *c = LOOP_OWNER(t, struct connection, timer);
	const struct session *s = hold_loud(c->agent);
	struct err e = {};

	(void) err_set(&e, ERR_TIMEOUT, ETIMEDOUT,
		       "the host of a process of container '%.128s' does not hold still",
		       s && s->workload ? s->workload->id : "");
	hold_end(c->agent);
	finish_error(c, &e);
}

static void on_hold(struct connection *c, const struct agent_msg *, struct arena *)
{
	struct err e = {};

	c->phase = PHASE_HOLDING;
	loop_timer_set(&c->agent->loop, &c->timer, clock_deadline(HOLD_WITHIN), hold_overdue);
	if (hold_begin(c->agent, c, &e) < 0)
		finish_error(c, &e);
}

void connection_held(struct connection *c)
{
	struct agent_msg m = agent_msg_of(AGENT_OK);

	loop_timer_cancel(&c->timer);
	c->phase = PHASE_HELD;
	connection_send(c, &m);
}

static void on_release(struct connection *c)
{
	struct err none = {};

	hold_end(c->agent);
	finish_result(c, 0, &none);
}

static void on_attach(struct connection *c, const struct agent_msg *m, struct arena *)
{
	struct err e = {};
	struct session *s;

	if (hold_attach(c->agent, &m->attach, &s, &e) < 0) {
		finish_error(c, &e);
		return;
	}
	c->session = s;
	c->phase = PHASE_SESSION;
	session_attach(s, c, &m->attach);
}

/* ---- more requests ----------------------------------------------------------------------- */

static void on_signal(struct connection *c, const struct agent_msg *m, struct arena *)
{
	struct err e = {};
	struct workload *w = workload_find(c->agent, m->signal.id, &e);

	finish_result(c, w ? workload_signal(w, (int) m->signal.signo, m->signal.all, &e) : -ENOENT,
		      &e);
}

static void on_state(struct connection *c, const struct agent_msg *m, struct arena *)
{
	struct agent_msg answer = agent_msg_of(AGENT_STATE_IS);
	struct err e = {};
	struct workload *w = workload_find(c->agent, m->id.id, &e);

	if (!w) {
		finish_error(c, &e);
		return;
	}
	answer.state = (struct agent_state){
		.state = w->in ? (uint64_t) w->in->state : ENGINE_STOPPED,
		.pid = w->in ? (uint64_t) w->in->pid : 0,
		.code = (uint64_t) w->code & 0xff,
		.oom = w->oom,
	};
	connection_finish(c, &answer);
}

/* The container of a request that it must be running for; NULL: the answer is given. */
static struct workload *running(struct connection *c, const char *id)
{
	struct err e = {};
	struct workload *w = workload_find(c->agent, id, &e);

	if (w && !w->in)
		(void) err_set(&e, ERR_CONFLICT, ESRCH, "container '%s' is not running", w->id);
	if (w && w->in)
		return w;
	finish_error(c, &e);
	return NULL;
}

/* From here on the connection is another process's. */
static void on_files(struct connection *c, const struct agent_msg *m, struct arena *)
{
	struct err e = {};
	struct workload *w = workload_find(c->agent, m->files.id, &e);
	bool hold = m->files.hold && w && w->in;
	pid_t pid;
	int r = w ? 0 : -ENOENT;

	if (r == 0 && hold && w->holder)
		r = err_set(&e, ERR_CONFLICT, EBUSY, "container '%s' is held already", w->id);
	if (r == 0 && hold)
		r = engine_pause(w->in, &e);
	if (r < 0) {
		finish_error(c, &e);
		return;
	}
	if (files_serve(w, c->link.fd, &pid, &e) < 0) {
		struct err ignored;

		if (hold && engine_resume(w->in, &ignored) < 0)
			log_warn("a container stands still: %s id=%s", ignored.msg, w->id);
		finish_error(c, &e);
		return;
	}
	if (hold)
		w->holder = pid;
	break_off(c);
}

static void on_pause(struct connection *c, const struct agent_msg *m, struct arena *)
{
	struct workload *w = running(c, m->id.id);
	struct err e = {};

	if (w)
		finish_result(c, engine_pause(w->in, &e), &e);
}

static void on_resume(struct connection *c, const struct agent_msg *m, struct arena *)
{
	struct workload *w = running(c, m->id.id);
	struct err e = {};

	if (w)
		finish_result(c, engine_resume(w->in, &e), &e);
}

static void on_update(struct connection *c, const struct agent_msg *m, struct arena *)
{
	struct workload *w = running(c, m->update.id);
	struct err e = {};

	if (w)
		finish_result(c, workload_update(w, m->update.resources, &e), &e);
}

static void on_processors(struct connection *c, const struct agent_msg *m, struct arena *)
{
	struct err e = {};

	finish_result(c, machine_processors(m->processors.online, &e), &e);
}

static void on_usage(struct connection *c, const struct agent_msg *m, struct arena *)
{
	struct agent_msg answer = agent_msg_of(AGENT_USAGE_IS);
	struct workload *w = running(c, m->id.id);
	struct usage u;
	struct err e = {};

	if (!w)
		return;
	if (engine_usage(w->in, &u, &e) < 0) {
		finish_error(c, &e);
		return;
	}
	answer.usage = (struct usage_fields){
		.at = (uint64_t) u.at,
		USAGE_FIGURES(&u),
	};
	connection_finish(c, &answer);
}

static void on_processes(struct connection *c, const struct agent_msg *m, struct arena *a)
{
	struct agent_msg answer = agent_msg_of(AGENT_PROCESSES_ARE);
	struct workload *w = running(c, m->id.id);
	pid_t *pids = w ? arena_array(a, PROCESSES_MAX, sizeof(*pids)) : NULL;
	size_t n = 0;
	struct err e = {};
	int r;

	if (!w)
		return;
	r = pids ? engine_processes(w->in, pids, PROCESSES_MAX, &n, &e)
		 : err_set(&e, ERR_EXHAUSTED, ENOMEM, "out of memory");
	if (r == 0)
		r = look_processes(a, pids, n < PROCESSES_MAX ? n : PROCESSES_MAX,
				   &answer.processes, &e);
	if (r < 0)
		finish_error(c, &e);
	else
		connection_finish(c, &answer);
}

static void on_delete(struct connection *c, const struct agent_msg *m, struct arena *)
{
	struct err none = {};
	struct workload *w = workload_find(c->agent, m->id.id, &none);

	/* Its session hears of the end first: of the kill by which it came. */
	if (w && w->in && w->in->pid > 0) {
		(void) engine_kill(w->in, clock_deadline(10 * NSEC_PER_SEC), &none);
		(void) session_child_ended(c->agent, w->in->pid, 128 + 9);
	}
	if (w)
		workload_remove(w);
	finish_result(c, 0, &none);
}

static void on_machine_usage(struct connection *c, const struct agent_msg *, struct arena *)
{
	struct agent_msg answer = agent_msg_of(AGENT_MACHINE_USAGE_IS);
	struct err e = {};

	if (look_machine(&answer.machine_usage, &e) < 0)
		finish_error(c, &e);
	else
		connection_finish(c, &answer);
}

typedef void (*request_fn)(struct connection *c, const struct agent_msg *m, struct arena *a);
static const request_fn requests[AGENT_TYPES_N] = {
	[AGENT_SETUP] = on_setup,
	[AGENT_CREATE] = on_begin,
	[AGENT_EXEC] = on_begin,
	[AGENT_SIGNAL] = on_signal,
	[AGENT_STATE] = on_state,
	[AGENT_PAUSE] = on_pause,
	[AGENT_RESUME] = on_resume,
	[AGENT_UPDATE] = on_update,
	[AGENT_USAGE] = on_usage,
	[AGENT_PROCESSES] = on_processes,
	[AGENT_DELETE] = on_delete,
	[AGENT_MACHINE_USAGE] = on_machine_usage,
	[AGENT_PROCESSORS] = on_processors,
	[AGENT_RESEED] = on_reseed,
	[AGENT_POWER_OFF] = on_power_off,
	[AGENT_HOLD] = on_hold,
	[AGENT_FILES] = on_files,
	[AGENT_ATTACH] = on_attach,
};

/* ---- what comes -------------------------------------------------------------------------- */

static void serve(struct connection *c, const struct agent_msg *m, struct arena *a)
{
	switch (c->phase) {
	case PHASE_REQUEST:
		loop_timer_cancel(&c->timer);
		if (requests[m->type])
			requests[m->type](c, m, a);
		else
			break_off(c);
		return;
	case PHASE_CREATED:
	case PHASE_SESSION:
		if (m->type == AGENT_START)
			on_start(c);
		else if (session_take(c->session, m) < 0)
			break_off(c);
		return;
	case PHASE_HOLDING:
		break_off(c);
		return;
	case PHASE_HELD:
		if (m->type == AGENT_RELEASE)
			on_release(c);
		else
			break_off(c);
		return;
	case PHASE_CLOSING:
		return; /* said before the host knew of the end */
	}
}

/* All that was read, as far as it is whole. */
static void serve_read(struct connection *c)
{
	while (!c->broken) {
		auto_arena struct arena a = ARENA_INIT(ARENA_MAX);
		struct agent_msg m;
		int r = agent_link_next(&c->link, &a, &m);

		if (r < 0)
			break_off(c);
		if (r <= 0)
			return;
		serve(c, &m, &a);
	}
}

static void hung_up(struct connection *c)
{
	c->deaf = true;
	if (c->phase == PHASE_CLOSING)
		watch(c); /* what waits may still be taken */
	else
		break_off(c);
}

static void ready(struct loop_source *ls, uint32_t events)
{
	struct connection *c = LOOP_OWNER(ls, struct connection, ls);
	int r;

	if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) {
		r = agent_link_flush(&c->link);
		if (r < 0) {
			break_off(c);
			return;
		}
		if (c->session)
			session_resume(c->session);
		watch(c);
	}
	if (c->broken || c->deaf || !(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return;
	r = agent_link_read(&c->link);
	if (r == 0)
		hung_up(c);
	else if (r < 0 && r != -EAGAIN)
		break_off(c);
	else
		serve_read(c);
}

/* ---- the listener ------------------------------------------------------------------------ */

static bool from_host(const struct agent *a, const struct sockaddr_vm *peer)
{
	return !a->vsock || peer->svm_cid == VMADDR_CID_HOST;
}

static void accept_some(struct loop_source *ls, uint32_t events);

static void accept_again(struct loop_timer *t)
{
	struct agent *a = LOOP_OWNER(t, struct agent, accept_timer);

	if (connections_listen(a) < 0)
		loop_timer_set(&a->loop, t, clock_deadline(ACCEPT_AGAIN), accept_again);
}

/* No descriptors, no memory: later. Those that wait keep waiting. */
static void accept_later(struct agent *a)
{
	loop_remove(&a->listener);
	loop_timer_set(&a->loop, &a->accept_timer, clock_deadline(ACCEPT_AGAIN), accept_again);
}

static void take(struct agent *a, int fd)
{
	struct connection *c = calloc(1, sizeof(*c));

	if (!c) {
		(void) close(fd);
		return;
	}
	c->agent = a;
	agent_link_init(&c->link, fd);
	c->next = a->connections;
	a->connections = c;
	a->connections_n++;
	c->ls.fd = FD_NONE;
	wait_within(c, REQUEST_WITHIN);
	if (loop_add(&a->loop, &c->ls, fd, EPOLLIN, ready) < 0)
		break_off(c);
}

static void accept_some(struct loop_source *ls, uint32_t)
{
	struct agent *a = LOOP_OWNER(ls, struct agent, listener);
	struct sockaddr_vm peer = {};
	socklen_t n = sizeof(peer);
	int fd;

	if (a->machine)
		machine_complete();
	if (a->connections_n >= CONNECTIONS_MAX) {
		accept_later(a);
		return;
	}
	fd = accept4(ls->fd, (struct sockaddr *) &peer, &n, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
			accept_later(a);
		return;
	}
	if (from_host(a, &peer))
		take(a, fd);
	else /* a workload of this guest, over the loopback */
		(void) close(fd);
}

int connections_listen(struct agent *a)
{
	return loop_add(&a->loop, &a->listener, a->listen_fd, EPOLLIN, accept_some);
}
