/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cards on stream sockets, whose other end we are; and in a network namespace of the test's own
 * one on a tap and one on a packet socket at the same interface, which hear each other.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/test.h"
#include "virtio/net.h"
#include "virtio/test_guest.h"

#define MERGE  (UINT64_C(1) << VIRTIO_NET_F_MRG_RXBUF)
#define CSUM   (UINT64_C(1) << VIRTIO_NET_F_GUEST_CSUM)
#define TSO    (UINT64_C(1) << VIRTIO_NET_F_GUEST_TSO4)
#define HEADER 12u
#define TEST_MAC                                                                                   \
	{                                                                                          \
		2, 0, 0, 0, 0, 1                                                                   \
	}

enum { RX, TX };

/* One guest with one card. */
struct side {
	struct guest guest;
	struct guest_queue v[VIRTIO_QUEUES_MAX];
	struct virtio_device *card;
};

static struct loop loop;
static struct side a, b;
static int peer;

static void start(struct side *s, enum link_kind kind, int fd, uint64_t features, uint16_t size)
{
	struct net_config config = { .kind = kind, .fd = fd, .mac = TEST_MAC, .mtu = 1400 };
	struct err e;

	guest_init(&s->guest);
	s->card = net_new(&loop, &s->guest.memory, &config, &e);
	if (!s->card) {
		(void) fprintf(stderr, "%s\n", e.msg);
		abort();
	}
	guest_drive(&s->guest, s->card, features, size, s->v);
}

static void stop(struct side *s)
{
	s->card->ops->free(s->card);
	guest_fini(&s->guest);
	CHECK(!loop.timers);
}

static void start_stream(uint64_t features, uint16_t size)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		abort();
	peer = fds[1];
	start(&a, LINK_STREAM, fds[0], features, size);
}

static void stop_stream(void)
{
	stop(&a);
	close_fd(&peer);
}

static void kick(struct side *s, unsigned queue)
{
	s->card->ops->kick(s->card, queue);
}

static uint8_t *at(struct side *s, size_t offset)
{
	return guest_at(&s->guest, guest_gpa(&s->guest, offset));
}

/* The guest sends: a header, and n bytes that begin with `first` and count up. */
static void send_frame(struct side *s, const struct virtio_net_hdr_v1 *h, uint8_t first, uint32_t n)
{
	size_t where = 1u << 20;

	memcpy(at(s, where), h, HEADER);
	for (uint32_t i = 0; i < n; i++)
		at(s, where + HEADER)[i] = (uint8_t) (first + i % 251);
	(void) guest_request(&s->v[TX], guest_gpa(&s->guest, where), HEADER + n, 0, 0);
	kick(s, TX);
}

/* The guest has room for frames: `count` buffers of n bytes, 4 KiB apart or more. */
static void offer(struct side *s, unsigned count, uint32_t n)
{
	static size_t next;

	while (count--) {
		next = (next + (n > 4096 ? 2u << 16 : 4096)) % (3u << 20);
		memset(at(s, next), 0xee, n);
		(void) guest_request(&s->v[RX], 0, 0, guest_gpa(&s->guest, next), n);
	}
}

/* What was received: all buffers of one frame, in one piece; 0: none. */
static size_t take_frame(struct side *s, struct virtio_net_hdr_v1 *ret_h, uint8_t *ret_bytes)
{
	size_t n = 0, buffers = 1;
	uint16_t head;
	uint32_t len;

	for (size_t i = 0; i < buffers; i++) {
		if (!guest_reap(&s->v[RX], &head, &len)) {
			CHECK(i == 0); /* all of them, or none */
			return 0;
		}
		memcpy(ret_bytes + n, guest_at(&s->guest, s->v[RX].descs[head].addr), len);
		n += len;
		if (i == 0) {
			CHECK(n >= HEADER);
			memcpy(ret_h, ret_bytes, HEADER);
			buffers = ret_h->num_buffers;
			CHECK(buffers > 0);
		}
	}
	memmove(ret_bytes, ret_bytes + HEADER, n - HEADER);
	return n - HEADER;
}

