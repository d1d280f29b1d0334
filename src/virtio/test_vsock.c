/* SPDX-License-Identifier: Apache-2.0 */
/* A guest's driver, packet by packet, and clients on the host, in one process and one loop. */
#include <arpa/inet.h>
#include <linux/virtio_vsock.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/test.h"
#include "sys/fdpass.h"
#include "virtio/test_guest.h"
#include "virtio/vsock.h"
#include "virtio/vsock_flows.h"

#define HEADER	    sizeof(struct virtio_vsock_hdr)
#define ENTRIES	    64
#define BUFFER	    4096
#define SPACE	    65536 /* what the guest takes of each connection */
#define CID	    9
#define GUEST_PORT  52
#define FORWARD	    1025
#define PORTS_TO    1026
#define TRANSMIT_AT (ENTRIES * BUFFER)

enum { RECEIVE, TRANSMIT, EVENTS };

static struct guest guest;
static struct guest_queue queues[VIRTIO_QUEUES_MAX];
static struct loop loop;
static struct loop_timer wake;
static struct virtio_device *device;
static struct sockaddr_un address;
static socklen_t address_n;
static int forward;  /* our end of it */
static int kept_end; /* the other one of what the device keeps open */

static void woken(struct loop_timer *t)
{
	(void) t;
}

/* What is ready now, and what that makes ready. */
static void turn(void)
{
	for (int i = 0; i < 4; i++) {
		loop_timer_set(&loop, &wake, clock_mono(), woken);
		CHECK(loop_once(&loop) == 0);
	}
}

static void offer(unsigned n)
{
	static unsigned at;

	while (n--)
		(void) guest_request(&queues[RECEIVE], 0, 0,
				     guest_gpa(&guest, (at++ % ENTRIES) * BUFFER), BUFFER);
	device->ops->kick(device, RECEIVE);
	turn();
}

static void transmit(struct virtio_vsock_hdr h, const void *data, uint32_t n)
{
	uint64_t gpa = guest_gpa(&guest, TRANSMIT_AT);
	uint16_t head;
	uint32_t len;

	h.src_cid = h.src_cid ? h.src_cid : CID;
	h.dst_cid = h.dst_cid ? h.dst_cid : VSOCK_CID_HOST;
	h.type = h.type ? h.type : VIRTIO_VSOCK_TYPE_STREAM;
	h.buf_alloc = h.buf_alloc ? h.buf_alloc : SPACE;
	h.len = h.len ? h.len : n;
	memcpy(guest_at(&guest, gpa), &h, HEADER);
	if (n)
		memcpy(guest_at(&guest, gpa) + HEADER, data, n);
	(void) guest_request(&queues[TRANSMIT], gpa, (uint32_t) HEADER + n, 0, 0);
	device->ops->kick(device, TRANSMIT);
	turn();
	CHECK(guest_reap(&queues[TRANSMIT], &head, &len) && len == 0);
}

/* The next packet for the guest; op INVALID: there is none. Its buffer is offered anew. */
static struct virtio_vsock_hdr receive(const uint8_t **ret_data)
{
	struct virtio_vsock_hdr h = {};
	uint16_t head;
	uint32_t len;

	turn();
	if (!guest_reap(&queues[RECEIVE], &head, &len))
		return h;
	memcpy(&h, guest_at(&guest, queues[RECEIVE].descs[head].addr), HEADER);
	if (ret_data)
		*ret_data = guest_at(&guest, queues[RECEIVE].descs[head].addr) + HEADER;
	CHECK(len == HEADER + h.len && h.src_cid == VSOCK_CID_HOST && h.dst_cid == CID);
	return h;
}

/* The next packet is of this kind, and about this connection. */
static bool receives(enum virtio_vsock_op op, uint32_t host_port, uint32_t guest_port)
{
	struct virtio_vsock_hdr h = receive(NULL);
	bool same = h.op == op && h.src_port == host_port && h.dst_port == guest_port;

	if (!same)
		(void) fprintf(stderr, "op %u from %u to %u\n", h.op, h.src_port, h.dst_port);
	offer(1);
	return same;
}

