/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/fs/erofs.h"

#include "kernel/core/heap.h"
#include "kernel/fs/erofs_node.h"
#include "kernel/vfs/dentry.h"

#define FILE_MOST (UINT64_C(1) << 62)

static struct heap_cache supers = HEAP_CACHE_INIT(struct erofs);
static struct heap_cache nodes = HEAP_CACHE_INIT(struct erofs_node);

int erofs_read(const struct erofs *e, uint64_t at, void *to, size_t n)
{
	if (at > e->source->bytes || n > e->source->bytes - at)
		return -EUCLEAN;
	return n ? e->source->read(e->source, at, to, n) : 0;
}

/* ---- contents ---- */

static uint64_t table_at(const struct erofs_node *n, uint64_t entry)
{
	return (n->behind + n->xattrs + entry - 1) & ~(entry - 1);
}

/* Where a file's byte `at` lies, and how many lie there in a row; *ret_place UINT64_MAX: a hole. */
static int map(const struct erofs *e, const struct erofs_node *n, uint64_t at, uint64_t *ret_place,
	       uint64_t *ret_run)
{
	uint64_t size = n->inode.pager.size, block, chunk, inside, entry, place;
	uint64_t last = size ? (size - 1) & ~(e->block_bytes - 1) : 0;
	struct erofs_chunk c;
	unsigned int bits;
	int r;

	switch (n->layout) {
	case EROFS_INLINE:
		if (at >= last) {
			*ret_place = n->behind + n->xattrs + (at - last);
			*ret_run = size - at;
			return 0;
		}
		*ret_place = n->where * e->block_bytes + at;
		*ret_run = last - at;
		return 0;
	case EROFS_PLAIN:
		*ret_place = n->where * e->block_bytes + at;
		*ret_run = size - at;
		return 0;
	case EROFS_CHUNKS:
		break;
	}
	bits = (n->where & EROFS_CHUNK_BITS) + (unsigned int) __builtin_ctzll(e->block_bytes);
	chunk = at >> bits;
	inside = at & ((UINT64_C(1) << bits) - 1);
	entry = n->where & EROFS_CHUNK_INDEXES ? sizeof(c) : sizeof(c.block);
	place = table_at(n, entry) + chunk * entry;
	c = (struct erofs_chunk){ 0 };
	if (entry == sizeof(c))
		r = erofs_read(e, place, &c, sizeof(c));
	else
		r = erofs_read(e, place, &c.block, sizeof(c.block));
	if (r < 0)
		return r;
	if (c.device)
		return -EUCLEAN; /* there is one */
	block = c.block;
	*ret_place = block == EROFS_HOLE ? UINT64_MAX : block * e->block_bytes + inside;
	*ret_run = min_of((UINT64_C(1) << bits) - inside, size - at);
	return 0;
}

static int fill(struct pager *p, uint64_t index, void *page)
{
	struct erofs_node *n = erofs_node_of(container_of(p, struct inode, pager));
	struct erofs *e = erofs_of(n->inode.super);
	uint64_t at = index << PAGE_SHIFT, end = min_of(at + PAGE_SIZE, p->size);

	for (char *to = page; at < end;) {
		uint64_t place, run;
		int r = map(e, n, at, &place, &run);

		run = min_of(run, end - at);
		if (r == 0 && place != UINT64_MAX)
			r = erofs_read(e, place, to, run);
		if (r < 0)
			return r == -ENOMEM ? r : -EIO;
		at += run;
		to += run;
	}
	return 0;
}

static void mapped(struct pager *p)
{
	inode_ref(container_of(p, struct inode, pager));
}

static void unmapped(struct pager *p)
{
	inode_unref(container_of(p, struct inode, pager));
}

static const struct pager_ops pages = {
	.fill = fill, .ahead = true, .hold = mapped, .release = unmapped
};

