/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that does with names, files, mappings and copies of its address space what the bytes say:
 * each step gives a result or an errno, and when all is closed nothing is left.
 */
#include <asm/fcntl.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/mman.h>

#include "kernel/fs/pipe.h"
#include "kernel/mm/space.h"
#include "kernel_run.h"

#define BASE   ((uint64_t) 0x40000000)
#define SPACES 3

struct guest {
	struct kernel_run *k;
	struct space *space[SPACES], *now;
	struct descriptors *table;
};

/* Few names, so that they meet; with links, dots and slashes among them. */
static const char *name(struct guest *g)
{
	static const char *const names[] = { "/a",	"/b", "/a/b", "/a/c", "/b/a", "/a/..",
					     "/b/./c/", "/l", "/l/a", "..",   "/",    "a/b/c" };

	return names[kernel_byte(g->k) % countof(names)];
}

static uint64_t place(struct guest *g)
{
	return BASE + (kernel_byte(g->k) % 48) * PAGE_SIZE;
}

static uint64_t length(struct guest *g)
{
	return kernel_byte(g->k) % 12 * 1000;
}

static struct file *file(struct guest *g)
{
	return descriptors_get(g->table, kernel_byte(g->k) % 8);
}

static void add(struct guest *g, struct file *f)
{
	(void) !descriptors_add(g->table, f, kernel_byte(g->k) % 2, 0, 8);
}

static void open_one(struct guest *g)
{
	static const unsigned int flags[] = { O_RDONLY,		O_RDWR,
					      O_RDWR | O_CREAT, O_WRONLY | O_CREAT | O_EXCL,
					      O_RDWR | O_TRUNC, O_WRONLY | O_APPEND,
					      O_PATH,		O_DIRECTORY };
	const char *text = name(g);
	struct file *f;

	if (names_open(&g->k->walk, text, flags[kernel_byte(g->k) % countof(flags)] | O_NONBLOCK,
		       0644, &f) == 0)
		add(g, f);
}

static void create_one(struct guest *g)
{
	static const uint32_t modes[] = { S_IFDIR | 0755, S_IFREG | 0600, S_IFLNK | 0777,
					  S_IFIFO | 0600 };
	uint32_t mode = modes[kernel_byte(g->k) % countof(modes)];
	const char *target = name(g);

	(void) !names_create(&g->k->walk, name(g), mode, 0,
			     (mode & S_IFMT) == S_IFLNK ? target : NULL);
}

static void link_one(struct guest *g)
{
	struct path p;

	if (walk(&g->k->walk, name(g), 0, &p) < 0)
		return;
	(void) !names_link(&p, &g->k->walk, name(g));
	path_unref(&p);
}

static void move_bytes(struct guest *g, bool read)
{
	struct file *f = file(g);
	struct uio u;
	uint64_t at = length(g) * 10;

	if (!f)
		return;
	uio_one(&u, g->now, uva(place(g) + kernel_byte(g->k)), length(g));
	if (read)
		(void) !vfs_read(f, &u, kernel_byte(g->k) % 2 ? &at : NULL);
	else
		(void) !file_write(f, &u, kernel_byte(g->k) % 2 ? &at : NULL, 200000);
	file_unref(f);
}

static void map_one(struct guest *g)
{
	struct file *f = file(g);
	struct space_mapping m = { .at = place(g),
				   .len = length(g),
				   .prot = kernel_byte(g->k) % 8,
				   .flags = kernel_byte(g->k) % 2 ? VMA_SHARED : 0,
				   .fixed = true,
				   .offset = kernel_byte(g->k) % 4 * PAGE_SIZE };
	uint64_t at;

	if (f && f->ops && f->ops->mmap && f->ops->mmap(f, &m.pager) == 0 && !file_can_write(f))
		m.flags |= VMA_READONLY;
	(void) !space_map(g->now, &m, &at);
	if (f)
		file_unref(f);
}

