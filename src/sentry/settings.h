/* SPDX-License-Identifier: Apache-2.0 */
/* What config.json sets of the guest's kernel beside its tree: linux.sysctl, linux.devices. In a
 * fiber. */
#pragma once

#include "base/err.h"
#include "fmt/spec.h"

struct path;

/* UNSUPPORTED: a name that is not in the guest's /proc/sys, or a value that it cannot have. */
[[nodiscard]] int settings_sysctl(const struct spec *s, struct err *e);
/* Nodes, where they are missing. UNSUPPORTED: a device that the guest's kernel does not serve. */
[[nodiscard]] int settings_devices(const struct spec *s, const struct path *root, struct err *e);
