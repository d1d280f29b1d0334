/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instances of inotify: their watches by the names that lead to what is watched, as long as they
 * still do, and what nobody has read.
 */
#include <asm/fcntl.h>

#include "kernel/core/heap.h"
#include "kernel/fs/inotify_node.h"
#include "kernel/state/state.h"
#include "kernel/task/cred.h"
#include "kernel/vfs/file.h"

#define NAME_ROOM                                                                                  \
	272 /* the longest name, its end, and up to the next multiple of a head's size             \
	     */

/* ---- saving ---- */

/* What is at this place below the root of the super, owned; NULL: nothing. */
static struct dentry *at_place(const struct super *super, const char *place)
{
	struct dentry *d = super->root, *next;

	dentry_ref(d);
	while (*place == '/') {
		const char *name = place + 1;
		size_t len = 0;
		int r;

		while (name[len] && name[len] != '/')
			len++;
		r = inode_is(d->inode, S_IFDIR) ? dentry_lookup(d, name, len, &next) : -ENOTDIR;
		dentry_unref(d);
		if (r < 0)
			return NULL;
		d = next;
		place = name + len;
	}
	return d;
}

/* The watch may go meanwhile where nobody is held: all of it that is used is the caller's. */
static void save_watch(struct state_save *s, struct inode *i, const char *place)
{
	struct dentry *d = NULL;
	uint64_t nr;

	if (state_has_super(s->host, i->super, &nr))
		d = at_place(i->super, place);
	if (d && d->inode == i)
		save_dentry(s, d);
	else
		save_refuse(s, "a watch of what has no name, or another one by now:", place);
	if (d)
		dentry_unref(d);
}

static void save_watches(struct state_save *s, const struct inotify *in)
{
	struct tree_node *n;

	for (uint64_t at = 0; s->out->error == 0 && (n = tree_from(&in->watches, at));) {
		const struct inotify_watch *w = container_of(n, struct inotify_watch, node);
		size_t len = w->place ? strlen(w->place) : 0;
		char *place = heap_alloc(len + 1);
		struct inode *i = w->inode;

		at = n->key + 1;
		if (!place) {
			s->out->error = -ENOMEM;
			return;
		}
		if (len > 0)
			memcpy(place, w->place, len);
		out_number(s->out, n->key);
		out_number(s->out, w->mask);
		inode_ref(i);
		save_watch(s, i, place);
		inode_unref(i);
		heap_free(place);
	}
	out_number(s->out, 0);
}

void save_inotify(struct state_save *s, struct file *f)
{
	const struct inotify *in = f->own;

	out_number(s->out, f->inode->uid);
	out_number(s->out, f->inode->gid);
	out_number(s->out, inotify_uid(in));
	out_number(s->out, (uint64_t) in->last);
	save_watches(s, in);
	list_each(l, &in->events)
	{
		const struct inotify_told *e = list_entry(l, struct inotify_told, link);

		out_number(s->out, 1);
		out_number(s->out, (uint32_t) e->head.number);
		out_number(s->out, e->head.mask);
		out_number(s->out, e->head.cookie);
		out_number(s->out, e->head.len);
		out_bytes(s->out, e->name, e->head.len);
	}
	out_number(s->out, 0);
}

/* ---- loading ---- */

static uint32_t word(struct state_load *l)
{
	return (uint32_t) in_number(l->in, UINT32_MAX);
}

static void load_watches(struct state_load *l, struct inotify *in)
{
	uint64_t number;

	while ((number = in_number(l->in, INT32_MAX)) != 0) {
		uint32_t mask = word(l);
		struct dentry *d = load_dentry(l);
		int r;

		if (!d)
			return;
		r = inotify_watch_load(in, d, (int32_t) number, mask);
		if (r < 0)
			in_fail(l->in, r);
		dentry_unref(d);
	}
}

static void load_event(struct state_load *l, struct inotify *in)
{
	struct inotify_head head = { .number = (int32_t) word(l) };
	char name[NAME_ROOM];
	int r;

	head.mask = word(l);
	head.cookie = word(l);
	head.len = (uint32_t) in_number(l->in, sizeof(name));
	in_bytes(l->in, name, head.len);
	/* As they are always: a multiple of a head, and with an end. */
	if (head.len % sizeof(head) != 0 || (head.len > 0 && name[head.len - 1]))
		in_fail(l->in, -EBADMSG);
	r = l->in->error == 0 ? inotify_event_load(in, &head, name) : 0;
	if (r < 0)
		in_fail(l->in, r);
}

struct file *load_inotify(struct state_load *l, unsigned int flags)
{
	struct cred who = { .fsuid = word(l) };
	struct file *f = NULL;
	uint32_t uid;
	int32_t last;
	int r;

	who.fsgid = word(l);
	uid = word(l);
	last = (int32_t) in_number(l->in, INT32_MAX);
	if (l->in->error < 0)
		return NULL;
	r = inotify_load(flags & ~(unsigned int) O_ACCMODE, uid, last, &who, &f);
	if (r < 0) {
		in_fail(l->in, r);
		return NULL;
	}
	load_watches(l, f->own);
	while (in_flag(l->in))
		load_event(l, f->own);
	if (l->in->error == 0)
		return f;
	file_unref(f);
	return NULL;
}
