/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections and what they ask. A request that is legal now is a row of `requests` whose phases
 * hold the present one; everything else is refused by one sentence. A client that does not read
 * its answers is hung up on: nothing is queued for it but what streams.c bounds.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/log.h"
#include "shim/shim.h"

#define CLIENTS_MAX   512
#define SOCKET_NAME   "shim.sock"
#define MESSAGE_ARENA (2 * SHIM_MESSAGE_MAX + (512u << 10)) /* a datagram and its lists */
#define PROCESSES_MAX 32768
#define EXIT_CANNOT   125

enum waits {
	WAITS_NOTHING,
	WAITS_START,  /* CREATE: for the record */
	WAITS_RECORD, /* done, but not yet written */
	WAITS_STOP,
	WAITS_EXIT, /* the next */
	WAITS_END,
};

struct client {
	struct loop_source src;
	int fd; /* owned */
	struct shim *shim;
	struct client *next;
	struct session session;
	struct exec_session *exec; /* whose session it is; NULL: the workload's */
	enum waits waits;
	bool is_session, out_wanted;
	struct err *failure; /* owned: of CREATE, told once the record says so too */
	int failure_code;
};

/* ---- their life -------------------------------------------------------------------------- */

static void client_free(struct client *c)
{
	struct shim *s = c->shim;

	for (struct client **p = &s->clients; *p; p = &(*p)->next)
		if (*p == c) {
			*p = c->next;
			break;
		}
	loop_remove(&c->src);
	if (s->keeper == c) {
		s->keeper = NULL;
		record_returned(s, &(struct shim_recorded){ .failed = true });
	}
	streams_leave(&c->session);
	if (c->exec)
		exec_client_gone(c->exec);
	close_fd(&c->fd);
	free(c->failure);
	free(c);
	if (s->phase == PHASE_NONE)
		loop_stop(&s->loop); /* it was the one who should have said what to run */
	life_leave_when_served(s);
}

static void want_out(struct session *session)
{
	struct client *c = LOOP_OWNER(session, struct client, session);

	if (!c->out_wanted && loop_change(&c->src, EPOLLIN | EPOLLOUT) == 0)
		c->out_wanted = true;
}

static bool reply(struct client *c, const struct shim_msg *m)
{
	int r = shim_send(c->fd, m);

	if (r == -EMSGSIZE)
		log_warn("an answer is too long to be sent: type=%d id=%s", (int) m->type,
			 c->shim->c.id);
	return r >= 0;
}

static bool reply_ok(struct client *c)
{
	struct shim_msg m = shim_msg_of(SHIM_OK);

	return reply(c, &m);
}

static bool reply_error(struct client *c, const struct err *e, int exit_code)
{
	struct shim_msg m = shim_msg_of(SHIM_ERROR);

	m.error = (struct shim_error){ .kind = e->kind,
				       .sys = e->sys > 0 ? (uint64_t) e->sys : 0,
				       .message = e->msg,
				       .exit_code = (uint64_t) exit_code };
	return reply(c, &m);
}

static bool reply_result(struct client *c, int r, const struct err *e)
{
	return r < 0 ? reply_error(c, e, EXIT_CANNOT) : reply_ok(c);
}

static bool reply_started(struct client *c, pid_t pid)
{
	struct shim_msg m = shim_msg_of(SHIM_STARTED);

	m.started.pid = (uint64_t) pid;
	return reply(c, &m);
}

static struct shim_exited how_of(const struct shim *s)
{
	return (struct shim_exited){ .code = (uint64_t) s->record.status.exit_code & 0xff,
				     .oom = s->record.status.oom_killed,
				     .removed = s->removed };
}

static bool reply_exited(struct client *c)
{
	struct shim_msg m = shim_msg_of(SHIM_EXITED);

	m.exited = how_of(c->shim);
	return reply(c, &m);
}

/* ---- requests: false hangs up ------------------------------------------------------------ */

