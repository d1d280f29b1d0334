/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/vfs/file.h"

#include <asm/fcntl.h>
#include <linux/fs.h>
#include <linux/inotify.h>

#include "kernel/core/heap.h"
#include "kernel/fs/devices.h"
#include "kernel/fs/epoll.h"
#include "kernel/fs/pipe.h"
#include "kernel/mm/frame.h"
#include "kernel/platform/platform.h"
#include "kernel/task/cred.h"
#include "kernel/task/task.h"
#include "kernel/vfs/lease.h"
#include "kernel/vfs/lock.h"
#include "kernel/vfs/notify.h"
#include "kernel/vfs/owner.h"
#include "kernel/vfs/seal.h"

static struct heap_cache files = HEAP_CACHE_INIT(struct file);

static const struct file_ops regular_ops, directory_ops;

static struct file *file_new(struct inode *i, unsigned int flags)
{
	struct file *f = heap_cache_alloc(&files);

	if (!f)
		return NULL;
	f->inode = i;
	f->owners = 1;
	f->flags = flags;
	sleeplock_init(&f->pos_lock);
	list_init(&f->watches);
	return f;
}

/* Its mount does not become read-only while it is open: nodes and pipes are no part of that. */
static bool keeps_writable(const struct file *f)
{
	return f->path.mount && (inode_is(f->inode, S_IFREG) || inode_is(f->inode, S_IFDIR));
}

int file_open(const struct path *p, unsigned int flags, const struct cred *who, struct file **ret)
{
	struct inode *i = p->dentry->inode;
	struct file *f = file_new(
		i, flags & ~(unsigned int) (O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC));
	int r = 0;

	if (!f)
		return -ENOMEM;
	f->path = *p;
	f->who = cred_ref(who);
	path_ref(p);
	inode_ref(i);
	if (flags & O_PATH) {
		*ret = f;
		return 0;
	}
	if (inode_is(i, S_IFREG))
		f->ops = &regular_ops;
	else if (inode_is(i, S_IFDIR))
		f->ops = &directory_ops;
	if (i->executed > 0 && file_can_write(f))
		r = -ETXTBSY;
	else if (i->ops->open)
		r = i->ops->open(i, f);
	else if (inode_is(i, S_IFIFO))
		r = fifo_open(i, f);
	else if (inode_is(i, S_IFCHR))
		r = device_open(i, f, flags);
	else if (!f->ops)
		r = inode_is(i, S_IFLNK) ? -ELOOP : -ENXIO;
	if (r < 0) {
		f->ops = NULL;
		file_unref(f);
		return r;
	}
	i->openers++;
	if (file_can_write(f)) {
		i->writers++;
		if (keeps_writable(f))
			f->path.mount->writers++;
	}
	notify_file(f, IN_OPEN);
	*ret = f;
	return 0;
}

int file_anonymous(const struct file_ops *ops, struct inode *i, const char *name,
		   unsigned int flags, void *own, struct file **ret)
{
	struct file *f = file_new(i, flags);
	struct dentry *d;

	if (!f)
		return -ENOMEM;
	inode_ref(i);
	inode_ref(i);
	d = dentry_root(i, name);
	if (!d) {
		inode_unref(i);
		heap_cache_free(&files, f);
		return -ENOMEM;
	}
	f->ops = ops;
	f->own = own;
	f->path.dentry = d;
	i->openers++;
	if (file_can_write(f))
		i->writers++;
	*ret = f;
	return 0;
}

void file_ref(struct file *f)
{
	f->owners++;
}

void file_unref(struct file *f)
{
	if (!f || --f->owners > 0)
		return;
	if (f->ops)
		notify_file(f, file_can_write(f) ? IN_CLOSE_WRITE : IN_CLOSE_NOWRITE);
	epoll_forget(f);
	if (!list_empty(&f->inode->locks))
		lock_drop(f->inode, f);
	if (!list_empty(&f->inode->leases))
		lease_drop(f);
	owner_free(f);
	if (f->ops) {
		f->inode->openers--;
		if (file_can_write(f)) {
			f->inode->writers--;
			if (keeps_writable(f))
				f->path.mount->writers--;
		}
		if (f->ops->release)
			f->ops->release(f);
	}
	/* An anonymous file's name stands in no mount. */
	if (f->path.mount)
		path_unref(&f->path);
	else
		dentry_unref(f->path.dentry);
	inode_unref(f->inode);
	cred_unref(f->who);
	heap_cache_free(&files, f);
}

