/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of named volumes and of which workload uses which. The data is a directory
 * (paths_volume()/_data); making and deleting it is svc's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/clock.h"
#include "store/store.h"

struct volume_record {
	const char *name;
	const char *driver;  /* "local" */
	const char *labels;  /* JSON object, or NULL */
	const char *options; /* JSON object, or NULL */
	nsec_t created;
	bool anonymous; /* made for a workload: goes with it (rm -v, --rm) */
	unsigned users; /* workloads that mount it */
};

struct volume_records {
	struct volume_record *v; /* by name */
	size_t n;
};

/* In a write. *ret_made false: it was there (its record is left as it is). */
[[nodiscard]] int store_volume_add(struct store *s, const struct volume_record *v, bool *ret_made,
				   struct err *e);
/* Fails: NOT_FOUND; CONFLICT a workload uses it (the message names one). */
[[nodiscard]] int store_volume_remove(struct store *s, const char *name, struct err *e);
[[nodiscard]] int store_volume_use(struct store *s, const char *name, const char *workload_id,
				   struct err *e);
[[nodiscard]] int store_volume_find(struct store *s, const char *name, struct arena *a,
				    struct volume_record *ret, struct err *e);
[[nodiscard]] int store_volume_list(struct store *s, struct arena *a, struct volume_records *ret,
				    struct err *e);
/* Anonymous volumes that only this workload uses. */
[[nodiscard]] int store_volume_of(struct store *s, const char *workload_id, bool anonymous_only,
				  struct arena *a, struct volume_records *ret, struct err *e);
