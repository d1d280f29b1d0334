/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/fs/anon.h"

#include <linux/magic.h>

#include "kernel/core/heap.h"
#include "kernel/platform/platform.h"
#include "kernel/task/cred.h"
#include "kernel/vfs/file.h"

static struct heap_cache inodes = HEAP_CACHE_INIT(struct inode);

/* It is there as long as the kernel is: whoever asked first is its user for good. */
static const struct super_ops super_ops = {
	.type = "anon_inodefs",
	.magic = ANON_INODE_FS_MAGIC,
	.shutdown = super_stays,
	.release = super_stays,
};

static struct super *super(void)
{
	static struct super one;

	if (!one.ops)
		super_init(&one, &super_ops);
	return &one;
}

static void release(struct inode *i)
{
	heap_cache_free(&inodes, i);
}

static int change(struct inode *i, const struct vfs_change *c)
{
	if (c->what & ATTR_SIZE)
		return -EINVAL;
	if (c->what & ATTR_MODE)
		i->mode = c->mode;
	if (c->what & ATTR_UID)
		i->uid = c->uid;
	if (c->what & ATTR_GID)
		i->gid = c->gid;
	i->times.change = plat_now(PLAT_REALTIME);
	return 0;
}

static const struct inode_ops ops = { .change = change, .release = release };
static const struct pager_ops no_pages;

struct inode *anon_inode(uint32_t mode, const struct cred *who)
{
	static uint64_t last;
	struct inode *i = heap_cache_alloc(&inodes);

	if (!i)
		return NULL;
	inode_init(i, super(), &ops, mode);
	pager_init(&i->pager, &no_pages, 0);
	i->ino = ++last;
	i->uid = who->fsuid;
	i->gid = who->fsgid;
	return i;
}

/* "pipe:[12]" or "anon_inode:[eventfd]". */
static void name_of(char to[static 64], const char *kind, uint64_t ino)
{
	char digits[24];
	size_t n = 0, d = 0, len = min_of(strlen(kind), (size_t) 30);

	if (kind[0] == '[') {
		memcpy(to, "anon_inode:", 11);
		memcpy(to + 11, kind, len);
		to[11 + len] = 0;
		return;
	}
	memcpy(to, kind, len);
	n = len;
	to[n++] = ':';
	to[n++] = '[';
	do {
		digits[d++] = (char) ('0' + ino % 10);
		ino /= 10;
	} while (ino);
	while (d > 0)
		to[n++] = digits[--d];
	to[n++] = ']';
	to[n] = 0;
}

int anon_file(struct inode *i, const char *kind, const struct file_ops *file_ops,
	      unsigned int flags, void *own, struct file **ret)
{
	char name[64];

	name_of(name, kind, i->ino);
	return file_anonymous(file_ops, i, name, flags, own, ret);
}
