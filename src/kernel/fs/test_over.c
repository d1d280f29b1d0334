/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file system that lies over another, against a tmpfs into which the same was copied: what both
 * give for the same acts is the same, and what is below stays as it was.
 */
#include <asm/fcntl.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <stdio.h>

#include "kernel/core/heap.h"
#include "kernel/fs/memfs.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/space.h"
#include "kernel/platform/sim/test_run.h"
#include "kernel/task/cred.h"
#include "kernel/vfs/names.h"

#define PAGES(n) ((uint64_t) (n) << PAGE_SHIFT)

static struct cred root_cred = { .effective = UINT64_MAX };

struct place {
	struct mount_space *mounts;
	struct path top;
};

static void enter(struct place *p, const struct memfs_options *o)
{
	struct super *s = memfs_new(o);

	CHECK(s != NULL);
	p->mounts = mount_space_new(s, 0, "test");
	super_leave(s);
	p->top = (struct path){ p->mounts->root, p->mounts->root->root };
	path_ref(&p->top);
}

static void leave(struct place *p)
{
	path_unref(&p->top);
	mount_space_unref(p->mounts);
}

static struct walk in(struct place *p)
{
	return (struct walk){ .root = &p->top, .start = &p->top, .who = &root_cred };
}

static struct inode *inode_at(struct place *p, const char *text)
{
	struct walk w = in(p);
	struct path found;
	struct inode *i;

	if (walk(&w, text, 0, &found) < 0)
		return NULL;
	i = found.dentry->inode;
	inode_ref(i);
	path_unref(&found);
	return i;
}

static int linked(struct place *p, const char *one, const char *other)
{
	struct walk w = in(p);
	struct path what;
	int r = walk(&w, one, 0, &what);

	if (r == 0) {
		r = names_link(&what, &w, other);
		path_unref(&what);
	}
	return r;
}

static int make(struct place *p, const char *text, uint32_t mode, const char *target)
{
	struct walk w = in(p);

	return names_create(&w, text, mode, 0, target);
}

static int64_t resized(struct place *p, const char *text, uint64_t size)
{
	struct vfs_change c = { .what = ATTR_SIZE, .size = size };
	struct inode *i = inode_at(p, text);
	int r = !i ? -ENOENT : inode_is(i, S_IFREG) ? inode_change(i, &root_cred, &c) : -EISDIR;

	inode_unref(i);
	return r;
}

static int64_t written(struct place *p, const char *text, uint64_t at, uint8_t with, size_t n)
{
	struct inode *i = inode_at(p, text);
	uint8_t bytes[9000];
	int64_t r = -ENOENT;

	memset(bytes, with, sizeof(bytes));
	if (i && !inode_is(i, S_IFREG))
		r = -EISDIR;
	else if (i && at + n > i->pager.size)
		r = resized(p, text, at + n);
	else if (i)
		r = 0;
	if (r == 0)
		r = pager_write(&i->pager, at, bytes, n);
	inode_unref(i);
	return r;
}

struct digest {
	struct dir_sink sink;
	uint64_t sum;
	unsigned int names;
};

static uint64_t mixed(uint64_t sum, const void *bytes, size_t n)
{
	for (size_t k = 0; k < n; k++)
		sum = (sum ^ ((const uint8_t *) bytes)[k]) * 1099511628211u;
	return sum;
}

/* Names come in different orders. */
static bool name(struct dir_sink *to, const char *text, size_t len, uint64_t ino, uint32_t mode,
		 uint64_t next)
{
	struct digest *d = container_of(to, struct digest, sink);
	uint32_t type = mode & S_IFMT;

	(void) ino;
	(void) next;
	d->sum += mixed(mixed(1, text, len), &type, sizeof(type));
	d->names++;
	return true;
}

