/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of groups share among themselves; others use groups.h. */
#pragma once

#include <stdbool.h>

#include "engine/container/groups.h"

/* The first place that serves this controller for the container, or NULL. */
const struct groups_place *groups_place_of(const struct groups *g, unsigned controller);
const struct groups_place *groups_unified(const struct groups *g); /* or NULL */

/* With the layout of this machine and no place yet. Gives; NULL with *e set. */
struct groups *groups_new(struct err *e);

/* Wait for the process to end, or, 0, for a growing moment. */
void groups_await(pid_t pid, nsec_t *wait, nsec_t deadline);

/* Write every limit that is given. fresh: of a new container, whose devices start at none. */
[[nodiscard]] int groups_limits_apply(const struct groups *g, const struct spec_resources *r,
				      bool fresh, struct err *e);

/* One control file; `what` names the config key. The message names file and value. */
[[nodiscard]] int groups_put(const struct groups_place *p, const char *file, const char *value,
			     const char *what, struct err *e);

/* The error that nothing here can enforce `what`; for ordinary users, what they need. */
int groups_missing(const struct groups *g, enum cgroup_controller c, const char *what,
		   struct err *e);

[[nodiscard]] int groups_memory_apply(const struct groups *g, const struct spec_resources *r,
				      struct err *e);
struct cgroup_device_rule;
/* At most CGROUP_DEVICE_RULES_MAX. */
[[nodiscard]] int groups_devices_rules(const struct spec_resources *r, bool fresh,
				       struct cgroup_device_rule *ret_rules, size_t *ret_n,
				       struct err *e);
[[nodiscard]] int groups_devices_apply(const struct groups *g, const struct spec_resources *r,
				       bool fresh, struct err *e);
