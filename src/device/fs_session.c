/* SPDX-License-Identifier: Apache-2.0 */
#include "device/fs_session.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/str.h"
#include "sys/mount.h"

#define MINOR_MIN  27 /* Linux 4.19; virtio-fs is of 5.4 (7.31) */
#define VALID_SECS 1  /* how long the guest may take names and attributes for true */

/* --- the protocol's beginning and end --- */

static int do_init(struct fs_request *r)
{
	/* The guest locks by itself, applies no umask where an ACL may say otherwise, and trusts
	 * its cache as long as a file looks unchanged. */
	static const uint32_t wanted = FUSE_ASYNC_READ | FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES |
				       FUSE_DONT_MASK | FUSE_AUTO_INVAL_DATA | FUSE_DO_READDIRPLUS |
				       FUSE_READDIRPLUS_AUTO | FUSE_ASYNC_DIO |
				       FUSE_PARALLEL_DIROPS | FUSE_POSIX_ACL | FUSE_MAX_PAGES |
				       FUSE_CACHE_SYMLINKS | FUSE_HANDLE_KILLPRIV_V2 |
				       FUSE_SETXATTR_EXT;
	const struct fuse_init_in in = FS_BODY(r, struct fuse_init_in);
	struct fuse_init_out out = {
		.major = FUSE_KERNEL_VERSION,
		.minor = FUSE_KERNEL_MINOR_VERSION,
		.max_readahead = in.max_readahead,
		.flags = in.flags & wanted,
		.max_background = 64,
		.congestion_threshold = 48,
		.max_write = FS_WRITE_MAX,
		.time_gran = 1,
		.max_pages = FS_WRITE_MAX / 4096,
	};

	if (in.major > FUSE_KERNEL_VERSION)
		return FS_REPLY(r, out); /* it asks again in our version */
	if (in.major < FUSE_KERNEL_VERSION || in.minor < MINOR_MIN)
		return -EPROTO;
	if (r->s->serving > 1)
		return -EBUSY; /* nothing is forgotten under requests that use it */
	fs_session_reset(r->s);
	r->s->started = true;
	r->s->minor = in.minor;
	r->s->setxattr_ext = in.flags & FUSE_SETXATTR_EXT;
	return FS_REPLY(r, out);
}

static int do_destroy(struct fs_request *r)
{
	if (r->s->serving > 1)
		return -EBUSY;
	fs_session_reset(r->s);
	return 0;
}

static int do_ioctl(struct fs_request *)
{
	return -ENOTTY;
}

static int do_interrupt(struct fs_request *)
{
	return FS_SILENT; /* what waits for the host's file system cannot be called back */
}

enum {
	CHANGES = 1, /* refused where the inode's share is read-only */
	AT_ROOT = 2, /* means something for the root of all */
	NO_NODE = 4, /* is about no inode */
	FORGETS = 8, /* is for an inode that is lost, too */
};

