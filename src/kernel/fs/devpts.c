/* SPDX-License-Identifier: Apache-2.0 */
#include <linux/magic.h>

#include "kernel/core/heap.h"
#include "kernel/core/radix.h"
#include "kernel/fs/devices.h"
#include "kernel/fs/pty.h"
#include "kernel/fs/tty.h"
#include "kernel/platform/platform.h"
#include "kernel/task/cred.h"
#include "kernel/vfs/dentry.h"

#define PTMX_INO 2
#define FIRST	 3 /* number 0 has this inode number and position */

static struct heap_cache inodes = HEAP_CACHE_INIT(struct inode);

static struct {
	struct super super;
	struct devpts_options options;
	struct inode *ptmx;
	struct radix ttys; /* by number; borrowed: devpts_remove() */
} fs;

static const struct pager_ops no_pages;

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
	if (c->what & ATTR_ATIME)
		i->times.access = c->access;
	if (c->what & ATTR_MTIME)
		i->times.modify = c->modify;
	i->times.change = plat_now(PLAT_REALTIME);
	return 0;
}

/* A terminal's name is good until its master goes: own is the terminal until then. */
static bool valid(struct dentry *d)
{
	return d->inode == fs.ptmx || d->inode->own;
}

static const struct inode_ops node_ops = {
	.change = change,
	.valid = valid,
	.release = release,
};

static struct inode *node(const struct inode_ops *ops, uint32_t mode, uint64_t ino, uint64_t rdev)
{
	struct inode *i = heap_cache_alloc(&inodes);

	if (!i)
		return NULL;
	inode_init(i, &fs.super, ops, mode);
	pager_init(&i->pager, &no_pages, 0);
	i->ino = ino;
	i->rdev = rdev;
	return i;
}

/* ---- the directory ---- */

static bool number_of(const char *name, size_t len, uint64_t *ret)
{
	uint64_t n = 0;

	if (len > 9 || (name[0] == '0' && len > 1))
		return false;
	for (size_t k = 0; k < len; k++) {
		if (name[k] < '0' || name[k] > '9')
			return false;
		n = n * 10 + (uint64_t) (name[k] - '0');
	}
	*ret = n;
	return true;
}

static int lookup(struct inode *dir, const char *name, size_t len, struct inode **ret)
{
	struct tty *t = NULL;
	uint64_t index;

	(void) dir;
	if (len == 4 && memcmp(name, "ptmx", 4) == 0)
		*ret = fs.ptmx;
	else if (number_of(name, len, &index) && (t = devpts_find(index)))
		*ret = t->inode;
	else
		return -ENOENT;
	inode_ref(*ret);
	return 0;
}

static int iterate(struct inode *dir, uint64_t at, struct dir_sink *to)
{
	uint64_t index = at > FIRST ? at - FIRST : 0;
	const struct tty *t;

	(void) dir;
	if (at <= PTMX_INO && !to->entry(to, "ptmx", 4, PTMX_INO, S_IFCHR, FIRST))
		return 0;
	for (; (t = radix_next(&fs.ttys, &index)); index++) {
		char name[12], *end = name + sizeof(name), *p = end;
		uint64_t n = index;

		do
			*--p = (char) ('0' + n % 10);
		while (n /= 10);
		if (!to->entry(to, p, (size_t) (end - p), index + FIRST, S_IFCHR,
			       index + FIRST + 1))
			break;
	}
	return 0;
}

static const struct inode_ops directory_ops = {
	.lookup = lookup,
	.iterate = iterate,
	.change = change,
	.release = release,
};

/* ---- the file system ---- */

/* Who asked first is its user for good. */
static const struct super_ops super_ops = {
	.type = "devpts",
	.magic = DEVPTS_SUPER_MAGIC,
	.shutdown = super_stays,
	.release = super_stays,
};

static int begin(const struct devpts_options *o)
{
	struct inode *root;

	if (fs.super.root)
		return 0;
	if (!fs.super.ops)
		super_init(&fs.super, &super_ops);
	fs.options = *o;
	root = node(&directory_ops, S_IFDIR | 0755, 1, 0);
	if (!root)
		return -ENOMEM;
	fs.ptmx = node(&node_ops, S_IFCHR | (o->ptmx_mode & 0777), PTMX_INO, device_number(5, 2));
	if (!fs.ptmx) {
		inode_unref(root);
		return -ENOMEM;
	}
	root->links = 2;
	fs.super.root = dentry_root(root, "");
	if (fs.super.root)
		return 0;
	inode_unref(fs.ptmx);
	return -ENOMEM;
}

struct super *devpts_new(const struct devpts_options *o)
{
	if (begin(o) < 0)
		return NULL;
	super_use(&fs.super);
	return &fs.super;
}

struct tty *devpts_find(uint64_t index)
{
	return radix_get(&fs.ttys, index);
}

struct tty *devpts_next(uint64_t *index)
{
	return radix_next(&fs.ttys, index);
}

bool devpts_free(uint64_t *ret_index)
{
	return radix_gap(&fs.ttys, 0, PTS_MOST, ret_index);
}

int devpts_add(struct tty *t, const struct cred *who, struct inode **ret)
{
	/* As Linux mounts it when nobody says: the terminal's group is what a user opens it for. */
	static const struct devpts_options usual = { .mode = 0600, .ptmx_mode = 0666 };
	struct inode *i;

	if (begin(&usual) < 0)
		return -ENOMEM;
	i = node(&node_ops, S_IFCHR | (fs.options.mode & 0777), t->index + FIRST,
		 device_number(PTS_MAJOR, t->index));
	if (!i)
		return -ENOMEM;
	i->uid = who->fsuid;
	i->gid = fs.options.gid ? fs.options.gid : who->fsgid;
	if (radix_set(&fs.ttys, t->index, t) < 0) {
		inode_unref(i);
		return -ENOMEM;
	}
	i->own = t;
	*ret = i;
	return 0;
}

void devpts_remove(struct tty *t)
{
	t->inode->own = NULL;
	t->inode->links = 0;
	(void) radix_take(&fs.ttys, t->index);
}
