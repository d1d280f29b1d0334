/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is asked of a running atoll-sentry on its control socket (a listening unix seqpacket
 * socket), and what it answers: one reply per request and connection, in order. Processes have
 * numbers of the sandbox's own: 1 is the workload's first, others are given by EXEC. A connection
 * that is closed changes nothing. Both sides refuse what they do not know.
 *
 *	START			the first process runs. EBUSY: it does already
 *	SIGNAL process, signal	ESRCH: it has ended, or there is none; process 0: all there are
 *	WAIT process [signal]	answered when it has ended: status; of another than the first it is
 *				forgotten then. The signal is sent to it if the connection ends
 *				before it does
 *	EXEC spec, in out err	a further process; spec: a `process` object of config.json; answered
 *				when it runs: process, pid
 *	STATS
 *	LIST process		the guest's processes, from this pid on: list, and in `process`
 *				from where to ask on; 0: there are no more
 *	TRACE calls, pids	what the guest calls from now on: after the answer the connection
 *				carries messages of records (kernel/syscall/list/record.h) and
 *				nothing else, to its end; hanging up ends it. EBUSY: too many do.
 *				Whoever reads too slowly is told of less, and nobody waits
 *	REFUSED			calls that were not served: refused, others
 *	UPDATE			other limits, of those that are not 0, all or none: memory (ERANGE:
 *				more than the host has, or too little for any; EBUSY: more is in
 *				use), tasks, and cpu_quota with cpu_period, which are told inside;
 *				SENTRY_NO_LIMIT takes one away
 *	CHECKPOINT out		all that the guest is goes into this empty file. EOPNOTSUPP: what of
 *				it cannot be saved, and nobody has noticed. From the answer on the
 *				guest stands still until the connection is closed, then it goes on
 *
 * A sandbox may be a pod's: containers join it, which have numbers of the same kind; 1 is that of
 * its config.json, and 0 means 1 of a sandbox that is nobody's pod.
 *
 *	ADD spec, gofer, in out err [filter, binds, pids_of]
 *				a further container, of this config.json; its gofer serves "root"
 *				and the sources of binds, "MOUNT=SHARE" on a line each, over a
 *				socket that does not block. filter: linux.seccomp, compiled.
 *				pids_of: the container whose processes it sees, 0: its own.
 *				Answered when all is made but the start: container, process. It
 *				goes if the connection ends before a WAIT of its process came there
 *	START container		as above, of this one
 *	SIGNAL 0 container, STATS, LIST, UPDATE, EXEC	of the processes of this one
 *	REMOVE container	all of it ends, and is forgotten; answered when it is. ESRCH: it is
 *
 * Nothing is answered before all is made but for the start; what cannot be made is told by the
 * program's end. Before START all but START, STATS, UPDATE, TRACE and REFUSED are EBUSY. The
 * sandbox ends with its first process, after those that wait were answered.
 */
/*
 * The file of --report has a line when the program has ended by itself: "STATUS", or of a failure
 * "125 KIND ERRNO WORDS" (KIND: enum err_kind). Who killed it left none. Lines may follow of what
 * REFUSED would tell: "refused NUMBER ERRNO WHICH COUNT", "filtered" with the same,
 * "others COUNT".
 */
#pragma once

#include <stdint.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/str.h"
#include "proto/fields.h"
#include "proto/process.h"

#define SENTRY_MESSAGE_MAX     (128u << 10) /* bytes of one, less than a socket's buffer */
#define SENTRY_FIRST	       1	    /* the workload's own process */
#define SENTRY_FIRST_CONTAINER 1	    /* of a pod: its sandbox */
#define SENTRY_POD_SHM	       "pod-shm"    /* a mount's type: what that has at /dev/shm */
#define SENTRY_NO_LIMIT	       UINT64_MAX   /* UPDATE */

