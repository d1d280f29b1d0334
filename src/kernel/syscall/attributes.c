/* SPDX-License-Identifier: Apache-2.0 */
/* What changes in files beside their bytes: mode, owner, times, size. */
#include <linux/fcntl.h>
#include <linux/time_types.h>
#include <linux/utime.h>

#include "kernel/platform/platform.h"
#include "kernel/syscall/decode.h"
#include "kernel/task/cred.h"
#include "kernel/vfs/lease.h"
#include "kernel/vfs/notify.h"

#define CWD	     ((uint64_t) AT_FDCWD)
#define TIME_IS_NOW  ((1L << 30) - 1L)
#define TIME_IS_KEPT ((1L << 30) - 2L)

static sysret_t change(struct task *t, const struct target *g, struct vfs_change *c)
{
	int r = target_writable(g);

	if (r == 0)
		r = inode_change(g->inode, t->cred, c);
	if (r == 0)
		notify_change(g->path.dentry, c->what);
	return r;
}

/* ---- mode ---- */

static sysret_t change_mode(struct task *t, uint64_t dirfd, uva_t text, uint64_t mode,
			    unsigned int flags)
{
	struct vfs_change c = { .what = ATTR_MODE, .mode = (uint32_t) mode & 07777 };
	auto_target struct target g = {};
	int r;

	if (flags & ~(unsigned int) (AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	r = target_find(&g, t, dirfd, text, flags, true);
	if (r == 0 && inode_is(g.inode, S_IFLNK))
		r = -EOPNOTSUPP;
	return r < 0 ? r : change(t, &g, &c);
}

sysret_t sys_chmod(struct task *t, const uint64_t *a)
{
	return change_mode(t, CWD, uva(a[0]), a[1], 0);
}

sysret_t sys_fchmodat(struct task *t, const uint64_t *a)
{
	return change_mode(t, a[0], uva(a[1]), a[2], 0);
}

sysret_t sys_fchmodat2(struct task *t, const uint64_t *a)
{
	return change_mode(t, a[0], uva(a[1]), a[2], (unsigned int) a[3]);
}

sysret_t sys_fchmod(struct task *t, const uint64_t *a)
{
	struct vfs_change c = { .what = ATTR_MODE, .mode = (uint32_t) a[1] & 07777 };
	auto_target struct target g;
	int r = target_fd(&g, t, a[0], false);

	return r < 0 ? r : change(t, &g, &c);
}

/* ---- owner ---- */

static sysret_t change_owner(struct task *t, const struct target *g, uint64_t uid, uint64_t gid)
{
	struct vfs_change c = { .uid = (uint32_t) uid, .gid = (uint32_t) gid };

	c.what = (c.uid != UINT32_MAX ? ATTR_UID : 0u) | (c.gid != UINT32_MAX ? ATTR_GID : 0u);
	return change(t, g, &c);
}

static sysret_t owner_at(struct task *t, uint64_t dirfd, uva_t text, uint64_t uid, uint64_t gid,
			 unsigned int flags)
{
	auto_target struct target g = {};
	int r;

	if (flags & ~(unsigned int) (AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	r = target_find(&g, t, dirfd, text, flags, true);
	return r < 0 ? r : change_owner(t, &g, uid, gid);
}

sysret_t sys_chown(struct task *t, const uint64_t *a)
{
	return owner_at(t, CWD, uva(a[0]), a[1], a[2], 0);
}

sysret_t sys_lchown(struct task *t, const uint64_t *a)
{
	return owner_at(t, CWD, uva(a[0]), a[1], a[2], AT_SYMLINK_NOFOLLOW);
}

sysret_t sys_fchownat(struct task *t, const uint64_t *a)
{
	return owner_at(t, a[0], uva(a[1]), a[2], a[3], (unsigned int) a[4]);
}

sysret_t sys_fchown(struct task *t, const uint64_t *a)
{
	auto_target struct target g;
	int r = target_fd(&g, t, a[0], false);

	return r < 0 ? r : change_owner(t, &g, a[1], a[2]);
}

/* ---- times ---- */

struct moments {
	bool keep[2], now[2];
	nsec_t at[2]; /* of access, of modification */
};

static int moment(struct moments *m, size_t n, int64_t sec, int64_t part, int64_t unit)
{
	/* Times before 1970 are its first moment: no file system here holds others. */
	return time_of(max_of(sec, (int64_t) 0), part, unit, &m->at[n]);
}

/* Both now is what whoever may write may do; else it is the owner's. */
static int may_set_times(const struct task *t, const struct target *g, const struct moments *m)
{
	bool both_now = m->now[0] && m->now[1];
	int r = target_writable(g);

	if (r < 0 || inode_owned(g->inode, t->cred))
		return r;
	return both_now ? inode_may(g->inode, t->cred, MAY_WRITE) : -EPERM;
}

static sysret_t set_times(struct task *t, const struct target *g, const struct moments *m)
{
	struct vfs_change c = { .access = m->at[0], .modify = m->at[1] };
	nsec_t now = plat_now(PLAT_REALTIME);
	int r = may_set_times(t, g, m);

	c.what = (m->keep[0] ? 0u : ATTR_ATIME) | (m->keep[1] ? 0u : ATTR_MTIME);
	if (m->now[0])
		c.access = now;
	if (m->now[1])
		c.modify = now;
	if (r == 0)
		r = inode_change(g->inode, t->cred, &c);
	if (r == 0)
		notify_change(g->path.dentry, c.what);
	return r;
}

static sysret_t times_at(struct task *t, uint64_t dirfd, uva_t text, unsigned int flags,
			 const struct moments *m)
{
	auto_target struct target g = {};
	int r = target_find(&g, t, dirfd, text, flags, true);

	return r < 0 ? r : set_times(t, &g, m);
}

sysret_t sys_utimensat(struct task *t, const uint64_t *a)
{
	struct __kernel_timespec ts[2] = { { 0, TIME_IS_NOW }, { 0, TIME_IS_NOW } };
	unsigned int flags = (unsigned int) a[3];
	auto_target struct target g = {};
	struct moments m = {};
	int r = a[2] ? copy_in(t->space, ts, uva(a[2]), sizeof(ts)) : 0;

	if (r < 0)
		return r;
	for (size_t n = 0; n < 2; n++) {
		m.now[n] = ts[n].tv_nsec == TIME_IS_NOW;
		m.keep[n] = ts[n].tv_nsec == TIME_IS_KEPT;
		if (!m.now[n] && !m.keep[n])
			r = moment(&m, n, ts[n].tv_sec, ts[n].tv_nsec, NSEC_PER_SEC);
		if (r < 0)
			return r;
	}
	if (m.keep[0] && m.keep[1])
		return 0;
	if (flags & ~(unsigned int) (AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	if (a[1] || (int) a[0] == AT_FDCWD)
		return times_at(t, a[0], uva(a[1]), flags, &m);
	/* Without a path it is futimens(3). */
	if (flags)
		return -EINVAL;
	r = target_fd(&g, t, a[0], false);
	return r < 0 ? r : set_times(t, &g, &m);
}

static sysret_t utimes_at(struct task *t, uint64_t dirfd, uva_t text, uva_t times)
{
	struct __kernel_old_timeval tv[2] = {};
	struct moments m = { .now = { !times.v, !times.v } };
	int r = times.v ? copy_in(t->space, tv, times, sizeof(tv)) : 0;

	for (size_t n = 0; r == 0 && n < 2; n++)
		r = moment(&m, n, tv[n].tv_sec, tv[n].tv_usec, 1000000);
	return r < 0 ? r : times_at(t, dirfd, text, 0, &m);
}

sysret_t sys_utimes(struct task *t, const uint64_t *a)
{
	return utimes_at(t, CWD, uva(a[0]), uva(a[1]));
}

sysret_t sys_futimesat(struct task *t, const uint64_t *a)
{
	return utimes_at(t, a[0], uva(a[1]), uva(a[2]));
}

sysret_t sys_utime(struct task *t, const uint64_t *a)
{
	struct moments m = { .now = { !a[1], !a[1] } };
	struct utimbuf u = {};
	int r = a[1] ? copy_in(t->space, &u, uva(a[1]), sizeof(u)) : 0;

	if (r == 0)
		r = moment(&m, 0, u.actime, 0, NSEC_PER_SEC);
	if (r == 0)
		r = moment(&m, 1, u.modtime, 0, NSEC_PER_SEC);
	return r < 0 ? r : times_at(t, CWD, uva(a[0]), 0, &m);
}

/* ---- size ---- */

static sysret_t resize(struct task *t, const struct dentry *d, uint64_t size)
{
	struct vfs_change c = { .what = ATTR_SIZE, .size = size };
	int r;

	if (size > d->inode->pager.size && size > process_limit(t->process, RLIMIT_FSIZE))
		return -EFBIG;
	r = inode_change(d->inode, t->cred, &c);
	if (r == 0)
		notify_change(d, c.what);
	return r;
}

sysret_t sys_truncate(struct task *t, const uint64_t *a)
{
	auto_target struct target g = {};
	int r;

	if ((int64_t) a[1] < 0)
		return -EINVAL;
	r = target_find(&g, t, CWD, uva(a[0]), 0, true);
	if (r == 0 && !inode_is(g.inode, S_IFREG))
		r = inode_is(g.inode, S_IFDIR) ? -EISDIR : -EINVAL;
	if (r == 0)
		r = target_writable(&g);
	if (r == 0)
		r = inode_may(g.inode, t->cred, MAY_WRITE);
	if (r == 0)
		r = lease_break(g.inode, true, false);
	if (r == 0 && (int) g.inode->writers < 0)
		r = -ETXTBSY;
	return r < 0 ? r : resize(t, g.path.dentry, a[1]);
}

sysret_t sys_ftruncate(struct task *t, const uint64_t *a)
{
	auto_file struct file *f = NULL;
	int r;

	if ((int64_t) a[1] < 0)
		return -EINVAL;
	r = fd_file(t, a[0], &f);
	if (r < 0)
		return r;
	if (!inode_is(f->inode, S_IFREG) || !file_can_write(f))
		return -EINVAL;
	return resize(t, f->path.dentry, a[1]);
}
