/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests to a broker, one behind the other: each with two bytes of its data's length before it.
 * Its policies let nobody be reached, nor a port be bound.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/le.h"
#include "broker/sockets.h"
#include "fuzz.h"

static unsigned char out[BROKER_DATA];

static void one(struct sockets *s, const unsigned char *bytes, size_t n)
{
	unsigned char again[BROKER_REQUEST_BYTES], head[BROKER_REPLY_BYTES];
	struct broker_request q, q2;
	struct broker_reply a, a2;
	size_t more;
	int fd;

	(void) broker_reply_get(bytes, n, &a);
	if (broker_request_get(bytes, n, &q) < 0)
		return;
	broker_request_put(&q, again);
	if (broker_request_get(again, sizeof(again), &q2) < 0 || memcmp(&q, &q2, sizeof(q)) != 0)
		abort();
	if (!sockets_serve(s, &q, bytes + BROKER_REQUEST_BYTES, n - BROKER_REQUEST_BYTES, &a, out,
			   &more, &fd)) {
		if (q.type != BROKER_CLOSE && q.type != BROKER_SET)
			abort();
		return;
	}
	broker_reply_put(&a, head);
	if (broker_reply_get(head, sizeof(head), &a2) < 0 || a2.tag != q.tag || more > BROKER_DATA)
		abort();
	/* Nothing leaves, and nothing is listened to. */
	if ((q.type == BROKER_CONNECT && q.address.len != 16 && a.result >= 0) ||
	    (q.type == BROKER_BIND && a.result >= 0) ||
	    (q.type == BROKER_LISTEN && a.result >= 0) || (q.type == BROKER_SEND && a.result >= 0))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct sockets s;
	struct err e;

	if (sockets_init(&s, FD_NONE) < 0)
		return 0;
	if (policy_add(&s.connect, "deny,*,*,*", &e) < 0 ||
	    policy_add(&s.bind, "deny,*,*,*", &e) < 0)
		abort();
	while (size >= 2) {
		size_t n = BROKER_REQUEST_BYTES + load_le16(data);

		data += 2;
		size -= 2;
		if (n > size)
			n = size;
		one(&s, data, n);
		data += n;
		size -= n;
	}
	sockets_fini(&s);
	return 0;
}
