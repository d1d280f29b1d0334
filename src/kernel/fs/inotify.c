/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/fs/inotify.h"

#include <asm/fcntl.h>
#include <asm/ioctls.h>
#include <linux/inotify.h>
#include <linux/poll.h>

#include "kernel/core/heap.h"
#include "kernel/fs/anon.h"
#include "kernel/fs/text.h"
#include "kernel/task/cred.h"
#include "kernel/vfs/file.h"

#define READABLE (POLLIN | POLLRDNORM)
#define KEPT	 ((uint32_t) (IN_ALL_EVENTS | IN_EXCL_UNLINK | IN_ONESHOT))

/* What a user has of all: by its effective number when an instance was made. */
struct user {
	struct tree_node by_uid;
	unsigned int instances, watches;
};

struct event {
	struct list link;
	struct inotify_head {
		int32_t number;
		uint32_t mask, cookie, len;
	} head;	     /* struct inotify_event */
	char name[]; /* head.len bytes, zeroes at its end */
};

struct inotify {
	struct user *user;
	struct tree watches; /* by number */
	int32_t last;	     /* the newest number */
	struct list events;
	unsigned int queued;
	size_t bytes; /* of all events in the queue */
	struct event *overflow;
	struct waitq waiters;
};

struct watch {
	struct tree_node node;
	struct list of_inode; /* in inode.marks */
	struct list all;      /* in all_watches() */
	struct inotify *in;
	struct inode *inode; /* owned */
	uint32_t mask;	     /* KEPT */
};

static struct heap_cache users_cache = HEAP_CACHE_INIT(struct user);
static struct heap_cache instances = HEAP_CACHE_INIT(struct inotify);
static struct heap_cache watches = HEAP_CACHE_INIT(struct watch);

static struct list *all_watches(void)
{
	static struct list all;

	if (!all.next)
		list_init(&all);
	return &all;
}

bool inotify_any(void)
{
	return !list_empty(all_watches());
}

/* ---- users ---- */

static struct tree users;

static struct user *user_get(uint32_t uid)
{
	struct tree_node *n = tree_from(&users, uid);
	struct user *u;

	if (n && n->key == uid)
		return container_of(n, struct user, by_uid);
	u = heap_cache_alloc(&users_cache);
	if (u)
		tree_insert(&users, &u->by_uid, uid);
	return u;
}

static void user_unused(struct user *u)
{
	if (u->instances || u->watches)
		return;
	tree_remove(&users, &u->by_uid);
	heap_cache_free(&users_cache, u);
}

/* ---- the queue ---- */

static size_t size_of(const struct event *e)
{
	return sizeof(e->head) + e->head.len;
}

static void put(struct inotify *in, struct event *e)
{
	list_push(&in->events, &e->link);
	in->queued++;
	in->bytes += size_of(e);
	(void) waitq_wake(&in->waiters, READABLE, 0);
}

static void take(struct inotify *in, struct event *e)
{
	list_remove(&e->link);
	in->queued--;
	in->bytes -= size_of(e);
}

static void event_free(const struct inotify *in, struct event *e)
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

static bool same(const struct event *e, int32_t number, uint32_t mask, const struct notice *n,
		 size_t len)
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
	struct event *e;

	/* inotify(7) has it so of what is of the watched one itself. */
	if (mask & (IN_DELETE_SELF | IN_MOVE_SELF))
		mask &= ~(uint32_t) IN_ISDIR;
	/* The same as the one before it, which nobody has read, is one with it. */
	if (!list_empty(&in->events) &&
	    same(list_entry(in->events.prev, struct event, link), number, mask, n, len))
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

static int32_t number_of(const struct watch *w)
{
	return (int32_t) w->node.key;
}

static void watch_free(struct watch *w)
{
	list_remove(&w->of_inode);
	list_remove(&w->all);
	tree_remove(&w->in->watches, &w->node);
	w->in->user->watches--;
	inode_unref(w->inode);
	heap_cache_free(&watches, w);
}

