/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/vfs/names.h"

#include <asm/fcntl.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/inotify.h>

#include "kernel/core/heap.h"
#include "kernel/platform/platform.h"
#include "kernel/task/cred.h"
#include "kernel/vfs/lease.h"
#include "kernel/vfs/notify.h"
#include "kernel/vfs/told.h"

static bool readonly(const struct path *p)
{
	return p->mount->flags & MNT_READONLY || p->dentry->super->readonly;
}

int names_may_write(const struct path *p, const struct cred *who)
{
	return readonly(p) ? -EROFS : inode_may(p->dentry->inode, who, MAY_WRITE);
}

/* A name in this directory may come. */
static int may_add(const struct path *dir, const struct cred *who)
{
	if (dir->dentry->removed)
		return -ENOENT;
	if (readonly(dir))
		return -EROFS;
	return inode_may(dir->dentry->inode, who, MAY_WRITE | MAY_EXEC);
}

/* One may go: with S_ISVTX only its owner's, or the directory's. */
static int may_take(const struct path *dir, const struct dentry *d, const struct cred *who)
{
	const struct inode *i = dir->dentry->inode;
	int r = may_add(dir, who);

	if (r == 0 && i->mode & S_ISVTX && d->inode->uid != who->fsuid && i->uid != who->fsuid &&
	    !cred_can(who, CAP_FOWNER))
		r = -EPERM;
	return r;
}

/* The directory changed. */
static void touch(struct inode *dir)
{
	dir->times.modify = dir->times.change = plat_now(PLAT_REALTIME);
}

/* dir->lock is held, and the name is not there. The new dentry is the caller's. */
static int create_in(const struct path *dir, const char *name, size_t len, uint32_t mode,
		     uint64_t rdev, const char *target, const struct cred *who, struct dentry **ret)
{
	struct inode *i = dir->dentry->inode, *made;
	int r = may_add(dir, who);

	if (r < 0)
		return r;
	if (!i->ops->create)
		return -EPERM;
	r = i->ops->create(i, name, len, mode, rdev, target, who, &made);
	if (r < 0)
		return r;
	told_name_changes(i, name, len);
	*ret = dentry_add(dir->dentry, name, len, made);
	if (!*ret) {
		/* There on the file system, and looked up again when it is wanted. */
		return -ENOMEM;
	}
	touch(i);
	notify_entry(&(struct notify_place){ i, name, len }, IN_CREATE, made);
	return 0;
}

/* ---- open ---- */

static unsigned int wanted(unsigned int flags)
{
	switch (flags & O_ACCMODE) {
	case O_RDONLY:
		return MAY_READ | (flags & O_TRUNC ? MAY_WRITE : 0u);
	case O_WRONLY:
		return MAY_WRITE;
	default:
		return MAY_READ | MAY_WRITE;
	}
}

static int may_open(const struct path *p, unsigned int flags, const struct cred *who)
{
	const struct inode *i = p->dentry->inode;
	unsigned int may = wanted(flags);
	int r;

	if (inode_is(i, S_IFLNK))
		return -ELOOP;
	if (inode_is(i, S_IFDIR) && (may & MAY_WRITE || flags & O_CREAT))
		return -EISDIR;
	if ((inode_is(i, S_IFCHR) || inode_is(i, S_IFBLK)) && p->mount->flags & MNT_NODEV)
		return -EACCES;
	r = inode_may(i, who, may);
	/* Nodes and pipes are written to also where the file system is not. */
	if (r == 0 && may & MAY_WRITE && (inode_is(i, S_IFREG) || inode_is(i, S_IFDIR)) &&
	    readonly(p))
		r = -EROFS;
	if (r == 0 && flags & O_NOATIME && !inode_owned(i, who))
		r = -EPERM;
	return r;
}

static int open_path(const struct path *p, unsigned int flags, const struct cred *who, bool made,
		     struct file **ret)
{
	struct inode *i = p->dentry->inode;
	int r = 0;

