/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making a workload gone: its record, its hold on its image and volumes, its directories. For the
 * shim (--rm) and for svc (rm, repair). The record goes first and in one transaction: from then on
 * nobody finds the workload, and what a crash leaves of the directories is swept by repair.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "store/paths.h"
#include "store/store.h"

/*
 * Nothing of it may run any more. volumes: its anonymous volumes that nobody else uses go too.
 * An event "destroy" is recorded. Gone already is fine.
 */
[[nodiscard]] int store_workload_discard(struct store *s, const char *id, bool volumes,
					 enum store_sync sync, struct err *e);
/* Only what is on disk: ROOT/workloads/ID and STATE/workloads/ID. */
[[nodiscard]] int store_workload_sweep(const struct paths *p, const char *id, struct err *e);