static bool on_create(struct client *c, struct shim_msg *m, struct arena *a)
{
	struct shim *s = c->shim;
	struct err e = {};
	int code = EXIT_CANNOT;

	/* The message's memory and descriptors are the shim's from here on. */
	s->request = *a;
	*a = ARENA_INIT(0);
	s->c = m->create;
	*m = shim_msg_of(SHIM_OK);
	if (paths_init(&s->paths, s->c.root, s->c.state, &e) < 0)
		return reply_error(c, &e, code) && false;
	if (life_create(s, &code, &e) < 0) {
		c->failure = s->phase == PHASE_ENDING ? malloc(sizeof(e)) : NULL;
		if (!c->failure)
			return reply_error(c, &e, code) && s->phase != PHASE_NONE;
		*c->failure = e;
		c->failure_code = code;
		return true;
	}
	if (s->c.attach) {
		c->is_session = true;
		c->session.lossless = true;
		c->session.owns_sinks = true;
		c->session.gives_input = s->c.stdin_open;
		streams_join(&s->io, &c->session, true);
		if (s->c.records && s->c.auto_remove)
			s->keeper = c;
	} else if (s->c.acknowledged) {
		c->waits = WAITS_START;
		return true;
	}
	return reply_started(c, s->record.status.pid);
}

static bool on_prepare(struct client *c, struct shim_msg *m, struct arena *)
{
	life_prepare(c->shim, &m->prepare);
	return true;
}

static bool on_signal(struct client *c, struct shim_msg *m, struct arena *)
{
	int signo = (int) m->signal.signo;
	struct err e = {};
	int r = c->exec ? exec_signal(c->exec, signo, &e) : life_signal(c->shim, signo, &e);

	if (c->is_session)
		return true;
	if (r >= 0 && signo == SIGKILL) { /* its end is what was asked for */
		c->waits = WAITS_STOP;
		return true;
	}
	return reply_result(c, r, &e);
}

static bool on_stop(struct client *c, struct shim_msg *m, struct arena *)
{
	struct shim *s = c->shim;
	const struct shim_stop *o = &m->stop;
	uint64_t signo = o->signo ? o->signo : s->c.stop_signal;
	uint64_t timeout = o->use_timeout ? o->timeout_ns : s->c.stop_timeout_ns;
	struct err e = {};

	if (s->phase == PHASE_GONE)
		return reply_ok(c);
	if (!timeout && !o->use_timeout)
		timeout = 10 * (uint64_t) NSEC_PER_SEC;
	if (life_stop(s, signo ? (int) signo : SIGTERM, (nsec_t) timeout, !o->restarting, &e) < 0)
		return reply_error(c, &e, EXIT_CANNOT);
	c->waits = WAITS_STOP;
	return true;
}

/* Answered once the record says so too: the next command may read it. */
static bool when_recorded(struct client *c, int r, const struct err *e)
{
	if (r < 0)
		return reply_error(c, e, EXIT_CANNOT);
	c->waits = WAITS_RECORD;
	return true;
}

static bool on_pause(struct client *c, struct shim_msg *, struct arena *)
{
	struct err e = {};

	return when_recorded(c, life_pause(c->shim, &e), &e);
}

static bool on_resume(struct client *c, struct shim_msg *, struct arena *)
{
	struct err e = {};

	return when_recorded(c, life_resume(c->shim, &e), &e);
}

static bool on_checkpoint(struct client *c, struct shim_msg *m, struct arena *)
{
	struct err e = {};

	return when_recorded(c, life_checkpoint(c->shim, &m->checkpoint, &e), &e);
}

static bool on_update(struct client *c, struct shim_msg *m, struct arena *)
{
	struct err e = {};

	return reply_result(c, life_update(c->shim, &m->update, &e), &e);
}

