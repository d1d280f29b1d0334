/* SPDX-License-Identifier: Apache-2.0 */
/* The host's devices that a workload is given; for the files of the plan alone. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/err.h"
#include "fmt/json.h"
#include "svc/config.h"

struct plan_device {
	const char *host, *inside;
	const char *access; /* of "rwm" */
	dev_t dev;
	mode_t mode;
};
struct plan_devices {
	struct plan_device *v;
	size_t n;
};
/* --device and --privileged. Fails: NOT_FOUND no such device; INVALID. */
[[nodiscard]] int plan_devices_of(const struct workload_config *c, struct arena *a,
				  struct plan_devices *ret, struct err *e);
void plan_devices_write(struct json_writer *w, const struct plan_devices *list);