static int64_t readlink(struct inode *i, char *to, size_t room)
{
	return inode_is(i, S_IFLNK) ? pager_read(&i->pager, 0, to, room) : -EINVAL;
}

/* ---- inodes ---- */

static void release(struct inode *i)
{
	struct erofs_node *n = erofs_node_of(i);

	if (tree_has(&n->in_use))
		tree_remove(&erofs_of(i->super)->in_use, &n->in_use);
	pager_fini(&i->pager);
	heap_cache_free(&nodes, n);
}

static const struct inode_ops ops = {
	.lookup = erofs_lookup,
	.iterate = erofs_iterate,
	.readlink = readlink,
	.xattr_get = erofs_xattr_get,
	.xattr_list = erofs_xattr_list,
	.release = release,
};

static struct inode *in_use(struct erofs *e, uint64_t number)
{
	struct tree_node *t = tree_from(&e->in_use, number);
	struct erofs_node *n;

	if (!t || t->key != number)
		return NULL;
	n = container_of(t, struct erofs_node, in_use);
	inode_ref(&n->inode);
	return &n->inode;
}

/* Linux's encoding of device numbers on disks, and as they are in st_rdev. */
static uint64_t device(uint32_t d)
{
	uint64_t major = d >> 8 & 0xfff, minor = (d & 0xff) | (d >> 12 & 0xfff00);

	return (minor & 0xff) | major << 8 | (minor & ~UINT64_C(0xff)) << 12;
}

static int wrong(const struct erofs_node *n, uint32_t mode, uint64_t size)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
	case S_IFDIR:
		break;
	case S_IFLNK:
		if (size == 0 || size >= PAGE_SIZE)
			return -EUCLEAN;
		break;
	case S_IFCHR:
	case S_IFBLK:
	case S_IFIFO:
	case S_IFSOCK:
		return 0;
	default:
		return -EUCLEAN;
	}
	if (n->layout != EROFS_PLAIN && n->layout != EROFS_INLINE && n->layout != EROFS_CHUNKS)
		return -EOPNOTSUPP;
	return size > FILE_MOST ? -EUCLEAN : 0;
}

static int decode(struct erofs *e, uint64_t number, struct erofs_node *n)
{
	uint64_t at = e->meta_at + number * EROFS_SLOT, size;
	struct erofs_inode_extended x;
	struct erofs_inode_compact c;
	nsec_t modify = e->built;
	uint32_t mode;
	int r = number >= e->source->bytes / EROFS_SLOT ? -EUCLEAN
							: erofs_read(e, at, &c, sizeof(c));

	if (r < 0)
		return r;
	if (c.format & 1) {
		r = erofs_read(e, at, &x, sizeof(x));
		if (r < 0)
			return r;
		size = x.size;
		n->inode.uid = x.uid;
		n->inode.gid = x.gid;
		n->inode.links = x.links;
		modify = (nsec_t) (x.modify % (INT64_MAX / NSEC_PER_SEC)) * NSEC_PER_SEC +
			 x.modify_nsec % NSEC_PER_SEC;
	} else {
		size = c.size;
		n->inode.uid = c.uid;
		n->inode.gid = c.gid;
		n->inode.links = c.links;
	}
	mode = c.mode;
	n->inode.mode = mode;
	n->inode.ino = number;
	n->inode.times = (struct vfs_times){ modify, modify, modify, modify };
	n->behind = at + (c.format & 1 ? sizeof(x) : sizeof(c));
	n->xattrs = c.xattr_count ? sizeof(struct erofs_xattrs) + 4 * (c.xattr_count - 1u) : 0;
	n->layout = c.format >> 1 & 7;
	n->where = c.where; /* at the same place in both */
	n->inode.rdev = (mode & S_IFMT) == S_IFCHR || (mode & S_IFMT) == S_IFBLK ? device(c.where)
										 : 0;
	r = wrong(n, mode, size);
	if (r == 0 && !inode_is(&n->inode, S_IFREG) && size > e->source->bytes)
		r = -EUCLEAN; /* a directory of holes would keep who lists it for ever */
	n->inode.pager.size = r == 0 ? size : 0;
	return r;
}

