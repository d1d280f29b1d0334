/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network of a microVM: the namespace that the workload would be in as a container. The
 * machine's processes are in it, and the Ethernet interfaces that somebody has put into it become
 * the machine's network cards: with a packet socket everything that comes there goes to the guest,
 * and what the guest sends leaves there. The guest's kernel has their addresses then, and this one
 * has none, or both would answer.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"

struct microvm;

#define NETWORK_CARDS_MAX 4

struct network_card {
	int fd; /* owned: the packet socket, or passt's */
	bool stream;
	const char *mac;
	uint32_t mtu;
};

struct network {
	int netns; /* owned */
	struct network_card cards[NETWORK_CARDS_MAX];
	size_t cards_n;
	/* Borrowed: hardware addresses that the guest's cards have so far, in their order. */
	const char *was[NETWORK_CARDS_MAX];
	/*
	 * Owned; FD_NONE: none. What connects to the loopback of a pod's namespace, where nobody
	 * else is, means the guest's: a socket that listens for all its ports, and what makes it.
	 */
	int ports_fd, ports_kept_fd;
	bool user; /* no namespace: passt (usernet.h) */
};
#define NETWORK_INIT ((struct network){ .netns = -1, .ports_fd = -1, .ports_kept_fd = -1 })

/* The namespace: the one that the spec names, or a new one; none where the spec has none. */
[[nodiscard]] int network_open(struct network *n, const struct microvm *m, struct err *e);
void network_fini(struct network *n);
/*
 * Take over what is in it now. The machine's directory gets PROXY_NETWORK, for the guest and for
 * the way back, and m what network_return() needs, also after a failure.
 */
[[nodiscard]] int network_take(struct network *n, struct microvm *m, struct arena *a,
			       struct err *e);
/* One card at passt's socket (taken), where there is no namespace. */
[[nodiscard]] int network_plug(struct network *n, struct microvm *m, struct arena *a, int fd,
			       struct err *e);
/* As it was before, where the namespace is still there. Once more: nothing. */
void network_return(struct microvm *m);
