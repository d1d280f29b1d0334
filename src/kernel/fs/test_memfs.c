/* SPDX-License-Identifier: Apache-2.0 */
/* tmpfs through the doors that system calls use: walks, names, open files, mounts. */
#include "kernel/fs/memfs.h"

#include <asm/fcntl.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <linux/poll.h>

#include "kernel/core/heap.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/space.h"
#include "kernel/platform/sim/test_run.h"
#include "kernel/task/cred.h"
#include "kernel/vfs/names.h"

#define BASE ((uint64_t) 0x40000000)

static struct cred root_cred = { .effective = UINT64_MAX };
static struct cred user = { .uid = 1000, .euid = 1000, .fsuid = 1000, .gid = 100, .fsgid = 100 };
static struct mount_space *mounts;
static struct path top;
static struct space *guest;

static struct walk as(const struct cred *who)
{
	return (struct walk){ .root = &top, .start = &top, .who = who };
}

static int creat(const struct cred *who, const char *text, uint32_t mode)
{
	struct walk w = as(who);

	return names_create(&w, text, mode, 0, NULL);
}

static int symlink(const char *target, const char *text)
{
	struct walk w = as(&root_cred);

	return names_create(&w, text, S_IFLNK | 0777, 0, target);
}

static int gone(const struct cred *who, const char *text, unsigned int flags)
{
	struct walk w = as(who);

	return names_remove(&w, text, flags);
}

static int moved(const struct cred *who, const char *old, const char *new, unsigned int flags)
{
	struct walk w = as(who);

	return names_rename(&w, old, &w, new, flags);
}

static int opened(const struct cred *who, const char *text, unsigned int flags, struct file **ret)
{
	struct walk w = as(who);

	return names_open(&w, text, flags, 0644, ret);
}

/* The inode number, or -errno. */
static int64_t found(const struct cred *who, const char *text, uint64_t resolve)
{
	struct walk w = as(who);
	struct path p;
	int64_t r;

	w.resolve = resolve;
	r = walk(&w, text, WALK_FOLLOW, &p);
	if (r == 0) {
		r = (int64_t) p.dentry->inode->ino;
		path_unref(&p);
	}
	return r;
}

static int64_t put(struct file *f, const char *text, uint64_t at)
{
	struct uio u;

	CHECK(copy_out(guest, uva(BASE), text, strlen(text)) == 0);
	uio_one(&u, guest, uva(BASE), strlen(text));
	return file_write(f, &u, at == UINT64_MAX ? NULL : &at, UINT64_MAX);
}

static const char *got(struct file *f, uint64_t at)
{
	static char text[200];
	struct uio u;
	int64_t n;

	uio_one(&u, guest, uva(BASE + 4096), sizeof(text) - 1);
	n = vfs_read(f, &u, at == UINT64_MAX ? NULL : &at);
	if (n < 0)
		return "-";
	CHECK(copy_in(guest, text, uva(BASE + 4096), (size_t) n) == 0);
	text[n] = 0;
	return text;
}

