/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/train.h"

#include <string.h>

#define TYPE_AT	  12 /* of an Ethernet frame; a VLAN's tag is 4 bytes before it */
#define TYPE_VLAN 0x8100
#define TYPE_QINQ 0x88a8
#define TYPE_IPV4 0x0800
#define TYPE_IPV6 0x86dd
#define PROTO_UDP 17
#define UDP_HEAD  8
#define IPV4_HEAD 20
#define IPV6_HEAD 40

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t) (p[0] << 8 | p[1]);
}

static void put16(uint8_t *p, size_t v)
{
	p[0] = (uint8_t) (v >> 8);
	p[1] = (uint8_t) v;
}

/* RFC 1071, not complemented; n is even. */
static uint32_t sum(uint32_t start, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i += 2)
		start += get16(p + i);
	while (start >> 16)
		start = (start & 0xffff) + (start >> 16);
	return start;
}

static bool is_v6(const struct train *t)
{
	return t->frame[t->ip] >> 4 == 6;
}

/* Whether the IP header is whole, and leads to UDP where the frame's header says. */
static bool ip_good(const struct train *t, uint16_t type)
{
	const uint8_t *ip = t->frame + t->ip;

	if (type == TYPE_IPV4)
		return t->udp >= t->ip + IPV4_HEAD && ip[0] >> 4 == 4 && ip[9] == PROTO_UDP &&
		       t->ip + (size_t) (ip[0] & 15) * 4 == t->udp;
	/* Headers between IPv6's own and UDP's are the same for each datagram. */
	return type == TYPE_IPV6 && t->udp >= t->ip + IPV6_HEAD && ip[0] >> 4 == 6 &&
	       (ip[6] == PROTO_UDP) == (t->udp == t->ip + IPV6_HEAD);
}

bool train_begin(struct train *t, const struct virtio_net_hdr_v1 *h, size_t n)
{
	size_t at = TYPE_AT;

	t->n = 0;
	t->udp = h->csum_start;
	if (!(h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) || h->csum_offset != 6 || !h->gso_size ||
	    n > sizeof(t->frame) || t->udp + UDP_HEAD >= n || t->udp + UDP_HEAD > TRAIN_HEAD_MAX)
		return false;
	while (at + 6 < t->udp &&
	       (get16(t->frame + at) == TYPE_VLAN || get16(t->frame + at) == TYPE_QINQ))
		at += 4;
	t->ip = at + 2;
	if (t->ip >= t->udp || !ip_good(t, get16(t->frame + at)))
		return false;
	t->next = t->udp + UDP_HEAD;
	t->size = h->gso_size;
	t->sent = 0;
	t->n = n;
	return true;
}

/* The IP header of a datagram of n bytes, UDP's header included; the sum of UDP's pseudo header. */
static uint32_t fill_ip(const struct train *t, uint8_t *ip, size_t n)
{
	size_t ip_n = t->udp - t->ip;

	if (is_v6(t)) {
		put16(ip + 4, ip_n - IPV6_HEAD + n);
		return sum(PROTO_UDP + (uint32_t) n, ip + 8, 32);
	}
	put16(ip + 2, ip_n + n);
	put16(ip + 4, (size_t) get16(ip + 4) + t->sent);
	put16(ip + 10, 0);
	put16(ip + 10, ~sum(0, ip, ip_n) & 0xffff);
	return sum(PROTO_UDP + (uint32_t) n, ip + 12, 8);
}

size_t train_next(struct train *t, struct virtio_net_hdr_v1 *ret_h,
		  uint8_t head[static TRAIN_HEAD_MAX], const uint8_t **ret_bytes, size_t *ret_n)
{
	size_t head_n = t->udp + UDP_HEAD, n = t->n - t->next;
	uint8_t *udp = head + t->udp;

	if (t->n == 0)
		return 0;
	if (n > t->size)
		n = t->size;
	memcpy(head, t->frame, head_n);
	put16(udp + 4, UDP_HEAD + n);
	put16(udp + 6, fill_ip(t, head + t->ip, UDP_HEAD + n));
	*ret_h = (struct virtio_net_hdr_v1){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = VIRTIO_NET_HDR_GSO_NONE,
		.csum_start = (uint16_t) t->udp,
		.csum_offset = 6,
	};
	*ret_bytes = t->frame + t->next;
	*ret_n = n;
	t->next += n;
	t->sent++;
	if (t->next == t->n)
		t->n = 0; /* all have gone */
	return head_n;
}
