/* SPDX-License-Identifier: Apache-2.0 */
/* A workload by its reference and the connection to its shim: for attach, exec and logs. */
#pragma once

#include "base/err.h"
#include "store/workload.h"
#include "svc/supervise.h"
#include "svc/svc.h"

/*
 * NOT_FOUND: no such workload. CONFLICT: it does not run. *ret_conn is open; ret_id is its full id.
 */
[[nodiscard]] int running_find(struct svc *s, const char *ref, char ret_id[static WORKLOAD_ID_MAX],
			       struct shim_conn *ret_conn, struct err *e);
[[nodiscard]] int running_connect(struct svc *s, const char *ref, struct shim_conn *ret_conn,
				  struct err *e);
/* STATE/workloads/ID, O_PATH; -errno, -ENOENT when it has none. */
[[nodiscard]] int running_state_dir(const struct svc *s, const char *id);
