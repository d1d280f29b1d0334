/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is asked of a running atoll-vmm on its control socket (stream or seqpacket), and what it
 * answers: one reply per request, in order. Fixed layouts of little-endian numbers; both sides
 * refuse what they do not know.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"

#define VMM_REQUEST_BYTES 16
#define VMM_DEVICES_MAX	  31
#define VMM_REPLY_MAX	  2048
#define VMM_REASON_MAX	  504 /* bytes of a refusal's sentence, its NUL included */

enum vmm_type {
	VMM_INFO = 1,
	VMM_STATS,
	VMM_PAUSE,   /* answered when no processor runs any more */
	VMM_RESUME,  /* also of a machine that runs: nothing */
	VMM_BALLOON, /* value: bytes the guest shall give up, all in all */
	VMM_QUIT,    /* answered, then the process ends with 0 */
	/*
	 * value: from now on so much per second, 0: no limit; of device vmm_limit_device() of what
	 * STATS lists, and of its vmm_limit_what().
	 */
	VMM_LIMIT,
	VMM_BALLOON_WAIT, /* answered when the guest has given up what BALLOON asked for */
	/*
	 * Of a paused machine, which stays so (else EBUSY). value: VMM_SNAPSHOT_*. Beside the
	 * request come two descriptors of empty regular files open for writing: the machine's
	 * state, and its memory, where a page is at its own place (what lies above 4 GiB follows
	 * what lies below) and zeros are holes. They are written when it is answered, but not
	 * synced.
	 */
	VMM_SNAPSHOT,
};

/*
 * The memory's file has what changed since the last snapshot of this process, or since the one it
 * was restored of: changed pages are data, also of zeros, all others are holes. ENODATA: there is
 * none of either.
 */
#define VMM_SNAPSHOT_DIFF 1
#define VMM_SNAPSHOT_FDS  2

struct vmm_request {
	enum vmm_type type;
	uint32_t which; /* LIMIT's, else 0 */
	uint64_t value; /* BALLOON's, LIMIT's, SNAPSHOT's, else 0 */
};

enum vmm_limit { VMM_READ_BYTES, VMM_READ_OPS, VMM_WRITE_BYTES, VMM_WRITE_OPS, VMM_LIMITS_N };
/* Of a LIMIT's `which`. A card's reads are what it receives. */
static inline uint32_t vmm_limit_which(size_t device, enum vmm_limit what)
{
	return (uint32_t) device * VMM_LIMITS_N + (uint32_t) what;
}
static inline size_t vmm_limit_device(uint32_t which)
{
	return which / VMM_LIMITS_N;
}
static inline enum vmm_limit vmm_limit_what(uint32_t which)
{
	return (enum vmm_limit)(which % VMM_LIMITS_N);
}

struct vmm_info {
	uint64_t pid, cpus, memory_bytes;
	bool paused;
};

struct vmm_device_stats {
	uint64_t virtio_id; /* enum virtio_id's numbers: 1 net, 2 block, ... */
	uint64_t read_bytes, write_bytes, reads, writes, errors;
	uint64_t interrupts;
};

struct vmm_stats {
	uint64_t exits; /* of all processors, to the VMM */
	uint64_t balloon_bytes;
	struct vmm_device_stats devices[VMM_DEVICES_MAX];
	size_t devices_n;
};

struct vmm_written {
	uint64_t state_bytes, memory_bytes; /* memory_bytes: that are no holes */
};

struct vmm_reply {
	enum vmm_type type; /* the request's */
	int error;	    /* 0, or the errno why not */
	union {
		struct vmm_info info;	     /* INFO */
		struct vmm_stats stats;	     /* STATS */
		struct vmm_written written;  /* SNAPSHOT */
		char reason[VMM_REASON_MAX]; /* with an error: a sentence, or "" */
	};
};

/* 0 or -EBADMSG (nonsense), -EPROTO (another version). */
void vmm_encode_request(const struct vmm_request *r, uint8_t ret_bytes[static VMM_REQUEST_BYTES]);
[[nodiscard]] int vmm_decode_request(const uint8_t bytes[static VMM_REQUEST_BYTES],
				     struct vmm_request *ret_r);
/* The length of the bytes. */
size_t vmm_encode_reply(const struct vmm_reply *r, uint8_t ret_bytes[static VMM_REPLY_MAX]);
/* 1; 0: there must be more than these n bytes; -EBADMSG, -EPROTO. */
[[nodiscard]] int vmm_decode_reply(const uint8_t *bytes, size_t n, struct vmm_reply *ret_r);

/*
 * Ask on a connected socket (borrowed, blocking) and wait. 0, or -errno: what it answered, or why
 * it could not be asked; -ETIMEDOUT past the deadline, -EPIPE when it hung up.
 */
[[nodiscard]] int vmm_ask(int socket, const struct vmm_request *q, nsec_t deadline,
			  struct vmm_reply *ret_r);
/*
 * VMM_SNAPSHOT with these flags into two files (borrowed). *e has the sentence of a refusal, and
 * its errno in e->sys.
 */
[[nodiscard]] int vmm_snapshot(int socket, uint64_t flags, int state_fd, int memory_fd,
			       nsec_t deadline, struct vmm_written *ret_w, struct err *e);
