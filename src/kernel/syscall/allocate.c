/* SPDX-License-Identifier: Apache-2.0 */
/* Room in files before it is written to, and holes in them: fallocate(2). */
#include <linux/falloc.h>
#include <linux/inotify.h>

#include "kernel/mm/frame.h"
#include "kernel/syscall/decode.h"
#include "kernel/vfs/notify.h"
#include "kernel/vfs/seal.h"

/* Each page of [at, end) has its memory; i->lock is held. */
static int make_pages(struct inode *i, uint64_t at, uint64_t end)
{
	int r = 0;

	for (uint64_t index = at >> PAGE_SHIFT; r == 0 && index << PAGE_SHIFT < end; index++) {
		uint64_t frame;

		r = fiber_interrupted();
		if (r == 0)
			r = pager_page(&i->pager, index, true, &frame);
		if (r == 0)
			frame_unref(frame);
	}
	return r;
}

/* Zeros in the place of bytes of one page, where something is. */
static int zero_part(struct inode *i, uint64_t at, uint64_t end)
{
	static const char zeros[PAGE_SIZE];
	uint64_t index = at >> PAGE_SHIFT;
	int64_t n;

	if (at >= end || pager_seek(&i->pager, index, false) != index)
		return 0;
	n = pager_write(&i->pager, at, zeros, (size_t) (end - at));
	return n < 0 ? (int) n : 0;
}

/* Nothing in [at, end): whole pages go, of others the part is zeros. */
static int make_hole(struct inode *i, uint64_t at, uint64_t end)
{
	uint64_t first = page_up(at), last = page_down(end);
	int r;

	if (first > last) /* within one page */
		return zero_part(i, at, end);
	r = zero_part(i, at, first);
	if (r == 0)
		r = zero_part(i, last, end);
	return r < 0 ? r : pager_punch(&i->pager, first >> PAGE_SHIFT, last >> PAGE_SHIFT);
}

/* i->lock is held. */
static int change_room(struct inode *i, uint64_t at, uint64_t end, unsigned int mode)
{
	uint64_t old = i->pager.size;
	struct vfs_change c = { .what = ATTR_SIZE, .size = end };
	int r = mode & FALLOC_FL_PUNCH_HOLE ? seal_punch(i) : seal_grow(i, end);

	if (r == 0 && mode & FALLOC_FL_ZERO_RANGE)
		r = seal_punch(i);
	if (r == 0 && end > old && !(mode & FALLOC_FL_KEEP_SIZE))
		r = i->ops->change(i, &c);
	/* What is behind the end of the file has no pages. */
	end = min_of(end, i->pager.size);
	if (r == 0 && mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE) && at < end)
		r = make_hole(i, at, end);
	if (r == 0 && !(mode & FALLOC_FL_PUNCH_HOLE))
		r = make_pages(i, at, end);
	if (r < 0 && i->pager.size > old) {
		c.size = old;
		(void) i->ops->change(i, &c); /* as it was */
	}
	return r;
}

/* The modes that are told of bytes, beside those that only make room. */
#define OF_BYTES ((unsigned int) (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))

static int check_mode(unsigned int mode)
{
	bool punch = mode & FALLOC_FL_PUNCH_HOLE;

	if (mode & ~(OF_BYTES | FALLOC_FL_KEEP_SIZE))
		return -EOPNOTSUPP;
	return (mode & OF_BYTES) == OF_BYTES || (punch && !(mode & FALLOC_FL_KEEP_SIZE))
		       ? -EOPNOTSUPP
		       : 0;
}

static int allocate(struct file *f, uint64_t at, uint64_t end, unsigned int mode)
{
	struct inode *i = f->inode;
	int r;

	if (!i->ops->change)
		return -EOPNOTSUPP;
	sleeplock_take(&i->lock);
	r = f->ops->allocate ? f->ops->allocate(f, (int) mode, at, end - at)
			     : change_room(i, at, end, mode);
	if (r == 0 && mode & OF_BYTES)
		file_written(f);
	sleeplock_give(&i->lock);
	return r;
}

sysret_t sys_fallocate(struct task *t, const uint64_t *a)
{
	unsigned int mode = (unsigned int) a[1];
	auto_file struct file *f = NULL;
	int64_t end;
	int r = fd_file(t, a[0], &f);

	if (r < 0)
		return r;
	if ((int64_t) a[2] < 0 || (int64_t) a[3] <= 0)
		return -EINVAL;
	r = check_mode(mode);
	if (r < 0)
		return r;
	if (!file_can_write(f))
		return -EBADF;
	if (inode_is(f->inode, S_IFIFO))
		return -ESPIPE;
	if (!inode_is(f->inode, S_IFREG))
		return inode_is(f->inode, S_IFDIR) ? -EISDIR : -ENODEV;
	if (__builtin_add_overflow((int64_t) a[2], (int64_t) a[3], &end))
		return -EFBIG;
	if (!(mode & FALLOC_FL_KEEP_SIZE) &&
	    (uint64_t) end > process_limit(t->process, RLIMIT_FSIZE))
		return -EFBIG;
	r = allocate(f, a[2], (uint64_t) end, mode);
	if (r == 0)
		notify_file(f, IN_MODIFY);
	return r;
}