bool file_can_read(const struct file *f)
{
	return !(f->flags & O_PATH) && (f->flags & O_ACCMODE) != O_WRONLY;
}

bool file_can_write(const struct file *f)
{
	unsigned int mode = f->flags & O_ACCMODE;

	return !(f->flags & O_PATH) && (mode == O_WRONLY || mode == O_RDWR);
}

/* What was read or written is told, and counts for who did it. */
static int64_t moved(const struct file *f, int64_t n, uint32_t event)
{
	struct task *t = this_task();

	if (t && event == IN_ACCESS) {
		t->usage.reads++;
		t->usage.read += (uint64_t) max_of(n, (int64_t) 0);
	} else if (t) {
		t->usage.writes++;
		t->usage.written += (uint64_t) max_of(n, (int64_t) 0);
	}
	if (n > 0)
		notify_file(f, event);
	return n;
}

/* One who waits in a stream, a socket or an eventfd, holds up nobody who writes to the same one. */
static void position_take(struct file *f)
{
	if (f->ops->seek)
		sleeplock_take(&f->pos_lock);
}

static void position_give(struct file *f)
{
	if (f->ops->seek)
		sleeplock_give(&f->pos_lock);
}

int64_t vfs_read(struct file *f, struct uio *to, uint64_t *pos)
{
	int64_t n;

	if (!file_can_read(f))
		return -EBADF;
	if (!f->ops->read)
		return inode_is(f->inode, S_IFDIR) ? -EISDIR : -EINVAL;
	if (pos)
		return moved(f, f->ops->read(f, to, pos), IN_ACCESS);
	position_take(f);
	n = f->ops->read(f, to, &f->pos);
	position_give(f);
	return moved(f, n, IN_ACCESS);
}

/* What RLIMIT_FSIZE leaves of a write at `at`. */
static int within_limit(struct uio *from, uint64_t at, uint64_t limit)
{
	if (from->left == 0)
		return 0;
	if (at >= limit)
		return -EFBIG;
	uio_shorten(from, limit - at);
	return 0;
}

int64_t file_write(struct file *f, struct uio *from, uint64_t *pos, uint64_t limit)
{
	return file_write_so(f, from, pos, limit, f->flags & O_APPEND);
}

int64_t file_write_so(struct file *f, struct uio *from, uint64_t *pos, uint64_t limit, bool append)
{
	bool regular = inode_is(f->inode, S_IFREG);
	int64_t n = 0;

	if (!file_can_write(f))
		return -EBADF;
	if (!f->ops->write)
		return -EINVAL;
	if (!pos)
		position_take(f);
	if (regular) {
		uint64_t *at = pos ? pos : &f->pos;

		sleeplock_take(&f->inode->lock);
		/* Linux: O_APPEND also moves pwrite(2) to the end. */
		if (append)
			*at = f->inode->pager.size;
		n = within_limit(from, *at, limit);
	}
	if (n == 0)
		n = f->ops->write(f, from, pos ? pos : &f->pos);
	if (regular)
		sleeplock_give(&f->inode->lock);
	if (!pos)
		position_give(f);
	return moved(f, n, IN_MODIFY);
}

/* How many bytes from `at` on are there, so that reading them does not park; at most n. */
static uint64_t bytes_ready(struct pager *p, uint64_t at, uint64_t n)
{
	uint64_t end = min_of(p->size, at + n), from = at;

	while (at < end && pager_ready(p, at >> PAGE_SHIFT))
		at = (at | (PAGE_SIZE - 1)) + 1;
	return min_of(at, end) - from;
}

int file_ready(struct file *f, struct uio *u, uint64_t at, bool write)
{
	struct inode *i = f->inode;
	uint64_t most;

	if (f->pos_lock.holder || (write && i->lock.holder))
		return -EAGAIN;
	if (u->left == 0 || at >= i->pager.size)
		return 0;
	most = bytes_ready(&i->pager, at, u->left);
	if (most == 0)
		return -EAGAIN;
	uio_shorten(u, most);
	return 0;
}

int64_t file_seek(struct file *f, int64_t offset, int whence)
{
	int64_t n;

	if (f->flags & O_PATH)
		return -EBADF;
	if (!f->ops->seek)
		return -ESPIPE;
	sleeplock_take(&f->pos_lock);
	n = f->ops->seek(f, offset, whence);
	if (n >= 0)
		f->pos = (uint64_t) n;
	sleeplock_give(&f->pos_lock);
	return n;
}