static bool counts_from(const uint8_t *bytes, uint8_t first, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (bytes[i] != (uint8_t) (first + i % 251))
			return false;
	return true;
}

/* The peer of a stream says a frame. */
static void say_frame(uint8_t first, uint32_t n)
{
	static uint8_t bytes[4 + LINK_FRAME_MAX];
	uint32_t length = htonl(n);

	memcpy(bytes, &length, 4);
	for (uint32_t i = 0; i < n; i++)
		bytes[4 + i] = (uint8_t) (first + i % 251);
	CHECK(send(peer, bytes, 4 + n, MSG_DONTWAIT) == (ssize_t) (4 + n));
}

static struct virtio_net_hdr_v1 header;
static uint8_t bytes[2 * LINK_FRAME_MAX];

static void test_stream(void)
{
	uint16_t head;
	uint32_t len, got;

	start_stream(MERGE, 64);
	CHECK(!(a.card->ops->features(a.card) & (1u << VIRTIO_NET_F_CSUM)));
	a.card->ops->config_read(a.card, 0, bytes, 12);
	CHECK(bytes[0] == 2 && bytes[5] == 1 && bytes[6] == VIRTIO_NET_S_LINK_UP);
	CHECK(bytes[10] == (1400 & 0xff) && bytes[11] == 1400 >> 8);

	send_frame(&a, &header, 7, 100);
	CHECK(guest_reap(&a.v[TX], &head, &len) && len == 0);
	CHECK(recv(peer, bytes, sizeof(bytes), MSG_DONTWAIT) == 104);
	memcpy(&got, bytes, 4);
	CHECK(ntohl(got) == 100 && counts_from(bytes + 4, 7, 100));
	/* Those that come together leave together. */
	for (uint32_t i = 0; i < 40; i++)
		(void) guest_request(&a.v[TX], guest_gpa(&a.guest, 1u << 20), HEADER + 60 + i, 0,
				     0);
	kick(&a, TX);
	for (uint32_t i = 0; i < 40; i++)
		CHECK(guest_reap(&a.v[TX], &head, &len));
	CHECK(recv(peer, bytes, sizeof(bytes), MSG_DONTWAIT) == 40 * 64 + 39 * 20);
	CHECK(bytes[3] == 60 && bytes[64 + 3] == 61 && bytes[64 + 65 + 3] == 62);
	/* What is no frame is given back, and not sent. */
	send_frame(&a, &header, 7, 13);
	CHECK(guest_reap(&a.v[TX], &head, &len) && a.card->stats.errors == 1);
	CHECK(recv(peer, bytes, sizeof(bytes), MSG_DONTWAIT) < 0 && errno == EAGAIN);

	/* Frames come when there is room, in order, and none is lost before. */
	say_frame(1, 60);
	say_frame(2, 1514);
	kick(&a, RX);
	CHECK(take_frame(&a, &header, bytes) == 0);
	offer(&a, 1, 1600);
	kick(&a, RX);
	CHECK(take_frame(&a, &header, bytes) == 60 && counts_from(bytes, 1, 60));
	CHECK(header.flags == 0 && header.gso_type == 0 && header.num_buffers == 1);
	CHECK(take_frame(&a, &header, bytes) == 0);
	offer(&a, 9, 1600);
	kick(&a, RX);
	CHECK(take_frame(&a, &header, bytes) == 1514 && counts_from(bytes, 2, 1514));
	say_frame(3, 14);
	CHECK(loop_once(&loop) == 0);
	CHECK(take_frame(&a, &header, bytes) == 14 && counts_from(bytes, 3, 14));
	CHECK(a.card->stats.reads == 3 && a.card->stats.read_bytes == 60 + 1514 + 14);
	CHECK(a.card->stats.writes == 41 && a.card->stats.write_bytes == 100 + 40 * 60 + 39 * 20);

	/* A frame over several buffers; one that must wait for them; the longest there is. */
	say_frame(4, 10000);
	CHECK(loop_once(&loop) == 0);
	CHECK(take_frame(&a, &header, bytes) == 10000 && counts_from(bytes, 4, 10000));
	CHECK(header.num_buffers == 7);
	offer(&a, 1, 1600);
	kick(&a, RX);
	say_frame(5, 20000);
	CHECK(loop_once(&loop) == 0);
	CHECK(take_frame(&a, &header, bytes) == 0);
	offer(&a, 10, 1600);
	kick(&a, RX);
	CHECK(take_frame(&a, &header, bytes) == 0);
	offer(&a, 10, 1600);
	kick(&a, RX);
	CHECK(take_frame(&a, &header, bytes) == 20000 && counts_from(bytes, 5, 20000));
	offer(&a, 50, 1600);
	kick(&a, RX);
	say_frame(6, LINK_FRAME_MAX);
	CHECK(loop_once(&loop) == 0);
	CHECK(take_frame(&a, &header, bytes) == LINK_FRAME_MAX);
	CHECK(counts_from(bytes, 6, LINK_FRAME_MAX));
	CHECK(a.guest.resets_needed == 0 && a.card->stats.errors == 1);
	stop_stream();
}

