/* SPDX-License-Identifier: Apache-2.0 */
#include "netstack/frame.h"

#include <string.h>

enum {
	TYPE_IP4 = 0x0800,
	TYPE_ARP = 0x0806,
	PROTOCOL_ICMP = 1,
	PROTOCOL_TCP = 6,
	PROTOCOL_UDP = 17,
	IP_HEAD = 20,
	ARP_LEN = 28,
	ICMP_ECHO = 8,
	FLAG_SYN = 2,
	FLAG_ACK = 16,
	TCP_HEAD = 20,
};

static uint32_t be16(const unsigned char *p)
{
	return (uint32_t) p[0] << 8 | p[1];
}

static uint32_t be32(const unsigned char *p)
{
	return be16(p) << 16 | be16(p + 2);
}

bool frame_ip_broadcast(const struct frame_host *h, uint32_t ip)
{
	/* A network of one or two hosts has none (RFC 3021). */
	return ip == UINT32_MAX ||
	       (h->has_ip && ~h->mask > 1 && (ip & h->mask) == (h->ip & h->mask) &&
		((ip | h->mask) == UINT32_MAX || (ip & ~h->mask) == 0));
}

bool frame_ip_odd(uint32_t ip)
{
	return ip >> 24 == 0 || ip >> 24 == 127 || ip >> 28 >= 14;
}

/* Who answers for our address is not us. */
static enum frame_kind look_arp(const struct frame_host *h, const unsigned char *p, size_t n)
{
	uint32_t from;

	if (n < ARP_LEN || !h->has_ip || p[8] & 1)
		return FRAME_REFUSED;
	from = be32(p + 14);
	return from == h->ip || frame_ip_broadcast(h, from) || (from && frame_ip_odd(from))
		       ? FRAME_REFUSED
		       : FRAME_GOOD;
}

static enum frame_kind look_tcp(const unsigned char *p, size_t n, uint16_t *ret_port)
{
	if (n < TCP_HEAD)
		return FRAME_REFUSED;
	if ((p[13] & (FLAG_SYN | FLAG_ACK)) != FLAG_SYN)
		return FRAME_GOOD;
	*ret_port = (uint16_t) be16(p + 2);
	return FRAME_BEGINS;
}

static enum frame_kind look_ip(const struct frame_host *h, const unsigned char *p, size_t n,
			       bool to_all, uint16_t *ret_port)
{
	uint32_t from, to, len;
	bool first, whole;

	if (n < IP_HEAD || p[0] != 0x45 || !h->has_ip)
		return FRAME_REFUSED;
	len = be16(p + 2);
	from = be32(p + 12);
	to = be32(p + 16);
	if (len < IP_HEAD || len > n || from == h->ip || frame_ip_odd(from) ||
	    frame_ip_broadcast(h, from))
		return FRAME_REFUSED;
	/* To all of its network come datagrams alone. */
	if (to == h->ip ? to_all : !frame_ip_broadcast(h, to) || p[9] != PROTOCOL_UDP)
		return FRAME_REFUSED;
	first = (be16(p + 6) & 0x1fff) == 0;
	whole = first && !(be16(p + 6) & 0x2000);
	switch (p[9]) {
	case PROTOCOL_UDP:
		return FRAME_GOOD;
	case PROTOCOL_ICMP:
		return !first || (len > IP_HEAD && p[IP_HEAD] == ICMP_ECHO) ? FRAME_GOOD
									    : FRAME_REFUSED;
	case PROTOCOL_TCP:
		/* Nobody's segments are so long that they come in parts: SYNs could hide in them.
		 */
		return whole ? look_tcp(p + IP_HEAD, len - IP_HEAD, ret_port) : FRAME_REFUSED;
	default:
		return FRAME_REFUSED;
	}
}

enum frame_kind frame_look(const struct frame_host *h, const unsigned char *frame, size_t n,
			   uint16_t *ret_port)
{
	static const uint8_t all[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	bool to_all;

	if (n < FRAME_HEAD || n > FRAME_MOST)
		return FRAME_REFUSED;
	to_all = memcmp(frame, all, sizeof(all)) == 0;
	if ((!to_all && memcmp(frame, h->mac, sizeof(h->mac)) != 0) || frame[6] & 1 ||
	    memcmp(frame + 6, h->mac, sizeof(h->mac)) == 0)
		return FRAME_REFUSED;
	switch (be16(frame + 12)) {
	case TYPE_ARP:
		return look_arp(h, frame + FRAME_HEAD, n - FRAME_HEAD);
	case TYPE_IP4:
		return look_ip(h, frame + FRAME_HEAD, n - FRAME_HEAD, to_all, ret_port);
	default:
		return FRAME_REFUSED;
	}
}

bool frame_complete(unsigned char *frame, size_t n, size_t start, size_t at)
{
	uint64_t sum = 0;
	uint32_t folded;

	if (n > FRAME_MOST || start >= n || at > n - start || n - start - at < 2)
		return false;
	/* What stands in its place is the sum of the pseudo header (virtio 1.2, 5.1.6.2). */
	for (size_t i = start; i + 1 < n; i += 2)
		sum += be16(frame + i);
	if ((n - start) % 2)
		sum += (uint64_t) frame[n - 1] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	folded = ~(uint32_t) sum & 0xffff;
	if (folded == 0)
		folded = 0xffff; /* RFC 768: 0 says that there is none; of TCP it is the same */
	frame[start + at] = (unsigned char) (folded >> 8);
	frame[start + at + 1] = (unsigned char) folded;
	return true;
}
