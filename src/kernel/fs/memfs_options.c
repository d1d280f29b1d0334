/* SPDX-License-Identifier: Apache-2.0 */
/* tmpfs(5)'s options. */
#include "kernel/fs/memfs_node.h"
#include "kernel/fs/mount_options.h"
#include "kernel/mm/frame.h"

/* Those that say what is so anyway: nothing is swapped, numbers have 64 bits, pages are small. */
static bool is_so_anyway(const struct mount_option *m)
{
	return mount_option_is(m, "noswap") || mount_option_is(m, "inode64") ||
	       (mount_option_is(m, "huge") && mount_option_says(m, "never"));
}

static bool one(const struct mount_option *m, struct memfs_options *o)
{
	uint64_t whole = frame_budget() << PAGE_SHIFT, n = 0;
	bool good = true;

	if (mount_option_is(m, "size") || mount_option_is(m, "nr_blocks")) {
		good = mount_option_size(m, whole, &n);
		if (good && mount_option_is(m, "nr_blocks"))
			good = !__builtin_mul_overflow(n, PAGE_SIZE, &n);
		o->bytes = n;
	} else if (mount_option_is(m, "nr_inodes")) {
		good = mount_option_size(m, whole, &n);
		o->inodes = n;
	} else if (mount_option_is(m, "mode")) {
		good = mount_option_number(m, 8, 07777, &n);
		o->mode = (uint32_t) n;
	} else if (mount_option_is(m, "uid")) {
		good = mount_option_number(m, 10, UINT32_MAX - 1, &n);
		o->uid = (uint32_t) n;
	} else if (mount_option_is(m, "gid")) {
		good = mount_option_number(m, 10, UINT32_MAX - 1, &n);
		o->gid = (uint32_t) n;
	} else {
		good = is_so_anyway(m);
	}
	return good;
}

int memfs_parse(const char *text, struct memfs_options *o)
{
	struct mount_option m;

	while (mount_option_next(&text, &m)) {
		if (!one(&m, o))
			return -EINVAL;
	}
	return o->bytes > UINT64_MAX - PAGE_SIZE ? -EINVAL : 0;
}

int memfs_reconfigure(struct super *super, const char *options)
{
	struct mem_super *s = container_of(super, struct mem_super, super);
	struct memfs_options o = {};
	uint64_t pages, inodes;
	int r;

	/* 0 stands for none; a limit that is not named stays. */
	if (s->pages_most != UINT64_MAX)
		o.bytes = s->pages_most << PAGE_SHIFT;
	if (s->inodes_most != UINT64_MAX)
		o.inodes = s->inodes_most;
	r = memfs_parse(options, &o);
	if (r < 0)
		return r;
	pages = o.bytes ? page_up(o.bytes) >> PAGE_SHIFT : UINT64_MAX;
	inodes = o.inodes ? o.inodes : UINT64_MAX;
	if (pages < s->pages || inodes < s->inodes)
		return -EINVAL;
	s->pages_most = pages;
	s->inodes_most = inodes;
	return 0;
}
