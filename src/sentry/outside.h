/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network outside of a sandbox (kernel/net/outside.h), by what atoll-broker or atoll-netstack
 * gives: this process asks it for sockets (proto/broker.h), and moves bytes on their descriptors
 * itself. Those of a broker are the host's own, those of a stack ends of pairs.
 */
#pragma once

#include "base/err.h"

/*
 * fd: a connected seqpacket socket, borrowed, non-blocking from then on. INVALID: it is none, says
 * the option's name. While there is no filter.
 */
[[nodiscard]] int outside_check(const char *option, int fd, struct err *e);
/* From here on sockets lead there. fd: taken. After host_begin(). One of both. */
[[nodiscard]] int outside_begin(int fd, struct err *e);
[[nodiscard]] int outside_stack_begin(int fd, struct err *e);
