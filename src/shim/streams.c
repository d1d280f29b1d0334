/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/streams.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/auto.h"

/* A process that is gone left at most a full pipe; more comes only from who shares its pipe. */
#define FINISH_CHUNKS_MAX 128
#define PUMP_CHUNKS_MAX	  16 /* of a file on stdin in one turn of the loop */

static void pump(struct streams *s);
static void input_ended(struct streams *s);
static void sink_close(struct sink *k);
static void sources_resume(struct streams *s);

void streams_init(struct streams *s, struct loop *l, struct output *log,
		  void (*done)(struct streams *s))
{
	*s = (struct streams){ .loop = l, .log = log, .done = done, .in.fd = FD_NONE };
	for (size_t i = 0; i < ARRAY_SIZE(s->out); i++)
		s->out[i] = (struct source){ .ls.fd = FD_NONE, .fd = FD_NONE };
	for (size_t i = 0; i < ARRAY_SIZE(s->sink); i++)
		s->sink[i] = (struct sink){ .ls.fd = FD_NONE, .fd = FD_NONE, .owner = s };
}

/* ---- what is waiting for somebody slow --------------------------------------------------- */

static void done_fired(struct loop_timer *t)
{
	struct streams *s = LOOP_OWNER(t, struct streams, done_timer);
	void (*done)(struct streams *) = s->done;

	s->done = NULL;
	if (done)
		done(s);
}

static void check_done(struct streams *s)
{
	if (s->finishing && s->done && !s->blocked && s->out[0].fd < 0 && s->out[1].fd < 0)
		loop_timer_set(s->loop, &s->done_timer, 0, done_fired);
}

static void unblock(struct streams *s)
{
	s->blocked--;
	if (!s->blocked)
		sources_resume(s);
	check_done(s);
}

/* ---- sessions ---------------------------------------------------------------------------- */

static bool send_or_wait(struct session *c, const struct shim_msg *m)
{
	int r = shim_send(c->sock, m);

	if (r == -EAGAIN) {
		c->more(c);
		return false;
	}
	return true; /* one that is gone is noticed by its hang-up */
}

static bool flush_held(struct session *c)
{
	struct shim_msg m = shim_msg_of(SHIM_OUTPUT);

	if (!c->held.n)
		return true;
	m.data = (struct shim_data){ c->held_stream, buf_str(&c->held) };
	if (!send_or_wait(c, &m))
		return false;
	buf_fini(&c->held);
	c->held = BUF_INIT(SHIM_DATA_MAX);
	if (c->streams)
		unblock(c->streams);
	return true;
}

static bool flush_counts(struct session *c)
{
	struct shim_msg m;

	for (unsigned i = SHIM_STREAM_STDOUT; i <= SHIM_STREAM_STDERR; i++) {
		if (c->lost[i]) {
			m = shim_msg_of(SHIM_GAP);
			m.gap = (struct shim_gap){ i, c->lost[i] };
			if (!send_or_wait(c, &m))
				return false;
			c->lost[i] = 0;
		}
		if (c->closed & 1u << i) {
			m = shim_msg_of(SHIM_SINK_CLOSED);
			m.data.stream = i;
			if (!send_or_wait(c, &m))
				return false;
			c->closed &= ~(1u << i);
		}
	}
	if (!c->taken)
		return true;
	m = shim_msg_of(SHIM_TAKEN);
	m.taken.bytes = c->taken;
	if (!send_or_wait(c, &m))
		return false;
	c->taken = 0;
	return true;
}

bool session_flush(struct session *c)
{
	struct shim_msg m = shim_msg_of(SHIM_EXITED);

	if (!flush_held(c) || !flush_counts(c) || !c->exited)
		return false;
	m.exited = c->how;
	return send_or_wait(c, &m);
}

void session_exited(struct session *c, const struct shim_exited *how)
{
	c->exited = true;
	c->how = *how;
	c->more(c);
}