	if (flags & O_DIRECTORY && !inode_is(i, S_IFDIR))
		return -ENOTDIR;
	if (!(flags & O_PATH) && !made)
		r = may_open(p, flags, who);
	if (r == 0 && !(flags & O_PATH))
		r = lease_break(i, wanted(flags) & MAY_WRITE, flags & O_NONBLOCK);
	if (r == 0)
		r = file_open(p, flags, who, ret);
	if (r == 0)
		(*ret)->made = made;
	if (r == 0 && flags & O_TRUNC && !(flags & O_PATH) && !made && inode_is(i, S_IFREG)) {
		struct vfs_change c = { .what = ATTR_SIZE | ATTR_MTIME,
					.modify = plat_now(PLAT_REALTIME) };

		r = inode_change(i, who, &c);
		if (r < 0)
			file_unref(*ret);
		else
			notify_change(p->dentry, c.what);
	}
	return r;
}

/* What the last component of an O_CREAT leads to when nothing is there. */
enum missing { FOUND, MADE, LEADS_ON };

/* A link that leads nowhere: what it names is made instead. `text` gets it. */
static int missing_target(const struct dentry *d, char *text)
{
	int64_t n = d->inode->ops->readlink ? d->inode->ops->readlink(d->inode, text, PATH_ROOM - 1)
					    : -EINVAL;

	if (n < 0)
		return (int) n;
	text[n] = 0;
	return 0;
}

/* One look: opens what is there, makes what is not; LEADS_ON: `text` is seen from *dir now. */
static int look(const struct walk *w, struct path *dir, char *text, unsigned int flags,
		uint32_t mode, struct file **ret)
{
	struct walk from = *w;
	struct dentry *d = NULL;
	struct walk_last l;
	struct path parent, at;
	int r;

	if (dir->dentry)
		from.start = dir;
	r = walk_parent(&from, text, &parent, &l);
	if (r < 0)
		return r;
	path_unref(dir);
	*dir = parent;
	if (l.kind != LAST_NAME || l.slash)
		return flags & O_EXCL && l.kind != LAST_NAME ? -EEXIST : -EISDIR;
	r = walk_last(w, dir, &l, flags & (O_EXCL | O_NOFOLLOW) ? 0 : WALK_FOLLOW, &at);
	if (r == 0) {
		r = flags & O_EXCL ? -EEXIST : open_path(&at, flags, w->who, false, ret);
		path_unref(&at);
		return r < 0 ? r : FOUND;
	}
	if (r != -ENOENT)
		return r;
	r = dentry_lookup(dir->dentry, l.name, l.len, &d);
	if (r == 0) {
		r = inode_is(d->inode, S_IFLNK) ? missing_target(d, text) : 0;
		dentry_unref(d);
		/* What came meanwhile is found by the next look. */
		return r < 0 ? r : LEADS_ON;
	}
	if (r != -ENOENT)
		return r;
	sleeplock_take(&dir->dentry->inode->lock);
	d = dentry_cached(dir->dentry, l.name, l.len);
	r = d ? LEADS_ON
	      : create_in(dir, l.name, l.len, S_IFREG | (mode & 07777), 0, NULL, w->who, &d);
	sleeplock_give(&dir->dentry->inode->lock);
	if (r == 0) {
		struct path made = { dir->mount, d };

		r = open_path(&made, flags, w->who, true, ret);
		r = r < 0 ? r : MADE;
	}
	if (d)
		dentry_unref(d);
	return r;
}

static int open_or_create(const struct walk *w, const char *text, unsigned int flags, uint32_t mode,
			  struct file **ret)
{
	size_t len = strlen(text);
	struct path dir = {};
	char *now = heap_alloc(PATH_ROOM);
	int r = !now ? -ENOMEM : len >= PATH_ROOM ? -ENAMETOOLONG : LEADS_ON;

	if (r == LEADS_ON)
		memcpy(now, text, len);
	for (unsigned int links = 0; r == LEADS_ON; links++)
		r = links > LINKS_MOST ? -ELOOP : look(w, &dir, now, flags, mode, ret);
	path_unref(&dir);
	heap_free(now);
	return r < 0 ? r : 0;
}

int names_open(const struct walk *w, const char *text, unsigned int flags, uint32_t mode,
	       struct file **ret)
{
	struct path p;
	int r;

	if (flags & O_PATH)
		flags &= O_PATH | O_NOFOLLOW | O_DIRECTORY | O_CLOEXEC;
	if (flags & O_CREAT && flags & O_DIRECTORY)
		return -EINVAL;
	if (flags & O_CREAT)
		return open_or_create(w, text, flags, mode, ret);
	r = walk(w, text, flags & O_NOFOLLOW ? 0 : WALK_FOLLOW, &p);
	if (r < 0)
		return r;
	r = open_path(&p, flags, w->who, false, ret);
	path_unref(&p);
	return r;
}

