/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/streams.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/test.h"

static bool done_called;

static void on_done(struct streams *)
{
	done_called = true;
}

/* What a client of the shim is to streams.c: a session and the socket's two ends. */
struct peer {
	struct session session;
	int ours, theirs;
	bool wants_out;
};

static void on_more(struct session *s)
{
	LOOP_OWNER(s, struct peer, session)->wants_out = true;
}

static void peer_init(struct peer *p, struct streams *s, bool lossless)
{
	int pair[2] = { FD_NONE, FD_NONE };

	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
	*p = (struct peer){ .ours = pair[0],
			    .theirs = pair[1],
			    .session = { .sock = pair[0],
					 .gives_input = true,
					 .lossless = lossless,
					 .more = on_more } };
	streams_join(s, &p->session, true);
}

static void peer_fini(struct peer *p)
{
	streams_leave(&p->session);
	close_fd(&p->ours);
	close_fd(&p->theirs);
}

static void make_pipe(int p[2])
{
	p[0] = p[1] = FD_NONE;
	CHECK(pipe2(p, O_CLOEXEC | O_NONBLOCK) == 0);
}

struct alarm {
	struct loop_timer timer;
	bool rang;
};

static void ring(struct loop_timer *t)
{
	LOOP_OWNER(t, struct alarm, timer)->rang = true;
}

/* Serve what is ready; the timer makes each wait return at once. */
static void turn(struct loop *l, int times)
{
	for (int i = 0; i < times; i++) {
		struct alarm a = {};

		loop_timer_set(l, &a.timer, 0, ring);
		CHECK(loop_once(l) == 0);
		CHECK(a.rang);
	}
}

/* All that stands in the peer's socket: bytes of output, and the last other message. */
static uint64_t drain(struct peer *p, struct shim_msg *ret_last)
{
	uint64_t bytes = 0;

	for (;;) {
		auto_arena struct arena a = ARENA_INIT(1u << 20);
		struct shim_msg m;

		if (shim_recv(p->theirs, &a, &m) != 1)
			return bytes;
		if (m.type == SHIM_OUTPUT)
			bytes += m.data.bytes.n;
		else if (ret_last)
			*ret_last = m;
	}
}

/* As much as the pipe takes. */
static uint64_t fill(int fd)
{
	static char bytes[65536];
	uint64_t total = 0;
	ssize_t n;

	memset(bytes, 'x', sizeof(bytes));
	while ((n = write(fd, bytes, sizeof(bytes))) > 0)
		total += (uint64_t) n;
	return total;
}

/* One who does not read costs nobody else a byte, and learns how many it missed. */
static void test_slow(struct loop *l)
{
	struct streams s;
	struct peer slow, quick;
	struct shim_msg last = { .type = SHIM_NONE };
	uint64_t written = 0, got = 0, seen;
	int p[2];

	make_pipe(p);
	streams_init(&s, l, NULL, on_done);
	CHECK(streams_source(&s, SHIM_STREAM_STDOUT, p[0]) == 0);
	peer_init(&slow, &s, false);
	peer_init(&quick, &s, false);
	for (int i = 0; i < 32; i++) {
		written += fill(p[1]);
		for (int k = 0; k < 6; k++) {
			turn(l, 1);
			got += drain(&quick, NULL);
		}
	}
	CHECK(written > 1u << 20 && got == written);
	CHECK(slow.session.lost[SHIM_STREAM_STDOUT] > 0 && slow.wants_out && !s.blocked);
	seen = drain(&slow, NULL);
	CHECK(!session_flush(&slow.session));
	CHECK(drain(&slow, &last) == 0 && last.type == SHIM_GAP);
	CHECK(last.gap.stream == SHIM_STREAM_STDOUT && last.gap.bytes + seen == written);
	close_fd(&p[1]);
	turn(l, 2);
	CHECK(!done_called);
	streams_finish(&s);
	turn(l, 1);
	CHECK(done_called);
	peer_fini(&slow);
	peer_fini(&quick);
	streams_fini(&s);
}

/* A lossless one makes the source wait, and gets every byte. */
static void test_lossless(struct loop *l)
{
	struct streams s;
	struct peer peer;
	struct shim_msg last = { .type = SHIM_NONE };
	struct shim_exited how = { .code = 3 };
	uint64_t written = 0, got = 0, more;
	int p[2];

	done_called = false;
	make_pipe(p);
	streams_init(&s, l, NULL, on_done);
	CHECK(streams_source(&s, SHIM_STREAM_STDERR, p[0]) == 0);
	peer_init(&peer, &s, true);
	do {
		more = fill(p[1]);
		written += more;
		turn(l, 8);
	} while (more);
	CHECK(s.blocked == 1);
	close_fd(&p[1]); /* its writer ends while it waits */
	streams_finish(&s);
	turn(l, 2);
	CHECK(!done_called);
	for (int i = 0; i < 1000 && !done_called; i++) {
		got += drain(&peer, NULL);
		(void) session_flush(&peer.session);
		turn(l, 1);
	}
	got += drain(&peer, NULL);
	CHECK(done_called && got == written);
	session_exited(&peer.session, &how);
	CHECK(session_flush(&peer.session));
	CHECK(drain(&peer, &last) == 0 && last.type == SHIM_EXITED && last.exited.code == 3);
	peer_fini(&peer);
	streams_fini(&s);
}

