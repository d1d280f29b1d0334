/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "base/auto.h"
#include "proxy/proxy.h"
#include "sys/pty.h"

/*
 * A pipe that polls as writable takes as many without waiting (pipe(7)); its other ends may be
 * shared, so it is not made non-blocking.
 */
#define WRITE_MAX PIPE_BUF

/* ---- streams ----------------------------------------------------------------------------- */

static void stream_set(struct stream *s, int fd)
{
	struct stat st;

	s->fd = fd;
	s->pending = BUF_INIT(AGENT_WINDOW);
	s->socket = fd >= 0 && fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

static int open_terminal(struct proxy *p, const struct proxy_head *h, int *ret_master,
			 struct err *e)
{
	auto_fd int master = FD_NONE, slave = FD_NONE;
	struct termios t;
	int r = pty_open(AT_FDCWD, "/dev/ptmx", &master, &slave);

	if (r < 0)
		return err_sys(e, -r, "a terminal");
	/* The guest's terminal does all that terminals do. */
	if (tcgetattr(slave, &t) < 0)
		return err_sys(e, errno, "the terminal");
	cfmakeraw(&t);
	if (tcsetattr(slave, TCSANOW, &t) < 0)
		return err_sys(e, errno, "the terminal");
	r = h->rows || h->cols ? pty_resize(slave, h->rows, h->cols) : 0;
	/* Of this session, so that a change of size and the master's end are told. */
	if (r == 0)
		r = setsid() < 0 && getsid(0) != getpid() ? -errno : pty_take(slave);
	if (r < 0)
		return err_sys(e, -r, "the terminal");
	*ret_master = take_fd(&master);
	p->slave_fd = take_fd(&slave);
	return 0;
}

int session_open(struct proxy *p, const struct proxy_head *h, int *ret_master, struct err *e)
{
	p->terminal = h->terminal;
	p->credit = AGENT_WINDOW;
	if (h->terminal) {
		int r = open_terminal(p, h, ret_master, e);

		if (r < 0)
			return r;
	}
	stream_set(&p->in, STDIN_FILENO);
	stream_set(&p->out, STDOUT_FILENO);
	stream_set(&p->err, h->terminal ? FD_NONE : STDERR_FILENO);
	return 0;
}

/* ---- to the guest ------------------------------------------------------------------------ */

static int tell(struct proxy *p, const struct agent_msg *m)
{
	return agent_link_put(&p->link, m);
}

static int tell_eof(struct proxy *p, enum agent_stream stream)
{
	struct agent_msg m = agent_msg_of(AGENT_EOF);

	m.stream = stream;
	return tell(p, &m);
}

static int tell_size(struct proxy *p)
{
	struct agent_msg m = agent_msg_of(AGENT_RESIZE);
	unsigned rows, cols;

	if (pty_size(p->slave_fd, &rows, &cols) < 0)
		return 0;
	m.resize.rows = rows;
	m.resize.cols = cols;
	return tell(p, &m);
}

void session_signal(struct proxy *p, int signo)
{
	struct agent_msg m = agent_msg_of(AGENT_SIGNAL);

	if (!p->created || p->exited)
		return;
	m.signal.signo = (uint64_t) signo;
	if (signo == SIGWINCH && p->terminal)
		(void) tell_size(p); /* a connection that fails is found by its reader */
	else
		(void) tell(p, &m);
}

static int read_stdin(struct proxy *p)
{
	struct agent_msg m = agent_msg_of(AGENT_DATA);
	char bytes[AGENT_DATA_MAX / 2];
	size_t max = p->credit < sizeof(bytes) ? p->credit : sizeof(bytes);
	ssize_t n = read(p->in.fd, bytes, max);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n <= 0) { /* also the terminal whose master is gone: EIO */
		close_fd(&p->in.fd);
		return p->terminal ? 0 : tell_eof(p, AGENT_STDIN);
	}
	p->credit -= (size_t) n;
	m.stream = AGENT_STDIN;
	m.data = (struct str){ bytes, (size_t) n };
	return tell(p, &m);
}

/* ---- from the guest ---------------------------------------------------------------------- */

static struct stream *out_of(struct proxy *p, enum agent_stream s)
{
	return s == AGENT_STDOUT ? &p->out : s == AGENT_STDERR ? &p->err : NULL;
}

