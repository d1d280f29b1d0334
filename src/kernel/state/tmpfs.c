/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is in each tmpfs that is mounted: first all inodes, each after the directory that it was
 * found in, then all names. A tmpfs that is loaded into has what a sandbox begins with: what is the
 * same there stays, as mounts may stand on it.
 */
#include "kernel/core/heap.h"
#include "kernel/fs/memfs_node.h"
#include "kernel/mm/frame.h"
#include "kernel/state/state.h"

#define XATTRS_MOST ((size_t) 64 << 10)
#define NO_MORE	    UINT64_MAX

static bool is_tmpfs(const struct super *s)
{
	return memcmp(s->ops->type, "tmpfs", sizeof("tmpfs")) == 0;
}

bool state_is_orphan(const struct inode *i)
{
	return i->links == 0 && inode_is(i, S_IFREG) && is_tmpfs(i->super);
}

/* ---- contents ---- */

void save_contents(struct state_save *s, struct pager *p)
{
	uint64_t end = (p->size + PAGE_SIZE - 1) >> PAGE_SHIFT, frame;

	out_number(s->out, p->size);
	for (uint64_t n = pager_seek(p, 0, false); n < end && s->out->error == 0;
	     n = pager_seek(p, n + 1, false)) {
		if (!pager_cached(p, n, &frame))
			continue;
		out_number(s->out, n);
		out_number(s->out, save_frame(s, frame));
		frame_unref(frame);
	}
	out_number(s->out, NO_MORE);
}

void load_contents(struct state_load *l, struct pager *p)
{
	uint64_t size = in_number(l->in, INT64_MAX), at;

	pager_resize(p, 0);
	pager_resize(p, size);
	while (l->in->error == 0 && (at = in_number(l->in, UINT64_MAX)) != NO_MORE) {
		uint64_t frame = load_frame(l, in_number(l->in, UINT64_MAX));
		int64_t n = -EBADMSG;

		if (frame == FRAME_NONE)
			break;
		if (at < (size + PAGE_SIZE - 1) >> PAGE_SHIFT)
			n = pager_write(p, at << PAGE_SHIFT, frame_ptr(frame), PAGE_SIZE);
		frame_unref(frame);
		if (n < 0)
			in_fail(l->in, (int) n);
	}
}

/* ---- attributes ---- */

static void save_xattrs(struct state_save *s, struct inode *i)
{
	char *room = heap_alloc(2 * XATTRS_MOST), *value = room + XATTRS_MOST;
	int64_t n = room ? memfs_xattr_list(i, room, XATTRS_MOST) : -ENOMEM;

	if (n < 0 && s->out->error == 0)
		s->out->error = (int) n;
	for (char *at = room; n > 0 && at < room + n; at += strlen(at) + 1) {
		int64_t len = memfs_xattr_get(i, at, value, XATTRS_MOST);

		if (len < 0)
			continue; /* it was just there */
		out_text(s->out, at, strlen(at));
		out_text(s->out, value, (size_t) len);
	}
	out_text(s->out, "", 0);
	heap_free(room);
}

static void load_xattrs(struct state_load *l, struct inode *i)
{
	char name[NAME_LONGEST + 1], *value = heap_alloc(XATTRS_MOST);
	size_t n;

	mem_xattrs_free(mem_of(i));
	if (!value)
		in_fail(l->in, -ENOMEM);
	while (l->in->error == 0 && in_text(l->in, name, sizeof(name)) > 0) {
		int r;

		n = (size_t) in_number(l->in, XATTRS_MOST);
		in_bytes(l->in, value, n);
		r = l->in->error < 0 ? 0 : memfs_xattr_set(i, name, value, n, 0);
		if (r < 0)
			in_fail(l->in, r);
	}
	heap_free(value);
}

static void save_attributes(struct state_save *s, struct inode *i)
{
	out_number(s->out, i->mode);
	out_number(s->out, i->uid);
	out_number(s->out, i->gid);
	out_number(s->out, i->rdev);
	out_number(s->out, i->ino);
	out_number(s->out, i->seals);
	out_bytes(s->out, &i->times, sizeof(i->times));
	save_xattrs(s, i);
	if (inode_is(i, S_IFREG))
		save_contents(s, &i->pager);
	if (inode_is(i, S_IFLNK))
		out_text(s->out, mem_of(i)->target, strlen(mem_of(i)->target));
}

static void load_target(struct state_load *l, struct mem_inode *m)
{
	char *target = heap_alloc(PAGE_SIZE);
	size_t n = target ? in_text(l->in, target, PAGE_SIZE) : 0;

	if (!target)
		in_fail(l->in, -ENOMEM);
	heap_free(m->target);
	m->target = target;
	m->inode.pager.size = n;
}

