/* SPDX-License-Identifier: Apache-2.0 */
#include "svc/attach.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "store/discard.h"
#include "svc/running.h"

int attach_open(struct svc *s, const char *ref, const struct shim_attach *at, struct shim_conn *ret,
		struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(2 * SHIM_MESSAGE_MAX);
	auto_shim_conn struct shim_conn conn = SHIM_CONN_NONE;
	struct shim_msg m = shim_msg_of(SHIM_ATTACH);
	int r;

	if (running_connect(s, ref, &conn, e) < 0)
		return -1;
	m.attach = *at;
	r = shim_send(conn.fd, &m);
	if (r >= 0)
		r = shim_recv(conn.fd, &a, &m);
	if (r <= 0)
		return err_set(e, ERR_CONFLICT, 0, "workload '%s' has just ended", ref);
	if (m.type == SHIM_ERROR)
		return err_set(e, (enum err_kind) m.error.kind, (int) m.error.sys, "%s",
			       m.error.message);
	conn.session = true;
	*ret = conn;
	conn = SHIM_CONN_NONE;
	return 0;
}

/* A shim that is gone is told by session_next(). */
static int tell(struct shim_conn *c, const struct shim_msg *m, struct err *e)
{
	int r = shim_send(c->fd, m);

	return r < 0 && r != -EPIPE ? err_sys(e, -r, "talk to the workload's shim") : 0;
}

/*
 * The end of what is removed at its end, while its shim clears up: the record goes, and the
 * directory is set aside, for the shim to remove when all was told. What cannot be done here is
 * the shim's, or repair's.
 */
static int keep_record(struct shim_conn *c, struct arena *a, const struct shim_record *m,
		       struct err *e)
{
	struct shim_msg answer = shim_msg_of(SHIM_RECORDED);
	enum store_sync sync = m->durable ? STORE_DURABLE : STORE_RELAXED;
	struct svc *s = c->keeper;
	size_t n = m->events.n / 2;
	struct event *last = arena_array(a, n + 1, sizeof(*last));
	int r = s && last ? svc_store(s, e) : -1;

	for (size_t i = 0; last && i < n; i++)
		last[i] = (struct event){ .type = "container",
					  .action = m->events.v[2 * i],
					  .id = m->id,
					  .attributes = m->events.v[2 * i + 1] };
	if (r >= 0)
		r = store_workload_forget(s->store, m->id, true, last, n, sync, e);
	if (r >= 0 && store_workload_set_aside(&s->paths, m->id, e) < 0)
		svc_notice(s, "%s", e->msg); /* the shim removes it where it is */
	answer.recorded.failed = r < 0;
	answer.recorded.checkpoint_due = r >= 0 && store_checkpoint_due(s->store);
	return tell(c, &answer, e);
}

int session_next(struct shim_conn *c, struct arena *a, struct session_event *ret, struct err *e)
{
	struct shim_msg m;
	int r = shim_recv(c->fd, a, &m);

	if (r < 0)
		return err_sys(e, -r, "hear from the workload's shim");
	*ret = (struct session_event){ .what = SESSION_HUNGUP };
	if (r == 0)
		return 0;
	if (m.type == SHIM_OUTPUT) {
		*ret = (struct session_event){ .what = SESSION_OUTPUT,
					       .stream = (enum shim_stream) m.data.stream,
					       .bytes = m.data.bytes };
	} else if (m.type == SHIM_GAP) {
		*ret = (struct session_event){ .what = SESSION_GAP,
					       .stream = (enum shim_stream) m.gap.stream,
					       .lost = m.gap.bytes };
	} else if (m.type == SHIM_TAKEN) {
		c->untaken -= m.taken.bytes < c->untaken ? m.taken.bytes : c->untaken;
		ret->what = SESSION_READY;
	} else if (m.type == SHIM_SINK_CLOSED) {
		ret->what = SESSION_CLOSED;
		ret->stream = (enum shim_stream) m.data.stream;
	} else if (m.type == SHIM_RECORD) {
		ret->what = SESSION_KEPT;
		return keep_record(c, a, &m.record, e);
	} else if (m.type == SHIM_EXITED) {
		ret->what = SESSION_EXITED;
		ret->exited = m.exited;
	} else {
		shim_msg_close_fds(&m);
		return err_set(e, ERR_REMOTE, EPROTO, "message %d within a session", (int) m.type);
	}
	return 0;
}

