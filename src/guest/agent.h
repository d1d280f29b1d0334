/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PROGRAM atoll-agent: PID 1 of a microVM. It makes the guest's kernel ready (modules, mounts,
 * network), then makes containers in it with the container engine's own rooms, as the host asks
 * for them (proto/agent.h), carries their streams, and reaps every orphan. It keeps nothing on
 * disk, and trusts the host no further than not to crash of what it says.
 *
 *	main.c        what the process is: signals, children, where it listens, who it greets
 *	machine.c     PID 1's duties: file systems, modules, clock, randomness, the end
 *	network.c     interfaces as the host describes them
 *	connection.c  requests and their answers
 *	workload.c    containers; root.c: their root file systems made here
 *	files.c       their files, shown to the host
 *	session.c     a process and its streams, on one connection
 *	forward.c     ports of the machine, to which the host connects
 *	hold.c        all of it held still for a snapshot, and taken up again from one
 *	look.c        what runs, and what it takes
 *
 *	            CREATE            START            its end         DELETE, or hung up
 *	(none) --> CREATED ---------> RUNNING <------> STOPPED ------> (gone)
 *	              |                  |   [workload_ended]  [workload_remove]
 *	              +------ hung up ---+-----------------------------> (gone)
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/loop.h"
#include "engine/engine.h"
#include "proto/agent.h"
#include "proto/agent_link.h"

struct connection;
struct session;
struct workload;

struct agent {
	struct loop loop;
	struct loop_source signals, listener;
	int signal_fd, listen_fd; /* owned */
	struct loop_timer accept_timer;
	bool machine; /* PID 1 of a guest, whose clock, name and network are its to set */
	bool vsock;   /* connections come from the host, and from it alone */
	int run_fd;   /* owned: a directory for what must be kept meanwhile */
	struct connection *connections;
	size_t connections_n;
	struct session *sessions;
	struct workload *workloads;
	struct connection *holder; /* HOLD's; NULL: none, or the machine was restored */
};

/* ---- connection.c ------------------------------------------------------------------------ */
/* Take connections of the listener, which is set; 0 or -errno. */
[[nodiscard]] int connections_listen(struct agent *a);
/* To a peer that has gone: nothing; the loop notices, and frees the connection, later. */
void connection_send(struct connection *c, const struct agent_msg *m);
void connection_finish(struct connection *c, const struct agent_msg *last);
/* Bytes the peer has not taken; as many as can be when it has gone. */
size_t connection_waiting(const struct connection *c);
/* All was said and taken: the peer has but to hang up. */
bool connection_said_all(const struct connection *c);
void connection_held(struct connection *c); /* HOLD's: all is still */

/* ---- workload.c -------------------------------------------------------------------------- */
struct workload {
	struct agent *agent;
	struct workload *next;
	char id[129];
	struct arena arena;
	const struct spec *spec;
	struct json_pair *sysctls; /* of the machine's namespaces; in the arena */
	size_t sysctls_n;
	struct instance *in; /* owned; NULL once it has ended */
	bool ended, oom;
	bool held; /* paused by hold_begin() */
	int code;
	/* Owned; FD_NONE: its root was not made here of a disk. */
	int layers_fd; /* its root alone, which is attached at `layers` of the agent's directory */
	int upper_fd;  /* what was changed of it, on the disk */
	pid_t holder;  /* the process for whose time it is held still; 0: none */
};
struct workload *workload_find(struct agent *a, const char *id, struct err *e); /* NOT_FOUND */
/* What is to be made, checked; nothing of it is there yet. CONFLICT: the id is in use. */
[[nodiscard]] int workload_new(struct agent *a, const struct agent_create *m,
			       struct workload **ret_w, struct err *e);
/* stdio: the process's ends, borrowed. */
[[nodiscard]] int workload_create(struct workload *w, const struct agent_create *m,
				  const int stdio[static 3], struct err *e);
[[nodiscard]] int workload_exec(struct workload *w, const struct spec_process *p,
				const struct agent_exec *m, const int stdio[static 3],
				struct exec *ret, struct err *e);
[[nodiscard]] int workload_signal(struct workload *w, int signo, bool all, struct err *e);
[[nodiscard]] int workload_update(struct workload *w, const char *resources, struct err *e);
/* A process of the agent's has ended: whether it held a container still, which goes on. */
bool workload_released(struct agent *a, pid_t pid);
void workload_ended(struct workload *w, int code); /* its init was reaped */
void workload_remove(struct workload *w);	   /* kill what runs of it */
/* Another id, if it is not "", and another boot with it; and another name of its host. */
[[nodiscard]] int workload_rename(struct workload *w, const char *id, const char *hostname,
				  struct err *e);
/* ---- session.c --------------------------------------------------------------------------- */
struct stream {
	struct loop_source ls;
	struct session *session;
	enum agent_stream number;
	int fd;		 /* owned: our end; FD_NONE: closed, or none */
	uint64_t credit; /* stdin: bytes that may come; else: bytes we may send */
	struct buf held; /* stdin: not yet taken by the process */
	uint64_t left;	 /* after the process's end: bytes to be read at most */
	bool ends;	 /* stdin: EOF came, after what is held */
	bool told;	 /* its EOF was sent */
};
struct session {
	struct agent *agent;
	struct session *next;
	struct connection *connection; /* NULL: lost while it is held */
	struct workload *workload;     /* NULL: it was removed */
	bool is_init;
	bool tty, ended;
	bool held;  /* sends no DATA and does not end, and needs no connection */
	bool quiet; /* held: nothing comes from the host any more */
	pid_t pid;
	int pidfd; /* owned; of an exec's process */
	struct agent_exited how;
	struct stream streams[AGENT_STREAMS];
	struct loop_timer done_timer;
};
/* m: a CREATE or an EXEC. */
[[nodiscard]] int session_begin(struct agent *a, struct connection *c, const struct agent_msg *m,
				struct session **ret_s, struct err *e);
[[nodiscard]] int session_start(struct session *s, struct err *e);
/* What comes for it. -EPROTO: nothing that belongs here. */
[[nodiscard]] int session_take(struct session *s, const struct agent_msg *m);
void session_resume(struct session *s); /* the connection takes more again */
/* A child was reaped: whether it was a session's, or a container's. */
bool session_child_ended(struct agent *a, pid_t pid, int code);
void session_forget_workload(struct workload *w);
void session_free(struct session *s); /* the host hung up: what runs is killed */
/* The session goes on, with another host at its other end: c, which begins with the answer. */
void session_attach(struct session *s, struct connection *c, const struct agent_attach *m);
void session_check_done(struct session *s); /* EXITED, if that is due */

/* ---- hold.c ------------------------------------------------------------------------------ */
/* CONFLICT: it is held already, or something has not started yet. Undone on failure. */
/* Of a HOLD: a session that is not still yet; NULL: all are. */
const struct session *hold_loud(const struct agent *a);
[[nodiscard]] int hold_begin(struct agent *a, struct connection *holder, struct err *e);
void hold_quiet(struct session *s); /* HELD came, or its connection went */
/* All goes on, but sessions without a connection, which end. Nothing if nothing is held. */
void hold_end(struct agent *a);
/* The session of ATTACH, made ready for session_attach(). */
[[nodiscard]] int hold_attach(struct agent *a, const struct agent_attach *m, struct session **ret_s,
			      struct err *e);
