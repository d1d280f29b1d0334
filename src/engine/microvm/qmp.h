/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QEMU's monitor (QMP): one connection for one question, as QEMU serves one client at a time. What
 * it answers is as hostile as its guest: bounded, and read as JSON.
 */
#pragma once

#include <stdint.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"

struct json;

struct qmp {
	int fd; /* owned; FD_NONE: not connected */
	nsec_t deadline;
	struct arena *a; /* borrowed: for answers */
	char *in;	 /* in the arena: what was read, and not looked at */
	size_t in_n;
};
#define QMP_INIT ((struct qmp){ .fd = -1 })

/* Connect to the socket of that name in a directory. CONFLICT: nobody listens any more. */
[[nodiscard]] int qmp_open(struct qmp *q, int dir_fd, const char *name, nsec_t deadline,
			   struct arena *a, struct err *e);
void qmp_close(struct qmp *q);
/*
 * A command and its arguments, which are JSON or NULL. *ret: what it returns, in the arena. What
 * QEMU refuses is UNSUPPORTED, in its own words.
 */
[[nodiscard]] int qmp_ask(struct qmp *q, const char *command, const char *arguments,
			  const struct json **ret, struct err *e);
/* Until the next event, whichever. */
[[nodiscard]] int qmp_event(struct qmp *q, struct err *e);