/* A driver without merged buffers: what does not fit into one is lost, the next is not. */
static void test_unmerged(void)
{
	start_stream(0, 64);
	offer(&a, 3, 1526);
	kick(&a, RX);
	say_frame(1, 1515);
	say_frame(2, 1514);
	CHECK(loop_once(&loop) == 0);
	CHECK(take_frame(&a, &header, bytes) == 1514 && counts_from(bytes, 2, 1514));
	CHECK(header.num_buffers == 1);
	CHECK(take_frame(&a, &header, bytes) == 0 && a.card->stats.errors == 1);
	/* A buffer without room for a header is nonsense. */
	offer(&a, 1, 11);
	kick(&a, RX);
	CHECK(a.guest.resets_needed == 1);
	stop_stream();
}

/* A peer that does not read holds transmission up, and gets every byte in the end. */
static void test_slow_peer(uint32_t length, unsigned count)
{
	size_t reaped = 0, frames = 0, n = 0, wrong = 0;
	uint16_t head;
	uint32_t len;

	start_stream(MERGE, 64);
	for (unsigned i = 0; i < count; i++)
		send_frame(&a, &header, 9, length);
	while (guest_reap(&a.v[TX], &head, &len))
		reaped++;
	CHECK(reaped > 0 && reaped < count);
	/* What is promised in part is kept, whatever the guest writes there now. */
	memset(at(&a, (1u << 20) + HEADER + length / 2), 9, length / 2);
	while (frames < count) {
		ssize_t r = recv(peer, bytes + n, sizeof(bytes) - n, MSG_DONTWAIT);
		uint32_t said;

		if (r < 0 && errno == EAGAIN) {
			CHECK(loop_once(&loop) == 0);
			continue;
		}
		if (r <= 0)
			break;
		n += (size_t) r;
		while (n >= 4 + length) {
			memcpy(&said, bytes, 4);
			wrong += ntohl(said) != length;
			wrong += frames < reaped && !counts_from(bytes + 4, 9, length);
			frames++;
			n -= 4 + length;
			memmove(bytes, bytes + 4 + length, n);
		}
	}
	while (guest_reap(&a.v[TX], &head, &len))
		reaped++;
	CHECK(frames == count && wrong == 0 && n == 0 && reaped == count);
	CHECK(a.card->stats.errors == 0);
	/* Reset while it waits. */
	for (unsigned i = 0; i < count; i++)
		send_frame(&a, &header, 9, length);
	stop_stream();
}