/* All that can be told of a name. */
static uint64_t told(struct place *p, const char *text)
{
	struct digest d = { .sink = { name }, .sum = 7 };
	struct inode *i = inode_at(p, text);
	static char bytes[40000];
	int64_t n;

	if (!i)
		return 0;
	d.sum = mixed(d.sum, &i->mode, sizeof(i->mode));
	d.sum = mixed(d.sum, &i->uid, sizeof(i->uid));
	d.sum = mixed(d.sum, &i->links, sizeof(i->links));
	if (inode_is(i, S_IFREG)) {
		n = pager_read(&i->pager, 0, bytes, sizeof(bytes));
		d.sum = mixed(mixed(d.sum, &n, sizeof(n)), bytes, n > 0 ? (size_t) n : 0);
	} else if (inode_is(i, S_IFLNK)) {
		n = i->ops->readlink(i, bytes, sizeof(bytes));
		d.sum = mixed(d.sum, bytes, n > 0 ? (size_t) n : 0);
	} else {
		CHECK(i->ops->iterate(i, 2, &d.sink) == 0);
	}
	n = i->ops->xattr_list(i, bytes, sizeof(bytes));
	d.sum += mixed(5, bytes, n > 0 ? (size_t) n : 0);
	n = i->ops->xattr_get(i, "user.a", bytes, sizeof(bytes));
	d.sum = mixed(d.sum, bytes, n > 0 ? (size_t) n : 0);
	inode_unref(i);
	return d.sum;
}

static void set_xattr(struct place *p, const char *text, const char *key, const char *value)
{
	struct inode *i = inode_at(p, text);

	CHECK(i && i->ops->xattr_set(i, key, value, strlen(value), 0) == 0);
	inode_unref(i);
}

/* What lies below, and what was copied. */
static void fill_tree(struct place *p)
{
	CHECK(make(p, "/d", S_IFDIR | 0755, NULL) == 0 && make(p, "/e", S_IFDIR | 0700, NULL) == 0);
	CHECK(make(p, "/d/f", S_IFDIR | 0755, NULL) == 0 &&
	      make(p, "/a", S_IFREG | 0644, NULL) == 0);
	CHECK(make(p, "/d/a", S_IFREG | 0600, NULL) == 0 &&
	      make(p, "/d/f/b", S_IFREG | 0640, NULL) == 0);
	CHECK(make(p, "/c", S_IFLNK | 0777, "d/a") == 0);
	CHECK(written(p, "/a", 0, 'a', 9000) == 9000 && written(p, "/d/a", 100, 'b', 5000) == 5000);
	CHECK(written(p, "/a", PAGES(3) + 7, 'z', 10) == 10);
	CHECK(linked(p, "/d/a", "/e/a") == 0);
	set_xattr(p, "/a", "user.a", "one");
	set_xattr(p, "/a", "user.b", "two");
}

static uint64_t all_told(struct place *p)
{
	static const char *const names[] = { "/",    "/d",     "/e", "/d/f", "/a",
					     "/d/a", "/d/f/b", "/c", "/e/a" };
	uint64_t sum = 0;

	for (size_t n = 0; n < countof(names); n++)
		sum = sum * 31 + told(p, names[n]);
	return sum;
}

/* ---- what is special ---- */

static void test_pages(struct place *over)
{
	uint64_t before = frame_used(), frame, other;
	struct inode *i = inode_at(over, "/a");
	char c;

	CHECK(pager_page(&i->pager, 1, false, &frame) == 0);
	CHECK(frame_used() == before); /* it is the one below */
	CHECK(written(over, "/a", PAGES(1), 'w', 1) == 1);
	CHECK(frame_used() == before + 1);
	CHECK(*(char *) frame_ptr(frame) == 'a');
	CHECK(pager_page(&i->pager, 1, false, &other) == 0 && other != frame);
	CHECK(memcmp(frame_ptr(other), "wa", 2) == 0);
	frame_unref(frame);
	frame_unref(other);
	/* Cut within a page, and longer again: zeros, not what is below. */
	CHECK(resized(over, "/a", 10) == 0 && resized(over, "/a", PAGES(4)) == 0);
	CHECK(pager_read(&i->pager, 9, &c, 1) == 1 && c == 'a');
	CHECK(pager_read(&i->pager, 10, &c, 1) == 1 && c == 0);
	CHECK(pager_read(&i->pager, PAGES(3) + 8, &c, 1) == 1 && c == 0);
	inode_unref(i);
	i = inode_at(over, "/d/a");
	CHECK(pager_punch(&i->pager, 0, 1) == 0 && pager_read(&i->pager, 200, &c, 1) == 1 &&
	      c == 0);
	CHECK(pager_read(&i->pager, PAGES(1), &c, 1) == 1 && c == 'b');
	CHECK(pager_write(&i->pager, 1, "x", 1) == 1);
	CHECK(pager_read(&i->pager, 200, &c, 1) == 1 && c == 0);
	inode_unref(i);
}