static void contents(void)
{
	struct file *f, *g;
	uint64_t used = frame_used();

	CHECK(opened(&root_cred, "/a", O_RDWR, &f) == -ENOENT);
	CHECK(opened(&root_cred, "/a", O_RDWR | O_CREAT, &f) == 0);
	CHECK(opened(&root_cred, "/a", O_RDWR | O_CREAT | O_EXCL, &g) == -EEXIST);
	CHECK(opened(&root_cred, "a", O_RDONLY, &g) == 0);
	CHECK(put(f, "hello", UINT64_MAX) == 5 && put(f, " there", UINT64_MAX) == 6);
	CHECK_STR(got(g, UINT64_MAX), "hello there");
	CHECK_STR(got(g, UINT64_MAX), "");
	CHECK(file_seek(g, 6, SEEK_SET) == 6);
	CHECK_STR(got(g, UINT64_MAX), "there");
	CHECK(put(g, "x", 0) == -EBADF);
	/* Far behind the end: zeros in between, that take no memory. */
	CHECK(put(f, "end", 100 * PAGE_SIZE) == 3 && f->inode->pager.size == 100 * PAGE_SIZE + 3);
	CHECK(f->inode->pager.resident == 2);
	CHECK(strlen(got(f, 50 * PAGE_SIZE)) == 0 && f->inode->pager.resident == 2);
	CHECK_STR(got(f, 100 * PAGE_SIZE), "end");
	file_unref(g);
	CHECK(opened(&root_cred, "/a", O_WRONLY | O_TRUNC, &g) == 0 && f->inode->pager.size == 0);
	CHECK_STR(got(f, 0), "");
	file_unref(g);
	CHECK(opened(&root_cred, "/a", O_WRONLY | O_APPEND, &g) == 0);
	CHECK(put(f, "12345", 0) == 5 && put(g, "678", UINT64_MAX) == 3 && put(g, "9", 0) == 1);
	CHECK_STR(got(f, 0), "123456789");
	/* Removed, and there for who has it open. */
	CHECK(gone(&root_cred, "/a", 0) == 0 && found(&root_cred, "/a", 0) == -ENOENT);
	CHECK_STR(got(f, 0), "123456789");
	CHECK(f->inode->links == 0);
	file_unref(g);
	file_unref(f);
	CHECK(frame_used() <= used + 17); /* what the guest touched, and the page of zeros */
}

static void mapped(void)
{
	struct file *f;
	struct pager *p;
	uint64_t at = 0, used;
	char c = 0;

	CHECK(opened(&root_cred, "/m", O_RDWR | O_CREAT, &f) == 0 && put(f, "abc", 0) == 3);
	CHECK(f->ops->mmap(f, &p) == 0);
	CHECK(space_map(guest,
			&(struct space_mapping){ .len = 2 * PAGE_SIZE,
						 .prot = PLAT_READ | PLAT_WRITE,
						 .flags = VMA_SHARED,
						 .pager = p },
			&at) == 0);
	CHECK(copy_in(guest, &c, uva(at + 1), 1) == 0 && c == 'b');
	CHECK(copy_out(guest, uva(at + 2), "X", 1) == 0);
	CHECK_STR(got(f, 0), "abX");
	CHECK(copy_in(guest, &c, uva(at + PAGE_SIZE), 1) == -EFAULT);
	/* A hole that was mapped as zeros, and is written to by write(). */
	CHECK(put(f, "y", 2 * PAGE_SIZE) == 1);
	CHECK(copy_in(guest, &c, uva(at + PAGE_SIZE), 1) == 0 && c == 0);
	CHECK(put(f, "z", PAGE_SIZE) == 1);
	CHECK(copy_in(guest, &c, uva(at + PAGE_SIZE), 1) == 0 && c == 'z');
	/* The mapping keeps what is nowhere else any more. */
	CHECK(gone(&root_cred, "/m", 0) == 0);
	file_unref(f);
	CHECK(copy_in(guest, &c, uva(at), 1) == 0 && c == 'a');
	used = frame_used();
	CHECK(space_unmap(guest, at, 2 * PAGE_SIZE) == 0 && frame_used() == used - 3);
}

