/* SPDX-License-Identifier: Apache-2.0 */
/* What the network namespace has: dumps of rtnetlink(7) as the kernel gives them. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define ROUTES_MOST ((size_t) 1 << 20) /* bytes of one; what is beyond is left out */

/* A socket of this process' network namespace, for routes_dump(). Gives; -errno. */
[[nodiscard]] int routes_open(void);
/*
 * kind: RTM_GETLINK, RTM_GETADDR, RTM_GETROUTE, RTM_GETNEIGH or RTM_GETRULE, of a family (0: all).
 * Whole messages, without the last one's NLMSG_DONE: how many bytes. -EOPNOTSUPP: another kind.
 */
[[nodiscard]] int64_t routes_dump(int sock, int kind, int family, unsigned char *to);
