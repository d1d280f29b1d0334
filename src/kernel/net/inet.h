/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ip(7), ipv6(7), tcp(7), udp(7) over the loopback of one sandbox. There is no stack: what one
 * socket sends stands in the other's inbox, as with net/unix.h; nothing is lost but datagrams that
 * find no room. Addresses are 127.0.0.0/8, ::1 and the wildcards; every other one is ENETUNREACH,
 * or EADDRNOTAVAIL to bind(2). Urgent data is EOPNOTSUPP, raw sockets are ESOCKTNOSUPPORT.
 */
#pragma once

#include "kernel/net/socket.h"

/* net.ipv4.ip_local_port_range, ip_unprivileged_port_start. */
#define INET_PORT_FIRST 32768
#define INET_PORT_LAST	60999
#define INET_PORT_FREE	1024

extern const struct socket_family inet_family, inet6_family;
