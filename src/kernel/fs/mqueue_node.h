/* SPDX-License-Identifier: Apache-2.0 */
/* Of fs/mqueue*.c alone: what a queue is. */
#pragma once

#include "kernel/core/list.h"
#include "kernel/fs/mqueue.h"
#include "kernel/vfs/file.h"

struct pid;

struct mqueue {
	struct inode inode;
	struct list in_dir;  /* in the order of their making; removed: itself */
	struct list in_all;  /* for the accounts of users */
	uint64_t position;   /* in the directory */
	uint64_t most, size; /* messages, bytes of one */
	uint64_t count, bytes;
	struct tree messages;		/* MQ_PRIO_MAX less the priority, in the order of coming */
	struct list senders, receivers; /* struct mqueue_wait, the longest first */
	struct waitq changed;		/* of poll */
	/* Who is told: owned; NULL: nobody. */
	struct pid *told;
	int told_nr; /* by this signal; 0: none */
	uint64_t told_value;
	/* RLIMIT_MSGQUEUE. */
	uint64_t charged;
	uint32_t payer;
	size_t len;
	char name[NAME_LONGEST + 1];
};

static inline struct mqueue *mqueue_of(const struct inode *i)
{
	return container_of((struct inode *) (uintptr_t) i, struct mqueue, inode);
}

/* mqueue_data.c */
extern const struct file_ops mqueue_file_ops;
void mqueue_forget_told(struct mqueue *q);
