/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's side of a sandbox's control socket (proto/sentry.h). */
#pragma once

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "proto/sentry.h"

struct sandbox;

/* A socket that listens there, for atoll-sentry. Gives. */
[[nodiscard]] int control_listen(int dir_fd, struct err *e);
/* A request about this workload, whose kernel may have others. */
struct sentry_request sandbox_request(const struct sandbox *s, enum sentry_type type);
/* A connection. Gives. CONFLICT: it does not run. */
[[nodiscard]] int control_dial(const struct sandbox *s, struct err *e);
/*
 * One request on this connection. What it refuses is *e, with its words and errno; so is that it
 * has ended (CONFLICT) or does not answer (TIMEOUT).
 */
[[nodiscard]] int control_ask_on(int sock, const struct sentry_request *q, nsec_t deadline,
				 struct arena *a, struct sentry_reply *ret, struct err *e);
/* The same on a connection of its own. */
[[nodiscard]] int control_ask(const struct sandbox *s, const struct sentry_request *q,
			      nsec_t deadline, struct arena *a, struct sentry_reply *ret,
			      struct err *e);
