/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The boot a container believes it is in, /proc/sys/kernel/random/boot_id. A machine that goes on
 * as another one has its kernel's still: its container gets one of its own, a file over that of its
 * /proc. What mounts a /proc of its own in there sees the kernel's.
 */
#pragma once

#include <sys/types.h>

#include "base/err.h"

/* run_fd: where files of the agent's are. A container without a /proc needs none. */
[[nodiscard]] int boot_id_renew(int run_fd, pid_t init, struct err *e);
