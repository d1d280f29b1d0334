/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>

#include "base/test.h"
#include "virtio/console.h"
#include "virtio/test_guest.h"

static struct guest guest;
static struct loop loop;
static struct guest_queue v[VIRTIO_QUEUES_MAX];
static struct virtio_device *console;
static int peer;

/* A console on one end of a socket pair; we are the other. */
static void start(void)
{
	int fds[2];
	struct err e;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		abort();
	peer = fds[1];
	console = console_new(&loop, &guest.memory, fds[0], fds[0], &e);
	if (!console)
		abort();
	guest_drive(&guest, console, VIRTIO_VERSION_1, 64, v);
}

static void stop(void)
{
	console->ops->free(console);
	if (peer >= 0)
		CHECK(close(peer) == 0);
	CHECK(!loop.timers);
}

static void send_text(const char *text)
{
	uint64_t at = guest_gpa(&guest, 0);

	memcpy(guest_at(&guest, at), text, strlen(text));
	(void) guest_request(&v[1], at, (uint32_t) strlen(text), 0, 0);
	console->ops->kick(console, 1);
}

static void test_both_ways(void)
{
	uint64_t at = guest_gpa(&guest, 4096);
	char got[16] = "";
	uint16_t head;
	uint32_t n;

	start();
	send_text("hello");
	CHECK(guest_reap(&v[1], &head, &n) && n == 0);
	CHECK(read(peer, got, sizeof(got)) == 5 && memcmp(got, "hello", 5) == 0);

	/* Input that came before there was room for it. */
	CHECK(write(peer, "abcdef", 6) == 6);
	(void) guest_request(&v[0], 0, 0, at, 4);
	console->ops->kick(console, 0);
	CHECK(guest_reap(&v[0], &head, &n) && n == 4 &&
	      memcmp(guest_at(&guest, at), "abcd", 4) == 0);
	/* Room before there is input. */
	(void) guest_request(&v[0], 0, 0, at, 100);
	(void) guest_request(&v[0], 0, 0, at + 100, 100);
	console->ops->kick(console, 0);
	CHECK(guest_reap(&v[0], &head, &n) && n == 2 && memcmp(guest_at(&guest, at), "ef", 2) == 0);
	CHECK(!guest_reap(&v[0], &head, &n));
	CHECK(write(peer, "gh", 2) == 2);
	CHECK(loop_once(&loop) == 0);
	CHECK(guest_reap(&v[0], &head, &n) && n == 2);
	CHECK(memcmp(guest_at(&guest, at + 100), "gh", 2) == 0);
	CHECK(guest.interrupts[0] >= 2);
	CHECK(console->stats.read_bytes == 8 && console->stats.write_bytes == 5);

	/* The end of input: output goes on. */
	(void) guest_request(&v[0], 0, 0, at, 100);
	console->ops->kick(console, 0);
	CHECK(shutdown(peer, SHUT_WR) == 0);
	CHECK(loop_once(&loop) == 0);
	CHECK(!guest_reap(&v[0], &head, &n));
	console->ops->kick(console, 0);
	send_text("more");
	CHECK(read(peer, got, sizeof(got)) == 4);
	stop();
}

/* A reader that is slow holds the guest's output up, and loses none of it. */
static void test_slow(void)
{
	enum { BLOCK = 100000, BLOCKS = 40 };
	uint64_t at = guest_gpa(&guest, 0);
	static uint8_t got[BLOCK];
	size_t total = 0, wrong = 0, reaped = 0;
	uint16_t head;
	uint32_t n;

	start();
	for (size_t i = 0; i < BLOCK; i++)
		guest_at(&guest, at)[i] = (uint8_t) (i % 251);
	for (unsigned i = 0; i < BLOCKS; i++)
		(void) guest_request(&v[1], at, BLOCK, 0, 0);
	console->ops->kick(console, 1);
	while (guest_reap(&v[1], &head, &n))
		reaped++;
	CHECK(reaped < BLOCKS);		/* more than any socket holds */
	console->ops->kick(console, 1); /* a kick changes nothing */
	while (total < (size_t) BLOCK * BLOCKS) {
		ssize_t r = recv(peer, got, sizeof(got), MSG_DONTWAIT);

		if (r < 0 && errno == EAGAIN) {
			CHECK(loop_once(&loop) == 0);
			continue;
		}
		if (r <= 0)
			break;
		for (ssize_t i = 0; i < r; i++)
			wrong += got[i] != (total + (size_t) i) % BLOCK % 251;
		total += (size_t) r;
	}
	while (guest_reap(&v[1], &head, &n))
		reaped++;
	CHECK(total == (size_t) BLOCK * BLOCKS && wrong == 0 && reaped == BLOCKS);
	/* Reset while it waits. */
	for (unsigned i = 0; i < BLOCKS; i++)
		(void) guest_request(&v[1], at, BLOCK, 0, 0);
	console->ops->kick(console, 1);
	stop();
}

static void test_gone(void)
{
	uint16_t head;
	uint32_t n;

	start();
	CHECK(close(peer) == 0);
	peer = FD_NONE;
	send_text("to nobody");
	CHECK(guest_reap(&v[1], &head, &n) && console->stats.errors == 1);
	send_text("to nobody");
	CHECK(guest_reap(&v[1], &head, &n) && console->stats.errors == 1);
	(void) guest_request(&v[0], 0, 0, guest_gpa(&guest, 0), 4);
	console->ops->kick(console, 0);
	CHECK(!guest_reap(&v[0], &head, &n));
	stop();
}

static void test_none(void)
{
	struct err e = {};
	uint16_t head;
	uint32_t n;

	console = console_new(&loop, &guest.memory, FD_NONE, FD_NONE, &e);
	if (!console)
		abort();
	guest_drive(&guest, console, 0, 64, v);
	send_text("into the void");
	CHECK(guest_reap(&v[1], &head, &n));
	(void) guest_request(&v[0], 0, 0, guest_gpa(&guest, 0), 4);
	console->ops->kick(console, 0);
	CHECK(!guest_reap(&v[0], &head, &n));
	console->ops->free(console);
	CHECK(!console_new(&loop, &guest.memory, 1000, FD_NONE, &e) && e.sys == EBADF);
}

int main(void)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };

	CHECK(sigaction(SIGPIPE, &ignore, NULL) == 0);
	CHECK(loop_init(&loop) == 0);
	guest_init(&guest);
	test_both_ways();
	test_slow();
	test_gone();
	test_none();
	guest_fini(&guest);
	loop_fini(&loop);
	return test_done();
}
