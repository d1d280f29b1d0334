/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The strict network of a sandbox: atoll-netstack, with an interface of the workload's network
 * namespace and what the kernel there had of it. An annotation asks for it.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"

struct sandbox;
struct spec;

#define STACK_ANNOTATION "org.atoll.sandbox.network" /* "strict", or "broker": as without it */

/* INVALID: neither; UNSUPPORTED: there is no interface that it could have. */
[[nodiscard]] int stack_wanted(const struct spec *s, bool *ret, struct err *e);
/*
 * Takes what is in the namespace now, once hooks have made it, and starts the program with `sock`,
 * its end of the sandbox's socket (borrowed). s->broker_pidfd is its. Without an interface it
 * reaches nobody.
 */
[[nodiscard]] int stack_plug(struct sandbox *s, int netns_fd, int sock, bool low_ports, int log_fd,
			     struct err *e);