/* Frames sent and received no faster than they may be. */
static void test_limits(void)
{
	struct rate_limit slow = { .ops = 50 }, none = {};
	static uint8_t got[65536];
	size_t n = 0, frames = 0;
	nsec_t begun = clock_mono();

	start_stream(0, 128);
	a.card->ops->limit(a.card, none, slow);
	for (int i = 0; i < 15; i++)
		send_frame(&a, &header, 1, 100);
	while (n < 15 * (4 + 100)) {
		ssize_t r = recv(peer, got, sizeof(got), MSG_DONTWAIT);

		if (r > 0) {
			n += (size_t) r;
			continue;
		}
		CHECK(n >= 5 * 104); /* a tenth of a second's */
		CHECK(loop_once(&loop) == 0);
	}
	CHECK(clock_mono() - begun >= NSEC_PER_SEC / 6);
	begun = clock_mono();
	a.card->ops->limit(a.card, slow, none);
	offer(&a, 64, 1600);
	kick(&a, RX);
	for (int i = 0; i < 15; i++)
		say_frame(1, 100);
	while (frames < 15) {
		CHECK(loop_once(&loop) == 0);
		while (take_frame(&a, &header, bytes) > 0)
			frames++;
	}
	CHECK(clock_mono() - begun >= NSEC_PER_SEC / 6);
	/* One that waits goes at once when there is no limit any more, and a reset ends the wait.
	 */
	for (int i = 0; i < 15; i++)
		say_frame(1, 100);
	while (!loop.timers)
		CHECK(loop_once(&loop) == 0);
	a.card->ops->limit(a.card, none, none);
	CHECK(!loop.timers);
	a.card->ops->limit(a.card, slow, slow);
	for (int i = 0; i < 15; i++)
		send_frame(&a, &header, 1, 100);
	CHECK(loop.timers != NULL);
	memset(&header, 0, sizeof(header));
	stop_stream();
}

static void test_end(void)
{
	uint16_t head, status = 9;
	uint32_t len, n = 0;

	start_stream(MERGE, 64);
	offer(&a, 4, 1600);
	kick(&a, RX);
	for (unsigned i = 0; i < 60; i++) /* some of it waits */
		send_frame(&a, &header, 9, 60000);
	close_fd(&peer);
	while (loop.timers || !a.guest.config_changes)
		CHECK(loop_once(&loop) == 0);
	a.card->ops->config_read(a.card, 6, &status, 2);
	CHECK(status == 0 && a.guest.config_changes == 1);
	while (guest_reap(&a.v[TX], &head, &len))
		n++;
	CHECK(n == 60);
	send_frame(&a, &header, 9, 60);
	CHECK(guest_reap(&a.v[TX], &head, &len));
	kick(&a, RX);
	CHECK(take_frame(&a, &header, bytes) == 0 && a.guest.resets_needed == 0);
	stop_stream();

	/* A peer that does not speak our language. */
	for (unsigned i = 0; i < 2; i++) {
		uint32_t length = htonl(i ? LINK_FRAME_MAX + 1 : 0);

		start_stream(MERGE, 64);
		offer(&a, 4, 1600);
		kick(&a, RX);
		a.guest.config_changes = 0;
		say_frame(1, 60);
		CHECK(send(peer, &length, 4, 0) == 4);
		CHECK(loop_once(&loop) == 0);
		CHECK(take_frame(&a, &header, bytes) == 60 && a.guest.config_changes == 1);
		stop_stream();
	}
}

/* Buffers that were taken and not used are there again for who goes on with the queue. */
static void test_reset(void)
{
	struct queue *q;
	uint16_t next;

	start_stream(MERGE, 64);
	q = &a.card->queues[RX];
	offer(&a, 20, 1600);
	kick(&a, RX);
	CHECK(q->next_avail == 20);
	next = q->next_avail;
	a.card->ops->reset(a.card);
	CHECK(q->next_avail == 0 && next == 20);
	stop_stream();
}

/* Buffers that the card held are there for it again after a snapshot. */
static void test_moved(void)
{
	struct err e;

	start_stream(MERGE, 64);
	offer(&a, 20, 1600);
	kick(&a, RX);
	CHECK(a.card->queues[RX].next_avail == 20);
	CHECK(guest_move(a.card, a.card, MERGE, SIZE_MAX, &e) == 0);
	CHECK(a.card->queues[RX].next_avail == 0);
	say_frame(7, 300);
	virtio_resume(a.card);
	CHECK(take_frame(&a, &header, bytes) == 300 && counts_from(bytes, 7, 300));
	CHECK(guest_move(a.card, a.card, MERGE, 8, &e) < 0 && !a.card->active);
	stop_stream();
}

