/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/vfs/notify.h"

#include <linux/inotify.h>

#include "kernel/fs/dnotify.h"
#include "kernel/fs/inotify.h"
#include "kernel/vfs/file.h"

static uint32_t of_kind(const struct inode *i, uint32_t event)
{
	return event | (inode_is(i, S_IFDIR) ? IN_ISDIR : 0u);
}

void notify_inode(struct inode *i, uint32_t event)
{
	if (!list_empty(&i->marks))
		inotify_tell(i, &(struct notice){ .event = of_kind(i, event) });
}

static bool any(void)
{
	return inotify_any() || dnotify_any();
}

/* A directory of what is in it, or what it is of itself. */
static void tell_all(struct inode *dir, const struct notice *n, bool renamed)
{
	if (!list_empty(&dir->marks))
		inotify_tell(dir, n);
	if (!list_empty(&dir->dnotes))
		dnotify_tell(dir, n, renamed);
}

static void tell(const struct dentry *d, uint32_t event, bool nameless)
{
	struct notice n = { .event = of_kind(d->inode, event), .nameless = nameless };
	struct inode *dir = d->parent->inode;

	if (d->parent != d) {
		n.name = d->name;
		n.len = d->len;
		tell_all(dir, &n, false);
		n.name = NULL;
		n.len = 0;
	}
	tell_all(d->inode, &n, false);
}

void notify_dentry(const struct dentry *d, uint32_t event)
{
	if (any())
		tell(d, event, false);
}

void notify_file(const struct file *f, uint32_t event)
{
	if (any())
		tell(f->path.dentry, event, f->path.dentry->removed);
}

void notify_program(const struct dentry *d)
{
	notify_dentry(d, IN_OPEN);
	notify_dentry(d, IN_ACCESS);
	notify_dentry(d, IN_CLOSE_NOWRITE);
}

void notify_change(const struct dentry *d, unsigned int what)
{
	unsigned int times = what & (ATTR_ATIME | ATTR_MTIME);
	uint32_t event = 0;

	if (what & (ATTR_UID | ATTR_GID | ATTR_MODE))
		event |= IN_ATTRIB;
	if (what & ATTR_SIZE)
		event |= IN_MODIFY;
	/* Both are utime(2)'s; one alone stands for what else would have set it. */
	if (times == (ATTR_ATIME | ATTR_MTIME))
		event |= IN_ATTRIB;
	else if (times)
		event |= times & ATTR_ATIME ? IN_ACCESS : IN_MODIFY;
	if (event)
		notify_dentry(d, event);
}

static void tell_entry(const struct notify_place *at, uint32_t event, uint32_t cookie, bool renamed)
{
	struct notice n = { .event = event, .cookie = cookie, .name = at->name, .len = at->len };

	tell_all(at->dir, &n, renamed);
}

void notify_entry(const struct notify_place *at, uint32_t event, const struct inode *what)
{
	tell_entry(at, of_kind(what, event), 0, false);
}

void notify_move(const struct notify_place *from, const struct notify_place *to, struct inode *what,
		 struct inode *over)
{
	static uint32_t cookie; /* one for both ends of a move */

	if (!any())
		return;
	cookie = cookie + 1 ?: 1;
	tell_entry(from, of_kind(what, IN_MOVED_FROM), cookie, from->dir == to->dir);
	tell_entry(to, of_kind(what, IN_MOVED_TO), cookie, false);
	if (over)
		notify_inode(over, IN_ATTRIB);
	notify_inode(what, IN_MOVE_SELF);
}

void notify_gone(struct inode *i)
{
	if (!list_empty(&i->marks))
		inotify_tell_last(i, &(struct notice){ .event = IN_DELETE_SELF });
}

void notify_unmounted(const struct super *s)
{
	if (inotify_any())
		inotify_unmounted(s);
}
