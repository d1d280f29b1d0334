/* SPDX-License-Identifier: Apache-2.0 */
/* Mounts, which have to be the same again, and names in them. */
#include "kernel/core/heap.h"
#include "kernel/state/state.h"

#define DEEPEST	  1024
#define TEXT_ROOM 4096

static bool same_text(const char *a, const char *b)
{
	size_t n = strlen(a);

	return strlen(b) == n && memcmp(a, b, n) == 0;
}

static struct mount_space *space_of(const struct state_host *h)
{
	return h->root->mount->space;
}

static struct mount *mount_at(const struct state_host *h, uint64_t nr)
{
	list_each(l, &space_of(h)->mounts)
	{
		if (nr-- == 0)
			return list_entry(l, struct mount, in_space);
	}
	return NULL;
}

static bool find_mount(const struct state_host *h, const struct mount *m, uint64_t *ret_nr)
{
	*ret_nr = 0;
	list_each(l, &space_of(h)->mounts)
	{
		if (list_entry(l, struct mount, in_space) == m)
			return true;
		++*ret_nr;
	}
	return false;
}

struct super *state_super(const struct state_host *h, uint64_t nr)
{
	struct mount *m = mount_at(h, nr);

	return m ? m->super : NULL;
}

struct super *load_super(const struct state_load *l, uint64_t nr)
{
	return nr < l->mount_count ? l->mounts[nr]->super : NULL;
}

/* The number of the first mount that has it. */
bool state_has_super(const struct state_host *h, const struct super *super, uint64_t *ret_nr)
{
	struct super *s;

	for (*ret_nr = 0; (s = state_super(h, *ret_nr)); ++*ret_nr) {
		if (s == super)
			return true;
	}
	return false;
}

/* ---- names ---- */

static size_t deep(const struct dentry *d)
{
	size_t n = 0;

	for (; d->parent != d; d = d->parent)
		n++;
	return n;
}

bool state_removed(const struct dentry *d)
{
	for (; d->parent != d; d = d->parent)
		if (d->removed)
			return true;
	return false;
}

void save_dentry(struct state_save *s, struct dentry *d)
{
	size_t n = deep(d);
	uint64_t nr = 0;

	if (!state_has_super(s->host, d->super, &nr)) {
		save_refuse(s, "a file of a file system that was unmounted:", d->name);
		return;
	}
	if (n > DEEPEST) {
		save_refuse(s, "a file that lies too deep:", d->name);
		return;
	}
	out_number(s->out, nr);
	out_number(s->out, n);
	while (n > 0) {
		struct dentry *at = d;

		for (size_t up = --n; up > 0; up--)
			at = at->parent;
		if (at->removed) {
			save_refuse(s, "a file that was removed:", at->name);
			return;
		}
		out_text(s->out, at->name, at->len);
	}
}

struct dentry *load_dentry(struct state_load *l)
{
	struct super *super = load_super(l, in_number(l->in, MOUNTS_MOST));
	uint64_t n = in_number(l->in, DEEPEST);
	char name[NAME_LONGEST + 1];
	struct dentry *d, *next;

	if (l->in->error < 0 || !super) {
		in_fail(l->in, -EBADMSG);
		return NULL;
	}
	d = super->root;
	dentry_ref(d);
	for (; n > 0 && l->in->error == 0; n--) {
		size_t len = in_text(l->in, name, sizeof(name));
		int r = len == 0 ? -EBADMSG : inode_is(d->inode, S_IFDIR) ? 0 : -ENOTDIR;

		if (l->in->error == 0 && r == 0)
			r = dentry_lookup(d, name, len, &next);
		if (l->in->error < 0)
			break;
		if (r < 0) {
			load_fail(l, r,
				  "a file that the workload uses is not there any more:", name);
			break;
		}
		dentry_unref(d);
		d = next;
	}
	if (l->in->error == 0)
		return d;
	dentry_unref(d);
	return NULL;
}

void save_path(struct state_save *s, const struct path *p)
{
	uint64_t nr;

	if (!find_mount(s->host, p->mount, &nr)) {
		save_refuse(s, "a file of a file system that was unmounted:", p->dentry->name);
		return;
	}
	out_number(s->out, nr);
	save_dentry(s, p->dentry);
}

bool load_path(struct state_load *l, struct path *ret)
{
	uint64_t nr = in_number(l->in, MOUNTS_MOST);
	struct mount *m = nr < l->mount_count ? l->mounts[nr] : NULL;
	struct path p = { .mount = m, .dentry = load_dentry(l) };

	if (!p.dentry)
		return false;
	if (!m || p.dentry->super != m->super) {
		in_fail(l->in, -EBADMSG);
		dentry_unref(p.dentry);
		return false;
	}
	path_ref(&p);
	dentry_unref(p.dentry);
	*ret = p;
	return true;
}

/* ---- mounts ---- */

