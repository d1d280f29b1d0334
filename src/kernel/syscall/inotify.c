/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel/fs/inotify.h"

#include <asm/fcntl.h>
#include <linux/fcntl.h>
#include <linux/inotify.h>

#include "kernel/syscall/decode.h"

#define CWD ((uint64_t) AT_FDCWD)
#define KNOWN                                                                                      \
	((uint32_t) (IN_ALL_EVENTS | IN_UNMOUNT | IN_Q_OVERFLOW | IN_IGNORED | IN_ONLYDIR |        \
		     IN_DONT_FOLLOW | IN_EXCL_UNLINK | IN_MASK_ADD | IN_MASK_CREATE | IN_ISDIR |   \
		     IN_ONESHOT))

static sysret_t make(struct task *t, unsigned int flags)
{
	struct file *f;
	int r;

	if (flags & ~(unsigned int) (IN_CLOEXEC | IN_NONBLOCK))
		return -EINVAL;
	r = inotify_make(flags & IN_NONBLOCK, t->cred, &f);
	return r < 0 ? r : fd_new(t, f, flags & IN_CLOEXEC);
}

sysret_t sys_inotify_init(struct task *t, const uint64_t *a)
{
	(void) a;
	return make(t, 0);
}

sysret_t sys_inotify_init1(struct task *t, const uint64_t *a)
{
	return make(t, (unsigned int) a[0]);
}

sysret_t sys_inotify_add_watch(struct task *t, const uint64_t *a)
{
	auto_file struct file *f = NULL;
	auto_target struct target g = {};
	uint32_t mask = (uint32_t) a[2];
	int r;

	if (!mask || mask & ~KNOWN)
		return -EINVAL;
	r = fd_file(t, a[0], &f);
	if (r == 0 && ((mask & IN_MASK_ADD && mask & IN_MASK_CREATE) || !file_is_inotify(f)))
		r = -EINVAL;
	if (r == 0)
		r = target_find(&g, t, CWD, uva(a[1]), 0, !(mask & IN_DONT_FOLLOW));
	if (r == 0 && mask & IN_ONLYDIR && !inode_is(g.inode, S_IFDIR))
		r = -ENOTDIR;
	if (r == 0)
		r = inode_may(g.inode, t->cred, MAY_READ);
	return r < 0 ? r : inotify_watch(f, g.path.dentry, mask);
}

sysret_t sys_inotify_rm_watch(struct task *t, const uint64_t *a)
{
	auto_file struct file *f = NULL;
	int r = fd_file(t, a[0], &f);

	return r < 0 ? r : inotify_unwatch(f, (int32_t) a[1]);
}
