/* SPDX-License-Identifier: Apache-2.0 */
/* Of ipc/msg.c and of checkpoints: what a queue is. */
#pragma once

#include "kernel/ipc/ids.h"
#include "kernel/ipc/msg.h"

struct msg_queue {
	struct ipc_object ipc;
	int64_t stime, rtime, ctime; /* seconds, PLAT_REALTIME */
	uint64_t bytes, count, most; /* most: bytes, and messages without any */
	uint32_t sender, receiver;   /* the last ones */
	struct list messages;
	struct list senders, receivers; /* struct party, the longest first */
};

struct ipc_ids *msg_ids(void);
/* One with these fields, and nothing in it. -EBADMSG as ipc_ids_load(), -ENOMEM. */
[[nodiscard]] int msg_load(const struct ipc_object *like, struct msg_queue **ret);
/* Takes m, as the last. */
void msg_put(struct msg_queue *q, struct message *m);
