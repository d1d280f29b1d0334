/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interfaces of a workload's network namespace that somebody else than the host's kernel answers
 * for: a microVM's guest (engine/microvm/network.h) or a sandbox's own stack (network.h). While it
 * does the interface has an alias and no addresses; what they were is noted in a file of the
 * workload's state, for the way back.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "proto/agent.h"
#include "proto/proxy.h"
#include "sys/netlink.h"

#define CARDS_FILE  PROXY_NETWORK
#define CARDS_ALIAS "atoll microvm" /* whose: what is so named is taken */

/* What it takes to give them back, beside the file. */
struct cards_taken {
	char *path;	   /* owned; NULL: no interface of a namespace of others is taken */
	uint64_t ino;	   /* which one it was */
	uint32_t ipv6_off; /* bits: interfaces that had IPv6 before */
};

/* Whether they may be taken from there. who: "a microvm". UNSUPPORTED: they are others'. */
[[nodiscard]] int cards_check(int netns, const char *path, const char *who, struct err *e);
/* Called in there; sock is a netlink socket of it. */
[[nodiscard]] int cards_visit(int netns, int (*call)(void *arg, int sock, struct err *e), void *arg,
			      struct err *e);
/* An Ethernet interface in use. Those that every namespace is born with are not up. */
bool cards_are(const struct netlink_link *l);
/* In there: a packet socket of it, given; -errno. */
[[nodiscard]] int cards_packets(int index);
/* Before anything is changed: what is noted can be given back. path: NULL: one of its own. */
[[nodiscard]] int cards_note(struct cards_taken *t, int dirfd, int netns, const char *path,
			     struct agent_interface *v, size_t n, struct err *e);
/* Number `card` of what was noted: the kernel has no part in it any more. -errno. */
[[nodiscard]] int cards_strip(struct cards_taken *t, size_t card, int sock,
			      const struct netlink_link *l, struct arena *a);
/* As it was before, where the namespace is still there. Once more: nothing. */
void cards_return(const struct cards_taken *t, int dirfd, const char *id);
