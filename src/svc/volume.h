/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs of named volumes: directories that outlive the workloads that mount them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "fmt/json.h"
#include "store/volume.h"
#include "svc/svc.h"
#include "svc/workload.h"

#define VOLUME_NAME_MAX 256

struct volume_config {
	const char *name;   /* NULL: 64 random hex digits */
	const char *driver; /* NULL: "local"; no other exists */
	struct json_pair *labels, *options;
	size_t labels_n, options_n;
};

/* Making one that exists succeeds and changes nothing, as docker does. */
[[nodiscard]] int volume_create(struct svc *s, const struct volume_config *c,
				char ret_name[static VOLUME_NAME_MAX], struct err *e);
/* force: one that is not there is no error. */
[[nodiscard]] int volume_rm(struct svc *s, const char *name, bool force, struct err *e);
/* filters: "name=", "label=", "driver=", "dangling=". */
[[nodiscard]] int volume_ls(struct svc *s, const char *const *filters, size_t filters_n,
			    struct arena *a, struct volume_records *ret, struct err *e);
[[nodiscard]] int volume_find(struct svc *s, const char *name, struct arena *a,
			      struct volume_record *ret, struct err *e);
[[nodiscard]] int volume_inspect(struct svc *s, const char *name, struct buf *ret_json,
				 struct err *e);
/* all: named ones too, not only anonymous ones. */
[[nodiscard]] int volume_prune(struct svc *s, bool all, const char *const *filters,
			       size_t filters_n, struct arena *a, struct prune_result *ret,
			       struct err *e);
