/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/shim.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "base/auto.h"
#include "base/test.h"

/* The lowest free number tells whether something stayed open. */
static int lowest_free(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void) close(fd);
	return fd;
}

static void test_create(int pair[2])
{
	auto_arena struct arena a = ARENA_INIT(1 << 20);
	struct shim_msg m = shim_msg_of(SHIM_CREATE), got;
	const char *test[] = { "/bin/sh", "-c", "", NULL };
	int before = lowest_free();

	m.create.id = "abc";
	m.create.auto_remove = true;
	m.create.stop_timeout_ns = 5000000000;
	m.create.restart = SHIM_RESTART_ALWAYS;
	m.create.health.test = (struct field_strings){ test, 3 };
	m.create.health.retries = 7;
	m.create.root_fd = pair[0];
	m.create.sink[2] = pair[1];
	CHECK(shim_send(pair[0], &m) == 0);
	CHECK(shim_recv(pair[1], &a, &got) == 1);
	CHECK(got.type == SHIM_CREATE);
	CHECK_STR(got.create.id, "abc");
	CHECK_STR(got.create.name, "");
	CHECK(got.create.auto_remove && !got.create.attach);
	CHECK(got.create.stop_timeout_ns == 5000000000 && got.create.stop_signal == 0);
	CHECK(got.create.health.test.n == 3 && got.create.health.retries == 7);
	CHECK_STR(got.create.health.test.v[1], "-c");
	CHECK_STR(got.create.health.test.v[2], "");
	CHECK(!got.create.health.test.v[3]);
	CHECK(got.create.bundle_fd == FD_NONE && got.create.sink[0] == FD_NONE);
	CHECK(got.create.root_fd >= 0 && got.create.sink[2] > got.create.root_fd);
	CHECK(fcntl(got.create.root_fd, F_GETFD) == FD_CLOEXEC);
	shim_msg_close_fds(&got);
	CHECK(got.create.root_fd == FD_NONE);
	CHECK(lowest_free() == before);
}

static void test_data(int pair[2])
{
	auto_arena struct arena a = ARENA_INIT(1 << 20);
	static char bytes[SHIM_DATA_MAX];
	struct shim_msg m = shim_msg_of(SHIM_OUTPUT), got;

	memset(bytes, 'x', sizeof(bytes));
	bytes[7] = 0;
	m.data = (struct shim_data){ SHIM_STREAM_STDERR, { bytes, sizeof(bytes) } };
	CHECK(shim_send(pair[0], &m) == 0);
	CHECK(shim_recv(pair[1], &a, &got) == 1);
	CHECK(got.type == SHIM_OUTPUT && got.data.stream == SHIM_STREAM_STDERR);
	CHECK(str_eq(got.data.bytes, m.data.bytes));
	m = shim_msg_of(SHIM_USAGE_IS);
	m.usage.pids = UINT64_MAX;
	m.usage.net_tx_packets = 3;
	CHECK(shim_send(pair[0], &m) == 0);
	CHECK(shim_recv(pair[1], &a, &got) == 1);
	CHECK(got.usage.pids == UINT64_MAX && got.usage.net_tx_packets == 3 && !got.usage.cpu_ns);
	m = shim_msg_of(SHIM_RECORD);
	m.record.id = "abc";
	m.record.events = (struct field_strings){ (const char *[]){ "die", "{}", NULL }, 2 };
	CHECK(shim_send(pair[0], &m) == 0);
	CHECK(shim_recv(pair[1], &a, &got) == 1);
	CHECK(got.type == SHIM_RECORD && streq(got.record.id, "abc") && !got.record.durable);
	CHECK(got.record.events.n == 2 && streq(got.record.events.v[0], "die") &&
	      streq(got.record.events.v[1], "{}"));
}

static int decode(const char *p, size_t n)
{
	auto_arena struct arena a = ARENA_INIT(1 << 20);
	struct shim_msg got;

	return shim_decode(&a, (struct str){ p, n }, NULL, 0, &got);
}
#define DECODE(literal) decode(literal, sizeof(literal) - 1)

