/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unix(7): sockets of one host, by path, by abstract name, in pairs. Streams, datagrams, sequenced
 * packets; descriptors and credentials go along.
 *
 * Files on their way that only each other's queues still hold are found and closed when a
 * descriptor of an AF_UNIX socket is closed or one is sent: net/unix_rights.c. RIGHTS_IN_FLIGHT of
 * them at most are on their way: -ETOOMANYREFS.
 */
#pragma once

#include "kernel/net/socket.h"

#define RIGHTS_IN_FLIGHT 16384
/* net.unix.max_dgram_qlen: so many datagrams wait at a socket before senders do. */
#define DATAGRAMS_MOST 10

extern const struct socket_family unix_family;
/* Files that are on their way now. */
size_t unix_rights_in_flight(void);