static bool on_exec(struct client *c, struct shim_msg *m, struct arena *)
{
	struct err e = {};
	int code = EXIT_CANNOT;
	struct exec_session *x;

	if (exec_begin(c->shim, &m->exec, &x, &code, &e) < 0)
		return reply_error(c, &e, code);
	if (!m->exec.detach) {
		x->client = c;
		c->exec = x;
		c->is_session = true;
		c->session.lossless = true;
		c->session.owns_sinks = true;
		c->session.gives_input = m->exec.stdin_open;
		streams_join(&x->io, &c->session, true);
	}
	return reply_started(c, x->pid);
}

static bool on_attach(struct client *c, struct shim_msg *m, struct arena *)
{
	struct shim *s = c->shim;

	if (!reply_ok(c))
		return false;
	c->is_session = true;
	c->session.lossless = m->attach.lossless;
	c->session.gives_input = m->attach.stdin_open && s->c.stdin_open;
	streams_join(&s->io, &c->session, m->attach.output);
	return true;
}

static bool on_resize(struct client *c, struct shim_msg *m, struct arena *)
{
	unsigned rows = (unsigned) m->resize.rows, cols = (unsigned) m->resize.cols;
	struct err e = {};
	int r = c->exec ? exec_resize(c->exec, rows, cols, &e)
			: life_resize(c->shim, rows, cols, &e);

	return c->is_session || reply_result(c, r, &e);
}

static bool on_stdin(struct client *c, struct shim_msg *m, struct arena *)
{
	if (!c->session.gives_input) { /* nobody reads it: taken, so that the client goes on */
		c->session.taken += m->data.bytes.n;
		want_out(&c->session);
		return true;
	}
	return streams_input(&c->session, m->data.bytes) >= 0;
}

static bool on_stdin_end(struct client *c, struct shim_msg *, struct arena *)
{
	if (c->session.gives_input)
		streams_input_end(&c->session);
	return true;
}

static bool on_wait(struct client *c, struct shim_msg *m, struct arena *)
{
	if (c->shim->phase == PHASE_GONE)
		return reply_exited(c) && false;
	c->waits = m->wait.condition == SHIM_WAIT_NEXT_EXIT ? WAITS_EXIT : WAITS_END;
	return true;
}

static bool on_usage(struct client *c, struct shim_msg *, struct arena *)
{
	struct shim_msg m = shim_msg_of(SHIM_USAGE_IS);
	struct usage u;
	struct err e = {};

	if (engine_usage(c->shim->in, &u, &e) < 0)
		return reply_error(c, &e, EXIT_CANNOT);
	m.usage = (struct usage_fields){
		.at = (uint64_t) u.at,
		USAGE_FIGURES(&u),
	};
	return reply(c, &m);
}

/* One message: so much for all commands and what else is said of each process. */
#define LIST_ROOM  (SHIM_MESSAGE_MAX / 4 * 3)
#define LIST_LEAST 200u
#define LIST_MAX   (LIST_ROOM / (LIST_LEAST + 32))

/* Of an engine that says itself what runs in there. */
static bool list_processes(struct client *c)
{
	auto_arena struct arena a = ARENA_INIT(16u << 20);
	struct shim_msg m = shim_msg_of(SHIM_PROCESSES_ARE);
	struct engine_processes all;
	struct err e = {};
	size_t room;

	if (engine_list(c->shim->in, &a, &all, &e) < 0)
		return reply_error(c, &e, EXIT_CANNOT);
	if (all.n > LIST_MAX) {
		(void) err_set(&e, ERR_EXHAUSTED, E2BIG,
			       "too many processes for a list (%zu): use exec and ps", all.n);
		return reply_error(c, &e, EXIT_CANNOT);
	}
	room = LIST_ROOM / (all.n + 1) - LIST_LEAST;
	m.processes.listed = true;
	m.processes.list.v = arena_array(&a, all.n + 1, sizeof(*m.processes.list.v));
	if (!m.processes.list.v) {
		(void) err_set(&e, ERR_EXHAUSTED, ENOMEM, "no memory for the list of processes");
		return reply_error(c, &e, EXIT_CANNOT);
	}
	for (size_t i = 0; i < all.n; i++)
		m.processes.list.v[m.processes.list.n++] =
			(struct process_fields){ PROCESS_FIGURES(&all.v[i]) };
	for (size_t i = 0; i < m.processes.list.n; i++) {
		const char **command = &m.processes.list.v[i].command;

		if (strlen(*command) > room)
			*command = arena_dup(&a, (struct str){ *command, room });
		if (!*command)
			*command = "";
	}
	return reply(c, &m);
}

