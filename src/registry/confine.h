/* SPDX-License-Identifier: Apache-2.0 */
/* The walls around atoll-registry: the network, and nothing else of the host. */
#pragma once

#include "base/err.h"

/*
 * For good: no capability, no privileges to come, in a root of its own with copies of what names
 * are resolved by, few system calls, no descriptors but `sock` and standard error.
 */
[[nodiscard]] int confine(int sock, struct err *e);