static const struct {
	fs_handler *handler;
	unsigned body_min, flags;
} operations[] = {
	[FUSE_LOOKUP] = { fs_do_lookup, 2, AT_ROOT },
	[FUSE_FORGET] = { fs_do_forget, sizeof(struct fuse_forget_in), AT_ROOT | FORGETS },
	[FUSE_GETATTR] = { fs_do_getattr, sizeof(struct fuse_getattr_in), AT_ROOT },
	[FUSE_SETATTR] = { fs_do_setattr, sizeof(struct fuse_setattr_in), CHANGES },
	[FUSE_READLINK] = { fs_do_readlink, 0, 0 },
	[FUSE_SYMLINK] = { fs_do_symlink, 4, CHANGES },
	[FUSE_MKNOD] = { fs_do_mknod, sizeof(struct fuse_mknod_in) + 2, CHANGES },
	[FUSE_MKDIR] = { fs_do_mkdir, sizeof(struct fuse_mkdir_in) + 2, CHANGES },
	[FUSE_UNLINK] = { fs_do_unlink, 2, CHANGES },
	[FUSE_RMDIR] = { fs_do_rmdir, 2, CHANGES },
	[FUSE_RENAME] = { fs_do_rename, sizeof(struct fuse_rename_in) + 4, CHANGES },
	[FUSE_LINK] = { fs_do_link, sizeof(struct fuse_link_in) + 2, CHANGES },
	[FUSE_OPEN] = { fs_do_open, sizeof(struct fuse_open_in), 0 },
	[FUSE_READ] = { fs_do_read, sizeof(struct fuse_read_in), 0 },
	[FUSE_WRITE] = { fs_do_write, sizeof(struct fuse_write_in), CHANGES },
	[FUSE_STATFS] = { fs_do_statfs, 0, AT_ROOT },
	[FUSE_RELEASE] = { fs_do_release, sizeof(struct fuse_release_in), 0 },
	[FUSE_FSYNC] = { fs_do_fsync, sizeof(struct fuse_fsync_in), 0 },
	[FUSE_SETXATTR] = { fs_do_setxattr, FUSE_COMPAT_SETXATTR_IN_SIZE + 2, CHANGES },
	[FUSE_GETXATTR] = { fs_do_getxattr, sizeof(struct fuse_getxattr_in) + 2, 0 },
	[FUSE_LISTXATTR] = { fs_do_listxattr, sizeof(struct fuse_getxattr_in), 0 },
	[FUSE_REMOVEXATTR] = { fs_do_removexattr, 2, CHANGES },
	[FUSE_FLUSH] = { fs_do_flush, sizeof(struct fuse_flush_in), 0 },
	[FUSE_INIT] = { do_init, offsetof(struct fuse_init_in, flags2), NO_NODE },
	[FUSE_OPENDIR] = { fs_do_opendir, sizeof(struct fuse_open_in), AT_ROOT },
	[FUSE_READDIR] = { fs_do_readdir, sizeof(struct fuse_read_in), AT_ROOT },
	[FUSE_RELEASEDIR] = { fs_do_releasedir, sizeof(struct fuse_release_in), AT_ROOT },
	[FUSE_FSYNCDIR] = { fs_do_fsyncdir, sizeof(struct fuse_fsync_in), AT_ROOT },
	[FUSE_ACCESS] = { fs_do_access, sizeof(struct fuse_access_in), AT_ROOT },
	[FUSE_CREATE] = { fs_do_create, sizeof(struct fuse_create_in) + 2, CHANGES },
	[FUSE_INTERRUPT] = { do_interrupt, 0, NO_NODE },
	[FUSE_DESTROY] = { do_destroy, 0, NO_NODE },
	[FUSE_IOCTL] = { do_ioctl, 0, AT_ROOT },
	[FUSE_BATCH_FORGET] = { fs_do_batch_forget, sizeof(struct fuse_batch_forget_in), NO_NODE },
	[FUSE_FALLOCATE] = { fs_do_fallocate, sizeof(struct fuse_fallocate_in), CHANGES },
	[FUSE_READDIRPLUS] = { fs_do_readdirplus, sizeof(struct fuse_read_in), AT_ROOT },
	[FUSE_RENAME2] = { fs_do_rename2, sizeof(struct fuse_rename2_in) + 4, CHANGES },
	[FUSE_LSEEK] = { fs_do_lseek, sizeof(struct fuse_lseek_in), 0 },
	[FUSE_COPY_FILE_RANGE] = { fs_do_copy, sizeof(struct fuse_copy_file_range_in), 0 },
	[FUSE_SYNCFS] = { fs_do_syncfs, 0, AT_ROOT },
	[FUSE_TMPFILE] = { fs_do_tmpfile, sizeof(struct fuse_create_in), CHANGES },
};

/* --- one request --- */

static int dispatch(struct fs_request *r)
{
	struct fs_session *s = r->s;
	uint32_t op = r->h.opcode;
	unsigned flags;

	if (op >= ARRAY_SIZE(operations) || !operations[op].handler)
		return -ENOSYS;
	flags = operations[op].flags;
	if (r->h.len != r->chain->out_bytes || r->body_n < operations[op].body_min)
		return -EINVAL;
	if (!s->started && op != FUSE_INIT)
		return -EIO;
	if (!(flags & NO_NODE)) {
		r->inode = fs_inode_get(&s->inodes, r->h.nodeid);
		if (!r->inode)
			return -ESTALE;
		if (!fs_inode_keep(&s->inodes, r->inode))
			return -ENFILE;
		if (r->inode->lost && !(flags & FORGETS))
			return -ESTALE;
		if (r->inode == s->inodes.root && !(flags & AT_ROOT))
			return flags & CHANGES ? -EROFS : -EOPNOTSUPP;
		if ((flags & CHANGES) && fs_read_only(s, r->inode))
			return -EROFS;
	}
	return operations[op].handler(r);
}