/* A mapping shows what is below until somebody writes, and then the same as everybody. */
static void test_mapped(struct place *over)
{
	static const struct space_limits wide = { UINT64_MAX, UINT64_MAX, 8 << 20, UINT64_MAX,
						  1000 };
	struct space *s = space_new(&wide);
	struct inode *i = inode_at(over, "/a"), *same = inode_at(over, "/a");
	struct space_mapping q = { .at = 0x40000000,
				   .len = PAGES(2),
				   .prot = PLAT_READ | PLAT_WRITE,
				   .flags = VMA_SHARED,
				   .pager = &i->pager,
				   .fixed = true };
	char c = 0;

	CHECK(i == same && s && space_map(s, &q, &q.at) == 0);
	CHECK(copy_in(s, &c, uva(q.at), 1) == 0 && c == 'a');
	CHECK(pager_write(&i->pager, 0, "n", 1) == 1);
	CHECK(copy_in(s, &c, uva(q.at), 1) == 0 && c == 'n');
	c = 'm';
	CHECK(copy_out(s, uva(q.at + PAGES(1)), &c, 1) == 0);
	CHECK(pager_read(&i->pager, PAGES(1), &c, 1) == 1 && c == 'm');
	CHECK(pager_read(&i->pager, PAGES(1) + 1, &c, 1) == 1 && c == 'a');
	space_unref(s);
	inode_unref(i);
	inode_unref(same);
}

static void test_names(struct place *over)
{
	struct inode *i = inode_at(over, "/d/a"), *other = inode_at(over, "/e/a");
	struct walk w = in(over);

	CHECK(i && i == other && i->links == 2 && i->mode == (S_IFREG | 0600));
	inode_unref(i);
	inode_unref(other);
	CHECK(names_remove(&w, "/d/f", AT_REMOVEDIR) == -ENOTEMPTY);
	CHECK(names_remove(&w, "/d/f/b", 0) == 0 && names_remove(&w, "/d/f", AT_REMOVEDIR) == 0);
	CHECK(make(over, "/d/f", S_IFDIR | 0755, NULL) == 0 && !inode_at(over, "/d/f/b"));
	CHECK(names_rename(&w, "/d", &w, "/e/d", 0) == 0);
	i = inode_at(over, "/e/d/a");
	CHECK(i && i->links == 2);
	inode_unref(i);
	CHECK(!inode_at(over, "/d") && names_remove(&w, "/e/d/a", 0) == 0);
	CHECK(names_remove(&w, "/e/d", AT_REMOVEDIR) == -ENOTEMPTY);
}

/* ---- any acts, on both ---- */

static uint64_t seed = 1;

static unsigned int dice(unsigned int sides)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned int) (seed >> 33) % sides;
}

static void any_name(char *to, size_t room)
{
	static const char *const dirs[] = { "", "/d", "/e", "/d/f", "/e/d", "/b" };

	(void) snprintf(to, room, "%s/%c", dirs[dice(countof(dirs))], "abcdef"[dice(6)]);
}

