/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/vfs/walk.h"

#include <linux/openat2.h>

#include "kernel/core/heap.h"
#include "kernel/task/cred.h"
#include "kernel/vfs/told.h"

/* One walk on its way. The texts of links that are not at their end stand on each other. */
struct way {
	const struct walk *w;
	struct path at;	    /* owned */
	struct path bottom; /* owned: RESOLVE_BENEATH and IN_ROOT: nothing above it */
	unsigned int links;
};

static void go(struct way *y, struct path to)
{
	path_unref(&y->at);
	y->at = to;
}

/* To a path that is borrowed. */
static void jump(struct way *y, const struct path *to)
{
	path_ref(to);
	go(y, *to);
}

static int to_root(struct way *y)
{
	if (y->w->resolve & RESOLVE_BENEATH)
		return -EXDEV;
	if (y->w->resolve & RESOLVE_IN_ROOT) {
		jump(y, &y->bottom);
		return 0;
	}
	if (y->w->resolve & RESOLVE_NO_XDEV && y->w->root->mount != y->at.mount)
		return -EXDEV;
	jump(y, y->w->root);
	return 0;
}

static int up(struct way *y)
{
	bool bound = y->w->resolve & (RESOLVE_BENEATH | RESOLVE_IN_ROOT);
	struct mount *was = y->at.mount;
	struct path parent;

	if (bound && path_same(&y->at, &y->bottom))
		return y->w->resolve & RESOLVE_BENEATH ? -EXDEV : 0;
	if (path_same(&y->at, y->w->root))
		return 0;
	while (y->at.dentry == y->at.mount->root) {
		if (!mount_leave(&y->at))
			return 0; /* the root of all */
		if (path_same(&y->at, y->w->root))
			break;
	}
	parent = (struct path){ y->at.mount, y->at.dentry->parent };
	path_ref(&parent);
	go(y, parent);
	mount_enter(&y->at);
	return y->w->resolve & RESOLVE_NO_XDEV && y->at.mount != was ? -EXDEV : 0;
}

/* Down to one name, which is not followed. */
static int down(struct way *y, const char *name, size_t len)
{
	struct mount *was = y->at.mount;
	struct dentry *d;
	struct path to;
	int r;

	if (!inode_is(y->at.dentry->inode, S_IFDIR))
		return -ENOTDIR;
	if (y->w->told)
		told_step(y->w->told, y->at.dentry->inode, name, len);
	r = inode_may(y->at.dentry->inode, y->w->who, MAY_EXEC);
	if (r == 0)
		r = dentry_lookup(y->at.dentry, name, len, &d);
	if (r < 0)
		return r;
	to = (struct path){ y->at.mount, d };
	to.mount->owners++;
	go(y, to);
	mount_enter(&y->at);
	return y->w->resolve & RESOLVE_NO_XDEV && y->at.mount != was ? -EXDEV : 0;
}

static int component(struct way *y, const char *name, size_t len);

/* The text of a link, from where it stands. */
static int along(struct way *y, const char *text)
{
	int r = 0;

	if (!*text)
		return -ENOENT;
	if (*text == '/')
		r = to_root(y);
	while (r == 0) {
		size_t len = 0;

		while (*text == '/')
			text++;
		while (text[len] && text[len] != '/')
			len++;
		if (len == 0)
			return 0;
		r = component(y, text, len);
		text += len;
		if (r == 0 && *text == '/' && !inode_is(y->at.dentry->inode, S_IFDIR))
			return -ENOTDIR;
	}
	return r;
}

/* y->at is a symbolic link in `dir` (owned, given up here); goes where it leads. */
static int follow(struct way *y, struct path *dir)
{
	struct inode *i = y->at.dentry->inode;
	bool magic = i->ops->follow != NULL;
	int64_t n;
	char *text;
	int r = 0;

	if (y->w->resolve & RESOLVE_NO_SYMLINKS || ++y->links > LINKS_MOST)
		r = -ELOOP;
	else if (y->at.mount->flags & MNT_NOSYMFOLLOW)
		r = -ELOOP;
	else if (magic && y->w->resolve & RESOLVE_NO_MAGICLINKS)
		r = -ELOOP;
	else if (magic && y->w->resolve & (RESOLVE_BENEATH | RESOLVE_IN_ROOT))
		r = -EXDEV;
	if (r == 0 && magic) {
		struct path to;

		r = i->ops->follow(i, y->w->who, &to);
		if (r == 0)
			go(y, to);
	} else if (r == 0) {
		text = heap_alloc(PATH_ROOM);
		n = !text	       ? -ENOMEM
		    : i->ops->readlink ? i->ops->readlink(i, text, PATH_ROOM - 1)
				       : -EINVAL;
		r = n < 0 ? (int) n : 0;
		if (r == 0) {
			text[n] = 0;
			jump(y, dir);
			r = along(y, text);
		}
		heap_free(text);
	}
	path_unref(dir);
	return r;
}

