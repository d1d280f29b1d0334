/* SPDX-License-Identifier: Apache-2.0 */
/* What makes, removes and moves names. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/auto.h"
#include "device/fs_session.h"

/* Linux 6.0 (7.37 came with 6.1) takes set-group-id off by itself before it asks. */
#define MINOR_STRIPS 37

/* The directory's descriptor, and the caller's identity until end(). */
static int begin(struct fs_request *r, mode_t umask)
{
	int n, fd = S_ISDIR(r->inode->type) ? fs_inode_fd(&r->s->inodes, r->inode) : -ENOTDIR;

	if (fd < 0)
		return fd;
	n = fs_caller_begin(&r->w->caller, r->h.uid, r->h.gid, umask & 0777);
	return n < 0 ? n : fd;
}

static void end(struct fs_request *r)
{
	fs_caller_end(&r->w->caller, r->h.uid, r->h.gid);
}

/*
 * The mode of a new file. An older guest leaves it to the file system that an executable file with
 * set-group-id is not made in a group its maker is not in (CVE-2018-13405): the server keeps
 * CAP_FSETID, so its kernel would not.
 */
static mode_t new_mode(struct fs_request *r, int dir_fd, mode_t mode)
{
	static const mode_t both = S_ISGID | S_IXGRP;
	struct stat st;

	if (r->s->minor >= MINOR_STRIPS || (mode & both) != both || r->h.uid == 0 || S_ISDIR(mode))
		return mode;
	if (FS_AWAY(r->s, fstatat(dir_fd, "", &st, AT_EMPTY_PATH)) == 0 && !(st.st_mode & S_ISGID))
		return mode;
	return st.st_gid == r->h.gid ? mode : mode & ~(mode_t) S_ISGID;
}

/* After something was made as `name`, n tells whether: its entry. */
static int reply_made(struct fs_request *r, const char *name, int n)
{
	struct fs_inode *i;
	struct statx st;

	if (n == 0)
		n = fs_inode_lookup(&r->s->inodes, r->inode, name, false, &i, &st);
	return n < 0 ? n : fs_reply_entry(r, i, &st);
}

int fs_do_symlink(struct fs_request *r)
{
	size_t at = 0;
	const char *name = fs_name(r, 0, &at), *target = name ? fs_text(r, at, NULL) : NULL;
	int n, fd;

	if (!target)
		return -EINVAL;
	fd = begin(r, 0);
	if (fd < 0)
		return fd;
	n = FS_AWAY(r->s, symlinkat(target, fd, name)) < 0 ? -errno : 0;
	end(r);
	return reply_made(r, name, n);
}

int fs_do_mknod(struct fs_request *r)
{
	const struct fuse_mknod_in in = FS_BODY(r, struct fuse_mknod_in);
	const char *name = fs_name(r, sizeof(in), NULL);
	/* new_encode_dev() of the guest's kernel */
	dev_t dev = makedev((in.rdev & 0xfff00) >> 8, (in.rdev & 0xff) | (in.rdev >> 12 & 0xfff00));
	mode_t mode;
	int n, fd;

	if (!name || S_ISDIR(in.mode))
		return -EINVAL;
	fd = begin(r, in.umask);
	if (fd < 0)
		return fd;
	mode = new_mode(r, fd, in.mode);
	n = FS_AWAY(r->s, mknodat(fd, name, mode, dev)) < 0 ? -errno : 0;
	end(r);
	return reply_made(r, name, n);
}

int fs_do_mkdir(struct fs_request *r)
{
	const struct fuse_mkdir_in in = FS_BODY(r, struct fuse_mkdir_in);
	const char *name = fs_name(r, sizeof(in), NULL);
	int n, fd;

	if (!name)
		return -EINVAL;
	fd = begin(r, in.umask);
	if (fd < 0)
		return fd;
	n = FS_AWAY(r->s, mkdirat(fd, name, in.mode & 07777)) < 0 ? -errno : 0;
	end(r);
	return reply_made(r, name, n);
}

