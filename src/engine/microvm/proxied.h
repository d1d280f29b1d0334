/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's side of a proxy (proto/proxy.h): starting one, and asking it. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/clock.h"
#include "base/err.h"
#include "proto/proxy.h"

struct groups;

struct proxied {
	pid_t pid;
	int pidfd; /* owned */
	int sock;  /* owned */
	const struct groups *groups;
	struct proxy_message *got; /* owned: the last answer */
	nsec_t deadline;
	int log_fd; /* borrowed: where the machine's processes complain; FD_NONE */
};
#define PROXIED_INIT ((struct proxied){ .pidfd = FD_NONE, .sock = FD_NONE, .log_fd = FD_NONE })

/*
 * Start one with these streams (borrowed; FD_NONE: /dev/null) in the control groups, which may be
 * NULL, and in the network namespace, or with FD_NONE the caller's. It dies with the caller until
 * it is told otherwise.
 */
[[nodiscard]] int proxied_start(struct proxied *p, const char *id, const int stdio[3],
				const struct groups *g, int netns, nsec_t deadline, struct err *e);
/* A process of the machine: words[0] is its program; fds become 3, 4, ... */
[[nodiscard]] int proxied_spawn(struct proxied *p, const char *const *words, const int *fds,
				size_t fds_n, bool strange, struct err *e);
/*
 * Send a message and wait for `until`, passing what comes before it; a console's descriptor is
 * given in *ret_console. FAILED becomes *e.
 */
[[nodiscard]] int proxied_ask(struct proxied *p, const struct proxy_head *h,
			      const char *const *words, const int *fds, size_t fds_n,
			      enum proxy_type until, int *ret_console, struct err *e);
void proxied_fini(struct proxied *p); /* closes; the proxy lives on */
void proxied_kill(struct proxied *p); /* and reaps */
/* Ask a proxy that runs to end with its process: PROXY_KILL. -ESRCH: it ended. */
[[nodiscard]] int proxied_end(int pidfd);
