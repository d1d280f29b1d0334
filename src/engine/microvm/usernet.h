/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network of a machine whose spec has no network namespace: the caller's own, at second hand.
 * passt, a foreign program, is one of the machine's processes there: it makes the guest's
 * connections its own sockets, and those to published ports the guest's. Nothing needs rights. What
 * this is not: the host's interfaces or its abstract unix sockets; broadcasts; protocols but TCP
 * and UDP (echo requests as far as the host lets users send them); IPv6. A connection that the
 * guest has closed for sending alone may not be told that the other side has closed, too.
 */
#pragma once

#include "base/err.h"

struct proxied;
struct spec_resources;

#define USERNET_ADDRESS "10.0.2.15"
#define USERNET_MASK	"255.255.255.0"
#define USERNET_PREFIX	"/24"
#define USERNET_GATEWAY "10.0.2.2" /* and the host's own loopback */
#define USERNET_DNS	"10.0.2.3" /* the host's resolver */
#define USERNET_MTU	65520	   /* passt's: a TCP segment is what a read gave */

/* UNSUPPORTED: the program or the host's network is missing; says what to do. */
[[nodiscard]] int usernet_check(struct err *e);
/* Start it; gives the socket of the machine's card in *ret_fd. r: its ports; NULL: none. */
[[nodiscard]] int usernet_start(struct proxied *p, const struct spec_resources *r, int *ret_fd,
				struct err *e);
