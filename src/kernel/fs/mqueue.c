/* SPDX-License-Identifier: Apache-2.0 */
/* The file system: names, attributes, who may have how many. */
#include "kernel/fs/mqueue.h"

#include <asm/fcntl.h>

#include "kernel/core/heap.h"
#include "kernel/fs/mqueue_node.h"
#include "kernel/platform/platform.h"
#include "kernel/task/cred.h"
#include "kernel/task/task.h"
#include "kernel/vfs/names.h"

#define MAGIC	     0x19800202 /* mqueue's in statfs(2) */
#define TELLS	     80		/* bytes of what read(2) gives, in st_size */
#define FIRST	     2		/* position of the first name */
#define MESSAGE_COST 96		/* of one beside its bytes, as Linux counts it */

static struct heap_cache inodes = HEAP_CACHE_INIT(struct inode);
static struct heap_cache queues = HEAP_CACHE_INIT(struct mqueue);

static struct {
	struct super super;
	struct mount_space *mounts; /* where mq_open looks */
	struct list names, all;	    /* struct mqueue.in_dir, in_all */
	uint64_t count, last_ino, last_position;
} fs;

static const struct pager_ops no_pages;

struct mqueue_limits *mqueue_limits(void)
{
	static struct mqueue_limits limits = { 10, 10, 8192, 8192, 256 };

	return &limits;
}

/* ---- queues ---- */

static int change(struct inode *i, const struct vfs_change *c)
{
	/* O_TRUNC of what has no contents. */
	if (c->what & ATTR_SIZE && c->size > 0)
		return -EINVAL;
	if (c->what & ATTR_MODE)
		i->mode = c->mode;
	if (c->what & ATTR_UID)
		i->uid = c->uid;
	if (c->what & ATTR_GID)
		i->gid = c->gid;
	if (c->what & ATTR_ATIME)
		i->times.access = c->access;
	if (c->what & ATTR_MTIME)
		i->times.modify = c->modify;
	i->times.change = plat_now(PLAT_REALTIME);
	return 0;
}

static int open_queue(struct inode *i, struct file *f)
{
	(void) i;
	f->ops = &mqueue_file_ops;
	return 0;
}

static void release_queue(struct inode *i)
{
	struct mqueue *q = mqueue_of(i);
	struct tree_node *n;

	while ((n = tree_first(&q->messages))) {
		tree_remove(&q->messages, n);
		mqueue_message_free(container_of(n, struct mqueue_message, by_priority));
	}
	mqueue_forget_told(q);
	list_remove(&q->in_all);
	heap_cache_free(&queues, q);
}

static const struct inode_ops queue_ops = {
	.change = change,
	.open = open_queue,
	.release = release_queue,
};

static uint64_t charged_to(uint32_t uid)
{
	uint64_t sum = 0;

	list_each(l, &fs.all)
	{
		const struct mqueue *q = list_entry(l, struct mqueue, in_all);

		if (q->payer == uid)
			sum += q->charged;
	}
	return sum;
}

static int check_attr(const struct mq_attr *a, bool free)
{
	const struct mqueue_limits *l = mqueue_limits();
	uint64_t messages = free ? MQUEUE_MESSAGES_MOST : l->messages;
	uint64_t size = free ? MQUEUE_SIZE_MOST : l->size;

	return a->mq_maxmsg < 1 || a->mq_msgsize < 1 || (uint64_t) a->mq_maxmsg > messages ||
			       (uint64_t) a->mq_msgsize > size
		       ? -EINVAL
		       : 0;
}

/* A queue without a name. limit: RLIMIT_MSGQUEUE. */
static int make(uint32_t mode, const struct mq_attr *attr, const struct cred *who, uint64_t limit,
		struct mqueue **ret)
{
	const struct mqueue_limits *l = mqueue_limits();
	bool free = cred_can(who, CAP_SYS_RESOURCE);
	struct mq_attr usual = { .mq_maxmsg = (long) min_of(l->messages, l->messages_default),
				 .mq_msgsize = (long) min_of(l->size, l->size_default) };
	uint64_t most, size, cost;
	struct mqueue *q;
	int r;

