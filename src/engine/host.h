/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this machine offers to engines: found once per process, by asking the kernel as little as
 * possible (it stands on the start path). Pure facts; what follows from them is each engine's.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

enum host_cgroups {
	HOST_CGROUPS_NONE,    /* nothing mounted at /sys/fs/cgroup */
	HOST_CGROUPS_V1,      /* v1 hierarchies alone */
	HOST_CGROUPS_HYBRID,  /* v1 hierarchies, and v2 at /sys/fs/cgroup/unified */
	HOST_CGROUPS_UNIFIED, /* v2 at /sys/fs/cgroup */
};

struct host {
	uid_t euid;
	unsigned kernel_major, kernel_minor;
	char kernel_release[65];
	char machine[65]; /* "x86_64" */
	enum host_cgroups cgroups;
};

[[nodiscard]] int host_probe(struct host *ret_h, struct err *e);

/* Whether the kernel is at least major.minor. */
bool host_kernel_at_least(const struct host *h, unsigned major, unsigned minor);
const char *host_cgroups_name(enum host_cgroups c); /* "v1" "hybrid" "v2" "none" */
