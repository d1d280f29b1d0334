/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tmpfs: names, attributes and contents in memory, with Linux's limits of bytes and of inodes.
 * Shared memory and memfds are files of one that is mounted nowhere.
 */
#pragma once

#include "kernel/vfs/inode.h"

struct memfs_options {
	uint64_t bytes, inodes;	 /* at most; 0: no bound but the memory's */
	uint32_t mode, uid, gid; /* of its root */
	bool readonly;
};

/* The caller is its user (super_leave). NULL: no memory. */
[[nodiscard]] struct super *memfs_new(const struct memfs_options *o);
