/* SPDX-License-Identifier: Apache-2.0 */
#include <asm/fcntl.h>
#include <asm/ioctls.h>
#include <linux/inotify.h>
#include <linux/poll.h>

#include "kernel/core/heap.h"
#include "kernel/fs/anon.h"
#include "kernel/fs/inotify_node.h"
#include "kernel/fs/text.h"
#include "kernel/task/cred.h"
#include "kernel/vfs/file.h"

#define READABLE (POLLIN | POLLRDNORM)
#define KEPT	 ((uint32_t) (IN_ALL_EVENTS | IN_EXCL_UNLINK | IN_ONESHOT))
/* Of a place that is kept: the longest path that calls take. */
#define PLACE_MOST 4096

/* What a user has of all: by its effective number when an instance was made. */
struct inotify_user {
	struct tree_node by_uid;
	unsigned int instances, watches;
};

static struct heap_cache users_cache = HEAP_CACHE_INIT(struct inotify_user);
static struct heap_cache instances = HEAP_CACHE_INIT(struct inotify);
static struct heap_cache watches = HEAP_CACHE_INIT(struct inotify_watch);

static struct list *all_watches(void)
{
	static struct list all;

	if (!all.next)
		list_init(&all);
	return &all;
}

static bool hushed;

void inotify_hush(bool quiet)
{
	hushed = quiet;
}

bool inotify_any(void)
{
	return !hushed && !list_empty(all_watches());
}

/* ---- users ---- */

static struct tree users;

static struct inotify_user *user_get(uint32_t uid)
{
	struct tree_node *n = tree_from(&users, uid);
	struct inotify_user *u;

	if (n && n->key == uid)
		return container_of(n, struct inotify_user, by_uid);
	u = heap_cache_alloc(&users_cache);
	if (u)
		tree_insert(&users, &u->by_uid, uid);
	return u;
}

static void user_unused(struct inotify_user *u)
{
	if (u->instances || u->watches)
		return;
	tree_remove(&users, &u->by_uid);
	heap_cache_free(&users_cache, u);
}

/* ---- the queue ---- */

static size_t size_of(const struct inotify_told *e)
{
	return sizeof(e->head) + e->head.len;
}

static void put(struct inotify *in, struct inotify_told *e)
{
	list_push(&in->events, &e->link);
	in->queued++;
	in->bytes += size_of(e);
	(void) waitq_wake(&in->waiters, READABLE, 0);
}

static void take(struct inotify *in, struct inotify_told *e)
{
	list_remove(&e->link);
	in->queued--;
	in->bytes -= size_of(e);
}

static void event_free(const struct inotify *in, struct inotify_told *e)
{
	if (e != in->overflow)
		heap_free(e);
}

/* Told once, until it was read. */
static void overflow(struct inotify *in)
{
	if (list_empty(&in->overflow->link))
		put(in, in->overflow);
}

static bool same(const struct inotify_told *e, int32_t number, uint32_t mask,
		 const struct notice *n, size_t len)
{
	return e->head.number == number && e->head.mask == mask && e->head.len == len &&
	       !(mask & IN_IGNORED) &&
	       (len == 0 || (memcmp(e->name, n->name, n->len) == 0 && !e->name[n->len]));
}

static void tell(struct inotify *in, int32_t number, const struct notice *n)
{
	size_t len = n->name ? (n->len + sizeof(struct inotify_head)) &
				       ~(sizeof(struct inotify_head) - 1)
			     : 0;
	uint32_t mask = n->event;
	struct inotify_told *e;

	/* inotify(7) has it so of what is of the watched one itself. */
	if (mask & (IN_DELETE_SELF | IN_MOVE_SELF))
		mask &= ~(uint32_t) IN_ISDIR;
	/* The same as the one before it, which nobody has read, is one with it. */
	if (!list_empty(&in->events) &&
	    same(list_entry(in->events.prev, struct inotify_told, link), number, mask, n, len))
		return;
	e = in->queued < INOTIFY_QUEUE_MOST ? heap_alloc(sizeof(*e) + len) : NULL;
	if (!e) {
		overflow(in);
		return;
	}
	list_init(&e->link);
	e->head = (struct inotify_head){ number, mask, n->cookie, (uint32_t) len };
	if (len)
		memcpy(e->name, n->name, n->len);
	put(in, e);
}

/* ---- watches ---- */

static int32_t number_of(const struct inotify_watch *w)
{
	return (int32_t) w->node.key;
}

static void watch_free(struct inotify_watch *w)
{
	list_remove(&w->of_inode);
	list_remove(&w->all);
	tree_remove(&w->in->watches, &w->node);
	w->in->user->watches--;
	inode_unref(w->inode);
	heap_free(w->place);
	heap_cache_free(&watches, w);
}

static void end(struct inotify_watch *w)
{
	tell(w->in, number_of(w), &(struct notice){ .event = IN_IGNORED });
	watch_free(w);
}

