/* SPDX-License-Identifier: Apache-2.0 */
/* Trains of UDP datagrams, taken apart; and what is none. */
#include "base/test.h"
#include "virtio/train.h"

static struct train t;

static const uint8_t ethernet[] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2 };
static const uint8_t ipv4[] = { 0x08, 0x00, 0x45, 0,  0xff, 0xff, 0xff, 0xff, 0x40, 0, 64,
				17,   0xaa, 0xaa, 10, 0,    0,	  1,	10,   0,    0, 2 };
static const uint8_t ipv6[] = { 0x86, 0xdd, 0x60, 0, 0, 0, 0xff, 0xff, 17, 64, 0xfd, 0, 0,    0,
				0,    0,    0,	  0, 0, 0, 0,	 0,    0,  0,  0,    1, 0xfd, 0,
				0,    0,    0,	  0, 0, 0, 0,	 0,    0,  0,  0,    0, 0,    2 };
static const uint8_t udp[] = { 0x12, 0x34, 0, 53, 0xff, 0xff, 0xbe, 0xef };

/* A frame of these headers and so many bytes of data; its header for the driver. */
static struct virtio_net_hdr_v1 make(const uint8_t *ip, size_t ip_n, bool tagged, size_t data,
				     size_t *ret_n)
{
	static const uint8_t tag[] = { 0x81, 0, 0, 7 };
	size_t n = 0;

	memcpy(t.frame, ethernet, sizeof(ethernet));
	n += sizeof(ethernet);
	if (tagged) {
		memcpy(t.frame + n, tag, sizeof(tag));
		n += sizeof(tag);
	}
	memcpy(t.frame + n, ip, ip_n);
	n += ip_n;
	memcpy(t.frame + n, udp, sizeof(udp));
	for (size_t i = 0; i < data; i++)
		t.frame[n + sizeof(udp) + i] = (uint8_t) (i * 3);
	*ret_n = n + sizeof(udp) + data;
	return (struct virtio_net_hdr_v1){ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
					   .gso_type = TRAIN_GSO_UDP_L4,
					   .gso_size = 1000,
					   .csum_start = (uint16_t) n,
					   .csum_offset = 6 };
}

static uint32_t total(const uint8_t *p, size_t n, uint32_t sum)
{
	for (size_t i = 0; i < n; i++)
		sum += i % 2 ? p[i] : (uint32_t) p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static unsigned get16(const uint8_t *p)
{
	return (unsigned) (p[0] << 8 | p[1]);
}

static void check_one(const struct virtio_net_hdr_v1 *h, const uint8_t *head, size_t head_n,
		      size_t n, unsigned which, bool v6, size_t from)
{
	size_t l4 = head_n - 8, ip_at = l4 - (v6 ? 40 : 20);
	const uint8_t *ip = head + ip_at;
	uint32_t pseudo;

	CHECK(h->gso_type == VIRTIO_NET_HDR_GSO_NONE && h->gso_size == 0);
	CHECK(h->flags == VIRTIO_NET_HDR_F_NEEDS_CSUM && h->csum_start == l4);
	CHECK(get16(head + l4) == 0x1234 && get16(head + l4 + 4) == 8 + n);
	if (v6) {
		CHECK(get16(ip + 4) == 8 + n);
		pseudo = total(ip + 8, 32, (uint32_t) (17 + 8 + n));
	} else {
		CHECK(get16(ip + 2) == 28 + n && total(ip, 20, 0) == 0xffff);
		CHECK(get16(ip + 4) == ((0xffff + which) & 0xffff));
		pseudo = total(ip + 12, 8, (uint32_t) (17 + 8 + n));
	}
	CHECK(get16(head + l4 + 6) == pseudo);
	CHECK(from == which * 1000);
}

static void test_trains(const uint8_t *ip, size_t ip_n, bool tagged, bool v6, size_t data)
{
	uint8_t head[TRAIN_HEAD_MAX];
	struct virtio_net_hdr_v1 h, given;
	const uint8_t *bytes;
	size_t n, total_n, head_n, seen = 0;
	unsigned count = 0;

	given = make(ip, ip_n, tagged, data, &total_n);
	CHECK(train_begin(&t, &given, total_n));
	while ((head_n = train_next(&t, &h, head, &bytes, &n)) > 0) {
		size_t from = (size_t) (bytes - t.frame) - head_n;

		CHECK(n == (data - seen < 1000 ? data - seen : 1000));
		CHECK(head_n == 12 + (tagged ? 4 : 0) + ip_n + 8);
		check_one(&h, head, head_n, n, count++, v6, from);
		seen += n;
	}
	CHECK(seen == data && count == (data + 999) / 1000 && t.n == 0);
	CHECK(train_next(&t, &h, head, &bytes, &n) == 0);
}

static void test_refused(void)
{
	struct virtio_net_hdr_v1 good, h;
	size_t n;

	good = make(ipv4, sizeof(ipv4), false, 3000, &n);
	CHECK(train_begin(&t, &good, n));
	h = good;
	h.flags = 0;
	CHECK(!train_begin(&t, &h, n) && t.n == 0);
	h = good;
	h.gso_size = 0;
	CHECK(!train_begin(&t, &h, n));
	h = good;
	h.csum_offset = 16;
	CHECK(!train_begin(&t, &h, n));
	for (unsigned start = 0; start < 400; start++) {
		h = good;
		h.csum_start = (uint16_t) start;
		CHECK(train_begin(&t, &h, n) == (start == good.csum_start));
	}
	h = good;
	h.csum_start = UINT16_MAX;
	CHECK(!train_begin(&t, &h, n));
	for (size_t cut = 0; cut <= good.csum_start + 8u; cut++)
		CHECK(!train_begin(&t, &good, cut));
	t.frame[23] = 6; /* TCP */
	CHECK(!train_begin(&t, &good, n));
	t.frame[23] = 17;
	t.frame[12] = 0x86; /* not IPv4 */
	CHECK(!train_begin(&t, &good, n));
}

int main(void)
{
	test_trains(ipv4, sizeof(ipv4), false, false, 2500);
	test_trains(ipv4, sizeof(ipv4), true, false, 3000);
	test_trains(ipv4, sizeof(ipv4), false, false, 1);
	test_trains(ipv6, sizeof(ipv6), false, true, 60001);
	test_trains(ipv6, sizeof(ipv6), true, true, 1001);
	test_refused();
	return test_done();
}