/* Whether a request has no answer, not even a failure. */
static bool silent(uint32_t opcode)
{
	return opcode == FUSE_FORGET || opcode == FUSE_BATCH_FORGET || opcode == FUSE_INTERRUPT;
}

/* What the request kept is let go. */
static void let_go(struct fs_session *s, struct fs_work *w)
{
	while (w->handles_n > 0)
		fs_handle_unpin(&s->inodes, w->handles[--w->handles_n]);
	while (w->kept_n > 0)
		fs_inode_let_go(&s->inodes, w->kept[w->kept_n - 1]);
	while (w->closing_n > 0) {
		int fd = w->closing[--w->closing_n];

		(void) FS_AWAY(s, close(fd)); /* what it may fail for was FLUSH's to tell */
	}
}

static uint32_t answer(struct fs_request *r, uint32_t n)
{
	let_go(r->s, r->w);
	r->s->inodes.now = NULL;
	r->s->serving--;
	return n;
}

uint32_t fs_session_serve_as(struct fs_session *s, struct fs_work *w, const struct chain *c)
{
	struct fs_request r = { .s = s, .w = w, .chain = c, .body = w->body };
	struct fuse_out_header out = { .len = sizeof(out) };
	size_t copy = FS_BUFFER_MAX - 1;
	int n;

	if (chain_read(c, 0, &r.h, sizeof(r.h)) != sizeof(r.h))
		return 0; /* whose answer it would be cannot be known */
	fs_inodes_tick(&s->inodes);
	s->inodes.now = w;
	s->serving++;
	/* What a file is written with stays where it is. */
	if (r.h.opcode == FUSE_WRITE)
		copy = sizeof(struct fuse_write_in);
	r.body_n = chain_read(c, sizeof(r.h), w->body, copy);
	w->body[r.body_n] = 0;
	n = dispatch(&r);
	if (n == FS_SILENT || silent(r.h.opcode) || c->in_bytes < sizeof(out))
		return answer(&r, 0);
	out.unique = r.h.unique;
	if (n >= 0 && (n & FS_WRITTEN)) {
		n &= ~FS_WRITTEN;
	} else if (n > 0 && chain_write(c, sizeof(out), w->reply, (size_t) n) != (size_t) n) {
		n = -EINVAL; /* it left no room */
	}
	if (n < 0)
		out.error = n;
	else
		out.len += (uint32_t) n;
	(void) chain_write(c, 0, &out, sizeof(out)); /* there is room, see above */
	return answer(&r, out.len);
}

uint32_t fs_session_serve(struct fs_session *s, const struct chain *c)
{
	return fs_session_serve_as(s, &s->work, c);
}

/* --- what handlers share --- */

const char *fs_text(const struct fs_request *r, size_t at, size_t *ret_end)
{
	const char *p = (const char *) r->body + at;
	size_t n;

	if (at >= r->body_n)
		return NULL;
	n = strnlen(p, r->body_n - at);
	if (n == r->body_n - at)
		return NULL;
	if (ret_end)
		*ret_end = at + n + 1;
	return p;
}

const char *fs_name(const struct fs_request *r, size_t at, size_t *ret_end)
{
	size_t end;
	const char *name = fs_text(r, at, &end);

	if (!name || !name[0] || streq(name, ".") || streq(name, "..") || strchr(name, '/') ||
	    end - at - 1 > NAME_MAX)
		return NULL;
	if (ret_end)
		*ret_end = end;
	return name;
}

const char *fs_path(char path[static FS_PATH_MAX], int fd)
{
	(void) snprintf(path, FS_PATH_MAX, "%d", fd);
	return path;
}

struct fs_device *fs_device(struct fs_session *s, uint64_t dev)
{
	for (size_t i = 0; i < s->devices_n; i++)
		if (s->devices[i].dev == dev)
			return &s->devices[i];
	if (s->devices_n == FS_DEVICES_MAX)
		return NULL;
	s->devices[s->devices_n] = (struct fs_device){ .dev = dev };
	return &s->devices[s->devices_n++];
}

/*
 * The guest sees one file system. Inodes of the first device keep their numbers; those of another
 * get its place in the list on top, if their number leaves room there, else one made of both.
 */
