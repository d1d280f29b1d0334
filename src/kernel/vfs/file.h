/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open files ("open file descriptions" of POSIX): what read, write, poll and their kin act on, and
 * the tables of descriptors that lead to them. A kind of file is a struct file_ops; regular files
 * and directories of every file system have theirs here.
 */
#pragma once

#include "kernel/core/radix.h"
#include "kernel/mm/uio.h"
#include "kernel/vfs/dentry.h"

struct file;
struct task;

struct file_ops {
	/* At *pos, which is moved on; files without a position ignore it. Bytes, 0 at the end,
	 * -errno; -EAGAIN where O_NONBLOCK is set and it would park. NULL: -EINVAL (-EISDIR: a
	 * directory). */
	int64_t (*read)(struct file *f, struct uio *to, uint64_t *pos);
	int64_t (*write)(struct file *f, struct uio *from, uint64_t *pos);
	/* What is there now of POLL*; with a waiter it stands in the file's queues from then on,
	 * until it is removed. NULL: always readable and writable. */
	unsigned int (*poll)(struct file *f, struct waiter *w);
	/* NULL: -ENOTTY. */
	sysret_t (*ioctl)(struct file *f, unsigned int request, uint64_t arg, struct space *s);
	/* What a mapping shows; owned by the file. NULL: -ENODEV. */
	int (*mmap)(struct file *f, struct pager **ret);
	int (*sync)(struct file *f, bool data_only);
	/* fallocate(2)'s, with the inode's lock. NULL: by its pages. */
	int (*allocate)(struct file *f, int mode, uint64_t at, uint64_t len);
	/* Entries of a directory whose positions are the open file's own, with "." and "..". NULL:
	 * the inode's. */
	int (*iterate)(struct file *f, uint64_t at, struct dir_sink *to);
	/* NULL: -ESPIPE. */
	int64_t (*seek)(struct file *f, int64_t offset, int whence);
	/* Each close of a descriptor; the last owner's after that. NULL: nothing to do. */
	void (*flush)(struct file *f, const void *owner);
	void (*release)(struct file *f);
	bool breaks; /* a write that gives -EPIPE is told by SIGPIPE, too */
};

struct file {
	const struct file_ops *ops;
	struct path path;
	struct inode *inode;
	unsigned int owners;
	unsigned int flags; /* O_*: access mode and status flags */
	uint64_t pos;
	struct sleeplock pos_lock;
	void *own;		  /* of its kind */
	struct list watches;	  /* of epoll */
	const struct cred *who;	  /* who opened it: counted; NULL: of what has no path */
	struct file_owner *owner; /* vfs/owner.h; NULL: nobody asked to be told anything */
	bool made;		  /* O_CREAT made what it opens: F_CREATED_QUERY */
};

/* Takes what is found by walk(): checks nothing, asks the inode's open. -ENOMEM, -ENXIO, -ENODEV
 * ... */
[[nodiscard]] int file_open(const struct path *p, unsigned int flags, const struct cred *who,
			    struct file **ret);
/* Of what has no path: a pipe, a socket, an eventfd. `name` as /proc/PID/fd shows it. Takes own. */
[[nodiscard]] int file_anonymous(const struct file_ops *ops, struct inode *i, const char *name,
				 unsigned int flags, void *own, struct file **ret);
/* How regular files are read, written and mapped: by their inode's pager. */
const struct file_ops *file_regular_ops(void);
void file_ref(struct file *f);
void file_unref(struct file *f);
bool file_can_read(const struct file *f);
bool file_can_write(const struct file *f);

/* What a write changes of a regular file besides its bytes: times, and bits that lend rights. Its
 * lock is held. */
void file_written(struct file *f);

/* The system calls' own rules: access mode, positions, O_APPEND, limits. pos NULL: the file's. */
[[nodiscard]] int64_t vfs_read(struct file *f, struct uio *to, uint64_t *pos);
/* limit: RLIMIT_FSIZE; -EFBIG at it. */
[[nodiscard]] int64_t file_write(struct file *f, struct uio *from, uint64_t *pos, uint64_t limit);
/* At the end, or (append false) at the position, whatever O_APPEND says. */
[[nodiscard]] int64_t file_write_so(struct file *f, struct uio *from, uint64_t *pos, uint64_t limit,
				    bool append);
/* Of a regular file: only what is done at `at` without waiting is left of u. -EAGAIN: nothing. */
[[nodiscard]] int file_ready(struct file *f, struct uio *u, uint64_t at, bool write);
[[nodiscard]] int64_t file_seek(struct file *f, int64_t offset, int whence);
/* getdents64's entries, or getdents' (old), into the guest's memory: bytes, 0 at the end. -ENOTDIR,
 * -EINVAL (no room). */
[[nodiscard]] int64_t file_entries(struct file *f, uva_t to, size_t room, bool old,
				   struct space *s);

/* ---- descriptors ---- */

struct descriptors {
	unsigned int owners;
	struct radix files; /* tagged with close-on-exec */
	uint64_t lowest;    /* nothing below it is free */
	uint64_t count;
};

[[nodiscard]] struct descriptors *descriptors_new(void);
[[nodiscard]] struct descriptors *descriptors_copy(const struct descriptors *from);
void descriptors_ref(struct descriptors *d);
void descriptors_unref(struct descriptors *d);
/* The lowest free one of at least `from` and below `limit`: takes the file. -EMFILE, -ENOMEM: given
 * back. */
[[nodiscard]] int64_t descriptors_add(struct descriptors *d, struct file *f, bool cloexec,
				      uint64_t from, uint64_t limit);
/* Exactly there, in the place of what was: takes the file. -ENOMEM: given back. */
[[nodiscard]] int descriptors_put(struct descriptors *d, uint64_t fd, struct file *f, bool cloexec);
/* Owned by the caller; NULL: not open. */
struct file *descriptors_get(const struct descriptors *d, uint64_t fd);
/* -EBADF. The file's flush runs, and its release if it was the last. */
[[nodiscard]] int descriptors_close(struct descriptors *d, uint64_t fd);
/* -EBADF; 0 or 1. */
int descriptors_cloexec(const struct descriptors *d, uint64_t fd);
[[nodiscard]] int descriptors_set_cloexec(struct descriptors *d, uint64_t fd, bool cloexec);
/* What execve does. */
void descriptors_exec(struct descriptors *d);
/* The next open one at *fd or after it; false: none. */
bool descriptors_next(const struct descriptors *d, uint64_t *fd);