static bool on_top(struct client *c, struct shim_msg *, struct arena *)
{
	auto_arena struct arena a = ARENA_INIT(4u << 20);
	struct shim_msg m = shim_msg_of(SHIM_PROCESSES_ARE);
	pid_t *pids = arena_array(&a, PROCESSES_MAX, sizeof(*pids));
	const char **texts;
	struct err e = {};
	size_t n = 0;

	if (engine_lists(c->shim->in))
		return list_processes(c);
	if (pids && engine_processes(c->shim->in, pids, PROCESSES_MAX, &n, &e) < 0)
		return reply_error(c, &e, EXIT_CANNOT);
	if (n > PROCESSES_MAX)
		n = PROCESSES_MAX;
	texts = arena_array(&a, n + 1, sizeof(*texts));
	for (size_t i = 0; texts && i < n; i++) {
		texts[i] = arena_printf(&a, "%d", (int) pids[i]);
		if (!texts[i])
			texts = NULL;
	}
	if (!pids || !texts) {
		(void) err_set(&e, ERR_EXHAUSTED, ENOMEM, "no memory for the list of processes");
		return reply_error(c, &e, EXIT_CANNOT);
	}
	m.processes.pids = (struct field_strings){ texts, n };
	return reply(c, &m);
}

static bool on_status(struct client *c, struct shim_msg *, struct arena *)
{
	struct shim *s = c->shim;
	struct shim_msg m = shim_msg_of(SHIM_STATUS_IS);

	m.status = (struct shim_status){
		.state = s->in ? s->in->state : ENGINE_STOPPED,
		.pid = (uint64_t) s->record.status.pid,
		.shim_pid = (uint64_t) getpid(),
		.exit_code = (uint64_t) s->record.status.exit_code & 0xff,
		.restarts = s->restart.count,
		.restarting = s->phase == PHASE_WAITING || s->phase == PHASE_DRAINING,
		.health = s->health.status,
	};
	return reply(c, &m);
}

static bool on_rename(struct client *c, struct shim_msg *m, struct arena *)
{
	struct shim *s = c->shim;
	char *name = arena_strdup(&s->request, m->rename.name);
	struct err e = {};

	if (!name) {
		(void) err_set(&e, ERR_EXHAUSTED, ENOMEM, "no memory for the name");
		return reply_error(c, &e, EXIT_CANNOT);
	}
	s->c.name = name;
	s->log.journal.name = name;
	return reply_ok(c);
}

static bool on_recorded(struct client *c, struct shim_msg *m, struct arena *)
{
	if (c == c->shim->keeper)
		record_returned(c->shim, &m->recorded);
	return true;
}

#define IN(phase)    (1u << (phase))
#define IN_UP	     IN(PHASE_UP)
#define IN_LIFE	     (IN_UP | IN(PHASE_DRAINING) | IN(PHASE_WAITING) | IN(PHASE_ENDING))
#define IN_ANY	     (IN_LIFE | IN(PHASE_GONE))
#define IN_SESSION   (1u << 31) /* also on a session's connection, and only SESSION_ONLY else not */
#define SESSION_ONLY (1u << 30)