void inotify_tell(struct inode *i, const struct notice *n)
{
	list_each_safe(l, &i->marks)
	{
		struct inotify_watch *w = list_entry(l, struct inotify_watch, of_inode);

		if (hushed || !(n->event & w->mask & IN_ALL_EVENTS) ||
		    (n->nameless && w->mask & IN_EXCL_UNLINK))
			continue;
		tell(w->in, number_of(w), n);
		if (w->mask & IN_ONESHOT)
			end(w);
	}
}

void inotify_tell_last(struct inode *i, const struct notice *n)
{
	inotify_tell(i, n);
	list_each_safe(l, &i->marks)
	{
		end(list_entry(l, struct inotify_watch, of_inode));
	}
}

void inotify_unmounted(const struct super *s)
{
	struct list *l = all_watches()->next;

	while (l != all_watches()) {
		struct inotify_watch *w = list_entry(l, struct inotify_watch, all);
		uint32_t directory = inode_is(w->inode, S_IFDIR) ? IN_ISDIR : 0;

		l = l->next;
		if (w->inode->super != s)
			continue;
		tell(w->in, number_of(w), &(struct notice){ .event = IN_UNMOUNT | directory });
		end(w);
	}
}

static struct inotify_watch *watch_of(const struct inotify *in, const struct inode *i)
{
	list_each(l, &i->marks)
	{
		struct inotify_watch *w = list_entry(l, struct inotify_watch, of_inode);

		if (w->in == in)
			return w;
	}
	return NULL;
}

static struct inotify_watch *watch_by(const struct inotify *in, int32_t number)
{
	struct tree_node *n = number > 0 ? tree_from(&in->watches, (uint64_t) number) : NULL;

	return n && n->key == (uint64_t) number ? container_of(n, struct inotify_watch, node)
						: NULL;
}

/* Numbers come again only after all others: who still has an old one does not mistake it. */
static uint64_t next_number(struct inotify *in)
{
	do {
		in->last = in->last == INT32_MAX ? 1 : in->last + 1;
	} while (watch_by(in, in->last));
	return (uint64_t) in->last;
}

/* As a checkpoint finds it again; nothing else reads it. */
static char *place_of(const struct dentry *d)
{
	const struct dentry *up;
	size_t n = 0;
	char *place;

	for (up = d; up->parent != up && n < PLACE_MOST; up = up->parent)
		n += 1 + up->len;
	place = n < PLACE_MOST ? heap_alloc(n + 1) : NULL;
	for (up = d; place && up->parent != up; up = up->parent) {
		n -= up->len;
		memcpy(place + n, up->name, up->len);
		place[--n] = '/';
	}
	return place;
}

/* At a number that is free. */
static struct inotify_watch *add(struct inotify *in, struct dentry *d, uint32_t mask)
{
	struct inotify_watch *w = heap_cache_alloc(&watches);

	if (!w)
		return NULL;
	w->in = in;
	w->inode = d->inode;
	w->mask = mask & KEPT;
	w->place = place_of(d);
	inode_ref(w->inode);
	in->user->watches++;
	list_push(&w->inode->marks, &w->of_inode);
	list_push(all_watches(), &w->all);
	return w;
}

int inotify_watch(struct file *f, struct dentry *d, uint32_t mask)
{
	struct inotify *in = f->own;
	struct inotify_watch *w;

	if (!file_is_inotify(f))
		return -EINVAL;
	w = watch_of(in, d->inode);
	if (w && mask & IN_MASK_CREATE)
		return -EEXIST;
	if (w) {
		w->mask = (mask & IN_MASK_ADD ? w->mask : 0) | (mask & KEPT);
		return number_of(w);
	}
	if (in->user->watches >= INOTIFY_WATCHES_MOST)
		return -ENOSPC;
	w = add(in, d, mask);
	if (!w)
		return -ENOMEM;
	tree_insert(&in->watches, &w->node, next_number(in));
	return number_of(w);
}

int inotify_watch_load(struct inotify *in, struct dentry *d, int32_t number, uint32_t mask)
{
	struct inotify_watch *w;

	if (number < 1 || watch_by(in, number) || watch_of(in, d->inode) || mask & ~KEPT)
		return -EBADMSG;
	w = add(in, d, mask);
	if (!w)
		return -ENOMEM;
	tree_insert(&in->watches, &w->node, (uint64_t) number);
	return 0;
}

int inotify_unwatch(struct file *f, int32_t number)
{
	struct inotify_watch *w = file_is_inotify(f) ? watch_by(f->own, number) : NULL;

	if (!w)
		return -EINVAL;
	end(w);
	return 0;
}

/* ---- as a file ---- */

static int64_t give(struct uio *to, const struct inotify_told *e)
{
	int64_t n = uio_out(to, &e->head, sizeof(e->head));

	if (n != (int64_t) sizeof(e->head))
		return -EFAULT;
	if (e->head.len && uio_out(to, e->name, e->head.len) != (int64_t) e->head.len)
		return -EFAULT;
	return (int64_t) size_of(e);
}

