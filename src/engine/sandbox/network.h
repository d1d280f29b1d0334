/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network outside of a sandbox: atoll-broker in the namespace that the spec names, in the
 * caller's where the sandbox is to have the host's, or in a new one, where hooks can make something
 * of it. A new namespace that nobody changes has loopback alone, which the sandbox's kernel has
 * without anybody's help.
 */
#pragma once

#include <stdbool.h>

#include "base/auto.h"
#include "base/err.h"
#include "engine/pod.h"

struct groups;
struct sandbox;
struct spec;

struct sandbox_network {
	bool reached; /* there is one */
	bool strict;  /* its own stack is to be there (stack.h) */
	int stack_fd; /* owned: that one's end of the sandbox's socket */
	int netns_fd; /* owned: where, and where the hooks are to find it; FD_NONE: the caller's */
};

#define SANDBOX_NETWORK_INIT ((struct sandbox_network){ .stack_fd = FD_NONE, .netns_fd = FD_NONE })

/* Of a pod's sandbox the namespace is there in any case: the other containers name it. */
[[nodiscard]] int sandbox_network_open(struct sandbox_network *n, const struct spec *s,
				       enum pod_role pod, struct err *e);
/*
 * Starts a broker, or prepares what is there in its place, in the control groups (which may be
 * NULL), where there is a network to reach. *ret_sock: the sandbox's end, *ret_pidfd: of the
 * process; both given, or left as they are.
 */
[[nodiscard]] int sandbox_network_start(struct sandbox_network *n, const struct spec *s,
					const struct groups *g, int log_fd, int *ret_sock,
					int *ret_pidfd, struct err *e);
/* Once hooks have run: the stack of a strict one. */
[[nodiscard]] int sandbox_network_plug(struct sandbox_network *n, struct sandbox *s, int log_fd,
				       struct err *e);
void sandbox_network_close(struct sandbox_network *n);
