/* SPDX-License-Identifier: Apache-2.0 */
/* Names of the FUSE client: those it knows, for as long as they are valid, and what changes them.
 */
#include <asm/fcntl.h>
#include <linux/fs.h>

#include "kernel/core/heap.h"
#include "kernel/fs/fuse_node.h"
#include "kernel/platform/platform.h"
#include "kernel/task/cred.h"
#include "kernel/vfs/dentry.h"

#define NAMES_MOST 8192 /* each keeps an inode */

/* That a name is there, or is not. */
struct known {
	struct tree_node by_hash;
	struct list recent;
	struct inode *dir;   /* owned */
	struct inode *inode; /* owned; NULL: not there */
	nsec_t until;
	size_t len;
	char name[];
};

/* ---- what is known ---- */

static uint64_t hash(const struct inode *dir, const char *name, size_t len)
{
	uint64_t h = 0xcbf29ce484222325 ^ (uintptr_t) dir;

	for (size_t n = 0; n < len; n++)
		h = (h ^ (unsigned char) name[n]) * 0x100000001b3;
	return h;
}

static struct known *find(struct inode *dir, const char *name, size_t len)
{
	struct fuse_conn *c = fuse_conn_of(dir);
	uint64_t key = hash(dir, name, len);

	for (struct tree_node *t = tree_from(&c->names, key); t && t->key == key;
	     t = tree_next(t)) {
		struct known *k = container_of(t, struct known, by_hash);

		if (k->dir == dir && k->len == len && memcmp(k->name, name, len) == 0)
			return k;
	}
	return NULL;
}

static void forget(struct fuse_conn *c, struct known *k)
{
	struct inode *i = k->inode, *dir = k->dir;

	tree_remove(&c->names, &k->by_hash);
	list_remove(&k->recent);
	c->names_n--;
	heap_free(k);
	inode_unref(i);
	inode_unref(dir);
}

void fuse_names_drop(struct fuse_conn *c, const struct super *s, size_t most)
{
	list_each_safe(l, &c->recent)
	{
		struct known *k = list_entry(l, struct known, recent);

		if (s ? k->dir->super == s : c->names_n > most)
			forget(c, k);
		else if (!s)
			return;
	}
}

void fuse_name_known(struct inode *dir, const char *name, size_t len, struct inode *i, nsec_t until)
{
	struct fuse_conn *c = fuse_conn_of(dir);
	struct known *old = find(dir, name, len), *k = heap_alloc(sizeof(*k) + len);

	if (k) {
		k->dir = dir;
		k->inode = i;
		k->until = until;
		k->len = len;
		memcpy(k->name, name, len);
		inode_ref(dir);
		if (i)
			inode_ref(i);
		tree_insert(&c->names, &k->by_hash, hash(dir, name, len));
		list_push(&c->recent, &k->recent);
		c->names_n++;
	}
	if (old)
		forget(c, old);
	if (c->names_n > NAMES_MOST)
		fuse_names_drop(c, NULL, NAMES_MOST - NAMES_MOST / 16);
}

static void unknown(struct inode *dir, const char *name, size_t len)
{
	struct known *k = find(dir, name, len);

	if (k)
		forget(fuse_conn_of(dir), k);
}

static nsec_t now(void)
{
	return plat_now(PLAT_MONOTONIC);
}

static nsec_t there_until(const struct inode *dir)
{
	return now() + fuse_super_of(dir)->valid;
}

static nsec_t absent_until(const struct inode *dir)
{
	return now() + min_of(fuse_super_of(dir)->valid, (nsec_t) FUSE_ABSENT);
}

void fuse_name_seen(struct inode *dir, const char *name, size_t len, struct inode *i)
{
	fuse_name_known(dir, name, len, i, there_until(dir));
}

/* ---- looking up ---- */

static void text_part(struct fuse_part *p, char *room, const char *name, size_t len)
{
	memcpy(room, name, len);
	room[len] = '\0';
	*p = (struct fuse_part){ room, len + 1 };
}

static int ask(struct inode *dir, const char *name, size_t len, struct inode **ret)
{
	struct fuse_super *s = fuse_super_of(dir);
	uint64_t epoch = s->conn->epoch;
	struct fuse_entry_out e;
	char text[NAME_LONGEST + 1];
	struct fuse_call q = { .op = FUSE_LOOKUP,
			       .node = fuse_id(dir),
			       .out = &e,
			       .least = sizeof(e),
			       .room = sizeof(e) };
	int r;

	text_part(&q.in[0], text, name, len);
	r = fuse_call(s->conn, &q);
	if (r == 0 && e.nodeid == 0)
		r = -ENOENT;
	if (r == 0)
		r = fuse_entered(s, &e, epoch, ret);
	if (r == 0)
		fuse_name_seen(dir, name, len, *ret);
	else if (r == -ENOENT)
		fuse_name_known(dir, name, len, NULL, absent_until(dir));
	return r;
}

