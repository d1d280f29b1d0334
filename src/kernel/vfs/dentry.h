/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names: a tree of dentries per super, each a name in its parent and the inode it leads to, and
 * mounts, which join the trees to one. A path is a dentry seen through a mount. Dentries are kept
 * while something uses them: a child its parent, a path, a mount. The names themselves are their
 * file system's; one that was removed lives on without a name while it is used.
 */
#pragma once

#include "kernel/core/list.h"
#include "kernel/core/tree.h"
#include "kernel/vfs/inode.h"

struct dentry {
	struct dentry *parent; /* itself: a root */
	struct inode *inode;
	struct super *super;
	struct tree_node
		by_name; /* in the parent's children, by the hash of the name; height 0: not */
	struct tree children;
	unsigned int owners;
	bool removed;	     /* no longer a name of its parent */
	unsigned int mounts; /* how many stand on it, wherever */
	size_t len;
	char *name; /* of the heap, with an end */
};

/* A root: of a super, or of what has no place in a tree (a pipe), named as readlink shows it. */
[[nodiscard]] struct dentry *dentry_root(struct inode *i, const char *name);
/* The cached one, owned by the caller, or NULL. */
struct dentry *dentry_cached(struct dentry *dir, const char *name, size_t len);
/* One more name; inode: takes the caller's. NULL: no memory, and the inode is given back. */
[[nodiscard]] struct dentry *dentry_add(struct dentry *dir, const char *name, size_t len,
					struct inode *i);
/* Cached or looked up, owned by the caller. -ENOENT, ... May park; dir->inode->lock is taken. */
[[nodiscard]] int dentry_lookup(struct dentry *dir, const char *name, size_t len,
				struct dentry **ret);
void dentry_ref(struct dentry *d);
void dentry_unref(struct dentry *d);
/* Its name is gone: no longer found. */
void dentry_remove(struct dentry *d);
/* Another name, in another directory of the same super. -ENOMEM changes nothing. */
[[nodiscard]] int dentry_move(struct dentry *d, struct dentry *dir, const char *name, size_t len);
bool dentry_below(const struct dentry *d, const struct dentry *top); /* d is top, or within it */

/* ---- mounts ---- */

enum mount_flags {
	MNT_READONLY = 1,
	MNT_NOSUID = 2,
	MNT_NODEV = 4,
	MNT_NOEXEC = 8,
	MNT_NOATIME = 16,
	MNT_NODIRATIME = 32,
	MNT_NOSYMFOLLOW = 64
};

#define MOUNTS_MOST 4096 /* of one mount space: they are looked through one by one */

struct mount_space;

struct mount {
	struct super *super;
	struct dentry *root;
	struct mount *parent; /* NULL: the root of its mount space, or in none */
	struct dentry *point; /* of the parent's super */
	struct mount_space *space;
	struct list in_space;
	unsigned int flags, owners, id;
	unsigned int writers; /* files and directories open for writing through it */
	const char *source;   /* as mountinfo shows it; of the heap */
	struct mount *copy;   /* while its tree is bound elsewhere */
};

/* What a mount namespace is: all its mounts, the root first. */
struct mount_space {
	unsigned int owners;
	struct list mounts; /* what stands on another one behind it */
	struct mount *root;
	unsigned int count;
};

struct path {
	struct mount *mount;
	struct dentry *dentry;
};

void path_ref(const struct path *p);
void path_unref(struct path *p); /* and empties it */

static inline bool path_same(const struct path *a, const struct path *b)
{
	return a->mount == b->mount && a->dentry == b->dentry;
}

[[nodiscard]] struct mount_space *mount_space_new(struct super *root, unsigned int flags,
						  const char *source);
void mount_space_unref(struct mount_space *s);
/* `root` of its super, on a path. -ENOMEM, -ENOENT (the point was removed), -ENOTDIR, -ENOSPC (too
 * many). */
[[nodiscard]] int mount_add(const struct path *on, struct dentry *root, unsigned int flags,
			    const char *source, struct mount **ret);
/* -EBUSY: something is mounted on it or uses it; with `detach` it goes as soon as nobody does.
 * -EINVAL: a root. */
[[nodiscard]] int mount_remove(struct mount *m, bool detach);
/* What is at `from`, on another path, too, with the flags of its mount; recursive: with what stands
 * below it. -EINVAL: of another mount space, or of none; mount_add()'s. */
[[nodiscard]] int mount_bind(const struct path *from, const struct path *on, bool recursive);
/* With what stands on it. -EINVAL: a root, another mount space, a directory on what is none or the
 * other way round; -ELOOP: on itself, -ENOENT. */
[[nodiscard]] int mount_move(struct mount *m, const struct path *on);
/* Other flags (enum mount_flags). -EBUSY: files are open for writing, and shall not be. */
[[nodiscard]] int mount_set_flags(struct mount *m, unsigned int flags);
/* The same of the whole file system. -EBUSY, -EROFS: it is never written to. */
[[nodiscard]] int mount_change_super(struct mount *m, bool readonly);
/* The topmost that stands on p, instead of p. */
void mount_enter(struct path *p);
/* From the root of a mount to what it stands on; false: nothing is above. */
bool mount_leave(struct path *p);

/*
 * The text of a path as seen from `root`, with an end, at the end of to[0, room); where it begins.
 * *ret_outside: root is not above it. NULL: too long. A removed one has " (deleted)".
 */
char *path_text(const struct path *p, const struct path *root, char *to, size_t room,
		bool *ret_outside);
