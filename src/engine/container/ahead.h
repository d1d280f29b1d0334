/* SPDX-License-Identifier: Apache-2.0 */
/* What of a container's mounts its creator makes, beside the init (create.c). */
#pragma once

#define AHEAD_MAX 8 /* mounts: their descriptors go with one message */

struct plan;

/* Before the init is cloned: which those are, so that both know. */
void ahead_plan(struct plan *p);
/* The creator's side, once the cgroups are finished: as many of them as can be made. */
void ahead_make(struct plan *p);
