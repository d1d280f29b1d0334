/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/fs/devices.h"

#include "kernel/core/heap.h"
#include "kernel/fs/pty.h"
#include "kernel/mm/pager.h"
#include "kernel/platform/platform.h"
#include "kernel/vfs/names.h"

/* ---- null, zero, full ---- */

static int64_t nothing(struct file *f, struct uio *to, uint64_t *pos)
{
	(void) f;
	(void) to;
	(void) pos;
	return 0;
}

static int64_t swallow(struct file *f, struct uio *from, uint64_t *pos)
{
	int64_t n = (int64_t) from->left;

	(void) f;
	(void) pos;
	from->left = 0;
	from->at = from->count;
	return n;
}

static int64_t no_room(struct file *f, struct uio *from, uint64_t *pos)
{
	(void) f;
	(void) pos;
	return from->left ? -ENOSPC : 0;
}

static int64_t zeros(struct file *f, struct uio *to, uint64_t *pos)
{
	static const char page[PAGE_SIZE];
	int64_t done = 0;

	(void) f;
	(void) pos;
	while (to->left > 0 && fiber_interrupted() == 0) {
		size_t part = (size_t) min_of(to->left, PAGE_SIZE);
		int64_t n = uio_out(to, page, part);

		if (n < 0)
			return done ? done : n;
		done += n;
		if (n < (int64_t) part)
			break;
	}
	return done || to->left == 0 ? done : -ERESTARTSYS;
}

static int64_t stay(struct file *f, int64_t offset, int whence)
{
	(void) f;
	(void) offset;
	(void) whence;
	return 0;
}

/* A mapping of /dev/zero is memory of the open file's own. */
struct zero_memory {
	struct pager pager;
	unsigned int owners; /* the file, and mappings */
};

static struct heap_cache memories = HEAP_CACHE_INIT(struct zero_memory);

static void memory_hold(struct pager *p)
{
	container_of(p, struct zero_memory, pager)->owners++;
}

static void memory_release(struct pager *p)
{
	struct zero_memory *m = container_of(p, struct zero_memory, pager);

	if (--m->owners > 0)
		return;
	pager_fini(&m->pager);
	heap_cache_free(&memories, m);
}

static const struct pager_ops memory_ops = {
	.sparse = true,
	.hold = memory_hold,
	.release = memory_release,
};

static int zero_mmap(struct file *f, struct pager **ret)
{
	struct zero_memory *m = f->own;

	if (!m) {
		m = heap_cache_alloc(&memories);
		if (!m)
			return -ENOMEM;
		pager_init(&m->pager, &memory_ops, INT64_MAX);
		m->owners = 1;
		f->own = m;
	}
	*ret = &m->pager;
	return 0;
}

static void zero_release(struct file *f)
{
	struct zero_memory *m = f->own;

	if (m)
		memory_release(&m->pager);
}

/* ---- random ---- */

static int64_t random_read(struct file *f, struct uio *to, uint64_t *pos)
{
	char bytes[512];
	int64_t done = 0;

	(void) f;
	(void) pos;
	while (to->left > 0 && fiber_interrupted() == 0) {
		size_t part = (size_t) min_of(to->left, (uint64_t) sizeof(bytes));
		int64_t n;

		plat_random(bytes, part);
		n = uio_out(to, bytes, part);
		if (n < 0)
			return done ? done : n;
		done += n;
		if (n < (int64_t) part)
			break;
	}
	memset(bytes, 0, sizeof(bytes));
	return done || to->left == 0 ? done : -ERESTARTSYS;
}

static unsigned int always(struct file *f, struct waiter *w)
{
	(void) f;
	(void) w;
	return 0x145; /* POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM */
}

static const struct file_ops null_ops = { .read = nothing, .write = swallow, .seek = stay };
static const struct file_ops zero_ops = {
	.read = zeros,
	.write = swallow,
	.seek = stay,
	.mmap = zero_mmap,
	.release = zero_release,
};
static const struct file_ops full_ops = { .read = zeros, .write = no_room, .seek = stay };
/* What is written there may be stirred in: the platform's needs none of it. */
static const struct file_ops random_ops = {
	.read = random_read,
	.write = swallow,
	.poll = always,
	.seek = stay,
};

/* ---- the table ---- */

struct device {
	const char *name; /* in /dev; NULL: not by itself */
	uint32_t major, minor;
	const struct file_ops *ops;
	/* Or: what opens it. */
	int (*open)(struct inode *i, struct file *f, unsigned int flags);
};

static const struct device devices[] = {
	{ "null", 1, 3, &null_ops, NULL },	{ "zero", 1, 5, &zero_ops, NULL },
	{ "full", 1, 7, &full_ops, NULL },	{ "random", 1, 8, &random_ops, NULL },
	{ "urandom", 1, 9, &random_ops, NULL }, { "tty", 5, 0, NULL, tty_open },
	{ NULL, 5, 2, NULL, ptmx_open },
};

static const struct device *device_of(uint64_t number)
{
	for (size_t n = 0; n < countof(devices); n++) {
		if (device_number(devices[n].major, devices[n].minor) == number)
			return &devices[n];
	}
	return NULL;
}

bool device_served(uint64_t number)
{
	return device_of(number);
}

int device_open(struct inode *i, struct file *f, unsigned int flags)
{
	const struct device *d = device_of(i->rdev);

	if (device_major(i->rdev) == PTS_MAJOR)
		return pts_open(i, f, flags);
	if (!d)
		return -ENXIO;
	if (d->open)
		return d->open(i, f, flags);
	f->ops = d->ops;
	return 0;
}

int devices_fill(const struct path *dir, const struct cred *who)
{
	static const char *const links[][2] = {
		{ "fd", "/proc/self/fd" },	 { "stdin", "/proc/self/fd/0" },
		{ "stdout", "/proc/self/fd/1" }, { "stderr", "/proc/self/fd/2" },
		{ "ptmx", "pts/ptmx" },
	};
	struct walk w = { .root = dir, .start = dir, .who = who };
	int r = names_create(&w, "pts", S_IFDIR | 0755, 0, NULL);

	if (r == 0)
		r = names_create(&w, "shm", S_IFDIR | 01777, 0, NULL);
	for (size_t n = 0; r == 0 && n < countof(devices); n++) {
		if (devices[n].name)
			r = names_create(&w, devices[n].name, S_IFCHR | 0666,
					 device_number(devices[n].major, devices[n].minor), NULL);
	}
	for (size_t n = 0; r == 0 && n < countof(links); n++)
		r = names_create(&w, links[n][0], S_IFLNK | 0777, 0, links[n][1]);
	return r;
}