/* It stands in the directory it was opened in, under no name. */
static int open_nameless(const struct path *dir, struct inode *i, unsigned int flags,
			 const struct cred *who, struct file **ret)
{
	char name[24], *at = name + sizeof(name);
	struct path p = { .mount = dir->mount };
	size_t len;
	int r;

	for (uint64_t n = i->ino; n || at == name + sizeof(name); n /= 10)
		*--at = (char) ('0' + n % 10);
	*--at = '#';
	len = (size_t) (name + sizeof(name) - at);
	p.dentry = dentry_add(dir->dentry, at, len, i);
	if (!p.dentry)
		return -ENOMEM;
	dentry_remove(p.dentry);
	r = file_open(&p, flags, who, ret);
	dentry_unref(p.dentry);
	return r;
}

int names_open_nameless(const struct walk *w, const char *text, unsigned int flags, uint32_t mode,
			struct file **ret)
{
	struct inode *i, *at;
	struct path dir;
	int r = walk(w, text, WALK_FOLLOW | WALK_DIRECTORY, &dir);

	if (r < 0)
		return r;
	at = dir.dentry->inode;
	r = may_add(&dir, w->who);
	if (r == 0)
		r = at->ops->nameless ? at->ops->nameless(at, S_IFREG | (mode & 07777), w->who, &i)
				      : -EOPNOTSUPP;
	if (r == 0) {
		i->linkable = !(flags & O_EXCL);
		r = open_nameless(&dir, i, flags, w->who, ret);
	}
	path_unref(&dir);
	return r;
}

/* ---- names that come ---- */

int names_create(const struct walk *w, const char *text, uint32_t mode, uint64_t rdev,
		 const char *target)
{
	bool directory = (mode & S_IFMT) == S_IFDIR;
	struct dentry *d = NULL;
	struct walk_last l;
	struct path dir;
	int r = walk_parent(w, text, &dir, &l);

	if (r < 0)
		return r;
	if (l.kind != LAST_NAME) {
		path_unref(&dir);
		return -EEXIST;
	}
	/* There already is the first thing to be told. */
	r = inode_may(dir.dentry->inode, w->who, MAY_EXEC);
	if (r == 0)
		r = dentry_lookup(dir.dentry, l.name, l.len, &d);
	if (r == 0)
		r = -EEXIST;
	else if (r == -ENOENT && l.slash && !directory)
		r = -ENOENT;
	else if (r == -ENOENT && (mode & S_IFMT) != S_IFIFO && (mode & S_IFMT) != S_IFSOCK &&
		 rdev && !cred_can(w->who, CAP_MKNOD))
		r = -EPERM;
	else if (r == -ENOENT)
		r = 0;
	if (r == 0) {
		sleeplock_take(&dir.dentry->inode->lock);
		d = dentry_cached(dir.dentry, l.name, l.len);
		r = d ? -EEXIST : create_in(&dir, l.name, l.len, mode, rdev, target, w->who, &d);
		sleeplock_give(&dir.dentry->inode->lock);
	}
	if (d)
		dentry_unref(d);
	path_unref(&dir);
	return r;
}

int names_link(const struct path *what, const struct walk *w, const char *text)
{
	struct inode *i = what->dentry->inode;
	struct dentry *d = NULL;
	struct walk_last l;
	struct path dir;
	int r = walk_parent(w, text, &dir, &l);

	if (r < 0)
		return r;
	if (l.kind != LAST_NAME)
		r = -EEXIST;
	if (r == 0) {
		r = dentry_lookup(dir.dentry, l.name, l.len, &d);
		r = r == 0 ? -EEXIST : r == -ENOENT ? 0 : r;
	}
	if (r == 0 && l.slash)
		r = -ENOENT;
	if (r == 0 && what->mount != dir.mount)
		r = -EXDEV;
	if (r == 0)
		r = may_add(&dir, w->who);
	if (r == 0 && (inode_is(i, S_IFDIR) || !dir.dentry->inode->ops->link))
		r = -EPERM;
	if (r == 0) {
		struct inode *at = dir.dentry->inode;

		sleeplock_take(&at->lock);
		d = dentry_cached(dir.dentry, l.name, l.len);
		r = d ? -EEXIST : at->ops->link(at, l.name, l.len, i);
		if (r == 0) {
			inode_ref(i);
			told_name_changes(at, l.name, l.len);
			d = dentry_add(dir.dentry, l.name, l.len, i);
			touch(at);
			notify_inode(i, IN_ATTRIB);
			notify_entry(&(struct notify_place){ at, l.name, l.len }, IN_CREATE, i);
		}
		sleeplock_give(&at->lock);
	}
	if (d)
		dentry_unref(d);
	path_unref(&dir);
	return r;
}

