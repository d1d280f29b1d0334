/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames of an Ethernet before a TCP/IP stack sees them: what is not for this host, or says what no
 * honest sender says, goes no further. Bytes alone: nothing here keeps anything.
 *
 * Let through: ARP, and IPv4 without options that carries ICMP's echo requests, TCP or UDP.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_HEAD 14u
#define FRAME_MOST (FRAME_HEAD + 65535u) /* a packet that was not cut into segments yet */

struct frame_host {
	uint8_t mac[6];
	bool has_ip;
	uint32_t ip, mask; /* of the host's byte order */
};

enum frame_kind {
	FRAME_REFUSED,
	FRAME_GOOD,
	FRAME_BEGINS, /* a SYN: somebody wants to connect */
};

/* *ret_port: of FRAME_BEGINS, where to. */
enum frame_kind frame_look(const struct frame_host *h, const unsigned char *frame, size_t n,
			   uint16_t *ret_port);
/*
 * Completes a checksum that the sender left to its network card: from `start` on, at `at` behind
 * that. False: it is beyond the frame.
 */
bool frame_complete(unsigned char *frame, size_t n, size_t start, size_t at);
/* That no host of a network is. */
bool frame_ip_broadcast(const struct frame_host *h, uint32_t ip);
/* One that no single host has: of multicast, of nobody, of loopback, of a class that is not used.
 */
bool frame_ip_odd(uint32_t ip);
