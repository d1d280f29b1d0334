/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Contents of files of the FUSE client, as they are changed. write(2) goes to the server at once,
 * and into pages that are here. Pages that a shared mapping is written through are dirty from the
 * first touch on; to be written back they are taken out of all mappings, so that the next write is
 * a touch again.
 */
#include <linux/falloc.h>

#include "kernel/core/heap.h"
#include "kernel/fs/fuse_node.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/space.h"
#include "kernel/platform/platform.h"
#include "kernel/task/cred.h"
#include "kernel/vfs/file.h"

#define DIRTY_MOST  4096 /* pages of one file */
#define WRITE_LATER NSEC_PER_SEC

/* ---- write(2) ---- */

/* Those bytes are in the pages that are here. */
static void update_pages(struct pager *p, uint64_t at, const char *from, size_t n)
{
	while (n > 0 && p->resident) {
		uint64_t within = at & (PAGE_SIZE - 1), frame;
		size_t part = min_of(n, (size_t) (PAGE_SIZE - within));

		if (pager_cached(p, at >> PAGE_SHIFT, &frame)) {
			memcpy((char *) frame_ptr(frame) + within, from, part);
			frame_unref(frame);
		}
		at += part;
		from += part;
		n -= part;
	}
}

/* The server has n bytes more at `at`, or holes. */
static void changed(struct fuse_node *n, uint64_t end)
{
	n->version++;
	n->wrote = true;
	fuse_stale(&n->inode);
	if (end > n->inode.pager.size)
		pager_resize(&n->inode.pager, end);
}

/* How many bytes; h: of the file. S_ISUID and S_ISGID fall where the file itself is written to, so
 * that is only done where there are none, or they shall. */
static int64_t send_bytes(struct fuse_node *n, const struct fuse_handle *h, uint64_t at,
			  const void *from, size_t count, uint32_t flags)
{
	struct fuse_write_in in = {
		.fh = h->fh, .offset = at, .size = (uint32_t) count, .write_flags = flags
	};
	struct fuse_write_out out;
	struct fuse_call q = { .op = FUSE_WRITE,
			       .node = n->by_id.key,
			       .in = { { &in, sizeof(in) }, { from, count } },
			       .out = &out,
			       .least = sizeof(out),
			       .room = sizeof(out) };
	struct fuse_transport *t = fuse_conn_of(&n->inode)->transport;
	int64_t r = -EAGAIN;

	if (h->data >= 0 &&
	    (flags & FUSE_WRITE_KILL_SUIDGID || !(n->inode.mode & (S_ISUID | S_ISGID))))
		r = t->write(t, h->data, from, count, at);
	if (r == 0)
		return -EIO;
	if (r != -EAGAIN)
		return r;
	r = fuse_call(fuse_conn_of(&n->inode), &q);
	if (r < 0)
		return r;
	return out.size > 0 && out.size <= count ? (int64_t) out.size : -EIO;
}

/* The connection's own, or where that is in use others. */
static char *take_bytes(struct fuse_conn *c, size_t n)
{
	if (c->bytes_used)
		return heap_alloc(n);
	c->bytes_used = true;
	return c->bytes;
}

static void give_bytes(struct fuse_conn *c, char *bytes)
{
	if (bytes == c->bytes)
		c->bytes_used = false;
	else
		heap_free(bytes);
}

/* S_ISUID and S_ISGID fall for who has no CAP_FSETID. */
static uint32_t write_flags(const struct file *f)
{
	return f->inode->mode & (S_ISUID | S_ISGID) && !cred_can(f->who, CAP_FSETID)
		       ? FUSE_WRITE_KILL_SUIDGID
		       : 0;
}

static int64_t write_part(struct file *f, const struct fuse_handle *h, struct uio *from,
			  uint64_t at, char *bytes, size_t room)
{
	struct fuse_node *n = fuse_of(f->inode);
	int64_t count = uio_in(from, bytes, (size_t) min_of(from->left, (uint64_t) room));

	if (count > 0)
		count = send_bytes(n, h, at, bytes, (size_t) count, write_flags(f));
	if (count > 0) {
		changed(n, at + (uint64_t) count);
		update_pages(&f->inode->pager, at, bytes, (size_t) count);
	}
	return count;
}

