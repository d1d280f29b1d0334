/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/syscall/decode.h"

#include <asm/fcntl.h>
#include <linux/fcntl.h>
#include <linux/resource.h>
#include <linux/time_types.h>

#include "kernel/platform/platform.h"
#include "kernel/vfs/told.h"

/* ---- descriptors ---- */

int fd_any(struct task *t, uint64_t fd, struct file **ret)
{
	*ret = descriptors_get(t->files, (uint32_t) fd);
	return *ret ? 0 : -EBADF;
}

int fd_file(struct task *t, uint64_t fd, struct file **ret)
{
	int r = fd_any(t, fd, ret);

	if (r == 0 && (*ret)->flags & O_PATH) {
		file_unref(*ret);
		*ret = NULL;
		r = -EBADF;
	}
	return r;
}

sysret_t fd_new(struct task *t, struct file *f, bool cloexec)
{
	return descriptors_add(t->files, f, cloexec, 0, process_limit(t->process, RLIMIT_NOFILE));
}

/* ---- paths ---- */

int at_init(struct at *at, struct task *t, uint64_t dirfd, uva_t text, bool empty)
{
	struct file *dir;
	int64_t n;
	int r;

	at->root = at->start = (struct path){};
	n = copy_text(t->space, at->text, text, sizeof(at->text));
	if (n < 0)
		return (int) n;
	if (n == 0 && !empty)
		return -ENOENT;
	at->root = t->fs->root;
	path_ref(&at->root);
	if (at->text[0] == '/' || (int) dirfd == AT_FDCWD) {
		at->start = t->fs->cwd;
	} else {
		r = fd_any(t, dirfd, &dir);
		if (r < 0)
			return r;
		/* A pipe's name stands in no mount: nothing is below it. */
		if (!dir->path.mount || !inode_is(dir->inode, S_IFDIR)) {
			file_unref(dir);
			return -ENOTDIR;
		}
		at->start = dir->path;
		path_ref(&at->start);
		file_unref(dir);
	}
	if ((int) dirfd == AT_FDCWD || at->text[0] == '/')
		path_ref(&at->start);
	at->walk = (struct walk){ .root = &at->root, .start = &at->start, .who = t->cred };
	return 0;
}

void at_fini(struct at *at)
{
	path_unref(&at->root);
	path_unref(&at->start);
}

int target_fd(struct target *g, struct task *t, uint64_t fd, bool any)
{
	struct file *f;
	int r = any ? fd_any(t, fd, &f) : fd_file(t, fd, &f);

	*g = (struct target){};
	if (r < 0)
		return r;
	g->path = f->path;
	if (g->path.mount)
		path_ref(&g->path);
	else
		dentry_ref(g->path.dentry);
	g->inode = f->inode;
	file_unref(f);
	return 0;
}

int target_find(struct target *g, struct task *t, uint64_t dirfd, uva_t text, unsigned int flags,
		bool follow)
{
	return target_find_as(g, t, t->cred, dirfd, text, flags, follow, NULL);
}

int target_find_as(struct target *g, struct task *t, const struct cred *who, uint64_t dirfd,
		   uva_t text, unsigned int flags, bool follow, struct told *told)
{
	auto_at struct at at;
	bool empty = flags & AT_EMPTY_PATH;
	char first = 0;
	int r;

	*g = (struct target){};
	at.root = at.start = (struct path){};
	if (flags & AT_SYMLINK_NOFOLLOW)
		follow = false;
	if (flags & AT_SYMLINK_FOLLOW)
		follow = true;
	/* "" is the descriptor itself, which need be no directory. */
	if (empty) {
		r = text.v ? copy_in(t->space, &first, text, 1) : 0;
		if (r < 0)
			return r;
		if (!first && (int) dirfd != AT_FDCWD)
			return target_fd(g, t, dirfd, true);
		if (!first) {
			g->path = t->fs->cwd;
			path_ref(&g->path);
			g->inode = g->path.dentry->inode;
			return 0;
		}
	}
	r = at_init(&at, t, dirfd, text, false);
	at.walk.who = who;
	at.walk.told = told;
	if (r == 0 && told)
		told_text(told, at.text);
	if (r == 0)
		r = walk(&at.walk, at.text, follow ? WALK_FOLLOW : 0, &g->path);
	if (r == 0)
		g->inode = g->path.dentry->inode;
	return r;
}

void target_fini(struct target *g)
{
	if (g->path.mount)
		path_unref(&g->path);
	else if (g->path.dentry)
		dentry_unref(g->path.dentry);
	*g = (struct target){};
}

int target_writable(const struct target *g)
{
	bool readonly = g->inode->super->readonly ||
			(g->path.mount && g->path.mount->flags & MNT_READONLY);

	return readonly ? -EROFS : 0;
}

/* ---- times ---- */

int time_of(int64_t sec, int64_t part, int64_t unit, nsec_t *ret)
{
	nsec_t n;

	if (sec < 0 || part < 0 || part >= unit)
		return -EINVAL;
	if (__builtin_mul_overflow((nsec_t) sec, NSEC_PER_SEC, &n) ||
	    __builtin_add_overflow(n, part * (NSEC_PER_SEC / unit), &n))
		n = NSEC_NEVER - 1;
	*ret = n;
	return 0;
}

int time_in(struct task *t, uva_t from, nsec_t *ret)
{
	struct __kernel_timespec ts;
	int r = copy_in(t->space, &ts, from, sizeof(ts));

	return r < 0 ? r : time_of(ts.tv_sec, ts.tv_nsec, NSEC_PER_SEC, ret);
}

int time_out(struct task *t, uva_t to, nsec_t n)
{
	struct __kernel_timespec ts = { n / NSEC_PER_SEC, n % NSEC_PER_SEC };

	return copy_out(t->space, to, &ts, sizeof(ts));
}

nsec_t time_from_now(nsec_t n)
{
	nsec_t at;

	return __builtin_add_overflow(n, plat_now(PLAT_MONOTONIC), &at) ? NSEC_NEVER : at;
}

/* ---- structures ---- */

int struct_in(struct task *t, void *to, size_t room, uva_t from, uint64_t size, size_t least)
{
	char rest[64];
	int r;

	if (size < least)
		return -EINVAL;
	if (size > PAGE_SIZE)
		return -E2BIG;
	memset(to, 0, room);
	r = copy_in(t->space, to, from, min_of((size_t) size, room));
	for (uint64_t at = room; r == 0 && at < size; at += sizeof(rest)) {
		size_t part = min_of(sizeof(rest), (size_t) (size - at));

		r = copy_in(t->space, rest, uva(from.v + at), part);
		for (size_t n = 0; r == 0 && n < part; n++)
			r = rest[n] ? -E2BIG : 0;
	}
	return r;
}

sysret_t struct_out(struct task *t, uva_t to, const void *from, size_t n, sysret_t result)
{
	int r = copy_out(t->space, to, from, n);

	return r < 0 ? r : result;
}
