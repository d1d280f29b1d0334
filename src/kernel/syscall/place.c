/* SPDX-License-Identifier: Apache-2.0 */
/* Where a task stands: its root, its directory, its umask; and what is in directories. */
#include <linux/fcntl.h>

#include "kernel/core/heap.h"
#include "kernel/syscall/decode.h"
#include "kernel/task/cred.h"
#include "kernel/vfs/told.h"

#define CWD ((uint64_t) AT_FDCWD)

sysret_t sys_getcwd(struct task *t, const uint64_t *a)
{
	static const char unreachable[] = "(unreachable)";
	size_t before = sizeof(unreachable) - 1, len;
	bool outside = false;
	char *room, *text;
	sysret_t r;

	if (t->fs->cwd.dentry->removed)
		return -ENOENT;
	room = heap_alloc(before + PATH_ROOM);
	if (!room)
		return -ENOMEM;
	text = path_text(&t->fs->cwd, &t->fs->root, room + before, PATH_ROOM, &outside);
	if (text && outside) {
		text -= before;
		memcpy(text, unreachable, before);
	}
	len = text ? strlen(text) + 1 : 0;
	if (!text)
		r = -ENAMETOOLONG;
	else if (len > a[1])
		r = -ERANGE;
	else
		r = copy_out(t->space, uva(a[0]), text, len);
	heap_free(room);
	return r < 0 ? r : (sysret_t) len;
}

/* Takes p. */
static void put(struct path *place, struct path *p)
{
	struct path old = *place;

	*place = *p;
	*p = old;
	path_unref(p);
}

static int to_directory(struct task *t, uva_t text, struct path *ret)
{
	auto_at struct at at;
	int r = at_init(&at, t, CWD, text, false);

	if (r == 0)
		r = walk(&at.walk, at.text, WALK_FOLLOW | WALK_DIRECTORY, ret);
	if (r == 0) {
		r = inode_may(ret->dentry->inode, t->cred, MAY_EXEC);
		if (r < 0)
			path_unref(ret);
	}
	return r;
}

sysret_t sys_chdir(struct task *t, const uint64_t *a)
{
	struct path p;
	int r = to_directory(t, uva(a[0]), &p);

	if (r == 0)
		put(&t->fs->cwd, &p);
	return r;
}

sysret_t sys_fchdir(struct task *t, const uint64_t *a)
{
	auto_target struct target g = {};
	int r = target_fd(&g, t, a[0], true);

	if (r == 0 && (!g.path.mount || !inode_is(g.inode, S_IFDIR)))
		r = -ENOTDIR;
	if (r == 0)
		r = inode_may(g.inode, t->cred, MAY_EXEC);
	if (r == 0) {
		put(&t->fs->cwd, &g.path);
		g = (struct target){};
	}
	return r;
}

sysret_t sys_chroot(struct task *t, const uint64_t *a)
{
	struct path p;
	int r = to_directory(t, uva(a[0]), &p);

	if (r == 0 && !cred_can(t->cred, CAP_SYS_CHROOT)) {
		path_unref(&p);
		r = -EPERM;
	}
	if (r == 0) {
		told_forget();
		put(&t->fs->root, &p);
	}
	return r;
}

sysret_t sys_umask(struct task *t, const uint64_t *a)
{
	uint32_t old = t->fs->umask;

	t->fs->umask = (uint32_t) a[0] & 0777;
	return old;
}

static sysret_t entries(struct task *t, const uint64_t *a, bool old)
{
	auto_file struct file *f = NULL;
	int r = fd_file(t, a[0], &f);

	return r < 0 ? r : file_entries(f, uva(a[1]), (uint32_t) a[2], old, t->space);
}

sysret_t sys_getdents(struct task *t, const uint64_t *a)
{
	return entries(t, a, true);
}

sysret_t sys_getdents64(struct task *t, const uint64_t *a)
{
	return entries(t, a, false);
}