static const struct {
	bool (*handle)(struct client *c, struct shim_msg *m, struct arena *a);
	unsigned when;
} requests[SHIM_TYPES_N] = {
	[SHIM_PREPARE] = { on_prepare, IN(PHASE_NONE) },
	[SHIM_CREATE] = { on_create, IN(PHASE_NONE) },
	[SHIM_SIGNAL] = { on_signal, IN_ANY | IN_SESSION },
	[SHIM_STOP] = { on_stop, IN_ANY },
	[SHIM_PAUSE] = { on_pause, IN_UP },
	[SHIM_RESUME] = { on_resume, IN_UP },
	[SHIM_UPDATE] = { on_update, IN_LIFE },
	[SHIM_EXEC] = { on_exec, IN_UP },
	[SHIM_CHECKPOINT] = { on_checkpoint, IN_UP },
	[SHIM_ATTACH] = { on_attach, IN_UP | IN(PHASE_WAITING) | IN(PHASE_DRAINING) },
	[SHIM_RESIZE] = { on_resize, IN_ANY | IN_SESSION },
	[SHIM_STDIN] = { on_stdin, IN_ANY | IN_SESSION | SESSION_ONLY },
	[SHIM_STDIN_END] = { on_stdin_end, IN_ANY | IN_SESSION | SESSION_ONLY },
	[SHIM_WAIT] = { on_wait, IN_ANY },
	[SHIM_USAGE] = { on_usage, IN_UP },
	[SHIM_TOP] = { on_top, IN_UP },
	[SHIM_STATUS] = { on_status, IN_ANY },
	[SHIM_RENAME] = { on_rename, IN_ANY },
	[SHIM_RECORDED] = { on_recorded, IN_ANY | IN_SESSION | SESSION_ONLY },
};

static bool serve(struct client *c, struct shim_msg *m, struct arena *a)
{
	struct shim *s = c->shim;
	unsigned when = requests[m->type].when;
	struct err e = {};

	if (!requests[m->type].handle || c->waits != WAITS_NOTHING || c->failure ||
	    (c->is_session && !(when & IN_SESSION)) || (!c->is_session && when & SESSION_ONLY))
		return false; /* no client of ours does that */
	if (!(when & IN(s->phase))) {
		(void) err_set(&e, ERR_CONFLICT, 0, "workload '%s' is not running", s->c.name);
		return reply_error(c, &e, EXIT_CANNOT);
	}
	return requests[m->type].handle(c, m, a);
}

static void client_ready(struct loop_source *src, uint32_t events)
{
	struct client *c = LOOP_OWNER(src, struct client, src);
	struct arena a = ARENA_INIT(MESSAGE_ARENA);
	struct shim_msg m;
	bool go_on = true;
	int r;

	if (events & EPOLLOUT) {
		c->out_wanted = false;
		if (session_flush(&c->session)) {
			client_free(c);
			return;
		}
		if (!c->out_wanted)
			(void) loop_change(&c->src, EPOLLIN); /* else it is called for nothing */
	}
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
		r = shim_recv(c->fd, &a, &m);
		if (r > 0) {
			go_on = serve(c, &m, &a);
			shim_msg_close_fds(&m);
		} else {
			go_on = r == -EAGAIN;
		}
		arena_fini(&a);
	}
	if (!go_on)
		client_free(c);
}

struct client *client_new(struct shim *s, int fd)
{
	struct client *c = calloc(1, sizeof(*c));

	if (c) {
		c->fd = fd;
		c->shim = s;
		c->session.sock = fd;
		c->session.more = want_out;
	}
	if (!c || loop_add(&s->loop, &c->src, fd, EPOLLIN, client_ready) < 0) {
		close_fd(&fd);
		free(c);
		return NULL;
	}
	c->next = s->clients;
	s->clients = c;
	return c;
}

/* ---- the socket -------------------------------------------------------------------------- */

static bool may_ask(int fd)
{
	struct ucred peer;
	socklen_t n = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) == 0 &&
	       (peer.uid == 0 || peer.uid == geteuid());
}

/* False: nobody stands before the door. */
static bool accept_one(struct shim *s)
{
	auto_fd int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	size_t n = 0;

	for (const struct client *c = s->clients; c; c = c->next)
		n++;
	if (fd < 0)
		return false;
	if (n < CLIENTS_MAX && may_ask(fd))
		(void) client_new(s, take_fd(&fd)); /* out of memory: hung up on */
	return true;
}

