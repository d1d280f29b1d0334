/* SPDX-License-Identifier: Apache-2.0 */
/* cachestat(2): how much of a file is in memory. Nothing is dirty, and nothing is ever evicted. */
#include "kernel/mm/frame.h"
#include "kernel/syscall/decode.h"

/* Linux 6.5: linux/mman.h. */
struct cachestat_range_of {
	uint64_t off, len; /* bytes; len 0: to the end */
};

struct cachestat_told {
	uint64_t cached, dirty, writeback, evicted, recently_evicted; /* pages */
};

static uint64_t cached(struct pager *p, uint64_t first, uint64_t last)
{
	uint64_t end = page_up(p->size) >> PAGE_SHIFT, n = 0, frame;

	end = last < end ? last + 1 : end;
	for (uint64_t i = pager_seek(p, first, false); i < end; i = pager_seek(p, i + 1, false)) {
		if (pager_cached(p, i, &frame)) {
			frame_unref(frame);
			n++;
		}
	}
	return n;
}

sysret_t sys_cachestat(struct task *t, const uint64_t *a)
{
	struct cachestat_told told = {};
	struct cachestat_range_of range;
	auto_file struct file *f = NULL;
	uint64_t last = UINT64_MAX;
	int r = fd_file(t, a[0], &f);

	if (r == 0)
		r = copy_in(t->space, &range, uva(a[1]), sizeof(range));
	if (r < 0)
		return r;
	if ((uint32_t) a[3])
		return -EINVAL;
	if (range.len && !__builtin_add_overflow(range.off, range.len - 1, &last))
		last >>= PAGE_SHIFT;
	if (inode_is(f->inode, S_IFREG))
		told.cached = cached(&f->inode->pager, range.off >> PAGE_SHIFT, last);
	return copy_out(t->space, uva(a[2]), &told, sizeof(told));
}
