/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "svc/attach.h"

#define STDIN_CHUNK 4096 /* bytes read at once; at most SHIM_DATA_MAX */

/* All that a user or a supervisor sends on purpose. Stopping (^Z) stays with the shell. */
static const int proxied[] = { SIGHUP,	SIGINT,	 SIGQUIT,  SIGUSR1, SIGUSR2,
			       SIGALRM, SIGTERM, SIGWINCH, SIGCONT };

int stream_init(struct stream *s, bool sinks, struct err *e)
{
	sigset_t set;

	if (s->tty && s->stdin_open && !cli_is_tty(STDIN_FILENO))
		return err_set(e, ERR_INVALID, ENOTTY,
			       "the input device is not a TTY: leave -t out, or run on a terminal");
	(void) sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(proxied); i++)
		(void) sigaddset(&set, proxied[i]);
	if (sigprocmask(SIG_BLOCK, &set, &s->old_mask) < 0)
		return err_sys(e, errno, "hold back signals");
	s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->signal_fd < 0) {
		int r = err_sys(e, errno, "signalfd");

		(void) sigprocmask(SIG_SETMASK, &s->old_mask, NULL);
		s->signal_fd = FD_NONE;
		return r;
	}
	if (sinks && !s->tty)
		supervise_sinks((bool[3]){ s->stdin_open, s->out, s->err }, s->sink);
	return 0;
}

void stream_fini(struct stream *s)
{
	for (size_t i = 0; i < ARRAY_SIZE(s->sink); i++)
		close_fd(&s->sink[i]);
	if (s->signal_fd >= 0)
		(void) sigprocmask(SIG_SETMASK, &s->old_mask, NULL);
	close_fd(&s->signal_fd);
}

struct pump {
	struct stream *s;
	struct shim_conn *conn;
	bool stdin_on;
	char typed[STDIN_CHUNK + DETACH_KEYS_MAX];
	size_t typed_n, typed_at; /* what the workload has not taken yet */
	bool stdin_ended;
};

/* Of terminal signals: WINCH is never for the workload's process group but for its terminal. */
static int serve_signals(struct pump *p, enum stream_end *ret_end, int *ret_status, bool *ret_done,
			 struct err *e)
{
	struct signalfd_siginfo si;

	while (read(p->s->signal_fd, &si, sizeof(si)) == (ssize_t) sizeof(si)) {
		int signo = (int) si.ssi_signo, r = 0;

		if (signo == SIGWINCH) {
			unsigned rows, cols;

			terminal_size(STDOUT_FILENO, &rows, &cols);
			if (p->s->tty && rows && cols)
				r = session_resize(p->conn, rows, cols, e);
		} else if (signo == SIGCONT) {
			continue; /* ours: after a stop by the shell */
		} else if (p->s->sig_proxy) {
			r = session_signal(p->conn, signo, e);
		} else if (signo == SIGINT || signo == SIGTERM || signo == SIGHUP ||
			   signo == SIGQUIT) {
			*ret_end = STREAM_SIGNALED;
			*ret_status = CLI_SIGNAL + signo;
			*ret_done = true;
			return 0;
		}
		if (r < 0)
			return r;
	}
	return 0;
}

static int end_stdin(struct pump *p, struct err *e)
{
	p->stdin_on = false;
	if (p->stdin_ended)
		return 0;
	p->stdin_ended = true;
	return session_stdin_end(p->conn, e);
}

/* Hand on what was typed, as far as the workload takes it now. */
static int push_stdin(struct pump *p, struct err *e)
{
	while (p->typed_at < p->typed_n) {
		struct str rest = { p->typed + p->typed_at, p->typed_n - p->typed_at };
		size_t taken = 0;
		int r;

		r = session_stdin_some(p->conn, rest, &taken, e);
		if (r < 0 || !taken)
			return r;
		p->typed_at += taken;
	}
	p->typed_at = p->typed_n = 0;
	return 0;
}

static int serve_stdin(struct pump *p, enum stream_end *ret_end, bool *ret_done, struct err *e)
{
	char bytes[STDIN_CHUNK];
	ssize_t n = read(STDIN_FILENO, bytes, sizeof(bytes));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0) /* EIO: the terminal has gone, which ends the input as well */
		return end_stdin(p, e);
	if (p->s->tty &&
	    detach_keys_filter(&p->s->keys, bytes, (size_t) n, p->typed, &p->typed_n)) {
		*ret_end = STREAM_DETACHED;
		*ret_done = true;
		return 0;
	}
	if (!p->s->tty) {
		memcpy(p->typed, bytes, (size_t) n);
		p->typed_n = (size_t) n;
	}
	p->typed_at = 0;
	return push_stdin(p, e);
}

