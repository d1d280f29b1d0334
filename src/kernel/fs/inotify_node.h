/* SPDX-License-Identifier: Apache-2.0 */
/* Of fs/inotify.c and of checkpoints: what an instance is, its watches, and what nobody has read.
 */
#pragma once

#include "kernel/core/list.h"
#include "kernel/core/sched.h"
#include "kernel/core/tree.h"
#include "kernel/fs/inotify.h"

struct inotify_user;

struct inotify_told {
	struct list link;
	struct inotify_head {
		int32_t number;
		uint32_t mask, cookie, len;
	} head;	     /* struct inotify_event */
	char name[]; /* head.len bytes, zeroes at its end */
};

struct inotify {
	struct inotify_user *user;
	struct tree watches; /* by number */
	int32_t last;	     /* the newest number */
	struct list events;
	unsigned int queued;
	size_t bytes; /* of all events in the queue */
	struct inotify_told *overflow;
	struct waitq waiters;
};

struct inotify_watch {
	struct tree_node node;
	struct list of_inode; /* in inode.marks */
	struct list all;      /* in all_watches() */
	struct inotify *in;
	struct inode *inode; /* owned */
	uint32_t mask;	     /* what of it is kept */
	/* How it was found below the root of its super: "" that, "/a/b"; of the heap. NULL: it was
	 * too long, or memory short. Its names may have changed since. */
	char *place;
};

/* By whose number the instance counts. */
uint32_t inotify_uid(const struct inotify *in);

/* Of checkpoints: made as it was. The numbers of watches are above 0, and each is one's.
 * -EBADMSG, -ENOMEM. */
[[nodiscard]] int inotify_load(unsigned int flags, uint32_t uid, int32_t last,
			       const struct cred *who, struct file **ret);
[[nodiscard]] int inotify_watch_load(struct inotify *in, struct dentry *d, int32_t number,
				     uint32_t mask);
/* name: head.len bytes. */
[[nodiscard]] int inotify_event_load(struct inotify *in, const struct inotify_head *head,
				     const char *name);
/* While one is loaded: of what that opens and closes nobody hears. */
void inotify_hush(bool quiet);
