/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names become descriptors once, here: the image's layers and the workload's own directories
 * become a detached overlay mount, volumes become host directories. Below this nothing resolves
 * an image, network or volume name. The mount is attached nowhere: it lives as long as a
 * descriptor or the workload's mount namespace refers to it, so a crash leaves no mount behind.
 */
#pragma once

#include <stddef.h>

#include "base/arena.h"
#include "base/auto.h"
#include "base/clock.h"
#include "base/err.h"
#include "store/workload.h"
#include "svc/config.h"
#include "svc/plan.h"
#include "svc/svc.h"

struct image; /* image/resolve.h */

struct bundle_set {
	int root_fd;	       /* owned: the detached overlay */
	int root_disk_fd;      /* owned: the same for a machine (struct bundle), or FD_NONE */
	int root_upper_fd;     /* owned: its own disk over that (svc/own_disk.h), or FD_NONE */
	int bundle_fd;	       /* owned: ROOT/workloads/ID */
	struct path_text path; /* of the bundle directory */
};
#define BUNDLE_SET_INIT                                                                            \
	((struct bundle_set){ .root_fd = FD_NONE,                                                  \
			      .root_disk_fd = FD_NONE,                                             \
			      .root_upper_fd = FD_NONE,                                            \
			      .bundle_fd = FD_NONE })
void bundle_set_fini(struct bundle_set *b);

/*
 * Open the root file system and the bundle, make volumes and copy the image's content into new
 * ones, write hosts, hostname, resolv.conf and config.json. Everything a start needs.
 */
[[nodiscard]] int bundle_open(struct svc *s, const struct workload_record *w,
			      const struct workload_config *c, const struct image *im,
			      struct bundle_set *ret, struct err *e);

/* Both disks of a workload that has one of its own, the second locked. Gives. */
[[nodiscard]] int bundle_disks(struct svc *s, const struct image *im, int bundle_fd,
			       nsec_t deadline, int *ret_disk_fd, int *ret_upper_fd, struct err *e);

/* Only the root, as a detached mount, for cp, diff, export and commit of what does not run, and has
 * no disk of its own. */
[[nodiscard]] int bundle_root(struct svc *s, const struct workload_record *w, bool read_only,
			      int *ret_root_fd, struct err *e);