static void session_output(struct session *c, enum shim_stream stream, struct str bytes)
{
	struct shim_msg m = shim_msg_of(SHIM_OUTPUT);
	int r;

	if (!(c->wants & 1u << stream))
		return;
	if (c->lost[SHIM_STREAM_STDOUT] || c->lost[SHIM_STREAM_STDERR]) {
		c->lost[stream] += bytes.n; /* until it was told: in order */
		return;
	}
	m.data = (struct shim_data){ stream, bytes };
	r = shim_send(c->sock, &m);
	if (r >= 0 || r == -EPIPE)
		return;
	if (c->lossless && !c->held.n) {
		buf_add(&c->held, bytes.p, bytes.n);
		c->held_stream = stream;
	}
	if (c->lossless && buf_ok(&c->held) && c->held.n) {
		c->streams->blocked++;
	} else {
		buf_clear(&c->held);
		c->lost[stream] += bytes.n;
	}
	c->more(c);
}

void streams_join(struct streams *s, struct session *c, bool output)
{
	for (unsigned i = SHIM_STREAM_STDOUT; output && i <= SHIM_STREAM_STDERR; i++)
		if (!c->lossless || s->sink[i].fd < 0)
			c->wants |= 1u << i;
	c->streams = s;
	c->next = s->sessions;
	c->held = BUF_INIT(SHIM_DATA_MAX);
	c->input = BUF_INIT(SHIM_STDIN_WINDOW);
	s->sessions = c;
}

void streams_leave(struct session *c)
{
	struct streams *s = c->streams;
	bool held = c->held.n > 0;

	buf_fini(&c->held);
	buf_fini(&c->input);
	if (!s)
		return;
	for (struct session **p = &s->sessions; *p; p = &(*p)->next)
		if (*p == c) {
			*p = c->next;
			break;
		}
	c->streams = NULL;
	if (c->owns_sinks)
		for (size_t i = 0; i < ARRAY_SIZE(s->sink); i++)
			sink_close(&s->sink[i]);
	if (c->gives_input)
		input_ended(s);
	if (held)
		unblock(s);
}

/* ---- stdin ------------------------------------------------------------------------------- */

static void close_stdin(struct streams *s)
{
	loop_remove(&s->in.ls);
	close_fd(&s->in.fd);
}

static void input_ended(struct streams *s)
{
	if (s->in.once && !s->in.tty)
		close_stdin(s);
}

static void in_ready(struct loop_source *ls, uint32_t events);

static void wait_for_stdin(struct streams *s)
{
	if (s->in.ls.loop)
		return;
	if (loop_add(s->loop, &s->in.ls, s->in.fd, EPOLLOUT, in_ready) < 0)
		close_stdin(s); /* out of memory: nobody could tell it when to go on */
}

/* What the process takes of the bytes; all of them when it does not read any more. */
static size_t offer(struct streams *s, struct str bytes)
{
	size_t taken = 0;

	while (s->in.fd >= 0 && taken < bytes.n) {
		ssize_t n = write(s->in.fd, bytes.p + taken, bytes.n - taken);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			wait_for_stdin(s);
			return s->in.fd >= 0 ? taken : bytes.n;
		}
		if (n <= 0) {
			close_stdin(s);
			break;
		}
		taken += (size_t) n;
	}
	return bytes.n;
}

static void input_flush(struct session *c)
{
	size_t taken = c->input.n ? offer(c->streams, buf_str(&c->input)) : 0;

	if (taken) {
		buf_drop_front(&c->input, taken);
		c->taken += taken;
	}
	if (c->input.n)
		return;
	buf_fini(&c->input);
	c->input = BUF_INIT(SHIM_STDIN_WINDOW);
	if (c->input_end)
		input_ended(c->streams);
	if (c->taken)
		c->more(c);
}

int streams_input(struct session *c, struct str bytes)
{
	size_t taken = 0;

	if (!c->streams)
		return 0; /* it ended meanwhile */
	if (!c->input.n)
		taken = offer(c->streams, bytes);
	c->taken += taken;
	buf_add(&c->input, bytes.p + taken, bytes.n - taken);
	if (!buf_ok(&c->input))
		return -EPROTO;
	if (c->taken)
		(void) flush_counts(c); /* what waits is flushed when it is writable */
	return 0;
}

void streams_input_end(struct session *c)
{
	c->input_end = true;
	if (c->streams && !c->input.n)
		input_ended(c->streams);
}

static void in_ready(struct loop_source *ls, uint32_t)
{
	struct streams *s = LOOP_OWNER(ls, struct streams, in.ls);

	loop_remove(ls);
	for (struct session *c = s->sessions, *next; c; c = next) {
		next = c->next;
		if (c->input.n)
			input_flush(c);
	}
	pump(s);
}