int erofs_node(struct erofs *e, uint64_t number, struct inode **ret)
{
	struct erofs_node *n;
	struct inode *other = in_use(e, number);
	int r;

	if (other) {
		*ret = other;
		return 0;
	}
	n = heap_cache_alloc(&nodes);
	if (!n)
		return -ENOMEM;
	inode_init(&n->inode, &e->super, &ops, 0);
	pager_init(&n->inode.pager, &pages, 0);
	r = decode(e, number, n);
	other = r == 0 ? in_use(e, number) : NULL; /* somebody was quicker while this one parked */
	if (r < 0 || other) {
		inode_unref(&n->inode);
	} else {
		tree_insert(&e->in_use, &n->in_use, number);
		other = &n->inode;
	}
	*ret = other;
	return r;
}

/* ---- the file system ---- */

static void statfs(struct super *s, struct vfs_statfs *ret)
{
	struct erofs *e = erofs_of(s);

	*ret = (struct vfs_statfs){ .blocks = e->blocks,
				    .inodes = e->nodes,
				    .magic = EROFS_MAGIC,
				    .block_size = (uint32_t) e->block_bytes,
				    .name_max = NAME_LONGEST };
}

static void shutdown(struct super *s)
{
	dentry_unref(s->root);
}

static void super_release(struct super *s)
{
	struct erofs *e = erofs_of(s);

	e->source->release(e->source);
	heap_cache_free(&supers, e);
}

static const struct super_ops super_ops = {
	.unwritable = true,
	.type = "erofs",
	.statfs = statfs,
	.shutdown = shutdown,
	.release = super_release,
};

static int describe(struct erofs *e, uint64_t *ret_root)
{
	struct erofs_super d;
	int r = e->source->bytes < EROFS_SUPER_AT + sizeof(d)
			? -EINVAL
			: erofs_read(e, EROFS_SUPER_AT, &d, sizeof(d));

	if (r < 0)
		return r;
	if (d.magic != EROFS_MAGIC)
		return -EINVAL;
	if (d.feature_incompat & ~(uint32_t) EROFS_KNOWN || d.extra_devices)
		return -EOPNOTSUPP;
	if (d.block_bits < 9 || d.block_bits > PAGE_SHIFT || d.dir_block_bits)
		return -EOPNOTSUPP;
	e->block_bytes = UINT64_C(1) << d.block_bits;
	e->meta_at = d.meta_block * e->block_bytes;
	e->xattr_at = d.xattr_block * e->block_bytes;
	e->blocks = d.blocks;
	e->nodes = d.inodes;
	e->built = (nsec_t) (d.build_time % (INT64_MAX / NSEC_PER_SEC)) * NSEC_PER_SEC;
	*ret_root = d.root;
	return 0;
}

int erofs_new(struct erofs_source *source, struct super **ret)
{
	struct erofs *e = heap_cache_alloc(&supers);
	struct inode *root = NULL;
	uint64_t number;
	int r;

	if (!e) {
		source->release(source);
		return -ENOMEM;
	}
	super_init(&e->super, &super_ops);
	e->super.readonly = true;
	e->super.told_for = NSEC_NEVER;
	e->source = source;
	r = describe(e, &number);
	if (r == 0)
		r = erofs_node(e, number, &root);
	if (r == 0 && !inode_is(root, S_IFDIR))
		r = -EUCLEAN;
	e->super.root = r == 0 ? dentry_root(root, "") : NULL;
	if (r == 0 && !e->super.root)
		r = -ENOMEM;
	else if (r < 0)
		inode_unref(root);
	if (r < 0)
		super_release(&e->super);
	else
		*ret = &e->super;
	return r;
}
