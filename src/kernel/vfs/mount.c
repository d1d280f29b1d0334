/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/core/heap.h"
#include "kernel/vfs/told.h"

static struct heap_cache mounts = HEAP_CACHE_INIT(struct mount);
static struct heap_cache spaces = HEAP_CACHE_INIT(struct mount_space);

static void mount_unref(struct mount *m)
{
	struct super *s;

	if (!m || --m->owners > 0)
		return;
	s = m->super;
	dentry_unref(m->root);
	heap_free((void *) (uintptr_t) m->source);
	heap_cache_free(&mounts, m);
	super_leave(s);
}

void path_ref(const struct path *p)
{
	p->mount->owners++;
	dentry_ref(p->dentry);
}

void path_unref(struct path *p)
{
	struct path old = *p;

	*p = (struct path){};
	if (!old.mount)
		return;
	dentry_unref(old.dentry);
	mount_unref(old.mount);
}

/* A mount that stands nowhere yet. It owns what it names; one owner: the caller. */
static struct mount *mount_new(struct dentry *root, unsigned int flags, const char *source)
{
	static unsigned int last = 20; /* as on a running system: small numbers */
	struct mount *m = heap_cache_alloc(&mounts);
	char *text = heap_alloc(strlen(source) + 1);

	if (!m || !text) {
		heap_cache_free(&mounts, m);
		heap_free(text);
		return NULL;
	}
	memcpy(text, source, strlen(source));
	*m = (struct mount){ .super = root->super,
			     .root = root,
			     .flags = flags,
			     .owners = 1,
			     .id = ++last,
			     .source = text };
	list_init(&m->in_space);
	dentry_ref(root);
	super_use(m->super);
	return m;
}

struct mount_space *mount_space_new(struct super *root, unsigned int flags, const char *source)
{
	struct mount_space *s = heap_cache_alloc(&spaces);
	struct mount *m = s ? mount_new(root->root, flags, source) : NULL;

	if (!m) {
		heap_cache_free(&spaces, s);
		return NULL;
	}
	s->owners = 1;
	s->root = m;
	m->space = s;
	list_init(&s->mounts);
	list_push(&s->mounts, &m->in_space);
	s->count = 1;
	return s;
}

/* Out of its space and from what it stood on. */
static void take_off(struct mount *m)
{
	struct mount *parent = m->parent;
	struct dentry *point = m->point;

	told_forget();
	list_remove(&m->in_space);
	m->space->count--;
	m->space = NULL;
	m->parent = NULL;
	m->point = NULL;
	if (point) {
		point->mounts--;
		dentry_unref(point);
	}
	mount_unref(parent);
	mount_unref(m);
}

void mount_space_unref(struct mount_space *s)
{
	if (!s || --s->owners > 0)
		return;
	/* What was mounted last goes first: nothing loses what it stands on. */
	while (!list_empty(&s->mounts))
		take_off(list_entry(s->mounts.prev, struct mount, in_space));
	heap_cache_free(&spaces, s);
}

int mount_add(const struct path *on, struct dentry *root, unsigned int flags, const char *source,
	      struct mount **ret)
{
	struct path at = *on;
	struct mount *m;

	path_ref(&at);
	mount_enter(&at);
	if (at.dentry->removed || !at.mount->space) {
		path_unref(&at);
		return -ENOENT;
	}
	if (inode_is(at.dentry->inode, S_IFDIR) != inode_is(root->inode, S_IFDIR)) {
		path_unref(&at);
		return -ENOTDIR;
	}
	m = at.mount->space->count < MOUNTS_MOST ? mount_new(root, flags, source) : NULL;
	if (!m) {
		int r = at.mount->space->count < MOUNTS_MOST ? -ENOMEM : -ENOSPC;

		path_unref(&at);
		return r;
	}
	m->parent = at.mount; /* owned now */
	m->point = at.dentry;
	m->point->mounts++;
	m->space = at.mount->space;
	list_push(&m->space->mounts, &m->in_space);
	m->space->count++;
	told_forget();
	if (ret)
		*ret = m;
	return 0;
}

/* The mount that stands on this dentry of this mount, or NULL. */
static struct mount *standing_on(const struct mount *on, const struct dentry *d)
{
	if (d->mounts == 0 || !on->space)
		return NULL;
	list_each(l, &on->space->mounts)
	{
		struct mount *m = list_entry(l, struct mount, in_space);

		if (m->parent == on && m->point == d)
			return m;
	}
	return NULL;
}

static bool carries_mounts(const struct mount *m)
{
	list_each(l, &m->space->mounts)
	{
		if (list_entry(l, struct mount, in_space)->parent == m)
			return true;
	}
	return false;
}

int mount_remove(struct mount *m, bool detach)
{
	if (!m->space || !m->parent)
		return -EINVAL;
	/* One owner is its space; who looked it up has another. */
	if (!detach && (carries_mounts(m) || m->owners > 2))
		return -EBUSY;
	while (carries_mounts(m)) {
		struct mount *last = NULL;

		list_each(l, &m->space->mounts)
		{
			struct mount *other = list_entry(l, struct mount, in_space);

			if (other != m && other->parent)
				for (const struct mount *up = other->parent; up; up = up->parent) {
					if (up == m)
						last = other;
				}
		}
		take_off(last);
	}
	take_off(m);
	return 0;
}

/* ---- bind, move, remount ---- */