	if (!attr)
		attr = &usual;
	if (fs.count >= l->queues && !free)
		return -ENOSPC;
	r = check_attr(attr, free);
	if (r < 0)
		return r;
	most = (uint64_t) attr->mq_maxmsg;
	size = (uint64_t) attr->mq_msgsize;
	cost = most * (size + MESSAGE_COST);
	if (charged_to(who->uid) + cost > limit)
		return -EMFILE;
	q = heap_cache_alloc(&queues);
	if (!q)
		return -ENOMEM;
	inode_init(&q->inode, &fs.super, &queue_ops, S_IFREG | (mode & 07777));
	pager_init(&q->inode.pager, &no_pages, TELLS);
	q->inode.ino = ++fs.last_ino;
	q->inode.uid = who->fsuid;
	q->inode.gid = who->fsgid;
	q->most = most;
	q->size = size;
	q->charged = cost;
	q->payer = who->uid;
	list_init(&q->in_dir);
	list_init(&q->senders);
	list_init(&q->receivers);
	waitq_init(&q->changed);
	list_push(&fs.all, &q->in_all);
	*ret = q;
	return 0;
}

/* ---- names ---- */

static struct mqueue *find(const char *name, size_t len)
{
	list_each(l, &fs.names)
	{
		struct mqueue *q = list_entry(l, struct mqueue, in_dir);

		if (q->len == len && memcmp(q->name, name, len) == 0)
			return q;
	}
	return NULL;
}

/* The name owns it. */
static void put(struct mqueue *q, const char *name, size_t len)
{
	inode_ref(&q->inode);
	memcpy(q->name, name, len);
	q->len = len;
	q->position = FIRST + fs.last_position++;
	list_push(&fs.names, &q->in_dir);
	fs.count++;
}

static void take(struct mqueue *q)
{
	list_remove(&q->in_dir);
	fs.count--;
	q->inode.links = 0;
	q->inode.times.change = plat_now(PLAT_REALTIME);
	inode_unref(&q->inode);
}

static int lookup(struct inode *dir, const char *name, size_t len, struct inode **ret)
{
	struct mqueue *q = find(name, len);

	(void) dir;
	if (!q)
		return -ENOENT;
	*ret = &q->inode;
	inode_ref(*ret);
	return 0;
}

/* As open(2) and mknod(2) make one where it is mounted. */
static int create(struct inode *dir, const char *name, size_t len, uint32_t mode, uint64_t rdev,
		  const char *target, const struct cred *who, struct inode **ret)
{
	const struct task *t = this_task();
	struct mqueue *q;
	int r;

	(void) dir;
	(void) rdev;
	(void) target;
	if ((mode & S_IFMT) != S_IFREG)
		return -EPERM;
	r = make(mode, NULL, who, t ? process_limit(t->process, RLIMIT_MSGQUEUE) : UINT64_MAX, &q);
	if (r < 0)
		return r;
	put(q, name, len);
	*ret = &q->inode;
	return 0;
}

static int unlink(struct inode *dir, const char *name, size_t len, struct inode *target)
{
	(void) dir;
	(void) name;
	(void) len;
	take(mqueue_of(target));
	return 0;
}

static int iterate(struct inode *dir, uint64_t at, struct dir_sink *to)
{
	(void) dir;
	list_each(l, &fs.names)
	{
		const struct mqueue *q = list_entry(l, struct mqueue, in_dir);

		if (q->position >= at &&
		    !to->entry(to, q->name, q->len, q->inode.ino, S_IFREG, q->position + 1))
			break;
	}
	return 0;
}

static void release_root(struct inode *i)
{
	heap_cache_free(&inodes, i);
}

static const struct inode_ops root_ops = {
	.lookup = lookup,
	.create = create,
	.unlink = unlink,
	.iterate = iterate,
	.change = change,
	.release = release_root,
};

/* ---- the file system ---- */

/* Its own mount is its user for good. */
static const struct super_ops super_ops = {
	.type = "mqueue",
	.magic = MAGIC,
	.shutdown = super_stays,
	.release = super_stays,
};

