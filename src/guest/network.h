/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's network interfaces. */
#pragma once

#include "base/err.h"
#include "proto/agent.h"

/* The loopback up, and each interface as it is described. Once more with the same: nothing. */
[[nodiscard]] int network_setup(const struct agent_setup *m, struct err *e);