/* Given up on: what it holds is a gap. */
static void test_give_up(struct loop *l)
{
	struct streams s;
	struct peer peer;
	int p[2];

	done_called = false;
	make_pipe(p);
	streams_init(&s, l, NULL, on_done);
	CHECK(streams_source(&s, SHIM_STREAM_STDOUT, p[0]) == 0);
	peer_init(&peer, &s, true);
	while (fill(p[1]))
		turn(l, 8);
	streams_finish(&s);
	turn(l, 2);
	CHECK(!done_called && s.blocked == 1);
	streams_give_up(&s);
	turn(l, 2);
	CHECK(done_called && peer.session.lost[SHIM_STREAM_STDOUT] > 0);
	close_fd(&p[1]);
	peer_fini(&peer);
	streams_fini(&s);
}

/* The caller's own pipes: everything goes through, and stdin waits for the process. */
static void test_sinks(struct loop *l)
{
	static char bytes[65536];
	struct streams s;
	int in[2], out[2], from_caller[2], to_caller[2];
	uint64_t written = 0, got = 0, more;
	ssize_t n;

	done_called = false;
	make_pipe(in);
	make_pipe(out);
	make_pipe(from_caller);
	make_pipe(to_caller);
	streams_init(&s, l, NULL, on_done);
	CHECK(streams_source(&s, SHIM_STREAM_STDOUT, out[0]) == 0);
	streams_stdin(&s, in[1], true, false);
	streams_sinks(&s, (const int[3]){ from_caller[0], to_caller[1], FD_NONE });
	do {
		more = fill(out[1]);
		written += more;
		turn(l, 8);
	} while (more);
	CHECK(s.blocked == 1);
	for (int i = 0; i < 1000 && got < written; i++) {
		while ((n = read(to_caller[0], bytes, sizeof(bytes))) > 0)
			got += (uint64_t) n;
		turn(l, 1);
	}
	CHECK(got == written && !s.blocked);
	written = got = 0;
	do {
		more = fill(from_caller[1]);
		written += more;
		turn(l, 8);
	} while (more);
	close_fd(&from_caller[1]);
	for (int i = 0; i < 1000 && s.in.fd >= 0; i++) {
		while ((n = read(in[0], bytes, sizeof(bytes))) > 0)
			got += (uint64_t) n;
		turn(l, 1);
	}
	while ((n = read(in[0], bytes, sizeof(bytes))) > 0)
		got += (uint64_t) n;
	CHECK(n == 0 && got == written); /* its end came through as well */
	close_fd(&out[1]);
	streams_finish(&s);
	turn(l, 2);
	CHECK(done_called);
	streams_fini(&s);
	close_fd(&in[0]);
	close_fd(&to_caller[0]);
}

static void test_input(struct loop *l)
{
	static char bytes[SHIM_DATA_MAX];
	struct streams s;
	struct peer peer;
	struct shim_msg last = { .type = SHIM_NONE };
	int in[2], r = 0;
	uint64_t sent = 0;

	make_pipe(in);
	streams_init(&s, l, NULL, on_done);
	streams_stdin(&s, in[1], true, false);
	peer_init(&peer, &s, false);
	CHECK(streams_input(&peer.session, STR("hello")) == 0);
	CHECK(drain(&peer, &last) == 0 && last.type == SHIM_TAKEN && last.taken.bytes == 5);
	CHECK(read(in[0], bytes, sizeof(bytes)) == 5);
	while (peer.session.input.n == 0 && r == 0) /* the pipe fills, then the window */
		r = streams_input(&peer.session, (struct str){ bytes, sizeof(bytes) });
	while (r == 0 && sent++ < 10)
		r = streams_input(&peer.session, (struct str){ bytes, sizeof(bytes) });
	CHECK(r == -EPROTO && sent <= SHIM_STDIN_WINDOW / SHIM_DATA_MAX + 1);
	peer_fini(&peer); /* hanging up ends it: once */
	CHECK(s.in.fd == FD_NONE);
	close_fd(&in[0]);
	streams_fini(&s);
}

int main(void)
{
	struct loop l;
	sigset_t set;

	/* As the shim: a reader that has gone is an errno, not a signal. */
	(void) sigemptyset(&set);
	(void) sigaddset(&set, SIGPIPE);
	CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
	CHECK(loop_init(&l) == 0);
	test_slow(&l);
	test_lossless(&l);
	test_give_up(&l);
	test_sinks(&l);
	test_input(&l);
	loop_fini(&l);
	return test_done();
}
