/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/core/heap.h"
#include "kernel/fs/memfs_node.h"

static struct mem_inode *shown(struct mem_super *s, struct inode *below)
{
	struct tree_node *t = tree_from(&s->by_below, below->ino);
	struct mem_inode *m;

	if (!t || t->key != below->ino)
		return NULL;
	m = container_of(t, struct mem_inode, by_below);
	inode_ref(&m->inode);
	return m;
}

int mem_show(struct mem_super *s, struct inode *below, struct mem_inode **ret)
{
	struct mem_inode *m;
	int r = below->ops->refresh ? below->ops->refresh(below) : 0;

	if (r < 0)
		return r;
	m = shown(s, below);
	if (!m) {
		m = mem_make(s, below->mode, false);
		if (!m)
			return -ENOMEM;
		m->inode.uid = below->uid;
		m->inode.gid = below->gid;
		m->inode.rdev = below->rdev;
		m->inode.links = below->links;
		m->inode.times = below->times;
		m->inode.ino = below->ino;
		m->inode.pager.size = below->pager.size;
		if (inode_is(below, S_IFREG))
			pager_lay(&m->inode.pager, &below->pager);
		m->below = below;
		m->merged = !inode_is(below, S_IFDIR);
		m->own_xattrs = false;
		inode_ref(below);
		tree_insert(&s->by_below, &m->by_below, below->ino);
	}
	*ret = m;
	return 0;
}

int mem_lookup_below(struct mem_inode *dir, const char *name, size_t len, struct inode **ret)
{
	struct mem_inode *m = NULL;
	struct inode *below;
	struct mem_entry *e;
	int r = dir->below->ops->lookup(dir->below, name, len, &below);

	if (r < 0)
		return r;
	r = mem_show(mem_super_of(&dir->inode), below, &m);
	inode_unref(below);
	if (r < 0)
		return r;
	/* Another's merge may have brought the name meanwhile, without its inode. */
	e = mem_find(dir, name, len);
	if (!e) {
		struct mem_entry like = { .ino = m->inode.ino, .type = m->inode.mode & S_IFMT };

		r = mem_put(dir, name, len, m, &like);
	} else if (!e->inode) {
		e->inode = m;
		inode_ref(&m->inode);
	}
	if (r < 0)
		inode_unref(&m->inode);
	else
		*ret = &m->inode;
	return r;
}

struct merge {
	struct dir_sink sink;
	struct mem_inode *dir;
	uint64_t next;
	int result;
	bool any;
};

static bool bring(struct dir_sink *to, const char *name, size_t len, uint64_t ino, uint32_t mode,
		  uint64_t next)
{
	struct merge *g = container_of(to, struct merge, sink);
	struct mem_entry like = { .ino = ino, .type = mode & S_IFMT };

	if (!mem_find(g->dir, name, len))
		g->result = mem_put(g->dir, name, len, NULL, &like);
	g->next = next;
	g->any = true;
	return g->result == 0;
}

int mem_merge(struct mem_inode *dir)
{
	struct merge g = { .sink = { bring }, .dir = dir, .next = 2 };
	int r = 0;

	if (dir->merged)
		return 0;
	sleeplock_take(&dir->merging);
	while (r == 0 && !dir->merged) {
		g.any = false;
		r = dir->below->ops->iterate(dir->below, g.next, &g.sink);
		if (r == 0)
			r = g.result;
		if (r == 0 && !g.any)
			dir->merged = true;
	}
	sleeplock_give(&dir->merging);
	return r;
}
