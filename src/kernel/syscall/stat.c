/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of files: stat, statx, statfs, access, readlink. */
#include <asm/stat.h>
#include <asm/statfs.h>
#include <linux/fcntl.h>
#include <linux/securebits.h>

#include "kernel/core/heap.h"
#include "kernel/syscall/decode.h"
#include "kernel/task/cred.h"
#include "kernel/task/known.h"

#define ST_VALID       0x20 /* of statfs' f_flags: they mean something */
#define ST_READONLY    1
#define ST_NOSUID      2
#define ST_NODEV       4
#define ST_NOEXEC      8
#define ST_NOATIME     0x400
#define ST_NODIRATIME  0x800
#define ST_RELATIME    0x1000
#define ST_NOSYMFOLLOW 0x2000

static int refresh(struct inode *i)
{
	return i->ops->refresh ? i->ops->refresh(i) : 0;
}

/* Bytes: of links the length of their text. */
static uint64_t size_of(struct inode *i)
{
	char *text;
	int64_t n;

	if (!inode_is(i, S_IFLNK) || i->pager.size || !i->ops->readlink)
		return i->pager.size;
	text = heap_alloc(PATH_ROOM);
	n = text ? i->ops->readlink(i, text, PATH_ROOM) : 0;
	heap_free(text);
	return n > 0 ? (uint64_t) n : 0;
}

static sysret_t stat_out(struct task *t, struct inode *i, uva_t to)
{
	struct stat s = {};
	int r = refresh(i);

	if (r < 0)
		return r;
	s.st_dev = i->super->dev;
	s.st_ino = i->ino;
	s.st_nlink = i->links;
	s.st_mode = i->mode;
	s.st_uid = i->uid;
	s.st_gid = i->gid;
	s.st_rdev = i->rdev;
	s.st_size = (int64_t) size_of(i);
	s.st_blksize = (int64_t) PAGE_SIZE;
	s.st_blocks = (int64_t) (i->pager.resident * (PAGE_SIZE / 512));
	s.st_atime = (uint64_t) (i->times.access / NSEC_PER_SEC);
	s.st_atime_nsec = (uint64_t) (i->times.access % NSEC_PER_SEC);
	s.st_mtime = (uint64_t) (i->times.modify / NSEC_PER_SEC);
	s.st_mtime_nsec = (uint64_t) (i->times.modify % NSEC_PER_SEC);
	s.st_ctime = (uint64_t) (i->times.change / NSEC_PER_SEC);
	s.st_ctime_nsec = (uint64_t) (i->times.change % NSEC_PER_SEC);
	return copy_out(t->space, to, &s, sizeof(s));
}

static sysret_t stat_path(struct task *t, uint64_t dirfd, uva_t text, unsigned int flags, uva_t to)
{
	auto_target struct target g;
	int r = target_find(&g, t, dirfd, text, flags, true);

	return r < 0 ? r : stat_out(t, g.inode, to);
}

sysret_t sys_stat(struct task *t, const uint64_t *a)
{
	return stat_path(t, (uint64_t) AT_FDCWD, uva(a[0]), 0, uva(a[1]));
}

sysret_t sys_lstat(struct task *t, const uint64_t *a)
{
	return stat_path(t, (uint64_t) AT_FDCWD, uva(a[0]), AT_SYMLINK_NOFOLLOW, uva(a[1]));
}

sysret_t sys_fstat(struct task *t, const uint64_t *a)
{
	auto_target struct target g;
	int r = target_fd(&g, t, a[0], true);

	return r < 0 ? r : stat_out(t, g.inode, uva(a[1]));
}

sysret_t sys_newfstatat(struct task *t, const uint64_t *a)
{
	unsigned int flags = (unsigned int) a[3];

	if (flags & ~(unsigned int) (AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH))
		return -EINVAL;
	return stat_path(t, a[0], uva(a[1]), flags, uva(a[2]));
}

/* ---- statx ---- */

static struct statx_timestamp stamp(nsec_t n)
{
	return (struct statx_timestamp){ .tv_sec = n / NSEC_PER_SEC,
					 .tv_nsec = (uint32_t) (n % NSEC_PER_SEC) };
}

