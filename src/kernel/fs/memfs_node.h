/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inodes and names of tmpfs, and of what lies over a directory of another file system. Such an
 * inode has the other's attributes from when it was first looked up, and shows its contents, page
 * by page, and its extended attributes, until they are changed: nothing is ever copied up whole.
 * Names are found one by one below until the directory is listed or changed; then all of them are
 * entries here, and what is below is asked for their inodes alone.
 */
#pragma once

#include "kernel/core/tree.h"
#include "kernel/fs/memfs.h"

struct mem_entry {
	struct tree_node by_hash, by_position;
	struct mem_inode *inode; /* NULL: below, and not looked up yet */
	uint64_t ino;		 /* and type (S_IFMT) there, as a listing tells it */
	uint32_t type;
	bool counted; /* in the size and links of its directory: not from below */
	size_t len;
	char name[];
};

struct mem_inode {
	struct inode inode;
	struct tree by_hash, by_position; /* a directory's entries */
	uint64_t next_position, entries;
	char *target; /* a symbolic link's */
	struct list xattrs;
	size_t xattr_bytes;
	struct inode *below;	   /* owned; NULL: nothing */
	struct tree_node by_below; /* in its super, by the inode number below */
	bool merged;		   /* all names of a directory below are entries */
	bool own_xattrs;	   /* none shows through */
	struct sleeplock merging;  /* taken last */
};

struct mem_super {
	struct super super;
	uint64_t pages_most, pages, inodes_most, inodes, last_ino;
	struct tree by_below; /* what shows inodes from below */
};

static inline struct mem_inode *mem_of(struct inode *i)
{
	return container_of(i, struct mem_inode, inode);
}

static inline struct mem_super *mem_super_of(struct inode *i)
{
	return container_of(i->super, struct mem_super, super);
}

/* ---- memfs.c ---- */

/* Without a name. counted: against the limit of inodes. NULL: at the limit, or no memory. */
struct mem_inode *mem_make(struct mem_super *s, uint32_t mode, bool counted);
struct mem_entry *mem_find(struct mem_inode *dir, const char *name, size_t len);
/* The entry owns m (NULL: not looked up yet). -ENOMEM. */
[[nodiscard]] int mem_put(struct mem_inode *dir, const char *name, size_t len, struct mem_inode *m,
			  struct mem_entry *like);

/* A name that is new. -ENOMEM. */
[[nodiscard]] int mem_put_new(struct mem_inode *dir, const char *name, size_t len,
			      struct mem_inode *m);
/* The entry goes, with its owner of the inode. */
void mem_take(struct mem_inode *dir, struct mem_entry *e);
/* A name is gone, for a directory both. */
void mem_unname(struct inode *i, uint64_t links);
/* The tree below a directory goes, without recursion. */
void mem_empty(struct mem_inode *top);

/* ---- memfs_options.c ---- */

/* Of super_ops: other limits. -EINVAL: more than that is in use. */
int memfs_reconfigure(struct super *super, const char *options);

/* ---- memfs_below.c: both may park ---- */

/* The name below, and an entry for it from then on; owned by the caller. dir's lock is held. */
[[nodiscard]] int mem_lookup_below(struct mem_inode *dir, const char *name, size_t len,
				   struct inode **ret);
/* All names below are entries from now on. */
[[nodiscard]] int mem_merge(struct mem_inode *dir);
/* What shows an inode of the file system below, the same for all its names. -ENOMEM. */
[[nodiscard]] int mem_show(struct mem_super *s, struct inode *below, struct mem_inode **ret);

/* ---- memfs_xattr.c: members of inode_ops ---- */

int64_t memfs_xattr_get(struct inode *i, const char *name, void *to, size_t room);
int memfs_xattr_set(struct inode *i, const char *name, const void *value, size_t n, int flags);
int64_t memfs_xattr_list(struct inode *i, char *to, size_t room);
void mem_xattrs_free(struct mem_inode *m);
