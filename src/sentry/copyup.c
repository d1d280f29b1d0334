/* SPDX-License-Identifier: Apache-2.0 */
#include "sentry/copyup.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "kernel/core/heap.h"
#include "kernel/mm/uio.h"
#include "kernel/vfs/names.h"
#include "sentry/place.h"

#define DEPTH_MOST  64
#define PART	    ((size_t) 64 << 10)
#define VALUE_ROOM  ((size_t) 64 << 10)
#define TARGET_ROOM PATH_ROOM

/* What one entry, and those below it, is copied with: memory of all of them. */
struct copying {
	char *part; /* PART */
};

static struct walk in(const struct path *dir)
{
	return (struct walk){ .root = dir, .start = dir, .who = &place_root };
}

/* ---- what all have ---- */

static int copy_xattrs(struct copying *c, struct inode *from, struct inode *to)
{
	char *names = c->part, *value = heap_alloc(VALUE_ROOM);
	int64_t n = from->ops->xattr_list ? from->ops->xattr_list(from, names, PART) : 0;
	int r = value ? 0 : -ENOMEM;

	for (int64_t at = 0; r == 0 && at < n; at += (int64_t) strlen(names + at) + 1) {
		int64_t size = from->ops->xattr_get(from, names + at, value, VALUE_ROOM);

		/* What there is no such thing of in a tmpfs is left behind. */
		if (size >= 0 && to->ops->xattr_set)
			r = to->ops->xattr_set(to, names + at, value, (size_t) size, 0);
		if (r == -EOPNOTSUPP || r == -EPERM || r == -EINVAL)
			r = 0;
	}
	heap_free(value);
	return r;
}

static int copy_rest(struct copying *c, struct inode *from, struct inode *to)
{
	struct vfs_change owner = { .what = ATTR_UID | ATTR_GID,
				    .uid = from->uid,
				    .gid = from->gid };
	struct vfs_change mode = { .what = ATTR_MODE, .mode = from->mode & 07777 };
	int r = inode_change(to, &place_root, &owner);

	if (r == 0 && !inode_is(from, S_IFLNK))
		r = inode_change(to, &place_root, &mode);
	return r < 0 ? r : copy_xattrs(c, from, to);
}

/* ---- files ---- */

static int copy_bytes(struct copying *c, struct file *from, struct file *to)
{
	uint64_t at = 0;

	for (;;) {
		struct uio u;
		uint64_t pos = at;
		int64_t n;

		uio_kernel(&u, c->part, PART);
		n = vfs_read(from, &u, &pos);
		if (n <= 0)
			return (int) n;
		uio_kernel(&u, c->part, (size_t) n);
		n = file_write(to, &u, &at, UINT64_MAX);
		if (n < 0)
			return (int) n;
	}
}

static int copy_file(struct copying *c, const struct path *from, const struct path *dir,
		     const char *name)
{
	struct walk w = in(dir);
	struct file *source, *copy;
	int r = file_open(from, O_RDONLY, &place_root, &source);

	if (r < 0)
		return r;
	r = names_open(&w, name, O_CREAT | O_EXCL | O_WRONLY, 0600, &copy);
	if (r == 0) {
		r = copy_bytes(c, source, copy);
		file_unref(copy);
	}
	file_unref(source);
	return r;
}

static int copy_link(struct copying *c, struct inode *from, const struct path *dir,
		     const char *name)
{
	struct walk w = in(dir);
	int64_t n = from->ops->readlink ? from->ops->readlink(from, c->part, TARGET_ROOM - 1)
					: -EINVAL;

	if (n < 0)
		return (int) n;
	c->part[n] = '\0';
	return names_create(&w, name, S_IFLNK | 0777, 0, c->part);
}

/* ---- directories ---- */

/* The first name at a position, and what comes after it. */
struct next_name {
	struct dir_sink sink;
	char name[NAME_LONGEST + 1];
	uint64_t next;
	bool any;
};

static bool take(struct dir_sink *to, const char *name, size_t len, uint64_t ino, uint32_t mode,
		 uint64_t next)
{
	struct next_name *n = container_of(to, struct next_name, sink);

	(void) ino;
	(void) mode;
	if (n->any)
		return false;
	n->next = next;
	if (name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')))
		return true;
	memcpy(n->name, name, len);
	n->name[len] = '\0';
	n->any = true;
	return true;
}

/* Positions of an inode begin behind "." and "..", those of an open file before them. */
static int next_of(struct file *dir, struct next_name *n)
{
	return dir->ops->iterate ? dir->ops->iterate(dir, n->next, &n->sink)
				 : dir->inode->ops->iterate(dir->inode, n->next, &n->sink);
}

static int copy_directory(struct copying *c, const struct path *from, const struct path *to,
			  unsigned int depth);

static int copy_one(struct copying *c, const struct path *from, const struct path *dir,
		    const char *name, unsigned int depth)
{
	struct inode *i = from->dentry->inode;
	struct walk w = in(dir);
	struct path copy;
	int r;

	if (inode_is(i, S_IFREG))
		r = copy_file(c, from, dir, name);
	else if (inode_is(i, S_IFLNK))
		r = copy_link(c, i, dir, name);
	else
		r = names_create(&w, name, (i->mode & S_IFMT) | 0700, i->rdev, NULL);
	if (r == 0)
		r = walk(&w, name, 0, &copy);
	if (r < 0)
		return r;
	if (inode_is(i, S_IFDIR))
		r = copy_directory(c, from, &copy, depth + 1);
	else
		r = copy_rest(c, i, copy.dentry->inode);
	path_unref(&copy);
	return r;
}

static int copy_directory(struct copying *c, const struct path *from, const struct path *to,
			  unsigned int depth)
{
	struct inode *dir = from->dentry->inode;
	struct next_name *n = heap_alloc(sizeof(*n)); /* stacks are small */
	struct file *listed = NULL;
	struct walk w = in(from);
	int r = !n ? -ENOMEM : depth < DEPTH_MOST ? 0 : -ELOOP;

	if (r == 0)
		r = file_open(from, O_RDONLY | O_DIRECTORY, &place_root, &listed);
	if (r == 0)
		*n = (struct next_name){ .sink = { take }, .next = listed->ops->iterate ? 0 : 2 };
	while (r == 0) {
		struct path one;
		uint64_t at = n->next;

		n->any = false;
		r = next_of(listed, n);
		if (r == 0 && !n->any && n->next != at)
			continue; /* "." and ".." filled what is told at once */
		if (r < 0 || !n->any)
			break;
		r = walk(&w, n->name, 0, &one);
		if (r == 0) {
			r = copy_one(c, &one, to, n->name, depth);
			path_unref(&one);
		}
	}
	if (listed)
		file_unref(listed);
	heap_free(n);
	return r < 0 ? r : copy_rest(c, dir, to->dentry->inode);
}

int copyup(const struct path *from, const struct path *to)
{
	struct copying c = { .part = heap_alloc(PART) };
	/* Its own is what it was made with. */
	struct vfs_change mode = { .what = ATTR_MODE, .mode = to->dentry->inode->mode & 07777 };
	int r = c.part ? copy_directory(&c, from, to, 0) : -ENOMEM;

	if (r == 0)
		r = inode_change(to->dentry->inode, &place_root, &mode);
	heap_free(c.part);
	return r;
}
