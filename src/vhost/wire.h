/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vhost-user's messages as bytes and as structs, for both sides: QEMU's docs/interop/vhost-user,
 * version 1, the requests that devices of ours need. Pure: no descriptor, no state. A message of
 * another length than its request has is refused, as is a request that is not in the table.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum vhost_request {
	VHOST_GET_FEATURES = 1,
	VHOST_SET_FEATURES = 2,
	VHOST_SET_OWNER = 3,
	VHOST_RESET_OWNER = 4,
	VHOST_SET_MEM_TABLE = 5,
	VHOST_SET_LOG_BASE = 6,
	VHOST_SET_VRING_NUM = 8,
	VHOST_SET_VRING_ADDR = 9,
	VHOST_SET_VRING_BASE = 10,
	VHOST_GET_VRING_BASE = 11,
	VHOST_SET_VRING_KICK = 12,
	VHOST_SET_VRING_CALL = 13,
	VHOST_SET_VRING_ERR = 14,
	VHOST_GET_PROTOCOL_FEATURES = 15,
	VHOST_SET_PROTOCOL_FEATURES = 16,
	VHOST_GET_QUEUE_NUM = 17,
	VHOST_SET_VRING_ENABLE = 18,
	VHOST_GET_CONFIG = 24,
	VHOST_SET_CONFIG = 25,
	VHOST_SET_DEVICE_STATE_FD = 42,
	VHOST_CHECK_DEVICE_STATE = 43,
};

/* Bits of the features: for an account of changed pages, and for the protocol's own. */
#define VHOST_F_LOG_ALL		  (UINT64_C(1) << 26)
#define VHOST_F_PROTOCOL_FEATURES (UINT64_C(1) << 30)
/* Bits of the protocol's features. */
#define VHOST_PROTOCOL_MQ	    (UINT64_C(1) << 0)
#define VHOST_PROTOCOL_LOG_SHMFD    (UINT64_C(1) << 1)
#define VHOST_PROTOCOL_REPLY_ACK    (UINT64_C(1) << 3)
#define VHOST_PROTOCOL_CONFIG	    (UINT64_C(1) << 9)
#define VHOST_PROTOCOL_DEVICE_STATE (UINT64_C(1) << 19)

/* In the number of SET_VRING_KICK, _CALL and _ERR: the queue, and whether no descriptor comes. */
#define VHOST_VRING_INDEX_MASK 0xffu
#define VHOST_VRING_NO_FD      0x100u

/* In the flags of SET_VRING_ADDR: changes of the used ring are noted as those of `log`. */
#define VHOST_VRING_LOG 1u

/* Of SET_DEVICE_STATE_FD: which way, when, and what the number in the answer says. */
enum vhost_direction { VHOST_SAVE = 0, VHOST_LOAD = 1 };
#define VHOST_PHASE_STOPPED    0u    /* no ring runs */
#define VHOST_STATE_ERROR_MASK 0xffu /* 0: good */
#define VHOST_STATE_NO_FD      0x100u

#define VHOST_STATE_MAX ((size_t) 512 << 20) /* bytes of a device's state, on both sides */

#define VHOST_HEADER_SIZE 12
#define VHOST_REGIONS_MAX 8   /* of a table of memory, and so of descriptors of one message */
#define VHOST_CONFIG_MAX  256 /* bytes of a device's configuration */
#define VHOST_PAYLOAD_MAX (12 + VHOST_CONFIG_MAX)

struct vhost_region {
	uint64_t gpa, size, user, offset; /* user: where the front end has it mapped */
};

struct vhost_message {
	enum vhost_request request;
	bool reply;	 /* from the back end */
	bool need_reply; /* asks for an answer where there is none otherwise: REPLY_ACK */
	union {
		uint64_t number;
		struct {
			uint32_t index, value;
		} vring;
		struct {
			uint32_t direction, phase;
		} transfer;
		struct {
			uint32_t index, flags;
			uint64_t desc, used, avail; /* in the front end's own addresses */
			uint64_t log;		    /* a guest's address */
		} addr;
		struct {
			uint64_t size, offset;
		} log;
		struct {
			uint32_t n;
			struct vhost_region regions[VHOST_REGIONS_MAX];
		} memory;
		struct {
			uint32_t at, n, flags;
			uint8_t bytes[VHOST_CONFIG_MAX];
		} config;
	};
};

/*
 * The 12 bytes before each payload. Fills request, reply and need_reply and gives the payload's
 * length. -EPROTO: not version 1, longer than any; -EOPNOTSUPP: no request known here, its
 * length is given all the same.
 */
[[nodiscard]] int vhost_decode_header(const uint8_t from[static VHOST_HEADER_SIZE],
				      struct vhost_message *m, uint32_t *ret_n);
/* The payload of a message whose header was read. 0 or -EPROTO. */
[[nodiscard]] int vhost_decode_payload(const uint8_t *from, uint32_t n, struct vhost_message *m);
/* Header and payload: how many bytes. */
size_t vhost_encode(const struct vhost_message *m,
		    uint8_t to[static VHOST_HEADER_SIZE + VHOST_PAYLOAD_MAX]);

/* How many descriptors a request may carry, at most. */
unsigned vhost_fds_max(enum vhost_request r);
/* Whether an answer of its own is defined for it. */
bool vhost_has_reply(enum vhost_request r);
const char *vhost_request_name(enum vhost_request r);
