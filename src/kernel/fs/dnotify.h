/* SPDX-License-Identifier: Apache-2.0 */
/*
 * F_NOTIFY of fcntl(2): a signal to the owner of an open directory when something in it changes.
 * What is told to whom, and when, is vfs/notify.h's, as of inotify.
 */
#pragma once

#include "kernel/core/types.h"

struct file;
struct inode;
struct notice;

/* mask: DN_*; 0 ends it. table: whose descriptor fd is. -ENOTDIR, -ENOMEM. */
[[nodiscard]] int dnotify_set(struct file *f, const void *table, int fd, uint32_t mask);
/* The nr-th of f, for checkpoints; false: no more. */
struct dnotify_state {
	const void *table; /* borrowed */
	int fd;
	uint32_t mask;
};
bool dnotify_tell_at(const struct file *f, uint64_t nr, struct dnotify_state *ret);
/* The table has closed a descriptor of f. */
void dnotify_closed(const struct file *f, const void *table);

/* ---- of vfs/notify.c ---- */

bool dnotify_any(void);
/* renamed: within the directory. */
void dnotify_tell(struct inode *dir, const struct notice *n, bool renamed);