static void directories(void)
{
	CHECK(creat(&root_cred, "/d", S_IFDIR | 0755) == 0 &&
	      creat(&root_cred, "/d/", S_IFDIR) == -EEXIST);
	CHECK(creat(&root_cred, "/d/e/", S_IFDIR | 0755) == 0 &&
	      creat(&root_cred, "/d/x/y", S_IFREG) == -ENOENT);
	CHECK(creat(&root_cred, "/d/f", S_IFREG | 0644) == 0 &&
	      creat(&root_cred, "/d/f/g", S_IFREG) == -ENOTDIR);
	CHECK(found(&root_cred, "/d/..", 0) == found(&root_cred, "/", 0));
	CHECK(found(&root_cred, "/../d/./e/../../d", 0) == found(&root_cred, "d", 0));
	CHECK(found(&root_cred, "/d/f/", 0) == -ENOTDIR &&
	      found(&root_cred, "/d/f/.", 0) == -ENOTDIR);
	CHECK(found(&root_cred, "", 0) == -ENOENT);
	CHECK(gone(&root_cred, "/d", AT_REMOVEDIR) == -ENOTEMPTY &&
	      gone(&root_cred, "/d", 0) == -EISDIR);
	CHECK(gone(&root_cred, "/d/f", AT_REMOVEDIR) == -ENOTDIR &&
	      gone(&root_cred, "/d/.", AT_REMOVEDIR) == -EINVAL);
	CHECK(gone(&root_cred, "/", AT_REMOVEDIR) == -EBUSY);
	CHECK(moved(&root_cred, "/d", "/d/e/d", 0) == -EINVAL);
	CHECK(moved(&root_cred, "/d/e", "/d/f", 0) == -ENOTDIR &&
	      moved(&root_cred, "/d/f", "/d/e", 0) == -EISDIR);
	CHECK(moved(&root_cred, "/d/f", "/g", 0) == 0 && found(&root_cred, "/d/f", 0) == -ENOENT);
	CHECK(moved(&root_cred, "/g", "/d", RENAME_NOREPLACE) == -EEXIST);
	CHECK(moved(&root_cred, "/g", "/d/e", RENAME_EXCHANGE) == 0);
	CHECK(found(&root_cred, "/g/.", 0) > 0 && found(&root_cred, "/d/e/", 0) == -ENOTDIR);
	CHECK(moved(&root_cred, "/g", "/d", 0) == -ENOTEMPTY && gone(&root_cred, "/d/e", 0) == 0);
	CHECK(moved(&root_cred, "/g", "/d", 0) == 0 && gone(&root_cred, "/d", AT_REMOVEDIR) == 0);
	CHECK(top.dentry->inode->links == 2);
	char name[300];

	memset(name, 'n', sizeof(name));
	name[256] = 0;
	CHECK(creat(&root_cred, name, S_IFREG) == -ENAMETOOLONG);
	name[255] = 0;
	CHECK(creat(&root_cred, name, S_IFREG) == 0 && gone(&root_cred, name, 0) == 0);
}

static void links(void)
{
	struct walk w = as(&root_cred);
	struct path p;
	struct file *f;

	CHECK(creat(&root_cred, "/f", S_IFREG | 0600) == 0 && walk(&w, "/f", 0, &p) == 0);
	CHECK(names_link(&p, &w, "/f2") == 0 && p.dentry->inode->links == 2);
	CHECK(names_link(&p, &w, "/f2") == -EEXIST && names_link(&p, &w, "/no/f") == -ENOENT);
	CHECK(moved(&root_cred, "/f", "/f2", 0) == 0 && p.dentry->inode->links == 2);
	CHECK(gone(&root_cred, "/f", 0) == 0 && p.dentry->inode->links == 1);
	path_unref(&p);
	CHECK(creat(&root_cred, "/d", S_IFDIR | 0755) == 0 && symlink("../f2", "/d/s") == 0);
	CHECK(found(&root_cred, "/d/s", 0) == found(&root_cred, "/f2", 0));
	CHECK(opened(&root_cred, "/d/s", O_RDONLY | O_NOFOLLOW, &f) == -ELOOP);
	CHECK(symlink("loop2", "/loop1") == 0 && symlink("loop1", "/loop2") == 0);
	CHECK(found(&root_cred, "/loop1", 0) == -ELOOP);
	CHECK(opened(&root_cred, "/loop1", O_WRONLY | O_CREAT, &f) == -ELOOP);
	CHECK(symlink("d/made", "/dangling") == 0 && symlink("/dangling", "/d/dangling") == 0);
	CHECK(opened(&root_cred, "/d/dangling", O_WRONLY | O_CREAT | O_EXCL, &f) == -EEXIST);
	CHECK(opened(&root_cred, "/d/dangling", O_WRONLY | O_CREAT, &f) == 0);
	CHECK(found(&root_cred, "/d/made", 0) == (int64_t) f->inode->ino);
	file_unref(f);
	CHECK(found(&root_cred, "/d/dangling", RESOLVE_NO_SYMLINKS) == -ELOOP);
	w.start = &p;
	CHECK(walk(&(struct walk){ .root = &top, .start = &top, .who = &root_cred }, "/d", 0, &p) ==
	      0);
	struct path at;

	w.resolve = RESOLVE_BENEATH;
	CHECK(walk(&w, "s", WALK_FOLLOW, &at) == -EXDEV && walk(&w, "/f2", 0, &at) == -EXDEV);
	w.resolve = RESOLVE_IN_ROOT;
	CHECK(walk(&w, "s", WALK_FOLLOW, &at) == -ENOENT);
	CHECK(walk(&w, "/../made", 0, &at) == 0);
	path_unref(&at);
	path_unref(&p);
	for (size_t n = 0; n < 5; n++)
		CHECK(gone(&root_cred,
			   (const char *[]){ "/d/s", "/loop1", "/loop2", "/dangling",
					     "/d/dangling" }[n],
			   0) == 0);
	CHECK(gone(&root_cred, "/d/made", 0) == 0 && gone(&root_cred, "/d", AT_REMOVEDIR) == 0);
	CHECK(gone(&root_cred, "/f2", 0) == 0);
}