uint64_t fs_ino(struct fs_session *s, uint64_t dev, uint64_t ino)
{
	const struct fs_device *d = fs_device(s, dev);
	uint64_t place = d ? (uint64_t) (d - s->devices) : FS_DEVICES_MAX + dev;

	if (place == 0)
		return ino;
	if (place <= FS_DEVICES_MAX && ino >> 48 == 0)
		return place << 48 | ino;
	return ((ino ^ place * UINT64_C(0x9e3779b97f4a7c15)) | UINT64_C(1) << 63);
}

void fs_attr(struct fs_session *s, const struct statx *st, struct fuse_attr *ret_attr)
{
	uint64_t dev = (uint64_t) st->stx_dev_major << 32 | st->stx_dev_minor;
	uint32_t minor = st->stx_rdev_minor;

	*ret_attr = (struct fuse_attr){
		.ino = st->stx_dev_major == UINT32_MAX ? st->stx_ino : fs_ino(s, dev, st->stx_ino),
		.size = st->stx_size,
		.blocks = st->stx_blocks,
		.atime = (uint64_t) st->stx_atime.tv_sec,
		.mtime = (uint64_t) st->stx_mtime.tv_sec,
		.ctime = (uint64_t) st->stx_ctime.tv_sec,
		.atimensec = st->stx_atime.tv_nsec,
		.mtimensec = st->stx_mtime.tv_nsec,
		.ctimensec = st->stx_ctime.tv_nsec,
		.mode = st->stx_mode,
		.nlink = st->stx_nlink,
		.uid = st->stx_uid,
		.gid = st->stx_gid,
		.rdev = (minor & 0xff) | st->stx_rdev_major << 8 | (minor & ~0xffu) << 12,
		.blksize = st->stx_blksize,
	};
}

void fs_root_stat(struct fs_session *s, struct statx *ret_stat)
{
	*ret_stat = (struct statx){
		.stx_dev_major = UINT32_MAX, /* of none of the host's devices */
		.stx_ino = UINT64_C(0xffff) << 48 | 1,
		.stx_mode = S_IFDIR | 0555,
		.stx_nlink = (uint32_t) (2 + s->shares_n),
		.stx_blksize = 4096,
	};
}

void fs_entry(struct fs_session *s, struct fs_inode *i, const struct statx *st,
	      struct fuse_entry_out *ret_entry)
{
	*ret_entry = (struct fuse_entry_out){
		.nodeid = i->nodeid,
		.entry_valid = i->pinned ? 0 : VALID_SECS, /* shares come and go */
		.attr_valid = VALID_SECS,
	};
	fs_attr(s, st, &ret_entry->attr);
	i->lookups++;
}

int fs_reply_entry(struct fs_request *r, struct fs_inode *i, const struct statx *st)
{
	struct fuse_entry_out out;

	fs_entry(r->s, i, st, &out);
	return FS_REPLY(r, out);
}

bool fs_read_only(const struct fs_session *s, const struct fs_inode *i)
{
	return i->is.share >= s->shares_n || s->shares[i->is.share].read_only;
}

int fs_open_flags(uint32_t flags)
{
	/* O_DIRECT is between the guest and its cache; O_APPEND comes with each write. */
	const uint32_t kept = O_ACCMODE | O_TRUNC | O_DSYNC | O_SYNC | O_NOATIME;

	return (flags & O_ACCMODE) == O_ACCMODE ? -EINVAL : (int) (flags & kept);
}

int fs_open_inode(struct fs_session *s, struct fs_inode *i, int flags)
{
	char path[FS_PATH_MAX];
	int r, fd = fs_inode_fd(&s->inodes, i);

	if (fd < 0)
		return fd;
	(void) fs_path(path, fd);
	flags |= O_CLOEXEC;
	r = FS_AWAY(s, open(path, flags));
	if (r < 0 && (errno == EMFILE || errno == ENFILE) && fs_inodes_spare(&s->inodes))
		r = FS_AWAY(s, open(path, flags));
	return r < 0 ? -errno : r;
}

struct fs_handle *fs_handle_of(struct fs_request *r, uint64_t fh, const struct fs_inode *inode,
			       bool directory)
{
	struct fs_handle *h = fs_handle_get(&r->s->handles, fh, inode, directory);

	if (!h || r->w->handles_n == ARRAY_SIZE(r->w->handles))
		return NULL;
	fs_handle_pin(h);
	r->w->handles[r->w->handles_n++] = h;
	return h;
}

