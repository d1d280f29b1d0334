/* SPDX-License-Identifier: Apache-2.0 */
#include "vhost/wire.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the protocol is in the host's order");

/* Flags of the header. */
#define VERSION	     1u
#define VERSION_MASK 3u
#define IS_REPLY     (1u << 2)
#define NEED_REPLY   (1u << 3)

enum payload { NOTHING, NUMBER, VRING, ADDR, MEMORY, LOG, CONFIG, TRANSFER };

static const struct kind {
	const char *name;
	enum payload request, reply; /* reply NOTHING: none, or REPLY_ACK's number */
	unsigned fds_max;
} kinds[] = {
	[VHOST_GET_FEATURES] = { "GET_FEATURES", NOTHING, NUMBER, 0 },
	[VHOST_SET_FEATURES] = { "SET_FEATURES", NUMBER, NOTHING, 0 },
	[VHOST_SET_OWNER] = { "SET_OWNER", NOTHING, NOTHING, 0 },
	[VHOST_RESET_OWNER] = { "RESET_OWNER", NOTHING, NOTHING, 0 },
	[VHOST_SET_MEM_TABLE] = { "SET_MEM_TABLE", MEMORY, NOTHING, VHOST_REGIONS_MAX },
	[VHOST_SET_LOG_BASE] = { "SET_LOG_BASE", LOG, NUMBER, 1 },
	[VHOST_SET_VRING_NUM] = { "SET_VRING_NUM", VRING, NOTHING, 0 },
	[VHOST_SET_VRING_ADDR] = { "SET_VRING_ADDR", ADDR, NOTHING, 0 },
	[VHOST_SET_VRING_BASE] = { "SET_VRING_BASE", VRING, NOTHING, 0 },
	[VHOST_GET_VRING_BASE] = { "GET_VRING_BASE", VRING, VRING, 0 },
	[VHOST_SET_VRING_KICK] = { "SET_VRING_KICK", NUMBER, NOTHING, 1 },
	[VHOST_SET_VRING_CALL] = { "SET_VRING_CALL", NUMBER, NOTHING, 1 },
	[VHOST_SET_VRING_ERR] = { "SET_VRING_ERR", NUMBER, NOTHING, 1 },
	[VHOST_GET_PROTOCOL_FEATURES] = { "GET_PROTOCOL_FEATURES", NOTHING, NUMBER, 0 },
	[VHOST_SET_PROTOCOL_FEATURES] = { "SET_PROTOCOL_FEATURES", NUMBER, NOTHING, 0 },
	[VHOST_GET_QUEUE_NUM] = { "GET_QUEUE_NUM", NOTHING, NUMBER, 0 },
	[VHOST_SET_VRING_ENABLE] = { "SET_VRING_ENABLE", VRING, NOTHING, 0 },
	[VHOST_GET_CONFIG] = { "GET_CONFIG", CONFIG, CONFIG, 0 },
	[VHOST_SET_CONFIG] = { "SET_CONFIG", CONFIG, NOTHING, 0 },
	[VHOST_SET_DEVICE_STATE_FD] = { "SET_DEVICE_STATE_FD", TRANSFER, NUMBER, 1 },
	[VHOST_CHECK_DEVICE_STATE] = { "CHECK_DEVICE_STATE", NOTHING, NUMBER, 0 },
};

static const struct kind *kind_of(uint32_t request)
{
	return request < sizeof(kinds) / sizeof(kinds[0]) && kinds[request].name ? &kinds[request]
										 : NULL;
}

static uint32_t load_u32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static uint64_t load_u64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static uint8_t *store_u32(uint8_t *p, uint32_t v)
{
	memcpy(p, &v, sizeof(v));
	return p + sizeof(v);
}

static uint8_t *store_u64(uint8_t *p, uint64_t v)
{
	memcpy(p, &v, sizeof(v));
	return p + sizeof(v);
}

unsigned vhost_fds_max(enum vhost_request r)
{
	const struct kind *k = kind_of(r);

	return k ? k->fds_max : 0;
}

bool vhost_has_reply(enum vhost_request r)
{
	const struct kind *k = kind_of(r);

	return k && k->reply != NOTHING;
}

const char *vhost_request_name(enum vhost_request r)
{
	const struct kind *k = kind_of(r);

	return k ? k->name : "an unknown request";
}

int vhost_decode_header(const uint8_t from[static VHOST_HEADER_SIZE], struct vhost_message *m,
			uint32_t *ret_n)
{
	uint32_t request = load_u32(from), flags = load_u32(from + 4), n = load_u32(from + 8);

	if ((flags & VERSION_MASK) != VERSION || n > VHOST_PAYLOAD_MAX)
		return -EPROTO;
	m->request = (enum vhost_request) request;
	m->reply = flags & IS_REPLY;
	m->need_reply = flags & NEED_REPLY;
	*ret_n = n;
	return kind_of(request) ? 0 : -EOPNOTSUPP;
}

