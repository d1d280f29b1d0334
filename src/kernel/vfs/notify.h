/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was done to files and names, told to who watches (fs/inotify.h), with Linux's events in
 * Linux's order. Each is a look at a list where nobody watches; none parks. Events are IN_* of
 * linux/inotify.h.
 */
#pragma once

#include "kernel/core/types.h"

struct dentry;
struct file;
struct inode;
struct super;

/* An entry of a directory. */
struct notify_place {
	struct inode *dir;
	const char *name;
	size_t len;
};

/* An inode itself. */
void notify_inode(struct inode *i, uint32_t event);
/* By a name of it: to its directory, and to itself. */
void notify_dentry(const struct dentry *d, uint32_t event);
/* By an open file. */
void notify_file(const struct file *f, uint32_t event);
/* Opened, read and closed as a program is, which has no open file here. */
void notify_program(const struct dentry *d);
/* What setattr changed: `what` is of enum vfs_attr. */
void notify_change(const struct dentry *d, unsigned int what);

/* Names: of `what`, in its directory alone. */
void notify_entry(const struct notify_place *at, uint32_t event, const struct inode *what);
/* over: what lost its name by it, or NULL. */
void notify_move(const struct notify_place *from, const struct notify_place *to, struct inode *what,
		 struct inode *over);

/* Nobody uses its last name any more, which was removed. */
void notify_gone(struct inode *i);
void notify_unmounted(const struct super *s);
