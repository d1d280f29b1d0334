/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whom a sandbox may reach and what it may bind to: rules in their order, the first that fits
 * decides, and what none fits is allowed. A rule is
 *
 *	allow|deny,PROTOCOL,NETWORK,PORTS
 *
 * with tcp, udp or icmp; an address or ADDRESS/PREFIX; a port or FIRST-LAST; "*" for any. One of
 * IPv4 fits its addresses in IPv6's form (::ffff:a.b.c.d), too; port 0 of a bind is one that the
 * kernel chooses. Not a firewall: what comes in to a
 * port that may be bound is not looked at.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum policy_protocol { POLICY_TCP = 1, POLICY_UDP = 2, POLICY_ICMP = 4, POLICY_ANY = 7 };

/* An address of 16 bytes: those of IPv4 in IPv6's form. */
struct policy_place {
	unsigned char ip[16];
	uint16_t port;
};

struct policy_rule {
	bool allow;
	unsigned int protocols; /* POLICY_* */
	unsigned char ip[16];
	unsigned int bits; /* of ip that count */
	uint16_t first, last;
};

#define POLICY_RULES 256

struct policy {
	struct policy_rule rules[POLICY_RULES];
	size_t n;
};

/* One rule more. INVALID, EXHAUSTED: it says what is wrong with it. */
[[nodiscard]] int policy_add(struct policy *p, const char *text, struct err *e);
bool policy_allows(const struct policy *p, enum policy_protocol protocol,
		   const struct policy_place *to);
/* 127.0.0.0/8, ::1: the sandbox has its own. */
bool policy_is_loopback(const struct policy_place *p);
/* 0.0.0.0, ::. */
bool policy_is_any(const struct policy_place *p);