static void test_refusals(void)
{
	static const uint8_t mac[6] = TEST_MAC;
	struct net_config config = { .kind = LINK_STREAM, .mtu = 67 };
	struct err e = {};

	memcpy(config.mac, mac, 6);
	config.fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	CHECK(!net_new(&loop, &a.guest.memory, &config, &e) && e.kind == ERR_INVALID);
	CHECK(fcntl(config.fd, F_GETFD) < 0);
	config.mtu = 0;
	for (int kind = LINK_TAP; kind <= LINK_STREAM; kind++) {
		config.fd = open("/dev/null", O_RDWR | O_CLOEXEC);
		config.kind = (enum link_kind) kind;
		e = (struct err){};
		CHECK(!net_new(&loop, &a.guest.memory, &config, &e) && e.kind == ERR_INVALID);
		CHECK(fcntl(config.fd, F_GETFD) < 0 && errno == EBADF);
	}
}

/* A tap device that is up, with a packet socket at its interface; false: not on this machine. */
static bool make_tap(int *ret_tap, int *ret_packet)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	struct sockaddr_ll where = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	int tap = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	int packet = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (tap < 0 || packet < 0) {
		(void) printf("no tap device or packet socket: %s\n", strerror(errno));
		close_fd(&tap);
		close_fd(&packet);
		return false;
	}
	memcpy(ifr.ifr_name, "tap0", 5);
	CHECK(ioctl(tap, TUNSETIFF, &ifr) == 0);
	CHECK(ioctl(packet, SIOCGIFINDEX, &ifr) == 0);
	where.sll_ifindex = ifr.ifr_ifindex;
	ifr.ifr_flags = IFF_UP | IFF_NOARP;
	CHECK(ioctl(packet, SIOCSIFFLAGS, &ifr) == 0);
	CHECK(bind(packet, (struct sockaddr *) &where, sizeof(where)) == 0);
	*ret_tap = tap;
	*ret_packet = packet;
	return true;
}

/* The next frame of the test's own protocol that comes to `s`; the host's stack says things, too.
 */
static size_t wait_frame(struct side *s)
{
	for (unsigned i = 0; i < 1000; i++) {
		size_t n = take_frame(s, &header, bytes);

		if (n >= 14 && (bytes[12] == 0x88 || bytes[0] == 0xaa))
			return n;
		if (n == 0 && loop_once(&loop) < 0)
			break;
	}
	return 0;
}

/* An Ethernet frame with an IPv4 TCP segment of so many bytes, its checksum left to do. */
static size_t tcp_frame(uint8_t *f, size_t payload)
{
	static const uint8_t head[] = { 0xaa, 0, 0,    0,    0,	   1,	 2,    0, 0,  0,
					0,    1, 0x08, 0x00, /* Ethernet */
					0x45, 0, 0,    0,    0,	   0,	 0x40, 0, 64, 6,
					0,    0, 10,   0,    0,	   1,	 10,   0, 0,  2, /* IPv4 */
					0x10, 0, 0x20, 0,    0,	   0,	 0,    1, 0,  0,
					0,    1, 0x50, 0x10, 0xff, 0xff, 0,    0, 0,  0 };
	size_t ip_n = 40 + payload;
	uint32_t sum = 0;

	memcpy(f, head, sizeof(head));
	f[16] = (uint8_t) (ip_n >> 8);
	f[17] = (uint8_t) ip_n;
	for (size_t i = 14; i < 34; i += 2)
		sum += (uint32_t) f[i] << 8 | f[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	f[24] = (uint8_t) (~sum >> 8);
	f[25] = (uint8_t) ~sum;
	/* The pseudo header's sum is where the checksum will be. */
	sum = 0x0a00 + 0x0001 + 0x0a00 + 0x0002 + 6 + 20 + (uint32_t) payload;
	sum = (sum & 0xffff) + (sum >> 16);
	f[50] = (uint8_t) (sum >> 8);
	f[51] = (uint8_t) sum;
	for (size_t i = 0; i < payload; i++)
		f[54 + i] = (uint8_t) i;
	return 54 + payload;
}

/* One's complement sum over the segment and its pseudo header: 0xffff when the checksum fits. */
static uint16_t tcp_sum(const uint8_t *f, size_t n)
{
	uint32_t sum = 6 + (uint32_t) (n - 34);

	for (size_t i = 26; i < n; i++)
		sum += i % 2 ? f[i] : (uint32_t) f[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t) sum;
}

static void send_tcp(struct side *s, size_t payload, bool segments)
{
	struct virtio_net_hdr_v1 h = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
				       .hdr_len = 54,
				       .csum_start = 34,
				       .csum_offset = 16 };
	size_t where = 1u << 20, n = tcp_frame(at(s, where + HEADER), payload);

	if (segments) {
		h.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
		h.gso_size = 1400;
	}
	memcpy(at(s, where), &h, HEADER);
	(void) guest_request(&s->v[TX], guest_gpa(&s->guest, where), (uint32_t) (HEADER + n), 0, 0);
	kick(s, TX);
}

