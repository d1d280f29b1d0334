/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/broker.h"

#include <errno.h>
#include <string.h>

#include "base/le.h"

/* An address: its length, then BROKER_ADDRESS bytes. */
#define ADDRESS_BYTES (4 + BROKER_ADDRESS)

#define ERRNO_MOST 4095

static unsigned char *put_address(unsigned char *to, const struct broker_address *a)
{
	store_le32(to, a->len);
	memcpy(to + 4, a->bytes, BROKER_ADDRESS);
	return to + ADDRESS_BYTES;
}

/* What is beyond its length says nothing, and is not taken over. */
static int get_address(const unsigned char *from, struct broker_address *ret)
{
	struct broker_address a = { .len = load_le32(from) };

	if (a.len > BROKER_ADDRESS || a.len == 1)
		return -EBADMSG;
	memcpy(a.bytes, from + 4, a.len);
	*ret = a;
	return 0;
}

void broker_request_put(const struct broker_request *q,
			unsigned char to[static BROKER_REQUEST_BYTES])
{
	const uint32_t words[] = { q->type,	    q->tag,	     q->number,
				   (uint32_t) q->a, (uint32_t) q->b, (uint32_t) q->c };

	for (size_t n = 0; n < sizeof(words) / sizeof(words[0]); n++, to += 4)
		store_le32(to, words[n]);
	(void) put_address(put_address(to, &q->address), &q->from);
}

void broker_reply_put(const struct broker_reply *a, unsigned char to[static BROKER_REPLY_BYTES])
{
	store_le32(to, a->tag);
	store_le32(to + 4, (uint32_t) a->result);
	(void) put_address(put_address(to + 8, &a->local), &a->peer);
}

int broker_request_get(const unsigned char *from, size_t n, struct broker_request *ret_q)
{
	struct broker_request q = {};
	uint32_t type;

	if (n < BROKER_REQUEST_BYTES || n > BROKER_REQUEST_BYTES + BROKER_DATA)
		return -EBADMSG;
	type = load_le32(from);
	if (type < BROKER_OPEN || type > BROKER_ROUTES)
		return -EBADMSG;
	q.type = (enum broker_type) type;
	q.tag = load_le32(from + 4);
	q.number = load_le32(from + 8);
	q.a = (int32_t) load_le32(from + 12);
	q.b = (int32_t) load_le32(from + 16);
	q.c = (int32_t) load_le32(from + 20);
	if (q.number >= BROKER_SOCKETS || get_address(from + 24, &q.address) < 0 ||
	    get_address(from + 24 + ADDRESS_BYTES, &q.from) < 0)
		return -EBADMSG;
	*ret_q = q;
	return 0;
}

int broker_reply_get(const unsigned char *from, size_t n, struct broker_reply *ret_a)
{
	struct broker_reply a = {};

	if (n < BROKER_REPLY_BYTES || n > BROKER_REPLY_BYTES + BROKER_DATA)
		return -EBADMSG;
	a.tag = load_le32(from);
	a.result = (int32_t) load_le32(from + 4);
	if (a.result < -ERRNO_MOST || get_address(from + 8, &a.local) < 0 ||
	    get_address(from + 8 + ADDRESS_BYTES, &a.peer) < 0)
		return -EBADMSG;
	*ret_a = a;
	return 0;
}
