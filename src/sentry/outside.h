/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network outside of a sandbox (kernel/net/outside.h), by what atoll-broker gives: this process
 * asks it for sockets (proto/broker.h), and moves bytes on their descriptors itself.
 */
#pragma once

#include "base/err.h"

/*
 * fd: a connected seqpacket socket, borrowed, non-blocking from then on. INVALID: it is none. While
 * there is no filter.
 */
[[nodiscard]] int outside_check(int fd, struct err *e);
/* From here on sockets lead there. fd: taken. After host_begin(). */
[[nodiscard]] int outside_begin(int fd, struct err *e);