/* One component, with the link it may be. */
static int component(struct way *y, const char *name, size_t len)
{
	struct path dir;
	int r;

	if (len == 1 && name[0] == '.')
		return inode_is(y->at.dentry->inode, S_IFDIR) ? 0 : -ENOTDIR;
	if (len == 2 && name[0] == '.' && name[1] == '.')
		return inode_is(y->at.dentry->inode, S_IFDIR) ? up(y) : -ENOTDIR;
	if (len > NAME_LONGEST)
		return -ENAMETOOLONG;
	dir = y->at;
	path_ref(&dir);
	r = down(y, name, len);
	if (r == 0 && inode_is(y->at.dentry->inode, S_IFLNK))
		return follow(y, &dir);
	path_unref(&dir);
	return r;
}

static void begin(struct way *y, const struct walk *w)
{
	*y = (struct way){ .w = w, .at = *w->start, .bottom = *w->start };
	path_ref(&y->at);
	path_ref(&y->bottom);
}

static int end(struct way *y, int r, struct path *ret)
{
	path_unref(&y->bottom);
	if (r < 0)
		path_unref(&y->at);
	else
		*ret = y->at;
	return r;
}

int walk_parent(const struct walk *w, const char *text, struct path *ret_dir,
		struct walk_last *ret_last)
{
	struct way y;
	int r = 0;

	if (!*text)
		return -ENOENT;
	begin(&y, w);
	*ret_last = (struct walk_last){ .kind = LAST_ROOT };
	if (*text == '/')
		r = to_root(&y);
	while (r == 0) {
		size_t len = 0, slashes = 0;

		while (*text == '/')
			text++;
		while (text[len] && text[len] != '/')
			len++;
		if (len == 0)
			break;
		while (text[len + slashes] == '/')
			slashes++;
		if (text[len + slashes]) {
			r = component(&y, text, len);
			text += len;
			continue;
		}
		ret_last->slash = slashes > 0;
		ret_last->kind = LAST_NAME;
		if (len == 1 && text[0] == '.')
			ret_last->kind = LAST_DOT;
		else if (len == 2 && text[0] == '.' && text[1] == '.')
			ret_last->kind = LAST_DOTDOT;
		if (len > NAME_LONGEST) {
			r = -ENAMETOOLONG;
			break;
		}
		memcpy(ret_last->name, text, len);
		ret_last->len = len;
		break;
	}
	if (r == 0 && !inode_is(y.at.dentry->inode, S_IFDIR))
		r = -ENOTDIR;
	return end(&y, r, ret_dir);
}

static int last(struct way *y, const struct walk_last *l, unsigned int flags)
{
	bool through = flags & WALK_FOLLOW || l->slash;
	struct path dir;
	int r = 0;

	switch (l->kind) {
	case LAST_ROOT:
	case LAST_DOT:
		break;
	case LAST_DOTDOT:
		r = up(y);
		break;
	case LAST_NAME:
		dir = y->at;
		path_ref(&dir);
		r = down(y, l->name, l->len);
		if (r == 0 && through && inode_is(y->at.dentry->inode, S_IFLNK))
			return follow(y, &dir);
		path_unref(&dir);
		break;
	}
	return r;
}

static int checked(const struct way *y, const struct walk_last *l, unsigned int flags)
{
	bool directory = inode_is(y->at.dentry->inode, S_IFDIR);

	return (l->slash || flags & WALK_DIRECTORY) && !directory ? -ENOTDIR : 0;
}

int walk_last(const struct walk *w, const struct path *dir, const struct walk_last *l,
	      unsigned int flags, struct path *ret)
{
	struct way y;
	int r;

	begin(&y, w);
	jump(&y, dir);
	r = last(&y, l, flags);
	if (r == 0)
		r = checked(&y, l, flags);
	return end(&y, r, ret);
}

int walk(const struct walk *w, const char *text, unsigned int flags, struct path *ret)
{
	struct walk_last l;
	struct path dir;
	int r;

	if (!*text) {
		if (!(flags & WALK_EMPTY))
			return -ENOENT;
		*ret = *w->start;
		path_ref(ret);
		return 0;
	}
	r = walk_parent(w, text, &dir, &l);
	if (r < 0)
		return r;
	r = walk_last(w, &dir, &l, flags, ret);
	path_unref(&dir);
	return r;
}
