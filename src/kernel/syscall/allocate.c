/* SPDX-License-Identifier: Apache-2.0 */
/* Room in files before it is written to: fallocate(2). */
#include <linux/falloc.h>
#include <linux/inotify.h>

#include "kernel/mm/frame.h"
#include "kernel/syscall/decode.h"
#include "kernel/vfs/notify.h"

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

static int allocate(struct inode *i, uint64_t at, uint64_t end, bool keep_size)
{
	uint64_t old = i->pager.size;
	struct vfs_change c = { .what = ATTR_SIZE, .size = end };
	int r = 0;

	if (!i->ops->change)
		return -EOPNOTSUPP;
	sleeplock_take(&i->lock);
	if (end > old && !keep_size)
		r = i->ops->change(i, &c);
	/* What is behind the end of the file has no pages. */
	if (r == 0)
		r = make_pages(i, at, min_of(end, i->pager.size));
	if (r < 0 && i->pager.size > old) {
		c.size = old;
		(void) i->ops->change(i, &c); /* as it was */
	}
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
	if (mode & ~(unsigned int) FALLOC_FL_KEEP_SIZE)
		return -EOPNOTSUPP;
	if (!file_can_write(f))
		return -EBADF;
	if (inode_is(f->inode, S_IFIFO))
		return -ESPIPE;
	if (!inode_is(f->inode, S_IFREG))
		return inode_is(f->inode, S_IFDIR) ? -EISDIR : -ENODEV;
	if (__builtin_add_overflow((int64_t) a[2], (int64_t) a[3], &end))
		return -EFBIG;
	if (!mode && (uint64_t) end > process_limit(t->process, RLIMIT_FSIZE))
		return -EFBIG;
	r = allocate(f->inode, a[2], (uint64_t) end, mode);
	if (r == 0)
		notify_file(f, IN_MODIFY);
	return r;
}
