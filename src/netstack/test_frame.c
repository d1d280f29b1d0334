/* SPDX-License-Identifier: Apache-2.0 */
#include "netstack/frame.h"

#include <string.h>

#include "base/test.h"

static const struct frame_host host = {
	.mac = { 2, 0, 0, 0, 0, 1 }, .has_ip = true, .ip = 0x0a4d0002, .mask = 0xffffff00
};

struct packet {
	unsigned char b[64];
};

/* A SYN of 10.77.0.1 to port 80 of the host. */
static struct packet syn(void)
{
	static const unsigned char bytes[] = {
		2,  0,	0, 0,  0,  1,  2, 0, 0,	 0, 0, 9, 8,  0, /* Ethernet */
		69, 0,	0, 40, 0,  1,  0, 0, 64, 6, 0, 0,	 /* IPv4 */
		10, 77, 0, 1,  10, 77, 0, 2,			 /* from, to */
		4,  0,	0, 80, 0,  0,  0, 9, 0,	 0, 0, 0, 80, 2, 0, 0, 0, 0, 0, 0,
	};
	struct packet p = {};

	memcpy(p.b, bytes, sizeof(bytes));
	return p;
}

#define LEN 54u

static enum frame_kind look(const struct packet *p, size_t n)
{
	uint16_t port = 0;
	enum frame_kind k = frame_look(&host, p->b, n, &port);

	CHECK(port == (k == FRAME_BEGINS ? 80 : 0));
	return k;
}

/* With that byte in its place. */
static enum frame_kind with(size_t at, unsigned int byte)
{
	struct packet p = syn();

	p.b[at] = (unsigned char) byte;
	return look(&p, LEN);
}

static void test_ip(void)
{
	struct packet p = syn();

	CHECK(look(&p, LEN) == FRAME_BEGINS);
	CHECK(with(47, 18) == FRAME_GOOD);    /* a SYN's answer */
	CHECK(with(47, 16) == FRAME_GOOD);    /* an ACK */
	CHECK(with(5, 2) == FRAME_REFUSED);   /* another's */
	CHECK(with(6, 3) == FRAME_REFUSED);   /* from a group */
	CHECK(with(11, 1) == FRAME_REFUSED);  /* our own */
	CHECK(with(13, 6) == FRAME_REFUSED);  /* an ARP too short */
	CHECK(with(14, 70) == FRAME_REFUSED); /* options */
	CHECK(with(14, 101) == FRAME_REFUSED);
	CHECK(with(17, 41) == FRAME_REFUSED); /* longer than it is */
	CHECK(with(17, 19) == FRAME_REFUSED);
	CHECK(with(17, 30) == FRAME_REFUSED); /* TCP's head is not whole */
	CHECK(with(20, 0x20) == FRAME_REFUSED && with(21, 1) == FRAME_REFUSED); /* in parts */
	CHECK(with(23, 1) == FRAME_REFUSED && with(23, 132) == FRAME_REFUSED);
	CHECK(with(23, 17) == FRAME_GOOD);
	CHECK(with(26, 127) == FRAME_REFUSED && with(26, 0) == FRAME_REFUSED);
	CHECK(with(26, 224) == FRAME_REFUSED && with(26, 240) == FRAME_REFUSED);
	CHECK(with(29, 2) == FRAME_REFUSED && with(29, 255) == FRAME_REFUSED);
	CHECK(with(29, 0) == FRAME_REFUSED);
	CHECK(with(30, 127) == FRAME_REFUSED && with(33, 3) == FRAME_REFUSED);
	CHECK(with(33, 255) == FRAME_REFUSED);
	for (size_t n = 0; n < LEN; n++)
		CHECK(look(&p, n) == FRAME_REFUSED);
	memset(p.b, 0xff, 6);
	CHECK(look(&p, LEN) == FRAME_REFUSED); /* to all, and to one */
	p.b[33] = 255;
	CHECK(look(&p, LEN) == FRAME_REFUSED);
	p.b[23] = 17;
	CHECK(look(&p, LEN) == FRAME_GOOD);
}

static void test_echo(void)
{
	struct packet p = syn();

	p.b[23] = 1;
	p.b[34] = 8;
	CHECK(look(&p, LEN) == FRAME_GOOD);
	p.b[34] = 13;
	CHECK(look(&p, LEN) == FRAME_REFUSED);
}

static void test_arp(void)
{
	struct packet p = syn();

	p.b[13] = 6;
	memset(p.b + 14, 0, 28);
	memcpy(p.b + 28, (unsigned char[]){ 10, 77, 0, 1 }, 4);
	CHECK(look(&p, 42) == FRAME_GOOD && look(&p, 41) == FRAME_REFUSED);
	p.b[31] = 2; /* ours */
	CHECK(look(&p, 42) == FRAME_REFUSED);
	p.b[31] = 255;
	CHECK(look(&p, 42) == FRAME_REFUSED);
	memset(p.b + 28, 0, 4); /* who looks whether an address is free */
	CHECK(look(&p, 42) == FRAME_GOOD);
	p.b[22] = 1;
	CHECK(look(&p, 42) == FRAME_REFUSED);
}

static void test_checksum(void)
{
	/* A datagram of one byte, odd: its pseudo header's sum stands there. */
	unsigned char b[] = { 0, 0, 0, 53, 0, 54, 0, 9, 0x12, 0x34, 'x' }, same[sizeof(b)];

	memcpy(same, b, sizeof(b));
	CHECK(frame_complete(b, sizeof(b), 2, 6));
	/* 0035 + 0036 + 0009 + 1234 + 7800 = 8aa8 */
	CHECK(b[8] == 0x75 && b[9] == 0x57 && b[10] == 'x');
	CHECK(!frame_complete(same, sizeof(same), 2, 8));
	CHECK(!frame_complete(same, sizeof(same), 11, 0));
	CHECK(!frame_complete(same, sizeof(same), SIZE_MAX, 6));
	CHECK(!frame_complete(same, sizeof(same), 2, SIZE_MAX));
	memset(b, 0, sizeof(b));
	memset(b + 8, 0xff, 2);
	CHECK(frame_complete(b, sizeof(b), 2, 6) && b[8] == 0xff && b[9] == 0xff);
}

static void test_broadcasts(void)
{
	struct frame_host h = host;

	CHECK(frame_ip_broadcast(&h, UINT32_MAX) && frame_ip_broadcast(&h, 0x0a4d00ff));
	CHECK(!frame_ip_broadcast(&h, 0x0a4d01ff) && !frame_ip_broadcast(&h, h.ip));
	h.mask = UINT32_MAX;
	CHECK(!frame_ip_broadcast(&h, h.ip) && !frame_ip_broadcast(&h, h.ip + 1));
	h.mask = UINT32_MAX << 1;
	CHECK(!frame_ip_broadcast(&h, h.ip + 1));
	CHECK(frame_ip_odd(0x7f000001) && frame_ip_odd(1) && frame_ip_odd(0xe0000001));
	CHECK(frame_ip_odd(0xf0000000) && !frame_ip_odd(0xdf000001) && !frame_ip_odd(0x08080808));
}

int main(void)
{
	test_ip();
	test_echo();
	test_arp();
	test_checksum();
	test_broadcasts();
	return test_done();
}
