/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PROGRAM atoll-proxy: one process of the host for each process that was started in a microVM from
 * outside. It carries the streams and signals of that process, and ends as it ends. The first
 * process's proxy holds the machine as well: the machine's processes are its children and die with
 * it, however it ends.
 *
 *	main.c     signals, the engine's messages, the loop
 *	machine.c  the machine's processes, its boot, the way to its agent
 *	session.c  one process's streams over the agent's connection
 *
 * What comes from the guest is hostile: it is read by proto/agent.c, bounded, and after the start
 * this process has no rights that it does not need (main.c).
 */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "proto/agent_link.h"
#include "proto/proxy.h"

#define CHILDREN_MAX 8
#define CODE_LOST    (128 + SIGKILL) /* the machine ended under its process */

struct child {
	pid_t pid;
	const char *name; /* in the arena: "atoll-device fs" */
};

struct stream {
	int fd;		    /* owned; FD_NONE: closed */
	struct buf pending; /* to be written: at most AGENT_WINDOW bytes */
	bool ended;	    /* nothing more comes from the sender */
	bool socket;
};

struct proxy {
	int sync_fd;   /* owned: the engine */
	int signal_fd; /* owned */
	struct arena arena;
	struct child children[CHILDREN_MAX];
	size_t children_n;
	nsec_t kill_by; /* it was asked to end: by then it does; 0: it was not */
	bool lost;	/* a child that the machine cannot do without has ended */
	/* Which one, and how: the one that others ended after; "" before. */
	char why_lost[PROXY_WHY_MAX];
	bool lost_hard; /* it did not end by itself, as those do that have lost another */
	bool created, starting, started;
	struct agent_link hello; /* stays: while the agent has it, it has a host */
	bool keeps;		 /* a machine, and no process in it */
	struct agent_link link;
	bool held;   /* the agent: no DATA for now */
	int note_fd; /* owned: the file in which its end is noted; FD_NONE of an exec */

	/* the session */
	bool terminal;
	int slave_fd; /* owned: the pty's end that this process reads and writes */
	struct stream in, out, err;
	size_t credit; /* bytes of stdin that may still be sent */
	bool exited, oom;
	int code;
};

/* ---- main.c: 1 ready, or negative with *e. Serves children and the engine's hang-up meanwhile. */
[[nodiscard]] int proxy_wait(struct proxy *p, int fd, short events, nsec_t deadline, struct err *e);
/* What the signalfd has: children, and signals for the guest's process. */
void proxy_signals(struct proxy *p);
/* What the engine wants: START. */
[[nodiscard]] int proxy_request(struct proxy *p, struct err *e);
/* The agent's answer to START. 0, or -EBADMSG when nobody asked. */
[[nodiscard]] int proxy_started(struct proxy *p, const struct agent_msg *m);
[[nodiscard]] int proxy_refused(struct proxy *p, const struct agent_msg *m);

/* ---- machine.c ---- */
[[nodiscard]] int machine_spawn(struct proxy *p, const struct proxy_message *m, pid_t *ret_pid,
				struct err *e);
/*
 * Until the agent has said HELLO over `hello` and taken SETUP, on a connection of its own.
 * hostname: of the machine, "" leaves it.
 */
[[nodiscard]] int machine_boot(struct proxy *p, int dir_fd, int hello, const char *hostname,
			       nsec_t deadline, struct err *e);
/* A connection to the agent becomes p->link. */
[[nodiscard]] int machine_connect(struct proxy *p, int dir_fd, nsec_t deadline, struct err *e);
/* A request on p->link, and its answer, which borrows from the link. ERROR becomes *e. */
[[nodiscard]] int machine_ask(struct proxy *p, const struct agent_msg *m, enum agent_type answer,
			      nsec_t deadline, struct agent_msg *ret_m, struct err *e);
void machine_reap(struct proxy *p);
/* Its agent is not heard any more: which part of it has ended is known in a moment. */
void machine_await_loss(struct proxy *p);
/* That the machine has ended, and which part of it was first. Returns -1. */
int machine_lost(struct proxy *p, struct err *e);

/* ---- session.c ---- */
/* The streams: those of this process, or a new pty, whose master is given. */
[[nodiscard]] int session_open(struct proxy *p, const struct proxy_head *h, int *ret_master,
			       struct err *e);
void session_signal(struct proxy *p, int signo);
/* Carries everything until the process has ended and all it wrote is delivered. */
[[nodiscard]] int session_run(struct proxy *p, struct err *e);
