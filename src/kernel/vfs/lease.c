/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/vfs/lease.h"

#include <asm/fcntl.h>
#include <asm/siginfo.h>
#include <linux/poll.h>

#include "kernel/core/clock.h"
#include "kernel/core/heap.h"
#include "kernel/platform/platform.h"
#include "kernel/task/cred.h"
#include "kernel/task/task.h"
#include "kernel/vfs/file.h"
#include "kernel/vfs/owner.h"

struct lease {
	struct list link; /* in inode.leases */
	struct file *file;
	int fd;		/* by which it was taken */
	int type;	/* F_RDLCK, F_WRLCK */
	int target;	/* what it has to become; `type`: nobody wants it less */
	nsec_t expires; /* then it does so by itself */
};

static struct heap_cache leases = HEAP_CACHE_INIT(struct lease);

static struct waitq *changed(void)
{
	static struct waitq q;

	if (!q.waiters.next)
		waitq_init(&q);
	return &q;
}

static struct lease *of_file(const struct file *f)
{
	list_each(l, &f->inode->leases)
	{
		struct lease *one = list_entry(l, struct lease, link);

		if (one->file == f)
			return one;
	}
	return NULL;
}

static void become(struct lease *l, int type)
{
	if (type == F_UNLCK) {
		list_remove(&l->link);
		heap_cache_free(&leases, l);
	} else {
		/* What it has to become holds. */
		if (l->target == l->type)
			l->target = type;
		l->type = type;
	}
	(void) waitq_wake(changed(), 0, 0);
}

/* Whether who has it open so is in the way of this lease. */
static bool is_open(const struct file *f, int type)
{
	const struct inode *i = f->inode;

	if (type == F_RDLCK)
		return i->writers > 0;
	return i->openers > 1;
}

int lease_set(struct task *t, struct file *f, int fd, int type)
{
	struct lease *own = of_file(f);
	struct inode *i = f->inode;
	struct file_owner *o;
	int r;

	if (type != F_RDLCK && type != F_WRLCK && type != F_UNLCK)
		return -EINVAL;
	if (type == F_UNLCK) {
		if (!own)
			return -EAGAIN;
		become(own, F_UNLCK);
		return 0;
	}
	if (t->cred->fsuid != i->uid && !cred_can(t->cred, CAP_LEASE))
		return -EACCES;
	if (!inode_is(i, S_IFREG))
		return -EINVAL;
	if (is_open(f, type))
		return -EAGAIN;
	list_each(l, &i->leases)
	{
		const struct lease *other = list_entry(l, struct lease, link);

		if (other != own && (type == F_WRLCK || other->target != other->type))
			return -EAGAIN;
	}
	r = owner_of(f, &o);
	if (r < 0)
		return r;
	if (own) {
		become(own, type);
		return 0;
	}
	own = heap_cache_alloc(&leases);
	if (!own)
		return -ENOMEM;
	*own = (struct lease){ .file = f, .fd = fd, .type = type, .target = type };
	list_init(&own->link);
	list_push(&i->leases, &own->link);
	owner_default(o, t);
	return 0;
}

int lease_get(const struct file *f)
{
	const struct lease *l = of_file(f);

	return l ? l->target : F_UNLCK;
}

/* The first in the way of who opens it so: told, once, what it has to become. */
static struct lease *in_the_way(struct inode *i, bool write, nsec_t now)
{
	int target = write ? F_UNLCK : F_RDLCK;
	struct lease *first = NULL;

	list_each_safe(l, &i->leases)
	{
		struct lease *one = list_entry(l, struct lease, link);

		if (!write && one->type == F_RDLCK)
			continue;
		if (one->target != one->type && one->expires <= now) {
			bool gone = one->target == F_UNLCK;

			become(one, one->target);
			if (gone || !write)
				continue;
		}
		if (one->target == one->type || (target == F_UNLCK && one->target != F_UNLCK)) {
			one->expires = clock_add(now, LEASE_BREAK_TIME * NSEC_PER_SEC);
			one->target = target;
			owner_tell(one->file->owner, one->fd, POLL_MSG,
				   POLLIN | POLLRDNORM | POLLMSG);
		}
		first = first ?: one;
	}
	return first;
}

int lease_break(struct inode *i, bool write, bool nonblock)
{
	struct waiter w;
	struct lease *l;
	int r = 0;

	if (list_empty(&i->leases))
		return 0;
	waiter_init(&w);
	waitq_add(changed(), &w);
	while (r == 0 && (l = in_the_way(i, write, plat_now(PLAT_MONOTONIC)))) {
		r = nonblock ? -EAGAIN : fiber_interrupted();
		if (r == 0)
			r = fiber_park_until(l->expires);
		if (r == -ETIMEDOUT)
			r = 0;
	}
	waitq_remove(&w);
	return r;
}

bool lease_tell(const struct file *f, struct lease_state *ret)
{
	const struct lease *l = of_file(f);
	nsec_t now = plat_now(PLAT_MONOTONIC);

	if (!l)
		return false;
	*ret = (struct lease_state){ .fd = l->fd, .type = l->type, .target = l->target };
	if (l->target != l->type && l->expires > now)
		ret->left = l->expires - now;
	return true;
}

int lease_load(struct file *f, const struct lease_state *one)
{
	bool writes = one->type == F_WRLCK;
	struct file_owner *o;
	struct lease *l;
	int r;

	if (!inode_is(f->inode, S_IFREG) || of_file(f) || (!writes && one->type != F_RDLCK) ||
	    (one->target != one->type && one->target != F_UNLCK &&
	     (!writes || one->target != F_RDLCK)))
		return -EINVAL;
	r = owner_of(f, &o);
	if (r < 0)
		return r;
	l = heap_cache_alloc(&leases);
	if (!l)
		return -ENOMEM;
	*l = (struct lease){ .file = f, .fd = one->fd, .type = one->type, .target = one->target };
	l->expires = clock_add(plat_now(PLAT_MONOTONIC), one->left);
	list_init(&l->link);
	list_push(&f->inode->leases, &l->link);
	return 0;
}

void lease_drop(struct file *f)
{
	struct lease *l = of_file(f);

	if (l)
		become(l, F_UNLCK);
}
