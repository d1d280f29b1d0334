/* SPDX-License-Identifier: Apache-2.0 */
/* Files that are open: bytes go between the file and the guest's memory without a copy here. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "device/fs_session.h"

#define SETTLED_NS  INT64_C(3000000000)	 /* coarser than the times of any file system (FAT: 2 s) */
#define COPY_MAX    (UINT64_C(16) << 20) /* at once: so that it can be interrupted */
#define PUNCH_MODES (FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)
#define CIFS_MAGIC  0xff534d42
#define CEPH_MAGIC  0x00c36400
#define SMB2_MAGIC  0xfe534d42

static const struct fs_device *device_of(struct fs_session *s, const struct fs_inode *i, int fd)
{
	struct fs_device *d = fs_device(s, i->is.dev);
	struct statfs st;

	if (!d || d->known || FS_AWAY(s, fstatfs(fd, &st)) < 0)
		return d;
	d->known = true;
	switch ((uint32_t) st.f_type) {
	case NFS_SUPER_MAGIC:
	case CIFS_MAGIC:
	case SMB2_MAGIC:
	case CEPH_MAGIC:
	case V9FS_MAGIC:
	case FUSE_SUPER_MAGIC:
		d->remote = true;
		break;
	case TMPFS_MAGIC:
		break; /* writing through a mapping leaves no trace in the times */
	default:
		d->stamps = true;
		break;
	}
	return d;
}

static int64_t ns_of(const struct statx_timestamp *t)
{
	return (int64_t) ((uint64_t) t->tv_sec * 1000000000u + t->tv_nsec);
}

/*
 * The guest drops its pages of a file when it opens it, unless told that they are good: they are
 * if the file looks as it did at the last open, and had been left alone long enough then for any
 * later change to have another time.
 */
static bool cache_good(struct fs_inode *i, const struct statx *st)
{
	int64_t mtime = ns_of(&st->stx_mtime), ctime = ns_of(&st->stx_ctime);
	int64_t last = mtime > ctime ? mtime : ctime, now = (int64_t) clock_wall();
	bool good = i->cached_ctime && i->cached_mtime == mtime && i->cached_ctime == ctime &&
		    i->cached_size == st->stx_size;

	if (last > now - SETTLED_NS) {
		i->cached_ctime = 0;
		return false;
	}
	i->cached_mtime = mtime;
	i->cached_ctime = ctime;
	i->cached_size = st->stx_size;
	return good;
}

void fs_open_hints(struct fs_session *s, struct fs_inode *i, int fd, bool fresh,
		   struct fuse_open_out *ret_out)
{
	const struct fs_device *d = device_of(s, i, fd);
	struct statx st = {};

	if (!d)
		return;
	if (!fresh && d->stamps &&
	    FS_AWAY(s, statx(fd, "", AT_EMPTY_PATH, FS_STATX_MASK, &st)) == 0 && cache_good(i, &st))
		ret_out->open_flags |= FOPEN_KEEP_CACHE;
	if (!d->remote)
		ret_out->open_flags |= FOPEN_NOFLUSH;
}

int fs_do_open(struct fs_request *r)
{
	const struct fuse_open_in in = FS_BODY(r, struct fuse_open_in);
	bool plain = in.open_flags & FUSE_OPEN_KILL_SUIDGID;
	int n, fd, flags = fs_open_flags(in.flags);
	struct fuse_open_out out = {};

	if (flags < 0 || !S_ISREG(r->inode->type))
		return S_ISDIR(r->inode->type) ? -EISDIR : -EINVAL;
	if (((flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC)) && fs_read_only(r->s, r->inode))
		return -EROFS;
	if (plain)
		fs_caller_plain(&r->w->caller, true);
	fd = fs_open_inode(r->s, r->inode, flags);
	if (plain)
		fs_caller_plain(&r->w->caller, false);
	if (fd < 0)
		return fd;
	fs_open_hints(r->s, r->inode, fd, false, &out);
	n = fs_handle_reply(r, r->inode, fd, false, &out);
	return n < 0 ? n : FS_REPLY(r, out);
}

int fs_do_read(struct fs_request *r)
{
	const struct fuse_read_in in = FS_BODY(r, struct fuse_read_in);
	const struct fs_handle *h = fs_handle_of(r, in.fh, r->inode, false);
	size_t parts;
	ssize_t n;

	if (!h)
		return -EBADF;
	if (in.offset > INT64_MAX)
		return -EINVAL;
	parts = iovec_slice(r->chain->in, r->chain->in_n, sizeof(struct fuse_out_header),
			    in.size < FS_WRITE_MAX ? in.size : FS_WRITE_MAX, r->w->parts);
	if (parts == 0)
		return 0;
	n = FS_AWAY(r->s, preadv(h->fd, r->w->parts, (int) parts, (off_t) in.offset));
	return n < 0 ? -errno : (int) n | FS_WRITTEN;
}

