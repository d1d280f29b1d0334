/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/sentry.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/auto.h"
#include "base/test.h"

static int pair[2];

static void test_request(void)
{
	auto_arena struct arena a = ARENA_INIT(1 << 20);
	const struct sentry_request q = {
		.type = SENTRY_EXEC, .spec = "{\"cwd\":\"/\"}", .in = 0, .out = 1, .err = 2
	};
	struct sentry_request got;

	CHECK(sentry_send_request(pair[0], &q) == 0);
	CHECK(sentry_receive_request(pair[1], &a, &got) == 1);
	CHECK(got.type == SENTRY_EXEC && got.process == 0 && got.signal == 0);
	CHECK_STR(got.spec, q.spec);
	CHECK(got.in > 2 && got.out > 2 && got.err > 2);
	sentry_close_fds(&got);
	CHECK(got.in == FD_NONE);
}

static void test_reply(void)
{
	auto_arena struct arena a = ARENA_INIT(1 << 20);
	const struct sentry_reply q = { .type = SENTRY_WAIT, .status = 137, .reason = "because" };
	struct sentry_reply got;

	CHECK(sentry_send_reply(pair[0], &q) == 0);
	CHECK(sentry_receive_reply(pair[1], &a, &got) == 1);
	CHECK(got.type == SENTRY_WAIT && got.status == 137 && got.error == 0);
	CHECK_STR(got.reason, "because");
}

static void test_list(void)
{
	auto_arena struct arena a = ARENA_INIT(1 << 20);
	struct process_fields two[] = {
		{ .pid = 1, .state = "S", .terminal = "pts/0", .name = "sh", .command = "sh -c x" },
		{ .pid = 7,
		  .ppid = 1,
		  .cpu_ns = 5,
		  .state = "R",
		  .terminal = "",
		  .name = "",
		  .command = "" },
	};
	const struct sentry_reply q = { .type = SENTRY_LIST, .process = 8, .list = { two, 2 } };
	/* A process of two fields that has none. */
	static const char few[] = "\1\0\6\0\1\0\14\0\4\0\0\0\2\0\0\0";
	struct sentry_reply got;

	CHECK(sentry_send_reply(pair[0], &q) == 0);
	CHECK(sentry_receive_reply(pair[1], &a, &got) == 1);
	CHECK(got.process == 8 && got.list.n == 2 && got.list.v[1].pid == 7);
	CHECK(got.list.v[1].ppid == 1 && got.list.v[1].cpu_ns == 5);
	CHECK_STR(got.list.v[0].terminal, "pts/0");
	CHECK_STR(got.list.v[0].command, "sh -c x");
	CHECK_STR(got.list.v[1].name, "");
	CHECK(send(pair[0], few, sizeof(few) - 1, 0) == (ssize_t) sizeof(few) - 1);
	CHECK(sentry_receive_reply(pair[1], &a, &got) == -EBADMSG);
	two[0].pid = (uint64_t) INT32_MAX + 1;
	CHECK(sentry_send_reply(pair[0], &q) == 0);
	CHECK(sentry_receive_reply(pair[1], &a, &got) == -EBADMSG);
}

static void test_trace(void)
{
	auto_arena struct arena a = ARENA_INIT(1 << 20);
	static const uint32_t pids[] = { 1, 70000 };
	struct sentry_refused refused[] = {
		{ .nr = 425, .error = 38, .count = 3 },
		{ .nr = 16, .error = 1, .which = 0x5401, .count = 1, .filtered = true },
	};
	struct sentry_reply answer = { .type = SENTRY_REFUSED,
				       .refused = { refused, 2 },
				       .others = 9 };
	struct sentry_request q = sentry_request(SENTRY_TRACE);
	struct sentry_reply told;
	struct sentry_request got;

	q.calls = (struct str){ "abc", 3 };
	q.pids = (struct str){ (const char *) pids, sizeof(pids) };
	q.text = 32;
	q.signals = true;
	CHECK(sentry_send_request(pair[0], &q) == 0);
	CHECK(sentry_receive_request(pair[1], &a, &got) == 1);
	CHECK(got.type == SENTRY_TRACE && str_is(got.calls, "abc") && str_eq(got.pids, q.pids));
	CHECK(got.text == 32 && got.signals && !got.entries);
	CHECK(sentry_send_reply(pair[0], &answer) == 0);
	CHECK(sentry_receive_reply(pair[1], &a, &told) == 1);
	CHECK(told.refused.n == 2 && told.others == 9 && told.refused.v[0].count == 3);
	CHECK(told.refused.v[1].which == 0x5401 && told.refused.v[1].filtered);
	refused[0].error = 4096;
	CHECK(sentry_send_reply(pair[0], &answer) == 0);
	CHECK(sentry_receive_reply(pair[1], &a, &told) == -EBADMSG);
}

static int given(const char *bytes, size_t n)
{
	auto_arena struct arena a = ARENA_INIT(1 << 20);
	struct sentry_request got;

	CHECK(send(pair[0], bytes, n, 0) == (ssize_t) n);
	return sentry_receive_request(pair[1], &a, &got);
}

static void test_nonsense(void)
{
	CHECK(given("\1\0\1\0\0", 5) == -EBADMSG);
	CHECK(given("\1\0\1\0\0\0", 6) == 1);
	CHECK(given("\2\0\1\0\0\0", 6) == -EPROTO);
	CHECK(given("\1\0\0\0\0\0", 6) == -EBADMSG);
	CHECK(given("\1\0\7\0\0\0", 6) == 1);
	CHECK(given("\1\0\11\0\0\0", 6) == 1);
	CHECK(given("\1\0\15\0\0\0", 6) == -EBADMSG);
	CHECK(given("\1\0\1\0\0\0x", 7) == -EBADMSG);
	CHECK(given("\1\0\2\0\1\0\2\0\10\0\0\0\101\0\0\0\0\0\0\0", 20) == -EBADMSG); /* signal 65 */
	CHECK(given("\1\0\2\0\1\0\2\0\10\0\0\0\100\0\0\0\0\0\0\0", 20) == 1);
	CHECK(given("\1\0\4\0\1\0\4\0\1\0\0\0\0", 13) == -EBADMSG); /* a descriptor that is none */
}

static void test_too_long(void)
{
	static char spec[SENTRY_MESSAGE_MAX];
	struct sentry_request q = sentry_request(SENTRY_EXEC);

	q.spec = spec;
	memset(spec, ' ', sizeof(spec) - 1);
	CHECK(sentry_send_request(pair[0], &q) == -E2BIG);
}

static void test_gone(void)
{
	auto_arena struct arena a = ARENA_INIT(1 << 20);
	const struct sentry_request q = sentry_request(SENTRY_STATS);
	struct sentry_request got;
	struct sentry_reply reply;

	CHECK(sentry_ask(pair[0], &q, clock_mono() + 1000000, &a, &reply) == -ETIMEDOUT);
	close_fd(&pair[0]);
	CHECK(sentry_receive_request(pair[1], &a, &got) == 1);
	CHECK(got.type == SENTRY_STATS);
	CHECK(sentry_receive_request(pair[1], &a, &got) == 0);
	close_fd(&pair[1]);
}

int main(void)
{
	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	test_request();
	test_reply();
	test_list();
	test_trace();
	test_nonsense();
	test_too_long();
	test_gone();
	return test_done();
}
