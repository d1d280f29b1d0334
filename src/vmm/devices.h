/* SPDX-License-Identifier: Apache-2.0 */
/* The devices that the options ask for, put on the bus in the order in which guests name them. */
#pragma once

#include "base/err.h"
#include "vmm/options.h"

struct machine;

[[nodiscard]] int devices_add(struct machine *m, const struct options *o, struct err *e);
