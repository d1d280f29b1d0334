/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/auto.h"
#include "base/test.h"
#include "proto/vmm.h"

static void test_request(void)
{
	struct vmm_request out = { .type = VMM_BALLOON, .value = UINT64_C(1) << 40 }, in = { 0 };
	uint8_t bytes[VMM_REQUEST_BYTES];

	vmm_encode_request(&out, bytes);
	CHECK(vmm_decode_request(bytes, &in) == 0);
	CHECK(in.type == VMM_BALLOON && in.value == UINT64_C(1) << 40);
	out = (struct vmm_request){ .type = VMM_LIMIT,
				    .which = vmm_limit_which(VMM_DEVICES_MAX - 1, VMM_WRITE_OPS),
				    .value = 5 };
	vmm_encode_request(&out, bytes);
	CHECK(vmm_decode_request(bytes, &in) == 0);
	CHECK(vmm_limit_device(in.which) == VMM_DEVICES_MAX - 1);
	CHECK(vmm_limit_what(in.which) == VMM_WRITE_OPS && in.value == 5);
	bytes[4]++; /* of no device */
	CHECK(vmm_decode_request(bytes, &in) == -EBADMSG);
	out = (struct vmm_request){ .type = VMM_BALLOON };
	vmm_encode_request(&out, bytes);
	bytes[4] = 1; /* means nothing there */
	CHECK(vmm_decode_request(bytes, &in) == -EBADMSG);
	bytes[4] = 0;
	bytes[2] = 99;
	CHECK(vmm_decode_request(bytes, &in) == -EBADMSG);
	bytes[0] = 2;
	CHECK(vmm_decode_request(bytes, &in) == -EPROTO);
}

static void test_stats(void)
{
	static struct vmm_reply out = { .type = VMM_STATS, .stats = { .exits = 7 } }, in;
	static uint8_t bytes[VMM_REPLY_MAX];
	size_t n;

	out.stats.devices_n = VMM_DEVICES_MAX;
	for (size_t i = 0; i < VMM_DEVICES_MAX; i++)
		out.stats.devices[i] = (struct vmm_device_stats){ .virtio_id = i, .errors = i * 3 };
	n = vmm_encode_reply(&out, bytes);
	CHECK(n <= VMM_REPLY_MAX);
	for (size_t cut = 0; cut < n; cut++)
		CHECK(vmm_decode_reply(bytes, cut, &in) == 0);
	CHECK(vmm_decode_reply(bytes, n, &in) == 1);
	CHECK(in.stats.exits == 7 && in.stats.devices_n == VMM_DEVICES_MAX);
	CHECK(in.stats.devices[30].virtio_id == 30 && in.stats.devices[30].errors == 90);
	bytes[8]--; /* one number short: no whole device */
	CHECK(vmm_decode_reply(bytes, n, &in) == -EBADMSG);
	bytes[11] = 1; /* more than any reply has */
	CHECK(vmm_decode_reply(bytes, n, &in) == -EBADMSG);
}

static void test_ask(void)
{
	const struct vmm_request q = { .type = VMM_INFO };
	struct vmm_reply answer = { .type = VMM_INFO,
				    .info = { .pid = 12, .cpus = 2, .paused = true } },
			 got;
	uint8_t bytes[VMM_REPLY_MAX];
	size_t n = vmm_encode_reply(&answer, bytes);
	int s[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s) == 0);
	CHECK(send(s[1], bytes, n, 0) == (ssize_t) n);
	CHECK(vmm_ask(s[0], &q, clock_deadline(60 * NSEC_PER_SEC), &got) == 0);
	CHECK(got.info.pid == 12 && got.info.cpus == 2 && got.info.paused);
	answer = (struct vmm_reply){ .type = VMM_INFO, .error = ENOTSUP };
	n = vmm_encode_reply(&answer, bytes);
	CHECK(send(s[1], bytes, n, 0) == (ssize_t) n);
	CHECK(vmm_ask(s[0], &q, clock_deadline(60 * NSEC_PER_SEC), &got) == -ENOTSUP);
	CHECK(vmm_ask(s[0], &q, clock_deadline(NSEC_PER_MSEC), &got) == -ETIMEDOUT);
	answer = (struct vmm_reply){ .type = VMM_PAUSE };
	n = vmm_encode_reply(&answer, bytes);
	CHECK(send(s[1], bytes, n, 0) == (ssize_t) n); /* an answer to something else */
	CHECK(vmm_ask(s[0], &q, clock_deadline(60 * NSEC_PER_SEC), &got) == -EBADMSG);
	(void) close(s[1]);
	CHECK(vmm_ask(s[0], &q, clock_deadline(60 * NSEC_PER_SEC), &got) == -EPIPE);
	(void) close(s[0]);
}

static void test_snapshot(void)
{
	struct vmm_reply out = { .type = VMM_SNAPSHOT, .written = { 5, 1 << 20 } }, in;
	struct vmm_written w;
	uint8_t bytes[VMM_REPLY_MAX];
	size_t n = vmm_encode_reply(&out, bytes);
	struct err e;
	int s[2];

	CHECK(vmm_decode_reply(bytes, n, &in) == 1);
	CHECK(in.written.state_bytes == 5 && in.written.memory_bytes == 1 << 20);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s) == 0);
	CHECK(send(s[1], bytes, n, 0) == (ssize_t) n);
	CHECK(vmm_snapshot(s[0], 0, 0, 0, clock_deadline(60 * NSEC_PER_SEC), &w, &e) == 0);
	CHECK(w.state_bytes == 5 && w.memory_bytes == 1 << 20);

	out = (struct vmm_reply){ .type = VMM_SNAPSHOT, .error = EBUSY };
	memcpy(out.reason, "it runs!", 9); /* a whole word, and a NUL that does not go over */
	n = vmm_encode_reply(&out, bytes);
	CHECK(n == 24 && vmm_decode_reply(bytes, n - 1, &in) == 0);
	CHECK(send(s[1], bytes, n, 0) == (ssize_t) n);
	CHECK(vmm_snapshot(s[0], 0, 0, 0, clock_deadline(60 * NSEC_PER_SEC), &w, &e) < 0);
	CHECK(e.sys == EBUSY && strcmp(e.msg, "it runs!") == 0);
	bytes[17] = '\n';
	CHECK(vmm_decode_reply(bytes, n, &in) == -EBADMSG);
	memset(out.reason, 'x', sizeof(out.reason));
	n = vmm_encode_reply(&out, bytes);
	CHECK(vmm_decode_reply(bytes, n, &in) == 1 && strlen(in.reason) == VMM_REASON_MAX - 1);
	(void) close(s[0]);
	(void) close(s[1]);
}

int main(void)
{
	test_snapshot();
	test_request();
	test_stats();
	test_ask();
	return test_done();
}