static int64_t inotify_read(struct file *f, struct uio *to, uint64_t *pos)
{
	struct inotify *in = f->own;
	int64_t done = 0, n;

	(void) pos;
	for (;;) {
		struct inotify_told *e;

		if (list_empty(&in->events)) {
			if (done > 0)
				return done;
			if (f->flags & O_NONBLOCK)
				return -EAGAIN;
			n = waitq_wait(&in->waiters, !list_empty(&in->events), NSEC_NEVER,
				       fiber_interrupted());
			if (n < 0)
				return n;
			continue;
		}
		e = list_entry(in->events.next, struct inotify_told, link);
		/* Whole ones alone: a reader that has no room for the next is told. */
		if (size_of(e) > to->left)
			return done > 0 ? done : -EINVAL;
		take(in, e);
		n = give(to, e);
		event_free(in, e);
		if (n < 0)
			return n;
		done += n;
	}
}

static unsigned int inotify_poll(struct file *f, struct waiter *w)
{
	struct inotify *in = f->own;

	if (w)
		waitq_add(&in->waiters, w);
	return list_empty(&in->events) ? 0 : READABLE;
}

static sysret_t inotify_ioctl(struct file *f, unsigned int request, uint64_t arg, struct space *s)
{
	const struct inotify *in = f->own;
	int32_t bytes;

	if (request != FIONREAD)
		return -ENOTTY;
	bytes = (int32_t) min_of(in->bytes, (size_t) INT32_MAX);
	return copy_out(s, uva(arg), &bytes, sizeof(bytes));
}

static void inotify_free(struct inotify *in)
{
	struct tree_node *n;
	struct list *l;

	while ((n = tree_first(&in->watches)))
		watch_free(container_of(n, struct inotify_watch, node));
	while ((l = list_pop(&in->events)))
		event_free(in, list_entry(l, struct inotify_told, link));
	heap_free(in->overflow);
	if (in->user) {
		in->user->instances--;
		user_unused(in->user);
	}
	heap_cache_free(&instances, in);
}

static void inotify_release(struct file *f)
{
	inotify_free(f->own);
}

static const struct file_ops ops = {
	.read = inotify_read,
	.poll = inotify_poll,
	.ioctl = inotify_ioctl,
	.release = inotify_release,
};

bool file_is_inotify(const struct file *f)
{
	return f->ops == &ops;
}

static struct inotify *inotify_new(struct inotify_user *u)
{
	struct inotify *in = heap_cache_alloc(&instances);

	if (!in)
		return NULL;
	list_init(&in->events);
	waitq_init(&in->waiters);
	in->overflow = heap_alloc(sizeof(*in->overflow));
	if (!in->overflow) {
		heap_cache_free(&instances, in);
		return NULL;
	}
	list_init(&in->overflow->link);
	in->overflow->head = (struct inotify_head){ .number = -1, .mask = IN_Q_OVERFLOW };
	in->user = u;
	u->instances++;
	return in;
}

static int make(unsigned int flags, uint32_t uid, const struct cred *who, struct file **ret)
{
	struct inotify_user *u = user_get(uid);
	struct inotify *in;
	struct inode *i;
	int r = -ENOMEM;

	if (!u)
		return -ENOMEM;
	if (u->instances >= INOTIFY_INSTANCES_MOST)
		return -EMFILE;
	in = inotify_new(u);
	if (!in) {
		user_unused(u);
		return -ENOMEM;
	}
	i = anon_inode(0600, who);
	if (i)
		r = file_anonymous(&ops, i, "anon_inode:inotify", O_RDONLY | flags, in, ret);
	inode_unref(i);
	if (r < 0)
		inotify_free(in);
	return r;
}

int inotify_make(unsigned int flags, const struct cred *who, struct file **ret)
{
	return make(flags, who->euid, who, ret);
}

/* ---- of checkpoints ---- */

uint32_t inotify_uid(const struct inotify *in)
{
	return (uint32_t) in->user->by_uid.key;
}

int inotify_load(unsigned int flags, uint32_t uid, int32_t last, const struct cred *who,
		 struct file **ret)
{
	int r = make(flags, uid, who, ret);
	struct inotify *in;

	if (r < 0)
		return r == -EMFILE ? -EBADMSG : r;
	in = (*ret)->own;
	in->last = last;
	return 0;
}

int inotify_event_load(struct inotify *in, const struct inotify_head *head, const char *name)
{
	struct inotify_told *e;

	if (head->number == -1 && head->mask == IN_Q_OVERFLOW && !head->len) {
		overflow(in);
		return 0;
	}
	if (in->queued >= INOTIFY_QUEUE_MOST)
		return -EBADMSG;
	e = heap_alloc(sizeof(*e) + head->len);
	if (!e)
		return -ENOMEM;
	list_init(&e->link);
	e->head = *head;
	memcpy(e->name, name, head->len);
	put(in, e);
	return 0;
}

void inotify_lines(const struct file *f, struct text *to)
{
	const struct inotify *in = f->own;

	if (!file_is_inotify(f))
		return;
	for (struct tree_node *n = tree_first(&in->watches); n; n = tree_next(n)) {
		const struct inotify_watch *w = container_of(n, struct inotify_watch, node);

		text_put(to, "inotify wd:%x ino:%lx sdev:%lx mask:%x ignored_mask:0 \n",
			 (unsigned int) number_of(w), w->inode->ino, w->inode->super->dev, w->mask);
	}
}
