/* SPDX-License-Identifier: Apache-2.0 */
/* Files of the host that a workload on another kernel is to see. */
#pragma once

#include "base/err.h"

/*
 * Whether the directory or file can be shown to it: no device, nothing of the host's kernel. `who`
 * begins the refusal: "a microvm". UNSUPPORTED.
 */
[[nodiscard]] int source_check(int fd, const char *path, const char *who, struct err *e);
