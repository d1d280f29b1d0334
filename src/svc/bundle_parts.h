/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of a bundle; for the files bundle*.c and workload.c alone. */
#pragma once

#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "store/workload.h"
#include "svc/config.h"
#include "svc/plan.h"
#include "svc/svc.h"

struct oci_run_config;

struct bundle_parts {
	struct plan_mount *mounts; /* parents before what is mounted in them */
	size_t mounts_n;
};

/* The view of an image that a plan needs; borrows everything. */
void plan_image_of(const struct oci_run_config *c, struct plan_image *ret);

/* Sources of the user's mounts: volumes made and filled, binds checked. */
[[nodiscard]] int bundle_mounts(struct svc *s, const struct workload_record *w,
				const struct workload_config *c, int root_fd, struct arena *a,
				struct bundle_parts *ret, struct err *e);
/* in->*_ns of "container:X" modes, in->shm_dir. */
[[nodiscard]] int bundle_namespaces(struct svc *s, const struct workload_record *w,
				    const struct workload_config *c, struct arena *a,
				    struct plan_input *in, struct err *e);
/* hosts, hostname, resolv.conf; in->hostname, in->init_path. */
[[nodiscard]] int bundle_files(struct svc *s, const struct workload_record *w,
			       const struct workload_config *c, int bundle_fd, struct arena *a,
			       struct plan_input *in, struct err *e);

/* The directory a volume's data lies in, made if need be. Gives an O_PATH descriptor. */
[[nodiscard]] int volume_directory(struct svc *s, const char *name, int *ret_fd, struct err *e);