/* From the caller's stdin to the process's, as long as both go without waiting. */
static void pump_ready(struct loop_source *ls, uint32_t)
{
	pump(LOOP_OWNER(ls, struct sink, ls)->owner);
}

static void pump_end(struct streams *s)
{
	struct sink *k = &s->sink[0];

	loop_remove(&k->ls);
	close_fd(&k->fd);
	buf_fini(&k->held);
	input_ended(s);
}

/* One step; false when there is nothing to do now. */
static bool pump_once(struct streams *s)
{
	struct sink *k = &s->sink[0];
	char *chunk;
	ssize_t n;

	if (k->held.n) {
		buf_drop_front(&k->held, offer(s, buf_str(&k->held)));
		if (k->held.n) {
			loop_remove(&k->ls); /* until the process reads */
			return false;
		}
	}
	chunk = buf_room(&k->held, SHIM_DATA_MAX);
	n = chunk ? read(k->fd, chunk, SHIM_DATA_MAX) : -1;
	if (n > 0) {
		buf_grew(&k->held, (size_t) n);
		return true;
	}
	if (n < 0 && chunk && (errno == EAGAIN || errno == EINTR)) {
		buf_fini(&k->held);
		k->held = BUF_INIT(SHIM_DATA_MAX);
		if (!k->ls.loop && loop_add(s->loop, &k->ls, k->fd, EPOLLIN, pump_ready) < 0)
			pump_end(s);
		return false;
	}
	pump_end(s);
	return false;
}

static void pump(struct streams *s)
{
	for (int i = 0; s->sink[0].fd >= 0; i++) {
		if (s->in.fd < 0) { /* the process does not read any more: neither do we */
			pump_end(s);
			return;
		}
		if (i == PUMP_CHUNKS_MAX) {
			wait_for_stdin(s);
			return;
		}
		if (!pump_once(s))
			return;
	}
}

void streams_stdin(struct streams *s, int fd, bool once, bool tty)
{
	s->in.fd = fd;
	s->in.once = once;
	s->in.tty = tty;
}

/* ---- sinks ------------------------------------------------------------------------------- */

static void sink_close(struct sink *k)
{
	/* What is held of stdin keeps nobody but itself. */
	bool held = k->held.n > 0 && k != &k->owner->sink[0];

	loop_remove(&k->ls);
	close_fd(&k->fd);
	buf_fini(&k->held);
	if (held)
		unblock(k->owner);
}

static void sink_gone(struct sink *k, enum shim_stream stream)
{
	struct streams *s = k->owner;

	for (struct session *c = s->sessions; c; c = c->next)
		if (c->lossless) {
			c->closed |= 1u << stream;
			c->more(c);
		}
	sink_close(k);
}

static void sink_ready(struct loop_source *ls, uint32_t);

static void sink_write(struct sink *k, enum shim_stream stream, struct str bytes)
{
	while (k->fd >= 0 && bytes.n) {
		ssize_t n = write(k->fd, bytes.p, bytes.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			sink_gone(k, stream);
			return;
		}
		bytes.p += n;
		bytes.n -= (size_t) n;
	}
	if (k->fd < 0 || !bytes.n)
		return;
	buf_add(&k->held, bytes.p, bytes.n);
	if (!buf_ok(&k->held) ||
	    loop_add(k->owner->loop, &k->ls, k->fd, EPOLLOUT, sink_ready) < 0) {
		buf_fini(&k->held);
		sink_gone(k, stream);
		return;
	}
	k->owner->blocked++;
}

static void sink_ready(struct loop_source *ls, uint32_t)
{
	struct sink *k = LOOP_OWNER(ls, struct sink, ls);
	struct streams *s = k->owner;
	struct buf rest = k->held;

	/* sink_write() holds what is left anew. */
	k->held = BUF_INIT(SHIM_DATA_MAX);
	loop_remove(ls);
	sink_write(k, (enum shim_stream)(k - s->sink), buf_str(&rest));
	buf_fini(&rest);
	unblock(s);
}