/* The parts of a device's number, as new_encode_dev() of Linux joins them. */
static uint32_t major_of(uint64_t dev)
{
	return (uint32_t) (dev >> 8 & 0xfff);
}

static uint32_t minor_of(uint64_t dev)
{
	return (uint32_t) ((dev & 0xff) | (dev >> 12 & 0xfff00));
}

sysret_t sys_statx(struct task *t, const uint64_t *a)
{
	unsigned int flags = (unsigned int) a[2], mask = (unsigned int) a[3];
	auto_target struct target g = {};
	struct statx x = {};
	struct inode *i;
	int r;

	if (mask & STATX__RESERVED || (flags & AT_STATX_SYNC_TYPE) == AT_STATX_SYNC_TYPE ||
	    flags & ~(unsigned int) (AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH |
				     AT_STATX_SYNC_TYPE))
		return -EINVAL;
	r = target_find(&g, t, a[0], uva(a[1]), flags, true);
	i = g.inode;
	if (r == 0)
		r = refresh(i);
	if (r < 0)
		return r;
	x.stx_mask = STATX_BASIC_STATS | STATX_BTIME;
	x.stx_blksize = (uint32_t) PAGE_SIZE;
	x.stx_nlink = (uint32_t) i->links;
	x.stx_uid = i->uid;
	x.stx_gid = i->gid;
	x.stx_mode = (uint16_t) i->mode;
	x.stx_ino = i->ino;
	x.stx_size = size_of(i);
	x.stx_blocks = i->pager.resident * (PAGE_SIZE / 512);
	x.stx_atime = stamp(i->times.access);
	x.stx_btime = stamp(i->times.birth);
	x.stx_ctime = stamp(i->times.change);
	x.stx_mtime = stamp(i->times.modify);
	x.stx_rdev_major = major_of(i->rdev);
	x.stx_rdev_minor = minor_of(i->rdev);
	x.stx_dev_major = major_of(i->super->dev);
	x.stx_dev_minor = minor_of(i->super->dev);
	x.stx_attributes_mask = STATX_ATTR_MOUNT_ROOT;
	if (g.path.mount) {
		x.stx_mask |= STATX_MNT_ID;
		x.stx_mnt_id = g.path.mount->id;
		if (g.path.dentry == g.path.mount->root)
			x.stx_attributes |= STATX_ATTR_MOUNT_ROOT;
	}
	return copy_out(t->space, uva(a[4]), &x, sizeof(x));
}

/* ---- statfs ---- */

static sysret_t statfs_out(struct task *t, const struct target *g, uva_t to)
{
	static const struct {
		unsigned int mount, st;
	} flags[] = { { MNT_READONLY, ST_READONLY },
		      { MNT_NOSUID, ST_NOSUID },
		      { MNT_NODEV, ST_NODEV },
		      { MNT_NOEXEC, ST_NOEXEC },
		      { MNT_NOATIME, ST_NOATIME },
		      { MNT_NODIRATIME, ST_NODIRATIME },
		      { MNT_NOSYMFOLLOW, ST_NOSYMFOLLOW } };
	struct vfs_statfs v = {};
	struct statfs s = {};

	super_statfs(g->inode->super, &v);
	s.f_type = v.magic;
	s.f_bsize = s.f_frsize = v.block_size;
	s.f_blocks = (long) v.blocks;
	s.f_bfree = (long) v.free;
	s.f_bavail = (long) v.available;
	s.f_files = (long) v.inodes;
	s.f_ffree = (long) v.inodes_free;
	s.f_fsid.val[0] = (int) g->inode->super->dev;
	s.f_namelen = v.name_max;
	s.f_flags = ST_VALID;
	for (size_t n = 0; g->path.mount && n < countof(flags); n++)
		s.f_flags |= g->path.mount->flags & flags[n].mount ? flags[n].st : 0;
	if (g->path.mount && !(g->path.mount->flags & MNT_NOATIME))
		s.f_flags |= ST_RELATIME;
	if (g->inode->super->readonly)
		s.f_flags |= ST_READONLY;
	return copy_out(t->space, to, &s, sizeof(s));
}