static int remove_name(struct fs_request *r, int flags)
{
	const char *name = fs_name(r, 0, NULL);
	int fd;

	if (!name)
		return -EINVAL;
	if (!S_ISDIR(r->inode->type))
		return -ENOTDIR;
	fs_inode_hold_named(&r->s->inodes, r->inode, name);
	fd = fs_inode_fd(&r->s->inodes, r->inode);
	if (fd < 0)
		return fd;
	if (FS_AWAY(r->s, unlinkat(fd, name, flags)) < 0)
		return -errno;
	fs_inode_unnamed(&r->s->inodes, r->inode, name);
	return 0;
}

int fs_do_unlink(struct fs_request *r)
{
	return remove_name(r, 0);
}

int fs_do_rmdir(struct fs_request *r)
{
	return remove_name(r, AT_REMOVEDIR);
}

static int rename_to(struct fs_request *r, uint64_t newdir, uint32_t flags, size_t at)
{
	struct fs_inodes *t = &r->s->inodes;
	struct fs_inode *to = fs_inode_get(t, newdir);
	const char *name = fs_name(r, at, &at), *new_name = name ? fs_name(r, at, NULL) : NULL;
	int from_fd, to_fd;

	if (!new_name ||
	    (flags & ~(uint32_t) (RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT)))
		return -EINVAL;
	if (!to)
		return -ESTALE;
	if (!S_ISDIR(r->inode->type) || !S_ISDIR(to->type))
		return -ENOTDIR;
	if (to->is.share != r->inode->is.share)
		return -EXDEV;
	if (!fs_inode_keep(t, to))
		return -ENFILE;
	fs_inode_hold_named(t, to, new_name);
	to_fd = fs_inode_fd(t, to);
	from_fd = to_fd < 0 ? to_fd : fs_inode_fd(t, r->inode);
	if (from_fd < 0)
		return from_fd;
	if (FS_AWAY(r->s, renameat2(from_fd, name, to_fd, new_name, flags)) < 0)
		return -errno;
	fs_inode_moved(t, r->inode, name, to, new_name, flags & RENAME_EXCHANGE);
	return 0;
}

int fs_do_rename(struct fs_request *r)
{
	const struct fuse_rename_in in = FS_BODY(r, struct fuse_rename_in);

	return rename_to(r, in.newdir, 0, sizeof(in));
}

int fs_do_rename2(struct fs_request *r)
{
	const struct fuse_rename2_in in = FS_BODY(r, struct fuse_rename2_in);

	return rename_to(r, in.newdir, in.flags, sizeof(in));
}

int fs_do_link(struct fs_request *r)
{
	const struct fuse_link_in in = FS_BODY(r, struct fuse_link_in);
	struct fs_inode *old = fs_inode_get(&r->s->inodes, in.oldnodeid);
	const char *name = fs_name(r, sizeof(in), NULL);
	char path[FS_PATH_MAX];
	int old_fd, fd;

	if (!name)
		return -EINVAL;
	if (!old)
		return -ESTALE;
	if (!S_ISDIR(r->inode->type))
		return -ENOTDIR;
	if (S_ISDIR(old->type))
		return -EPERM;
	if (old->is.share != r->inode->is.share)
		return -EXDEV;
	old_fd = fs_inode_fd(&r->s->inodes, old);
	fd = old_fd < 0 ? old_fd : fs_inode_fd(&r->s->inodes, r->inode);
	if (fd < 0)
		return fd;
	(void) fs_path(path, old_fd);
	if (FS_AWAY(r->s, linkat(AT_FDCWD, path, fd, name, AT_SYMLINK_FOLLOW)) < 0)
		return -errno;
	return reply_made(r, name, 0);
}

/* --- made and opened at once --- */

