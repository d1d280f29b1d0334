/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control groups that systemd makes: a scope unit with Delegate=yes for each container. The limits
 * are written to the files as without systemd, and told to systemd as properties.
 *
 * A scope cannot be without processes, and the container has none yet. So a keeper, a child that
 * does nothing, holds it until the init is in it; it ends with its parent.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/clock.h"
#include "base/err.h"
#include "engine/container/groups.h"
#include "engine/container/groups_unit.h"

struct groups_unit {
	char name[UNIT_NAME_SIZE];
	bool user;   /* of the user's manager */
	bool asked;  /* for its name only: it may be another's still */
	bool placed; /* the creator puts the init in, before it does anything */
	pid_t keeper;
	int keeper_fd; /* owned: pidfd; FD_NONE: ended */
};

[[nodiscard]] int groups_systemd_make(const struct groups_options *o, struct groups **ret_g,
				      struct err *e);
/* After the files: what systemd shall know of it. */
[[nodiscard]] int groups_systemd_update(const struct groups *g, const struct spec_resources *r,
					struct err *e);
[[nodiscard]] int groups_systemd_attach(const struct groups *g, pid_t pid, const char *sub,
					struct err *e);
[[nodiscard]] int groups_systemd_stop(struct groups *g, nsec_t deadline, struct err *e);
void groups_unit_free(struct groups_unit *u); /* its keeper ends; NULL is fine */

/* A line of the state file: "@system:NAME", "@user:NAME", or with '?' one that is asked for only.
 * NULL: no such line, or out of memory. */
void groups_unit_save(const struct groups_unit *u, struct buf *b);
struct groups_unit *groups_unit_load(struct str line);

/* keeper_child.c: wait for the end. */
[[gnu::noreturn]] void keeper_child(pid_t parent);