sysret_t sys_statfs(struct task *t, const uint64_t *a)
{
	auto_target struct target g;
	int r = target_find(&g, t, (uint64_t) AT_FDCWD, uva(a[0]), 0, true);

	return r < 0 ? r : statfs_out(t, &g, uva(a[1]));
}

sysret_t sys_fstatfs(struct task *t, const uint64_t *a)
{
	auto_target struct target g;
	int r = target_fd(&g, t, a[0], true);

	return r < 0 ? r : statfs_out(t, &g, uva(a[1]));
}

/* ---- access ---- */

/* access(2) asks for the real user: without root's capabilities where that is not root. */
static struct cred real(const struct cred *c)
{
	struct cred r = *c;

	r.fsuid = c->uid;
	r.fsgid = c->gid;
	if (!(c->securebits & 1u << SECURE_NO_SETUID_FIXUP))
		r.effective = c->uid == 0 ? c->permitted : 0;
	return r;
}

static sysret_t access_at(struct task *t, uint64_t dirfd, uva_t text, uint64_t mode,
			  unsigned int flags)
{
	struct cred asked = flags & AT_EACCESS ? *t->cred : real(t->cred);
	auto_target struct target g = {};
	struct inode *i;
	int r;

	if (mode & ~(uint64_t) 7 ||
	    flags & ~(unsigned int) (AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	r = target_find_as(&g, t, &asked, dirfd, text, flags, true, NULL);
	if (r < 0)
		return r;
	i = g.inode;
	if (mode & MAY_EXEC && inode_is(i, S_IFREG) && g.path.mount &&
	    g.path.mount->flags & MNT_NOEXEC)
		return -EACCES;
	r = mode ? inode_may(i, &asked, (unsigned int) mode) : 0;
	/* Nodes are written to also where the file system is not. */
	if (r == 0 && mode & MAY_WRITE &&
	    (inode_is(i, S_IFREG) || inode_is(i, S_IFDIR) || inode_is(i, S_IFLNK)))
		r = target_writable(&g);
	return r;
}

sysret_t sys_access(struct task *t, const uint64_t *a)
{
	return access_at(t, (uint64_t) AT_FDCWD, uva(a[0]), (uint32_t) a[1], 0);
}

sysret_t sys_faccessat(struct task *t, const uint64_t *a)
{
	return access_at(t, a[0], uva(a[1]), (uint32_t) a[2], 0);
}

sysret_t sys_faccessat2(struct task *t, const uint64_t *a)
{
	return access_at(t, a[0], uva(a[1]), (uint32_t) a[2], (unsigned int) a[3]);
}

/* ---- readlink ---- */

static sysret_t readlink_at(struct task *t, uint64_t dirfd, uva_t path, uva_t to, int room,
			    struct told *told)
{
	auto_target struct target g = {};
	char first, *text;
	int64_t n;
	int r;

	if (room <= 0)
		return -EINVAL;
	r = copy_in(t->space, &first, path, 1);
	if (r == 0)
		r = target_find_as(&g, t, t->cred, dirfd, path, AT_EMPTY_PATH, false, told);
	if (r < 0)
		return r;
	/* "" is the link an O_PATH descriptor stands for. */
	if (!inode_is(g.inode, S_IFLNK) || !g.inode->ops->readlink)
		return first ? -EINVAL : -ENOENT;
	text = heap_alloc(PATH_ROOM);
	if (!text)
		return -ENOMEM;
	n = g.inode->ops->readlink(g.inode, text, min_of((size_t) room, (size_t) PATH_ROOM));
	if (n > 0 && copy_out(t->space, to, text, (size_t) n) < 0)
		n = -EFAULT;
	heap_free(text);
	return n;
}

sysret_t sys_readlink(struct task *t, const uint64_t *a)
{
	struct told told;
	sysret_t r;

	told_begin(&told);
	r = readlink_at(t, (uint64_t) AT_FDCWD, uva(a[0]), uva(a[1]), (int) a[2], &told);
	known_name(t, &told, r);
	return r;
}

sysret_t sys_readlinkat(struct task *t, const uint64_t *a)
{
	return readlink_at(t, a[0], uva(a[1]), uva(a[2]), (int) a[3], NULL);
}