static int change(const struct cred *who, const char *text, struct vfs_change c)
{
	struct walk w = as(who);
	struct path p;
	int r = walk(&w, text, WALK_FOLLOW, &p);

	if (r == 0) {
		r = inode_change(p.dentry->inode, who, &c);
		path_unref(&p);
	}
	return r;
}

static void rights(void)
{
	struct file *f;

	CHECK(creat(&root_cred, "/home", S_IFDIR | 0700) == 0 &&
	      creat(&root_cred, "/home/f", S_IFREG | 0644) == 0);
	CHECK(found(&user, "/home/f", 0) == -EACCES && creat(&user, "/new", S_IFREG) == -EACCES);
	CHECK(change(&root_cred, "/home",
		     (struct vfs_change){ .what = ATTR_MODE, .mode = 01777 }) == 0);
	CHECK(opened(&user, "/home/f", O_RDONLY, &f) == 0);
	file_unref(f);
	CHECK(opened(&user, "/home/f", O_WRONLY, &f) == -EACCES);
	CHECK(opened(&user, "/home/f", O_RDONLY | O_TRUNC, &f) == -EACCES);
	CHECK(gone(&user, "/home/f", 0) == -EPERM &&
	      moved(&user, "/home/f", "/home/g", 0) == -EPERM);
	CHECK(creat(&user, "/home/own", S_IFREG | 06755) == 0 &&
	      moved(&user, "/home/own", "/home/mine", 0) == 0);
	CHECK(change(&user, "/home/mine", (struct vfs_change){ .what = ATTR_UID, .uid = 0 }) ==
	      -EPERM);
	CHECK(change(&user, "/home/f", (struct vfs_change){ .what = ATTR_MODE, .mode = 0777 }) ==
	      -EPERM);
	/* Who writes to it without the right takes what it lends away. */
	CHECK(opened(&user, "/home/mine", O_WRONLY, &f) == 0 &&
	      f->inode->mode == (S_IFREG | 06755));
	CHECK(put(f, "x", 0) == 1 && f->inode->mode == (S_IFREG | 0755));
	file_unref(f);
	CHECK(change(&root_cred, "/home",
		     (struct vfs_change){
			     .what = ATTR_MODE | ATTR_GID, .mode = 02777, .gid = 7 }) == 0);
	CHECK(creat(&user, "/home/sub", S_IFDIR | 0755) == 0 &&
	      opened(&user, "/home/sub", O_RDONLY, &f) == 0);
	CHECK(f->inode->gid == 7 && f->inode->mode & S_ISGID && f->inode->uid == 1000);
	file_unref(f);
	CHECK(names_create(&(struct walk){ .root = &top, .start = &top, .who = &user },
			   "/home/null", S_IFCHR | 0666, 0x103, NULL) == -EPERM);
	for (size_t n = 0; n < 2; n++)
		CHECK(gone(&root_cred, (const char *[]){ "/home/f", "/home/mine" }[n], 0) == 0);
	CHECK(gone(&user, "/home/sub", AT_REMOVEDIR) == 0 &&
	      gone(&root_cred, "/home", AT_REMOVEDIR) == 0);
}

