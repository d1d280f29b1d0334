/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network outside of a sandbox: atoll-broker in the namespace that the spec names, or in the
 * caller's where the sandbox is to have the host's. A new namespace has loopback alone, which the
 * sandbox's kernel has without anybody's help.
 */
#pragma once

#include "base/err.h"

struct groups;
struct spec;

/*
 * Starts a broker in the control groups (which may be NULL), where there is a network to reach.
 * *ret_sock: the sandbox's end, *ret_pidfd: of the process; both given, or left as they are.
 */
[[nodiscard]] int network_start(const struct spec *s, const struct groups *g, int log_fd,
				int *ret_sock, int *ret_pidfd, struct err *e);
