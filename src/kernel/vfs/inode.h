/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files as file systems see them: a super (one mounted file system), its inodes, and what each file
 * system says of them in inode_ops. Names are vfs/dentry.h, open files vfs/file.h. Everything runs
 * under the giant lock; an operation that may park says so, and `lock` of a directory is held by
 * whoever changes its names, that of a file by whoever changes its size.
 */
#pragma once

#include <linux/stat.h>

#include "kernel/core/list.h"
#include "kernel/core/sched.h"
#include "kernel/mm/pager.h"

/* linux/stat.h keeps these from whoever has glibc's headers, as tests do. */
#ifndef S_IFMT
#define S_IFMT	 00170000
#define S_IFSOCK 0140000
#define S_IFLNK	 0120000
#define S_IFREG	 0100000
#define S_IFBLK	 0060000
#define S_IFDIR	 0040000
#define S_IFCHR	 0020000
#define S_IFIFO	 0010000
#define S_ISUID	 0004000
#define S_ISGID	 0002000
#define S_ISVTX	 0001000
#define S_IXGRP	 00010
#endif

struct cred;
struct dentry;
struct file;
struct inode;
struct path;
struct super;

struct vfs_statfs {
	uint64_t blocks, free, available, inodes, inodes_free;
	uint32_t magic, block_size, name_max;
};

struct super_ops {
	const char *type; /* in /proc/filesystems and mountinfo */
	uint32_t magic;	  /* in statfs(2), of one without blocks: statfs is NULL */
	void (*statfs)(struct super *s, struct vfs_statfs *ret);
	/* The last user is gone: names and the root go; inodes that are in use stay. */
	void (*shutdown)(struct super *s);
	/* The last inode is gone, too: frees what embeds s. */
	void (*release)(struct super *s);
	/* What a mount's options change of it: -EINVAL. NULL: it has none. */
	int (*reconfigure)(struct super *s, const char *options);
	bool unwritable; /* its files cannot be written to: it stays read-only */
};

struct super {
	const struct super_ops *ops;
	uint64_t dev; /* st_dev */
	bool readonly;
	nsec_t told_for;     /* its names may be told (vfs/told.h); 0: they may not */
	unsigned int users;  /* who made it, and mounts */
	unsigned int owners; /* users all together, and inodes */
	struct dentry *root;
};

struct vfs_times {
	nsec_t access, change, modify, birth; /* PLAT_REALTIME */
};

/* What setattr changes: those whose bit is set. */
enum vfs_attr {
	ATTR_MODE = 1,
	ATTR_UID = 2,
	ATTR_GID = 4,
	ATTR_SIZE = 8,
	ATTR_ATIME = 16,
	ATTR_MTIME = 32
};

struct vfs_change {
	unsigned int what; /* enum vfs_attr */
	uint32_t mode, uid, gid;
	uint64_t size;
	nsec_t access, modify;
};

/* One entry; false: it does not fit, and none is wanted after it. next: the position behind it. */
struct dir_sink {
	bool (*entry)(struct dir_sink *to, const char *name, size_t len, uint64_t ino,
		      uint32_t mode, uint64_t next);
};

#define NAME_LONGEST 255

/*
 * Names are of 1 to NAME_LONGEST bytes, never "." or "..", without '/'. Results are 0 or -errno.
 * The caller has checked permissions, mounts and read-only file systems. Dentries of names that
 * change are the caller's to change (vfs/dentry.h) but for `lookup`. NULL: the errno that is named.
 */
