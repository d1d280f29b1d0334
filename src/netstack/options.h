/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of atoll-netstack. */
#pragma once

#include "broker/policy.h"
#include "netstack/stack.h"

struct options {
	int socket_fd, wire_fd; /* inherited; FD_NONE: no wire */
	struct stack_interface interface;
	struct policy connect, bind;
	bool low_ports;
};

extern const char options_usage[];

/* INVALID: it says what is wrong. */
[[nodiscard]] int options_parse(struct options *o, int argc, char **argv, struct err *e);
