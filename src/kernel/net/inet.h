/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AF_INET and AF_INET6: streams (TCP) and datagrams (UDP) between sockets of one sandbox, over its
 * loopback, without a stack: what one writes stands in the other's queue. ip(7), ipv6(7), tcp(7),
 * udp(7); errors and events come as Linux 6.1 gives them over its own loopback.
 *
 * The addresses of the sandbox are 127.0.0.0/8 and ::1; anything else is outside (net/outside.h),
 * and where there is no outside -ENETUNREACH to reach and -EADDRNOTAVAIL to bind. There is no
 * TIME_WAIT: a port is free when its last socket is closed. Nothing is lost but what a datagram's
 * receiver has no room for. A connection that finds a full backlog waits for room in it, without
 * Linux's end after two minutes. Urgent data (MSG_OOB) is -EOPNOTSUPP to send; the error queue
 * (MSG_ERRQUEUE) is always empty.
 */
#pragma once

#include "kernel/net/socket.h"

/* net.ipv4.ip_local_port_range. */
#define INET_PORT_FIRST 32768
#define INET_PORT_LAST	60999

struct inet_limits {
	uint64_t port_free;		/* ip_unprivileged_port_start */
	uint64_t ping_first, ping_last; /* ping_group_range: whose sockets of ICMP are looked at */
};
struct inet_limits *inet_limits(void);

extern const struct socket_family inet_family, inet6_family;