static int take_data(struct proxy *p, const struct agent_msg *m)
{
	struct stream *s = out_of(p, m->stream);

	if (!s || s->ended || m->data.n > AGENT_WINDOW - s->pending.n)
		return -EBADMSG; /* past its credit */
	if (s->fd >= 0)
		buf_addstr(&s->pending, m->data);
	return buf_ok(&s->pending) ? 0 : buf_error(&s->pending);
}

static int take_message(struct proxy *p, const struct agent_msg *m)
{
	const struct agent_msg held = agent_msg_of(AGENT_HELD);
	struct stream *s;

	switch (m->type) {
	case AGENT_DATA:
		return take_data(p, m);
	case AGENT_EOF:
		if (m->stream == AGENT_STDIN)
			close_fd(&p->in.fd); /* nobody reads it any more */
		else if ((s = out_of(p, m->stream)))
			s->ended = true;
		return 0;
	case AGENT_WINDOW_MORE:
		if (m->stream != AGENT_STDIN || m->window > AGENT_WINDOW - p->credit)
			return -EBADMSG;
		p->credit += m->window;
		return 0;
	case AGENT_EXITED:
		p->exited = true;
		p->code = (int) (m->exited.code & 0xff);
		p->oom = m->exited.oom;
		return 0;
	case AGENT_STARTED:
		return proxy_started(p, m);
	case AGENT_ERROR:
		return proxy_refused(p, m);
	case AGENT_HOLD:
		p->held = true;
		return tell(p, &held);
	case AGENT_RELEASE:
		p->held = false;
		return 0;
	case AGENT_OK: /* of a request that had none */
	case AGENT_NONE:
	case AGENT_HELLO:
	case AGENT_SETUP:
	case AGENT_CREATE:
	case AGENT_START:
	case AGENT_EXEC:
	case AGENT_SIGNAL:
	case AGENT_STATE:
	case AGENT_PAUSE:
	case AGENT_RESUME:
	case AGENT_UPDATE:
	case AGENT_PROCESSORS:
	case AGENT_USAGE:
	case AGENT_PROCESSES:
	case AGENT_DELETE:
	case AGENT_MACHINE_USAGE:
	case AGENT_RESEED:
	case AGENT_POWER_OFF:
	case AGENT_CREATED:
	case AGENT_STATE_IS:
	case AGENT_USAGE_IS:
	case AGENT_PROCESSES_ARE:
	case AGENT_MACHINE_USAGE_IS:
	case AGENT_RESIZE:
	case AGENT_HELD:
	case AGENT_ATTACH:
	case AGENT_ATTACHED:
	case AGENT_FILES:
	case AGENT_TYPES_N:
		break;
	}
	return -EBADMSG;
}

static int read_agent(struct proxy *p)
{
	for (;;) {
		auto_arena struct arena a = ARENA_INIT(1u << 20);
		struct agent_msg m;
		int r = agent_link_next(&p->link, &a, &m);

		if (r == 0) {
			r = agent_link_read(&p->link);
			if (r == -EAGAIN)
				return 0;
			if (r == 0)
				return -EPIPE;
		} else if (r > 0) {
			r = take_message(p, &m);
			if (p->exited)
				return 0; /* the last: nothing counts after it */
		}
		if (r < 0)
			return r;
	}
}

/* Some of what is pending; what went is credit for more. */
static int write_out(struct proxy *p, struct stream *s, enum agent_stream which)
{
	struct agent_msg m = agent_msg_of(AGENT_WINDOW_MORE);
	size_t max = s->pending.n < WRITE_MAX ? s->pending.n : WRITE_MAX;
	ssize_t n = s->socket ? send(s->fd, s->pending.p, max, MSG_DONTWAIT | MSG_NOSIGNAL)
			      : write(s->fd, s->pending.p, max);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n < 0) { /* nobody reads: as EPIPE would say inside */
		buf_clear(&s->pending);
		close_fd(&s->fd);
		return p->exited || s->ended ? 0 : tell_eof(p, which);
	}
	buf_drop_front(&s->pending, (size_t) n);
	m.stream = which;
	m.window = (uint32_t) n;
	return p->exited || s->ended ? 0 : tell(p, &m);
}