int64_t fuse_write(struct file *f, struct uio *from, uint64_t *pos)
{
	struct fuse_node *n = fuse_of(f->inode);
	size_t room = (size_t) min_of(from->left,
				      (uint64_t) fuse_conn_of(f->inode)->transport->most);
	struct fuse_handle *h;
	int64_t done = 0, r;
	uint64_t end;
	char *bytes;

	if (__builtin_add_overflow(*pos, from->left, &end) || (int64_t) end < 0)
		return -EFBIG;
	if (room == 0)
		return 0;
	r = fuse_handle(n, true, &h);
	if (r < 0)
		return r;
	bytes = take_bytes(fuse_conn_of(f->inode), room);
	r = bytes ? 0 : -ENOMEM;
	while (r >= 0 && from->left > 0) {
		size_t part = min_of(room, (size_t) from->left);

		r = write_part(f, h, from, *pos, bytes, part);
		if (r <= 0)
			break;
		done += r;
		*pos += (uint64_t) r;
		if ((size_t) r < part)
			break;
	}
	give_bytes(fuse_conn_of(f->inode), bytes);
	fuse_handle_done(n, h);
	return done ? done : r;
}

/* ---- room and holes ---- */

int fuse_allocate(struct file *f, int mode, uint64_t at, uint64_t len)
{
	struct fuse_node *n = fuse_of(f->inode);
	struct fuse_fallocate_in in = { .offset = at, .length = len, .mode = (uint32_t) mode };
	struct fuse_call q = { .op = FUSE_FALLOCATE,
			       .node = n->by_id.key,
			       .in = { { &in, sizeof(in) } } };
	int r = fuse_call_file(n, true, &q, &in.fh);

	if (r < 0)
		return r;
	changed(n, mode & FALLOC_FL_KEEP_SIZE ? 0 : at + len);
	if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) {
		uint64_t first = at >> PAGE_SHIFT, last = (at + len + PAGE_SIZE - 1) >> PAGE_SHIFT;

		fuse_clean(n, first, last);
		pager_drop(&f->inode->pager, first, last);
	}
	return 0;
}

/* ---- dirty pages ---- */

void fuse_clean(struct fuse_node *n, uint64_t first, uint64_t last)
{
	uint64_t index = first;

	while (n->dirty_n && radix_next(&n->dirty, &index) && index < last) {
		(void) radix_take(&n->dirty, index);
		n->dirty_n--;
	}
}

int fuse_touch(struct pager *p, uint64_t index)
{
	struct fuse_node *n = fuse_of(container_of(p, struct inode, pager));
	struct fuse_conn *c = fuse_conn_of(&n->inode);
	int r = 0;

	if (radix_get(&n->dirty, index))
		return 0;
	if (c->lost)
		return -EIO;
	if (n->dirty_n >= DIRTY_MOST)
		r = fuse_write_back(n);
	if (r == 0)
		r = radix_set(&n->dirty, index, n);
	if (r < 0)
		return r;
	n->dirty_n++;
	if (list_empty(&n->to_write)) {
		inode_ref(&n->inode);
		list_push(&c->dirty, &n->to_write);
		(void) waitq_wake(&c->work, 0, 0);
	}
	return 0;
}

/* A run of dirty pages, clean from now on and out of all mappings, as bytes in order. */
static size_t take_run(struct fuse_node *n, uint64_t first, char *to, size_t most)
{
	struct pager *p = &n->inode.pager;
	uint64_t index = first, frame;

	while (index - first < most && radix_take(&n->dirty, index)) {
		n->dirty_n--;
		index++;
	}
	space_forget(p, first, index);
	for (uint64_t at = first; at < index; at++, to += PAGE_SIZE) {
		if (!pager_cached(p, at, &frame))
			return (size_t) (at - first); /* cut off meanwhile */
		memcpy(to, frame_ptr(frame), PAGE_SIZE);
		frame_unref(frame);
	}
	return (size_t) (index - first);
}