static void packet(enum virtio_vsock_op op, uint32_t host_port, uint32_t guest_port)
{
	transmit((struct virtio_vsock_hdr){ .op = (uint16_t) op,
					    .src_port = guest_port,
					    .dst_port = host_port },
		 NULL, 0);
}

static bool reads(int fd, const char *text)
{
	char got[256] = "";
	ssize_t n = recv(fd, got, sizeof(got) - 1, MSG_DONTWAIT);

	return n == (ssize_t) strlen(text) && memcmp(got, text, (size_t) n) == 0;
}

static bool at_end(int fd)
{
	char byte;

	turn();
	return recv(fd, &byte, 1, MSG_DONTWAIT) == 0;
}

static int client(const char *greeting)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CHECK(connect(fd, (struct sockaddr *) &address, address_n) == 0);
	CHECK(send(fd, greeting, strlen(greeting), MSG_NOSIGNAL) == (ssize_t) strlen(greeting));
	turn();
	return fd;
}

/* A connection of the host's that the guest took: its port on the host. */
static uint32_t connected(int fd)
{
	struct virtio_vsock_hdr h = receive(NULL);
	char ok[32];

	CHECK(h.op == VIRTIO_VSOCK_OP_REQUEST && h.dst_port == GUEST_PORT);
	CHECK(h.buf_alloc == VSOCK_BUFFER_SIZE && h.type == VIRTIO_VSOCK_TYPE_STREAM);
	offer(1);
	packet(VIRTIO_VSOCK_OP_RESPONSE, h.src_port, GUEST_PORT);
	(void) snprintf(ok, sizeof(ok), "OK %u\n", h.src_port);
	CHECK(reads(fd, ok));
	return h.src_port;
}

static void test_from_host(void)
{
	int fd = client("CONNECT 52\nearly");
	uint32_t port = connected(fd);
	const uint8_t *data;
	struct virtio_vsock_hdr h = receive(&data);

	CHECK(h.op == VIRTIO_VSOCK_OP_RW && h.len == 5 && memcmp(data, "early", 5) == 0);
	offer(1);
	transmit((struct virtio_vsock_hdr){ .op = VIRTIO_VSOCK_OP_RW,
					    .src_port = GUEST_PORT,
					    .dst_port = port },
		 "answer", 6);
	CHECK(reads(fd, "answer"));

	/* Each direction ends on its own. */
	CHECK(shutdown(fd, SHUT_WR) == 0);
	h = receive(NULL);
	CHECK(h.op == VIRTIO_VSOCK_OP_SHUTDOWN && h.flags == VIRTIO_VSOCK_SHUTDOWN_SEND);
	offer(1);
	transmit((struct virtio_vsock_hdr){ .op = VIRTIO_VSOCK_OP_RW,
					    .src_port = GUEST_PORT,
					    .dst_port = port },
		 "still", 5);
	CHECK(reads(fd, "still"));
	transmit((struct virtio_vsock_hdr){ .op = VIRTIO_VSOCK_OP_SHUTDOWN,
					    .src_port = GUEST_PORT,
					    .dst_port = port,
					    .flags = VIRTIO_VSOCK_SHUTDOWN_SEND },
		 NULL, 0);
	CHECK(at_end(fd));
	(void) close(fd);
	h = receive(NULL);
	CHECK(h.op == VIRTIO_VSOCK_OP_SHUTDOWN && h.flags == 3);
	offer(1);
	packet(VIRTIO_VSOCK_OP_RST, port, GUEST_PORT);
	CHECK(receive(NULL).op == 0);
	packet(VIRTIO_VSOCK_OP_RW, port, GUEST_PORT); /* nobody is there any more */
	CHECK(receives(VIRTIO_VSOCK_OP_RST, port, GUEST_PORT));
}

