/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System V message queues (msgget(2), msgop(2), msgctl(2); Linux 6.12). A message goes straight to
 * the longest waiting receiver that takes it; who waits for room tries again when some came free.
 */
#pragma once

#include <linux/msg.h>

#include "kernel/core/list.h"

struct task;
struct text;

/* /proc/sys/kernel/msgmax and msgmnb (bytes of a message, of a queue), msgmni. */
struct msg_limits {
	uint64_t message, queue, ids;
};
#define MSG_MESSAGE_MOST (1 << 20)

/* On its way, of the heap. */
struct message {
	struct list link;
	int64_t type;
	size_t len;
	char text[];
};

/* An identifier. -ENOENT, -EEXIST, -EACCES, -ENOSPC, -ENOMEM. */
sysret_t msg_get(struct task *t, int32_t key, int flags);
/* A message of so many bytes, to be filled and sent. NULL: no memory. */
[[nodiscard]] struct message *message_new(size_t len);
void message_free(struct message *m);
/* Takes m on success. flags: IPC_NOWAIT. -EINVAL, -EACCES, -EAGAIN, -EIDRM, -ERESTARTNOHAND.
 * Parks. */
sysret_t msg_send(struct task *t, int32_t id, struct message *m, int flags);
/*
 * type: 0 the first, > 0 the first of it (MSG_EXCEPT: of another), < 0 the first of the lowest of
 * at most -type; MSG_COPY: the one at this place, a copy of it. most: bytes; -E2BIG for a longer
 * one, without MSG_NOERROR. The message is the caller's. -EINVAL, -EACCES, -ENOMSG, -EIDRM,
 * -ENOMEM, -ERESTARTNOHAND. Parks.
 */
sysret_t msg_receive(struct task *t, int32_t id, uint64_t most, int64_t type, int flags,
		     struct message **ret);

/* how: IPC_STAT by identifier, else MSG_STAT, MSG_STAT_ANY by index: 0, or its identifier. */
sysret_t msg_stat(struct task *t, int32_t id, int how, struct msqid64_ds *ret);
sysret_t msg_set(struct task *t, int32_t id, const struct msqid64_ds *to);
sysret_t msg_remove(struct task *t, int32_t id);
/* MSG_INFO, IPC_INFO: the highest index in use. */
int msg_totals(struct msginfo *ret, bool used);

struct msg_limits *msg_limits(void);
/* /proc/sysvipc/msg. */
void msg_table(struct text *to);
/* The kernel ends, or a test: all are removed as by msgctl(2). */
void msg_end(void);
