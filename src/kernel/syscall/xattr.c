/* SPDX-License-Identifier: Apache-2.0 */
/* Extended attributes: xattr(7). */
#include <linux/fcntl.h>
#include <linux/inotify.h>
#include <linux/limits.h>
#include <linux/xattr.h>

#include "kernel/core/heap.h"
#include "kernel/syscall/decode.h"
#include "kernel/task/cred.h"
#include "kernel/vfs/notify.h"

#define CWD ((uint64_t) AT_FDCWD)

static bool begins(const char *name, const char *with)
{
	size_t n = strlen(with);

	return strlen(name) > n && memcmp(name, with, n) == 0;
}

static int name_in(struct task *t, char name[static XATTR_NAME_MAX + 1], uva_t from)
{
	int64_t n = copy_text(t->space, name, from, XATTR_NAME_MAX + 1);

	if (n == 0 || n == -ENAMETOOLONG)
		return -ERANGE;
	return n < 0 ? (int) n : 0;
}

/* Who may, by the name space of the name. */
static int may(const struct task *t, const struct target *g, const char *name, bool write)
{
	bool admin = cred_can(t->cred, CAP_SYS_ADMIN);
	int r = write ? target_writable(g) : 0;

	if (r < 0)
		return r;
	if (begins(name, XATTR_TRUSTED_PREFIX))
		return admin ? 0 : write ? -EPERM : -ENODATA;
	if (begins(name, XATTR_SECURITY_PREFIX)) {
		bool caps = begins(name, XATTR_SECURITY_PREFIX "capabilit") &&
			    cred_can(t->cred, CAP_SETFCAP);

		return !write || admin || caps ? 0 : -EPERM;
	}
	if (!begins(name, XATTR_USER_PREFIX))
		return -EOPNOTSUPP;
	if (!inode_is(g->inode, S_IFREG) && !inode_is(g->inode, S_IFDIR))
		return write ? -EPERM : -ENODATA;
	if (write && inode_is(g->inode, S_IFDIR) && g->inode->mode & S_ISVTX &&
	    !inode_owned(g->inode, t->cred))
		return -EPERM;
	return inode_may(g->inode, t->cred, write ? MAY_WRITE : MAY_READ);
}

/* ---- one value ---- */

static sysret_t get(struct task *t, const struct target *g, const uint64_t *a)
{
	size_t room = min_of((size_t) a[3], (size_t) XATTR_SIZE_MAX);
	char name[XATTR_NAME_MAX + 1], *value = NULL;
	int64_t n = name_in(t, name, uva(a[1]));

	if (n == 0)
		n = may(t, g, name, false);
	if (n == 0 && !g->inode->ops->xattr_get)
		n = -EOPNOTSUPP;
	if (n < 0)
		return n;
	if (room) {
		value = heap_alloc(room);
		if (!value)
			return -ENOMEM;
	}
	n = g->inode->ops->xattr_get(g->inode, name, value, room);
	if (n > 0 && room && copy_out(t->space, uva(a[2]), value, (size_t) n) < 0)
		n = -EFAULT;
	heap_free(value);
	return n;
}

static sysret_t set(struct task *t, const struct target *g, const uint64_t *a)
{
	char name[XATTR_NAME_MAX + 1], *value;
	unsigned int flags = (unsigned int) a[4];
	int r;

	if (flags & ~(unsigned int) (XATTR_CREATE | XATTR_REPLACE))
		return -EINVAL;
	r = name_in(t, name, uva(a[1]));
	if (r == 0 && a[3] > XATTR_SIZE_MAX)
		r = -E2BIG;
	if (r < 0)
		return r;
	value = heap_alloc(max_of((size_t) a[3], (size_t) 1));
	if (!value)
		return -ENOMEM;
	r = copy_in(t->space, value, uva(a[2]), (size_t) a[3]);
	if (r == 0)
		r = may(t, g, name, true);
	if (r == 0)
		r = g->inode->ops->xattr_set ? g->inode->ops->xattr_set(g->inode, name, value,
									(size_t) a[3], (int) flags)
					     : -EOPNOTSUPP;
	if (r == 0)
		notify_dentry(g->path.dentry, IN_ATTRIB);
	heap_free(value);
	return r;
}