/* mode has been read. */
static void load_attributes(struct state_load *l, struct inode *i, uint32_t mode)
{
	i->mode = mode;
	i->uid = (uint32_t) in_number(l->in, UINT32_MAX);
	i->gid = (uint32_t) in_number(l->in, UINT32_MAX);
	i->rdev = in_number(l->in, UINT64_MAX);
	i->ino = in_number(l->in, UINT64_MAX);
	i->seals = (unsigned int) in_number(l->in, UINT32_MAX);
	in_bytes(l->in, &i->times, sizeof(i->times));
	load_xattrs(l, i);
	if (inode_is(i, S_IFREG))
		load_contents(l, &i->pager);
	if (inode_is(i, S_IFLNK))
		load_target(l, mem_of(i));
}

/* ---- saving ---- */

/* All inodes below the root, the nearest first. */
struct found {
	struct radix by_number, by_address; /* inodes; numbers + 1 */
	uint64_t count;
};

/* True: it is new. */
static bool find(struct state_save *s, struct found *f, struct mem_inode *m, uint64_t *ret_nr)
{
	uint64_t key = (uintptr_t) m >> 3;
	uintptr_t nr = (uintptr_t) radix_get(&f->by_address, key);

	*ret_nr = nr - 1;
	if (nr || s->out->error < 0)
		return false;
	*ret_nr = f->count++;
	if (radix_set(&f->by_address, key, (void *) (uintptr_t) f->count) < 0 ||
	    radix_set(&f->by_number, *ret_nr, m) < 0)
		s->out->error = -ENOMEM;
	return true;
}

static struct mem_entry *entry_of(struct tree_node *n)
{
	return container_of(n, struct mem_entry, by_position);
}

static void save_inodes(struct state_save *s, struct found *f)
{
	struct mem_inode *m;

	for (uint64_t nr = 0; (m = radix_get(&f->by_number, nr)) && s->out->error == 0; nr++) {
		for (struct tree_node *n = tree_first(&m->by_position); n; n = tree_next(n)) {
			struct mem_entry *e = entry_of(n);
			uint64_t child;

			if (!find(s, f, e->inode, &child))
				continue;
			out_number(s->out, nr);
			out_text(s->out, e->name, e->len);
			save_attributes(s, &e->inode->inode);
		}
	}
	out_number(s->out, NO_MORE);
}

static void save_names(struct state_save *s, struct found *f)
{
	struct mem_inode *m;
	uint64_t child;

	for (uint64_t nr = 0; (m = radix_get(&f->by_number, nr)) && s->out->error == 0; nr++) {
		if (!inode_is(&m->inode, S_IFDIR))
			continue;
		out_number(s->out, nr);
		for (struct tree_node *n = tree_first(&m->by_position); n; n = tree_next(n)) {
			struct mem_entry *e = entry_of(n);

			(void) find(s, f, e->inode, &child);
			out_text(s->out, e->name, e->len);
			out_number(s->out, child);
		}
		out_text(s->out, "", 0);
	}
	out_number(s->out, NO_MORE);
}

static void save_one(struct state_save *s, struct super *super)
{
	struct found f = {};
	struct mem_inode *root = mem_of(super->root->inode);
	uint64_t nr;

	out_number(s->out, mem_super_of(&root->inode)->last_ino);
	(void) find(s, &f, root, &nr);
	save_attributes(s, &root->inode);
	save_inodes(s, &f);
	save_names(s, &f);
	radix_fini(&f.by_number);
	radix_fini(&f.by_address);
}

void save_tmpfs(struct state_save *s)
{
	struct super *super;
	uint64_t first;

	for (uint64_t nr = 0; (super = state_super(s->host, nr)); nr++) {
		if (is_tmpfs(super) && state_has_super(s->host, super, &first) && first == nr)
			save_one(s, super);
	}
}

/* ---- loading ---- */

struct making {
	struct state_load *l;
	struct radix inodes;  /* by number; one owner each */
	struct radix unnamed; /* directories that no name has led to */
	uint64_t count;
};

static struct mem_inode *of_number(const struct making *k, uint64_t nr)
{
	return nr < k->count ? radix_get(&k->inodes, nr) : NULL;
}

static struct mem_inode *directory(const struct making *k, uint64_t nr)
{
	struct mem_inode *m = of_number(k, nr);

	if (m && inode_is(&m->inode, S_IFDIR))
		return m;
	in_fail(k->l->in, -EBADMSG);
	return NULL;
}

/* Takes an owner of m. */
static void add(struct making *k, struct mem_inode *m)
{
	if ((inode_is(&m->inode, S_IFDIR) && radix_set(&k->unnamed, k->count, m) < 0) ||
	    radix_set(&k->inodes, k->count, m) < 0) {
		in_fail(k->l->in, -ENOMEM);
		inode_unref(&m->inode);
	} else {
		k->count++;
	}
}

