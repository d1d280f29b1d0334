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
 *	UPDATE			other limits, of those that are not 0: memory (at most what it began
 *				with: ERANGE), tasks, cpu_quota and cpu_period, which are told
 *				inside
 *
 * Nothing is answered before all is made but for the start; what cannot be made is told by the
 * program's end. Before START all but START and STATS are EBUSY. The sandbox ends with its first
 * process, after those that wait were answered.
 */
/*
 * The file of --report has one line when the program has ended by itself: "STATUS", or of a failure
 * "125 KIND ERRNO WORDS" (KIND: enum err_kind). Who killed it left none.
 */
#pragma once

#include <stdint.h>

#include "base/auto.h"
#include "base/clock.h"
#include "proto/fields.h"
#include "proto/process.h"

#define SENTRY_MESSAGE_MAX (128u << 10) /* bytes of one, less than a socket's buffer */
#define SENTRY_FIRST	   1		/* the workload's own process */

enum sentry_type {
	SENTRY_START = 1,
	SENTRY_SIGNAL,
	SENTRY_WAIT,
	SENTRY_EXEC,
	SENTRY_STATS,
	SENTRY_LIST,
	SENTRY_UPDATE,
};

struct sentry_request {
	enum sentry_type type;
	uint64_t process, signal;
	const char *spec; /* JSON */
	/* EXEC: all three, or with process.terminal `in` alone, the slave's end of a pty; what is a
	 * terminal is non-blocking. Received: owned. FD_NONE: none. */
	int in, out, err;
	uint64_t memory, tasks;		/* UPDATE: bytes, and how many */
	uint64_t cpu_quota, cpu_period; /* microseconds */
};

/* Bytes of a LIST's command lines; what is longer is cut. */
#define SENTRY_COMMAND_MAX 1024

static inline struct sentry_request sentry_request(enum sentry_type type)
{
	return (struct sentry_request){
		.type = type, .in = FD_NONE, .out = FD_NONE, .err = FD_NONE
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
	uint64_t processes, threads;
	uint64_t cpu_ns; /* STATS: of the guest's processes, those that have ended as well */
	struct {
		struct process_fields *v;
		size_t n;
	} list; /* LIST */
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
