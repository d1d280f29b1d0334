/* SPDX-License-Identifier: Apache-2.0 */
/*
 * linux.netDevices: interfaces of the caller's network namespace that become the container's. They
 * keep MTU and hardware address (the kernel's doing) and their permanent addresses of global scope
 * (ours: it drops all), get the name that the spec gives them, and are up at last. What belongs to
 * the caller's network, as routes and addresses of a lease, stays behind. When the container ends
 * the kernel gives back what is hardware and removes what is virtual.
 */
#pragma once

#include "base/err.h"

struct spec_linux;

[[nodiscard]] int netdevs_check(const struct spec_linux *l, struct err *e);

/*
 * Move all of them, or none: what was moved before one fails comes back. pidfd: of a process in the
 * container's network namespace. The caller has one thread.
 */
[[nodiscard]] int netdevs_move(const struct spec_linux *l, int pidfd, struct err *e);