static void entries(void)
{
	char name[8] = "/big/00";
	struct file *f;
	size_t seen = 0;
	int64_t n;

	CHECK(creat(&root_cred, "/big", S_IFDIR | 0755) == 0);
	for (int k = 0; k < 60; k++) {
		name[5] = (char) ('0' + k / 10);
		name[6] = (char) ('0' + k % 10);
		CHECK(creat(&root_cred, name, S_IFREG) == 0);
	}
	CHECK(opened(&root_cred, "/big", O_RDONLY | O_DIRECTORY, &f) == 0);
	CHECK(file_entries(f, uva(BASE), 20, false, guest) == -EINVAL);
	while ((n = file_entries(f, uva(BASE), 100, false, guest)) > 0) {
		char some[100];

		CHECK(copy_in(guest, some, uva(BASE), (size_t) n) == 0);
		for (int64_t at = 0; at < n; at += some[at + 16])
			seen++;
		/* What goes while somebody reads does not make others come twice. */
		if (seen == 11)
			CHECK(gone(&root_cred, "/big/00", 0) == 0);
	}
	CHECK(n == 0 && seen == 62);
	CHECK(file_seek(f, 0, SEEK_SET) == 0 &&
	      file_entries(f, uva(BASE), 4000, false, guest) > 1000);
	file_unref(f);
}

static void limits(void)
{
	struct super *s = memfs_new(
		&(struct memfs_options){ .bytes = 3 * PAGE_SIZE, .inodes = 4, .mode = 0755 });
	struct walk w = as(&root_cred);
	struct vfs_statfs st;
	struct path p, inside;
	struct mount *m;
	struct file *f;

	CHECK(creat(&root_cred, "/mnt", S_IFDIR | 0755) == 0 && walk(&w, "/mnt", 0, &p) == 0);
	CHECK(mount_add(&p, s->root, 0, "tmpfs", &m) == 0);
	super_leave(s);
	CHECK(opened(&root_cred, "/mnt/f", O_RDWR | O_CREAT, &f) == 0);
	for (uint64_t n = 0; n < 5; n++)
		CHECK(put(f, "x", n * PAGE_SIZE) == (n < 3 ? 1 : -ENOSPC));
	CHECK(f->inode->pager.size == 2 * PAGE_SIZE + 1);
	s->ops->statfs(s, &st);
	CHECK(st.free == 0 && st.blocks == 3 && st.inodes_free == 2);
	CHECK(change(&root_cred, "/mnt/f", (struct vfs_change){ .what = ATTR_SIZE, .size = 10 }) ==
	      0);
	s->ops->statfs(s, &st);
	CHECK(st.free == 2);
	CHECK(creat(&root_cred, "/mnt/a", S_IFREG) == 0 &&
	      creat(&root_cred, "/mnt/b", S_IFDIR | 0755) == 0);
	CHECK(creat(&root_cred, "/mnt/c", S_IFREG) == -ENOSPC);
	/* Mounted: entered and left, not removed, not crossed where that is not wanted. */
	CHECK(found(&root_cred, "/mnt/b/../..", 0) == found(&root_cred, "/", 0));
	CHECK(found(&root_cred, "/mnt/a", RESOLVE_NO_XDEV) == -EXDEV);
	CHECK(gone(&root_cred, "/mnt", AT_REMOVEDIR) == -EBUSY &&
	      moved(&root_cred, "/mnt", "/x", 0) == -EBUSY);
	CHECK(moved(&root_cred, "/mnt/a", "/a", 0) == -EXDEV);
	m->flags |= MNT_READONLY;
	CHECK(creat(&root_cred, "/mnt/b/x", S_IFREG) == -EROFS &&
	      gone(&root_cred, "/mnt/a", 0) == -EROFS);
	CHECK(walk(&w, "/mnt/b", 0, &inside) == 0);
	char text[64];
	bool outside;

	CHECK_STR(path_text(&inside, &top, text, sizeof(text), &outside), "/mnt/b");
	CHECK(!outside && !path_text(&inside, &top, text, 6, &outside));
	CHECK_STR(path_text(&top, &inside, text, sizeof(text), &outside), "/");
	CHECK(outside);
	m->owners++;
	CHECK(mount_remove(m, false) == -EBUSY);
	CHECK(mount_remove(m, true) == 0 && found(&root_cred, "/mnt/a", 0) == -ENOENT);
	m->owners--;
	/* Detached, and there for who is inside. */
	w.start = &inside;
	CHECK(walk(&w, "../a", 0, &p) == 0);
	path_unref(&p);
	path_unref(&inside);
	file_unref(f);
}

