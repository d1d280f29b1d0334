/* SPDX-License-Identifier: Apache-2.0 */
/* Directories of the FUSE client, as they are listed: positions are the server's, and are its open
 * directory's alone, so each open file has one. */
#include <asm/fcntl.h>
#include <linux/fs.h>

#include "kernel/core/heap.h"
#include "kernel/fs/fuse_node.h"
#include "kernel/vfs/file.h"

#define LIST_BYTES (32u << 10)
#define PLUS_BYTES (64u << 10)

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

/* An answer to READDIR, or to READDIRPLUS, where what is looked up stands before each entry. */
struct answer {
	const char *at;
	size_t n;
	bool plus;
	uint64_t epoch; /* it is of */
};

/* The server has counted it: it is known by that name now, unless names have changed meanwhile. */
static int take_entry(struct inode *dir, const struct answer *a, const struct fuse_entry_out *e,
		      const char *name, size_t len)
{
	struct inode *i;
	int r = fuse_entered(fuse_super_of(dir), e, a->epoch, &i);

	if (r < 0)
		return r == -ENOMEM ? 0 : r; /* its name is told all the same */
	if (a->epoch >= fuse_of(dir)->epoch)
		fuse_name_seen(dir, name, len, i);
	inode_unref(i);
	return 0;
}

/* One of the server's entries: its bytes in *ret_n, 0: there is none. */
static int next_entry(struct inode *dir, const struct answer *a, struct fuse_dirent *ret,
		      const char **ret_name, size_t *ret_n)
{
	size_t head = a->plus ? sizeof(struct fuse_entry_out) : 0, size;
	struct fuse_entry_out e;

	*ret_n = 0;
	if (a->n < head + FUSE_NAME_OFFSET)
		return 0;
	memcpy(ret, a->at + head, FUSE_NAME_OFFSET);
	*ret_name = a->at + head + FUSE_NAME_OFFSET;
	if (ret->namelen > a->n - head - FUSE_NAME_OFFSET || !sensible(ret, *ret_name))
		return -EIO;
	size = FUSE_REC_ALIGN(head + FUSE_NAME_OFFSET + ret->namelen);
	*ret_n = min_of(size, a->n);
	memcpy(&e, a->at, head);
	return a->plus && e.nodeid ? take_entry(dir, a, &e, *ret_name, ret->namelen) : 0;
}

/* The server's entries, as far as they are wanted. */
static int tell(struct file *f, struct answer *a, struct dir_sink *to)
{
	bool wanted = true;
	struct fuse_dirent d;
	const char *name;
	size_t n;
	int r;

	while ((r = next_entry(f->inode, a, &d, &name, &n)) == 0 && n > 0) {
		uint64_t ino = d.ino;

		if (d.namelen == 2 && name[0] == '.' && name[1] == '.')
			ino = f->path.dentry->parent->inode->ino;
		wanted = wanted && to->entry(to, name, d.namelen, ino, (d.type & 15u) << 12, d.off);
		if (!wanted && !a->plus)
			return 0;
		a->at += n;
		a->n -= n;
	}
	return r;
}

/* With what is looked up: at the beginning, and as long as somebody looks names up. */
static bool wants_plus(struct fuse_node *n, uint64_t at)
{
	bool plus = at == 0 || n->looked_in;

	n->looked_in = false;
	return plus;
}

static int iterate(struct file *f, uint64_t at, struct dir_sink *to)
{
	struct answer a = { .plus = wants_plus(fuse_of(f->inode), at),
			    .epoch = fuse_conn_of(f->inode)->epoch };
	struct fuse_read_in in = { .offset = at, .size = a.plus ? PLUS_BYTES : LIST_BYTES };
	struct fuse_call q = { .op = a.plus ? FUSE_READDIRPLUS : FUSE_READDIR,
			       .node = fuse_id(f->inode),
			       .in = { { &in, sizeof(in) } },
			       .room = in.size };
	struct listing *l;
	int r = open_listing(f, &l);

	if (r < 0)
		return r;
	in.fh = l->fh;
	q.out = heap_alloc(q.room);
	if (!q.out)
		return -ENOMEM;
	r = fuse_call(fuse_conn_of(f->inode), &q);
	a.at = q.out;
	a.n = q.got;
	if (r == 0)
		r = tell(f, &a, to);
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