static int decode_memory(const uint8_t *from, uint32_t n, struct vhost_message *m)
{
	uint32_t count = n >= 8 ? load_u32(from) : 0;

	if (n < 8 || count > VHOST_REGIONS_MAX || n != 8 + 32 * count)
		return -EPROTO;
	m->memory.n = count;
	from += 8;
	for (uint32_t i = 0; i < count; i++, from += 32)
		m->memory.regions[i] = (struct vhost_region){
			.gpa = load_u64(from),
			.size = load_u64(from + 8),
			.user = load_u64(from + 16),
			.offset = load_u64(from + 24),
		};
	return 0;
}

/* An answer of no bytes at all says that the configuration cannot be read or written. */
static int decode_config(const uint8_t *from, uint32_t n, struct vhost_message *m)
{
	if (n == 0 && m->reply) {
		m->config.at = m->config.n = m->config.flags = 0;
		return 0;
	}
	if (n < 12)
		return -EPROTO;
	m->config.at = load_u32(from);
	m->config.n = load_u32(from + 4);
	m->config.flags = load_u32(from + 8);
	if (m->config.n > VHOST_CONFIG_MAX || n != 12 + m->config.n ||
	    m->config.at > VHOST_CONFIG_MAX - m->config.n)
		return -EPROTO;
	memcpy(m->config.bytes, from + 12, m->config.n);
	return 0;
}

static enum payload payload_of(const struct vhost_message *m)
{
	const struct kind *k = kind_of(m->request);

	if (!k)
		return NOTHING;
	if (!m->reply)
		return k->request;
	return k->reply == NOTHING ? NUMBER : k->reply;
}

int vhost_decode_payload(const uint8_t *from, uint32_t n, struct vhost_message *m)
{
	switch (payload_of(m)) {
	case NOTHING:
		return n == 0 ? 0 : -EPROTO;
	case NUMBER:
		if (n != 8)
			return -EPROTO;
		m->number = load_u64(from);
		return 0;
	case VRING:
		if (n != 8)
			return -EPROTO;
		m->vring.index = load_u32(from);
		m->vring.value = load_u32(from + 4);
		return 0;
	case TRANSFER:
		if (n != 8)
			return -EPROTO;
		m->transfer.direction = load_u32(from);
		m->transfer.phase = load_u32(from + 4);
		return 0;
	case ADDR:
		if (n != 40)
			return -EPROTO;
		m->addr.index = load_u32(from);
		m->addr.flags = load_u32(from + 4);
		m->addr.desc = load_u64(from + 8);
		m->addr.used = load_u64(from + 16);
		m->addr.avail = load_u64(from + 24);
		m->addr.log = load_u64(from + 32);
		return 0;
	case LOG:
		if (n != 16)
			return -EPROTO;
		m->log.size = load_u64(from);
		m->log.offset = load_u64(from + 8);
		return 0;
	case MEMORY:
		return decode_memory(from, n, m);
	case CONFIG:
		return decode_config(from, n, m);
	}
	return -EPROTO;
}

static uint8_t *encode_payload(const struct vhost_message *m, uint8_t *p)
{
	switch (payload_of(m)) {
	case NOTHING:
		return p;
	case NUMBER:
		return store_u64(p, m->number);
	case VRING:
		return store_u32(store_u32(p, m->vring.index), m->vring.value);
	case TRANSFER:
		return store_u32(store_u32(p, m->transfer.direction), m->transfer.phase);
	case ADDR:
		p = store_u32(store_u32(p, m->addr.index), m->addr.flags);
		p = store_u64(store_u64(p, m->addr.desc), m->addr.used);
		return store_u64(store_u64(p, m->addr.avail), m->addr.log);
	case LOG:
		return store_u64(store_u64(p, m->log.size), m->log.offset);
	case MEMORY:
		p = store_u32(store_u32(p, m->memory.n), 0);
		for (uint32_t i = 0; i < m->memory.n && i < VHOST_REGIONS_MAX; i++) {
			const struct vhost_region *r = &m->memory.regions[i];

			p = store_u64(store_u64(p, r->gpa), r->size);
			p = store_u64(store_u64(p, r->user), r->offset);
		}
		return p;
	case CONFIG:
		p = store_u32(store_u32(p, m->config.at), m->config.n);
		p = store_u32(p, m->config.flags);
		memcpy(p, m->config.bytes, m->config.n);
		return p + m->config.n;
	}
	return p;
}

size_t vhost_encode(const struct vhost_message *m,
		    uint8_t to[static VHOST_HEADER_SIZE + VHOST_PAYLOAD_MAX])
{
	uint32_t flags = VERSION | (m->reply ? IS_REPLY : 0) | (m->need_reply ? NEED_REPLY : 0);
	uint8_t *end = encode_payload(m, to + VHOST_HEADER_SIZE);

	(void) store_u32(to, (uint32_t) m->request);
	(void) store_u32(to + 4, flags);
	(void) store_u32(to + 8, (uint32_t) (end - to) - VHOST_HEADER_SIZE);
	return (size_t) (end - to);
}
