/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making a workload gone: its record, its hold on its image and volumes, its directories. For the
 * shim (--rm) and for svc (rm, repair). The record goes first and in one transaction: from then on
 * nobody finds the workload, and what a crash leaves of the directories is swept by repair.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "store/event.h"
#include "store/paths.h"
#include "store/store.h"

/*
 * Nothing of it may run any more. volumes: its anonymous volumes that nobody else uses go too.
 * An event "destroy" is recorded. Gone already is fine.
 */
[[nodiscard]] int store_workload_discard(struct store *s, const char *id, bool volumes,
					 enum store_sync sync, struct err *e);

/*
 * Its first half: the record (and the volumes' data), not its directories. `last` are events told
 * in the same transaction before "destroy"; they are of this workload, and nothing of them is told
 * where the record was gone already.
 */
[[nodiscard]] int store_workload_forget(struct store *s, const char *id, bool volumes,
					const struct event *last, size_t last_n,
					enum store_sync sync, struct err *e);
/* Its second half, only what is on disk: STATE/workloads/ID and ROOT/workloads/ID. */
[[nodiscard]] int store_workload_sweep(const struct paths *p, const char *id, struct err *e);
/* Only STATE/workloads/ID. */
[[nodiscard]] int store_workload_sweep_run(const struct paths *p, const char *id, struct err *e);
/*
 * ROOT/workloads/ID, for when somebody waits: out of the way by one rename, whatever its size; and
 * what that left to be done where nobody waits. Repair does it for who did not come to it.
 */
[[nodiscard]] int store_workload_set_aside(const struct paths *p, const char *id, struct err *e);
[[nodiscard]] int store_workload_sweep_aside(const struct paths *p, const char *id, struct err *e);