static void end(struct watch *w)
{
	tell(w->in, number_of(w), &(struct notice){ .event = IN_IGNORED });
	watch_free(w);
}

void inotify_tell(struct inode *i, const struct notice *n)
{
	list_each_safe(l, &i->marks)
	{
		struct watch *w = list_entry(l, struct watch, of_inode);

		if (!(n->event & w->mask & IN_ALL_EVENTS) ||
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
		end(list_entry(l, struct watch, of_inode));
	}
}

void inotify_unmounted(const struct super *s)
{
	struct list *l = all_watches()->next;

	while (l != all_watches()) {
		struct watch *w = list_entry(l, struct watch, all);
		uint32_t directory = inode_is(w->inode, S_IFDIR) ? IN_ISDIR : 0;

		l = l->next;
		if (w->inode->super != s)
			continue;
		tell(w->in, number_of(w), &(struct notice){ .event = IN_UNMOUNT | directory });
		end(w);
	}
}

static struct watch *watch_of(const struct inotify *in, const struct inode *i)
{
	list_each(l, &i->marks)
	{
		struct watch *w = list_entry(l, struct watch, of_inode);

		if (w->in == in)
			return w;
	}
	return NULL;
}

static struct watch *watch_by(const struct inotify *in, int32_t number)
{
	struct tree_node *n = number > 0 ? tree_from(&in->watches, (uint64_t) number) : NULL;

	return n && n->key == (uint64_t) number ? container_of(n, struct watch, node) : NULL;
}

/* Numbers come again only after all others: who still has an old one does not mistake it. */
static uint64_t next_number(struct inotify *in)
{
	do {
		in->last = in->last == INT32_MAX ? 1 : in->last + 1;
	} while (watch_by(in, in->last));
	return (uint64_t) in->last;
}

int inotify_watch(struct file *f, struct inode *i, uint32_t mask)
{
	struct inotify *in = f->own;
	struct watch *w;

	if (!file_is_inotify(f))
		return -EINVAL;
	w = watch_of(in, i);
	if (w && mask & IN_MASK_CREATE)
		return -EEXIST;
	if (w) {
		w->mask = (mask & IN_MASK_ADD ? w->mask : 0) | (mask & KEPT);
		return number_of(w);
	}
	if (in->user->watches >= INOTIFY_WATCHES_MOST)
		return -ENOSPC;
	w = heap_cache_alloc(&watches);
	if (!w)
		return -ENOMEM;
	w->in = in;
	w->inode = i;
	w->mask = mask & KEPT;
	inode_ref(i);
	in->user->watches++;
	list_push(&i->marks, &w->of_inode);
	list_push(all_watches(), &w->all);
	tree_insert(&in->watches, &w->node, next_number(in));
	return number_of(w);
}

int inotify_unwatch(struct file *f, int32_t number)
{
	struct watch *w = file_is_inotify(f) ? watch_by(f->own, number) : NULL;

	if (!w)
		return -EINVAL;
	end(w);
	return 0;
}

/* ---- as a file ---- */

static int64_t give(struct uio *to, const struct event *e)
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
		struct event *e;

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
		e = list_entry(in->events.next, struct event, link);
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
		watch_free(container_of(n, struct watch, node));
	while ((l = list_pop(&in->events)))
		event_free(in, list_entry(l, struct event, link));
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

static struct inotify *inotify_new(struct user *u)
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

int inotify_make(unsigned int flags, const struct cred *who, struct file **ret)
{
	struct user *u = user_get(who->euid);
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

void inotify_lines(const struct file *f, struct text *to)
{
	const struct inotify *in = f->own;

	if (!file_is_inotify(f))
		return;
	for (struct tree_node *n = tree_first(&in->watches); n; n = tree_next(n)) {
		const struct watch *w = container_of(n, struct watch, node);

		text_put(to, "inotify wd:%x ino:%lx sdev:%lx mask:%x ignored_mask:0 \n",
			 (unsigned int) number_of(w), w->inode->ino, w->inode->super->dev, w->mask);
	}
}