static sysret_t take(struct task *t, const struct target *g, const uint64_t *a)
{
	char name[XATTR_NAME_MAX + 1];
	int r = name_in(t, name, uva(a[1]));

	if (r == 0)
		r = may(t, g, name, true);
	if (r == 0)
		r = g->inode->ops->xattr_set ? g->inode->ops->xattr_set(g->inode, name, NULL, 0, 0)
					     : -EOPNOTSUPP;
	if (r == 0)
		notify_dentry(g->path.dentry, IN_ATTRIB);
	return r;
}

/* Those of trusted.* are seen by who may read them; nobody reads ACLs. */
static int64_t visible(const struct task *t, char *names, int64_t n)
{
	bool admin = cred_can(t->cred, CAP_SYS_ADMIN);
	int64_t kept = 0;

	for (int64_t at = 0; at < n;) {
		int64_t len = (int64_t) strlen(names + at) + 1;

		if ((admin || !begins(names + at, XATTR_TRUSTED_PREFIX)) &&
		    !begins(names + at, XATTR_SYSTEM_PREFIX)) {
			memmove(names + kept, names + at, (size_t) len);
			kept += len;
		}
		at += len;
	}
	return kept;
}

static sysret_t list(struct task *t, const struct target *g, const uint64_t *a)
{
	size_t room = (size_t) a[2];
	char *names;
	int64_t n;

	if (!g->inode->ops->xattr_list)
		return 0;
	n = g->inode->ops->xattr_list(g->inode, NULL, 0);
	if (n <= 0)
		return n;
	names = heap_alloc((size_t) n);
	if (!names)
		return -ENOMEM;
	n = g->inode->ops->xattr_list(g->inode, names, (size_t) n);
	if (n > 0)
		n = visible(t, names, n);
	if (n > 0 && room && (size_t) n > room)
		n = -ERANGE;
	if (n > 0 && room && copy_out(t->space, uva(a[1]), names, (size_t) n) < 0)
		n = -EFAULT;
	heap_free(names);
	return n;
}

/* ---- the calls: by path, by path without following, by descriptor ---- */

typedef sysret_t act(struct task *t, const struct target *g, const uint64_t *a);

static sysret_t by_path(struct task *t, const uint64_t *a, bool follow, act *what)
{
	auto_target struct target g = {};
	int r = target_find(&g, t, CWD, uva(a[0]), 0, follow);

	return r < 0 ? r : what(t, &g, a);
}

static sysret_t by_fd(struct task *t, const uint64_t *a, act *what)
{
	auto_target struct target g = {};
	int r = target_fd(&g, t, a[0], false);

	return r < 0 ? r : what(t, &g, a);
}

sysret_t sys_getxattr(struct task *t, const uint64_t *a)
{
	return by_path(t, a, true, get);
}

sysret_t sys_lgetxattr(struct task *t, const uint64_t *a)
{
	return by_path(t, a, false, get);
}

sysret_t sys_fgetxattr(struct task *t, const uint64_t *a)
{
	return by_fd(t, a, get);
}

sysret_t sys_setxattr(struct task *t, const uint64_t *a)
{
	return by_path(t, a, true, set);
}

sysret_t sys_lsetxattr(struct task *t, const uint64_t *a)
{
	return by_path(t, a, false, set);
}

sysret_t sys_fsetxattr(struct task *t, const uint64_t *a)
{
	return by_fd(t, a, set);
}

sysret_t sys_listxattr(struct task *t, const uint64_t *a)
{
	return by_path(t, a, true, list);
}

sysret_t sys_llistxattr(struct task *t, const uint64_t *a)
{
	return by_path(t, a, false, list);
}

sysret_t sys_flistxattr(struct task *t, const uint64_t *a)
{
	return by_fd(t, a, list);
}

sysret_t sys_removexattr(struct task *t, const uint64_t *a)
{
	return by_path(t, a, true, take);
}

sysret_t sys_lremovexattr(struct task *t, const uint64_t *a)
{
	return by_path(t, a, false, take);
}

sysret_t sys_fremovexattr(struct task *t, const uint64_t *a)
{
	return by_fd(t, a, take);
}
