/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/vfs/dentry.h"

#include "kernel/core/heap.h"
#include "kernel/vfs/notify.h"
#include "kernel/vfs/told.h"

static struct heap_cache dentries = HEAP_CACHE_INIT(struct dentry);

/* FNV-1a. Names that share it stand beside each other in the tree. */
static uint64_t hash(const char *name, size_t len)
{
	uint64_t h = 0xcbf29ce484222325;

	for (size_t n = 0; n < len; n++)
		h = (h ^ (unsigned char) name[n]) * 0x100000001b3;
	return h;
}

static char *copy_name(const char *name, size_t len)
{
	char *copy = heap_alloc(len + 1);

	if (copy)
		memcpy(copy, name, len);
	return copy;
}

static struct dentry *dentry_new(const char *name, size_t len, struct inode *i)
{
	struct dentry *d = heap_cache_alloc(&dentries);

	if (!d)
		return NULL;
	d->name = copy_name(name, len);
	if (!d->name) {
		heap_cache_free(&dentries, d);
		return NULL;
	}
	d->len = len;
	d->inode = i;
	d->super = i->super;
	d->owners = 1;
	return d;
}

struct dentry *dentry_root(struct inode *i, const char *name)
{
	struct dentry *d = dentry_new(name, strlen(name), i);

	if (d)
		d->parent = d;
	else
		inode_unref(i);
	return d;
}

static struct dentry *find(struct dentry *dir, const char *name, size_t len)
{
	uint64_t key = hash(name, len);

	for (struct tree_node *n = tree_from(&dir->children, key); n && n->key == key;
	     n = tree_next(n)) {
		struct dentry *d = container_of(n, struct dentry, by_name);

		if (d->len == len && memcmp(d->name, name, len) == 0)
			return d;
	}
	return NULL;
}

struct dentry *dentry_cached(struct dentry *dir, const char *name, size_t len)
{
	struct dentry *d = find(dir, name, len);

	if (d)
		dentry_ref(d);
	return d;
}

struct dentry *dentry_add(struct dentry *dir, const char *name, size_t len, struct inode *i)
{
	struct dentry *d = dentry_new(name, len, i);

	if (!d) {
		inode_unref(i);
		return NULL;
	}
	d->parent = dir;
	dentry_ref(dir);
	tree_insert(&dir->children, &d->by_name, hash(name, len));
	return d;
}

int dentry_lookup(struct dentry *dir, const char *name, size_t len, struct dentry **ret)
{
	struct dentry *d = dentry_cached(dir, name, len);
	struct inode *i;
	int r;

	if (d && d->inode->ops->valid && !d->inode->ops->valid(d)) {
		dentry_remove(d);
		dentry_unref(d);
		d = NULL;
	}
	if (d) {
		*ret = d;
		return 0;
	}
	if (!dir->inode->ops->lookup)
		return -ENOENT;
	sleeplock_take(&dir->inode->lock);
	/* Another may have been quicker. */
	d = dentry_cached(dir, name, len);
	r = d ? 0 : dir->inode->ops->lookup(dir->inode, name, len, &i);
	if (r == 0 && !d) {
		d = dentry_add(dir, name, len, i);
		r = d ? 0 : -ENOMEM;
	}
	sleeplock_give(&dir->inode->lock);
	if (r == 0)
		*ret = d;
	return r;
}

void dentry_ref(struct dentry *d)
{
	d->owners++;
}

void dentry_unref(struct dentry *d)
{
	/* A child owns its parent: the way up is not a recursion. */
	while (d && --d->owners == 0) {
		struct dentry *parent = d->parent;

		if (tree_has(&d->by_name))
			tree_remove(&parent->children, &d->by_name);
		if (d->inode->links == 0)
			notify_gone(d->inode);
		inode_unref(d->inode);
		heap_free(d->name);
		heap_cache_free(&dentries, d);
		d = parent == d ? NULL : parent;
	}
}

void dentry_remove(struct dentry *d)
{
	told_name_changes(d->parent->inode, d->name, d->len);
	if (tree_has(&d->by_name))
		tree_remove(&d->parent->children, &d->by_name);
	d->removed = true;
}

int dentry_move(struct dentry *d, struct dentry *dir, const char *name, size_t len)
{
	struct dentry *old = d->parent;
	char *copy = copy_name(name, len);

	if (!copy)
		return -ENOMEM;
	told_name_changes(old->inode, d->name, d->len);
	told_name_changes(dir->inode, name, len);
	if (tree_has(&d->by_name))
		tree_remove(&old->children, &d->by_name);
	heap_free(d->name);
	d->name = copy;
	d->len = len;
	d->parent = dir;
	dentry_ref(dir);
	tree_insert(&dir->children, &d->by_name, hash(name, len));
	dentry_unref(old);
	return 0;
}

bool dentry_below(const struct dentry *d, const struct dentry *top)
{
	while (d != top) {
		if (d->parent == d)
			return false;
		d = d->parent;
	}
	return true;
}
