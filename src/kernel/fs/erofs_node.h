/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of EROFS share: its super and inodes, and what reads the image. */
#pragma once

#include "kernel/core/tree.h"
#include "kernel/fs/erofs.h"
#include "kernel/fs/erofs_format.h"

struct erofs {
	struct super super;
	struct erofs_source *source;
	uint64_t block_bytes, meta_at, xattr_at, blocks, nodes;
	nsec_t built;
	struct tree in_use; /* inodes by number */
};

struct erofs_node {
	struct inode inode;
	struct tree_node in_use;
	enum erofs_layout layout;
	uint64_t behind; /* where in the image its attributes begin: behind the inode itself */
	uint64_t xattrs; /* bytes of them */
	uint32_t where;	 /* first block, or kind of chunks */
};

static inline struct erofs *erofs_of(struct super *s)
{
	return container_of(s, struct erofs, super);
}

static inline struct erofs_node *erofs_node_of(struct inode *i)
{
	return container_of(i, struct erofs_node, inode);
}

/* Within the image, or -EUCLEAN. May park. */
[[nodiscard]] int erofs_read(const struct erofs *e, uint64_t at, void *to, size_t n);
/* Owned by the caller. -EUCLEAN, -EOPNOTSUPP (compressed), -EIO, -ENOMEM. May park. */
[[nodiscard]] int erofs_node(struct erofs *e, uint64_t number, struct inode **ret);

/* ---- erofs_names.c, erofs_xattr.c: members of inode_ops ---- */

int erofs_lookup(struct inode *dir, const char *name, size_t len, struct inode **ret);
int erofs_iterate(struct inode *dir, uint64_t at, struct dir_sink *to);
int64_t erofs_xattr_get(struct inode *i, const char *name, void *to, size_t room);
int64_t erofs_xattr_list(struct inode *i, char *to, size_t room);
