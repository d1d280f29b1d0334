/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POSIX message queues (mq_overview(7), Linux 6.12): files of a file system of their own, which is
 * there whether it is mounted or not; mq_open(2) finds names in it. A message goes straight to the
 * longest waiting receiver, else into the queue behind those of its priority; who waits for room
 * has it put there by who takes one out.
 */
#pragma once

#include <linux/mqueue.h>

#include "kernel/core/tree.h"

struct file;
struct super;
struct task;

/* /proc/sys/fs/mqueue: for who has no CAP_SYS_RESOURCE, and where nothing is asked for. */
struct mqueue_limits {
	uint64_t messages, messages_default; /* of a queue */
	uint64_t size, size_default;	     /* bytes of a message */
	uint64_t queues;
};
/* For everybody. */
#define MQUEUE_MESSAGES_MOST 65536
#define MQUEUE_SIZE_MOST     (16 << 20)

/* On its way, of the heap. */
struct mqueue_message {
	struct tree_node by_priority;
	uint32_t priority; /* below MQ_PRIO_MAX */
	size_t len;
	char text[];
};

/* The file system, for a mount of it: the caller is a user more. NULL: no memory. */
[[nodiscard]] struct super *mqueue_super(void);

/*
 * An open file of the queue. flags: O_*; mode: the umask is applied; attr: of a new one, or NULL.
 * -EACCES, -EEXIST, -EINVAL, -EMFILE (RLIMIT_MSGQUEUE), -ENAMETOOLONG, -ENOENT, -ENOMEM, -ENOSPC.
 * May park.
 */
[[nodiscard]] int mqueue_open(struct task *t, const char *name, unsigned int flags, uint32_t mode,
			      const struct mq_attr *attr, struct file **ret);
/* Its name goes, it lives until it is closed. May park. */
[[nodiscard]] int mqueue_unlink(struct task *t, const char *name);

/* Of a file that is a queue; -EBADF: it is none, or not open so. */
[[nodiscard]] int mqueue_attr(const struct file *f, struct mq_attr *ret);
/* What a message may have, for a sender or a receiver. */
[[nodiscard]] int mqueue_size(const struct file *f, bool send, uint64_t *ret);

[[nodiscard]] struct mqueue_message *mqueue_message_new(size_t len);
void mqueue_message_free(struct mqueue_message *m);
/* mqueue_size() has said yes. until: PLAT_MONOTONIC, or NSEC_NEVER. Takes m on success. -EAGAIN,
 * -ETIMEDOUT, -ERESTARTSYS. Parks. */
[[nodiscard]] int mqueue_send(struct file *f, struct task *t, struct mqueue_message *m,
			      nsec_t until);
/* The message is the caller's. */
[[nodiscard]] int mqueue_receive(struct file *f, nsec_t until, struct mqueue_message **ret);

/* mq_notify(2): t's process is told once, when a message comes into the empty queue and nobody
 * waits for it. nr: the signal; 0: none is sent. -EBADF, -EBUSY. */
[[nodiscard]] int mqueue_notify(struct file *f, struct task *t, int nr, uint64_t value);
[[nodiscard]] int mqueue_unnotify(struct file *f, struct task *t);

struct mqueue_limits *mqueue_limits(void);
/* The kernel ends, or a test: all names go. */
void mqueue_end(void);
/* Whether there is a queue with a name. */
bool mqueue_any(void);
