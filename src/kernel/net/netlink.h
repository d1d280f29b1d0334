/* SPDX-License-Identifier: Apache-2.0 */
/*
 * netlink(7), of NETLINK_ROUTE: what links and addresses there are, which is what getifaddrs(3),
 * getaddrinfo(3) and language runtimes ask. Requests are answered while they are sent; nothing ever
 * changes, so a group that is joined hears nothing. Between programs nothing is sent:
 * -ECONNREFUSED.
 */
#pragma once

#include "kernel/net/socket.h"

/* One request at most of that many bytes: -EMSGSIZE. */
#define NETLINK_REQUEST_MOST 4096

extern const struct socket_family netlink_family;

/* ---- netlink_outside.c ---- */

/* One answer, of some messages. */
typedef void (*netlink_give)(void *to, const unsigned char *bytes, size_t len);
/* Answers what is of the network outside; false: it is not, or there is none. May park. */
bool netlink_outside(const unsigned char *request, size_t len, uint32_t port, netlink_give give,
		     void *to);

/* ---- netlink_route.c ---- */

/* An answer: messages one behind the other. */
struct netlink_answer {
	size_t len;
	uint32_t port; /* whose it is */
	unsigned char bytes[1024];
};

/* To one request, which begins with a struct nlmsghdr of `len` bytes that are all there. */
void netlink_route(const unsigned char *request, size_t len, struct netlink_answer *to);
