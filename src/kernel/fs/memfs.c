/* SPDX-License-Identifier: Apache-2.0 */
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>

#include "kernel/core/heap.h"
#include "kernel/fs/memfs_node.h"
#include "kernel/mm/frame.h"
#include "kernel/platform/platform.h"
#include "kernel/task/cred.h"
#include "kernel/vfs/dentry.h"
#include "kernel/vfs/seal.h"

#define ENTRY_SIZE 20 /* as Linux's tmpfs counts a directory's size */
#define INO_OVER                                                                                   \
	(UINT64_C(1) << 40) /* what is new over another file system is numbered behind it */

static struct heap_cache inodes = HEAP_CACHE_INIT(struct mem_inode);
static struct heap_cache supers = HEAP_CACHE_INIT(struct mem_super);

static const struct inode_ops ops;
static const struct super_ops super_ops;

/* ---- contents ---- */

static int fill(struct pager *p, uint64_t index, void *page)
{
	struct mem_super *s = mem_super_of(container_of(p, struct inode, pager));

	(void) index;
	(void) page;
	if (s->pages >= s->pages_most)
		return -ENOSPC;
	s->pages++;
	return 0;
}

static void dropped(struct pager *p, uint64_t gone)
{
	mem_super_of(container_of(p, struct inode, pager))->pages -= gone;
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

static int may_punch(struct pager *p)
{
	return seal_punch(container_of(p, struct inode, pager));
}

static const struct pager_ops pages = {
	.may_punch = may_punch,
	.fill = fill,
	.sparse = true,
	.dropped = dropped,
	.hold = mapped,
	.release = unmapped,
};

/* ---- inodes ---- */

struct mem_inode *mem_make(struct mem_super *s, uint32_t mode, bool counted)
{
	struct mem_inode *m;

	if (counted && s->inodes >= s->inodes_most)
		return NULL;
	m = heap_cache_alloc(&inodes);
	if (!m)
		return NULL;
	inode_init(&m->inode, &s->super, &ops, mode);
	pager_init(&m->inode.pager, &pages, 0);
	m->inode.ino = ++s->last_ino;
	m->next_position = 2;
	list_init(&m->xattrs);
	sleeplock_init(&m->merging);
	m->merged = m->own_xattrs = true;
	if (inode_is(&m->inode, S_IFDIR))
		m->inode.links = 2;
	if (inode_is(&m->inode, S_IFREG) && s->super.ops == &super_ops)
		m->inode.seals = SEALS_KEPT | F_SEAL_SEAL;
	if (counted)
		s->inodes++;
	return m;
}

static void release(struct inode *i)
{
	struct mem_inode *m = mem_of(i);
	struct mem_super *s = mem_super_of(i);

	pager_fini(&i->pager);
	mem_xattrs_free(m);
	heap_free(m->target);
	if (m->below) {
		tree_remove(&s->by_below, &m->by_below);
		inode_unref(m->below);
	} else {
		s->inodes--;
	}
	heap_cache_free(&inodes, m);
}

/* A name is gone, for a directory both. */
void mem_unname(struct inode *i, uint64_t links)
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

struct mem_entry *mem_find(struct mem_inode *dir, const char *name, size_t len)
{
	uint64_t key = hash(name, len);

	for (struct tree_node *n = tree_from(&dir->by_hash, key); n && n->key == key;
	     n = tree_next(n)) {
		struct mem_entry *e = container_of(n, struct mem_entry, by_hash);

		if (e->len == len && memcmp(e->name, name, len) == 0)
			return e;
	}
	return NULL;
}

int mem_put(struct mem_inode *dir, const char *name, size_t len, struct mem_inode *m,
	    struct mem_entry *like)
{
	struct mem_entry *e = heap_alloc(sizeof(*e) + len);

	if (!e)
		return -ENOMEM;
	*e = *like;
	e->inode = m;
	e->len = len;
	memcpy(e->name, name, len);
	if (m)
		inode_ref(&m->inode);
	tree_insert(&dir->by_hash, &e->by_hash, hash(name, len));
	tree_insert(&dir->by_position, &e->by_position, dir->next_position++);
	dir->entries++;
	if (e->counted) {
		dir->inode.pager.size += ENTRY_SIZE;
		if (e->type == S_IFDIR)
			dir->inode.links++;
	}
	return 0;
}

/* A name that is new. */
int mem_put_new(struct mem_inode *dir, const char *name, size_t len, struct mem_inode *m)
{
	struct mem_entry like = { .ino = m->inode.ino,
				  .type = m->inode.mode & S_IFMT,
				  .counted = true };

	return mem_put(dir, name, len, m, &like);
}

void mem_take(struct mem_inode *dir, struct mem_entry *e)
{
	struct mem_inode *m = e->inode;

	tree_remove(&dir->by_hash, &e->by_hash);
	tree_remove(&dir->by_position, &e->by_position);
	dir->entries--;
	if (e->counted)
		dir->inode.pager.size -= ENTRY_SIZE;
	if (e->type == S_IFDIR && dir->inode.links > 0)
		dir->inode.links--;
	heap_free(e);
	if (m)
		inode_unref(&m->inode);
}

static int lookup(struct inode *dir, const char *name, size_t len, struct inode **ret)
{
	struct mem_entry *e = mem_find(mem_of(dir), name, len);

	if (!e ? !mem_of(dir)->merged : !e->inode)
		return mem_lookup_below(mem_of(dir), name, len, ret);
	if (!e)
		return -ENOENT;
	*ret = &e->inode->inode;
	inode_ref(*ret);
	return 0;
}

static int create(struct inode *dir, const char *name, size_t len, uint32_t mode, uint64_t rdev,
		  const char *target, const struct cred *who, struct inode **ret)
{
	struct mem_inode *m = mem_make(mem_super_of(dir), mode, true);
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
		r = mem_merge(mem_of(dir));
	if (r == 0)
		r = mem_put_new(mem_of(dir), name, len, m);
	if (r < 0) {
		mem_unname(&m->inode, m->inode.links);
		inode_unref(&m->inode);
		return r;
	}
	*ret = &m->inode;
	return 0;
}

static int link(struct inode *dir, const char *name, size_t len, struct inode *target)
{
	int r = mem_merge(mem_of(dir));

	if (r == 0)
		r = target->links == 0 && !target->linkable
			    ? -ENOENT
			    : mem_put_new(mem_of(dir), name, len, mem_of(target));
	if (r == 0) {
		target->links++;
		target->linkable = false;
		target->times.change = plat_now(PLAT_REALTIME);
	}
	return r;
}

static int nameless(struct inode *dir, uint32_t mode, const struct cred *who, struct inode **ret)
{
	struct mem_inode *m = mem_make(mem_super_of(dir), mode, true);

	if (!m)
		return -ENOSPC;
	inode_inherit(&m->inode, dir, who);
	m->inode.links = 0;
	*ret = &m->inode;
	return 0;
}

static int unlink(struct inode *dir, const char *name, size_t len, struct inode *target)
{
	bool directory = inode_is(target, S_IFDIR);
	struct mem_entry *e;
	int r = mem_merge(mem_of(dir));

	if (r == 0 && directory)
		r = mem_merge(mem_of(target));
	if (r < 0)
		return r;
	e = mem_find(mem_of(dir), name, len);
	if (!e || e->inode != mem_of(target))
		return -ENOENT;
	if (directory && mem_of(target)->entries)
		return -ENOTEMPTY;
	mem_take(mem_of(dir), e);
	mem_unname(target, directory ? 2 : 1);
	return 0;
}

static int rename(struct inode *from, const char *old, size_t old_len, struct inode *what,
		  struct inode *to, const char *name, size_t len, struct inode *over,
		  unsigned int flags)
{
	struct mem_entry *e, *o;
	int r = mem_merge(mem_of(from));

	if (r == 0)
		r = mem_merge(mem_of(to));
	if (r == 0 && over)
		r = mem_merge(mem_of(over));
	if (r < 0)
		return r;
	e = mem_find(mem_of(from), old, old_len);
	o = over ? mem_find(mem_of(to), name, len) : NULL;
	if (!e || e->inode != mem_of(what) || (over && (!o || o->inode != mem_of(over))))
		return -ENOENT;
	if (o && flags & RENAME_EXCHANGE) {
		int by = inode_is(what, S_IFDIR) - inode_is(over, S_IFDIR);

		e->inode = mem_of(over);
		o->inode = mem_of(what);
		e->ino = over->ino;
		o->ino = what->ino;
		e->type = over->mode & S_IFMT;
		o->type = what->mode & S_IFMT;
		from->links -= (uint64_t) (int64_t) by;
		to->links += (uint64_t) (int64_t) by;
		return 0;
	}
	if (over && inode_is(over, S_IFDIR) && mem_of(over)->entries)
		return -ENOTEMPTY;
	r = mem_put_new(mem_of(to), name, len, mem_of(what));
	if (r < 0)
		return r;
	if (o) {
		mem_take(mem_of(to), o);
		mem_unname(over, inode_is(over, S_IFDIR) ? 2 : 1);
	}
	mem_take(mem_of(from), e);
	return 0;
}

static int iterate(struct inode *dir, uint64_t at, struct dir_sink *to)
{
	struct mem_inode *m = mem_of(dir);
	int r = mem_merge(m);

	if (r < 0)
		return r;
	for (struct tree_node *n = tree_from(&m->by_position, at); n; n = tree_next(n)) {
		struct mem_entry *e = container_of(n, struct mem_entry, by_position);

		if (!to->entry(to, e->name, e->len, e->ino, e->type, n->key + 1))
			break;
	}
	return 0;
}

static int64_t readlink(struct inode *i, char *to, size_t room)
{
	size_t n;

	if (!mem_of(i)->target) {
		struct inode *below = mem_of(i)->below;

		return below && below->ops->readlink ? below->ops->readlink(below, to, room)
						     : -EINVAL;
	}
	n = min_of((size_t) i->pager.size, room);
	memcpy(to, mem_of(i)->target, n);
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

static const struct inode_ops ops = {
	.lookup = lookup,
	.create = create,
	.link = link,
	.nameless = nameless,
	.unlink = unlink,
	.rename = rename,
	.iterate = iterate,
	.readlink = readlink,
	.change = change,
	.xattr_get = memfs_xattr_get,
	.xattr_set = memfs_xattr_set,
	.xattr_list = memfs_xattr_list,
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
void mem_empty(struct mem_inode *top)
{
	struct mem_inode *dir = top;
	struct tree_node *n;

	/* Directories that still have entries move up to the top before they are emptied. */
	while ((n = tree_first(&dir->by_position))) {
		struct mem_entry *e = container_of(n, struct mem_entry, by_position);
		struct mem_inode *m = e->inode;
		struct tree_node *below;

		while (m && (below = tree_first(&m->by_position))) {
			struct mem_entry *b = container_of(below, struct mem_entry, by_position);

			tree_remove(&m->by_hash, &b->by_hash);
			tree_remove(&m->by_position, &b->by_position);
			tree_insert(&dir->by_hash, &b->by_hash, hash(b->name, b->len));
			tree_insert(&dir->by_position, &b->by_position, dir->next_position++);
			m->entries--;
			dir->entries++;
		}
		if (!m) {
			mem_take(dir, e);
			continue;
		}
		inode_ref(&m->inode);
		mem_take(dir, e);
		mem_unname(&m->inode, inode_is(&m->inode, S_IFDIR) ? UINT64_MAX : 1);
		inode_unref(&m->inode);
	}
}

static void shutdown(struct super *s)
{
	struct mem_inode *root = mem_of(s->root->inode);

	mem_empty(root);
	mem_unname(&root->inode, UINT64_MAX);
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
	.reconfigure = memfs_reconfigure,
};

static const struct super_ops over_ops = {
	.type = "overlay",
	.statfs = statfs,
	.shutdown = shutdown,
	.release = super_release,
};

struct super *memfs_new(const struct memfs_options *o)
{
	struct mem_super *s = heap_cache_alloc(&supers);
	struct mem_inode *root = NULL;

	if (!s)
		return NULL;
	super_init(&s->super, &super_ops);
	s->super.readonly = o->readonly;
	s->super.told_for = o->below ? o->below->super->told_for : NSEC_NEVER;
	s->pages_most = o->bytes ? (o->bytes + PAGE_SIZE - 1) >> PAGE_SHIFT : UINT64_MAX;
	s->inodes_most = o->inodes ? o->inodes : UINT64_MAX;
	if (o->below) {
		s->super.ops = &over_ops;
		s->last_ino = INO_OVER;
		root = mem_show(s, o->below, &root) == 0 ? root : NULL;
	} else {
		root = mem_make(s, S_IFDIR | (o->mode & 07777), true);
		if (root) {
			root->inode.uid = o->uid;
			root->inode.gid = o->gid;
		}
	}
	s->super.root = root ? dentry_root(&root->inode, "") : NULL;
	if (!s->super.root) {
		heap_cache_free(&supers, s);
		return NULL;
	}
	return &s->super;
}