/* ---- regular files: their inode's pager ---- */

static int64_t regular_read(struct file *f, struct uio *to, uint64_t *pos)
{
	struct pager *p = &f->inode->pager;
	int64_t done = 0;

	while (to->left > 0 && *pos < p->size) {
		uint64_t within = *pos & (PAGE_SIZE - 1),
			 there = min_of(PAGE_SIZE - within, p->size - *pos);
		uint64_t frame;
		int64_t n = pager_page(p, *pos >> PAGE_SHIFT, false, &frame);

		if (n == -ENXIO)
			break;
		if (n == 0) {
			n = uio_out(to, (char *) frame_ptr(frame) + within,
				    (size_t) min_of(there, to->left));
			frame_unref(frame);
		}
		if (n < 0)
			return done ? done : n;
		if (n == 0)
			break;
		done += n;
		*pos += (uint64_t) n;
	}
	return done;
}

/* The file is as long as [.., end): told to its file system. */
static int lengthen(struct inode *i, uint64_t end)
{
	struct vfs_change c = { .what = ATTR_SIZE, .size = end };

	return end > i->pager.size ? i->ops->change(i, &c) : 0;
}

static int64_t write_page(struct file *f, struct uio *from, uint64_t pos)
{
	struct inode *i = f->inode;
	uint64_t within = pos & (PAGE_SIZE - 1), part = min_of(PAGE_SIZE - within, from->left);
	uint64_t old = i->pager.size, frame;
	int64_t n = seal_write(i, pos + part);

	if (n < 0)
		return n;
	n = lengthen(i, pos + part);
	if (n == 0)
		n = pager_page(&i->pager, pos >> PAGE_SHIFT, true, &frame);
	if (n == 0) {
		n = uio_in(from, (char *) frame_ptr(frame) + within, (size_t) part);
		frame_unref(frame);
	}
	if (n < (int64_t) part && i->pager.size > old) {
		struct vfs_change c = { .what = ATTR_SIZE };

		/* The file ends where the bytes did. */
		c.size = n > 0 ? max_of(old, pos + (uint64_t) n) : old;
		(void) i->ops->change(i, &c);
	}
	return n;
}

void file_written(struct file *f)
{
	struct vfs_change c = { .what = ATTR_MTIME, .modify = plat_now(PLAT_REALTIME) };

	if (f->inode->mode & (S_ISUID | S_ISGID) && !cred_can(f->who, CAP_FSETID)) {
		c.what |= ATTR_MODE;
		c.mode = f->inode->mode & ~(uint32_t) S_ISUID;
		if (c.mode & S_IXGRP)
			c.mode &= ~(uint32_t) S_ISGID;
	}
	(void) f->inode->ops->change(f->inode, &c); /* the bytes are there all the same */
}

static int64_t regular_write(struct file *f, struct uio *from, uint64_t *pos)
{
	int64_t done = 0, n = 0;
	uint64_t end;

	if (__builtin_add_overflow(*pos, from->left, &end) || (int64_t) end < 0)
		return -EFBIG;
	while (from->left > 0) {
		n = write_page(f, from, *pos);
		if (n <= 0)
			break;
		done += n;
		*pos += (uint64_t) n;
	}
	if (done)
		file_written(f);
	return done ? done : n;
}

/* The next byte at `at` or behind it that is in a hole, or in none: by pages. */
static int64_t seek_contents(const struct pager *p, uint64_t at, bool hole)
{
	uint64_t first = at >> PAGE_SHIFT, index = pager_seek(p, first, hole);

	if (index == first)
		return (int64_t) at;
	at = min_of(index << PAGE_SHIFT, p->size); /* the end is where the last hole begins */
	return at < p->size || hole ? (int64_t) at : -ENXIO;
}

static int64_t regular_seek(struct file *f, int64_t offset, int whence)
{
	int64_t at, size = (int64_t) f->inode->pager.size;

	switch (whence) {
	case SEEK_SET:
		at = offset;
		break;
	case SEEK_CUR:
		if (__builtin_add_overflow((int64_t) f->pos, offset, &at))
			return -EOVERFLOW;
		break;
	case SEEK_END:
		if (__builtin_add_overflow(size, offset, &at))
			return -EOVERFLOW;
		break;
	case SEEK_DATA:
	case SEEK_HOLE:
		if (offset < 0 || offset >= size)
			return -ENXIO;
		return seek_contents(&f->inode->pager, (uint64_t) offset, whence == SEEK_HOLE);
	default:
		return -EINVAL;
	}
	return at < 0 ? -EINVAL : at;
}