/* Takes fd, of the new or found file: the two halves of the answer. */
static int reply_open(struct fs_request *r, struct fs_inode *i, const struct statx *st, int fd)
{
	struct {
		struct fuse_entry_out entry;
		struct fuse_open_out open;
	} out = {};
	int n;

	if (!fs_inode_keep(&r->s->inodes, i)) {
		(void) close(fd);
		return -ENFILE;
	}
	fs_open_hints(r->s, i, fd, true, &out.open);
	n = fs_handle_reply(r, i, fd, false, &out.open);
	if (n < 0)
		return n;
	fs_entry(r->s, i, st, &out.entry);
	return FS_REPLY(r, out);
}

/* Somebody on the host was faster: the file is opened as it is. */
static int open_found(struct fs_request *r, const char *name, int flags, bool plain)
{
	struct fs_inode *i;
	struct statx st;
	int fd, n = fs_inode_lookup(&r->s->inodes, r->inode, name, false, &i, &st);

	if (n < 0)
		return n;
	if (plain)
		fs_caller_plain(&r->w->caller, true);
	fd = S_ISREG(i->type) ? fs_open_inode(r->s, i, flags) : -EEXIST;
	if (plain)
		fs_caller_plain(&r->w->caller, false);
	if (fd < 0) {
		fs_inode_settle(&r->s->inodes, i);
		return fd;
	}
	return reply_open(r, i, &st, fd);
}

static int open_new(struct fs_request *r, const char *name, int flags, mode_t mode, mode_t umask)
{
	int n, dir_fd = begin(r, umask);

	if (dir_fd < 0)
		return dir_fd;
	flags |= O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	mode = new_mode(r, dir_fd, (mode & 07777) | S_IFREG) & 07777;
	n = FS_AWAY(r->s, openat(dir_fd, name, flags, mode));
	if (n < 0 && (errno == EMFILE || errno == ENFILE) && fs_inodes_spare(&r->s->inodes))
		n = FS_AWAY(r->s, openat(dir_fd, name, flags, mode));
	n = n < 0 ? -errno : n;
	end(r);
	return n;
}

int fs_do_create(struct fs_request *r)
{
	const struct fuse_create_in in = FS_BODY(r, struct fuse_create_in);
	const char *name = fs_name(r, sizeof(in), NULL);
	int n, fd, flags = fs_open_flags(in.flags);
	struct fs_inode *i;
	struct statx st;

	if (!name || flags < 0)
		return -EINVAL;
	fd = open_new(r, name, flags, in.mode, in.umask);
	if (fd == -EEXIST && !(in.flags & O_EXCL))
		return open_found(r, name, flags, in.open_flags & FUSE_OPEN_KILL_SUIDGID);
	if (fd < 0)
		return fd;
	n = fs_inode_of_fd(&r->s->inodes, r->inode, name, fd, &i, &st);
	if (n < 0) {
		(void) close(fd);
		return n;
	}
	return reply_open(r, i, &st, fd);
}

int fs_do_tmpfile(struct fs_request *r)
{
	const struct fuse_create_in in = FS_BODY(r, struct fuse_create_in);
	int n, fd, dir_fd, flags = fs_open_flags(in.flags);
	char path[FS_PATH_MAX];
	struct fs_inode *i;
	struct statx st;

	if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY)
		return -EINVAL;
	dir_fd = begin(r, in.umask);
	if (dir_fd < 0)
		return dir_fd;
	flags |= (int) (in.flags & O_EXCL) | O_TMPFILE | O_CLOEXEC;
	(void) fs_path(path, dir_fd);
	fd = FS_AWAY(r->s, open(path, flags & ~O_TRUNC, in.mode & 07777));
	n = fd < 0 ? -errno : 0;
	end(r);
	if (n < 0)
		return n;
	n = fs_inode_of_fd(&r->s->inodes, r->inode, NULL, fd, &i, &st);
	if (n < 0) {
		(void) close(fd);
		return n;
	}
	return reply_open(r, i, &st, fd);
}
