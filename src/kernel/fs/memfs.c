/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/fs/memfs.h"

#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/xattr.h>

#include "kernel/core/heap.h"
#include "kernel/core/tree.h"
#include "kernel/mm/frame.h"
#include "kernel/platform/platform.h"
#include "kernel/task/cred.h"
#include "kernel/vfs/dentry.h"

#define XATTR_BYTES ((size_t) 64 << 10) /* of all of one inode, as ext4 with a block of its own */

struct entry {
	struct tree_node by_hash, by_position;
	struct mem_inode *inode;
	size_t len;
	char name[];
};

struct xattr {
	struct list link;
	size_t name_len, size;
	char bytes[]; /* the name with its end, the value */
};

struct mem_inode {
	struct inode inode;
	struct tree by_hash, by_position; /* a directory's entries */
	uint64_t next_position, entries;
	char *target; /* a symbolic link's */
	struct list xattrs;
	size_t xattr_bytes;
};

struct mem_super {
	struct super super;
	uint64_t pages_most, pages, inodes_most, inodes, last_ino;
};

static struct heap_cache inodes = HEAP_CACHE_INIT(struct mem_inode);
static struct heap_cache supers = HEAP_CACHE_INIT(struct mem_super);

static const struct inode_ops ops;

static struct mem_inode *of(struct inode *i)
{
	return container_of(i, struct mem_inode, inode);
}

static struct mem_super *super_of(struct inode *i)
{
	return container_of(i->super, struct mem_super, super);
}

/* ---- contents ---- */

static int fill(struct pager *p, uint64_t index, void *page)
{
	struct mem_super *s = super_of(container_of(p, struct inode, pager));

	(void) index;
	(void) page;
	if (s->pages >= s->pages_most)
		return -ENOSPC;
	s->pages++;
	return 0;
}

static void dropped(struct pager *p, uint64_t gone)
{
	super_of(container_of(p, struct inode, pager))->pages -= gone;
}

/* A mapping that outlives the last name and descriptor keeps the inode. */
static void mapped(struct pager *p)
{
	inode_ref(container_of(p, struct inode, pager));
}

static void unmapped(struct pager *p)
{
	inode_unref(container_of(p, struct inode, pager));
}

static const struct pager_ops pages = {
	.fill = fill,
	.sparse = true,
	.dropped = dropped,
	.hold = mapped,
	.release = unmapped,
};

/* ---- inodes ---- */

static struct mem_inode *make(struct mem_super *s, uint32_t mode)
{
	struct mem_inode *m;

	if (s->inodes >= s->inodes_most)
		return NULL;
	m = heap_cache_alloc(&inodes);
	if (!m)
		return NULL;
	inode_init(&m->inode, &s->super, &ops, mode);
	pager_init(&m->inode.pager, &pages, 0);
	m->inode.ino = ++s->last_ino;
	m->next_position = 2;
	list_init(&m->xattrs);
	if (inode_is(&m->inode, S_IFDIR))
		m->inode.links = 2;
	s->inodes++;
	return m;
}

static void release(struct inode *i)
{
	struct mem_inode *m = of(i);
	struct mem_super *s = super_of(i);
	struct list *l;

	pager_fini(&i->pager);
	while ((l = list_pop(&m->xattrs)))
		heap_free(list_entry(l, struct xattr, link));
	heap_free(m->target);
	s->inodes--;
	heap_cache_free(&inodes, m);
}

/* A name is gone, for a directory both. */
static void unname(struct inode *i, uint64_t links)
{
	i->links = i->links > links ? i->links - links : 0;
	i->times.change = plat_now(PLAT_REALTIME);
}

/* ---- names ---- */

static uint64_t hash(const char *name, size_t len)
{
	uint64_t h = 5381;

	for (size_t n = 0; n < len; n++)
		h = h * 33 + (unsigned char) name[n];
	return h;
}

static struct entry *find(struct mem_inode *dir, const char *name, size_t len)
{
	uint64_t key = hash(name, len);

	for (struct tree_node *n = tree_from(&dir->by_hash, key); n && n->key == key;
	     n = tree_next(n)) {
		struct entry *e = container_of(n, struct entry, by_hash);

		if (e->len == len && memcmp(e->name, name, len) == 0)
			return e;
	}
	return NULL;
}

/* The entry owns the inode, for as long as it stands. */
static int put(struct mem_inode *dir, const char *name, size_t len, struct mem_inode *m)
{
	struct entry *e = heap_alloc(sizeof(*e) + len);

	if (!e)
		return -ENOMEM;
	e->inode = m;
	e->len = len;
	memcpy(e->name, name, len);
	inode_ref(&m->inode);
	tree_insert(&dir->by_hash, &e->by_hash, hash(name, len));
	tree_insert(&dir->by_position, &e->by_position, dir->next_position++);
	dir->entries++;
	dir->inode.pager.size += 20; /* as Linux's tmpfs counts a directory's size */
	if (inode_is(&m->inode, S_IFDIR))
		dir->inode.links++;
	return 0;
}