static int64_t act(struct place *p, unsigned int what, const char *one, const char *other,
		   uint64_t at, size_t n)
{
	struct walk w = in(p);
	struct inode *i;
	int64_t r;

	switch (what) {
	case 0:
		return make(p, one, S_IFREG | 0644, NULL);
	case 1:
		return make(p, one, S_IFDIR | 0755, NULL);
	case 2:
		return make(p, one, S_IFLNK | 0777, other);
	case 3:
		return names_remove(&w, one, 0);
	case 4:
		return names_remove(&w, one, AT_REMOVEDIR);
	case 5:
		return names_rename(&w, one, &w, other, n % 3 ? 0 : RENAME_EXCHANGE);
	case 6:
		return linked(p, one, other);
	case 7:
		return resized(p, one, at);
	case 8:
		i = inode_at(p, one);
		r = i && inode_is(i, S_IFREG)
			    ? pager_punch(&i->pager, at >> PAGE_SHIFT, (at >> PAGE_SHIFT) + n % 4)
			    : 0;
		inode_unref(i);
		return r;
	case 9:
		i = inode_at(p, one);
		r = i ? i->ops->xattr_set(i, n % 2 ? "user.a" : "user.b", n % 3 ? other : NULL,
					  strlen(other), 0)
		      : 0;
		inode_unref(i);
		return r;
	default:
		return written(p, one, at, (uint8_t) n, n);
	}
}

static void test_any(struct place *over, struct place *copy)
{
	bool same = true;

	for (int n = 0; same && n < 20000; n++) {
		char one[16], other[16];
		unsigned int what = dice(12), at = dice(PAGES(5)), len = dice(9000);

		any_name(one, sizeof(one));
		any_name(other, sizeof(other));
		same = act(over, what, one, other, at, len) ==
			       act(copy, what, one, other, at, len) &&
		       told(over, one) == told(copy, one) && told(over, other) == told(copy, other);
		if (!same)
			(void) fprintf(stderr, "act %d: %u %s %s %u %u\n", n, what, one, other, at,
				       len);
	}
	CHECK(same && all_told(over) == all_told(copy));
}

/* Allocations fail, each once: an errno, and the next time it works. */
static void test_no_memory(struct place *below)
{
	for (unsigned long n = 1; n < 40; n++) {
		struct memfs_options o = { .below = below->top.dentry->inode };
		struct place over;

		enter(&over, &o);
		heap_fail_at(n);
		(void) told(&over, "/d/f/b");
		(void) act(&over, 5, "/d/a", "/e/b", 0, 1);
		(void) act(&over, 9, "/a", "x", 0, 1);
		(void) act(&over, 10, "/a", "", 50, 5000);
		heap_fail_at(0);
		CHECK(told(&over, "/a") && told(&over, "/d/f/b"));
		CHECK(written(&over, "/a", 50, 'q', 5000) == 5000);
		leave(&over);
	}
}

static void all(void *arg)
{
	struct place below, over, copy;
	struct memfs_options o = { 0 }, plain = { .mode = 0755 };
	uint64_t before, used;

	(void) arg;
	enter(&below, &plain);
	fill_tree(&below);
	before = all_told(&below);
	o.below = below.top.dentry->inode;
	enter(&copy, &plain);
	fill_tree(&copy);
	used = frame_used();
	enter(&over, &o);
	CHECK(all_told(&over) == before);
	test_any(&over, &copy);
	leave(&over);
	leave(&copy);
	CHECK(frame_used() < used);
	used = frame_used();
	for (int n = 0; n < 3; n++) {
		void (*const tests[])(struct place *) = { test_pages, test_mapped, test_names };

		enter(&over, &o);
		tests[n](&over);
		leave(&over);
		CHECK(frame_used() == used);
	}
	o.bytes = PAGES(1);
	o.inodes = 1;
	enter(&over, &o);
	CHECK(all_told(&over) == before); /* what is below counts nowhere */
	CHECK(written(&over, "/a", 0, 'x', 1) == 1 &&
	      written(&over, "/a", PAGES(1), 'x', 1) == -ENOSPC);
	CHECK(make(&over, "/new", S_IFREG | 0644, NULL) == 0);
	CHECK(make(&over, "/newer", S_IFREG | 0644, NULL) == -ENOSPC);
	leave(&over);
	test_no_memory(&below);
	CHECK(all_told(&below) == before);
	leave(&below);
	CHECK(frame_used() <= 1);
}

int main(void)
{
	return test_run(4096, all);
}
