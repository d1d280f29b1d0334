/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The TCP/IP stack: lwIP with one interface, whose frames come and go over a descriptor. One
 * thread does all: it calls lwIP's raw functions, of which none waits. What Debian's library lacks
 * is here: initial sequence numbers that nobody guesses, routes, a bound on connections that are
 * half open. Once per process.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"
#include "netstack/frame.h"

#define STACK_ROUTES	16
#define STACK_HALF_OPEN 256u  /* connections that others began, and whose ACK has not come */
#define STACK_OVER	4096u /* connections that are over, and wait for stray segments */

struct stack_route {
	uint32_t to, mask, gateway; /* of the host's byte order; no gateway: on the link itself */
};

struct stack_interface {
	char name[16];
	struct frame_host host; /* without an address: it reaches nobody */
	uint32_t mtu;
	struct stack_route routes[STACK_ROUTES]; /* the longest that fits */
	size_t routes_n;
};

/* Who sends a frame; NULL: it goes nowhere. */
typedef void (*stack_out)(const void *frame, size_t n);
/* Whether who listens at that port has room for one connection more. */
typedef bool (*stack_room)(uint16_t port);

/* INTERNAL: there is no randomness; it is made once. */
[[nodiscard]] int stack_begin(const struct stack_interface *i, stack_out out, stack_room room,
			      struct err *e);
const struct stack_interface *stack_interface(void);
/* One that came. The bytes are not kept. */
void stack_take(const unsigned char *frame, size_t n);
/* What is due; then when to call it again. */
nsec_t stack_tick(void);
/* Whether there is a way to it: an address of the network, or one with a route. */
bool stack_reaches(uint32_t ip);
/* A port for who wishes none; not looked at whether it is taken. */
uint16_t stack_port(void);
