/* SPDX-License-Identifier: Apache-2.0 */
/* Directories that are open, and what is listed of them: with attributes where the guest asks. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/str.h"
#include "device/fs_session.h"

/* The answer being made. */
struct listing {
	struct fs_request *r;
	bool plus;
	size_t n, max;
};

/* One name as the kernel tells it (getdents64). */
struct entry {
	const char *name;
	size_t name_n;
	uint64_t ino, next;
	uint8_t type;
};

int fs_do_opendir(struct fs_request *r)
{
	struct fuse_open_out out = {};
	int n, fd = FD_NONE;

	if (!S_ISDIR(r->inode->type))
		return -ENOTDIR;
	if (r->inode != r->s->inodes.root) {
		fd = fs_open_inode(r->s, r->inode, O_RDONLY | O_DIRECTORY);
		if (fd < 0)
			return fd;
	}
	n = fs_handle_reply(r, r->inode, fd, true, &out);
	return n < 0 ? n : FS_REPLY(r, out);
}

int fs_do_releasedir(struct fs_request *r)
{
	const struct fuse_release_in in = FS_BODY(r, struct fuse_release_in);
	struct fs_handle *h = fs_handle_of(r, in.fh, r->inode, true);

	if (!h)
		return -EBADF;
	fs_handle_close(&r->s->handles, &r->s->inodes, h); /* at the end of this request */
	return 0;
}

int fs_do_fsyncdir(struct fs_request *r)
{
	const struct fuse_fsync_in in = FS_BODY(r, struct fuse_fsync_in);
	const struct fs_handle *h = fs_handle_of(r, in.fh, r->inode, true);
	int n;

	if (!h)
		return -EBADF;
	if (h->fd < 0)
		return 0;
	n = FS_AWAY(r->s, in.fsync_flags & FUSE_FSYNC_FDATASYNC ? fdatasync(h->fd) : fsync(h->fd));
	return n < 0 ? -errno : 0;
}

static size_t entry_size(const struct listing *l, const struct entry *d)
{
	size_t head = l->plus ? FUSE_NAME_OFFSET_DIRENTPLUS : FUSE_NAME_OFFSET;

	return FUSE_REC_ALIGN(head + d->name_n);
}

/* node: its entry, all 0 for none; only of a listing with attributes. The caller has seen to it
 * that there is room. */
static void put_entry(struct listing *l, const struct entry *d, const struct fuse_entry_out *node)
{
	const struct fuse_dirent head = {
		.ino = d->ino,
		.off = d->next,
		.namelen = (uint32_t) d->name_n,
		.type = d->type,
	};
	size_t size = entry_size(l, d);
	uint8_t *p = l->r->w->reply + l->n;

	memset(p, 0, size);
	if (l->plus) {
		memcpy(p, node, sizeof(*node));
		p += sizeof(*node);
	}
	memcpy(p, &head, FUSE_NAME_OFFSET);
	memcpy(p + FUSE_NAME_OFFSET, d->name, d->name_n);
	l->n += size;
}

static bool has_room(const struct listing *l, const struct entry *d)
{
	return entry_size(l, d) <= l->max - l->n;
}

static bool is_dots(const char *name)
{
	return streq(name, ".") || streq(name, "..");
}

/* --- the root of all --- */

static int list_root(struct listing *l, uint64_t offset)
{
	struct fs_session *s = l->r->s;
	struct statx root;

	fs_root_stat(s, &root);
	for (uint64_t at = offset; at < 2 + s->shares_n; at++) {
		struct fs_inode *i = at < 2 ? s->inodes.root : s->shares[at - 2].inode;
		struct entry d = { .next = at + 1 };
		char name[NAME_MAX + 1];
		struct fuse_entry_out node = {};
		struct statx st;

		if (!i)
			continue; /* a share that went */
		(void) snprintf(name, sizeof(name), "%s", at == 0 ? "." : at == 1 ? ".." : i->name);
		d.name = name;
		d.name_n = strlen(d.name);
		d.ino = at < 2 ? root.stx_ino : fs_ino(s, i->is.dev, i->is.ino);
		d.type = (uint8_t) (i->type >> 12); /* DT_* are these bits */
		if (!has_room(l, &d))
			break;
		if (l->plus && at >= 2 && fs_inode_keep(&s->inodes, i)) {
			if (FS_AWAY(s, statx(i->fd, "", AT_EMPTY_PATH, FS_STATX_MASK, &st)) == 0)
				fs_entry(s, i, &st, &node);
			fs_inode_let_go(&s->inodes, i);
		}
		put_entry(l, &d, &node);
	}
	return (int) l->n;
}

