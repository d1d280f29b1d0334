/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All TCP to 127.0.0.1 of a network namespace, whatever its port, to one listening socket: an eBPF
 * program of the namespace, which the kernel asks who listens before it looks itself (Linux 5.9).
 * Connections that stand are not looked up, and other addresses are none of its business.
 */
#pragma once

#include <linux/bpf.h>
#include <stddef.h>

#define SK_LOOKUP_INSNS 23

/* The program, which gives what is at index 0 of this map of sockets. */
void sk_lookup_program(int map_fd, struct bpf_insn ret_insns[static SK_LOOKUP_INSNS]);

/* Gives a socket of the caller's network namespace that is to listen for all these ports. */
[[nodiscard]] int sk_lookup_listen(int backlog);
/*
 * From now on they come to that socket, in its namespace: as long as what this gives is open, and
 * the socket listens. -EPERM: not by this user; -EINVAL: not by this kernel.
 */
[[nodiscard]] int sk_lookup_attach(int netns, int listener);
