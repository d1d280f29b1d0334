/* SPDX-License-Identifier: Apache-2.0 */
/* The addresses and routes of an interface as they travel (agent.h): from one kernel to another. */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "proto/agent.h"

struct netlink_link;

/*
 * What this one has. What a kernel makes by itself (of links, of announcements of routers) is left
 * out: the other one will make it too. All lives in the arena.
 */
[[nodiscard]] int interface_read(struct arena *a, int sock, const struct netlink_link *l,
				 struct agent_interface *ret, struct err *e);
/* Give them to one; what it has of them already is no failure. */
[[nodiscard]] int interface_apply(int sock, int index, const struct agent_interface *m,
				  struct err *e);
