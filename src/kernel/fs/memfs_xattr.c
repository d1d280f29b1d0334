/* SPDX-License-Identifier: Apache-2.0 */
#include <linux/xattr.h>

#include "kernel/core/heap.h"
#include "kernel/fs/memfs_node.h"
#include "kernel/platform/platform.h"

#define XATTR_BYTES ((size_t) 64 << 10) /* of all of one inode, as ext4 with a block of its own */

struct xattr {
	struct list link;
	size_t name_len, size;
	char bytes[]; /* the name with its end, the value */
};

void mem_xattrs_free(struct mem_inode *m)
{
	struct list *l;

	while ((l = list_pop(&m->xattrs)))
		heap_free(list_entry(l, struct xattr, link));
	m->xattr_bytes = 0;
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

int64_t memfs_xattr_get(struct inode *i, const char *name, void *to, size_t room)
{
	struct mem_inode *m = mem_of(i);
	struct xattr *x = xattr_find(m, name);

	if (!m->own_xattrs)
		return m->below->ops->xattr_get ? m->below->ops->xattr_get(m->below, name, to, room)
						: -ENODATA;
	if (!x)
		return -ENODATA;
	if (room && room < x->size)
		return -ERANGE;
	if (room)
		memcpy(to, x->bytes + x->name_len + 1, x->size);
	return (int64_t) x->size;
}

/* value NULL: it goes. */
static int set(struct inode *i, const char *name, const void *value, size_t n, int flags)
{
	struct mem_inode *m = mem_of(i);
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

/* One from below, as it is there. */
static int bring(struct inode *i, const char *name)
{
	struct inode *below = mem_of(i)->below;
	int64_t n = below->ops->xattr_get(below, name, NULL, 0);
	void *value;
	int r;

	if (n < 0)
		return (int) n;
	value = heap_alloc((size_t) n + 1);
	if (!value)
		return -ENOMEM;
	n = below->ops->xattr_get(below, name, value, (size_t) n);
	r = n < 0 ? (int) n : set(i, name, value, (size_t) n, 0);
	heap_free(value);
	return r;
}

/* All from below, before the first is changed. */
static int bring_all(struct inode *i)
{
	struct mem_inode *m = mem_of(i);
	struct inode *below = m->below;
	int64_t n = below->ops->xattr_list ? below->ops->xattr_list(below, NULL, 0) : 0;
	char *names;
	int r = n < 0 ? (int) n : 0;

	if (n <= 0)
		return r;
	names = heap_alloc((size_t) n);
	if (!names)
		return -ENOMEM;
	n = below->ops->xattr_list(below, names, (size_t) n);
	for (char *at = names; r == 0 && at < names + n; at += strlen(at) + 1)
		r = bring(i, at);
	heap_free(names);
	if (r < 0)
		mem_xattrs_free(m);
	return n < 0 ? (int) n : r;
}

int memfs_xattr_set(struct inode *i, const char *name, const void *value, size_t n, int flags)
{
	struct mem_inode *m = mem_of(i);
	int r = 0;

	if (!m->own_xattrs) {
		sleeplock_take(&m->merging);
		r = m->own_xattrs ? 0 : bring_all(i);
		m->own_xattrs = r == 0;
		sleeplock_give(&m->merging);
	}
	return r < 0 ? r : set(i, name, value, n, flags);
}

int64_t memfs_xattr_list(struct inode *i, char *to, size_t room)
{
	struct inode *below = mem_of(i)->below;
	size_t used = 0;

	if (!mem_of(i)->own_xattrs)
		return below->ops->xattr_list ? below->ops->xattr_list(below, to, room) : 0;
	list_each(l, &mem_of(i)->xattrs)
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
