/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes to and from files: read, write and their kin. */
#include <asm/fcntl.h>
#include <asm/signal.h>
#include <linux/fs.h>

#include "kernel/fs/fuse.h"
#include "kernel/net/socket.h"
#include "kernel/syscall/decode.h"
#include "kernel/task/signal.h"

#define RWF_NO_APPEND 0x20u /* RWF_NOAPPEND of Linux 6.9 */
#define RWF_SERVED                                                                                 \
	((unsigned int) (RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT | RWF_APPEND) |             \
	 RWF_NO_APPEND)

enum direction { READ, WRITE };

static uint64_t size_limit(const struct task *t)
{
	return process_limit(t->process, RLIMIT_FSIZE);
}

/* What a write that fails so is told by, too: signal(7). */
static int64_t told(struct task *t, struct file *f, int64_t n)
{
	if (n == -EPIPE && (f->ops->breaks || socket_breaks(f)))
		signal_task(t, SIGPIPE);
	else if (n == -EFBIG && size_limit(t) != TASK_UNLIMITED)
		signal_task(t, SIGXFSZ);
	return n;
}

static int64_t move(struct task *t, struct file *f, struct uio *u, uint64_t *pos, enum direction d)
{
	return d == READ ? vfs_read(f, u, pos) : told(t, f, file_write(f, u, pos, size_limit(t)));
}

/* A position of the caller's own: only where the file has one. */
static int positioned(const struct file *f, int64_t at)
{
	if (at < 0)
		return -EINVAL;
	return f->ops->seek ? 0 : -ESPIPE;
}

static sysret_t one(struct task *t, const uint64_t *a, enum direction d, bool at)
{
	auto_file struct file *f = NULL;
	uint64_t pos = a[3];
	struct uio u;
	int r;

	if (at && (int64_t) pos < 0)
		return -EINVAL;
	r = fd_file(t, a[0], &f);
	if (r == 0 && at)
		r = positioned(f, (int64_t) pos);
	if (r < 0)
		return r;
	if ((int64_t) a[2] < 0)
		return -EINVAL;
	uio_one(&u, t->space, uva(a[1]), a[2]);
	return move(t, f, &u, at ? &pos : NULL, d);
}

/* What RWF_DSYNC and RWF_SYNC want after a write. */
static int64_t synced(struct file *f, int64_t n, unsigned int flags)
{
	int r = 0;

	if (n > 0 && flags & (RWF_DSYNC | RWF_SYNC) && f->ops->sync)
		r = f->ops->sync(f, !(flags & RWF_SYNC));
	return r < 0 ? r : n;
}

/* What preadv2's and pwritev2's flags ask for, that a file may not have. */
static int check_flags(const struct file *f, unsigned int flags)
{
	if (flags & ~RWF_SERVED)
		return -EOPNOTSUPP;
	if (flags & RWF_APPEND && flags & RWF_NO_APPEND)
		return -EINVAL;
	return flags & RWF_NOWAIT && f->ops != file_regular_ops() ? -EOPNOTSUPP : 0;
}

/* By them, where they are of any moment. */
static int64_t move_so(struct task *t, struct file *f, struct uio *u, uint64_t *pos,
		       enum direction d, unsigned int flags)
{
	bool append = (f->flags & O_APPEND && !(flags & RWF_NO_APPEND)) || flags & RWF_APPEND;

	if (flags & RWF_NOWAIT) {
		int r = file_ready(f, u, pos ? *pos : f->pos, d == WRITE);

		if (r < 0)
			return r;
	}
	if (d == READ)
		return vfs_read(f, u, pos);
	return told(t, f, file_write_so(f, u, pos, size_limit(t), append));
}

static sysret_t pieces(struct task *t, const uint64_t *a, enum direction d, bool at,
		       unsigned int flags)
{
	auto_file struct file *f = NULL;
	uint64_t pos = a[3];
	struct uio u;
	int64_t n;

	n = fd_file(t, a[0], &f);
	if (n == 0 && at)
		n = positioned(f, (int64_t) pos);
	if (n == 0)
		n = check_flags(f, flags);
	if (n == 0)
		n = uio_from(&u, t->space, uva(a[1]), a[2]);
	if (n < 0)
		return n;
	n = move_so(t, f, &u, at ? &pos : NULL, d, flags);
	uio_fini(&u);
	return d == WRITE ? synced(f, n, flags) : n;
}

sysret_t sys_read(struct task *t, const uint64_t *a)
{
	return one(t, a, READ, false);
}

