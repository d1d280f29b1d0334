/* SPDX-License-Identifier: Apache-2.0 */
#include <asm/fcntl.h>

#include "kernel/core/heap.h"
#include "kernel/fs/inotify.h"
#include "kernel/fs/memfs.h"
#include "kernel/fs/proc/tables.h"
#include "kernel/task/cred.h"
#include "kernel/vfs/lock.h"

int proc_may(const struct task *t)
{
	const struct task *self = this_task();
	const struct cred *a, *b;

	if (!self || self->process == t->process || cred_can(self->cred, CAP_SYS_PTRACE))
		return 0;
	a = self->cred;
	b = t->cred;
	if (a->fsuid != b->euid || a->fsuid != b->suid || a->fsuid != b->uid ||
	    a->fsgid != b->egid || a->fsgid != b->sgid || a->fsgid != b->gid)
		return -EACCES;
	return (b->permitted & ~a->permitted) || (t->image && t->image->dumpable != 1) ? -EACCES
										       : 0;
}

int proc_path(const struct task *t, const struct path *p, struct text *to)
{
	char *room;
	const char *at;
	bool outside;

	/* What stands in no mount has its name alone. */
	if (!p->mount) {
		text_add(to, p->dentry->name, p->dentry->len);
		return 0;
	}
	if (!t->fs)
		return -ESRCH;
	room = heap_alloc(PATH_ROOM);
	if (!room)
		return -ENOMEM;
	at = path_text(p, &t->fs->root, room, PATH_ROOM, &outside);
	if (at)
		text_add(to, at, strlen(at));
	heap_free(room);
	return at ? 0 : -ENAMETOOLONG;
}

/* ---- exe, cwd, root ---- */

enum place { EXE, CWD, ROOT };

static int place_of(const struct generated_node *n, enum place which, const struct task **ret_task,
		    const struct path **ret)
{
	const struct task *t = proc_task(n);
	int r = t ? proc_may(t) : -ESRCH;

	if (r < 0)
		return r;
	*ret_task = t;
	if (which == EXE) {
		*ret = t->image ? &t->image->program.exe : NULL;
		return *ret && (*ret)->dentry ? 0 : -ENOENT;
	}
	if (!t->fs)
		return -ENOENT; /* it has ended */
	*ret = which == CWD ? &t->fs->cwd : &t->fs->root;
	return 0;
}

static int link_to(const struct generated_node *n, enum place which, struct text *to)
{
	const struct task *t;
	const struct path *p;
	int r = place_of(n, which, &t, &p);

	return r < 0 ? r : proc_path(this_task() ? this_task() : t, p, to);
}

static int follow_to(const struct generated_node *n, enum place which, struct path *ret)
{
	const struct task *t;
	const struct path *p;
	int r = place_of(n, which, &t, &p);

	if (r < 0)
		return r;
	path_ref(p);
	*ret = *p;
	return 0;
}

int proc_exe_link(const struct generated_node *n, struct text *to)
{
	return link_to(n, EXE, to);
}

int proc_cwd_link(const struct generated_node *n, struct text *to)
{
	return link_to(n, CWD, to);
}

int proc_root_link(const struct generated_node *n, struct text *to)
{
	return link_to(n, ROOT, to);
}

int proc_exe_follow(const struct generated_node *n, const struct cred *who, struct path *ret)
{
	(void) who;
	return follow_to(n, EXE, ret);
}

int proc_cwd_follow(const struct generated_node *n, const struct cred *who, struct path *ret)
{
	(void) who;
	return follow_to(n, CWD, ret);
}

int proc_root_follow(const struct generated_node *n, const struct cred *who, struct path *ret)
{
	(void) who;
	return follow_to(n, ROOT, ret);
}

/* ---- fd, fdinfo ---- */

/* Owned by the caller. */
static int file_at(const struct generated_node *n, uint64_t fd, struct file **ret)
{
	const struct task *t = proc_task(n);
	int r = t ? proc_may(t) : -ESRCH;

	if (r < 0)
		return r;
	*ret = t->files ? descriptors_get(t->files, fd) : NULL;
	return *ret ? 0 : -ENOENT;
}

static int fd_link(const struct generated_node *n, struct text *to)
{
	const struct task *t = this_task() ? this_task() : proc_task(n);
	struct file *f;
	int r = file_at(n, n->number, &f);

	if (r < 0)
		return r;
	r = proc_path(t, &f->path, to);
	file_unref(f);
	return r;
}

/*
 * Where a path to what has no place begins: a mount in no tree, that stays for good. A pipe behind
 * /dev/stdout is opened through it.
 */
static struct mount *nowhere(void)
{
	static struct mount_space *one;
	struct super *s;

	if (one)
		return one->root;
	s = memfs_new(&(struct memfs_options){ .readonly = true });
	if (!s)
		return NULL;
	one = mount_space_new(s, MNT_NOSUID | MNT_NOEXEC, "none");
	super_leave(s);
	return one ? one->root : NULL;
}

static int fd_follow(const struct generated_node *n, const struct cred *who, struct path *ret)
{
	struct file *f;
	int r = file_at(n, n->number, &f);

	(void) who;
	if (r < 0)
		return r;
	*ret = f->path;
	if (!ret->mount)
		ret->mount = nowhere();
	if (ret->mount)
		path_ref(ret);
	file_unref(f);
	return ret->mount ? 0 : -ENOMEM;
}

static int fdinfo(const struct generated_node *n, struct text *to)
{
	const struct task *t = proc_task(n);
	struct file *f;
	int r = file_at(n, n->number, &f);

	if (r < 0)
		return r;
	text_put(to, "pos:\t%lu\nflags:\t0%o\nmnt_id:\t%u\nino:\t%lu\n", f->pos,
		 f->flags | (descriptors_cloexec(t->files, n->number) == 1 ? O_CLOEXEC : 0u),
		 f->path.mount ? f->path.mount->id : 0, f->inode->ino);
	lock_lines(f->inode, f, t->files, to);
	inotify_lines(f, to);
	file_unref(f);
	return 0;
}

static const struct generated_entry fd_entry = {
	.name = "", .mode = S_IFLNK | 0700, .link = fd_link, .follow = fd_follow
};
static const struct generated_entry fdinfo_entry = PROC_FILE("", 0400, fdinfo);

static int find(const struct generated_node *dir, const struct generated_entry *e, const char *name,
		size_t len, struct generated_node *ret)
{
	struct file *f;
	uint64_t fd;
	int r;

	if (!generated_number(name, len, &fd))
		return -ENOENT;
	r = file_at(dir, fd, &f);
	if (r < 0)
		return r;
	file_unref(f);
	*ret = (struct generated_node){ e, dir->pid, fd };
	pid_ref(ret->pid);
	return 0;
}

int proc_fd_find(const struct generated_node *dir, const char *name, size_t len,
		 struct generated_node *ret)
{
	return find(dir, &fd_entry, name, len, ret);
}

int proc_fdinfo_find(const struct generated_node *dir, const char *name, size_t len,
		     struct generated_node *ret)
{
	return find(dir, &fdinfo_entry, name, len, ret);
}

void proc_fd_list(const struct generated_node *dir, uint64_t at, struct generated_sink *to)
{
	const struct task *t = proc_task(dir);

	if (!t || !t->files || proc_may(t) < 0)
		return;
	for (uint64_t fd = at - GENERATED_FIRST; descriptors_next(t->files, &fd); fd++) {
		if (!generated_tell_number(to, fd, S_IFLNK, GENERATED_FIRST + fd + 1))
			break;
	}
}