static void table(void)
{
	struct descriptors *d = descriptors_new(), *copy;
	struct file *f;

	CHECK(opened(&root_cred, "/t", O_RDWR | O_CREAT, &f) == 0);
	for (int n = 0; n < 5; n++) {
		file_ref(f);
		CHECK(descriptors_add(d, f, n == 3, 0, 5) == n);
	}
	file_ref(f);
	CHECK(descriptors_add(d, f, false, 0, 5) == -EMFILE);
	CHECK(descriptors_close(d, 1) == 0 && descriptors_close(d, 1) == -EBADF &&
	      !descriptors_get(d, 1));
	file_ref(f);
	CHECK(descriptors_add(d, f, false, 3, 100) == 5);
	file_ref(f);
	CHECK(descriptors_add(d, f, false, 0, 100) == 1);
	file_ref(f);
	CHECK(descriptors_put(d, 1000, f, true) == 0 && d->count == 7);
	CHECK(descriptors_cloexec(d, 3) == 1 && descriptors_cloexec(d, 4) == 0 &&
	      descriptors_cloexec(d, 7) == -EBADF);
	copy = descriptors_copy(d);
	CHECK(copy->count == 7 && f->owners == 15);
	descriptors_exec(copy);
	CHECK(copy->count == 5 && !descriptors_get(copy, 1000) &&
	      descriptors_cloexec(copy, 3) == -EBADF);
	descriptors_unref(copy);
	descriptors_unref(d);
	CHECK(f->owners == 1);
	file_unref(f);
}

static void all(void *arg)
{
	static const struct space_limits wide = { UINT64_MAX, UINT64_MAX, 8 << 20, UINT64_MAX,
						  65530 };
	struct super *s = memfs_new(&(struct memfs_options){ .mode = 0755 });
	uint64_t at;

	(void) arg;
	mounts = mount_space_new(s, 0, "tmpfs");
	super_leave(s);
	top = (struct path){ mounts->root, mounts->root->root };
	path_ref(&top);
	guest = space_new(&wide);
	CHECK(space_map(guest,
			&(struct space_mapping){ .at = BASE,
						 .len = 1 << 20,
						 .prot = PLAT_READ | PLAT_WRITE,
						 .fixed = true },
			&at) == 0);
	contents();
	mapped();
	directories();
	links();
	rights();
	entries();
	limits();
	table();
	path_unref(&top);
	mount_space_unref(mounts);
	space_unref(guest);
	CHECK(frame_used() == 1); /* the page of zeros */
}

int main(void)
{
	return test_run(4096, all);
}