static void test_greetings(void)
{
	static const char *const bad[] = { "CONNECT\n",
					   "CONNECT x\n",
					   "connect 52\n",
					   "\n",
					   "CONNECT -1\n",
					   "CONNECT 4294967295\n",
					   "CONNECT 52 and then far more than it can be\n" };
	uint32_t port;
	int fd;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		fd = client(bad[i]);
		CHECK(at_end(fd) || errno == ECONNRESET);
		(void) close(fd);
	}
	fd = client("CONN");
	CHECK(receive(NULL).op == 0);
	CHECK(send(fd, "ECT 52\n", 7, 0) == 7);
	turn();
	port = connected(fd);
	(void) close(fd);
	CHECK(receives(VIRTIO_VSOCK_OP_SHUTDOWN, port, GUEST_PORT));
	packet(VIRTIO_VSOCK_OP_RST, port, GUEST_PORT);

	/* Refused: the end. Given up: the guest is told. */
	fd = client("CONNECT 52\n");
	port = receive(NULL).src_port;
	offer(1);
	packet(VIRTIO_VSOCK_OP_RST, port, GUEST_PORT);
	CHECK(at_end(fd));
	(void) close(fd);
	fd = client("CONNECT 52\n");
	port = receive(NULL).src_port;
	offer(1);
	(void) close(fd);
	CHECK(receives(VIRTIO_VSOCK_OP_RST, port, GUEST_PORT));
}

static void test_from_guest(void)
{
	struct virtio_vsock_hdr h;
	char byte = 0;
	size_t n = 0;
	int fd;

	packet(VIRTIO_VSOCK_OP_REQUEST, 77, 1000);
	CHECK(receives(VIRTIO_VSOCK_OP_RST, 77, 1000));
	packet(VIRTIO_VSOCK_OP_REQUEST, FORWARD, 1000);
	CHECK(receives(VIRTIO_VSOCK_OP_RESPONSE, FORWARD, 1000));
	CHECK(fdpass_recv(forward, &byte, 1, &fd, 1, &n) == 1 && n == 1 && byte == 'C');
	CHECK(send(fd, "hello", 5, 0) == 5);
	CHECK(receives(VIRTIO_VSOCK_OP_RW, FORWARD, 1000));
	packet(VIRTIO_VSOCK_OP_REQUEST, FORWARD, 1000); /* that one is taken */
	CHECK(receives(VIRTIO_VSOCK_OP_RST, FORWARD, 1000));
	CHECK(at_end(fd));
	(void) close(fd);

	/* Both directions at once, with bytes of the host's unread: an end, and no error. */
	packet(VIRTIO_VSOCK_OP_REQUEST, FORWARD, 1001);
	CHECK(receives(VIRTIO_VSOCK_OP_RESPONSE, FORWARD, 1001));
	CHECK(fdpass_recv(forward, &byte, 1, &fd, 1, &n) == 1);
	h = (struct virtio_vsock_hdr){
		.op = VIRTIO_VSOCK_OP_SHUTDOWN, .src_port = 1001, .dst_port = FORWARD, .flags = 3
	};
	CHECK(send(fd, "unread", 6, 0) == 6);
	transmit(h, NULL, 0);
	CHECK(at_end(fd));
	(void) close(fd);
	CHECK(receives(VIRTIO_VSOCK_OP_RST, FORWARD, 1001));
}

