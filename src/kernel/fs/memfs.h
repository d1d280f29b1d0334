/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tmpfs: names, attributes and contents in memory, with Linux's limits of bytes and of inodes.
 * Shared memory and memfds are files of one that is mounted nowhere; the root of a workload lies
 * over its image, page by page and name by name, with no whiteouts and nothing to copy up.
 */
#pragma once

#include "kernel/vfs/inode.h"

struct memfs_options {
	uint64_t bytes, inodes;	 /* at most; 0: no bound but the memory's */
	uint32_t mode, uid, gid; /* of its root */
	bool readonly;
	/* A directory of a file system that does not change (borrowed): its tree is there as if it
	 * had been copied, with its own owners and modes; what is changed is changed here. Type
	 * "overlay". mode, uid and gid are not used. NULL: it begins empty. */
	struct inode *below;
};

/* The caller is its user (super_leave). NULL: no memory. Parks only where `below` does. */
[[nodiscard]] struct super *memfs_new(const struct memfs_options *o);
/* A mount's options into *o: what they do not name stays. -EINVAL. */
[[nodiscard]] int memfs_parse(const char *text, struct memfs_options *o);