struct inode_ops {
	/* The inode of a name, owned by the caller in *ret; -ENOENT. May park. Directories only. */
	int (*lookup)(struct inode *dir, const char *name, size_t len, struct inode **ret);
	/* A new file, directory, node or symbolic link (`target`): mode has its type. NULL: -EPERM.
	 */
	int (*create)(struct inode *dir, const char *name, size_t len, uint32_t mode, uint64_t rdev,
		      const char *target, const struct cred *who, struct inode **ret);
	int (*link)(struct inode *dir, const char *name, size_t len, struct inode *target);
	/* A regular file of the directory's file system without a name, as create. NULL:
	 * -EOPNOTSUPP. */
	int (*nameless)(struct inode *dir, uint32_t mode, const struct cred *who,
			struct inode **ret);
	/* Of both kinds: a directory is empty or the result is -ENOTEMPTY. */
	int (*unlink)(struct inode *dir, const char *name, size_t len, struct inode *target);
	/* over: what has the new name, or NULL. flags: RENAME_EXCHANGE, RENAME_WHITEOUT or 0. */
	int (*rename)(struct inode *from, const char *old, size_t old_len, struct inode *what,
		      struct inode *to, const char *name, size_t len, struct inode *over,
		      unsigned int flags);
	/* Entries from position `at` on; 0 and 1 are "." and "..", the caller's. May park. */
	int (*iterate)(struct inode *dir, uint64_t at, struct dir_sink *to);
	/* The target into `to`: its length. NULL: -EINVAL. May park. */
	int64_t (*readlink)(struct inode *i, char *to, size_t room);
	/* A link that leads to a path of its own, not by text: /proc/PID/fd. NULL: by text. */
	int (*follow)(struct inode *i, const struct cred *who, struct path *ret);
	/* Brings the fields below up to date. NULL: they are. May park. */
	int (*refresh)(struct inode *i);
	/* The fields below are changed by it on success. NULL: -EPERM. May park. */
	int (*change)(struct inode *i, const struct vfs_change *c);
	/* Linux's extended attributes: sizes as their system calls give them. NULL: -EOPNOTSUPP. */
	int64_t (*xattr_get)(struct inode *i, const char *name, void *to, size_t room);
	int (*xattr_set)(struct inode *i, const char *name, const void *value, size_t n, int flags);
	int64_t (*xattr_list)(struct inode *i, char *to, size_t room);
	/* What open needs besides the inode: file->ops is set by it. NULL: the type's own. May
	 * park. */
	int (*open)(struct inode *i, struct file *f);
	/* Whether a name may be used without asking: false, it is looked up again. NULL: always. */
	bool (*valid)(struct dentry *d);
	/* The last owner is gone. */
	void (*release)(struct inode *i);
};

struct inode {
	const struct inode_ops *ops;
	struct super *super;
	unsigned int owners;
	uint64_t ino, rdev, links;
	uint32_t mode, uid, gid;
	struct vfs_times times;
	struct pager pager; /* of a regular file: its size is the file's */
	void *own;	    /* of a FIFO: fs/pipe.h's, while it is open */
	struct sleeplock lock;
	struct list marks, locks; /* of inotify and of flock/fcntl: their files' */
	struct list leases;	  /* vfs/lease.h */
	struct list dnotes;	  /* of a directory: fs/dnotify.h */
	unsigned int openers;	  /* open files */
	/* Who has it open for writing, and what programs run it: never both (ETXTBSY). */
	unsigned int writers, executed;
	unsigned int seals; /* vfs/seal.h; 0: it knows none */
	bool linkable;	    /* it never had a name, and may get one: O_TMPFILE */
};

void inode_init(struct inode *i, struct super *s, const struct inode_ops *ops, uint32_t mode);
void inode_ref(struct inode *i);
void inode_unref(struct inode *i);

static inline bool inode_is(const struct inode *i, uint32_t type)
{
	return (i->mode & S_IFMT) == type;
}

/* One user, who made it. */
void super_init(struct super *s, const struct super_ops *ops);
void super_use(struct super *s);
void super_leave(struct super *s);
void super_statfs(struct super *s, struct vfs_statfs *ret);
/* shutdown and release of what is there as long as the kernel is: its last user never goes. */
void super_stays(struct super *s);

/* MAY_READ, MAY_WRITE, MAY_EXEC as access(2)'s R_OK, W_OK, X_OK: 0 or -EACCES. With file
 * capabilities' overrides (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH). */
enum inode_may { MAY_EXEC = 1, MAY_WRITE = 2, MAY_READ = 4 };
[[nodiscard]] int inode_may(const struct inode *i, const struct cred *who, unsigned int may);
/* Whether `who` owns it or may act so (CAP_FOWNER). */
bool inode_owned(const struct inode *i, const struct cred *who);
/* chmod, chown, utimens, truncate as `who`: rights, S_ISUID and S_ISGID that fall. May park. */
[[nodiscard]] int inode_change(struct inode *i, const struct cred *who, struct vfs_change *c);
/* A new inode's group and mode in this directory: S_ISGID passes on. */
void inode_inherit(struct inode *i, const struct inode *dir, const struct cred *who);