static void load_inode(struct making *k, struct mem_super *super, uint64_t parent)
{
	struct state_in *in = k->l->in;
	char name[NAME_LONGEST + 1];
	size_t len = in_text(in, name, sizeof(name));
	uint32_t mode = (uint32_t) in_number(in, UINT16_MAX);
	struct mem_inode *dir = directory(k, parent);
	struct mem_entry *e = dir && len > 0 ? mem_find(dir, name, len) : NULL;
	struct mem_inode *m;

	if (in->error < 0)
		return;
	if (e && e->inode && ((e->inode->inode.mode ^ mode) & S_IFMT) == 0) {
		m = e->inode;
		inode_ref(&m->inode);
	} else {
		m = mem_make(super, mode, true);
	}
	if (!m) {
		in_fail(in, -ENOSPC);
		return;
	}
	if (!inode_is(&m->inode, S_IFDIR))
		m->inode.links = 0; /* its names come */
	load_attributes(k->l, &m->inode, mode);
	add(k, m);
}

static void forget(struct mem_inode *dir, struct mem_entry *e)
{
	struct mem_inode *m = e->inode;

	inode_ref(&m->inode);
	if (inode_is(&m->inode, S_IFDIR)) {
		mem_empty(m);
		mem_unname(&m->inode, UINT64_MAX);
	}
	mem_take(dir, e);
	inode_unref(&m->inode);
}

/* One name; its place is kept. */
static void load_name(struct making *k, uint64_t at, const char *name, size_t len,
		      struct radix *keep)
{
	uint64_t nr = in_number(k->l->in, NO_MORE);
	struct mem_inode *dir = of_number(k, at), *m = of_number(k, nr);
	struct mem_entry *e = mem_find(dir, name, len);
	int r = m ? 0 : -EBADMSG;

	/* A directory has one name, and is in none of its own: it is read after the one it is in.
	 */
	if (r == 0 && inode_is(&m->inode, S_IFDIR) && (nr <= at || !radix_take(&k->unnamed, nr)))
		r = -EBADMSG;
	if (r == 0 && e && e->inode != m) {
		forget(dir, e);
		e = NULL;
	}
	if (r == 0 && !e) {
		r = mem_put_new(dir, name, len, m);
		e = r == 0 ? mem_find(dir, name, len) : NULL;
	}
	if (r == 0)
		r = radix_set(keep, e->by_position.key, e);
	if (r == 0 && !inode_is(&m->inode, S_IFDIR))
		m->inode.links++;
	if (r < 0)
		in_fail(k->l->in, r);
}

static void load_names(struct making *k, uint64_t at)
{
	struct mem_inode *dir = directory(k, at);
	char name[NAME_LONGEST + 1];
	struct tree_node *n, *next;
	struct radix keep = {};
	size_t len;

	while (k->l->in->error == 0 && (len = in_text(k->l->in, name, sizeof(name))) > 0)
		load_name(k, at, name, len, &keep);
	for (n = dir ? tree_first(&dir->by_position) : NULL; n && k->l->in->error == 0; n = next) {
		next = tree_next(n);
		if (!radix_get(&keep, n->key))
			forget(dir, entry_of(n));
	}
	radix_fini(&keep);
}

static void load_one(struct state_load *l, struct super *super)
{
	struct mem_inode *root = mem_of(super->root->inode), *m;
	struct mem_super *s = mem_super_of(&root->inode);
	struct making k = { .l = l };
	uint64_t last = in_number(l->in, UINT64_MAX), nr;
	uint32_t mode = (uint32_t) in_number(l->in, UINT16_MAX);

	if ((mode & S_IFMT) != S_IFDIR) {
		in_fail(l->in, -EBADMSG);
		return;
	}
	inode_ref(&root->inode);
	load_attributes(l, &root->inode, mode);
	add(&k, root);
	while (l->in->error == 0 && (nr = in_number(l->in, NO_MORE)) != NO_MORE)
		load_inode(&k, s, nr);
	while (l->in->error == 0 && (nr = in_number(l->in, NO_MORE)) != NO_MORE)
		load_names(&k, nr);
	s->last_ino = last;
	for (nr = 0; nr < k.count; nr++) {
		m = radix_get(&k.inodes, nr);
		inode_unref(&m->inode);
	}
	radix_fini(&k.inodes);
	radix_fini(&k.unnamed);
}

void load_tmpfs(struct state_load *l)
{
	struct super *super;
	uint64_t first;

	for (uint64_t nr = 0; l->in->error == 0 && (super = load_super(l, nr)); nr++) {
		for (first = 0; load_super(l, first) != super;)
			first++;
		if (is_tmpfs(super) && first == nr)
			load_one(l, super);
	}
}