/* ---- the loop ---------------------------------------------------------------------------- */

enum { AT_SYNC, AT_SIGNAL, AT_LINK, AT_IN, AT_OUT, AT_ERR, AT_N };

static void close_drained(struct stream *s)
{
	if (s->ended && s->pending.n == 0)
		close_fd(&s->fd);
}

static bool delivered(const struct proxy *p)
{
	return p->exited && p->out.pending.n == 0 && p->err.pending.n == 0;
}

/* A stream with something to write is asked for; one with nothing left and no sender goes. */
static void watch(struct proxy *p, struct pollfd v[static AT_N])
{
	close_drained(&p->out);
	close_drained(&p->err);
	v[AT_SYNC] = (struct pollfd){ .fd = p->sync_fd, .events = POLLIN };
	v[AT_SIGNAL] = (struct pollfd){ .fd = p->signal_fd, .events = POLLIN };
	v[AT_LINK] = (struct pollfd){ .fd = p->exited ? FD_NONE : p->link.fd, .events = POLLIN };
	if (agent_link_waiting(&p->link))
		v[AT_LINK].events |= POLLOUT;
	v[AT_IN] = (struct pollfd){ .fd = p->started && p->credit && !p->exited && !p->held
						  ? p->in.fd
						  : FD_NONE,
				    .events = POLLIN };
	v[AT_OUT] = (struct pollfd){ .fd = p->out.pending.n ? p->out.fd : FD_NONE,
				     .events = POLLOUT };
	v[AT_ERR] = (struct pollfd){ .fd = p->err.pending.n ? p->err.fd : FD_NONE,
				     .events = POLLOUT };
}

/*
 * Without a word of the process: of what it wrote, all that came is delivered. As after a snapshot,
 * from which it goes on elsewhere.
 */
static void machine_gone(struct proxy *p)
{
	(void) read_agent(p); /* what is there: it may end in the midst of a message */
	if (p->exited)
		return;
	p->exited = true;
	p->code = CODE_LOST;
	machine_await_loss(p);
	if (!p->kill_by)
		p->kill_by = clock_deadline(PROXY_KILL_TIME);
}

static int serve(struct proxy *p, const struct pollfd v[static AT_N], struct err *e)
{
	int r = 0;

	if (v[AT_SIGNAL].revents)
		proxy_signals(p);
	if (p->lost && !p->exited) {
		if (!p->started)
			return machine_lost(p, e);
		machine_gone(p);
	}
	if (v[AT_SYNC].revents && proxy_request(p, e) < 0)
		return -1;
	if (v[AT_LINK].revents & POLLOUT)
		r = agent_link_flush(&p->link);
	if (r >= 0 && v[AT_LINK].revents & (POLLIN | POLLHUP | POLLERR))
		r = read_agent(p);
	if (r == -EPIPE && p->started && !p->exited) {
		machine_gone(p);
		r = 0;
	}
	if (r >= 0 && v[AT_IN].revents && p->in.fd >= 0)
		r = read_stdin(p);
	if (r >= 0 && v[AT_OUT].revents)
		r = write_out(p, &p->out, AGENT_STDOUT);
	if (r >= 0 && v[AT_ERR].revents)
		r = write_out(p, &p->err, AGENT_STDERR);
	return r < 0 ? err_sys(e, -r, "the connection to the machine") : 0;
}

int session_run(struct proxy *p, struct err *e)
{
	struct pollfd v[AT_N];
	int r = read_agent(p); /* what came with the answer before */

	if (r < 0)
		return err_sys(e, -r, "the connection to the machine");
	while (!delivered(p)) {
		watch(p, v);
		if (p->kill_by && clock_mono() >= p->kill_by)
			return p->exited ? 0
					 : err_set(e, ERR_TIMEOUT, ETIMEDOUT,
						   "the machine does not end its process");
		if (poll(v, AT_N, p->kill_by ? clock_poll_ms(p->kill_by) : -1) < 0) {
			if (errno == EINTR)
				continue;
			return err_sys(e, errno, "wait for the machine");
		}
		r = serve(p, v, e);
		if (r < 0)
			return r;
	}
	return 0;
}
