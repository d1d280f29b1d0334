/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the microvm engine and a proxy (PROGRAM atoll-proxy) say to each other: one message per
 * datagram of a unix seqpacket socket, which the proxy inherits as PROXY_FD, and descriptors
 * beside it. The proxy stands for one process in a machine: its pid is the workload's, its end is
 * the process's end. That of a workload's first process also holds the machine: it starts the
 * machine's processes, which end with it. Both are of one build, and parent and child.
 *
 *	engine: SPAWN* CREATE	proxy: (OK | FAILED)*  CONSOLE? CREATED | FAILED
 *	engine: START		proxy: STARTED | FAILED
 *
 *	engine: EXEC		proxy: CONSOLE? STARTED | FAILED
 *
 *	engine: SPAWN* RESTORE	proxy: (OK | FAILED)*  CONSOLE? STARTED | FAILED
 *
 *	engine: SPAWN* KEEP	proxy: (OK | FAILED)* CREATED | FAILED
 *
 * The first process of a container that joins a pod's machine has a proxy that starts nothing
 * (CREATE with `joins`). A pod's machine that is no container's is held by a proxy without a
 * process (KEEP): it ends with its machine, or by PROXY_KILL.
 *
 * PROXY_GATE is a copy of the engine's end, so that another process may come back for START
 * (pidfd_getfd). After FAILED the proxy ends.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"

#define PROXY_FD	3
#define PROXY_GATE	4
#define PROXY_FDS_MAX	60
#define PROXY_TEXT_MAX	(48u << 10) /* bytes of a message's words */
#define PROXY_WORDS_MAX 512
#define PROXY_VSOCK	"vsock"	  /* the machine's vsock in its directory */
#define PROXY_CONTROL	"control" /* there: its monitor: proto/vmm, or QEMU's QMP */
#define PROXY_NETWORK	"network" /* there: SETUP of agent.h with the interfaces, or nothing */
/* in a state directory: "CODE oom|- WHY": the workload ended; WHY, if any: of what its machine did;
 * empty: it has not */
#define PROXY_ENDED   "ended"
#define PROXY_WHY_MAX 160 /* bytes of WHY, with its NUL */

/*
 * SIGRTMAX queued with this value: the proxy has its process killed in the guest, and what that one
 * wrote gets to the host; if the guest does not so within PROXY_KILL_TIME, the proxy ends all the
 * same. SIGKILL is the end of the machine at once.
 */
#define PROXY_KILL	0x6b696c6c
#define PROXY_KILL_TIME (10 * NSEC_PER_SEC)

enum proxy_type {
	PROXY_NONE,
	/*
	 * A process of the machine: words are its program and arguments; descriptors: its standard
	 * error (first), then those that become 3, 4, ...
	 */
	PROXY_SPAWN,
	/*
	 * words: id, the container whose pid namespace it joins ("": it has its own), and the
	 * places of all shares but the first, which is the root; descriptors: state directory, the
	 * machine's directory, config.json, the machine's hello socket unless it joins, the shares
	 */
	PROXY_CREATE,
	/*
	 * In place of CREATE and START, of a machine that goes on from a snapshot. words: id, the
	 * id in the snapshot, host name, and the places as of CREATE; descriptors: state directory,
	 * hello socket, shares
	 */
	PROXY_RESTORE,
	/* words: id; descriptors: the machine's directory, process.json */
	PROXY_EXEC,
	/* words: none; descriptors: the machine's directory, its hello socket */
	PROXY_KEEP,
	PROXY_START,
	PROXY_OK,      /* of SPAWN: pid */
	PROXY_CONSOLE, /* one descriptor: the pty's master */
	PROXY_CREATED,
	PROXY_STARTED, /* pid: the guest's */
	PROXY_FAILED,  /* err */
};

struct proxy_head { /* the datagram's front, as it lies in memory */
	uint32_t type;
	int32_t pid;
	uint32_t rows, cols;
	uint32_t words_n;
	bool terminal, stdin_open;
	bool bound;	 /* CREATE: it dies with its creator until START */
	bool joins;	 /* CREATE: the machine runs, and is another's */
	bool root_disk;	 /* CREATE: the root is the machine's first disk, not the first share */
	bool root_upper; /* CREATE: with root_disk: and the second is written to, over it */
	bool files_only; /* CREATE: no process, for nothing is started */
	bool strange;	 /* SPAWN: foreign code: as a user of its own, without rights */
	nsec_t deadline; /* CREATE, EXEC: CLOCK_MONOTONIC */
	struct err err;
};

struct proxy_message { /* too long for a stack */
	struct proxy_head head;
	char text[PROXY_TEXT_MAX]; /* the words, each with its NUL: received with the head */
	const char *words[PROXY_WORDS_MAX + 1];
	int fds[PROXY_FDS_MAX]; /* received: owned */
	size_t fds_n;
};

static_assert(offsetof(struct proxy_message, text) == sizeof(struct proxy_head),
	      "one datagram, received as it lies");

/* 0 or -errno. words: NULL-terminated, or NULL; fds are borrowed. */
[[nodiscard]] int proxy_send(int sock, const struct proxy_head *h, const char *const *words,
			     const int *fds, size_t fds_n);
/* 1; 0 the peer is gone; -ETIMEDOUT, -EBADMSG, -errno. The message's descriptors are given. */
[[nodiscard]] int proxy_receive(int sock, nsec_t deadline, struct proxy_message *ret_m);
void proxy_close_fds(struct proxy_message *m);
