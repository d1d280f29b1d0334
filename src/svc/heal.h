/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records whose shim is gone: it was killed, or the machine went down. What still runs of the
 * workload is ended, its cgroups and run directory go, the record says so, and the user is told.
 * Every verb finds workloads through here.
 */
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"
#include "store/workload.h"
#include "svc/svc.h"

/*
 * Whether the record claims a shim that no longer is, or an instance lies in the run directory that
 * no shim holds. Asks the kernel, changes nothing.
 */
bool heal_needed(const struct svc *s, const struct workload_record *w, const char *boot_id);

/*
 * Mend one record if it needs it, and read it again into *w. *ret_gone: it was to remove itself
 * (--rm) and is gone now.
 */
[[nodiscard]] int heal_record(struct svc *s, struct arena *a, struct workload_record *w,
			      bool *ret_healed, bool *ret_gone, struct err *e);

/* store_workload_find(), healed. */
[[nodiscard]] int heal_find(struct svc *s, const char *ref, struct arena *a,
			    struct workload_record *ret, struct err *e);
/* store_workload_list(), healed. */
[[nodiscard]] int heal_list(struct svc *s, unsigned what, struct arena *a,
			    struct workload_records *ret, struct err *e);

/*
 * The same for a start that finds an instance in the run directory and no shim: one that was killed
 * before its first word. Keeps the directory. true: something of it ran.
 */
bool heal_instance(int state_fd, const struct workload_record *record);

/*
 * End what still runs of a workload that has no shim, and remove its cgroups and run directory.
 * Its record may be gone already (record NULL).
 */
[[nodiscard]] int heal_leftovers(struct svc *s, const char *id,
				 const struct workload_record *record, bool *ret_killed,
				 struct err *e);