int fs_do_write(struct fs_request *r)
{
	const struct fuse_write_in in = FS_BODY(r, struct fuse_write_in);
	const struct fs_handle *h = fs_handle_of(r, in.fh, r->inode, false);
	bool plain = in.write_flags & FUSE_WRITE_KILL_SUIDGID;
	/* A page written back is where it is, whatever the descriptor it came by. */
	bool append = (in.flags & O_APPEND) && !(in.write_flags & FUSE_WRITE_CACHE);
	size_t parts, at = sizeof(r->h) + sizeof(in);
	struct fuse_write_out out = {};
	ssize_t n;

	if (!h)
		return -EBADF;
	if (in.offset > INT64_MAX || in.size > FS_WRITE_MAX || in.size > r->chain->out_bytes - at)
		return -EINVAL;
	parts = iovec_slice(r->chain->out, r->chain->out_n, at, in.size, r->w->parts);
	if (plain)
		fs_caller_plain(&r->w->caller, true);
	n = FS_AWAY(r->s, pwritev2(h->fd, r->w->parts, (int) parts, (off_t) in.offset,
				   append ? RWF_APPEND : 0));
	n = n < 0 ? -errno : n;
	if (plain)
		fs_caller_plain(&r->w->caller, false);
	if (n < 0)
		return (int) n;
	out.size = (uint32_t) n;
	return FS_REPLY(r, out);
}

int fs_do_release(struct fs_request *r)
{
	const struct fuse_release_in in = FS_BODY(r, struct fuse_release_in);
	struct fs_handle *h = fs_handle_of(r, in.fh, r->inode, false);

	if (!h)
		return -EBADF;
	fs_handle_close(&r->s->handles, &r->s->inodes, h); /* at the end of this request */
	return 0;
}

/* Asked for only where closing a file may fail: so it is closed, as far as can be. */
int fs_do_flush(struct fs_request *r)
{
	const struct fuse_flush_in in = FS_BODY(r, struct fuse_flush_in);
	const struct fs_handle *h = fs_handle_of(r, in.fh, r->inode, false);
	const struct fs_device *d;
	int fd;

	if (!h)
		return -EBADF;
	d = device_of(r->s, r->inode, h->fd);
	if (d && !d->remote)
		return 0; /* a guest before Linux 5.16 asks each time */
	fd = fcntl(h->fd, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return -errno;
	return FS_AWAY(r->s, close(fd)) < 0 ? -errno : 0;
}

int fs_do_fsync(struct fs_request *r)
{
	const struct fuse_fsync_in in = FS_BODY(r, struct fuse_fsync_in);
	const struct fs_handle *h = fs_handle_of(r, in.fh, r->inode, false);
	int n;

	if (!h)
		return -EBADF;
	n = FS_AWAY(r->s, in.fsync_flags & FUSE_FSYNC_FDATASYNC ? fdatasync(h->fd) : fsync(h->fd));
	return n < 0 ? -errno : 0;
}

int fs_do_fallocate(struct fs_request *r)
{
	const struct fuse_fallocate_in in = FS_BODY(r, struct fuse_fallocate_in);
	const struct fs_handle *h = fs_handle_of(r, in.fh, r->inode, false);

	if (!h)
		return -EBADF;
	if (in.mode & ~(uint32_t) PUNCH_MODES)
		return -EOPNOTSUPP;
	if (in.offset > INT64_MAX || in.length > INT64_MAX)
		return -EFBIG;
	return FS_AWAY(r->s,
		       fallocate(h->fd, (int) in.mode, (off_t) in.offset, (off_t) in.length)) < 0
		       ? -errno
		       : 0;
}

int fs_do_lseek(struct fs_request *r)
{
	const struct fuse_lseek_in in = FS_BODY(r, struct fuse_lseek_in);
	const struct fs_handle *h = fs_handle_of(r, in.fh, r->inode, false);
	struct fuse_lseek_out out = {};
	off_t at;

	if (!h)
		return -EBADF;
	if ((in.whence != SEEK_DATA && in.whence != SEEK_HOLE) || in.offset > INT64_MAX)
		return -EINVAL;
	at = FS_AWAY(r->s, lseek(h->fd, (off_t) in.offset, (int) in.whence));
	if (at < 0)
		return -errno;
	out.offset = (uint64_t) at;
	return FS_REPLY(r, out);
}

int fs_do_copy(struct fs_request *r)
{
	const struct fuse_copy_file_range_in in = FS_BODY(r, struct fuse_copy_file_range_in);
	const struct fs_handle *from = fs_handle_of(r, in.fh_in, r->inode, false);
	struct fs_inode *to_inode = fs_inode_get(&r->s->inodes, in.nodeid_out);
	const struct fs_handle *to = NULL;
	off_t from_at = (off_t) in.off_in, to_at = (off_t) in.off_out;
	struct fuse_write_out out = {};
	ssize_t n;

	if (to_inode)
		to = fs_handle_of(r, in.fh_out, to_inode, false);
	if (!from || !to)
		return -EBADF;
	if (fs_read_only(r->s, to_inode))
		return -EROFS;
	if (from_at < 0 || to_at < 0 || in.flags)
		return -EINVAL;
	n = FS_AWAY(r->s, copy_file_range(from->fd, &from_at, to->fd, &to_at,
					  (size_t) (in.len < COPY_MAX ? in.len : COPY_MAX), 0));
	if (n < 0)
		return -errno;
	out.size = (uint32_t) n;
	return FS_REPLY(r, out);
}