/* --- the host's --- */

/* Let the next entry be the one at `offset`. What was read ahead counts as long as nobody else has
 * read from the handle. */
static int dir_seek(struct fs_request *r, struct fs_handle *h, uint64_t offset)
{
	struct fs_work *w = r->w;

	if (w->dir_fh == h->fh && w->dir_next == offset && h->reader == w)
		return 0;
	w->dir_fh = 0;
	w->dir_at = w->dir_n = 0;
	h->reader = w;
	if (FS_AWAY(r->s, lseek(h->fd, (off_t) offset, SEEK_SET)) < 0)
		return -errno;
	w->dir_fh = h->fh;
	w->dir_next = offset;
	return 0;
}

/* The next entry without taking it: 1, 0 at the end, or -errno. */
static int dir_peek(struct fs_request *r, const struct fs_handle *h, struct entry *ret_entry)
{
	struct {
		uint64_t ino;
		int64_t off;
		uint16_t reclen;
		uint8_t type;
	} d;
	struct fs_work *w = r->w;
	const uint8_t *p;

	if (w->dir_at >= w->dir_n) {
		long n = FS_AWAY(r->s, syscall(SYS_getdents64, h->fd, w->dir, sizeof(w->dir)));

		w->dir_at = w->dir_n = 0;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		w->dir_n = (size_t) n;
	}
	p = w->dir + w->dir_at;
	memcpy(&d.ino, p, 8);
	memcpy(&d.off, p + 8, 8);
	d.type = p[18];
	*ret_entry = (struct entry){
		.name = (const char *) p + 19,
		.ino = d.ino,
		.next = (uint64_t) d.off,
		.type = d.type,
	};
	ret_entry->name_n = strlen(ret_entry->name);
	return 1;
}

static void dir_take(struct fs_work *w, const struct entry *d)
{
	uint16_t reclen;

	memcpy(&reclen, w->dir + w->dir_at + 16, sizeof(reclen));
	w->dir_at += reclen;
	w->dir_next = d->next;
}

/* The entry's inode; of one that is gone, or cannot be had now, the name alone is told. */
static void find_node(struct listing *l, const struct entry *d, struct fuse_entry_out *ret_node)
{
	struct fs_session *s = l->r->s;
	struct fs_inode *i;
	struct statx st;

	if (!is_dots(d->name) &&
	    fs_inode_lookup(&s->inodes, l->r->inode, d->name, true, &i, &st) == 0)
		fs_entry(s, i, &st, ret_node);
}

static int list_dir(struct listing *l, struct fs_handle *h, uint64_t offset)
{
	struct fs_session *s = l->r->s;
	struct entry d;
	int n = dir_seek(l->r, h, offset);

	if (n < 0)
		return n;
	while ((n = dir_peek(l->r, h, &d)) > 0 && has_room(l, &d)) {
		struct fuse_entry_out node = {};

		d.ino = fs_ino(s, l->r->inode->is.dev, d.ino);
		if (l->plus)
			find_node(l, &d, &node);
		put_entry(l, &d, &node);
		dir_take(l->r->w, &d);
	}
	if (n > 0 && l->n == 0)
		return -EINVAL; /* not even one fits */
	return n < 0 && l->n == 0 ? n : (int) l->n;
}

static int list(struct fs_request *r, bool plus)
{
	const struct fuse_read_in in = FS_BODY(r, struct fuse_read_in);
	struct fs_handle *h = fs_handle_of(r, in.fh, r->inode, true);
	const size_t head = sizeof(struct fuse_out_header);
	struct listing l = { .r = r, .plus = plus, .max = in.size };

	if (!h)
		return -EBADF;
	if (h->moved && in.offset != 0)
		return -ESTALE; /* until it is rewound */
	if (l.max > FS_BUFFER_MAX)
		l.max = FS_BUFFER_MAX;
	if (r->chain->in_bytes < head + l.max)
		l.max = r->chain->in_bytes < head ? 0 : r->chain->in_bytes - head;
	return h->fd < 0 ? list_root(&l, in.offset) : list_dir(&l, h, in.offset);
}

int fs_do_readdir(struct fs_request *r)
{
	return list(r, false);
}

int fs_do_readdirplus(struct fs_request *r)
{
	return list(r, true);
}