/* What one is, and where: a text, in to[0, TEXT_ROOM). */
static char *told(const struct state_host *h, struct mount *m, char *to)
{
	struct path at = { m->parent, m->point };
	bool outside;

	if (!m->parent)
		return path_text(&(struct path){ m, m->root }, h->root, to, TEXT_ROOM, &outside);
	return path_text(&at, h->root, to, TEXT_ROOM, &outside);
}

/* -EOPNOTSUPP: a path is too long. */
static int tell(const struct state_host *h, struct state_out *out)
{
	char *room = heap_alloc(TEXT_ROOM), *text = room;
	struct mount *m;

	if (!room)
		return -ENOMEM;
	out_number(out, space_of(h)->count);
	for (uint64_t nr = 0; text && (m = mount_at(h, nr)); nr++) {
		uint64_t parent = 0;

		text = told(h, m, room);
		if (!text)
			break;
		out_number(out, m->parent && find_mount(h, m->parent, &parent) ? parent + 1 : 0);
		out_text(out, text, strlen(text));
		out_text(out, m->super->ops->type, strlen(m->super->ops->type));
		out_number(out, m->flags);
		out_number(out, m->super->readonly);
	}
	heap_free(room);
	return text ? 0 : -EOPNOTSUPP;
}

struct sum {
	struct state_out out;
	uint64_t value;
};

/* FNV-1a. */
static int add_to_sum(struct state_out *o, const void *bytes, size_t n)
{
	struct sum *s = container_of(o, struct sum, out);

	for (size_t i = 0; i < n; i++)
		s->value = (s->value ^ ((const unsigned char *) bytes)[i]) *
			   UINT64_C(0x100000001b3);
	return 0;
}

uint64_t state_mounts(const struct state_host *h)
{
	struct sum s = { .out.write = add_to_sum, .value = UINT64_C(0xcbf29ce484222325) };

	return tell(h, &s.out) < 0 ? 0 : s.value;
}

void save_mounts(struct state_save *s)
{
	struct mount *m;
	int r;

	if (state_mounts(s->host) != s->host->mounts)
		save_refuse(s, "mounts were made or changed inside", NULL);
	/* Its files are in the kernel's memory, over those of an image. */
	for (uint64_t nr = 0; (m = mount_at(s->host, nr)); nr++) {
		if (same_text(m->super->ops->type, "overlay") && !(m->flags & MNT_READONLY))
			save_refuse(s, "the root is an image that can be written to", NULL);
	}
	r = tell(s->host, s->out);
	if (r < 0 && s->out->error == 0)
		s->out->error = r;
}

struct mount_words {
	char text[TEXT_ROOM], type[64];
	const struct mount *parent;
	uint64_t flags;
	bool readonly;
};

static void read_words(struct state_load *l, struct mount_words *w)
{
	uint64_t parent = in_number(l->in, l->mount_count); /* what it stands on is before it */

	w->parent = parent > 0 ? l->mounts[parent - 1] : NULL;
	(void) in_text(l->in, w->text, sizeof(w->text));
	(void) in_text(l->in, w->type, sizeof(w->type));
	w->flags = in_number(l->in, UINT32_MAX);
	w->readonly = in_flag(l->in);
}

static bool is_taken(const struct state_load *l, const struct mount *m)
{
	for (uint64_t nr = 0; nr < l->mount_count; nr++) {
		if (l->mounts[nr] == m)
			return true;
	}
	return false;
}

/* Whoever makes the tree may do so in another order. */
static struct mount *find_like(const struct state_load *l, const struct mount_words *w, char *room)
{
	list_each(at, &space_of(l->host)->mounts)
	{
		struct mount *m = list_entry(at, struct mount, in_space);
		const char *text;

		if (m->parent != w->parent || m->flags != w->flags ||
		    m->super->readonly != w->readonly || !same_text(w->type, m->super->ops->type) ||
		    is_taken(l, m))
			continue;
		text = told(l->host, m, room);
		if (text && same_text(text, w->text))
			return m;
	}
	return NULL;
}

void load_mounts(struct state_load *l)
{
	uint64_t count = in_number(l->in, MOUNTS_MOST);
	struct mount_words *w = heap_alloc(sizeof(*w));
	char *room = heap_alloc(TEXT_ROOM);
	bool same = count == space_of(l->host)->count;

	l->mounts = heap_alloc(MOUNTS_MOST * sizeof(struct mount *));
	if (!w || !room || !l->mounts) {
		in_fail(l->in, -ENOMEM);
		same = true;
	}
	while (same && l->in->error == 0 && l->mount_count < count) {
		struct mount *m;

		read_words(l, w);
		m = l->in->error == 0 ? find_like(l, w, room) : NULL;
		same = m;
		if (m)
			l->mounts[l->mount_count++] = m;
	}
	if (!same)
		load_fail(l, -EOPNOTSUPP,
			  "the workload's mounts are not those that the checkpoint has", NULL);
	heap_free(w);
	heap_free(room);
}