static void take(struct mem_inode *dir, struct entry *e)
{
	struct mem_inode *m = e->inode;

	tree_remove(&dir->by_hash, &e->by_hash);
	tree_remove(&dir->by_position, &e->by_position);
	dir->entries--;
	dir->inode.pager.size -= 20;
	if (inode_is(&m->inode, S_IFDIR))
		dir->inode.links--;
	heap_free(e);
	inode_unref(&m->inode);
}

static int lookup(struct inode *dir, const char *name, size_t len, struct inode **ret)
{
	struct entry *e = find(of(dir), name, len);

	if (!e)
		return -ENOENT;
	*ret = &e->inode->inode;
	inode_ref(*ret);
	return 0;
}

static int create(struct inode *dir, const char *name, size_t len, uint32_t mode, uint64_t rdev,
		  const char *target, const struct cred *who, struct inode **ret)
{
	struct mem_inode *m = make(super_of(dir), mode);
	int r = m ? 0 : -ENOSPC;

	if (r < 0)
		return r;
	inode_inherit(&m->inode, dir, who);
	m->inode.rdev = rdev;
	if (target) {
		size_t n = strlen(target);

		m->target = heap_alloc(n + 1);
		if (m->target) {
			memcpy(m->target, target, n);
			m->inode.pager.size = n;
		} else {
			r = -ENOMEM;
		}
	}
	if (r == 0)
		r = put(of(dir), name, len, m);
	if (r < 0) {
		unname(&m->inode, m->inode.links);
		inode_unref(&m->inode);
		return r;
	}
	*ret = &m->inode;
	return 0;
}

static int link(struct inode *dir, const char *name, size_t len, struct inode *target)
{
	int r = target->links == 0 ? -ENOENT : put(of(dir), name, len, of(target));

	if (r == 0) {
		target->links++;
		target->times.change = plat_now(PLAT_REALTIME);
	}
	return r;
}

static int unlink(struct inode *dir, const char *name, size_t len, struct inode *target)
{
	bool directory = inode_is(target, S_IFDIR);
	struct entry *e = find(of(dir), name, len);

	if (!e)
		return -ENOENT;
	if (directory && of(target)->entries)
		return -ENOTEMPTY;
	take(of(dir), e);
	unname(target, directory ? 2 : 1);
	return 0;
}

static int rename(struct inode *from, const char *old, size_t old_len, struct inode *what,
		  struct inode *to, const char *name, size_t len, struct inode *over,
		  unsigned int flags)
{
	struct entry *e = find(of(from), old, old_len), *o = over ? find(of(to), name, len) : NULL;
	int r;

	if (!e || (over && !o))
		return -ENOENT;
	if (o && flags & RENAME_EXCHANGE) {
		int by = inode_is(what, S_IFDIR) - inode_is(over, S_IFDIR);

		e->inode = of(over);
		o->inode = of(what);
		from->links -= (uint64_t) (int64_t) by;
		to->links += (uint64_t) (int64_t) by;
		return 0;
	}
	if (over && inode_is(over, S_IFDIR) && of(over)->entries)
		return -ENOTEMPTY;
	r = put(of(to), name, len, of(what));
	if (r < 0)
		return r;
	if (o) {
		take(of(to), o);
		unname(over, inode_is(over, S_IFDIR) ? 2 : 1);
	}
	take(of(from), e);
	return 0;
}

static int iterate(struct inode *dir, uint64_t at, struct dir_sink *to)
{
	struct mem_inode *m = of(dir);

	for (struct tree_node *n = tree_from(&m->by_position, at); n; n = tree_next(n)) {
		struct entry *e = container_of(n, struct entry, by_position);
		struct inode *i = &e->inode->inode;

		if (!to->entry(to, e->name, e->len, i->ino, i->mode, n->key + 1))
			break;
	}
	return 0;
}

static int64_t readlink(struct inode *i, char *to, size_t room)
{
	size_t n;

	if (!of(i)->target)
		return -EINVAL;
	n = min_of((size_t) i->pager.size, room);
	memcpy(to, of(i)->target, n);
	return (int64_t) n;
}

/* ---- attributes ---- */

static int change(struct inode *i, const struct vfs_change *c)
{
	nsec_t now = plat_now(PLAT_REALTIME);

	if (c->what & ATTR_SIZE) {
		pager_resize(&i->pager, c->size);
		i->times.modify = now;
	}
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
	i->times.change = now;
	return 0;
}

static struct xattr *xattr_find(struct mem_inode *m, const char *name)
{
	size_t len = strlen(name);

	list_each(l, &m->xattrs)
	{
		struct xattr *x = list_entry(l, struct xattr, link);

		if (x->name_len == len && memcmp(x->bytes, name, len) == 0)
			return x;
	}
	return NULL;
}

static int64_t xattr_get(struct inode *i, const char *name, void *to, size_t room)
{
	struct xattr *x = xattr_find(of(i), name);

	if (!x)
		return -ENODATA;
	if (room && room < x->size)
		return -ERANGE;
	if (room)
		memcpy(to, x->bytes + x->name_len + 1, x->size);
	return (int64_t) x->size;
}

