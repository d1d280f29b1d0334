/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/fs/fuse.h"

#include <linux/magic.h>

#include "kernel/core/heap.h"
#include "kernel/fs/fuse_node.h"
#include "kernel/platform/platform.h"
#include "kernel/vfs/dentry.h"
#include "kernel/vfs/told.h"

#define NSEC_LAST (NSEC_PER_SEC - 1)
#define LARGE	  (64u << 10) /* of a file without names: its host wants the room */

static struct heap_cache supers = HEAP_CACHE_INIT(struct fuse_super);
static struct heap_cache nodes = HEAP_CACHE_INIT(struct fuse_node);

/* ---- attributes ---- */

static nsec_t time_of(uint64_t sec, uint32_t nsec)
{
	int64_t most = INT64_MAX / NSEC_PER_SEC - 1, s = (int64_t) sec;

	s = min_of(s, most);
	s = max_of(s, -most);
	return s * NSEC_PER_SEC + (nsec_t) min_of(nsec, (uint32_t) NSEC_LAST);
}

static bool sensible(const struct fuse_attr *a)
{
	switch (a->mode & S_IFMT) {
	case S_IFREG:
	case S_IFDIR:
	case S_IFLNK:
	case S_IFCHR:
	case S_IFBLK:
	case S_IFIFO:
	case S_IFSOCK:
		return a->size <= INT64_MAX && !(a->mode & ~(uint32_t) (S_IFMT | 07777));
	default:
		return false;
	}
}

static nsec_t valid_until(const struct inode *i)
{
	return plat_now(PLAT_MONOTONIC) + fuse_super_of(i)->valid;
}

/* The size and pages of a regular file, whose attributes are news. */
static void contents(struct fuse_node *n, const struct fuse_attr *a)
{
	struct inode *i = &n->inode;
	bool written = n->wrote && fuse_super_of(i)->own && a->size == i->pager.size;
	bool same = a->size == i->pager.size && i->times.modify == time_of(a->mtime, a->mtimensec);

	if (!same && !written && i->pager.resident && !n->dirty_n)
		pager_drop(&i->pager, 0, UINT64_MAX);
	if (a->size != i->pager.size) {
		fuse_clean(n, (a->size >> PAGE_SHIFT) + 1, UINT64_MAX);
		pager_resize(&i->pager, a->size);
	}
	n->wrote = false;
}

int fuse_attributes(struct inode *i, const struct fuse_attr *a, uint64_t epoch)
{
	struct fuse_node *n = fuse_of(i);

	if (!sensible(a) || ((a->mode ^ i->mode) & S_IFMT))
		return -EIO;
	if (epoch < n->epoch)
		return 0; /* it has changed since this was true */
	if (inode_is(i, S_IFDIR) && i->ino &&
	    (i->mode != a->mode || i->uid != a->uid || i->gid != a->gid || i->ino != a->ino))
		told_forget();
	i->mode = a->mode;
	i->uid = a->uid;
	i->gid = a->gid;
	i->links = a->nlink;
	i->rdev = a->rdev;
	i->ino = a->ino;
	if (inode_is(i, S_IFREG))
		contents(n, a);
	else
		i->pager.size = a->size;
	i->times.access = time_of(a->atime, a->atimensec);
	i->times.modify = time_of(a->mtime, a->mtimensec);
	i->times.change = time_of(a->ctime, a->ctimensec);
	i->times.birth = 0;
	n->until = valid_until(i);
	n->changed = false;
	return 0;
}

void fuse_stale(struct inode *i)
{
	fuse_of(i)->changed = true;
	fuse_of(i)->epoch = ++fuse_conn_of(i)->epoch;
}

/* What is answered with attributes. */
static int ask_attr(struct inode *i, uint32_t op, const void *in, size_t n, struct fuse_attr *ret)
{
	struct fuse_attr_out out;
	struct fuse_call q = { .op = op,
			       .node = fuse_id(i),
			       .in = { { in, n } },
			       .out = &out,
			       .least = sizeof(out),
			       .room = sizeof(out) };
	int r = fuse_call(fuse_conn_of(i), &q);

	if (r == 0)
		*ret = out.attr;
	return r;
}

static int ask(struct inode *i)
{
	const struct fuse_getattr_in in = {};
	uint64_t epoch = fuse_conn_of(i)->epoch;
	struct fuse_attr a;
	int r = ask_attr(i, FUSE_GETATTR, &in, sizeof(in), &a);

	return r < 0 ? r : fuse_attributes(i, &a, epoch);
}

static void put_time(nsec_t t, uint64_t *ret_sec, uint32_t *ret_nsec)
{
	int64_t sec = t / NSEC_PER_SEC, rest = t % NSEC_PER_SEC;

	if (rest < 0) {
		rest += NSEC_PER_SEC;
		sec--;
	}
	*ret_sec = (uint64_t) sec;
	*ret_nsec = (uint32_t) rest;
}

