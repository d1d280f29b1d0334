/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's side of the device and the agent are played here, the carrier is a child. */
#include <errno.h>
#include <linux/fuse.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/test.h"
#include "engine/microvm/carrier.h"

struct play {
	int kernel, agent; /* owned: our ends */
	pid_t pid;
};

static struct play begin(void)
{
	int device[2], wire[2];
	struct play p;

	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, device) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, wire) == 0);
	p = (struct play){ .kernel = device[0], .agent = wire[0], .pid = fork() };
	CHECK(p.pid >= 0);
	if (p.pid == 0) {
		uint8_t *memory = malloc(CARRIER_MEMORY);

		close_fd(&device[0]);
		close_fd(&wire[0]);
		_exit(memory ? -carrier_run(device[1], wire[1], memory) : ENOMEM);
	}
	close_fd(&device[1]);
	close_fd(&wire[1]);
	return p;
}

/* What carrier_run() returned, as a positive number. */
static int end(struct play *p)
{
	int status = -1;

	close_fd(&p->kernel);
	CHECK(waitpid(p->pid, &status, 0) == p->pid && WIFEXITED(status));
	close_fd(&p->agent);
	return WEXITSTATUS(status);
}

static void ask(const struct play *p, uint64_t unique, uint32_t opcode, size_t more)
{
	struct fuse_in_header h = { .len = (uint32_t) (sizeof(h) + more),
				    .opcode = opcode,
				    .unique = unique };
	uint8_t bytes[4096] = {};

	memcpy(bytes, &h, sizeof(h));
	CHECK(send(p->kernel, bytes, h.len, 0) == (ssize_t) h.len);
}

static void expect_request(const struct play *p, uint64_t unique, size_t more)
{
	struct fuse_in_header h = {};
	uint8_t bytes[4096];

	CHECK(recv(p->agent, &h, sizeof(h), MSG_WAITALL) == sizeof(h) && h.unique == unique);
	CHECK(!more || recv(p->agent, bytes, more, MSG_WAITALL) == (ssize_t) more);
}

/* In two pieces. */
static void reply(const struct play *p, uint64_t unique, uint32_t len)
{
	struct fuse_out_header h = { .len = len, .unique = unique };
	uint8_t bytes[4096] = {};

	memcpy(bytes, &h, sizeof(h));
	CHECK(send(p->agent, bytes, 5, MSG_NOSIGNAL) == 5);
	CHECK(send(p->agent, bytes + 5, sizeof(h) - 5, MSG_NOSIGNAL) == sizeof(h) - 5);
	if (len > sizeof(h) && len <= sizeof(bytes))
		CHECK(send(p->agent, bytes + sizeof(h), len - sizeof(h), MSG_NOSIGNAL) > 0);
}

static void expect_answer(const struct play *p, uint64_t unique, size_t len)
{
	struct fuse_out_header h;
	uint8_t bytes[4096];

	CHECK(recv(p->kernel, bytes, sizeof(bytes), 0) == (ssize_t) len);
	memcpy(&h, bytes, sizeof(h));
	CHECK(h.unique == unique);
}

/* All are with the agent before it has answered one, and it may answer in any order. */
static void test_several_at_once(void)
{
	struct play p = begin();

	ask(&p, 2, FUSE_LOOKUP, 100);
	ask(&p, 4, FUSE_FORGET, 8); /* which nobody answers */
	ask(&p, 6, FUSE_READ, 40);
	ask(&p, 8, FUSE_READ, 40);
	expect_request(&p, 2, 100);
	expect_request(&p, 4, 8);
	expect_request(&p, 6, 40);
	expect_request(&p, 8, 40);
	reply(&p, 8, sizeof(struct fuse_out_header) + 1000);
	expect_answer(&p, 8, sizeof(struct fuse_out_header) + 1000);
	reply(&p, 2, sizeof(struct fuse_out_header));
	reply(&p, 6, sizeof(struct fuse_out_header));
	expect_answer(&p, 2, sizeof(struct fuse_out_header));
	expect_answer(&p, 6, sizeof(struct fuse_out_header));
	CHECK(end(&p) == 0);
}

/* No more than there is room for; with an answer there is some again. */
static void test_at_most(void)
{
	struct play p = begin();
	char c;

	for (uint64_t i = 0; i <= CARRIER_REQUESTS; i++)
		ask(&p, 2 + i, FUSE_GETATTR, 0);
	for (uint64_t i = 0; i < CARRIER_REQUESTS; i++)
		expect_request(&p, 2 + i, 0);
	reply(&p, 2, sizeof(struct fuse_out_header));
	expect_answer(&p, 2, sizeof(struct fuse_out_header));
	expect_request(&p, 2 + CARRIER_REQUESTS, 0);
	CHECK(recv(p.agent, &c, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN);
	CHECK(end(&p) == 0);
}

static void test_nonsense(void)
{
	static const struct {
		uint64_t unique;
		uint32_t len;
	} bad[] = {
		{ 3, sizeof(struct fuse_out_header) },	   /* nobody asked */
		{ 4, sizeof(struct fuse_out_header) },	   /* nobody waits */
		{ 2, sizeof(struct fuse_out_header) - 1 }, /* shorter than it can be */
		{ 2, 0 },
		{ 2, CARRIER_MESSAGE_MAX + 1 },
		{ 2, UINT32_MAX },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct play p = begin();
		char c;

		ask(&p, 2, FUSE_GETATTR, 0);
		ask(&p, 4, FUSE_FORGET, 8);
		expect_request(&p, 2, 0);
		expect_request(&p, 4, 8);
		reply(&p, bad[i].unique, bad[i].len);
		CHECK(recv(p.kernel, &c, 1, 0) == 0); /* it has ended, and gave nothing on */
		CHECK(end(&p) == EBADMSG);
	}
}

/* An answer twice is one too many. */
static void test_twice(void)
{
	struct play p = begin();

	ask(&p, 2, FUSE_GETATTR, 0);
	expect_request(&p, 2, 0);
	reply(&p, 2, sizeof(struct fuse_out_header));
	expect_answer(&p, 2, sizeof(struct fuse_out_header));
	reply(&p, 2, sizeof(struct fuse_out_header));
	CHECK(end(&p) == EBADMSG);
}

static void test_agent_gone(void)
{
	struct play p = begin();

	ask(&p, 2, FUSE_GETATTR, 0);
	expect_request(&p, 2, 0);
	close_fd(&p.agent);
	CHECK(end(&p) == EPIPE);
}

int main(void)
{
	test_several_at_once();
	test_at_most();
	test_nonsense();
	test_twice();
	test_agent_gone();
	return test_done();
}
