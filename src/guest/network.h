/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's network interfaces. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "proto/agent.h"

/* The loopback up, and each interface as it is described. Once more with the same: nothing. */
[[nodiscard]] int network_setup(const struct agent_setup *m, struct err *e);

/* Whether "net.ipv4.ip_forward" is one of the network; and setting it. */
bool network_is_sysctl(const char *key);
[[nodiscard]] int network_sysctl(const char *key, const char *value, struct err *e);