/* ---- names that go ---- */

int names_remove(const struct walk *w, const char *text, unsigned int flags)
{
	bool directory = flags & AT_REMOVEDIR;
	struct dentry *d = NULL;
	struct walk_last l;
	struct path dir;
	struct inode *at, *gone = NULL;
	int r = walk_parent(w, text, &dir, &l);

	if (r < 0)
		return r;
	at = dir.dentry->inode;
	if (l.kind != LAST_NAME) {
		path_unref(&dir);
		if (!directory)
			return -EISDIR;
		return l.kind == LAST_DOT ? -EINVAL : l.kind == LAST_DOTDOT ? -ENOTEMPTY : -EBUSY;
	}
	r = inode_may(at, w->who, MAY_EXEC);
	if (r == 0)
		r = dentry_lookup(dir.dentry, l.name, l.len, &d);
	if (r == 0 && l.slash && !inode_is(d->inode, S_IFDIR))
		r = -ENOTDIR;
	if (r == 0)
		r = may_take(&dir, d, w->who);
	if (r == 0 && directory != inode_is(d->inode, S_IFDIR))
		r = directory ? -ENOTDIR : -EISDIR;
	if (r == 0 && d->mounts)
		r = -EBUSY;
	if (r == 0 && !at->ops->unlink)
		r = -EPERM;
	if (r == 0) {
		sleeplock_take(&at->lock);
		r = d->removed ? -ENOENT : at->ops->unlink(at, l.name, l.len, d->inode);
		if (r == 0) {
			d->inode->times.change = plat_now(PLAT_REALTIME);
			dentry_remove(d);
			touch(at);
			gone = d->inode;
			inode_ref(gone);
		}
		sleeplock_give(&at->lock);
	}
	if (gone && !directory)
		notify_inode(gone, IN_ATTRIB);
	/* What has no name and no user any more is told by that, before the directory is. */
	if (d)
		dentry_unref(d);
	if (gone)
		notify_entry(&(struct notify_place){ at, l.name, l.len }, IN_DELETE, gone);
	inode_unref(gone);
	path_unref(&dir);
	return r;
}

/* ---- names that change ---- */

struct renaming {
	struct path from, to;
	struct walk_last old, new;
	struct dentry *what, *over;
};

static int may_rename(const struct renaming *n, const struct cred *who, unsigned int flags)
{
	bool what = inode_is(n->what->inode, S_IFDIR),
	     over = n->over && inode_is(n->over->inode, S_IFDIR);
	bool exchange = flags & RENAME_EXCHANGE;
	int r = may_take(&n->from, n->what, who);

	if (r == 0)
		r = n->over ? may_take(&n->to, n->over, who) : may_add(&n->to, who);
	if (r < 0)
		return r;
	if (n->over && flags & RENAME_NOREPLACE)
		return -EEXIST;
	if (!n->over && exchange)
		return -ENOENT;
	if (!what && (n->old.slash || (n->new.slash && !exchange)))
		return -ENOTDIR;
	if (n->over && !exchange && what != over)
		return what ? -ENOTDIR : -EISDIR;
	if (n->what->mounts || (n->over && n->over->mounts))
		return -EBUSY;
	/* A directory never goes below itself. */
	if (what && dentry_below(n->to.dentry, n->what))
		return -EINVAL;
	if (n->over && exchange && over && dentry_below(n->from.dentry, n->over))
		return -EINVAL;
	if (n->over && !exchange && over && dentry_below(n->from.dentry, n->over))
		return -ENOTEMPTY;
	/* ".." of a directory that moves is written to. */
	if (what && n->from.dentry != n->to.dentry)
		r = inode_may(n->what->inode, who, MAY_WRITE);
	return r;
}

