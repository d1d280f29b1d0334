/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/fs/epoll.h"

#include <asm/fcntl.h>
#include <linux/eventpoll.h>
#include <linux/poll.h>

#include "kernel/core/heap.h"
#include "kernel/fs/anon.h"
#include "kernel/vfs/file.h"

#define NESTED_MOST 5
#define ALWAYS	    (uint32_t)(EPOLLERR | EPOLLHUP)
#define INPUT	    (uint32_t)(EPOLLET | EPOLLONESHOT | EPOLLEXCLUSIVE | EPOLLWAKEUP)

struct epoll {
	struct tree watches; /* by the descriptor's number; then by file */
	struct list ready;
	struct waitq waiters; /* in epoll_wait, and who polls the instance itself */
};

/* One file that is watched, by one number. It stands in the file's queue for as long as it is. */
struct watch {
	struct tree_node node;
	struct epoll *epoll;
	struct file *file; /* not owned: epoll_forget() */
	struct list of_file, in_ready;
	struct waiter waiter;
	uint32_t events; /* with ALWAYS; 0 but for INPUT: one that has fired once */
	uint64_t data;
};

static struct heap_cache epolls = HEAP_CACHE_INIT(struct epoll);
static struct heap_cache watches = HEAP_CACHE_INIT(struct watch);
static const struct file_ops ops;

static unsigned int now_ready(const struct watch *w)
{
	return w->file->ops->poll(w->file, NULL) & w->events;
}

static void make_ready(struct watch *w)
{
	if (list_empty(&w->in_ready))
		list_push(&w->epoll->ready, &w->in_ready);
	(void) waitq_wake(&w->epoll->waiters, POLLIN, 1);
}

static bool notified(struct waiter *waiter, unsigned int events)
{
	struct watch *w = container_of(waiter, struct watch, waiter);

	bool waits = !list_empty(&w->epoll->waiters.waiters);

	if (!(w->events & ~INPUT) || (events && !(events & w->events)))
		return false;
	make_ready(w);
	/* One that nobody waits at is not the one that takes it: EPOLLEXCLUSIVE. */
	return waits;
}

static void watch_free(struct watch *w)
{
	waitq_remove(&w->waiter);
	list_remove(&w->of_file);
	list_remove(&w->in_ready);
	tree_remove(&w->epoll->watches, &w->node);
	heap_cache_free(&watches, w);
}

static struct watch *find(const struct epoll *e, uint64_t fd, const struct file *f)
{
	for (struct tree_node *n = tree_from(&e->watches, fd); n && n->key == fd;
	     n = tree_next(n)) {
		struct watch *w = container_of(n, struct watch, node);

		if (w->file == f)
			return w;
	}
	return NULL;
}

/* How deep instances stand in `f`; NESTED_MOST and more: too deep, or a circle through `top`. */
static unsigned int depth(const struct file *f, const struct file *top, unsigned int so_far)
{
	const struct epoll *e = f->own;
	unsigned int most = so_far;

	if (f == top || so_far >= NESTED_MOST)
		return NESTED_MOST;
	for (struct tree_node *n = tree_first(&e->watches); n; n = tree_next(n)) {
		const struct file *below = container_of(n, struct watch, node)->file;

		if (file_is_epoll(below))
			most = max_of(most, depth(below, top, so_far + 1));
	}
	return most;
}

static int add(struct file *epoll, uint64_t fd, struct file *target, uint32_t events, uint64_t data)
{
	struct epoll *e = epoll->own;
	struct watch *w;

	if (find(e, fd, target))
		return -EEXIST;
	if (file_is_epoll(target) && depth(target, epoll, 1) >= NESTED_MOST)
		return -ELOOP;
	w = heap_cache_alloc(&watches);
	if (!w)
		return -ENOMEM;
	w->epoll = e;
	w->file = target;
	w->events = events | ALWAYS;
	w->data = data;
	list_init(&w->in_ready);
	list_init(&w->of_file);
	waiter_init(&w->waiter);
	w->waiter.notify = notified;
	w->waiter.exclusive = events & EPOLLEXCLUSIVE;
	tree_insert(&e->watches, &w->node, fd);
	list_push(&target->watches, &w->of_file);
	(void) target->ops->poll(target, &w->waiter);
	if (now_ready(w))
		make_ready(w);
	return 0;
}

static int modify(struct watch *w, uint32_t events, uint64_t data)
{
	if (w->events & EPOLLEXCLUSIVE || events & EPOLLEXCLUSIVE)
		return -EINVAL;
	w->events = events | ALWAYS;
	w->data = data;
	if (now_ready(w))
		make_ready(w);
	return 0;
}