static int serve_session(struct pump *p, enum stream_end *ret_end, int *ret_status, bool *ret_done,
			 struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(1u << 20);
	struct session_event ev;
	bool err_stream;
	int r = session_next(p->conn, &a, &ev, e);

	if (r < 0)
		return r;
	switch (ev.what) {
	case SESSION_OUTPUT:
		err_stream = ev.stream == SHIM_STREAM_STDERR;
		if (!(err_stream ? p->s->err : p->s->out))
			return 0;
		r = fd_write_all(err_stream ? STDERR_FILENO : STDOUT_FILENO, ev.bytes.p,
				 ev.bytes.n);
		if (r < 0) {
			*ret_end = STREAM_CLOSED;
			*ret_done = true;
		}
		return 0;
	case SESSION_GAP:
		(void) fprintf(stderr,
			       "atoll: %" PRIu64 " bytes not shown: this client reads too "
			       "slowly (see atoll logs)%s",
			       ev.lost, p->s->tty ? "\r\n" : "\n");
		return 0;
	case SESSION_READY:
		return push_stdin(p, e);
	case SESSION_CLOSED: /* of a sink: the shim met what fd_write_all() would have here */
		if (ev.stream == SHIM_STREAM_STDOUT) {
			*ret_end = STREAM_CLOSED;
			*ret_done = true;
		}
		return 0;
	case SESSION_KEPT:
		return 0;
	case SESSION_EXITED:
		*ret_end = STREAM_EXITED;
		*ret_status = (int) ev.exited.code;
		*ret_done = true;
		return 0;
	case SESSION_HUNGUP:
		return err_set(e, ERR_REMOTE, ECONNRESET,
			       "the workload's supervisor was killed; 'atoll system repair' mends "
			       "what it left");
	}
	return 0;
}

static int pump(struct pump *p, enum stream_end *ret_end, int *ret_status, struct err *e)
{
	bool done = false;
	int r = 0;

	while (!done && r == 0) {
		bool full = p->typed_at < p->typed_n;
		struct pollfd fds[3] = {
			{ .fd = p->conn->fd, .events = POLLIN },
			{ .fd = p->s->signal_fd, .events = POLLIN },
			{ .fd = p->stdin_on && !full ? STDIN_FILENO : -1, .events = POLLIN },
		};

		if (poll(fds, 3, -1) < 0) {
			if (errno == EINTR)
				continue;
			return err_sys(e, errno, "poll");
		}
		if (fds[1].revents)
			r = serve_signals(p, ret_end, ret_status, &done, e);
		if (r == 0 && !done && (fds[0].revents & (POLLIN | POLLHUP | POLLERR)))
			r = serve_session(p, ret_end, ret_status, &done, e);
		if (r == 0 && !done && fds[2].revents)
			r = serve_stdin(p, ret_end, &done, e);
	}
	return r;
}

int stream_run(struct stream *s, struct shim_conn *conn, enum stream_end *ret_end, int *ret_status,
	       struct err *e)
{
	auto_terminal struct terminal t = TERMINAL_INIT;
	struct pump p = { .s = s, .conn = conn };
	struct sigaction ignore = { .sa_handler = SIG_IGN }, old_pipe;
	int r;

	/* A closed stdout is an answer (EPIPE), not a death that would leave the terminal raw. */
	if (sigaction(SIGPIPE, &ignore, &old_pipe) < 0)
		return err_sys(e, errno, "ignore SIGPIPE");
	p.stdin_on = s->stdin_open && s->sink[0] < 0;
	if (s->tty && s->stdin_open) {
		r = terminal_raw(&t, STDIN_FILENO);
		if (r < 0)
			return err_sys(e, -r, "put the terminal into raw mode");
	}
	r = pump(&p, ret_end, ret_status, e);
	terminal_restore(&t);
	(void) sigaction(SIGPIPE, &old_pipe, NULL);
	return r;
}

int stream_status(struct cli *c, struct stream *s, struct shim_conn *conn)
{
	enum stream_end end = STREAM_EXITED;
	int status = CLI_OK;
	struct err e;

	if (stream_run(s, conn, &end, &status, &e) < 0) {
		(void) cli_fail(c, &e);
		return CLI_USAGE;
	}
	switch (end) {
	case STREAM_EXITED:
	case STREAM_SIGNALED:
		return status;
	case STREAM_DETACHED:
		(void) !write(STDERR_FILENO, "\n", 1); /* off the line the workload wrote */
		return CLI_OK;
	case STREAM_CLOSED:
		return CLI_SIGNAL + SIGPIPE;
	}
	return CLI_USAGE;
}
