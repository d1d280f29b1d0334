/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connections of a vsock device: found by their two ports, bounded in number, with what has to
 * be told to the guest about each, the credit of both sides, and what the guest has sent and the
 * host's side does not take yet. No packets and no queues: those are vsock.c's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"

#define VSOCK_FLOWS_MAX	  1024
#define VSOCK_BUFFER_SIZE (128u << 10) /* what the guest may have under way to one socket */

enum vsock_flow_state {
	VSOCK_FREE,
	VSOCK_GREETING, /* from the host: "CONNECT port" is not read yet */
	VSOCK_ASKED,	/* the guest has not answered yet */
	VSOCK_OPEN,
	VSOCK_CLOSING, /* both sides told; the guest's RST is waited for */
	VSOCK_LINGER,  /* gone for the guest: its last bytes are on their way into the socket */
};

/* What the guest has to be told, most urgent first: bits of vsock_flow.tell. */
enum {
	VSOCK_TELL_REQUEST = 1,
	VSOCK_TELL_RESPONSE = 2,
	VSOCK_TELL_SHUTDOWN = 4,
	VSOCK_TELL_CREDIT = 8,
	VSOCK_TELL_ASK_CREDIT = 16,
};

struct vsock_flow {
	enum vsock_flow_state state;
	uint32_t host_port, guest_port;
	int fd;		   /* owned; FD_NONE: closed */
	uint16_t tcp_port; /* of a connection by vsock_offer_ports(); 0: another one */
	uint8_t greeted;   /* bytes of the line before all else that the guest has of it */
	struct loop_source source;
	struct loop_timer patience; /* CLOSING: until it is given up */
	struct vsock_flows *flows;
	bool may_read, may_write;    /* since the last event, nothing said EAGAIN */
	bool host_done, host_deaf;   /* the socket's other end sends no more, reads no more */
	bool guest_done, guest_deaf; /* the guest said so of itself */
	bool cut;		     /* the guest left without having said that it sends no more */
	unsigned tell;
	/* Credit (virtio 1.2, 5.10.6.3); all counters wrap. */
	uint32_t sent;		  /* bytes to the guest */
	uint32_t guest_space;	  /* its buf_alloc */
	uint32_t guest_forwarded; /* its fwd_cnt */
	bool asked_credit;
	uint32_t received;  /* bytes from the guest */
	uint32_t forwarded; /* of these, into the socket or dropped */
	uint32_t told;	    /* of these, known to the guest */
	uint8_t *waiting;   /* owned: a ring of VSOCK_BUFFER_SIZE, or NULL: nothing ever waited */
	uint32_t waiting_at, waiting_n;
	struct vsock_flow *next_hashed;		/* or the next free one */
	struct vsock_flow *next_due, *prev_due; /* in the list of those with something to do */
	bool due;
};

struct vsock_flows {
	struct vsock_flow *all; /* VSOCK_FLOWS_MAX of them */
	struct vsock_flow *free;
	struct vsock_flow *hashed[VSOCK_FLOWS_MAX];
	struct vsock_flow *due, *last_due;
	unsigned n;
	uint32_t next_port; /* for connections from the host */
	void *owner;
};

[[nodiscard]] int vsock_flows_init(struct vsock_flows *f, void *owner); /* 0 or -ENOMEM */
void vsock_flows_fini(struct vsock_flows *f);

/* A new one, not hashed; takes fd. NULL: all are in use, and fd has been closed. */
struct vsock_flow *vsock_flow_new(struct vsock_flows *f, int fd);
/* Gone at once: timer, source, socket, buffer. */
void vsock_flow_free(struct vsock_flow *w);
/* From now on found by its ports. */
void vsock_flow_name(struct vsock_flow *w, uint32_t host_port, uint32_t guest_port);
/* No longer found. */
void vsock_flow_unname(struct vsock_flow *w);
struct vsock_flow *vsock_flow_find(const struct vsock_flows *f, uint32_t host_port,
				   uint32_t guest_port);
/* A port of the host's side that no flow has, of those above the ones that mean something. */
uint32_t vsock_flow_port(struct vsock_flows *f);

/* The list of those with something to do for the guest's receive queue, in turn. */
void vsock_flow_set_due(struct vsock_flow *w);
void vsock_flow_clear_due(struct vsock_flow *w);

/* Bytes that the guest takes now. */
uint32_t vsock_flow_credit(const struct vsock_flow *w);
/* Bytes that it may send yet; more is its fault. */
uint32_t vsock_flow_room(const struct vsock_flow *w);
/* Whether it should be told soon how much room there is. */
bool vsock_flow_must_tell(const struct vsock_flow *w);

/* Bytes that wait for the socket. 0 or -ENOMEM; there is room: vsock_flow_room() said so. */
[[nodiscard]] int vsock_flow_keep(struct vsock_flow *w, const void *from, uint32_t n);
/* The first piece of them. */
uint32_t vsock_flow_waiting(const struct vsock_flow *w, const uint8_t **ret_p);
void vsock_flow_took(struct vsock_flow *w, uint32_t n);
