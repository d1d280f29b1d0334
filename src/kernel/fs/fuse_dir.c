/* SPDX-License-Identifier: Apache-2.0 */
/* Directories of the FUSE client, as they are listed: positions are the server's, and are its open
 * directory's alone, so each open file has one. */
#include <asm/fcntl.h>
#include <linux/fs.h>

#include "kernel/core/heap.h"
#include "kernel/fs/fuse_node.h"
#include "kernel/vfs/file.h"

#define LIST_BYTES ((size_t) 32 << 10)

/* What an open directory has. */
struct listing {
	uint64_t fh;
};

static struct heap_cache listings = HEAP_CACHE_INIT(struct listing);

static int open_listing(struct file *f, struct listing **ret)
{
	struct fuse_open_in in = { .flags = O_RDONLY };
	struct fuse_open_out out;
	struct fuse_call q = { .op = FUSE_OPENDIR,
			       .node = fuse_id(f->inode),
			       .in = { { &in, sizeof(in) } },
			       .out = &out,
			       .least = sizeof(out),
			       .room = sizeof(out) };
	struct listing *l = f->own;
	int r = l ? 0 : fuse_call_open(fuse_conn_of(f->inode), &q);

	*ret = l;
	if (r < 0 || l)
		return r;
	l = heap_cache_alloc(&listings);
	if (!l || f->own) {
		fuse_farewell(fuse_conn_of(f->inode), FUSE_RELEASEDIR, q.node, out.fh);
		heap_cache_free(&listings, l);
		*ret = f->own;
		return f->own ? 0 : -ENOMEM;
	}
	l->fh = out.fh;
	f->own = *ret = l;
	return 0;
}

static bool sensible(const struct fuse_dirent *d, const char *name)
{
	return d->namelen > 0 && d->namelen <= NAME_LONGEST && d->off <= INT64_MAX &&
	       !fuse_has(name, d->namelen, '\0') && !fuse_has(name, d->namelen, '/');
}

/* The server's entries, as far as they are wanted. */
static int tell(struct file *f, const char *from, size_t n, struct dir_sink *to)
{
	struct fuse_dirent d;

	for (size_t at = 0; n - at >= FUSE_NAME_OFFSET; at += FUSE_DIRENT_SIZE(&d)) {
		const char *name = from + at + FUSE_NAME_OFFSET;
		uint64_t ino;

		memcpy(&d, from + at, FUSE_NAME_OFFSET);
		if (d.namelen > n - at - FUSE_NAME_OFFSET || !sensible(&d, name))
			return -EIO;
		ino = d.ino;
		if (d.namelen == 2 && name[0] == '.' && name[1] == '.')
			ino = f->path.dentry->parent->inode->ino;
		if (!to->entry(to, name, d.namelen, ino, (d.type & 15u) << 12, d.off))
			return 0;
		if (FUSE_DIRENT_SIZE(&d) > n - at)
			return 0;
	}
	return 0;
}

static int iterate(struct file *f, uint64_t at, struct dir_sink *to)
{
	struct fuse_read_in in = { .offset = at, .size = LIST_BYTES };
	struct fuse_call q = { .op = FUSE_READDIR,
			       .node = fuse_id(f->inode),
			       .in = { { &in, sizeof(in) } },
			       .room = LIST_BYTES };
	struct listing *l;
	int r = open_listing(f, &l);

	if (r < 0)
		return r;
	in.fh = l->fh;
	q.out = heap_alloc(q.room);
	if (!q.out)
		return -ENOMEM;
	r = fuse_call(fuse_conn_of(f->inode), &q);
	if (r == 0)
		r = tell(f, q.out, q.got, to);
	heap_free(q.out);
	return r;
}

static int64_t seek(struct file *f, int64_t offset, int whence)
{
	int64_t at = whence == SEEK_SET ? offset : (int64_t) f->pos + offset;

	if (whence != SEEK_SET && whence != SEEK_CUR)
		return -EINVAL;
	return at < 0 ? -EINVAL : at;
}

static int sync(struct file *f, bool data_only)
{
	struct fuse_fsync_in in = { .fsync_flags = data_only ? FUSE_FSYNC_FDATASYNC : 0 };
	struct fuse_call q = { .op = FUSE_FSYNCDIR,
			       .node = fuse_id(f->inode),
			       .in = { { &in, sizeof(in) } } };
	struct listing *l;
	int r = open_listing(f, &l);

	if (r < 0)
		return r;
	in.fh = l->fh;
	return fuse_call(fuse_conn_of(f->inode), &q);
}

static void release(struct file *f)
{
	struct listing *l = f->own;

	if (!l)
		return;
	fuse_farewell(fuse_conn_of(f->inode), FUSE_RELEASEDIR, fuse_id(f->inode), l->fh);
	heap_cache_free(&listings, l);
}

const struct file_ops fuse_dir_ops = {
	.iterate = iterate,
	.seek = seek,
	.sync = sync,
	.release = release,
};
