/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One process and its streams on one connection. What it writes is read when the host has given
 * credit for it and the connection is not full, so a slow reader makes the process wait, and takes
 * no memory. What comes for its stdin is at most a window's worth.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/log.h"
#include "fmt/json.h"
#include "fmt/spec.h"
#include "guest/agent.h"
#include "sys/pidfd.h"
#include "sys/pty.h"

#define PROCESS_ARENA_MAX (32u << 20)
#define PIECE_BYTES	  (12u << 10)	       /* read and sent at a time: on the stack */
#define BACKLOG_MAX	  (4 * AGENT_DATA_MAX) /* bytes that wait for the peer: then nothing is read */
/* A process that is gone left at most a full pipe; more comes only from who shares its pipe. */
#define FINISH_BYTES (2u << 20)

static void output_ready(struct loop_source *ls, uint32_t events);
static void input_ready(struct loop_source *ls, uint32_t events);

/* ---- its ends ---------------------------------------------------------------------------- */

static int open_end(struct stream *st, int *ret_theirs)
{
	bool in = st->number == AGENT_STDIN;
	int p[2];

	if (pipe2(p, O_CLOEXEC) < 0)
		return -errno;
	*ret_theirs = p[in ? 0 : 1];
	st->fd = p[in ? 1 : 0];
	return fcntl(st->fd, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

static int open_ends(struct session *s, bool stdin_open, int theirs[static 3], struct err *e)
{
	int r = 0;

	for (int i = 0; r == 0 && i < AGENT_STREAMS; i++)
		if (i != AGENT_STDIN || stdin_open)
			r = open_end(&s->streams[i], &theirs[i]);
	return r < 0 ? err_sys(e, -r, "pipes for the process's streams") : 0;
}

/* Takes the terminal's master: one descriptor for each direction. */
static int take_console(struct session *s, int master, uint64_t rows, uint64_t cols, struct err *e)
{
	auto_fd int fd = master;
	int r = 0;

	if (fd < 0)
		return err_set(e, ERR_INTERNAL, 0, "the terminal is missing");
	if (fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK) < 0)
		return err_sys(e, errno, "the terminal");
	if (rows)
		r = pty_resize(fd, (unsigned) rows, (unsigned) cols);
	if (r < 0)
		return err_sys(e, -r, "the terminal's size");
	s->streams[AGENT_STDIN].fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (s->streams[AGENT_STDIN].fd < 0)
		return err_sys(e, errno, "the terminal");
	s->streams[AGENT_STDOUT].fd = take_fd(&fd);
	s->tty = true;
	return 0;
}

static struct session *session_new(struct agent *a, struct connection *c)
{
	struct session *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->agent = a;
	s->connection = c;
	s->pidfd = FD_NONE;
	for (int i = 0; i < AGENT_STREAMS; i++)
		s->streams[i] = (struct stream){ .ls.fd = FD_NONE,
						 .session = s,
						 .number = (enum agent_stream) i,
						 .fd = FD_NONE,
						 .credit = AGENT_WINDOW,
						 .held = BUF_INIT(AGENT_WINDOW) };
	s->next = a->sessions;
	a->sessions = s;
	return s;
}

static void close_stream(struct stream *st)
{
	loop_remove(&st->ls);
	close_fd(&st->fd);
	buf_fini(&st->held);
}

/* Its memory and descriptors alone. */
static void drop(struct session *s)
{
	for (struct session **p = &s->agent->sessions; *p; p = &(*p)->next)
		if (*p == s) {
			*p = s->next;
			break;
		}
	for (int i = 0; i < AGENT_STREAMS; i++)
		close_stream(&s->streams[i]);
	loop_timer_cancel(&s->done_timer);
	close_fd(&s->pidfd);
	free(s);
}

void session_free(struct session *s)
{
	struct workload *w = s->workload;
	bool kills = !s->ended;

	if (kills && !s->is_init)
		(void) pidfd_kill(s->pidfd, SIGKILL); /* it may have ended */
	if (kills && s->is_init && w)
		workload_remove(w);
	drop(s);
}

void session_forget_workload(struct workload *w)
{
	for (struct session *s = w->agent->sessions; s; s = s->next)
		if (s->workload == w)
			s->workload = NULL;
}

/* ---- what it writes ---------------------------------------------------------------------- */

static void done(struct loop_timer *t)
{
	struct session *s = LOOP_OWNER(t, struct session, done_timer);
	struct agent_msg m = agent_msg_of(AGENT_EXITED);

	if (s->held)
		return;
	m.exited = s->how;
	connection_finish(s->connection, &m);
}

static bool output_open(const struct session *s)
{
	return s->streams[AGENT_STDOUT].fd >= 0 || s->streams[AGENT_STDERR].fd >= 0;
}

void session_check_done(struct session *s)
{
	/* From the loop, never from within: it may be the session's end. */
	if (s->ended && !output_open(s))
		loop_timer_set(&s->agent->loop, &s->done_timer, 0, done);
}

static void end_output(struct stream *st)
{
	struct agent_msg m = agent_msg_of(AGENT_EOF);

	close_stream(st);
	if (!st->told) {
		st->told = true;
		m.stream = st->number;
		connection_send(st->session->connection, &m);
	}
	session_check_done(st->session);
}

/* One piece of it to the host, no more than there is credit for. False: nothing is there now. */
static bool pass_on(struct stream *st)
{
	char piece[PIECE_BYTES];
	size_t want = st->credit < sizeof(piece) ? st->credit : sizeof(piece);
	struct agent_msg m = agent_msg_of(AGENT_DATA);
	ssize_t n;

	do
		n = read(st->fd, piece, want);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return false;
	if (n <= 0) { /* EIO: a terminal without a process */
		end_output(st);
		return false;
	}
	st->credit -= (size_t) n;
	m.stream = st->number;
	m.data = (struct str){ piece, (size_t) n };
	connection_send(st->session->connection, &m);
	return true;
}

static bool may_read(const struct stream *st)
{
	return st->fd >= 0 && st->credit > 0 && !st->session->held &&
	       connection_waiting(st->session->connection) < BACKLOG_MAX;
}

/* In the loop only while there is something to do: a hang-up would be reported all the time. */
static void watch_output(struct stream *st)
{
	if (!may_read(st))
		loop_remove(&st->ls);
	else if (!st->ls.loop &&
		 loop_add(&st->session->agent->loop, &st->ls, st->fd, EPOLLIN, output_ready) < 0)
		end_output(st); /* no memory: nobody could tell when to go on */
}

/* The process has ended: what it left, as the host takes it. */
static void drain(struct stream *st)
{
	while (may_read(st)) {
		uint64_t before = st->credit;

		if (!pass_on(st) || st->left <= before - st->credit) {
			if (st->fd >= 0)
				end_output(st);
			return;
		}
		st->left -= before - st->credit;
	}
	loop_remove(&st->ls); /* session_resume() comes when it may go on */
}

static void go_on(struct stream *st)
{
	if (st->fd < 0)
		return;
	if (st->session->ended)
		drain(st);
	else
		watch_output(st);
}

static void output_ready(struct loop_source *ls, uint32_t)
{
	struct stream *st = LOOP_OWNER(ls, struct stream, ls);

	if (!st->session->ended && may_read(st))
		(void) pass_on(st);
	go_on(st);
}

void session_resume(struct session *s)
{
	go_on(&s->streams[AGENT_STDOUT]);
	go_on(&s->streams[AGENT_STDERR]);
}

/* ---- what it reads ----------------------------------------------------------------------- */

/* Bytes the host may send in place of those that went to the process, or nowhere. */
static void taken(struct stream *st, size_t n)
{
	struct agent_msg m = agent_msg_of(AGENT_WINDOW_MORE);

	if (!n)
		return;
	st->credit += n;
	m.stream = AGENT_STDIN;
	m.window = (uint32_t) n;
	connection_send(st->session->connection, &m);
}

/* Nobody reads it: what came is dropped, and so is what comes. */
static void end_input(struct stream *st)
{
	struct agent_msg m = agent_msg_of(AGENT_EOF);
	size_t held = st->held.n;

	close_stream(st);
	st->held = BUF_INIT(AGENT_WINDOW);
	if (st->ends || st->told)
		return;
	st->told = true;
	m.stream = AGENT_STDIN;
	connection_send(st->session->connection, &m);
	taken(st, held);
}

/* What the process takes of the bytes now. */
static size_t offer(struct stream *st, struct str bytes)
{
	size_t done_n = 0;

	while (st->fd >= 0 && done_n < bytes.n) {
		ssize_t n = write(st->fd, bytes.p + done_n, bytes.n - done_n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			if (st->ls.loop || loop_add(&st->session->agent->loop, &st->ls, st->fd,
						    EPOLLOUT, input_ready) == 0)
				return done_n;
			n = -1;
		}
		if (n <= 0) {
			end_input(st);
			break;
		}
		done_n += (size_t) n;
	}
	return bytes.n;
}

static void input_flush(struct stream *st)
{
	size_t n = offer(st, buf_str(&st->held));

	if (st->fd < 0)
		return; /* all was dropped */
	buf_drop_front(&st->held, n);
	if (!st->held.n) {
		buf_fini(&st->held);
		st->held = BUF_INIT(AGENT_WINDOW);
		loop_remove(&st->ls);
		if (st->ends && !st->session->tty) /* a terminal has no end */
			close_stream(st);
	}
	taken(st, n);
}

static void input_ready(struct loop_source *ls, uint32_t)
{
	input_flush(LOOP_OWNER(ls, struct stream, ls));
}

static int input(struct stream *st, struct str bytes)
{
	size_t n = 0;

	if (bytes.n > st->credit || st->ends)
		return -EPROTO;
	st->credit -= bytes.n;
	if (st->fd < 0) { /* it is told, or was never there */
		taken(st, bytes.n);
		return 0;
	}
	if (!st->held.n)
		n = offer(st, bytes);
	if (st->fd < 0 || n == bytes.n) {
		taken(st, bytes.n);
		return 0;
	}
	buf_add(&st->held, bytes.p + n, bytes.n - n);
	taken(st, n);
	return buf_ok(&st->held) ? 0 : -ENOMEM;
}

static void input_end(struct stream *st)
{
	st->ends = true;
	if (st->fd >= 0 && !st->held.n && !st->session->tty)
		close_stream(st);
}

/* ---- what comes from the host ------------------------------------------------------------ */

/* Nobody reads it there any more: the process shall know. */
static void unwanted(struct stream *st)
{
	st->told = true;
	if (st->fd >= 0 && !st->session->tty)
		end_output(st);
}

static int more_window(struct session *s, const struct agent_msg *m)
{
	struct stream *st = &s->streams[m->stream];

	if (m->stream == AGENT_STDIN || m->window > AGENT_WINDOW ||
	    st->credit + m->window > AGENT_WINDOW)
		return -EPROTO;
	st->credit += m->window;
	go_on(st);
	return 0;
}

static int signal_it(struct session *s, const struct agent_msg *m)
{
	struct err e = {};

	if (*m->signal.id || m->signal.signo == 0)
		return -EPROTO;
	if (s->ended)
		return 0;
	if (!s->is_init)
		(void) pidfd_kill(s->pidfd, (int) m->signal.signo); /* it may have ended */
	else if (s->workload &&
		 workload_signal(s->workload, (int) m->signal.signo, m->signal.all, &e) < 0)
		log_warn("%s", e.msg);
	return 0;
}

int session_take(struct session *s, const struct agent_msg *m)
{
	struct stream *in = &s->streams[AGENT_STDIN];

	if (m->type == AGENT_DATA && m->stream == AGENT_STDIN)
		return input(in, m->data);
	if (m->type == AGENT_EOF && m->stream == AGENT_STDIN) {
		input_end(in);
		return 0;
	}
	if (m->type == AGENT_EOF) {
		unwanted(&s->streams[m->stream]);
		return 0;
	}
	if (m->type == AGENT_WINDOW_MORE)
		return more_window(s, m);
	if (m->type == AGENT_SIGNAL)
		return signal_it(s, m);
	if (m->type == AGENT_HELD && s->held && !s->quiet) {
		hold_quiet(s);
		return 0;
	}
	if (m->type == AGENT_RESIZE) {
		if (s->tty && in->fd >= 0)
			(void) pty_resize(in->fd, (unsigned) m->resize.rows,
					  (unsigned) m->resize.cols);
		return 0;
	}
	return -EPROTO;
}

/* ---- its life ---------------------------------------------------------------------------- */

static void close_theirs(int theirs[static 3])
{
	for (int i = 0; i < 3; i++)
		close_fd(&theirs[i]);
}

static int make_container(struct session *s, const struct agent_create *m, int theirs[static 3],
			  struct err *e)
{
	struct workload *w;
	int r = workload_new(s->agent, m, &w, e);

	if (r < 0)
		return r;
	s->workload = w;
	s->is_init = true;
	if (!w->spec->process->terminal)
		r = open_ends(s, m->stdin_open, theirs, e);
	r = r < 0 ? r : workload_create(w, m, theirs, e);
	if (r == 0 && w->in && w->spec->process->terminal)
		r = take_console(s, take_fd(&w->in->console_fd), m->rows, m->cols, e);
	if (r < 0) {
		workload_remove(w);
		return r;
	}
	if (w->in)
		s->pid = w->in->pid;
	return 0;
}

int session_start(struct session *s, struct err *e)
{
	struct workload *w = s->workload;

	if (!s->is_init || !w || !w->in)
		return err_set(e, ERR_CONFLICT, ESRCH, "there is nothing to start");
	return engine_start(w->in, e);
}

static int make_process(struct session *s, const struct agent_exec *m, int theirs[static 3],
			struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(PROCESS_ARENA_MAX);
	struct exec got = { .pidfd = FD_NONE, .console_fd = FD_NONE };
	const struct spec_process *p;
	const struct json *root;
	int r;

	s->workload = workload_find(s->agent, m->id, e);
	if (!s->workload)
		return -ENOENT;
	if (json_parse(&a, str_of(m->process), &root, e) < 0 ||
	    spec_process_decode(&a, root, &p, e) < 0)
		return err_ctx(e, "process");
	r = p->terminal ? 0 : open_ends(s, m->stdin_open, theirs, e);
	r = r < 0 ? r : workload_exec(s->workload, p, m, theirs, &got, e);
	if (r < 0)
		return r;
	s->pid = got.pid;
	s->pidfd = got.pidfd;
	r = p->terminal ? take_console(s, got.console_fd, m->rows, m->cols, e) : 0;
	if (r < 0)
		(void) pidfd_kill(s->pidfd, SIGKILL); /* reaped as an orphan */
	return r;
}

int session_begin(struct agent *a, struct connection *c, const struct agent_msg *m,
		  struct session **ret_s, struct err *e)
{
	int theirs[3] = { FD_NONE, FD_NONE, FD_NONE }, r;
	struct session *s = session_new(a, c);

	if (!s)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory for another process");
	r = m->type == AGENT_CREATE ? make_container(s, &m->create, theirs, e)
				    : make_process(s, &m->exec, theirs, e);
	close_theirs(theirs);
	if (r < 0) {
		drop(s);
		return r;
	}
	session_resume(s);
	*ret_s = s;
	return 0;
}

void session_attach(struct session *s, struct connection *c, const struct agent_attach *m)
{
	struct agent_msg answer = agent_msg_of(AGENT_ATTACHED), eof = agent_msg_of(AGENT_EOF);
	struct stream *in = &s->streams[AGENT_STDIN];

	s->connection = c;
	if (s->tty && in->fd >= 0 && m->rows)
		(void) pty_resize(in->fd, (unsigned) m->rows, (unsigned) m->cols);
	in->credit = AGENT_WINDOW - in->held.n;
	answer.attached = (struct agent_attached){ .pid = (uint64_t) s->pid,
						   .stdin_credit = in->credit,
						   .stdin_open = in->fd >= 0 && !in->ends };
	connection_send(c, &answer);
	for (int i = AGENT_STDOUT; i < AGENT_STREAMS; i++) {
		struct stream *st = &s->streams[i];

		st->credit = AGENT_WINDOW;
		st->told = st->fd < 0;
		eof.stream = st->number;
		if (st->told)
			connection_send(c, &eof);
	}
	session_resume(s);
	session_check_done(s);
}

static void process_ended(struct session *s, int code, bool oom)
{
	s->ended = true;
	s->how = (struct agent_exited){ (uint64_t) code & 0xff, oom };
	close_stream(&s->streams[AGENT_STDIN]);
	for (int i = AGENT_STDOUT; i < AGENT_STREAMS; i++)
		s->streams[i].left = FINISH_BYTES;
	session_resume(s);
	session_check_done(s);
}

bool session_child_ended(struct agent *a, pid_t pid, int code)
{
	for (struct workload *w = a->workloads; w; w = w->next)
		if (w->in && w->in->pid == pid && !w->ended) {
			workload_ended(w, code);
			for (struct session *s = a->sessions; s; s = s->next)
				if (s->workload == w && s->is_init)
					process_ended(s, code, w->oom);
			return true;
		}
	for (struct session *s = a->sessions; s; s = s->next)
		if (!s->is_init && !s->ended && s->pid == pid) {
			process_ended(s, code, false);
			return true;
		}
	return false;
}
