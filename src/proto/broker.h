/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a sandbox asks of atoll-broker, which alone makes, binds and connects sockets of a network
 * namespace: over one seqpacket socket, one request a message and one reply to each, in order. A
 * socket has a number that the asker chose in OPEN or ACCEPT. Data moves on the descriptors that
 * are given, but for datagrams with an address, which the broker sends (SEND).
 *
 *	OPEN number, domain, type, protocol	a descriptor, non-blocking
 *	CLOSE number				never answered
 *	BIND address				local
 *	CONNECT address				local; -EINPROGRESS. AF_UNSPEC: to nobody
 *	LISTEN backlog
 *	ACCEPT number of the new one		a descriptor, local, peer; -EAGAIN
 *	SEND address, data, from, hops, class	how many bytes
 *	SHUTDOWN how
 *	GET level, name, room			value
 *	SET level, name, quiet, value		never answered where quiet is not 0
 *	ROUTES kind, family, from		the answers of rtnetlink to a dump of that kind
 *(RTM_GET*), as they are, from that byte on; the length of all
 *
 * atoll-netstack serves the same requests but gives one end of a pair of unix sockets, which cannot
 * tell what a socket of the host's tells. So it says, unasked, what a socket has become: a reply
 * with the tag BROKER_STATE, the socket's number as the result and, as data, le32 the tag of its
 * OPEN or ACCEPT (numbers come again) and le32 a state: BROKER_CONNECTED, BROKER_PENDING (one can
 * be accepted) and, from bit 8 on, an errno that is to be told once. A datagram that it received
 * begins with BROKER_DATAGRAM_BYTES: whose it is (le32 the length, then the address, of the
 * socket's family), to which address of IPv4 (4 bytes), its time to live and its type of service.
 *
 * Errors are those of the calls; -EPERM is the policy's. Both sides refuse what they do not know:
 * the broker ends then.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define BROKER_ADDRESS 28u    /* bytes of a struct sockaddr_in6, the longest */
#define BROKER_DATA    65536u /* of one message, at most */
#define BROKER_SOCKETS 65536u /* numbers are below it */

enum broker_type {
	BROKER_OPEN = 1,
	BROKER_CLOSE,
	BROKER_BIND,
	BROKER_CONNECT,
	BROKER_LISTEN,
	BROKER_ACCEPT,
	BROKER_SEND,
	BROKER_SHUTDOWN,
	BROKER_GET,
	BROKER_SET,
	BROKER_ROUTES,
};

struct broker_address {
	uint32_t len; /* 0: none; else the first two bytes are its family */
	unsigned char bytes[BROKER_ADDRESS];
};

struct broker_request {
	enum broker_type type;
	uint32_t tag; /* the reply's */
	uint32_t number;
	int32_t a, b, c; /* in the order in which they stand above; SEND: flags, hops, class */
	struct broker_address address, from;
};

struct broker_reply {
	uint32_t tag;
	int32_t result; /* or -errno */
	struct broker_address local, peer;
};

#define BROKER_STATE	      0u /* a tag that no request has */
#define BROKER_STATE_BYTES    8u /* of its data */
#define BROKER_CONNECTED      1u
#define BROKER_PENDING	      2u
#define BROKER_ERROR_SHIFT    8
#define BROKER_DATAGRAM_BYTES 40u

/* A message is one of these, then its data. */
#define BROKER_REQUEST_BYTES 88u
#define BROKER_REPLY_BYTES   72u

void broker_request_put(const struct broker_request *q,
			unsigned char to[static BROKER_REQUEST_BYTES]);
void broker_reply_put(const struct broker_reply *a, unsigned char to[static BROKER_REPLY_BYTES]);
/* Of a message of n bytes; what follows is data. 0, -EBADMSG. */
[[nodiscard]] int broker_request_get(const unsigned char *from, size_t n,
				     struct broker_request *ret_q);
[[nodiscard]] int broker_reply_get(const unsigned char *from, size_t n, struct broker_reply *ret_a);