static void change_one(struct guest *g)
{
	struct vfs_change c = { .what = kernel_byte(g->k),
				.mode = kernel_byte(g->k) * 16,
				.size = length(g) * 3 };
	struct path p;

	if (walk(&g->k->walk, name(g), WALK_FOLLOW, &p) < 0)
		return;
	if (!(c.what & ATTR_SIZE) || inode_is(p.dentry->inode, S_IFREG))
		(void) !inode_change(p.dentry->inode, &kernel_root, &c);
	path_unref(&p);
}

static void fork_one(struct guest *g)
{
	size_t n = kernel_byte(g->k) % SPACES;
	struct space *child = space_fork(g->now, 0);

	if (!child)
		return;
	space_unref(g->space[n]);
	g->space[n] = g->now = child;
	if (!g->space[0])
		abort();
}

static void pipe_one(struct guest *g)
{
	struct file *in, *out;

	if (pipe_make(O_NONBLOCK, &kernel_root, &in, &out) < 0)
		return;
	add(g, in);
	add(g, out);
}

static void list_one(struct guest *g)
{
	struct file *f = file(g);

	if (!f)
		return;
	(void) !file_entries(f, uva(place(g)), (size_t) length(g), false, g->now);
	file_unref(f);
}

static void step(struct guest *g)
{
	static const int advice[] = { MADV_DONTNEED, MADV_FREE,	      MADV_REMOVE,
				      MADV_DONTFORK, MADV_WIPEONFORK, MADV_POPULATE_WRITE };
	uint64_t at = place(g), to, len = length(g);
	const char *old;

	switch (kernel_byte(g->k) % 18) {
	case 0:
	case 1:
		open_one(g);
		break;
	case 2:
		create_one(g);
		break;
	case 3:
		(void) !names_remove(&g->k->walk, name(g),
				     kernel_byte(g->k) % 2 ? AT_REMOVEDIR : 0);
		break;
	case 4:
		old = name(g);
		(void) !names_rename(&g->k->walk, old, &g->k->walk, name(g), kernel_byte(g->k) % 4);
		break;
	case 5:
		link_one(g);
		break;
	case 6:
	case 7:
		move_bytes(g, false);
		break;
	case 8:
		move_bytes(g, true);
		break;
	case 9:
	case 10:
		map_one(g);
		break;
	case 11:
		(void) !space_unmap(g->now, at, len);
		break;
	case 12:
		(void) !space_protect(g->now, at, len, kernel_byte(g->k) % 8);
		break;
	case 13:
		(void) !space_remap(g->now, at, len, length(g), kernel_byte(g->k) % 8, place(g),
				    &to);
		break;
	case 14:
		(void) !space_advise(g->now, at, len, advice[kernel_byte(g->k) % countof(advice)]);
		break;
	case 15:
		change_one(g);
		break;
	case 16:
		fork_one(g);
		break;
	default:
		if (kernel_byte(g->k) % 3 == 0)
			pipe_one(g);
		else if (kernel_byte(g->k) % 2)
			list_one(g);
		else
			(void) !descriptors_close(g->table, kernel_byte(g->k) % 8);
		break;
	}
	g->now = g->space[kernel_byte(g->k) % SPACES] ? g->space[kernel_byte(g->k) % SPACES]
						      : g->now;
	if (!g->now)
		g->now = g->space[0];
}

static void live(struct kernel_run *k)
{
	static const struct space_limits limits = { 8 << 20, 8 << 20, 1 << 20, 1 << 20, 200 };
	struct guest g = { .k = k, .table = descriptors_new() };

	g.space[0] = g.now = space_new(&limits);
	if (!g.now || !g.table)
		abort();
	for (int n = 0; k->left > 0 && n < 500; n++)
		step(&g);
	descriptors_unref(g.table);
	for (size_t n = 0; n < SPACES; n++)
		space_unref(g.space[n]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	kernel_run(data, size, live);
	return 0;
}