enum sentry_type {
	SENTRY_START = 1,
	SENTRY_SIGNAL,
	SENTRY_WAIT,
	SENTRY_EXEC,
	SENTRY_STATS,
	SENTRY_LIST,
	SENTRY_UPDATE,
	SENTRY_CHECKPOINT,
	SENTRY_TRACE,
	SENTRY_REFUSED,
	SENTRY_ADD,
	SENTRY_REMOVE,
};

#define SENTRY_TRACE_CALLS 64 /* bytes: a bit for each number, the last for all that follow */
#define SENTRY_TRACE_PIDS  32

struct sentry_request {
	enum sentry_type type;
	uint64_t process, signal;
	const char *spec; /* JSON */
	/* EXEC: all three, or with process.terminal `in` alone, the slave's end of a pty; what is a
	 * terminal is non-blocking. Received: owned. FD_NONE: none. */
	int in, out, err;
	uint64_t memory, tasks;		/* UPDATE: bytes, and how many */
	uint64_t cpu_quota, cpu_period; /* microseconds */
	/* TRACE: a bit for each number, SENTRY_TRACE_CALLS bytes; and numbers of 32 bits, of
	 * processes with all below them: none is all */
	struct str calls, pids;
	uint64_t text; /* bytes of a text or a buffer; 0: of nothing that is behind an argument */
	bool entries;  /* the beginnings of calls, too */
	bool signals;
	uint64_t container, pids_of;
	int gofer; /* ADD; as in, out and err */
	const char *binds;
	struct str filter; /* of struct sock_filter */
};

/* A call that was not served, or not in full. */
struct sentry_refused {
	uint64_t nr, error, which, count; /* as kernel/syscall/refused.h */
	bool filtered;
};

/* Bytes of a LIST's command lines; what is longer is cut. */
#define SENTRY_COMMAND_MAX 1024

static inline struct sentry_request sentry_request(enum sentry_type type)
{
	return (struct sentry_request){
		.type = type,
		.in = FD_NONE,
		.out = FD_NONE,
		.err = FD_NONE,
		.gofer = FD_NONE,
	};
}

struct sentry_reply {
	enum sentry_type type; /* the request's */
	uint64_t error;	       /* 0, or the errno why not */
	const char *reason;    /* with an error: a sentence, or "" */
	uint64_t process, pid; /* EXEC; pid: inside */
	uint64_t status;       /* WAIT: as containers tell it, the code or 128 + signal */
	/* STATS: bytes in use by the guest, those it may use, those of the kernel itself */
	uint64_t memory, memory_most, kernel_memory;
	uint64_t memory_limit, tasks_limit; /* STATS: that somebody set; 0: nobody did */
	uint64_t processes, threads;
	uint64_t cpu_ns; /* STATS: of the guest's processes, those that have ended as well */
	struct {
		struct process_fields *v;
		size_t n;
	} list; /* LIST */
	struct {
		struct sentry_refused *v;
		size_t n;
	} refused;	    /* REFUSED */
	uint64_t container; /* ADD */
	uint64_t others;    /* REFUSED: those that there was no room to tell apart */
};

/* A message to send: bytes in a buffer of SENTRY_MESSAGE_MAX at most; descriptors are borrowed.
 * 0, -E2BIG, -ENOMEM, -errno. */
[[nodiscard]] int sentry_send_request(int sock, const struct sentry_request *q);
[[nodiscard]] int sentry_send_reply(int sock, const struct sentry_reply *a);
/*
 * One message; its texts live in the arena. 1; 0: the peer has gone; -EBADMSG, -EPROTO (another
 * version), -EAGAIN (of a socket that does not block), -errno.
 */
[[nodiscard]] int sentry_receive_request(int sock, struct arena *a, struct sentry_request *ret_q);
[[nodiscard]] int sentry_receive_reply(int sock, struct arena *a, struct sentry_reply *ret_a);
void sentry_close_fds(struct sentry_request *q);
/* Ask and wait: 0, with what was answered, also a refusal; -ETIMEDOUT, -EPIPE, -errno. */
[[nodiscard]] int sentry_ask(int sock, const struct sentry_request *q, nsec_t deadline,
			     struct arena *a, struct sentry_reply *ret_a);