/* A train of UDP datagrams as one frame, of 1000 bytes each. */
static void send_udp(struct side *s, size_t payload)
{
	static const uint8_t head[] = { 0xaa, 0, 0,  0, 0, 1, 2,    0,	  0,  0,  0, 1, 0x08, 0x00,
					0x45, 0, 0,  0, 0, 0, 0x40, 0,	  64, 17, 0, 0, 10,   0,
					0,    1, 10, 0, 0, 2, 0x12, 0x34, 0,  53, 0, 0, 0,    0 };
	struct virtio_net_hdr_v1 h = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
				       .gso_type = 5, /* UDP_L4 */
				       .gso_size = 1000,
				       .hdr_len = sizeof(head),
				       .csum_start = 34,
				       .csum_offset = 6 };
	size_t where = 1u << 20, n = sizeof(head) + payload;
	uint8_t *f = at(s, where + HEADER);
	uint32_t sum = 0;

	memcpy(at(s, where), &h, HEADER);
	memcpy(f, head, sizeof(head));
	f[16] = (uint8_t) ((n - 14) >> 8);
	f[17] = (uint8_t) (n - 14);
	for (size_t i = 14; i < 34; i += 2)
		sum += (uint32_t) f[i] << 8 | f[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	f[24] = (uint8_t) (~sum >> 8);
	f[25] = (uint8_t) ~sum;
	f[38] = (uint8_t) ((n - 34) >> 8);
	f[39] = (uint8_t) (n - 34);
	sum = 0x0a00 + 0x0001 + 0x0a00 + 0x0002 + 17 + (uint32_t) (n - 34);
	sum = (sum & 0xffff) + (sum >> 16);
	f[40] = (uint8_t) (sum >> 8);
	f[41] = (uint8_t) sum;
	for (size_t i = 0; i < payload; i++)
		f[sizeof(head) + i] = (uint8_t) (i % 251);
	(void) guest_request(&s->v[TX], guest_gpa(&s->guest, where), (uint32_t) (HEADER + n), 0, 0);
	kick(s, TX);
}

static uint16_t udp_sum(const uint8_t *f, size_t n)
{
	uint32_t sum = 17 + (uint32_t) (n - 34);

	for (size_t i = 26; i < n; i++)
		sum += i % 2 ? f[i] : (uint32_t) f[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t) sum;
}

/* A driver that takes datagrams one by one loses none of a train, however little room it gives. */
static void datagrams(struct side *from, struct side *to, bool finished)
{
	const size_t lengths[] = { 1000, 1000, 500 };
	uint64_t errors = to->card->stats.errors;
	size_t seen = 0;

	send_udp(from, 2500);
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		size_t n = wait_frame(to);

		if (n == 42 + 2500 || (n == 0 && i == 0)) {
			(void) printf("trains of UDP datagrams are not handed on here\n");
			return;
		}
		CHECK(n == 42 + lengths[i] && header.gso_type == VIRTIO_NET_HDR_GSO_NONE);
		CHECK(bytes[42] == seen % 251);
		CHECK(finished ? header.flags == 0 && udp_sum(bytes, n) == 0xffff
			       : header.flags == VIRTIO_NET_HDR_F_NEEDS_CSUM &&
					 header.csum_start == 34 && header.csum_offset == 6);
		seen += lengths[i];
	}
	CHECK(to->card->stats.errors == errors);
}