int fuse_lookup(struct inode *dir, const char *name, size_t len, struct inode **ret)
{
	struct known *k = find(dir, name, len);

	if (fuse_conn_of(dir)->lost)
		return -EIO;
	fuse_of(dir)->looked_in = true;
	if (!k || k->until <= now())
		return ask(dir, name, len, ret);
	list_remove(&k->recent);
	list_push(&fuse_conn_of(dir)->recent, &k->recent);
	if (!k->inode)
		return -ENOENT;
	*ret = k->inode;
	inode_ref(*ret);
	return 0;
}

/* A name that something is mounted on stays, whatever becomes of it on the host. */
bool fuse_valid(struct dentry *d)
{
	struct inode *dir = d->parent->inode, *i = NULL;
	char name[NAME_LONGEST + 1];
	size_t len = d->len;
	int r;

	if (d->parent == d || d->mounts || d->removed || d->super != dir->super)
		return true;
	memcpy(name, d->name, len);
	inode_ref(dir);
	r = fuse_lookup(dir, name, len, &i);
	/* It may have got another name meanwhile, and be right there. */
	if (d->parent->inode != dir || d->len != len || memcmp(d->name, name, len) != 0)
		r = 0;
	else if (r == 0 && i != d->inode)
		r = -ENOENT;
	inode_unref(i);
	inode_unref(dir);
	return r == 0;
}

int64_t fuse_readlink(struct inode *i, char *to, size_t room)
{
	struct fuse_call q = { .op = FUSE_READLINK, .node = fuse_id(i), .out = to, .room = room };
	int r;

	if (!inode_is(i, S_IFLNK))
		return -EINVAL;
	r = fuse_call(fuse_conn_of(i), &q);
	if (r < 0)
		return r;
	return fuse_has(to, q.got, '\0') ? -EIO : (int64_t) q.got;
}

/* ---- names that come ---- */

/* The mode as Linux leaves it to a new file of a directory with S_ISGID: its group may be one that
 * `who` is not in. */
static uint32_t new_mode(const struct inode *dir, uint32_t mode, const struct cred *who)
{
	if ((mode & S_IFMT) == S_IFDIR || !(dir->mode & S_ISGID) ||
	    (mode & (S_ISGID | S_IXGRP)) != (S_ISGID | S_IXGRP))
		return mode;
	return cred_in_group(who, dir->gid) || cred_can(who, CAP_FSETID)
		       ? mode
		       : mode & ~(uint32_t) S_ISGID;
}

struct made {
	struct fuse_entry_out entry;
	struct fuse_open_out open; /* of CREATE and TMPFILE */
};

/* Whether what the server tells of is of the type that was asked for: nothing else is opened. */
static bool is_made(const struct fuse_entry_out *e, uint32_t mode)
{
	return ((e->attr.mode ^ mode) & S_IFMT) == 0;
}

static void lose_open(const struct inode *dir, const struct made *m, int data)
{
	fuse_data_close(fuse_conn_of(dir), data);
	fuse_farewell(fuse_conn_of(dir), FUSE_RELEASE, m->entry.nodeid, m->open.fh);
}

/* What FUSE has for each type. */
static int make(struct inode *dir, const char *name, size_t len, uint32_t mode, uint64_t rdev,
		const char *target, struct fuse_call *q)
{
	struct fuse_create_in create = { .flags = O_RDWR | O_CREAT | O_EXCL, .mode = mode };
	struct fuse_mknod_in mknod = { .mode = mode, .rdev = (uint32_t) rdev };
	struct fuse_mkdir_in mkdir = { .mode = mode };
	char text[NAME_LONGEST + 1];

	switch (mode & S_IFMT) {
	case S_IFREG:
		q->op = FUSE_CREATE;
		q->in[0] = (struct fuse_part){ &create, sizeof(create) };
		q->least = q->room = sizeof(struct made);
		break;
	case S_IFDIR:
		q->op = FUSE_MKDIR;
		q->in[0] = (struct fuse_part){ &mkdir, sizeof(mkdir) };
		break;
	case S_IFLNK:
		q->op = FUSE_SYMLINK;
		q->in[2] = (struct fuse_part){ target, strlen(target) + 1 };
		break;
	default:
		q->op = FUSE_MKNOD;
		q->in[0] = (struct fuse_part){ &mknod, sizeof(mknod) };
		break;
	}
	text_part(&q->in[1], text, name, len);
	return fuse_call_open(fuse_conn_of(dir), q);
}

/* The directory's own attributes are others now. mode: what has to be there. */
static int entered(struct inode *dir, const char *name, size_t len, const struct fuse_entry_out *e,
		   uint32_t mode, uint64_t epoch, struct inode **ret)
{
	int r = is_made(e, mode) ? fuse_entered(fuse_super_of(dir), e, epoch, ret) : -EIO;

	fuse_stale(dir);
	if (r == 0)
		fuse_name_seen(dir, name, len, *ret);
	else
		unknown(dir, name, len);
	return r;
}