static void test_nonsense(void)
{
	static const struct virtio_vsock_hdr unanswered[] = {
		{ .op = VIRTIO_VSOCK_OP_RST, .src_port = 1, .dst_port = 2 },
		{ .op = VIRTIO_VSOCK_OP_REQUEST, .src_cid = CID + 1 },
		{ .op = VIRTIO_VSOCK_OP_RW, .len = 1 }, /* without the byte */
	};
	static const struct virtio_vsock_hdr reset[] = {
		{ .op = VIRTIO_VSOCK_OP_RESPONSE, .dst_port = FORWARD },
		{ .op = 99, .dst_port = FORWARD },
		{ .op = VIRTIO_VSOCK_OP_REQUEST, .dst_port = FORWARD, .dst_cid = 77 },
		{ .op = VIRTIO_VSOCK_OP_REQUEST, .dst_port = FORWARD, .type = 2 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(unanswered); i++) {
		transmit(unanswered[i], NULL, 0);
		CHECK(receive(NULL).op == 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(reset); i++) {
		transmit(reset[i], NULL, 0);
		CHECK(receives(VIRTIO_VSOCK_OP_RST, FORWARD, 0));
	}
}

/* The guest says how much it takes, and gets no more. */
static void test_credit_of_guest(void)
{
	struct virtio_vsock_hdr update = { .op = VIRTIO_VSOCK_OP_CREDIT_UPDATE,
					   .src_port = GUEST_PORT };
	int fd = client("CONNECT 52\n");
	uint32_t port = connected(fd);
	char bytes[10000] = "";
	uint32_t got = 0;

	update.dst_port = port;
	update.buf_alloc = 5000;
	transmit(update, NULL, 0);
	CHECK(send(fd, bytes, sizeof(bytes), 0) == (ssize_t) sizeof(bytes));
	got += receive(NULL).len;
	got += receive(NULL).len;
	CHECK(got == 5000);
	CHECK(receive(NULL).op == VIRTIO_VSOCK_OP_CREDIT_REQUEST);
	CHECK(receive(NULL).op == 0);
	update.fwd_cnt = 5000;
	transmit(update, NULL, 0);
	got += receive(NULL).len;
	got += receive(NULL).len;
	CHECK(got == sizeof(bytes));
	offer(5);
	update.buf_alloc = 1; /* it shrank below what is under way */
	transmit(update, NULL, 0);
	CHECK(send(fd, bytes, 10, 0) == 10);
	CHECK(receives(VIRTIO_VSOCK_OP_CREDIT_REQUEST, port, GUEST_PORT));
	CHECK(receive(NULL).op == 0);
	packet(VIRTIO_VSOCK_OP_RST, port, GUEST_PORT);
	CHECK(at_end(fd));
	(void) close(fd);
}

/* A client that does not read: what the guest may send waits, more is its fault. */
static void test_credit_of_host(void)
{
	static char block[16384], all[1 << 20];
	struct virtio_vsock_hdr data = { .op = VIRTIO_VSOCK_OP_RW, .src_port = GUEST_PORT };
	int fd = client("CONNECT 52\n");
	uint32_t port = connected(fd), forwarded = 0, total = 0;
	ssize_t n, got = 0;

	data.dst_port = port;
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = (char) (i * 7);
	while (VSOCK_BUFFER_SIZE - (total - forwarded) >= sizeof(block)) {
		struct virtio_vsock_hdr h;

		transmit(data, block, sizeof(block));
		total += sizeof(block);
		while ((h = receive(NULL)).op) {
			CHECK(h.op == VIRTIO_VSOCK_OP_CREDIT_UPDATE);
			forwarded = h.fwd_cnt;
			offer(1);
		}
	}
	CHECK(forwarded > 0 && total < sizeof(all));
	while ((n = recv(fd, all + got, sizeof(all) - (size_t) got, MSG_DONTWAIT)) > 0) {
		got += n;
		turn();
	}
	CHECK((uint32_t) got == total);
	for (uint32_t at = 0; at < total; at += sizeof(block))
		CHECK(memcmp(all + at, block, sizeof(block)) == 0);
	CHECK(receives(VIRTIO_VSOCK_OP_CREDIT_UPDATE, port, GUEST_PORT));

	/* Until the client has all: then the end. */
	for (uint32_t at = 0; at < VSOCK_BUFFER_SIZE; at += sizeof(block))
		transmit(data, block, sizeof(block));
	data = (struct virtio_vsock_hdr){
		.op = VIRTIO_VSOCK_OP_SHUTDOWN, .src_port = GUEST_PORT, .dst_port = port, .flags = 3
	};
	while (receive(NULL).op)
		offer(1);
	transmit(data, NULL, 0);
	CHECK(receives(VIRTIO_VSOCK_OP_RST, port, GUEST_PORT));
	for (got = 0; (n = recv(fd, all, sizeof(all), MSG_DONTWAIT)) > 0; got += n)
		turn();
	CHECK(n == 0 && got == VSOCK_BUFFER_SIZE);
	(void) close(fd);

	fd = client("CONNECT 52\n");
	data.dst_port = port = connected(fd);
	data.op = VIRTIO_VSOCK_OP_RW;
	for (total = 0; total < sizeof(all); total += sizeof(block)) /* regardless */
		transmit(data, block, sizeof(block));
	while (receive(NULL).op != VIRTIO_VSOCK_OP_RST)
		offer(1);
	while (receive(NULL).op)
		offer(1);
	while ((n = recv(fd, all, sizeof(all), MSG_DONTWAIT)) > 0)
		turn();
	CHECK(n == 0);
	(void) close(fd);
}

/* Packets wait for buffers, in the order of their connections. */
static void test_no_buffers(void)
{
	uint32_t ports[3];
	int fds[3];
	uint16_t head;
	uint32_t len;

	virtio_reset(device);
	guest_drive(&guest, device, VIRTIO_RING_FEATURES, ENTRIES, queues);
	for (int i = 0; i < 3; i++)
		fds[i] = client("CONNECT 52\n");
	CHECK(!guest_reap(&queues[RECEIVE], &head, &len));
	offer(2);
	ports[0] = receive(NULL).src_port;
	ports[1] = receive(NULL).src_port;
	CHECK(receive(NULL).op == 0);
	offer(ENTRIES / 2);
	ports[2] = receive(NULL).src_port;
	CHECK(ports[0] != ports[1] && ports[1] != ports[2]);
	virtio_reset(device);
	for (int i = 0; i < 3; i++) {
		CHECK(at_end(fds[i]));
		(void) close(fds[i]);
	}
	fds[0] = client("CONNECT 52\n"); /* to a guest that is not there */
	CHECK(at_end(fds[0]) || errno == ECONNRESET);
	(void) close(fds[0]);
	guest_drive(&guest, device, VIRTIO_RING_FEATURES, ENTRIES, queues);
	offer(ENTRIES / 2);
}

static void test_limit(void)
{
	static int fds[VSOCK_FLOWS_MAX];
	unsigned refused = 0;
	char byte;
	size_t n;
	int fd;

	for (uint32_t i = 0; i < VSOCK_FLOWS_MAX + 10; i++) {
		struct virtio_vsock_hdr h;

		packet(VIRTIO_VSOCK_OP_REQUEST, FORWARD, 5000 + i);
		h = receive(NULL);
		offer(1);
		refused += h.op == VIRTIO_VSOCK_OP_RST;
		if (h.op == VIRTIO_VSOCK_OP_RESPONSE)
			CHECK(fdpass_recv(forward, &byte, 1, &fds[i], 1, &n) == 1 && n == 1);
	}
	CHECK(refused == 10);
	fd = client("");
	CHECK(at_end(fd));
	(void) close(fd);
	for (size_t i = 0; i < VSOCK_FLOWS_MAX; i++)
		(void) close(fds[i]);
	for (unsigned left = 4; left--;)
		turn();
	virtio_reset(device);
	guest_drive(&guest, device, VIRTIO_RING_FEATURES, ENTRIES, queues);
	offer(ENTRIES / 2);
	packet(VIRTIO_VSOCK_OP_REQUEST, FORWARD, 1);
	CHECK(receives(VIRTIO_VSOCK_OP_RESPONSE, FORWARD, 1));
	CHECK(fdpass_recv(forward, &byte, 1, &fd, 1, &n) == 1 && n == 1);
	(void) close(fd);
}

/* A connection to a port of the host's side, which the guest has answered. */
static int to_port(const struct sockaddr_in *at, enum virtio_vsock_op answer, uint32_t *ret_port)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct virtio_vsock_hdr h;

	CHECK(connect(fd, (const struct sockaddr *) at, sizeof(*at)) == 0);
	CHECK(send(fd, "early", 5, MSG_NOSIGNAL) == 5);
	turn();
	h = receive(NULL);
	CHECK(h.op == VIRTIO_VSOCK_OP_REQUEST && h.dst_port == PORTS_TO);
	offer(1);
	packet(answer, h.src_port, PORTS_TO);
	*ret_port = h.src_port;
	return fd;
}

/* Which port it came to, and then what is sent. */
static void hears(const char *text)
{
	const uint8_t *data = NULL;
	struct virtio_vsock_hdr h = receive(&data);

	CHECK(h.op == VIRTIO_VSOCK_OP_RW && h.len == strlen(text));
	CHECK(h.len == strlen(text) && memcmp(data, text, h.len) == 0);
	offer(1);
}

static bool was_reset(int fd)
{
	char byte;

	turn();
	return recv(fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == ECONNRESET;
}

static void guest_ends(uint32_t port, uint32_t flags)
{
	transmit((struct virtio_vsock_hdr){ .op = VIRTIO_VSOCK_OP_SHUTDOWN,
					    .src_port = PORTS_TO,
					    .dst_port = port,
					    .flags = flags },
		 NULL, 0);
}

static void test_ports(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), kept[2], fd;
	socklen_t n = sizeof(at);
	struct virtio_vsock_hdr h;
	char line[32], byte;
	uint32_t port;
	struct err e;

	CHECK(bind(listener, (struct sockaddr *) &at, sizeof(at)) == 0);
	CHECK(listen(listener, 8) == 0);
	CHECK(getsockname(listener, (struct sockaddr *) &at, &n) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, kept) == 0);
	CHECK(vsock_offer_ports(device, PORTS_TO, listener, kept[1], &e) == 0);
	(void) snprintf(line, sizeof(line), "CONNECT %u\n", ntohs(at.sin_port));

	/* Both ways, and both ends of the file. */
	fd = to_port(&at, VIRTIO_VSOCK_OP_RESPONSE, &port);
	hears(line);
	hears("early");
	transmit((struct virtio_vsock_hdr){ .op = VIRTIO_VSOCK_OP_RW,
					    .src_port = PORTS_TO,
					    .dst_port = port },
		 "answer", 6);
	CHECK(reads(fd, "answer"));
	guest_ends(port, VIRTIO_VSOCK_SHUTDOWN_SEND);
	CHECK(at_end(fd));
	guest_ends(port, VIRTIO_VSOCK_SHUTDOWN_SEND | VIRTIO_VSOCK_SHUTDOWN_RCV);
	CHECK(at_end(fd) && receives(VIRTIO_VSOCK_OP_RST, port, PORTS_TO));
	(void) close(fd);

	/* Nobody listens at the guest's end; and a server that is lost. */
	fd = to_port(&at, VIRTIO_VSOCK_OP_RST, &port);
	CHECK(was_reset(fd));
	(void) close(fd);
	fd = to_port(&at, VIRTIO_VSOCK_OP_RESPONSE, &port);
	hears(line);
	hears("early");
	guest_ends(port, VIRTIO_VSOCK_SHUTDOWN_SEND | VIRTIO_VSOCK_SHUTDOWN_RCV);
	CHECK(was_reset(fd) && receives(VIRTIO_VSOCK_OP_RST, port, PORTS_TO));
	(void) close(fd);

	/* A guest with little room gets the line in pieces. */
	fd = to_port(&at, VIRTIO_VSOCK_OP_CREDIT_UPDATE, &port);
	h = (struct virtio_vsock_hdr){ .op = VIRTIO_VSOCK_OP_RESPONSE,
				       .src_port = PORTS_TO,
				       .dst_port = port,
				       .buf_alloc = 3 };
	transmit(h, NULL, 0);
	hears("CON");
	CHECK(receives(VIRTIO_VSOCK_OP_CREDIT_REQUEST, port, PORTS_TO));
	h.op = VIRTIO_VSOCK_OP_CREDIT_UPDATE;
	h.buf_alloc = SPACE;
	h.fwd_cnt = 3;
	transmit(h, NULL, 0);
	hears(line + 3);
	hears("early");
	packet(VIRTIO_VSOCK_OP_RST, port, PORTS_TO);
	CHECK(was_reset(fd));
	(void) close(fd);
	CHECK(recv(kept[0], &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN);
	kept_end = kept[0];
}

static struct virtio_device *make(void)
{
	struct sockaddr_un any = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), pair[2];
	struct vsock_forward f = { .port = FORWARD };
	struct err e;

	/* An abstract name that the kernel chooses. */
	CHECK(bind(listener, (struct sockaddr *) &any, sizeof(any.sun_family)) == 0);
	CHECK(listen(listener, 64) == 0);
	address_n = sizeof(address);
	CHECK(getsockname(listener, (struct sockaddr *) &address, &address_n) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	forward = pair[0];
	f.fd = pair[1];
	return vsock_new(&loop, &guest.memory, CID, listener, &f, 1, &e);
}

/* What was restored has no connections: the guest hears of that before of anything else. */
static void test_restored(void)
{
	struct virtio_device *from = device;
	uint64_t event = guest_gpa(&guest, 0x200000);
	struct err e;
	uint16_t head;
	uint32_t len, id = 1;
	int fd;

	(void) close(forward);
	device = make();
	if (!device)
		abort();
	(void) guest_request(&queues[EVENTS], 0, 0, event, 4);
	(void) guest_request(&queues[EVENTS], 0, 0, event, 4);
	memcpy(guest_at(&guest, event), &id, sizeof(id));
	CHECK(guest_move(from, device, VIRTIO_RING_FEATURES, SIZE_MAX, &e) == 0);
	from->ops->free(from);
	for (unsigned i = 0; i < 3; i++)
		queues[i].queue = &device->queues[i];
	virtio_resume(device);
	CHECK(guest.interrupts[EVENTS] == 1 && guest_reap(&queues[EVENTS], &head, &len) &&
	      len == 4);
	memcpy(&id, guest_at(&guest, event), sizeof(id));
	CHECK(id == VIRTIO_VSOCK_EVENT_TRANSPORT_RESET);
	fd = client("CONNECT 52\n");
	packet(VIRTIO_VSOCK_OP_RW, FORWARD, 77); /* of a connection that was */
	CHECK(receive(NULL).op == VIRTIO_VSOCK_OP_INVALID);
	(void) guest_request(&queues[EVENTS], 0, 0, event, 4); /* it is done with it */
	device->ops->kick(device, EVENTS);
	CHECK(receives(VIRTIO_VSOCK_OP_RST, FORWARD, 77));
	CHECK(receive(NULL).op == VIRTIO_VSOCK_OP_REQUEST);
	CHECK(!guest_reap(&queues[EVENTS], &head, &len)); /* once */
	(void) close(fd);
	turn();
}

int main(void)
{
	struct rlimit files = { 4096, 4096 };
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	uint64_t cid = 0;

	CHECK(sigaction(SIGPIPE, &ignore, NULL) == 0 && loop_init(&loop) == 0);
	if (setrlimit(RLIMIT_NOFILE, &files) < 0)
		return 1;
	guest_init(&guest);
	device = make();
	if (!device)
		return 1;
	device->ops->config_read(device, 0, &cid, sizeof(cid));
	CHECK(cid == CID);
	guest_drive(&guest, device, VIRTIO_RING_FEATURES, ENTRIES, queues);
	offer(ENTRIES / 2);
	test_from_host();
	test_greetings();
	test_from_guest();
	test_ports();
	test_nonsense();
	test_credit_of_guest();
	test_credit_of_host();
	test_no_buffers();
	test_limit();
	test_restored();
	CHECK(at_end(kept_end)); /* it went with the first device */
	(void) close(kept_end);
	CHECK(guest.resets_needed == 0);
	loop_timer_cancel(&wake);
	device->ops->free(device);
	CHECK(!loop.timers);
	(void) close(forward);
	guest_fini(&guest);
	loop_fini(&loop);
	return test_done();
}
