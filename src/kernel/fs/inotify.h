/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inotify(7): instances, their watches of inodes (inode.marks), and queues of events that are read.
 * What is told to whom, and when, is vfs/notify.h's. Events are IN_* of linux/inotify.h.
 */
#pragma once

#include "kernel/core/types.h"

struct cred;
struct dentry;
struct file;
struct inode;
struct super;
struct text;

/* /proc/sys/fs/inotify: of one queue, and of one user's. */
#define INOTIFY_QUEUE_MOST     16384
#define INOTIFY_INSTANCES_MOST 128
#define INOTIFY_WATCHES_MOST   65536

/* flags: O_NONBLOCK. -EMFILE: the user has too many. */
[[nodiscard]] int inotify_make(unsigned int flags, const struct cred *who, struct file **ret);
bool file_is_inotify(const struct file *f);
/* The number of its watch, a new one or that it had: IN_MASK_ADD adds to what it had, with
 * IN_MASK_CREATE it is -EEXIST. -EINVAL (no instance), -ENOSPC, -ENOMEM. */
[[nodiscard]] int inotify_watch(struct file *f, struct dentry *d, uint32_t mask);
/* -EINVAL. */
[[nodiscard]] int inotify_unwatch(struct file *f, int32_t number);
/* The lines of /proc/PID/fdinfo. */
void inotify_lines(const struct file *f, struct text *to);

/* ---- of vfs/notify.c: nothing here parks, and the caller owns the inode ---- */

struct notice {
	uint32_t event; /* IN_*, with IN_ISDIR */
	uint32_t cookie;
	const char *name; /* whose, in a directory that is watched; NULL: the inode itself */
	size_t len;
	bool nameless; /* by an open file whose name is gone: IN_EXCL_UNLINK */
};

/* Whether anything is watched. */
bool inotify_any(void);
void inotify_tell(struct inode *i, const struct notice *n);
/* The same, and all watches of it end: IN_IGNORED. */
void inotify_tell_last(struct inode *i, const struct notice *n);
/* IN_UNMOUNT to all that watch in it, and those watches end. */
void inotify_unmounted(const struct super *s);
