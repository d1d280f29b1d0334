/* SPDX-License-Identifier: Apache-2.0 */
/* One request to a machine's agent, on a connection of its own. */
#pragma once

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "proto/agent.h"

struct agent_link;

/* *ret_m lives in the arena. The agent's ERROR becomes *e. CONFLICT: the machine does not run. */
[[nodiscard]] int agent_request(int state_fd, const struct agent_msg *m, enum agent_type answer,
				nsec_t deadline, struct arena *a, struct agent_msg *ret_m,
				struct err *e);

/* Everything in the guest held still as long as the link lives, which is given; and released. */
[[nodiscard]] int agent_hold(int state_fd, nsec_t deadline, struct arena *a, struct agent_link *l,
			     struct err *e);
[[nodiscard]] int agent_release(struct agent_link *l, nsec_t deadline, struct arena *a,
				struct err *e);
/* The same where the answer is OK and the connection goes on as another thing: gives its socket. */
[[nodiscard]] int agent_open(int state_fd, const struct agent_msg *m, nsec_t deadline,
			     struct arena *a, int *ret_sock, struct err *e);
