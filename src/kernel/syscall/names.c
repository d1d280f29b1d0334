/* SPDX-License-Identifier: Apache-2.0 */
/* Names that come, go and change. */
#include "kernel/vfs/names.h"

#include <linux/fcntl.h>
#include <linux/fs.h>

#include "kernel/syscall/decode.h"
#include "kernel/task/cred.h"

#define CWD ((uint64_t) AT_FDCWD)

static sysret_t create(struct task *t, uint64_t dirfd, uva_t text, uint32_t mode, uint64_t rdev,
		       const char *target)
{
	auto_at struct at at;
	int r = at_init(&at, t, dirfd, text, false);

	return r < 0 ? r : names_create(&at.walk, at.text, mode, rdev, target);
}

/* ---- mkdir, mknod, symlink ---- */

static sysret_t make_directory(struct task *t, uint64_t dirfd, uva_t text, uint64_t mode)
{
	uint32_t bits = (uint32_t) mode & 01777 & ~t->fs->umask;

	return create(t, dirfd, text, S_IFDIR | bits, 0, NULL);
}

sysret_t sys_mkdir(struct task *t, const uint64_t *a)
{
	return make_directory(t, CWD, uva(a[0]), a[1]);
}

sysret_t sys_mkdirat(struct task *t, const uint64_t *a)
{
	return make_directory(t, a[0], uva(a[1]), a[2]);
}

static sysret_t make_node(struct task *t, uint64_t dirfd, uva_t text, uint64_t mode, uint64_t dev)
{
	uint32_t type = (uint32_t) mode & S_IFMT, bits = (uint32_t) mode & 07777 & ~t->fs->umask;

	switch (type) {
	case 0:
		type = S_IFREG;
		dev = 0;
		break;
	case S_IFREG:
	case S_IFIFO:
	case S_IFSOCK:
		dev = 0;
		break;
	case S_IFCHR:
	case S_IFBLK:
		if (!cred_can(t->cred, CAP_MKNOD))
			return -EPERM;
		break;
	case S_IFDIR:
		return -EPERM;
	default:
		return -EINVAL;
	}
	return create(t, dirfd, text, type | bits, (uint32_t) dev, NULL);
}

sysret_t sys_mknod(struct task *t, const uint64_t *a)
{
	return make_node(t, CWD, uva(a[0]), a[1], a[2]);
}

sysret_t sys_mknodat(struct task *t, const uint64_t *a)
{
	return make_node(t, a[0], uva(a[1]), a[2], a[3]);
}

static sysret_t make_link(struct task *t, uva_t target, uint64_t dirfd, uva_t text)
{
	char to[PATH_ROOM];
	int64_t n = copy_text(t->space, to, target, sizeof(to));

	if (n <= 0)
		return n < 0 ? n : -ENOENT;
	return create(t, dirfd, text, S_IFLNK | 0777, 0, to);
}

sysret_t sys_symlink(struct task *t, const uint64_t *a)
{
	return make_link(t, uva(a[0]), CWD, uva(a[1]));
}

sysret_t sys_symlinkat(struct task *t, const uint64_t *a)
{
	return make_link(t, uva(a[0]), a[1], uva(a[2]));
}

/* ---- link ---- */

/* Else whoever is given a descriptor could give its file a name: linkat(2), since Linux 6.10. */
static bool may_link_descriptor(struct task *t, uint64_t fd)
{
	struct file *f;
	bool own;

	if (cred_can(t->cred, CAP_DAC_READ_SEARCH))
		return true;
	if (fd_any(t, fd, &f) < 0)
		return false;
	own = f->who == t->cred;
	file_unref(f);
	return own;
}

static sysret_t link_at(struct task *t, uint64_t old_fd, uva_t old, uint64_t new_fd, uva_t new,
			unsigned int flags)
{
	auto_target struct target g = {};
	auto_at struct at at = {};
	int r;

	if (flags & ~(unsigned int) (AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	if (flags & AT_EMPTY_PATH && !may_link_descriptor(t, old_fd))
		return -ENOENT;
	r = target_find(&g, t, old_fd, old, flags, false);
	if (r == 0)
		r = at_init(&at, t, new_fd, new, false);
	if (r == 0 && !g.path.mount)
		r = -EXDEV;
	return r < 0 ? r : names_link(&g.path, &at.walk, at.text);
}

sysret_t sys_link(struct task *t, const uint64_t *a)
{
	return link_at(t, CWD, uva(a[0]), CWD, uva(a[1]), 0);
}

sysret_t sys_linkat(struct task *t, const uint64_t *a)
{
	return link_at(t, a[0], uva(a[1]), a[2], uva(a[3]), (unsigned int) a[4]);
}

/* ---- unlink, rmdir ---- */

static sysret_t remove_at(struct task *t, uint64_t dirfd, uva_t text, unsigned int flags)
{
	auto_at struct at at;
	int r = at_init(&at, t, dirfd, text, false);

	return r < 0 ? r : names_remove(&at.walk, at.text, flags);
}

sysret_t sys_unlink(struct task *t, const uint64_t *a)
{
	return remove_at(t, CWD, uva(a[0]), 0);
}

sysret_t sys_rmdir(struct task *t, const uint64_t *a)
{
	return remove_at(t, CWD, uva(a[0]), AT_REMOVEDIR);
}

sysret_t sys_unlinkat(struct task *t, const uint64_t *a)
{
	unsigned int flags = (unsigned int) a[2];

	return flags & ~(unsigned int) AT_REMOVEDIR ? -EINVAL
						    : remove_at(t, a[0], uva(a[1]), flags);
}

/* ---- rename ---- */

static sysret_t rename_at(struct task *t, uint64_t old_fd, uva_t old, uint64_t new_fd, uva_t new,
			  unsigned int flags)
{
	auto_at struct at from = {}, to = {};
	int r = at_init(&from, t, old_fd, old, false);

	if (r == 0)
		r = at_init(&to, t, new_fd, new, false);
	return r < 0 ? r : names_rename(&from.walk, from.text, &to.walk, to.text, flags);
}

sysret_t sys_rename(struct task *t, const uint64_t *a)
{
	return rename_at(t, CWD, uva(a[0]), CWD, uva(a[1]), 0);
}

sysret_t sys_renameat(struct task *t, const uint64_t *a)
{
	return rename_at(t, a[0], uva(a[1]), a[2], uva(a[3]), 0);
}

sysret_t sys_renameat2(struct task *t, const uint64_t *a)
{
	return rename_at(t, a[0], uva(a[1]), a[2], uva(a[3]), (unsigned int) a[4]);
}