/* Who owns it is as it was, for as long as that is valid: only others have changed it. */
int fuse_look(struct fuse_node *n)
{
	struct inode *i = &n->inode;
	struct fuse_transport *t = fuse_conn_of(i)->transport;
	nsec_t until = n->until;
	struct fuse_attr a = {
		.ino = i->ino, .rdev = (uint32_t) i->rdev, .uid = i->uid, .gid = i->gid
	};
	struct fuse_look l;
	int r;

	if (!n->changed || fuse_data(n) < 0 || plat_now(PLAT_MONOTONIC) >= until ||
	    t->look(t, fuse_data(n), &l) < 0)
		return -EAGAIN;
	a.mode = l.mode;
	a.nlink = l.links;
	a.size = l.size;
	put_time(l.access, &a.atime, &a.atimensec);
	put_time(l.modify, &a.mtime, &a.mtimensec);
	put_time(l.change, &a.ctime, &a.ctimensec);
	r = fuse_attributes(i, &a, n->epoch);
	n->until = until;
	return r;
}

int fuse_expired(struct inode *i)
{
	if (fuse_conn_of(i)->lost)
		return -EIO;
	return plat_now(PLAT_MONOTONIC) < fuse_of(i)->until ? 0 : ask(i);
}

int fuse_refresh(struct inode *i)
{
	if (!fuse_of(i)->changed)
		return fuse_expired(i);
	return fuse_look(fuse_of(i)) == 0 ? 0 : ask(i);
}

int fuse_change(struct inode *i, const struct vfs_change *c)
{
	struct fuse_setattr_in in = { .mode = c->mode & 07777, .uid = c->uid, .gid = c->gid };
	struct fuse_node *n = fuse_of(i);
	struct fuse_attr a;
	int r = 0;

	in.size = c->size;
	in.valid = (c->what & ATTR_MODE ? FATTR_MODE : 0u) | (c->what & ATTR_UID ? FATTR_UID : 0u) |
		   (c->what & ATTR_GID ? FATTR_GID : 0u) | (c->what & ATTR_SIZE ? FATTR_SIZE : 0u) |
		   (c->what & ATTR_ATIME ? FATTR_ATIME : 0u) |
		   (c->what & ATTR_MTIME ? FATTR_MTIME : 0u);
	put_time(c->access, &in.atime, &in.atimensec);
	put_time(c->modify, &in.mtime, &in.mtimensec);
	/* What is written later would change times, and what is cut off must not come back. */
	if (inode_is(i, S_IFREG) && n->dirty_n)
		r = fuse_write_back(n);
	if (r == 0)
		r = ask_attr(i, FUSE_SETATTR, &in, sizeof(in), &a);
	if (r < 0)
		return r;
	fuse_stale(i); /* answers on their way tell of what was before */
	if (c->what & ATTR_SIZE) {
		fuse_clean(n, (c->size + PAGE_SIZE - 1) >> PAGE_SHIFT, UINT64_MAX);
		pager_resize(&i->pager, c->size);
		n->wrote = true;
	}
	return fuse_attributes(i, &a, n->epoch);
}

/* ---- nodes ---- */

static void release(struct inode *i)
{
	struct fuse_node *n = fuse_of(i);
	struct fuse_conn *c = fuse_conn_of(i);

	fuse_close(n);
	list_remove(&n->cached);
	fuse_clean(n, 0, UINT64_MAX);
	radix_fini(&n->dirty);
	if (n->lookups)
		fuse_forget(c, n->by_id.key, n->lookups, i->links == 0 && i->pager.size >= LARGE);
	pager_fini(&i->pager);
	if (tree_has(&n->by_id))
		tree_remove(&c->nodes, &n->by_id);
	heap_cache_free(&nodes, n);
}

static const struct inode_ops ops = {
	.lookup = fuse_lookup,
	.create = fuse_create,
	.link = fuse_link,
	.nameless = fuse_nameless,
	.unlink = fuse_unlink,
	.rename = fuse_rename,
	.readlink = fuse_readlink,
	.refresh = fuse_refresh,
	.change = fuse_change,
	.xattr_get = fuse_xattr_get,
	.xattr_set = fuse_xattr_set,
	.xattr_list = fuse_xattr_list,
	.open = fuse_open,
	.valid = fuse_valid,
	.release = release,
};

/* Of what is opened as everywhere: nodes, pipes, links. */
static const struct inode_ops special_ops = {
	.readlink = fuse_readlink,
	.refresh = fuse_refresh,
	.change = fuse_change,
	.xattr_get = fuse_xattr_get,
	.xattr_set = fuse_xattr_set,
	.xattr_list = fuse_xattr_list,
	.valid = fuse_valid,
	.release = release,
};

static struct fuse_node *known(struct fuse_conn *c, uint64_t id)
{
	struct tree_node *t = tree_from(&c->nodes, id);

	return t && t->key == id ? container_of(t, struct fuse_node, by_id) : NULL;
}

