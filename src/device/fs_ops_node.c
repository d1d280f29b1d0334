/* SPDX-License-Identifier: Apache-2.0 */
/* Names are looked up and forgotten, attributes read and changed. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "base/auto.h"
#include "device/fs_session.h"

static int stat_fd(struct fs_session *s, int fd, struct statx *ret_stat)
{
	return FS_AWAY(s, statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, FS_STATX_MASK, ret_stat)) <
			       0
		       ? -errno
		       : 0;
}

int fs_do_lookup(struct fs_request *r)
{
	struct fs_session *s = r->s;
	const char *name = fs_name(r, 0, NULL);
	struct fs_inode *i;
	struct statx st = {};
	int n;

	if (!name)
		return strnlen((const char *) r->body, r->body_n) > NAME_MAX ? -ENAMETOOLONG
									     : -EINVAL;
	if (!S_ISDIR(r->inode->type))
		return -ENOTDIR;
	if (r->inode == s->inodes.root) {
		i = fs_inode_named(&s->inodes, r->inode, name);
		n = i && fs_inode_keep(&s->inodes, i) ? stat_fd(s, i->fd, &st) : -ENOENT;
	} else {
		n = fs_inode_lookup(&s->inodes, r->inode, name, false, &i, &st);
	}
	return n < 0 ? n : fs_reply_entry(r, i, &st);
}

int fs_do_forget(struct fs_request *r)
{
	const struct fuse_forget_in in = FS_BODY(r, struct fuse_forget_in);

	fs_inode_forget(&r->s->inodes, r->inode, in.nlookup);
	return FS_SILENT;
}

int fs_do_batch_forget(struct fs_request *r)
{
	const struct fuse_batch_forget_in in = FS_BODY(r, struct fuse_batch_forget_in);
	size_t at = sizeof(r->h) + sizeof(in);
	struct fuse_forget_one one;

	for (uint32_t n = 0; n < in.count; n++, at += sizeof(one)) {
		struct fs_inode *i;

		if (chain_read(r->chain, at, &one, sizeof(one)) != sizeof(one))
			break;
		i = fs_inode_get(&r->s->inodes, one.nodeid);
		if (i)
			fs_inode_forget(&r->s->inodes, i, one.nlookup);
	}
	return FS_SILENT;
}

static int reply_attr(struct fs_request *r, const struct statx *st)
{
	struct fuse_attr_out out = { .attr_valid = 1 };

	fs_attr(r->s, st, &out.attr);
	return FS_REPLY(r, out);
}

int fs_do_getattr(struct fs_request *r)
{
	const struct fuse_getattr_in in = FS_BODY(r, struct fuse_getattr_in);
	const struct fs_handle *h = NULL;
	struct statx st = {};
	int n, fd;

	if (r->inode == r->s->inodes.root) {
		fs_root_stat(r->s, &st);
		return reply_attr(r, &st);
	}
	if (in.getattr_flags & FUSE_GETATTR_FH)
		h = fs_handle_of(r, in.fh, r->inode, S_ISDIR(r->inode->type));
	fd = h ? h->fd : fs_inode_fd(&r->s->inodes, r->inode);
	n = fd < 0 ? fd : stat_fd(r->s, fd, &st);
	return n < 0 ? n : reply_attr(r, &st);
}

static int set_size(struct fs_request *r, const struct fuse_setattr_in *in,
		    const struct fs_handle *h)
{
	bool plain = in->valid & FATTR_KILL_SUIDGID;
	auto_fd int opened = FD_NONE;
	int n = 0, fd = h ? h->fd : FD_NONE;

	if (in->size > INT64_MAX)
		return -EFBIG;
	if (!S_ISREG(r->inode->type))
		return S_ISDIR(r->inode->type) ? -EISDIR : -EINVAL;
	if (fd < 0)
		fd = opened = fs_open_inode(r->s, r->inode, O_WRONLY);
	if (fd < 0)
		return fd;
	if (plain)
		fs_caller_plain(&r->w->caller, true);
	if (FS_AWAY(r->s, ftruncate(fd, (off_t) in->size)) < 0)
		n = -errno;
	if (plain)
		fs_caller_plain(&r->w->caller, false);
	return n;
}

static int set_times(struct fs_session *s, const struct fuse_setattr_in *in, const char *path)
{
	struct timespec t[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_nsec = UTIME_OMIT } };

	if (in->valid & FATTR_ATIME_NOW)
		t[0].tv_nsec = UTIME_NOW;
	else if (in->valid & FATTR_ATIME)
		t[0] = (struct timespec){ (time_t) in->atime, in->atimensec };
	if (in->valid & FATTR_MTIME_NOW)
		t[1].tv_nsec = UTIME_NOW;
	else if (in->valid & FATTR_MTIME)
		t[1] = (struct timespec){ (time_t) in->mtime, in->mtimensec };
	return FS_AWAY(s, utimensat(AT_FDCWD, path, t, 0)) < 0 ? -errno : 0;
}

int fs_do_setattr(struct fs_request *r)
{
	static const uint32_t owner = FATTR_UID | FATTR_GID;
	static const uint32_t times = FATTR_ATIME | FATTR_MTIME | FATTR_ATIME_NOW | FATTR_MTIME_NOW;
	const struct fuse_setattr_in in = FS_BODY(r, struct fuse_setattr_in);
	const struct fs_handle *h = NULL;
	char path[FS_PATH_MAX];
	struct statx st = {};
	int n = 0, fd = fs_inode_fd(&r->s->inodes, r->inode);

	if (fd < 0)
		return fd;
	(void) fs_path(path, fd);
	if (in.valid & FATTR_FH)
		h = fs_handle_of(r, in.fh, r->inode, false);
	if ((in.valid & FATTR_MODE) &&
	    FS_AWAY(r->s, fchmodat(AT_FDCWD, path, in.mode & 07777, 0)) < 0)
		n = -errno;
	if (n == 0 && (in.valid & owner) &&
	    FS_AWAY(r->s, fchownat(fd, "", in.valid & FATTR_UID ? in.uid : (uid_t) -1,
				   in.valid & FATTR_GID ? in.gid : (gid_t) -1, AT_EMPTY_PATH)) < 0)
		n = -errno;
	if (n == 0 && (in.valid & FATTR_SIZE))
		n = set_size(r, &in, h);
	if (n == 0 && (in.valid & times))
		n = set_times(r->s, &in, path);
	if (n == 0)
		n = stat_fd(r->s, fd, &st);
	return n < 0 ? n : reply_attr(r, &st);
}

int fs_do_readlink(struct fs_request *r)
{
	int fd = fs_inode_fd(&r->s->inodes, r->inode);
	ssize_t n;

	if (fd < 0)
		return fd;
	if (!S_ISLNK(r->inode->type))
		return -EINVAL;
	n = FS_AWAY(r->s, readlinkat(fd, "", (char *) r->w->reply, PATH_MAX));
	return n < 0 ? -errno : (int) n;
}

int fs_do_statfs(struct fs_request *r)
{
	struct fuse_statfs_out out = { .st = { .bsize = 4096, .frsize = 4096, .namelen = 255 } };
	struct statfs st;
	int fd;

	if (r->inode == r->s->inodes.root)
		return FS_REPLY(r, out);
	fd = fs_inode_fd(&r->s->inodes, r->inode);
	if (fd < 0)
		return fd;
	if (FS_AWAY(r->s, fstatfs(fd, &st)) < 0)
		return -errno;
	out.st = (struct fuse_kstatfs){
		.blocks = st.f_blocks,
		.bfree = st.f_bfree,
		.bavail = st.f_bavail,
		.files = st.f_files,
		.ffree = st.f_ffree,
		.bsize = (uint32_t) st.f_bsize,
		.namelen = (uint32_t) st.f_namelen,
		.frsize = (uint32_t) (st.f_frsize ? st.f_frsize : st.f_bsize),
	};
	return FS_REPLY(r, out);
}

/* Permissions are the guest's own to check; what cannot be written at all it has to be told. */
int fs_do_access(struct fs_request *r)
{
	const struct fuse_access_in in = FS_BODY(r, struct fuse_access_in);

	return (in.mask & W_OK) && fs_read_only(r->s, r->inode) ? -EROFS : 0;
}

static int sync_share(struct fs_session *s, struct fs_inode *top)
{
	auto_fd int fd = FD_NONE;

	if (!S_ISDIR(top->type) && !S_ISREG(top->type))
		return 0;
	fd = fs_open_inode(s, top, O_RDONLY);
	fs_inode_let_go(&s->inodes, top);
	if (fd < 0)
		return fd;
	return FS_AWAY(s, syncfs(fd)) < 0 ? -errno : 0;
}

/* sync(2) in the guest: what it has written to all shares, or to one, is on the disk. */
int fs_do_syncfs(struct fs_request *r)
{
	struct fs_session *s = r->s;
	int n = 0;

	for (size_t i = 0; i < s->shares_n; i++) {
		struct fs_top *top = &s->shares[i];
		bool again = false;

		if (!top->inode || top->read_only ||
		    (r->inode != s->inodes.root && r->inode->is.share != i))
			continue;
		for (size_t j = 0; j < i && !again; j++)
			again = s->shares[j].inode && !s->shares[j].read_only &&
				s->shares[j].inode->is.dev == top->inode->is.dev;
		if (!again || r->inode != s->inodes.root) {
			int m = sync_share(s, top->inode);

			n = n < 0 ? n : m;
		}
	}
	return n;
}