/* From one card to the other: a plain frame, a checksum left to do, 40 kB of segments. */
static void exchange(struct side *from, struct side *to)
{
	struct virtio_net_hdr_v1 plain = {};

	send_frame(from, &plain, 0x7c, 200); /* bytes 12 and 13 are 0x88 0x89: a type of its own */
	CHECK(wait_frame(to) == 200 && counts_from(bytes, 0x7c, 200));
	CHECK(header.gso_type == VIRTIO_NET_HDR_GSO_NONE);
	send_tcp(from, 1000, false);
	CHECK(wait_frame(to) == 1054 && header.flags == VIRTIO_NET_HDR_F_NEEDS_CSUM);
	CHECK(header.csum_start == 34 && header.csum_offset == 16);
	send_tcp(from, 40000, true);
	CHECK(wait_frame(to) == 40054 && header.gso_type == VIRTIO_NET_HDR_GSO_TCPV4);
	CHECK(header.gso_size == 1400 && header.num_buffers > 1 &&
	      bytes[54 + 39999] == 39999 % 256);
	CHECK(from->card->stats.errors == 0 && to->card->stats.errors == 0);
}

static void test_tap_and_packet(void)
{
	int tap, packet;

	if (!make_tap(&tap, &packet))
		return;
	start(&a, LINK_TAP, tap, MERGE | CSUM | TSO, 256);
	start(&b, LINK_PACKET, packet, MERGE | CSUM | TSO, 256);
	CHECK(a.card->ops->features(a.card) & (1u << VIRTIO_NET_F_HOST_TSO4));
	offer(&a, 200, 1600);
	offer(&b, 200, 1600);
	kick(&a, RX);
	kick(&b, RX);
	exchange(&a, &b);
	exchange(&b, &a);
	datagrams(&a, &b, false);

	/* A driver that can neither: the tap is told, the packet socket's frames are finished here.
	 */
	virtio_reset(b.card);
	guest_drive(&b.guest, b.card, MERGE, 256, b.v);
	offer(&b, 200, 1600);
	kick(&b, RX);
	send_tcp(&a, 999, false);
	CHECK(wait_frame(&b) == 1053 && header.flags == 0);
	CHECK(tcp_sum(bytes, 1053) == 0xffff);
	datagrams(&a, &b, true);
	send_tcp(&a, 40000, true); /* nobody can cut it for this one */
	send_tcp(&a, 100, false);
	CHECK(wait_frame(&b) == 154 && b.card->stats.errors == 1);
	virtio_reset(a.card);
	guest_drive(&a.guest, a.card, MERGE, 256, a.v);
	offer(&a, 200, 1600);
	kick(&a, RX);
	send_tcp(&b, 1000, false);
	CHECK(wait_frame(&a) == 1054 && header.flags == 0 && tcp_sum(bytes, 1054) == 0xffff);
	send_tcp(&b, 2800, true);
	for (unsigned i = 0; i < 2; i++) /* the kernel has cut it */
		CHECK(wait_frame(&a) == 1454 && header.gso_type == 0 &&
		      tcp_sum(bytes, 1454) == 0xffff);
	/* A frame that the interface refuses is lost, and no more than that. */
	send_frame(&b, &header, 0x7c, 5000);
	CHECK(b.card->stats.errors == 2 && b.guest.config_changes == 0);
	stop(&a);
	stop(&b);
}

int main(void)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };

	CHECK(sigaction(SIGPIPE, &ignore, NULL) == 0);
	CHECK(loop_init(&loop) == 0);
	test_stream();
	test_unmerged();
	test_slow_peer(60000, 60);
	test_slow_peer(16000, 60); /* these are gathered */
	test_limits();
	test_end();
	test_reset();
	test_moved();
	test_refusals();
	if (unshare(CLONE_NEWNET) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0)
		test_tap_and_packet();
	else
		(void) printf("no network namespace: %s\n", strerror(errno));
	loop_fini(&loop);
	return test_done();
}