static int regular_mmap(struct file *f, struct pager **ret)
{
	*ret = &f->inode->pager;
	return 0;
}

static int nothing_to_sync(struct file *f, bool data_only)
{
	(void) f;
	(void) data_only;
	return 0;
}

static const struct file_ops regular_ops = {
	.read = regular_read,
	.write = regular_write,
	.seek = regular_seek,
	.mmap = regular_mmap,
	.sync = nothing_to_sync,
};

const struct file_ops *file_regular_ops(void)
{
	return &regular_ops;
}

/* ---- directories ---- */

/* linux_dirent64: ino, off, reclen, type, name; linux_dirent has no type but in its last byte. Each
 * is a multiple of eight bytes. */
#define ENTRY_HEAD     19
#define ENTRY_HEAD_OLD 18

struct entries {
	struct dir_sink sink;
	bool old;
	char *to;
	size_t used, room;
	uint64_t next;
	bool full;
};

static bool put_entry(struct dir_sink *sink, const char *name, size_t len, uint64_t ino,
		      uint32_t mode, uint64_t next)
{
	struct entries *e = container_of(sink, struct entries, sink);
	size_t head = e->old ? ENTRY_HEAD_OLD : ENTRY_HEAD;
	size_t size = (head + len + 1 + e->old + 7) & ~(size_t) 7;
	uint16_t reclen = (uint16_t) size;
	char *at = e->to + e->used;

	if (size > e->room - e->used) {
		e->full = true;
		return false;
	}
	memset(at, 0, size);
	memcpy(at, &ino, 8);
	memcpy(at + 8, &next, 8);
	memcpy(at + 16, &reclen, 2);
	at[e->old ? size - 1 : 18] = (char) ((mode & S_IFMT) >> 12); /* DT_* */
	memcpy(at + head, name, len);
	e->used += size;
	e->next = next;
	return true;
}

static int entries(struct file *f, struct entries *e)
{
	if (f->ops->iterate)
		return f->ops->iterate(f, e->next, &e->sink);
	if (e->next == 0)
		(void) put_entry(&e->sink, ".", 1, f->inode->ino, S_IFDIR, 1);
	if (e->next == 1 && !e->full)
		(void) put_entry(&e->sink, "..", 2, f->path.dentry->parent->inode->ino, S_IFDIR, 2);
	return e->full ? 0 : f->inode->ops->iterate(f->inode, e->next, &e->sink);
}

int64_t file_entries(struct file *f, uva_t to, size_t room, bool old, struct space *s)
{
	struct entries e = { .sink.entry = put_entry,
			     .old = old,
			     .room = min_of(room, (size_t) 32 << 10) };
	struct dentry *d = f->path.dentry;
	int64_t r = 0;

	if (f->flags & O_PATH || !inode_is(f->inode, S_IFDIR))
		return f->flags & O_PATH ? -EBADF : -ENOTDIR;
	if (!f->ops->iterate && !f->inode->ops->iterate)
		return -ENOTDIR;
	if (d->removed)
		return -ENOENT;
	e.to = heap_alloc(e.room);
	if (!e.to)
		return -ENOMEM;
	sleeplock_take(&f->pos_lock);
	sleeplock_take(&f->inode->lock);
	e.next = f->pos;
	r = entries(f, &e);
	sleeplock_give(&f->inode->lock);
	notify_file(f, IN_ACCESS);
	if (r == 0 && e.used == 0 && e.full)
		r = -EINVAL;
	if (r == 0 && copy_out(s, to, e.to, e.used) < 0)
		r = -EFAULT;
	if (r == 0) {
		f->pos = e.next;
		r = (int64_t) e.used;
	}
	sleeplock_give(&f->pos_lock);
	heap_free(e.to);
	return r;
}

static int64_t directory_seek(struct file *f, int64_t offset, int whence)
{
	int64_t at = whence == SEEK_SET ? offset : (int64_t) f->pos + offset;

	if (whence != SEEK_SET && whence != SEEK_CUR)
		return -EINVAL;
	return at < 0 ? -EINVAL : at;
}

static const struct file_ops directory_ops = { .seek = directory_seek, .sync = nothing_to_sync };