int epoll_control(struct file *epoll, int op, uint64_t fd, struct file *target, uint32_t events,
		  uint64_t data)
{
	struct watch *w;

	if (!file_is_epoll(epoll) || epoll == target)
		return -EINVAL;
	/* Regular files and directories are always ready: nothing to wait for. */
	if (target->flags & O_PATH)
		return -EBADF;
	if (!target->ops->poll)
		return -EPERM;
	if (events & EPOLLEXCLUSIVE &&
	    (file_is_epoll(target) || op == EPOLL_CTL_MOD || events & EPOLLONESHOT))
		return -EINVAL;
	w = find(epoll->own, fd, target);
	switch (op) {
	case EPOLL_CTL_ADD:
		return add(epoll, fd, target, events, data);
	case EPOLL_CTL_MOD:
		return w ? modify(w, events, data) : -ENOENT;
	case EPOLL_CTL_DEL:
		if (!w)
			return -ENOENT;
		watch_free(w);
		return 0;
	default:
		return -EINVAL;
	}
}

/* What is ready now; what stays ready without an edge is looked at again the next time. */
static size_t collect(struct epoll *e, struct epoll_ready *to, size_t room)
{
	struct list seen;
	struct list *l;
	size_t n = 0;

	list_init(&seen);
	while (n < room && (l = list_pop(&e->ready))) {
		struct watch *w = list_entry(l, struct watch, in_ready);
		unsigned int events = w->events & ~INPUT ? now_ready(w) : 0;

		if (!events)
			continue;
		to[n++] = (struct epoll_ready){ events, w->data };
		if (w->events & EPOLLONESHOT)
			w->events &= INPUT;
		else if (!(w->events & EPOLLET))
			list_push(&seen, &w->in_ready);
	}
	list_splice(&e->ready, &seen);
	return n;
}

int64_t epoll_collect(struct file *epoll, struct epoll_ready *to, size_t room, nsec_t deadline)
{
	struct epoll *e = epoll->own;
	size_t n = 0;
	int r;

	if (!file_is_epoll(epoll) || room == 0)
		return -EINVAL;
	r = waitq_wait(&e->waiters, (n = collect(e, to, room)) > 0, deadline, fiber_interrupted());
	if (n > 0)
		return (int64_t) n;
	return r == -ETIMEDOUT ? 0 : r;
}

size_t epoll_listed(const struct file *epoll)
{
	struct epoll *e = epoll->own;
	size_t n = 0;

	if (!file_is_epoll(epoll))
		return 0;
	list_each(l, &e->ready)
	{
		n++;
	}
	return n;
}

static unsigned int epoll_poll(struct file *f, struct waiter *w)
{
	struct epoll *e = f->own;

	if (w)
		waitq_add(&e->waiters, w);
	list_each(l, &e->ready)
	{
		const struct watch *ready = list_entry(l, struct watch, in_ready);

		if (ready->events & ~INPUT && now_ready(ready))
			return POLLIN | POLLRDNORM;
	}
	return 0;
}

static void epoll_release(struct file *f)
{
	struct epoll *e = f->own;
	struct tree_node *n;

	while ((n = tree_first(&e->watches)))
		watch_free(container_of(n, struct watch, node));
	heap_cache_free(&epolls, e);
}

static const struct file_ops ops = { .poll = epoll_poll, .release = epoll_release };

bool file_is_epoll(const struct file *f)
{
	return f->ops == &ops;
}

int epoll_make(const struct cred *who, struct file **ret)
{
	struct epoll *e = heap_cache_alloc(&epolls);
	struct inode *i = e ? anon_inode(0600, who) : NULL;
	int r = -ENOMEM;

	if (i) {
		list_init(&e->ready);
		waitq_init(&e->waiters);
		r = anon_file(i, "[eventpoll]", &ops, O_RDWR, e, ret);
	}
	inode_unref(i);
	if (r < 0)
		heap_cache_free(&epolls, e);
	return r;
}

void epoll_forget(struct file *f)
{
	while (!list_empty(&f->watches))
		watch_free(list_entry(f->watches.next, struct watch, of_file));
}

/* ---- checkpoints ---- */

bool epoll_watch_at(const struct file *epoll, uint64_t nr, struct epoll_watch *ret)
{
	const struct epoll *e = epoll->own;

	for (struct tree_node *n = tree_first(&e->watches); n; n = tree_next(n)) {
		const struct watch *w = container_of(n, struct watch, node);

		if (nr-- > 0)
			continue;
		*ret = (struct epoll_watch){ w->node.key, w->file, w->events, w->data };
		return true;
	}
	return false;
}

int epoll_watch_load(struct file *epoll, const struct epoll_watch *from)
{
	bool spent = !(from->events & ~INPUT);
	int r = epoll_control(epoll, EPOLL_CTL_ADD, from->fd, from->file, from->events, from->data);

	/* As one that has fired once. */
	if (r == 0 && spent) {
		struct watch *w = find(epoll->own, from->fd, from->file);

		if (w)
			w->events = from->events;
	}
	return r;
}
