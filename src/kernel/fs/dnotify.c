/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/fs/dnotify.h"

#include <asm/siginfo.h>
#include <linux/fcntl.h>
#include <linux/inotify.h>
#include <linux/poll.h>

#include "kernel/core/heap.h"
#include "kernel/fs/inotify.h"
#include "kernel/vfs/file.h"
#include "kernel/vfs/owner.h"

struct dnote {
	struct list link; /* in inode.dnotes */
	const struct file *file;
	const void *table;
	int fd;
	uint32_t mask; /* DN_* */
};

static struct heap_cache notes = HEAP_CACHE_INIT(struct dnote);
static unsigned int count;

bool dnotify_any(void)
{
	return count > 0;
}

static struct dnote *find(const struct file *f, const void *table)
{
	list_each(l, &f->inode->dnotes)
	{
		struct dnote *d = list_entry(l, struct dnote, link);

		if (d->file == f && d->table == table)
			return d;
	}
	return NULL;
}

static void end(struct dnote *d)
{
	list_remove(&d->link);
	heap_cache_free(&notes, d);
	count--;
}

int dnotify_set(struct file *f, const void *table, int fd, uint32_t mask)
{
	struct dnote *d = find(f, table);
	struct file_owner *o;
	int r;

	if (!(mask & ~(uint32_t) DN_MULTISHOT)) {
		if (d)
			end(d);
		return 0;
	}
	if (!inode_is(f->inode, S_IFDIR))
		return -ENOTDIR;
	r = owner_of(f, &o);
	if (r < 0)
		return r;
	if (!d) {
		d = heap_cache_alloc(&notes);
		if (!d)
			return -ENOMEM;
		list_init(&d->link);
		list_push(&f->inode->dnotes, &d->link);
		d->file = f;
		d->table = table;
		count++;
	}
	d->fd = fd;
	d->mask |= mask;
	return 0;
}

bool dnotify_tell_at(const struct file *f, uint64_t nr, struct dnotify_state *ret)
{
	list_each(l, &f->inode->dnotes)
	{
		const struct dnote *d = list_entry(l, struct dnote, link);

		if (d->file != f || nr-- > 0)
			continue;
		*ret = (struct dnotify_state){ d->table, d->fd, d->mask };
		return true;
	}
	return false;
}

void dnotify_closed(const struct file *f, const void *table)
{
	struct dnote *d = find(f, table);

	if (d)
		end(d);
}

static uint32_t of_event(uint32_t event, bool renamed)
{
	return (event & IN_ACCESS ? (uint32_t) DN_ACCESS : 0u) |
	       (event & IN_MODIFY ? (uint32_t) DN_MODIFY : 0u) |
	       (event & IN_ATTRIB ? (uint32_t) DN_ATTRIB : 0u) |
	       (event & (IN_CREATE | IN_MOVED_TO) ? (uint32_t) DN_CREATE : 0u) |
	       (event & (IN_DELETE | IN_MOVED_FROM) ? (uint32_t) DN_DELETE : 0u) |
	       (renamed ? (uint32_t) DN_RENAME : 0u);
}

void dnotify_tell(struct inode *dir, const struct notice *n, bool renamed)
{
	uint32_t what = of_event(n->event, renamed);

	list_each_safe(l, &dir->dnotes)
	{
		struct dnote *d = list_entry(l, struct dnote, link);

		if (!(d->mask & what))
			continue;
		owner_tell(d->file->owner, d->fd, POLL_MSG, POLLIN | POLLRDNORM | POLLMSG);
		if (!(d->mask & DN_MULTISHOT))
			end(d);
	}
}