static int write_run(struct fuse_node *n, const struct fuse_handle *h, uint64_t first,
		     const char *from, size_t pages)
{
	uint64_t at = first << PAGE_SHIFT, size = n->inode.pager.size, left;

	left = at < size ? min_of((uint64_t) pages << PAGE_SHIFT, size - at) : 0;
	while (left > 0) {
		int64_t r = send_bytes(n, h, at, from, (size_t) left, FUSE_WRITE_CACHE);

		if (r < 0)
			return (int) r;
		changed(n, 0);
		from += r;
		at += (uint64_t) r;
		left -= (uint64_t) r;
	}
	return 0;
}

int fuse_write_back(struct fuse_node *n)
{
	size_t most = fuse_conn_of(&n->inode)->transport->most;
	uint64_t index = 0;
	struct fuse_handle *h;
	char *bytes;
	int r;

	sleeplock_take(&n->writing_back);
	r = n->dirty_n ? fuse_handle(n, true, &h) : 0;
	if (r < 0)
		fuse_clean(n, 0, UINT64_MAX); /* nowhere to go: told to who syncs */
	if (r < 0 || !n->dirty_n)
		goto give;
	bytes = take_bytes(fuse_conn_of(&n->inode), most);
	r = bytes ? 0 : -ENOMEM;
	while (r == 0 && radix_next(&n->dirty, &index)) {
		size_t pages = take_run(n, index, bytes, most >> PAGE_SHIFT);

		r = write_run(n, h, index, bytes, pages);
		index += max_of(pages, (size_t) 1);
	}
	give_bytes(fuse_conn_of(&n->inode), bytes);
	fuse_handle_done(n, h);
give:
	if (r < 0 && r != -ENOMEM)
		n->failed = r;
	sleeplock_give(&n->writing_back);
	return r;
}

static int failed(struct fuse_node *n, int r)
{
	if (r == 0)
		r = n->failed;
	n->failed = 0;
	return r;
}

int fuse_sync_pager(struct pager *p)
{
	struct fuse_node *n = fuse_of(container_of(p, struct inode, pager));

	return failed(n, fuse_write_back(n));
}

int fuse_sync_file(struct file *f, bool data_only)
{
	struct fuse_node *n = fuse_of(f->inode);
	struct fuse_fsync_in in = { .fsync_flags = data_only ? FUSE_FSYNC_FDATASYNC : 0 };
	struct fuse_call q = { .op = FUSE_FSYNC,
			       .node = n->by_id.key,
			       .in = { { &in, sizeof(in) } } };
	int r = failed(n, fuse_write_back(n));

	return r < 0 ? r : fuse_call_file(n, false, &q, &in.fh);
}

/* ---- some time later ---- */

void fuse_write_soon(struct fuse_node *n)
{
	struct fuse_conn *c = fuse_conn_of(&n->inode);

	c->hurry = true;
	(void) waitq_wake(&c->work, 0, 0);
}

int fuse_write_all(struct fuse_conn *c)
{
	struct list now = LIST_INIT(now), *l;
	int r = 0;

	sleeplock_take(&c->writing); /* what another one has taken is written, too */
	list_splice(&now, &c->dirty);
	while ((l = list_pop(&now))) {
		struct fuse_node *n = list_entry(l, struct fuse_node, to_write);
		int one;

		list_init(l);
		one = fuse_write_back(n);
		r = r < 0 ? r : one;
		fuse_writers_gone(n);
		inode_unref(&n->inode);
	}
	sleeplock_give(&c->writing);
	return r;
}

void fuse_writer(void *conn)
{
	struct fuse_conn *c = conn;

	for (;;) {
		nsec_t later;

		(void) waitq_wait(&c->work,
				  c->ends ? c->users == 0 : c->forgets_n || !list_empty(&c->dirty),
				  NSEC_NEVER, 0);
		if (c->ends && c->users == 0)
			break;
		later = plat_now(PLAT_MONOTONIC) + WRITE_LATER;
		(void) waitq_wait(&c->work, c->hurry, later, 0);
		c->hurry = false;
		fuse_forget_all(c);
		(void) fuse_write_all(c); /* each file keeps its error */
	}
	fuse_conn_free(c);
	fiber_exit();
}
