/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The standard streams of one process, the workload's or an exec's: from its pipes or terminal to
 * the log, to the caller's own descriptors (sinks) and to the sessions that have joined; and from
 * one of those to its stdin.
 *
 * Who is slow:
 *  - a session that is not lossless never makes anybody wait: what does not fit into its socket is
 *    counted, and it is told so (GAP) before it gets more;
 *  - a lossless session or a sink (the foreground of `run`) makes the sources wait, and so the
 *    workload, as a pipe would. The log has everything that was read;
 *  - stdin: a session sends no more than SHIM_STDIN_WINDOW ahead (TAKEN opens it again); a sink is
 *    read only when the workload takes what was read before.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/loop.h"
#include "base/str.h"
#include "proto/shim.h"
#include "shim/output.h"

struct streams;

struct session {		 /* a client's part in it; embedded in struct client */
	struct streams *streams; /* NULL: joined to none */
	struct session *next;
	int sock;	/* borrowed */
	unsigned wants; /* bit per stream */
	bool gives_input, lossless;
	bool owns_sinks; /* they are this client's own streams: with it they go */
	struct buf held; /* lossless: a chunk its socket did not take */
	enum shim_stream held_stream;
	uint64_t lost[SHIM_STREAM_STDERR + 1]; /* bytes not sent, to be told */
	struct buf input;		       /* STDIN not yet taken by the process */
	bool input_end;
	uint64_t taken;	 /* bytes taken and not yet told */
	unsigned closed; /* bit per stream: SINK_CLOSED to be told */
	bool exited;	 /* how is to be told, last */
	struct shim_exited how;
	void (*more)(struct session *s); /* something waits for the socket to be writable */
};

struct source {
	struct loop_source ls;
	int fd; /* owned; FD_NONE once at its end */
	enum shim_stream stream;
	struct streams *owner;
};

struct sink {
	struct loop_source ls;
	int fd;		 /* owned */
	struct buf held; /* out: not yet written; in: read and not yet taken */
	struct streams *owner;
};

struct streams {
	struct loop *loop;
	struct output *log; /* borrowed; NULL: none is kept */
	struct source out[2];
	struct sink sink[3];
	struct {
		struct loop_source ls;
		int fd;	   /* owned: the write end; FD_NONE: closed or none */
		bool once; /* closed by the first end of input */
		bool tty;  /* has no end */
	} in;
	struct session *sessions;
	unsigned blocked; /* lossless sessions and sinks that hold something */
	bool finishing;
	struct loop_timer done_timer;	 /* so that done() comes from the loop, never from within */
	void (*done)(struct streams *s); /* after streams_finish(): all was delivered; once */
};

void streams_init(struct streams *s, struct loop *l, struct output *log,
		  void (*done)(struct streams *s));
void streams_fini(struct streams *s); /* closes everything; sessions are let go */

/* Takes fd: what the process writes to `stream` is read from it. 0 or -errno. */
[[nodiscard]] int streams_source(struct streams *s, enum shim_stream stream, int fd);
/* Takes fd: what the process reads is written to it. */
void streams_stdin(struct streams *s, int fd, bool once, bool tty);
/* Takes those of the descriptors that are set: the caller's own. */
void streams_sinks(struct streams *s, const int sink[static 3]);

/* output: what has no sink is sent to it. */
void streams_join(struct streams *s, struct session *c, bool output);
void streams_leave(struct session *c); /* hung up: its input ends */
/* STDIN and STDIN_END of a session. -EPROTO: it sent past its window. */
[[nodiscard]] int streams_input(struct session *c, struct str bytes);
void streams_input_end(struct session *c);
/* The socket is writable again: send what waits. True: everything is out, EXITED too. */
bool session_flush(struct session *c);
/* Tell it; it is flushed as the socket allows. */
void session_exited(struct session *c, const struct shim_exited *how);

/* The process has ended: read what is left, deliver it, then done(). */
void streams_finish(struct streams *s);
/* Wait for nobody any more: what slow sessions and sinks still hold is lost. */
void streams_give_up(struct streams *s);
