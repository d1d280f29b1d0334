/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the guest has open. A handle belongs to its inode, which lives as long; where the file has
 * lost its last name, the handle is what it is reached by.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "device/fs_ids.h"
#include "device/fs_inode.h"

struct fs_handle {
	uint64_t fh;
	int fd; /* owned; FD_NONE: the root of all */
	bool directory;
	bool moved;    /* of a saved state, on a copy: offsets that were given mean nothing here */
	bool closed;   /* it goes with its last request */
	unsigned pins; /* requests that use it */
	const struct fs_work *reader; /* whose entries read ahead are the next ones */
	struct fs_inode *inode;
	struct fs_handle *next; /* of the inode */
};

void fs_handles_init(struct fs_ids *t);
/* Takes fd. -ENFILE: no more descriptors. */
[[nodiscard]] int fs_handle_add(struct fs_ids *t, struct fs_inodes *inodes, struct fs_inode *inode,
				int fd, bool directory, struct fs_handle **ret_handle);
/* The same of a saved state, by its number. fs_ids_mend() has to follow the last one. */
[[nodiscard]] int fs_handle_put(struct fs_ids *t, struct fs_inodes *inodes, struct fs_inode *inode,
				int fd, bool directory, uint64_t fh, struct fs_handle **ret_handle);
/* NULL: none, of another inode, or of the other kind. */
struct fs_handle *fs_handle_get(const struct fs_ids *t, uint64_t fh, const struct fs_inode *inode,
				bool directory);
/* A file's descriptor (borrowed), or FD_NONE: there is none of that number. */
int fs_handle_fd(const struct fs_ids *t, uint64_t fh);
/* The guest has it no longer; as long as requests use it, it stays open for them. */
void fs_handle_close(struct fs_ids *t, struct fs_inodes *inodes, struct fs_handle *h);
/* All of a share's. */
void fs_handles_unshare(struct fs_ids *t, struct fs_inodes *inodes, uint32_t share);
/* A request uses it, and then no longer. */
void fs_handle_pin(struct fs_handle *h);
void fs_handle_unpin(struct fs_inodes *inodes, struct fs_handle *h);
void fs_handles_clear(struct fs_ids *t, struct fs_inodes *inodes);
