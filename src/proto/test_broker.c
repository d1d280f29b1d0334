/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/broker.h"

#include <errno.h>
#include <string.h>

#include "base/test.h"

static const struct broker_address where = { .len = 16, .bytes = { 2, 0, 0, 80, 10, 0, 0, 1 } };

static void test_request(void)
{
	unsigned char bytes[BROKER_REQUEST_BYTES + 3] = {};
	const struct broker_request q = { .type = BROKER_SEND,
					  .tag = 0xfffffffe,
					  .number = BROKER_SOCKETS - 1,
					  .a = -1,
					  .b = INT32_MIN,
					  .c = INT32_MAX,
					  .address = where,
					  .from = { .len = 28, .bytes = { 10, 0, [27] = 7 } } };
	struct broker_request got;

	broker_request_put(&q, bytes);
	CHECK(broker_request_get(bytes, sizeof(bytes), &got) == 0);
	CHECK(memcmp(&got, &q, sizeof(q)) == 0);
}

static void test_reply(void)
{
	unsigned char bytes[BROKER_REPLY_BYTES] = {};
	const struct broker_reply a = { .tag = 5, .result = -ECONNREFUSED, .peer = where };
	struct broker_reply got;

	broker_reply_put(&a, bytes);
	CHECK(broker_reply_get(bytes, sizeof(bytes), &got) == 0);
	CHECK(memcmp(&got, &a, sizeof(a)) == 0);
	CHECK(broker_reply_get(bytes, sizeof(bytes) - 1, &got) == -EBADMSG);
	bytes[4] = bytes[5] = bytes[6] = 0;
	bytes[7] = 0x80; /* the lowest number is no errno */
	CHECK(broker_reply_get(bytes, sizeof(bytes), &got) == -EBADMSG);
	bytes[7] = 0;
	bytes[8] = 29; /* longer than an address can be */
	CHECK(broker_reply_get(bytes, sizeof(bytes), &got) == -EBADMSG);
}

static int with(size_t at, unsigned char byte)
{
	static unsigned char bytes[BROKER_REQUEST_BYTES];
	struct broker_request q = { .type = BROKER_BIND, .address = where }, got;

	broker_request_put(&q, bytes);
	bytes[at] = byte;
	return broker_request_get(bytes, sizeof(bytes), &got);
}

static void test_nonsense(void)
{
	static unsigned char longest[BROKER_REQUEST_BYTES + BROKER_DATA + 1];
	struct broker_request q = { .type = BROKER_BIND }, got = { .tag = 77 };

	broker_request_put(&q, longest);
	CHECK(broker_request_get(longest, sizeof(longest), &got) == -EBADMSG);
	CHECK(broker_request_get(longest, sizeof(longest) - 1, &got) == 0);
	got.tag = 77;
	CHECK(broker_request_get(longest, BROKER_REQUEST_BYTES - 1, &got) == -EBADMSG);
	CHECK(broker_request_get(longest, 0, &got) == -EBADMSG);
	CHECK(got.tag == 77);
	CHECK(with(0, BROKER_BIND) == 0);
	CHECK(with(0, 0) == -EBADMSG && with(0, BROKER_ROUTES + 1) == -EBADMSG);
	CHECK(with(3, 1) == -EBADMSG);
	CHECK(with(10, 1) == -EBADMSG); /* number 65536 */
	CHECK(with(24, 1) == -EBADMSG && with(24, 29) == -EBADMSG && with(24, 28) == 0);
	CHECK(with(27, 1) == -EBADMSG && with(24 + 32, 1) == -EBADMSG);
}

int main(void)
{
	test_request();
	test_reply();
	test_nonsense();
	return test_done();
}
