/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The context of every verb: where the state lies, the open store, and how to tell the user what
 * a verb mended on its way. The CLI, the API, the reconciler and the benchmarks are equal callers:
 * verbs take and give plain structs, results live in the caller's arena.
 */
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"
#include "store/paths.h"
#include "store/store.h"

struct svc {
	struct paths paths;
	struct store *store; /* NULL until the first verb needs it; goes with the process */
	/*
	 * Told one sentence about something done beside what was asked: a record healed, a limit
	 * clamped. NULL: dropped. The owner is found by LOOP_OWNER(s, type, member).
	 */
	void (*notice)(struct svc *s, const char *text);
};

/* root, state: NULL for the environment's or the default. Touches no disk. notice may be NULL. */
[[nodiscard]] int svc_init(struct svc *s, const char *root, const char *state,
			   void (*notice)(struct svc *s, const char *text), struct err *e);

/* The store, opened at first use (paths made, schema migrated). */
[[nodiscard]] int svc_store(struct svc *s, struct err *e);
[[gnu::format(printf, 2, 3)]] void svc_notice(struct svc *s, const char *fmt, ...);

/*
 * A directory of ours while something in it has no record yet: makers share it, repair is alone in
 * it and thus sees nothing half-made. Gives a descriptor that holds it; dies with its process.
 */
[[nodiscard]] int svc_hold(const char *dir, bool alone, int *ret_fd, struct err *e);