void streams_sinks(struct streams *s, const int sink[static 3])
{
	for (size_t i = 0; i < 3; i++) {
		s->sink[i].fd = sink[i];
		s->sink[i].held = BUF_INIT(SHIM_DATA_MAX);
	}
	/* The run's own session may have joined before: what a sink carries is no message too. */
	for (struct session *c = s->sessions; c; c = c->next)
		for (unsigned i = SHIM_STREAM_STDOUT; c->lossless && i <= SHIM_STREAM_STDERR; i++)
			if (s->sink[i].fd >= 0)
				c->wants &= ~(1u << i);
	if (s->sink[0].fd >= 0)
		pump(s);
}

/* ---- sources ----------------------------------------------------------------------------- */

static void source_end(struct source *o)
{
	loop_remove(&o->ls);
	close_fd(&o->fd);
	if (o->owner->log)
		output_end(o->owner->log, o->stream);
}

/* Read one chunk and give it to everybody. False: nothing there now, or its end. */
static bool source_read(struct source *o)
{
	struct streams *s = o->owner;
	auto_free char *chunk = malloc(SHIM_DATA_MAX);
	ssize_t n;

	if (!chunk)
		return false; /* the loop comes again */
	n = read(o->fd, chunk, SHIM_DATA_MAX);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) { /* EIO: a terminal without a process */
		source_end(o);
		return false;
	}
	if (s->log)
		output_bytes(s->log, o->stream, (struct str){ chunk, (size_t) n });
	sink_write(&s->sink[o->stream], o->stream, (struct str){ chunk, (size_t) n });
	for (struct session *c = s->sessions; c; c = c->next)
		session_output(c, o->stream, (struct str){ chunk, (size_t) n });
	return true;
}

static void source_ready(struct loop_source *ls, uint32_t)
{
	struct source *o = LOOP_OWNER(ls, struct source, ls);
	struct streams *s = o->owner;

	(void) source_read(o);
	if (s->blocked) { /* out of the loop: a hang-up would be reported all the time */
		loop_remove(&s->out[0].ls);
		loop_remove(&s->out[1].ls);
	}
	check_done(s);
}

static void source_drain(struct source *o)
{
	struct streams *s = o->owner;

	for (int i = 0; i < FINISH_CHUNKS_MAX && o->fd >= 0; i++) {
		if (s->blocked) {
			loop_remove(&o->ls);
			return;
		}
		if (!source_read(o))
			break;
	}
	if (o->fd >= 0)
		source_end(o);
}

static void sources_resume(struct streams *s)
{
	for (size_t i = 0; i < ARRAY_SIZE(s->out); i++) {
		struct source *o = &s->out[i];

		if (o->fd < 0)
			continue;
		if (s->finishing)
			source_drain(o);
		else if (!o->ls.loop && loop_add(s->loop, &o->ls, o->fd, EPOLLIN, source_ready) < 0)
			source_end(o);
	}
}

int streams_source(struct streams *s, enum shim_stream stream, int fd)
{
	struct source *o = &s->out[stream - 1];
	int r;

	*o = (struct source){ .ls.fd = FD_NONE, .fd = fd, .stream = stream, .owner = s };
	r = loop_add(s->loop, &o->ls, fd, EPOLLIN, source_ready);
	if (r < 0)
		close_fd(&o->fd);
	return r;
}

void streams_finish(struct streams *s)
{
	s->finishing = true;
	if (!s->blocked)
		sources_resume(s);
	check_done(s);
}

void streams_give_up(struct streams *s)
{
	for (struct session *c = s->sessions; c; c = c->next) {
		c->lossless = false;
		if (!c->held.n)
			continue;
		c->lost[c->held_stream] += c->held.n;
		buf_fini(&c->held);
		c->held = BUF_INIT(SHIM_DATA_MAX);
		unblock(s);
	}
	sink_close(&s->sink[1]);
	sink_close(&s->sink[2]);
}

void streams_fini(struct streams *s)
{
	s->done = NULL; /* nobody wants to know any more */
	loop_timer_cancel(&s->done_timer);
	while (s->sessions)
		streams_leave(s->sessions);
	for (size_t i = 0; i < ARRAY_SIZE(s->out); i++) {
		loop_remove(&s->out[i].ls);
		close_fd(&s->out[i].fd);
	}
	for (size_t i = 0; i < ARRAY_SIZE(s->sink); i++) {
		loop_remove(&s->sink[i].ls);
		close_fd(&s->sink[i].fd);
		buf_fini(&s->sink[i].held);
	}
	close_stdin(s);
}