static void test_refused(void)
{
	static char huge[SHIM_MESSAGE_MAX + 1];
	auto_buf struct buf b = BUF_INIT(SHIM_MESSAGE_MAX);
	struct shim_msg m = shim_msg_of(SHIM_RENAME);
	int fds[SHIM_FDS_MAX];
	size_t n;

	CHECK(DECODE("") == -EBADMSG);
	CHECK(DECODE("\2\1\0\0") == -EPROTO);
	CHECK(DECODE("\1\0\0\0") == -EBADMSG);
	CHECK(DECODE("\1\x7f\0\0") == -EBADMSG);
	CHECK(DECODE("\1\xff\0\0") == -EBADMSG);
	CHECK(decode("\1\4\0\0", 4) == 0);
	CHECK(decode("\1\4\0\0x", 5) == -EBADMSG);		       /* bytes after the end */
	CHECK(decode("\1\2\1\0", 4) == -EBADMSG);		       /* the field is missing */
	CHECK(decode("\1\2\1\0\1\0\xff\xff\xff\xff", 10) == -EBADMSG); /* a lying length */
	CHECK(decode("\1\2\1\0\1\0\x8\0\0\0\x9\0\0\0\0\0\0\0", 18) == 0);
	CHECK(decode("\1\2\1\0\1\0\x8\0\0\0\x9\0\0\0\0\0\0\1", 18) == -EBADMSG); /* no signal */
	CHECK(decode("\1\2\1\0\2\0\x8\0\0\0\x9\0\0\0\0\0\0\0", 18) == -EBADMSG); /* no such tag */
	CHECK(decode("\1\1\1\0\1\0\3\0\0\0ab\0", 13) == 0);
	CHECK(decode("\1\1\1\0\1\0\3\0\0\0abc", 13) == -EBADMSG);   /* no end of string */
	CHECK(decode("\1\1\1\0\1\0\3\0\0\0a\0\0", 13) == -EBADMSG); /* two of them */
	CHECK(decode("\1\1\1\0\x1c\0\1\0\0\0\0", 11) == -EBADMSG);  /* a descriptor not sent */
	memset(huge, 'x', sizeof(huge) - 1);
	m.rename.name = huge;
	CHECK(shim_encode(&m, &b, fds, &n) == -EMSGSIZE);
	m = (struct shim_msg){ .type = SHIM_TYPES_N };
	buf_clear(&b);
	CHECK(shim_encode(&m, &b, fds, &n) == -EINVAL);
}

/* Descriptors that a message does not name, or that come with nonsense, are closed. */
static void test_stray(int pair[2])
{
	auto_arena struct arena a = ARENA_INIT(1 << 20);
	int before = lowest_free(), fds[2];
	struct shim_msg got;

	fds[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	fds[1] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	CHECK(shim_decode(&a, (struct str){ "\1\4\0\0", 4 }, fds, 2, &got) == 0);
	CHECK(lowest_free() == before);
	fds[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	fds[1] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	CHECK(shim_decode(&a, (struct str){ "\1\1\2\0\x1c\0\1\0\0\0\0\x1d\0\1\0\0\0\0", 18 }, fds,
			  2, &got) == -EBADMSG); /* the same one twice */
	CHECK(lowest_free() == before);
	CHECK(send(pair[0], "\1", 1, 0) == 1);
	CHECK(shim_recv(pair[1], &a, &got) == -EBADMSG);
}

int main(void)
{
	int pair[2] = { FD_NONE, FD_NONE };
	auto_arena struct arena a = ARENA_INIT(4096);
	struct shim_msg got, m = shim_msg_of(SHIM_OK);

	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	test_create(pair);
	test_data(pair);
	test_refused();
	test_stray(pair);
	close_fd(&pair[0]);
	CHECK(shim_recv(pair[1], &a, &got) == 0);
	CHECK(shim_send(pair[1], &m) == -EPIPE);
	close_fd(&pair[1]);
	/* The last word of a peer that did not listen to ours is heard. */
	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	CHECK(shim_send(pair[1], &m) == 0 && shim_send(pair[0], &m) == 0);
	close_fd(&pair[0]);
	CHECK(shim_recv(pair[1], &a, &got) == 1 && got.type == SHIM_OK);
	CHECK(shim_recv(pair[1], &a, &got) == 0);
	close_fd(&pair[1]);
	return test_done();
}
