/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections to ports of this machine: the host connects to AGENT_FORWARD_PORT (proto/agent.h),
 * and its bytes go to a server on the loopback, and the server's to it.
 */
#pragma once

#include <stddef.h>

#include "base/loop.h"

struct forwards {
	struct loop *loop;
	struct loop_source listener;
	struct loop_timer again;
	int fd; /* owned */
	size_t n;
};

/* From now on they are taken. 0 or -errno. */
[[nodiscard]] int forwards_listen(struct forwards *f, struct loop *l);
