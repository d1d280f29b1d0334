/* SPDX-License-Identifier: Apache-2.0 */
/* Unix sockets of the file system, also those whose path is longer than a sockaddr_un has room. */
#pragma once

#include "base/clock.h"

/*
 * path: "@NAME" is in the abstract namespace, as systemd writes it.
 * A connected socket of the type (SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET), close-on-exec. Gives.
 * within: for connecting and for each send, where the other side does not take; 0: no limit.
 * -ENAMETOOLONG: the last component alone is too long.
 */
[[nodiscard]] int unix_connect(const char *path, int type, nsec_t within);