/* value NULL: it goes. */
static int xattr_set(struct inode *i, const char *name, const void *value, size_t n, int flags)
{
	struct mem_inode *m = of(i);
	struct xattr *old = xattr_find(m, name), *x = NULL;
	size_t len = strlen(name), was = old ? old->name_len + 1 + old->size : 0;

	if (old && flags & XATTR_CREATE)
		return -EEXIST;
	if (!old && (flags & XATTR_REPLACE || !value))
		return -ENODATA;
	if (value) {
		if (m->xattr_bytes - was + len + 1 + n > XATTR_BYTES)
			return -ENOSPC;
		x = heap_alloc(sizeof(*x) + len + 1 + n);
		if (!x)
			return -ENOMEM;
		x->name_len = len;
		x->size = n;
		memcpy(x->bytes, name, len);
		memcpy(x->bytes + len + 1, value, n);
		list_push(&m->xattrs, &x->link);
		m->xattr_bytes += len + 1 + n;
	}
	if (old) {
		list_remove(&old->link);
		heap_free(old);
		m->xattr_bytes -= was;
	}
	i->times.change = plat_now(PLAT_REALTIME);
	return 0;
}

static int64_t xattr_list(struct inode *i, char *to, size_t room)
{
	size_t used = 0;

	list_each(l, &of(i)->xattrs)
	{
		struct xattr *x = list_entry(l, struct xattr, link);

		if (room && used + x->name_len + 1 > room)
			return -ERANGE;
		if (room)
			memcpy(to + used, x->bytes, x->name_len + 1);
		used += x->name_len + 1;
	}
	return (int64_t) used;
}

static const struct inode_ops ops = {
	.lookup = lookup,
	.create = create,
	.link = link,
	.unlink = unlink,
	.rename = rename,
	.iterate = iterate,
	.readlink = readlink,
	.change = change,
	.xattr_get = xattr_get,
	.xattr_set = xattr_set,
	.xattr_list = xattr_list,
	.release = release,
};

/* ---- the file system ---- */

static void statfs(struct super *super, struct vfs_statfs *ret)
{
	struct mem_super *s = container_of(super, struct mem_super, super);
	uint64_t most = min_of(s->pages_most, frame_budget());
	uint64_t inodes_most = s->inodes_most == UINT64_MAX ? 0 : s->inodes_most;

	*ret = (struct vfs_statfs){ .blocks = most,
				    .free = most > s->pages ? most - s->pages : 0,
				    .inodes = inodes_most,
				    .inodes_free = inodes_most ? inodes_most - s->inodes : 0,
				    .magic = TMPFS_MAGIC,
				    .block_size = PAGE_SIZE,
				    .name_max = NAME_LONGEST };
	ret->available = ret->free;
}

/* The tree below a directory goes, without recursion: the deepest first. */
static void empty(struct mem_inode *top)
{
	struct mem_inode *dir = top;
	struct tree_node *n;

	/* Directories that still have entries move up to the top before they are emptied. */
	while ((n = tree_first(&dir->by_position))) {
		struct entry *e = container_of(n, struct entry, by_position);
		struct mem_inode *m = e->inode;
		struct tree_node *below;

		while ((below = tree_first(&m->by_position))) {
			struct entry *b = container_of(below, struct entry, by_position);

			tree_remove(&m->by_hash, &b->by_hash);
			tree_remove(&m->by_position, &b->by_position);
			tree_insert(&dir->by_hash, &b->by_hash, hash(b->name, b->len));
			tree_insert(&dir->by_position, &b->by_position, dir->next_position++);
			m->entries--;
			dir->entries++;
		}
		inode_ref(&m->inode);
		take(dir, e);
		unname(&m->inode, inode_is(&m->inode, S_IFDIR) ? UINT64_MAX : 1);
		inode_unref(&m->inode);
	}
}

static void shutdown(struct super *s)
{
	struct mem_inode *root = of(s->root->inode);

	empty(root);
	unname(&root->inode, UINT64_MAX);
	dentry_unref(s->root);
}

static void super_release(struct super *s)
{
	heap_cache_free(&supers, container_of(s, struct mem_super, super));
}

static const struct super_ops super_ops = {
	.type = "tmpfs",
	.statfs = statfs,
	.shutdown = shutdown,
	.release = super_release,
};

struct super *memfs_new(const struct memfs_options *o)
{
	struct mem_super *s = heap_cache_alloc(&supers);
	struct mem_inode *root;

	if (!s)
		return NULL;
	super_init(&s->super, &super_ops);
	s->super.readonly = o->readonly;
	s->pages_most = o->bytes ? (o->bytes + PAGE_SIZE - 1) >> PAGE_SHIFT : UINT64_MAX;
	s->inodes_most = o->inodes ? o->inodes : UINT64_MAX;
	root = make(s, S_IFDIR | (o->mode & 07777));
	if (root) {
		root->inode.uid = o->uid;
		root->inode.gid = o->gid;
		s->super.root = dentry_root(&root->inode, "");
	}
	if (!s->super.root) {
		heap_cache_free(&supers, s);
		return NULL;
	}
	return &s->super;
}