static void tell_renamed(const struct renaming *n, unsigned int flags)
{
	struct notify_place old = { n->from.dentry->inode, n->old.name, n->old.len },
			    new = { n->to.dentry->inode, n->new.name, n->new.len };
	struct inode *over = n->over ? n->over->inode : NULL;

	if (!(flags & RENAME_EXCHANGE)) {
		notify_move(&old, &new, n->what->inode, over);
		return;
	}
	notify_move(&old, &new, n->what->inode, NULL);
	notify_move(&new, &old, over, NULL);
}

static int do_rename(struct renaming *n, unsigned int flags)
{
	struct inode *from = n->from.dentry->inode, *to = n->to.dentry->inode;
	int r;

	if (n->over && n->over->inode == n->what->inode)
		return 0; /* two names of one file: rename(2) does nothing */
	if (!from->ops->rename)
		return -EPERM;
	/* No file system leaves whiteouts behind: as overlayfs answers. */
	if (flags & RENAME_WHITEOUT)
		return -EINVAL;
	r = from->ops->rename(from, n->old.name, n->old.len, n->what->inode, to, n->new.name,
			      n->new.len, n->over ? n->over->inode : NULL, flags);
	if (r < 0)
		return r;
	if (n->over && flags & RENAME_EXCHANGE) {
		r = dentry_move(n->over, n->from.dentry, n->old.name, n->old.len);
	} else if (n->over) {
		dentry_remove(n->over);
	}
	if (r == 0)
		r = dentry_move(n->what, n->to.dentry, n->new.name, n->new.len);
	if (r < 0) {
		/* The names are right on the file system, and will be looked up there. */
		told_forget();
		dentry_remove(n->what);
		r = 0;
	}
	touch(from);
	touch(to);
	n->what->inode->times.change = plat_now(PLAT_REALTIME);
	tell_renamed(n, flags);
	return r;
}

int names_rename(const struct walk *wf, const char *old, const struct walk *wt, const char *text,
		 unsigned int flags)
{
	struct renaming n = {};
	struct inode *a, *b;
	int r;

	if (flags & ~(unsigned int) (RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT) ||
	    (flags & (RENAME_NOREPLACE | RENAME_WHITEOUT) && flags & RENAME_EXCHANGE))
		return -EINVAL;
	r = walk_parent(wf, old, &n.from, &n.old);
	if (r < 0)
		return r;
	r = walk_parent(wt, text, &n.to, &n.new);
	if (r < 0) {
		path_unref(&n.from);
		return r;
	}
	if (n.from.mount != n.to.mount)
		r = -EXDEV;
	else if (n.old.kind != LAST_NAME || n.new.kind != LAST_NAME)
		r = flags & RENAME_NOREPLACE ? -EEXIST : -EBUSY;
	a = n.from.dentry->inode;
	b = n.to.dentry->inode;
	if (r == 0)
		r = inode_may(a, wf->who, MAY_EXEC);
	if (r == 0)
		r = inode_may(b, wt->who, MAY_EXEC);
	if (r == 0)
		r = dentry_lookup(n.from.dentry, n.old.name, n.old.len, &n.what);
	if (r == 0) {
		r = dentry_lookup(n.to.dentry, n.new.name, n.new.len, &n.over);
		r = r == -ENOENT ? 0 : r;
	}
	if (r == 0) {
		/* By address, so that two renames never wait for each other. */
		struct inode *first = a < b ? a : b, *second = a < b ? b : a;

		sleeplock_take(&first->lock);
		if (second != first)
			sleeplock_take(&second->lock);
		if (n.what->removed || n.what->parent != n.from.dentry ||
		    (n.over && n.over->removed))
			r = -ENOENT;
		if (r == 0)
			r = may_rename(&n, wf->who, flags);
		if (r == 0)
			r = do_rename(&n, flags);
		if (second != first)
			sleeplock_give(&second->lock);
		sleeplock_give(&first->lock);
	}
	if (n.what)
		dentry_unref(n.what);
	if (n.over)
		dentry_unref(n.over);
	path_unref(&n.from);
	path_unref(&n.to);
	return r;
}
