/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/fs/generated.h"

#include <asm/fcntl.h>
#include <linux/fs.h>

#include "kernel/core/heap.h"
#include "kernel/platform/platform.h"
#include "kernel/task/cred.h"
#include "kernel/task/task.h"

#define STORE_MOST 4096

struct generated_inode {
	struct inode inode;
	struct generated_node node;
};

/* An open file: its text, once it was read. */
struct reading {
	struct text text;
	bool made;
};

static struct heap_cache inodes = HEAP_CACHE_INIT(struct generated_inode);
static struct heap_cache supers = HEAP_CACHE_INIT(struct super);
static struct heap_cache readings = HEAP_CACHE_INIT(struct reading);

static const struct inode_ops ops, link_ops, follow_ops;

static struct generated_node *node_of(const struct inode *i)
{
	return &((struct generated_inode *) (uintptr_t) i)->node;
}

bool generated_number(const char *name, size_t len, uint64_t *ret)
{
	uint64_t n = 0;

	if (len == 0 || len > 10 || (name[0] == '0' && len > 1))
		return false;
	for (size_t k = 0; k < len; k++) {
		if (name[k] < '0' || name[k] > '9')
			return false;
		n = n * 10 + (uint64_t) (name[k] - '0');
	}
	*ret = n;
	return true;
}

static uint64_t ino_of(uint64_t parent, const char *name, size_t len)
{
	uint64_t h = 0xcbf29ce484222325 ^ parent;

	for (size_t n = 0; n < len; n++)
		h = (h ^ (unsigned char) name[n]) * 0x100000001b3;
	return h >> 16 ?: 1;
}

/* Takes what node owns. */
static struct inode *inode_of(struct super *s, const struct generated_node *node, uint64_t ino)
{
	struct generated_inode *g = heap_cache_alloc(&inodes);

	if (!g) {
		if (node->pid)
			pid_unref(node->pid);
		return NULL;
	}
	inode_init(&g->inode, s,
		   node->entry->follow ? &follow_ops
		   : node->entry->link ? &link_ops
				       : &ops,
		   node->entry->mode);
	pager_init(&g->inode.pager, NULL, 0);
	g->inode.ino = ino;
	g->node = *node;
	if (inode_is(&g->inode, S_IFDIR))
		g->inode.links = 2;
	return &g->inode;
}

static void release(struct inode *i)
{
	struct generated_inode *g = container_of(i, struct generated_inode, inode);

	if (g->node.pid)
		pid_unref(g->node.pid);
	heap_cache_free(&inodes, g);
}

/* What is a process' own has its owner, who may change. */
static int refresh(struct inode *i)
{
	const struct pid *p = node_of(i)->pid;
	const struct task *t = p ? p->task : NULL;

	if (t && t->cred) {
		i->uid = t->cred->euid;
		i->gid = t->cred->egid;
	}
	return 0;
}

/* ---- names ---- */

static int find(const struct generated_node *dir, const char *name, size_t len,
		struct generated_node *ret)
{
	const struct generated_entry *e = dir->entry;

	for (size_t n = 0; n < e->count; n++) {
		const struct generated_entry *c = &e->children[n];

		if (strlen(c->name) == len && memcmp(c->name, name, len) == 0) {
			*ret = (struct generated_node){ c, dir->pid, dir->number };
			if (ret->pid)
				pid_ref(ret->pid);
			return 0;
		}
	}
	return e->find ? e->find(dir, name, len, ret) : -ENOENT;
}

static int lookup(struct inode *dir, const char *name, size_t len, struct inode **ret)
{
	struct generated_node node = {};
	int r = find(node_of(dir), name, len, &node);

	if (r < 0)
		return r;
	*ret = inode_of(dir->super, &node, ino_of(dir->ino, name, len));
	if (!*ret)
		return -ENOMEM;
	(void) refresh(*ret);
	return 0;
}

/* Tables stay; whatever was found by a function is asked for again. */
static bool valid(struct dentry *d)
{
	const struct generated_node *n = node_of(d->inode), *up = node_of(d->parent->inode);

	if (!n->pid)
		return true;
	if (!n->pid->task && !n->pid->process)
		return false;
	for (size_t k = 0; k < up->entry->count; k++) {
		if (n->entry == &up->entry->children[k])
			return true;
	}
	/* A descriptor is another one, soon; a process is the same as long as its number is. */
	return inode_is(d->inode, S_IFDIR);
}

struct generated_sink {
	struct dir_sink *to;
	uint64_t dir_ino;
};

bool generated_tell(struct generated_sink *to, const char *name, size_t len, uint32_t mode,
		    uint64_t next)
{
	return to->to->entry(to->to, name, len, ino_of(to->dir_ino, name, len), mode, next);
}

bool generated_tell_number(struct generated_sink *to, uint64_t number, uint32_t mode, uint64_t next)
{
	char digits[24], *end = digits + sizeof(digits), *p = end;

	do
		*--p = (char) ('0' + number % 10);
	while (number /= 10);
	return generated_tell(to, p, (size_t) (end - p), mode, next);
}

static int iterate(struct inode *dir, uint64_t at, struct dir_sink *to)
{
	const struct generated_node *node = node_of(dir);
	const struct generated_entry *e = node->entry;
	struct generated_sink sink = { to, dir->ino };

	for (uint64_t n = at > 2 ? at - 2 : 0; n < e->count; n++) {
		const char *name = e->children[n].name;

		if (!generated_tell(&sink, name, strlen(name), e->children[n].mode, n + 3))
			return 0;
	}
	if (e->list)
		e->list(node, max_of(at, (uint64_t) GENERATED_FIRST), &sink);
	return 0;
}

