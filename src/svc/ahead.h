/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A start on its way while what it needs is still being worked out: the shim's own start and what
 * the engine can prepare (control groups) take their time beside the caller's work, on another
 * processor. Never needed: where it cannot be had, workload_start() does without.
 *
 * For `run`, which makes and starts in one go: workload_create() begins it and leaves in it what it
 * knows, workload_start() takes both. Not for workloads that others may know already.
 */
#pragma once

#include "base/arena.h"
#include "store/workload.h"
#include "svc/config.h"
#include "svc/supervise.h"
#include "svc/svc.h"

struct image;

struct ahead {
	bool short_lived;      /* by the caller: this process starts one workload and no more */
	int state_fd;	       /* owned: STATE/workloads/ID */
	int held_fd;	       /* owned: repair waits for it, svc_hold() */
	struct shim_conn conn; /* owned; its fd FD_NONE: there is no shim */
	/* What workload_create() wrote; `made` once it has. */
	bool made;
	struct arena arena; /* of what they point to */
	struct workload_record record;
	struct workload_config config;
	struct image *image; /* owned */
	const struct paths *paths;
	char id[WORKLOAD_ID_MAX];
};
#define AHEAD_INIT                                                                                 \
	((struct ahead){ .state_fd = FD_NONE,                                                      \
			 .held_fd = FD_NONE,                                                       \
			 .conn = SHIM_CONN_NONE,                                                   \
			 .arena = ARENA_INIT(32u << 20) })

/* Begin: c has been checked, and nobody knows the id yet. A failure leaves it without a shim. */
void ahead_begin(struct ahead *a, struct svc *s, const char *id, const struct workload_config *c);
/* A shim for a workload that is known, with its directory: as ahead_begin(), but it must be.
 * child: see supervise_spawn(). */
[[nodiscard]] int ahead_spawn(int state_fd, const char *id, const struct workload_config *c,
			      bool child, struct shim_conn *ret_conn, struct err *e);
/* Whether a shim waits in it for this workload. */
bool ahead_of(const struct ahead *a, const char *id);
/* Hang up on a shim that was told nothing; its directory goes too, unless a record knows it. */
void ahead_fini(struct ahead *a);
#define auto_ahead __attribute__((cleanup(ahead_fini)))