int fuse_create(struct inode *dir, const char *name, size_t len, uint32_t mode, uint64_t rdev,
		const char *target, const struct cred *who, struct inode **ret)
{
	struct made made;
	struct fuse_call q = { .node = fuse_id(dir),
			       .uid = who->fsuid,
			       .gid = who->fsgid,
			       .out = &made,
			       .least = sizeof(made.entry),
			       .room = sizeof(made.entry) };
	uint64_t epoch = fuse_conn_of(dir)->epoch;
	int r = make(dir, name, len, new_mode(dir, mode, who), rdev, target, &q);

	if (r < 0) {
		unknown(dir, name, len); /* what is there now may be another's */
		return r;
	}
	r = entered(dir, name, len, &made.entry, mode, epoch, ret);
	if (q.op == FUSE_CREATE && r == 0)
		fuse_opened(fuse_of(*ret), &made.open, q.data);
	else if (q.op == FUSE_CREATE)
		lose_open(dir, &made, q.data);
	return r;
}

int fuse_nameless(struct inode *dir, uint32_t mode, const struct cred *who, struct inode **ret)
{
	struct fuse_create_in create = { .flags = O_RDWR, .mode = new_mode(dir, mode, who) };
	struct made made;
	struct fuse_call q = { .op = FUSE_TMPFILE,
			       .node = fuse_id(dir),
			       .uid = who->fsuid,
			       .gid = who->fsgid,
			       .in = { { &create, sizeof(create) }, { "", 1 } },
			       .out = &made,
			       .least = sizeof(made),
			       .room = sizeof(made) };
	int r = fuse_call_open(fuse_conn_of(dir), &q);

	if (r == -ENOSYS)
		return -EOPNOTSUPP;
	if (r < 0)
		return r;
	if (is_made(&made.entry, S_IFREG))
		r = fuse_entered(fuse_super_of(dir), &made.entry, fuse_conn_of(dir)->epoch, ret);
	else
		r = -EIO;
	if (r == 0)
		fuse_opened(fuse_of(*ret), &made.open, q.data);
	else
		lose_open(dir, &made, q.data);
	return r;
}

int fuse_link(struct inode *dir, const char *name, size_t len, struct inode *target)
{
	struct fuse_link_in in = { .oldnodeid = fuse_id(target) };
	struct fuse_entry_out e;
	char text[NAME_LONGEST + 1];
	struct fuse_call q = { .op = FUSE_LINK,
			       .node = fuse_id(dir),
			       .in = { { &in, sizeof(in) } },
			       .out = &e,
			       .least = sizeof(e),
			       .room = sizeof(e) };
	struct inode *i;
	int r;

	if (target->links == 0 && !target->linkable)
		return -ENOENT;
	text_part(&q.in[1], text, name, len);
	r = fuse_call(fuse_conn_of(dir), &q);
	if (r < 0) {
		unknown(dir, name, len);
		return r;
	}
	target->links++;
	target->linkable = false;
	fuse_stale(target);
	r = entered(dir, name, len, &e, target->mode, fuse_conn_of(dir)->epoch, &i);
	if (r == 0 && i != target) {
		unknown(dir, name, len); /* the server has another idea of it */
		r = -EIO;
	}
	if (r == 0)
		inode_unref(i);
	return r;
}

/* ---- names that go and change ---- */

static void lose_name(struct inode *i)
{
	uint64_t names = inode_is(i, S_IFDIR) ? i->links : 1;

	fuse_stale(i);
	i->links -= min_of(i->links, names);
}

int fuse_unlink(struct inode *dir, const char *name, size_t len, struct inode *target)
{
	char text[NAME_LONGEST + 1];
	struct fuse_call q = { .op = inode_is(target, S_IFDIR) ? FUSE_RMDIR : FUSE_UNLINK,
			       .node = fuse_id(dir) };
	int r;

	text_part(&q.in[0], text, name, len);
	r = fuse_call(fuse_conn_of(dir), &q);
	if (r < 0) {
		unknown(dir, name, len);
		return r;
	}
	lose_name(target);
	fuse_stale(dir);
	fuse_name_known(dir, name, len, NULL, absent_until(dir));
	return 0;
}

int fuse_rename(struct inode *from, const char *old, size_t old_len, struct inode *what,
		struct inode *to, const char *name, size_t len, struct inode *over,
		unsigned int flags)
{
	struct fuse_rename2_in in = { .newdir = fuse_id(to), .flags = flags };
	char text[NAME_LONGEST + 1], new_text[NAME_LONGEST + 1];
	struct fuse_call q = { .op = FUSE_RENAME2,
			       .node = fuse_id(from),
			       .in = { { &in, sizeof(in) } } };
	bool exchange = flags & RENAME_EXCHANGE;
	int r;

	text_part(&q.in[1], text, old, old_len);
	text_part(&q.in[2], new_text, name, len);
	r = fuse_call(fuse_conn_of(from), &q);
	if (r < 0) {
		unknown(from, old, old_len);
		unknown(to, name, len);
		return r;
	}
	if (over && !exchange)
		lose_name(over);
	fuse_stale(what);
	fuse_stale(from);
	fuse_stale(to);
	fuse_name_known(from, old, old_len, exchange ? over : NULL,
			exchange ? there_until(from) : absent_until(from));
	fuse_name_known(to, name, len, what, there_until(to));
	return 0;
}
