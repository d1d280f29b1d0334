/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/core/heap.h"
#include "kernel/fs/proc/tables.h"

static void flags(const struct mount *m, struct text *to)
{
	static const struct {
		unsigned int flag;
		const char *text;
	} names[] = { { MNT_NOSUID, ",nosuid" },
		      { MNT_NODEV, ",nodev" },
		      { MNT_NOEXEC, ",noexec" } };

	text_put(to, "%s", m->flags & MNT_READONLY ? "ro" : "rw");
	for (size_t n = 0; n < countof(names); n++) {
		if (m->flags & names[n].flag)
			text_put(to, "%s", names[n].text);
	}
	text_put(to, "%s", m->flags & MNT_NOATIME ? ",noatime" : ",relatime");
	if (m->flags & MNT_NODIRATIME)
		text_put(to, ",nodiratime");
	if (m->flags & MNT_NOSYMFOLLOW)
		text_put(to, ",nosymfollow");
}

/* Where a mount stands, from the root of t; false: not below it. */
static bool point(const struct task *t, struct mount *m, char *room, const char **ret)
{
	const struct path p = { m, m->root };
	bool outside = false;

	*ret = path_text(&p, &t->fs->root, room, PATH_ROOM, &outside);
	return *ret && !outside;
}

/* Which directory of its file system it shows. */
static void root_of(const struct mount *m, struct text *to)
{
	const struct dentry *d = m->root, *names[64];
	size_t n = 0;

	for (; d->parent != d && n < countof(names); d = d->parent)
		names[n++] = d;
	if (n == 0)
		text_put(to, "/");
	while (n > 0) {
		text_put(to, "/");
		text_escaped(to, names[--n]->name);
	}
}

static void line(const struct mount *m, const char *at, bool info, struct text *to)
{
	const char *source = *m->source ? m->source : "none";

	if (info) {
		text_put(to, "%u %u %lu:%lu ", m->id, m->parent ? m->parent->id : m->id,
			 m->super->dev >> 8, m->super->dev & 0xff);
		root_of(m, to);
		text_put(to, " ");
		text_escaped(to, at);
		text_put(to, " ");
		flags(m, to);
		text_put(to, " - %s ", m->super->ops->type);
		text_escaped(to, source);
		text_put(to, " %s\n", m->super->readonly ? "ro" : "rw");
	} else {
		text_escaped(to, source);
		text_put(to, " ");
		text_escaped(to, at);
		text_put(to, " %s ", m->super->ops->type);
		flags(m, to);
		text_put(to, " 0 0\n");
	}
}

static int each(const struct generated_node *n, bool info, struct text *to)
{
	const struct task *t = proc_task(n);
	const struct mount_space *s;
	char *room;

	if (!t)
		return -ESRCH;
	if (!t->fs)
		return -EINVAL; /* as Linux of a zombie */
	s = t->fs->root.mount->space;
	if (!s)
		return 0;
	room = heap_alloc(PATH_ROOM);
	if (!room)
		return -ENOMEM;
	for (struct list *l = s->mounts.next; l != &s->mounts; l = l->next) {
		struct mount *m = list_entry(l, struct mount, in_space);
		const char *at;

		if (point(t, m, room, &at))
			line(m, at, info, to);
	}
	heap_free(room);
	return 0;
}

int proc_mounts(const struct generated_node *n, struct text *to)
{
	return each(n, false, to);
}

int proc_mountinfo(const struct generated_node *n, struct text *to)
{
	return each(n, true, to);
}