/* m stands on top, or on what does. */
static bool stands_within(const struct mount *m, const struct mount *top)
{
	while (m && m != top)
		m = m->parent;
	return m != NULL;
}

/* Of the first `count` mounts those that stand within what was bound, each on the copy of what it
 * stands on; those that come are behind them. */
static int bind_below(const struct path *from, unsigned int count)
{
	struct mount_space *s = from->mount->space;
	struct list *l = s->mounts.next;
	int r = 0;

	for (; r == 0 && count > 0; count--, l = l->next) {
		struct mount *m = list_entry(l, struct mount, in_space);
		struct mount *parent = m->parent ? m->parent->copy : NULL;
		struct path on = { parent, m->point };

		if (!parent || m->copy ||
		    (m->parent == from->mount && !dentry_below(m->point, from->dentry)))
			continue;
		r = mount_add(&on, m->root, m->flags, m->source, &m->copy);
	}
	list_each(e, &s->mounts) list_entry(e, struct mount, in_space)->copy = NULL;
	return r;
}

int mount_bind(const struct path *from, const struct path *on, bool recursive)
{
	unsigned int count;
	struct mount *top;
	int r;

	if (!from->mount->space || from->mount->space != on->mount->space)
		return -EINVAL;
	count = from->mount->space->count;
	r = mount_add(on, from->dentry, from->mount->flags, from->mount->source, &top);
	if (r < 0 || !recursive)
		return r;
	from->mount->copy = top;
	r = bind_below(from, count);
	if (r < 0)
		(void) mount_remove(top, true); /* it is no root */
	return r;
}

/* Behind what it stands on now, with all that stands on it. */
static void to_the_end(struct mount *m)
{
	struct list *l = m->space->mounts.next, *next;

	for (unsigned int n = m->space->count; n > 0; n--, l = next) {
		next = l->next;
		if (!stands_within(list_entry(l, struct mount, in_space), m))
			continue;
		list_remove(l);
		list_push(&m->space->mounts, l);
	}
}

int mount_move(struct mount *m, const struct path *on)
{
	struct mount *parent = m->parent;
	struct dentry *point = m->point;
	struct path at = *on;
	int r = 0;

	path_ref(&at);
	mount_enter(&at);
	if (!parent || !m->space || at.mount->space != m->space)
		r = -EINVAL;
	else if (at.dentry->removed)
		r = -ENOENT;
	else if (inode_is(at.dentry->inode, S_IFDIR) != inode_is(m->root->inode, S_IFDIR))
		r = -EINVAL;
	else if (stands_within(at.mount, m))
		r = -ELOOP;
	if (r < 0) {
		path_unref(&at);
		return r;
	}
	told_forget();
	m->parent = at.mount; /* owned now */
	m->point = at.dentry;
	m->point->mounts++;
	point->mounts--;
	to_the_end(m);
	dentry_unref(point);
	mount_unref(parent);
	return 0;
}

int mount_set_flags(struct mount *m, unsigned int flags)
{
	if (flags & ~m->flags & MNT_READONLY && m->writers > 0)
		return -EBUSY;
	m->flags = flags;
	told_forget(); /* MNT_NOSYMFOLLOW */
	return 0;
}

int mount_change_super(struct mount *m, bool readonly)
{
	struct super *s = m->super;

	if (!readonly && s->readonly && s->ops->unwritable)
		return -EROFS;
	if (readonly && !s->readonly && m->space) {
		list_each(l, &m->space->mounts)
		{
			const struct mount *other = list_entry(l, struct mount, in_space);

			if (other->super == s && other->writers > 0)
				return -EBUSY;
		}
	}
	s->readonly = readonly;
	return 0;
}

void mount_enter(struct path *p)
{
	struct mount *m;

	while ((m = standing_on(p->mount, p->dentry))) {
		struct path up = { m, m->root };

		path_ref(&up);
		path_unref(p);
		*p = up;
	}
}

bool mount_leave(struct path *p)
{
	struct path down;

	if (!p->mount->parent || p->dentry != p->mount->root)
		return false;
	down = (struct path){ p->mount->parent, p->mount->point };
	path_ref(&down);
	path_unref(p);
	*p = down;
	return true;
}

static char *before(char *at, const char *low, const char *text, size_t len)
{
	if (!at || (size_t) (at - low) < len)
		return NULL;
	memcpy(at - len, text, len);
	return at - len;
}

char *path_text(const struct path *p, const struct path *root, char *to, size_t room,
		bool *ret_outside)
{
	static const char deleted[] = " (deleted)";
	const struct mount *m = p->mount;
	const struct dentry *d = p->dentry;
	char *at = room ? to + room - 1 : NULL;
	char *begun;

	if (!at)
		return NULL;
	*at = 0;
	if (d->removed)
		at = before(at, to, deleted, sizeof(deleted) - 1);
	begun = at;
	*ret_outside = false;
	while (at && !(m == root->mount && d == root->dentry)) {
		if (d == m->root || d->parent == d) {
			if (!m->parent) {
				*ret_outside = !(m == root->mount && d == root->dentry);
				/* What has no place in any tree has its name alone: "pipe:[7]". */
				if (d->len && at == begun)
					return before(at, to, d->name, d->len);
				break;
			}
			d = m->point;
			m = m->parent;
			continue;
		}
		at = before(at, to, d->name, d->len);
		at = before(at, to, "/", 1);
		d = d->parent;
	}
	return at == begun ? before(at, to, "/", 1) : at;
}
