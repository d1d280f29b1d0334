/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What rtnetlink(7) would tell of the stack's network: the loopback that the sandbox has itself,
 * the interface, its address and its routes, as answers to dumps.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct stack_interface;

#define LINKS_MOST 4096u

/*
 * kind: RTM_GETLINK, RTM_GETADDR, RTM_GETROUTE, RTM_GETNEIGH or RTM_GETRULE, of a family (0: all).
 * Whole messages, without NLMSG_DONE: how many bytes. -EOPNOTSUPP: another kind.
 */
[[nodiscard]] int64_t links_dump_of(const struct stack_interface *i, int kind, int family,
				    unsigned char to[static LINKS_MOST]);