static int begin(void)
{
	struct inode *root;

	if (fs.mounts)
		return 0;
	if (!fs.super.ops) {
		super_init(&fs.super, &super_ops);
		list_init(&fs.names);
		list_init(&fs.all);
		fs.last_ino = 1;
	}
	if (!fs.super.root) {
		root = heap_cache_alloc(&inodes);
		if (!root)
			return -ENOMEM;
		inode_init(root, &fs.super, &root_ops, S_IFDIR | S_ISVTX | 0777);
		pager_init(&root->pager, &no_pages, 0);
		root->ino = 1;
		root->links = 2;
		fs.super.root = dentry_root(root, "");
		if (!fs.super.root)
			return -ENOMEM;
	}
	fs.mounts = mount_space_new(&fs.super, 0, "mqueue");
	return fs.mounts ? 0 : -ENOMEM;
}

struct super *mqueue_super(void)
{
	if (begin() < 0)
		return NULL;
	super_use(&fs.super);
	return &fs.super;
}

void mqueue_end(void)
{
	if (!fs.mounts)
		return;
	list_each_safe(l, &fs.names) take(list_entry(l, struct mqueue, in_dir));
}

/* ---- mq_open, mq_unlink ---- */

/* One component, that is no place. */
static int check_name(const char *name)
{
	size_t len = strlen(name);

	if (len == 0)
		return -ENOENT;
	for (size_t n = 0; n < len; n++) {
		if (name[n] == '/')
			return -EACCES;
	}
	if (name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')))
		return -EACCES;
	return len > NAME_LONGEST ? -ENAMETOOLONG : 0;
}

/* The root's lock is held, and the name is not there. */
static int make_named(struct task *t, const struct path *top, const char *name, uint32_t mode,
		      const struct mq_attr *attr, struct dentry **ret)
{
	int r = inode_may(top->dentry->inode, t->cred, MAY_WRITE | MAY_EXEC);
	struct mqueue *q;

	if (r == 0)
		r = make(mode, attr, t->cred, process_limit(t->process, RLIMIT_MSGQUEUE), &q);
	if (r < 0)
		return r;
	*ret = dentry_add(top->dentry, name, strlen(name), &q->inode);
	if (!*ret)
		return -ENOMEM;
	put(q, name, strlen(name));
	return 0;
}

/* 1: it is there already. */
static int open_new(struct task *t, const struct path *top, const char *name, unsigned int flags,
		    uint32_t mode, const struct mq_attr *attr, struct file **ret)
{
	struct inode *root = top->dentry->inode;
	struct path at = { top->mount, NULL };
	int r;

	sleeplock_take(&root->lock);
	r = find(name, strlen(name)) ? 1 : make_named(t, top, name, mode, attr, &at.dentry);
	sleeplock_give(&root->lock);
	if (r == 0) {
		r = file_open(&at, flags, t->cred, ret);
		dentry_unref(at.dentry);
	}
	return r;
}

static struct path top_path(void)
{
	return (struct path){ fs.mounts->root, fs.mounts->root->root };
}

int mqueue_open(struct task *t, const char *name, unsigned int flags, uint32_t mode,
		const struct mq_attr *attr, struct file **ret)
{
	struct walk w = { .who = t->cred };
	struct path top;
	int r = begin();

	if (r == 0)
		r = check_name(name);
	if (r < 0)
		return r;
	if ((flags & O_ACCMODE) == O_ACCMODE)
		return -EINVAL;
	top = top_path();
	w.root = w.start = &top;
	if (flags & O_CREAT) {
		r = open_new(t, &top, name, flags & (O_ACCMODE | O_NONBLOCK), mode & ~t->fs->umask,
			     attr, ret);
		if (r <= 0)
			return r;
		if (flags & O_EXCL)
			return -EEXIST;
	}
	return names_open(&w, name, flags & (O_ACCMODE | O_NONBLOCK), 0, ret);
}

int mqueue_unlink(struct task *t, const char *name)
{
	struct walk w = { .who = t->cred };
	struct path top;
	int r = begin();

	if (r == 0)
		r = check_name(name);
	if (r < 0)
		return r;
	top = top_path();
	w.root = w.start = &top;
	return names_remove(&w, name, 0);
}

bool mqueue_any(void)
{
	return fs.count > 0;
}
