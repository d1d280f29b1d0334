/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a sandbox asks of its stack and what comes over the wire, one behind the other: each with a
 * byte of what it is before it, and two of its length. What the stack sends comes back to it as
 * another host's, so that two ends speak, and what the pairs give is read.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/auto.h"
#include "base/le.h"
#include "fuzz.h"
#include "netstack/sockets.h"
#include "netstack/stack.h"

enum { REQUEST, FRAME, LOOKS, KINDS };

#define FDS 32

static struct {
	struct loop loop;
	struct sockets_table table;
	int fds[FDS];
	size_t told;
} run;

static unsigned char out[BROKER_DATA];

static void count(void *to, const unsigned char *message, size_t n)
{
	struct broker_reply a;

	(void) to;
	if (n != BROKER_REPLY_BYTES + BROKER_STATE_BYTES || broker_reply_get(message, n, &a) < 0 ||
	    a.tag != BROKER_STATE)
		abort();
	run.told++;
}

static bool room_at(uint16_t port)
{
	return sockets_room(&run.table, port);
}

/* As a sandbox does with what it is given; what it wrote may come from anywhere. */
static void use_pairs(const unsigned char *bytes, size_t n)
{
	static unsigned char got[1 << 16];

	for (size_t k = 0; k < FDS; k++) {
		if (run.fds[k] < 0)
			continue;
		(void) send(run.fds[k], bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL);
		(void) !recv(run.fds[k], got, sizeof(got), MSG_DONTWAIT);
	}
}

static void one_request(const unsigned char *bytes, size_t n)
{
	struct broker_request q;
	struct broker_reply a;
	size_t more = 0;
	int fd = FD_NONE;

	if (broker_request_get(bytes, n, &q) < 0)
		return;
	if (q.tag == BROKER_STATE)
		q.tag = 1;
	q.number %= 16; /* so that they meet */
	if (q.type == BROKER_ACCEPT)
		q.a &= 15;
	if (sockets_serve(&run.table, &q, bytes + BROKER_REQUEST_BYTES, n - BROKER_REQUEST_BYTES,
			  &a, out, &more, &fd)) {
		unsigned char head[BROKER_REPLY_BYTES];

		broker_reply_put(&a, head);
		if (broker_reply_get(head, sizeof(head), &a) < 0 || more > BROKER_DATA ||
		    a.tag != q.tag || (fd >= 0 && a.result < 0))
			abort();
	}
	if (fd >= 0) {
		close_fd(&run.fds[q.number]);
		run.fds[q.number] = fd;
	}
	if (q.type == BROKER_CLOSE)
		close_fd(&run.fds[q.number]);
	sockets_flush(&run.table);
}

static void one(int kind, unsigned char *bytes, size_t n)
{
	switch (kind) {
	case REQUEST:
		one_request(bytes, n);
		break;
	case FRAME:
		if (n > 20)
			(void) frame_complete(bytes, n, bytes[0], bytes[1]);
		stack_take(bytes, n);
		break;
	default:
		use_pairs(bytes, n);
		sockets_sweep(&run.table);
		break;
	}
	(void) stack_tick();
	for (struct sock *s = run.table.all, *next; s; s = next) {
		next = s->next;
		if (s->protocol == POLICY_UDP)
			datagram_pump(s);
		else
			stream_pump(s);
	}
	sockets_flush(&run.table);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct stack_interface interface = {
		.name = "eth0",
		.host = { .mac = { 2, 0, 0, 0, 0, 1 },
			  .has_ip = true,
			  .ip = 0x0a4d0002,
			  .mask = 0xffffff00 },
		.mtu = 1500,
		.routes = { { .gateway = 0x0a4d0001 } },
		.routes_n = 1,
	};
	static unsigned char copy[1 << 16];
	static bool begun;
	struct err e;

	if (!begun && stack_begin(&interface, NULL, room_at, &e) < 0)
		abort();
	begun = true;
	if (loop_init(&run.loop) < 0)
		return 0;
	if (sockets_init(&run.table, &run.loop) < 0)
		abort();
	run.table.tell = count;
	for (size_t k = 0; k < FDS; k++)
		run.fds[k] = FD_NONE;
	while (size >= 3) {
		size_t n = load_le16(data + 1);
		int kind = data[0] % KINDS;

		data += 3;
		size -= 3;
		n = n > size ? size : n;
		memcpy(copy, data, n);
		one(kind, copy, n);
		data += n;
		size -= n;
	}
	sockets_fini(&run.table);
	for (size_t k = 0; k < FDS; k++)
		close_fd(&run.fds[k]);
	loop_fini(&run.loop);
	return 0;
}