static void listener_ready(struct loop_source *src, uint32_t)
{
	(void) accept_one(LOOP_OWNER(src, struct shim, listener));
}

int clients_listen(struct shim *s, struct err *e)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	auto_fd int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int r;

	if (fd < 0)
		return err_sys(e, errno, "a socket to listen on");
	/* By the directory's descriptor: its path may be longer than sun_path. */
	(void) snprintf(at.sun_path, sizeof(at.sun_path), "/proc/self/fd/%d/" SOCKET_NAME,
			s->state_fd);
	(void) unlinkat(s->state_fd, SOCKET_NAME, 0); /* of a shim that was killed */
	if (bind(fd, (struct sockaddr *) &at, sizeof(at)) < 0 || listen(fd, 128) < 0)
		return err_sys(e, errno, "listen on '" SOCKET_NAME "'");
	r = loop_add(&s->loop, &s->listener, fd, EPOLLIN, listener_ready);
	if (r < 0)
		return err_sys(e, -r, "listen on '" SOCKET_NAME "'");
	s->listen_fd = take_fd(&fd);
	return 0;
}

void clients_unlisten(struct shim *s)
{
	if (s->listen_fd < 0)
		return;
	(void) unlinkat(s->state_fd, SOCKET_NAME, 0);
	for (int i = 0; i < CLIENTS_MAX && accept_one(s); i++)
		;
	loop_remove(&s->listener);
	close_fd(&s->listen_fd);
}

/* ---- news -------------------------------------------------------------------------------- */

void clients_recorded(struct shim *s)
{
	for (struct client *c = s->clients, *next; c; c = next) {
		next = c->next;
		if (c->waits != WAITS_START && c->waits != WAITS_RECORD)
			continue;
		if (c->waits == WAITS_START ? !reply_started(c, s->record.status.pid)
					    : !reply_ok(c))
			client_free(c);
		else
			c->waits = WAITS_NOTHING;
	}
}

bool clients_lend(struct shim *s, const struct shim_msg *m)
{
	return s->keeper && shim_send(s->keeper->fd, m) >= 0;
}

/* One who has just asked, and was not heard yet, is answered all the same. */
static void last_words(struct client *c)
{
	struct arena a = ARENA_INIT(MESSAGE_ARENA);
	struct shim_msg m;

	if (shim_recv(c->fd, &a, &m) > 0) {
		(void) serve(c, &m, &a); /* it is let go in any case */
		shim_msg_close_fds(&m);
	}
	arena_fini(&a);
}

/* Whether the client is still to be served. */
static bool tell_end(struct client *c, bool final)
{
	struct shim_exited how = how_of(c->shim);

	if (final && c->failure) {
		(void) reply_error(c, c->failure, c->failure_code);
		return false;
	}
	if (c->waits == WAITS_EXIT || (final && c->waits == WAITS_END)) {
		(void) reply_exited(c);
		return false;
	}
	if (!final)
		return true;
	if (c->waits == WAITS_STOP)
		(void) reply_ok(c);
	else if (!c->is_session)
		last_words(c);
	if (!c->is_session)
		return false;
	if (!c->exec && !c->session.exited)
		session_exited(&c->session, &how);
	return true;
}

void clients_ended(struct shim *s, bool final)
{
	for (struct client *c = s->clients, *next; c; c = next) {
		next = c->next;
		if (!tell_end(c, final))
			client_free(c);
	}
}

void clients_exec_ended(struct exec_session *x)
{
	struct client *c = x->client;

	if (!c)
		return;
	streams_leave(&c->session);
	c->exec = NULL;
	session_exited(&c->session, &x->how);
}

bool clients_served(const struct shim *s)
{
	return !s->clients;
}

void clients_fini(struct shim *s)
{
	while (s->clients)
		client_free(s->clients);
}