static struct fuse_node *node_new(struct fuse_super *s, uint64_t id, uint32_t mode)
{
	struct fuse_node *n = heap_cache_alloc(&nodes);
	bool plain = mode == S_IFREG || mode == S_IFDIR;

	if (!n)
		return NULL;
	inode_init(&n->inode, &s->super, plain ? &ops : &special_ops, mode);
	pager_init(&n->inode.pager, &fuse_pager_ops, 0);
	list_init(&n->reading);
	list_init(&n->to_write);
	list_init(&n->cached);
	sleeplock_init(&n->writing_back);
	tree_insert(&s->conn->nodes, &n->by_id, id);
	return n;
}

int fuse_entered(struct fuse_super *s, const struct fuse_entry_out *e, uint64_t epoch,
		 struct inode **ret)
{
	struct fuse_node *n = known(s->conn, e->nodeid);
	int r;

	if (e->nodeid == 0 || e->nodeid == FUSE_ROOT_ID || !sensible(&e->attr))
		return -EIO;
	if (n) {
		inode_ref(&n->inode);
	} else {
		n = node_new(s, e->nodeid, e->attr.mode & S_IFMT);
	}
	if (!n) {
		fuse_forget(s->conn, e->nodeid, 1, true);
		return -ENOMEM;
	}
	n->lookups++;
	r = n->inode.super == &s->super ? fuse_attributes(&n->inode, &e->attr, epoch) : -EIO;
	if (r < 0)
		inode_unref(&n->inode);
	else
		*ret = &n->inode;
	return r;
}

/* ---- the file system ---- */

static void statfs(struct super *super, struct vfs_statfs *ret)
{
	struct fuse_super *s = container_of(super, struct fuse_super, super);
	struct fuse_statfs_out out = {};
	struct fuse_call q = { .op = FUSE_STATFS,
			       .node = fuse_id(super->root->inode),
			       .out = &out,
			       .least = sizeof(out),
			       .room = sizeof(out) };
	int r = fuse_call(s->conn, &q);

	*ret = (struct vfs_statfs){ .magic = FUSE_SUPER_MAGIC,
				    .block_size = PAGE_SIZE,
				    .name_max = NAME_LONGEST };
	if (r < 0)
		return;
	ret->blocks = out.st.blocks;
	ret->free = out.st.bfree;
	ret->available = out.st.bavail;
	ret->inodes = out.st.files;
	ret->inodes_free = out.st.ffree;
	ret->block_size = out.st.frsize ? out.st.frsize : out.st.bsize;
	ret->name_max = out.st.namelen;
}

static void shutdown(struct super *s)
{
	fuse_names_drop(container_of(s, struct fuse_super, super)->conn, s, 0);
	dentry_unref(s->root);
}

static void super_release(struct super *s)
{
	struct fuse_super *f = container_of(s, struct fuse_super, super);

	fuse_conn_left(f->conn);
	heap_cache_free(&supers, f);
}

static const struct super_ops super_ops = {
	.type = "fuse",
	.statfs = statfs,
	.shutdown = shutdown,
	.release = super_release,
};

static int find_root(struct fuse_super *s, struct inode **ret)
{
	struct fuse_entry_out e;
	struct fuse_call q = { .op = FUSE_LOOKUP,
			       .node = FUSE_ROOT_ID,
			       .in = { { s->name, strlen(s->name) + 1 } },
			       .out = &e,
			       .least = sizeof(e),
			       .room = sizeof(e) };
	int r = fuse_call(s->conn, &q);

	if (r == 0 && e.nodeid == 0)
		r = -ENOENT;
	return r < 0 ? r : fuse_entered(s, &e, 0, ret);
}

int fuse_new(struct fuse_conn *c, const struct fuse_share *share, struct super **ret)
{
	struct fuse_super *s = heap_cache_alloc(&supers);
	size_t len = strlen(share->name);
	struct inode *root = NULL;
	int r;

	if (!s || len == 0 || len > NAME_LONGEST) {
		heap_cache_free(&supers, s);
		return s ? -ENOENT : -ENOMEM;
	}
	super_init(&s->super, &super_ops);
	s->conn = c;
	s->valid = share->valid;
	s->own = share->own;
	/* What the host changes is seen so much later. */
	s->super.told_for = share->own ? min_of(share->valid, (nsec_t) FUSE_ABSENT) / 4 : 0;
	c->users++;
	memcpy(s->name, share->name, len + 1);
	r = find_root(s, &root);
	if (r == 0 && !inode_is(root, S_IFDIR) && !inode_is(root, S_IFREG)) {
		inode_unref(root);
		r = -EOPNOTSUPP;
	}
	s->super.root = r == 0 ? dentry_root(root, "") : NULL;
	if (r == 0 && !s->super.root)
		r = -ENOMEM;
	if (r < 0) {
		fuse_conn_left(c);
		heap_cache_free(&supers, s);
	} else {
		*ret = &s->super;
	}
	return r;
}