int fs_handle_reply(struct fs_request *r, struct fs_inode *i, int fd, bool directory,
		    struct fuse_open_out *ret_out)
{
	struct fs_handle *h;
	int n = fs_handle_add(&r->s->handles, &r->s->inodes, i, fd, directory, &h);

	if (n < 0)
		return n;
	ret_out->fh = h->fh;
	return 0;
}

/* --- the session --- */

int fs_session_proc(struct err *e)
{
	int fd = mount_clone(AT_FDCWD, "/proc/self/fd", false);

	if (fd < 0)
		fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? err_sys(e, errno, "open /proc/self/fd") : fd;
}

int fs_session_enter(struct fs_session *s, struct err *e)
{
	int r = fs_caller_renew(&s->work.caller);

	if (r < 0)
		return err_sys(e, -r, "read capabilities");
	return fchdir(s->proc_fd) < 0 ? err_sys(e, errno, "go to /proc/self/fd") : 0;
}

static int add_shares(struct fs_session *s, const struct fs_share *shares, size_t n, struct err *e)
{
	int r = 0;

	s->shares = calloc(FS_SHARES_MAX + 1, sizeof(*s->shares)); /* it never moves */
	if (!s->shares || n > FS_SHARES_MAX)
		r = -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		if (r < 0) {
			(void) close(shares[i].fd);
			continue;
		}
		s->shares[i].read_only = shares[i].read_only;
		s->shares[i].copied = shares[i].copied;
		r = fs_inodes_share(&s->inodes, (uint32_t) i, shares[i].name, shares[i].fd,
				    &s->shares[i].inode);
		s->shares_n += r == 0;
	}
	return r < 0 ? err_sys(e, -r, "serve the shares") : 0;
}

int fs_session_add(struct fs_session *s, const char *name, int fd, bool read_only)
{
	auto_fd int owned = fd;
	size_t at = 0;
	int r;

	while (at < s->shares_n && s->shares[at].inode)
		at++;
	if (fs_inode_named(&s->inodes, s->inodes.root, name))
		return -EEXIST;
	if (at == FS_SHARES_MAX)
		return -ENOSPC;
	s->shares[at] = (struct fs_top){ .read_only = read_only };
	r = fs_inodes_share(&s->inodes, (uint32_t) at, name, take_fd(&owned), &s->shares[at].inode);
	if (r < 0)
		fs_inodes_unshare(&s->inodes, (uint32_t) at);
	else if (at == s->shares_n)
		s->shares_n++;
	return r;
}

int fs_session_remove(struct fs_session *s, const char *name)
{
	const struct fs_inode *top = fs_inode_named(&s->inodes, s->inodes.root, name);
	uint32_t share;

	if (!top)
		return -ENOENT;
	share = top->is.share;
	if (fs_inodes_share_used(&s->inodes, share))
		return -EBUSY;
	fs_handles_unshare(&s->handles, &s->inodes, share);
	fs_inodes_unshare(&s->inodes, share);
	s->shares[share] = (struct fs_top){ .read_only = true };
	return 0;
}

struct fs_session *fs_session_new(int proc_fd, const struct fs_share *shares, size_t n,
				  size_t fds_max, struct err *e)
{
	struct fs_session *s = calloc(1, sizeof(*s));
	int r = s ? fs_inodes_init(&s->inodes, fds_max) : -ENOMEM;

	if (r < 0) {
		free(s);
		(void) close(proc_fd);
		for (size_t i = 0; i < n; i++)
			(void) close(shares[i].fd);
		(void) err_sys(e, -r, "serve the shares");
		return NULL;
	}
	s->proc_fd = proc_fd;
	fs_handles_init(&s->handles);
	r = fs_caller_init(&s->work.caller);
	if (r < 0)
		(void) err_sys(e, -r, "keep capabilities across ids");
	if (add_shares(s, shares, n, e) < 0 || r < 0) {
		fs_session_free(s);
		return NULL;
	}
	return s;
}

void fs_session_reset(struct fs_session *s)
{
	s->started = false;
	fs_handles_clear(&s->handles, &s->inodes);
	fs_inodes_clear(&s->inodes);
}

void fs_session_free(struct fs_session *s)
{
	if (!s)
		return;
	fs_session_reset(s);
	fs_inodes_fini(&s->inodes);
	free(s->shares);
	close_fd(&s->proc_fd);
	free(s);
}