int session_stdin_some(struct shim_conn *c, struct str bytes, size_t *ret_taken, struct err *e)
{
	struct shim_msg m = shim_msg_of(SHIM_STDIN);
	size_t n = SHIM_STDIN_WINDOW - c->untaken;

	if (n > bytes.n)
		n = bytes.n;
	if (n > SHIM_DATA_MAX)
		n = SHIM_DATA_MAX;
	*ret_taken = n;
	if (!n)
		return 0;
	m.data.bytes = (struct str){ bytes.p, n };
	c->untaken += n;
	return tell(c, &m, e);
}

int session_stdin_end(struct shim_conn *c, struct err *e)
{
	struct shim_msg m = shim_msg_of(SHIM_STDIN_END);

	return tell(c, &m, e);
}

int session_resize(struct shim_conn *c, unsigned rows, unsigned cols, struct err *e)
{
	struct shim_msg m = shim_msg_of(SHIM_RESIZE);

	m.resize = (struct shim_resize){ rows, cols };
	return tell(c, &m, e);
}

int session_signal(struct shim_conn *c, int signo, struct err *e)
{
	struct shim_msg m = shim_msg_of(SHIM_SIGNAL);

	m.signal.signo = (uint64_t) signo;
	return tell(c, &m, e);
}

/* ---- the whole of it --------------------------------------------------------------------- */

struct copy {
	struct shim_conn *conn;
	int in_fd; /* FD_NONE once it has ended */
	int out[2];
	char held[SHIM_DATA_MAX / 2]; /* of stdin, not yet taken */
	size_t held_n, held_at;
};

static int push(struct copy *k, struct err *e)
{
	while (k->held_at < k->held_n) {
		struct str rest = { k->held + k->held_at, k->held_n - k->held_at };
		size_t taken;

		if (session_stdin_some(k->conn, rest, &taken, e) < 0)
			return -1;
		if (!taken)
			return 0;
		k->held_at += taken;
	}
	return 0;
}

static int copy_in(struct copy *k, struct err *e)
{
	ssize_t n = read(k->in_fd, k->held, sizeof(k->held));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n <= 0) {
		k->in_fd = FD_NONE;
		return session_stdin_end(k->conn, e);
	}
	k->held_at = 0;
	k->held_n = (size_t) n;
	return push(k, e);
}

static int copy_out(struct copy *k, const struct session_event *ev, struct err *e)
{
	int *fd = &k->out[ev->stream == SHIM_STREAM_STDERR];
	int r = *fd >= 0 ? fd_write_all(*fd, ev->bytes.p, ev->bytes.n) : 0;

	if (r == -EPIPE) {
		*fd = FD_NONE; /* nobody reads it: the workload goes on */
		r = 0;
	}
	return r < 0 ? err_sys(e, -r, "write the workload's output") : 0;
}

static void report_gap(struct copy *k, uint64_t lost)
{
	char text[96];
	int n = snprintf(text, sizeof(text),
			 "atoll: %ju bytes not shown: too slow a reader (see atoll logs)\n",
			 (uintmax_t) lost);

	if (k->out[1] >= 0 && fd_write_all(k->out[1], text, (size_t) n) < 0)
		k->out[1] = FD_NONE;
}

/* 1: it has ended. */
static int step(struct copy *k, struct shim_exited *ret, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(2 * SHIM_MESSAGE_MAX);
	struct session_event ev;

	if (session_next(k->conn, &a, &ev, e) < 0)
		return -1;
	switch (ev.what) {
	case SESSION_OUTPUT:
		return copy_out(k, &ev, e);
	case SESSION_GAP:
		report_gap(k, ev.lost);
		return 0;
	case SESSION_READY:
		return push(k, e);
	case SESSION_CLOSED:
	case SESSION_KEPT:
		return 0;
	case SESSION_EXITED:
		*ret = ev.exited;
		return 1;
	case SESSION_HUNGUP:
		return err_set(
			e, ERR_REMOTE, ECONNRESET,
			"the workload's shim is gone; 'atoll system repair' mends what it left");
	}
	return 0;
}

int session_copy(struct shim_conn *c, int in_fd, const int out[static 2], struct shim_exited *ret,
		 struct err *e)
{
	struct copy k = { .conn = c, .in_fd = in_fd, .out = { out[0], out[1] } };
	int r = 0;

	while (r == 0) {
		bool full = k.held_at < k.held_n;
		struct pollfd p[2] = {
			{ .fd = c->fd, .events = POLLIN },
			{ .fd = full ? -1 : k.in_fd, .events = POLLIN },
		};

		if (poll(p, 2, -1) < 0) {
			if (errno != EINTR)
				return err_sys(e, errno, "poll");
			continue;
		}
		if (p[0].revents)
			r = step(&k, ret, e);
		if (r == 0 && p[1].revents)
			r = copy_in(&k, e);
	}
	return r < 0 ? r : 0;
}