static int64_t readlink(struct inode *i, char *to, size_t room)
{
	const struct generated_node *n = node_of(i);
	struct text text = {};
	int64_t r = n->entry->link ? n->entry->link(n, &text) : -EINVAL;

	if (r == 0)
		r = text.failed;
	if (r == 0) {
		r = (int64_t) min_of(text.len, room);
		if (r)
			memcpy(to, text.bytes, (size_t) r);
	}
	text_fini(&text);
	return r;
}

static int follow(struct inode *i, const struct cred *who, struct path *ret)
{
	const struct generated_node *n = node_of(i);

	return n->entry->follow ? n->entry->follow(n, who, ret) : -EINVAL;
}

/* ---- files ---- */

static int64_t gen_read(struct file *f, struct uio *to, uint64_t *pos)
{
	const struct generated_node *n = node_of(f->inode);
	struct reading *r = f->own;
	int64_t done;

	if (!n->entry->show)
		return -EINVAL;
	if (!r->made || *pos == 0) {
		struct text text = {};
		int e = n->entry->show(n, &text);

		if (e == 0)
			e = text.failed;
		if (e < 0) {
			text_fini(&text);
			return e;
		}
		text_fini(&r->text);
		r->text = text;
		r->made = true;
	}
	if (*pos >= r->text.len)
		return 0;
	done = uio_out(to, r->text.bytes + *pos,
		       (size_t) min_of(to->left, (uint64_t) (r->text.len - *pos)));
	if (done > 0)
		*pos += (uint64_t) done;
	return done;
}

static int64_t gen_write(struct file *f, struct uio *from, uint64_t *pos)
{
	const struct generated_node *n = node_of(f->inode);
	size_t len = (size_t) min_of(from->left, (uint64_t) STORE_MOST);
	char *bytes;
	int64_t r;

	if (!n->entry->store)
		return -EINVAL;
	bytes = heap_alloc(len + 1);
	if (!bytes)
		return -ENOMEM;
	r = uio_in(from, bytes, len);
	if (r >= 0) {
		int e = n->entry->store(n, bytes, (size_t) r);

		r = e < 0 ? e : r;
	}
	heap_free(bytes);
	if (r > 0)
		*pos += (uint64_t) r;
	return r;
}

static int64_t gen_seek(struct file *f, int64_t offset, int whence)
{
	int64_t at = offset;

	if (whence != SEEK_SET && whence != SEEK_CUR)
		return -EINVAL;
	if (whence == SEEK_CUR && __builtin_add_overflow((int64_t) f->pos, offset, &at))
		return -EOVERFLOW;
	return at < 0 ? -EINVAL : at;
}

static void gen_close(struct file *f)
{
	struct reading *r = f->own;

	text_fini(&r->text);
	heap_cache_free(&readings, r);
}

static const struct file_ops file_ops = {
	.read = gen_read,
	.write = gen_write,
	.seek = gen_seek,
	.release = gen_close,
};

static int gen_open(struct inode *i, struct file *f)
{
	const struct generated_node *n = node_of(i);

	if (inode_is(i, S_IFDIR))
		return 0;
	if (n->pid && !n->pid->task && !n->pid->process)
		return -ESRCH;
	if (n->entry->open)
		return n->entry->open(n, f);
	if (!n->entry->store && file_can_write(f))
		return -EACCES;
	f->own = heap_cache_alloc(&readings);
	if (!f->own)
		return -ENOMEM;
	f->ops = &file_ops;
	return 0;
}

/* O_TRUNC of what is written to is no change: what is written is all there is. */
static int change(struct inode *i, const struct vfs_change *c)
{
	(void) i;
	return c->what & (ATTR_MODE | ATTR_UID | ATTR_GID) ? -EPERM : 0;
}

static const struct inode_ops link_ops = {
	.readlink = readlink,
	.refresh = refresh,
	.valid = valid,
	.release = release,
};

static const struct inode_ops follow_ops = {
	.readlink = readlink,
	.follow = follow,
	.refresh = refresh,
	.valid = valid,
	.release = release,
};

static const struct inode_ops ops = {
	.lookup = lookup,
	.iterate = iterate,
	.open = gen_open,
	.change = change,
	.refresh = refresh,
	.valid = valid,
	.release = release,
};

/* ---- the file system ---- */

struct super *generated_new(const struct super_ops *super_ops, const struct generated_entry *top)
{
	const struct generated_node node = { .entry = top };
	struct super *s = heap_cache_alloc(&supers);
	struct inode *i;

	if (!s)
		return NULL;
	super_init(s, super_ops);
	i = inode_of(s, &node, 1);
	s->root = i ? dentry_root(i, "") : NULL;
	if (!s->root) {
		heap_cache_free(&supers, s);
		return NULL;
	}
	return s;
}

void generated_shutdown(struct super *s)
{
	dentry_unref(s->root);
}

void generated_release(struct super *s)
{
	heap_cache_free(&supers, s);
}

const struct generated_node *generated_node_of(const struct inode *i)
{
	return i->ops == &ops || i->ops == &link_ops || i->ops == &follow_ops ? node_of(i) : NULL;
}
