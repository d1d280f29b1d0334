/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/core/heap.h"
#include "kernel/fs/dnotify.h"
#include "kernel/vfs/file.h"
#include "kernel/vfs/lock.h"

static struct heap_cache tables = HEAP_CACHE_INIT(struct descriptors);

/* An entry: the file, and in its lowest bit close-on-exec. */
static void *entry(struct file *f, bool cloexec)
{
	return (void *) ((uintptr_t) f | (cloexec ? 1 : 0));
}

static struct file *entry_file(void *e)
{
	return (struct file *) ((uintptr_t) e & ~(uintptr_t) 1);
}

static bool entry_cloexec(const void *e)
{
	return (uintptr_t) e & 1;
}

struct descriptors *descriptors_new(void)
{
	struct descriptors *d = heap_cache_alloc(&tables);

	if (d)
		d->owners = 1;
	return d;
}

struct descriptors *descriptors_copy(const struct descriptors *from)
{
	struct descriptors *d = descriptors_new();
	uint64_t fd = 0;
	void *e;

	for (; d && (e = radix_next(&from->files, &fd)); fd++) {
		if (radix_set(&d->files, fd, e) < 0) {
			descriptors_unref(d);
			return NULL;
		}
		file_ref(entry_file(e));
		d->count++;
	}
	if (d)
		d->lowest = from->lowest;
	return d;
}

void descriptors_ref(struct descriptors *d)
{
	d->owners++;
}

static void let_go(struct descriptors *d, struct file *f)
{
	/* POSIX: any close of a file takes its locks away. What is O_PATH is none. */
	if (f->ops && !list_empty(&f->inode->locks))
		lock_drop(f->inode, d);
	if (f->ops && !list_empty(&f->inode->dnotes))
		dnotify_closed(f, d);
	if (f->ops && f->ops->flush)
		f->ops->flush(f, d);
	file_unref(f);
}

void descriptors_unref(struct descriptors *d)
{
	uint64_t fd = 0;

	if (!d || --d->owners > 0)
		return;
	while (radix_next(&d->files, &fd))
		let_go(d, entry_file(radix_take(&d->files, fd)));
	heap_cache_free(&tables, d);
}

int64_t descriptors_add(struct descriptors *d, struct file *f, bool cloexec, uint64_t from,
			uint64_t limit)
{
	uint64_t fd;

	if (!radix_gap(&d->files, max_of(from, d->lowest), limit, &fd)) {
		file_unref(f);
		return -EMFILE;
	}
	if (radix_set(&d->files, fd, entry(f, cloexec)) < 0) {
		file_unref(f);
		return -ENOMEM;
	}
	d->count++;
	if (from <= d->lowest)
		d->lowest = fd + 1;
	return (int64_t) fd;
}

int descriptors_put(struct descriptors *d, uint64_t fd, struct file *f, bool cloexec)
{
	void *old = radix_get(&d->files, fd);

	if (radix_set(&d->files, fd, entry(f, cloexec)) < 0) {
		file_unref(f);
		return -ENOMEM;
	}
	if (old)
		let_go(d, entry_file(old));
	else
		d->count++;
	return 0;
}

struct file *descriptors_get(const struct descriptors *d, uint64_t fd)
{
	void *e = radix_get(&d->files, fd);

	if (!e)
		return NULL;
	file_ref(entry_file(e));
	return entry_file(e);
}

int descriptors_close(struct descriptors *d, uint64_t fd)
{
	void *e = radix_take(&d->files, fd);

	if (!e)
		return -EBADF;
	d->count--;
	d->lowest = min_of(d->lowest, fd);
	let_go(d, entry_file(e));
	return 0;
}

int descriptors_cloexec(const struct descriptors *d, uint64_t fd)
{
	void *e = radix_get(&d->files, fd);

	return e ? entry_cloexec(e) : -EBADF;
}

int descriptors_set_cloexec(struct descriptors *d, uint64_t fd, bool cloexec)
{
	void *e = radix_get(&d->files, fd);

	/* The slot is there: nothing is allocated. */
	return e ? radix_set(&d->files, fd, entry(entry_file(e), cloexec)) : -EBADF;
}

void descriptors_exec(struct descriptors *d)
{
	uint64_t fd = 0;
	void *e;

	for (; (e = radix_next(&d->files, &fd)); fd++) {
		if (entry_cloexec(e))
			(void) descriptors_close(d, fd); /* it is open */
	}
}

bool descriptors_next(const struct descriptors *d, uint64_t *fd)
{
	return radix_next(&d->files, fd) != NULL;
}