sysret_t sys_write(struct task *t, const uint64_t *a)
{
	return one(t, a, WRITE, false);
}

sysret_t sys_pread64(struct task *t, const uint64_t *a)
{
	return one(t, a, READ, true);
}

sysret_t sys_pwrite64(struct task *t, const uint64_t *a)
{
	return one(t, a, WRITE, true);
}

sysret_t sys_readv(struct task *t, const uint64_t *a)
{
	return pieces(t, a, READ, false, 0);
}

sysret_t sys_writev(struct task *t, const uint64_t *a)
{
	return pieces(t, a, WRITE, false, 0);
}

sysret_t sys_preadv(struct task *t, const uint64_t *a)
{
	return pieces(t, a, READ, true, 0);
}

sysret_t sys_pwritev(struct task *t, const uint64_t *a)
{
	return pieces(t, a, WRITE, true, 0);
}

/* Position -1: the file's own. */
sysret_t sys_preadv2(struct task *t, const uint64_t *a)
{
	return pieces(t, a, READ, a[3] != UINT64_MAX, (unsigned int) a[5]);
}

sysret_t sys_pwritev2(struct task *t, const uint64_t *a)
{
	return pieces(t, a, WRITE, a[3] != UINT64_MAX, (unsigned int) a[5]);
}

sysret_t sys_lseek(struct task *t, const uint64_t *a)
{
	auto_file struct file *f = NULL;
	int r = fd_file(t, a[0], &f);

	if (r < 0)
		return r;
	if ((unsigned int) a[2] > SEEK_HOLE)
		return -EINVAL;
	return file_seek(f, (int64_t) a[1], (int) a[2]);
}

/* ---- to disk: there is none of ours; a file's own sync may know one ---- */

static sysret_t sync_one(struct task *t, uint64_t fd, bool data_only)
{
	auto_file struct file *f = NULL;
	int r = fd_file(t, fd, &f);

	if (r < 0)
		return r;
	return f->ops->sync ? f->ops->sync(f, data_only) : -EINVAL;
}

sysret_t sys_fsync(struct task *t, const uint64_t *a)
{
	return sync_one(t, a[0], false);
}

sysret_t sys_fdatasync(struct task *t, const uint64_t *a)
{
	return sync_one(t, a[0], true);
}

sysret_t sys_sync(struct task *t, const uint64_t *a)
{
	(void) t;
	(void) a;
	(void) fuse_sync(); /* sync(2) tells no errors */
	return 0;
}

sysret_t sys_syncfs(struct task *t, const uint64_t *a)
{
	auto_file struct file *f = NULL;
	int r = fd_file(t, a[0], &f);

	return r < 0 ? r : fuse_sync();
}

static bool has_contents(const struct inode *i)
{
	return inode_is(i, S_IFREG) || inode_is(i, S_IFBLK) || inode_is(i, S_IFDIR) ||
	       inode_is(i, S_IFLNK);
}

sysret_t sys_sync_file_range(struct task *t, const uint64_t *a)
{
	auto_file struct file *f = NULL;
	int64_t end;
	int r = fd_file(t, a[0], &f);

	if (r < 0)
		return r;
	if ((unsigned int) a[3] &
	    ~(unsigned int) (SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
			     SYNC_FILE_RANGE_WAIT_AFTER))
		return -EINVAL;
	if ((int64_t) a[1] < 0 || __builtin_add_overflow((int64_t) a[1], (int64_t) a[2], &end) ||
	    end < (int64_t) a[1])
		return -EINVAL;
	if (!has_contents(f->inode))
		return -ESPIPE;
	return f->ops->sync ? f->ops->sync(f, true) : 0;
}

sysret_t sys_fadvise64(struct task *t, const uint64_t *a)
{
	auto_file struct file *f = NULL;
	int r = fd_file(t, a[0], &f);

	if (r < 0)
		return r;
	if (inode_is(f->inode, S_IFIFO))
		return -ESPIPE;
	/* Advice: it changes no contents, and every page is in memory. POSIX_FADV_NOREUSE is the
	 * last one. */
	return (int64_t) a[2] < 0 || (unsigned int) a[3] > 5 ? -EINVAL : 0;
}

sysret_t sys_readahead(struct task *t, const uint64_t *a)
{
	auto_file struct file *f = NULL;
	int r = fd_file(t, a[0], &f);

	if (r < 0)
		return r;
	if (!file_can_read(f))
		return -EBADF;
	return inode_is(f->inode, S_IFREG) || inode_is(f->inode, S_IFBLK) ? 0 : -EINVAL;
}
