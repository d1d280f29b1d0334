/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A conversation with CRIU: `criu swrk`, one process per request, which gets its request and asks
 * back over a socket pair (fmt/criu.h). What a request means is snapshot.c's and restore.c's.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "fmt/criu.h"

#define CRIU_MIN_VERSION 31500 /* the first that dumps what runtimes of today make: 3.15 */
#define CRIU_SOCKET_FD	 3     /* in criu's process; what is inherited comes after it */

struct criu_session {
	const char *what;    /* "dump", "restore": for messages */
	char path[PATH_MAX]; /* of the program */
	int sock;	     /* owned: our end */
	pid_t pid;	     /* of criu; 0 once it is reaped */
	int pidfd;	     /* owned */
	int errors_fd;	     /* owned: what it writes to standard error */
	int log_dir_fd;	     /* borrowed: where it logs; FD_NONE: nowhere */
	const char *log_file;
	/* criu asks back: 0 to go on, negative to refuse. fd: with the message, or FD_NONE; the
	 * callee's. NULL: always go on. */
	int (*notify)(struct criu_session *s, const struct criu_response *m, int fd, struct err *e);
};
#define CRIU_SESSION(what_)                                                                        \
	((struct criu_session){ .what = (what_),                                                   \
				.sock = FD_NONE,                                                   \
				.pidfd = FD_NONE,                                                  \
				.errors_fd = FD_NONE,                                              \
				.log_dir_fd = FD_NONE })

/* The program: `wanted`, or "criu" in PATH. UNSUPPORTED: there is none. */
[[nodiscard]] int criu_find(const char *wanted, char ret_path[static PATH_MAX], struct err *e);

/* Both ends and the place for its errors; *ret_theirs is given. */
[[nodiscard]] int criu_open(struct criu_session *s, int *ret_theirs, struct err *e);
/* Start it as it is, with nothing but the socket: all but a restore. */
[[nodiscard]] int criu_start(struct criu_session *s, struct err *e);
/* Send the request, serve what it asks, wait for its answer and its end. */
[[nodiscard]] int criu_ask(struct criu_session *s, const struct criu_request *q,
			   struct criu_response *ret_r, struct err *e);
void criu_close(struct criu_session *s); /* kills it when it still runs */
#define auto_criu __attribute__((cleanup(criu_close)))

/* Whether it is there and new enough: *ret_version as 40101. UNSUPPORTED when not. */
[[nodiscard]] int criu_usable(const char *wanted, int *ret_version, struct err *e);
/* UNSUPPORTED when it, or this kernel, lacks what pre-dump or lazy pages need. */
[[nodiscard]] int criu_need(const char *wanted, bool mem_track, bool lazy_pages, struct err *e);
