/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Contents of files of the FUSE client, as they are read: handles and pages.
 *
 * A node has at most two handles at the server, which all its open files share: rights are checked
 * here, by inode. That for reading stays, among HANDLES_MOST, so that a file that was open once is
 * opened again without a call; that for writing goes with the last file open for writing, since a
 * host does not execute what is open so.
 */
#include <asm/fcntl.h>
#include <linux/fs.h>

#include "kernel/core/heap.h"
#include "kernel/fs/fuse_node.h"
#include "kernel/mm/frame.h"
#include "kernel/platform/platform.h"
#include "kernel/vfs/file.h"

#define HANDLES_MOST 512
/* Pages that are read at once: where they come in a row, and elsewhere; powers of two. */
#define AHEAD_MOST  32u
#define AHEAD_FIRST 4u
/* Pages of all files together: at most, and this share of the guest's memory. The host has them,
 * too. */
#define CACHED_MOST  ((uint64_t) 65536)
#define CACHED_SHARE 2

/* ---- handles ---- */

static void give_up(struct fuse_node *n, struct fuse_handle *h)
{
	if (!h->open)
		return;
	h->open = false;
	fuse_data_close(fuse_conn_of(&n->inode), h->data);
	fuse_farewell(fuse_conn_of(&n->inode), FUSE_RELEASE, n->by_id.key, h->fh);
}

static void forget_reading(struct fuse_node *n)
{
	struct fuse_conn *c = fuse_conn_of(&n->inode);

	if (n->reading.next != &n->reading) {
		list_remove(&n->reading);
		list_init(&n->reading);
		c->reading_n--;
	}
	give_up(n, &n->read);
}

void fuse_close(struct fuse_node *n)
{
	forget_reading(n);
	give_up(n, &n->write);
}

/* The oldest that no call uses go. */
static void bound_handles(struct fuse_conn *c)
{
	size_t tried = 0;

	while (c->reading_n > HANDLES_MOST && tried++ < HANDLES_MOST) {
		struct fuse_node *n = list_entry(c->reading.next, struct fuse_node, reading);

		if (n->read.users == 0) {
			forget_reading(n);
			continue;
		}
		list_remove(&n->reading);
		list_push(&c->reading, &n->reading);
	}
}

int fuse_call_open(struct fuse_conn *c, struct fuse_call *q)
{
	int r = fuse_call(c, q);

	if ((r != -ENFILE && r != -EMFILE) || !(c->reading_n || c->forgets_n))
		return r;
	list_each_safe(l, &c->reading)
	{
		struct fuse_node *n = list_entry(l, struct fuse_node, reading);

		if (n->read.users == 0)
			forget_reading(n);
	}
	fuse_forget_all(c);
	return fuse_call(c, q);
}

static void keep(struct fuse_node *n, bool write, uint64_t fh, int data)
{
	struct fuse_conn *c = fuse_conn_of(&n->inode);
	struct fuse_handle *h = write ? &n->write : &n->read;

	if (h->open) { /* another was quicker */
		fuse_data_close(c, data);
		fuse_farewell(c, FUSE_RELEASE, n->by_id.key, fh);
		return;
	}
	h->open = true;
	h->fh = fh;
	h->data = data;
	if (write)
		return;
	list_push(&c->reading, &n->reading);
	c->reading_n++;
	bound_handles(c);
}

void fuse_opened(struct fuse_node *n, const struct fuse_open_out *o, int data)
{
	keep(n, true, o->fh, data);
}

int fuse_handle(struct fuse_node *n, bool write, struct fuse_handle **ret)
{
	struct fuse_open_in in = { .flags = write ? O_RDWR : O_RDONLY };
	struct fuse_open_out out;
	struct fuse_call q = { .op = FUSE_OPEN,
			       .node = n->by_id.key,
			       .in = { { &in, sizeof(in) } },
			       .out = &out,
			       .least = sizeof(out),
			       .room = sizeof(out) };

	for (;;) {
		struct fuse_handle *h = n->write.open || write ? &n->write : &n->read;
		int r;

		if (h->open) {
			h->users++;
			*ret = h;
			return 0;
		}
		r = fuse_call_open(fuse_conn_of(&n->inode), &q);
		if (r < 0)
			return r;
		keep(n, write, out.fh, q.data);
	}
}

void fuse_handle_done(struct fuse_node *n, struct fuse_handle *h)
{
	h->users--;
	if (h == &n->write)
		fuse_writers_gone(n);
}

int fuse_call_file(struct fuse_node *n, bool write, struct fuse_call *q, uint64_t *fh)
{
	int r = n->dirty_n ? fuse_write_back(n) : 0;
	struct fuse_handle *h;

	if (r == 0)
		r = fuse_handle(n, write, &h);
	if (r < 0)
		return r;
	*fh = h->fh;
	r = fuse_call(fuse_conn_of(&n->inode), q);
	fuse_handle_done(n, h);
	return r;
}

/* The last that writes is gone, and nothing is left to be written. */
void fuse_writers_gone(struct fuse_node *n)
{
	if (n->inode.writers == 0 && n->write.users == 0 && n->inode.pager.owners == 0 &&
	    n->dirty_n == 0 && n->write.open) {
		if (n->inode.owners > 0) /* who looks next need not ask */
			(void) fuse_look(n);
		give_up(n, &n->write);
	}
}

/* ---- pages ---- */

/* How many pages from `index` on are to be read with it. */
static uint64_t window(struct fuse_node *n, uint64_t index)
{
	struct pager *p = &n->inode.pager;
	uint64_t end = (p->size + PAGE_SIZE - 1) >> PAGE_SHIFT, most, count = 1;

	if (index == 0 || index == n->ahead)
		n->window = n->window < AHEAD_FIRST ? AHEAD_FIRST * 2
						    : min_of(n->window * 2, AHEAD_MOST);
	else
		n->window = AHEAD_FIRST;
	most = min_of((uint64_t) n->window, fuse_conn_of(&n->inode)->transport->most >> PAGE_SHIFT);
	while (count < most && index + count < end && !radix_get(&p->pages, index + count))
		count++;
	n->ahead = index + count;
	return count;
}

/* Without the server: all of it is in the host's memory, or is behind the end. -EAGAIN: not. */
static int read_data(struct fuse_node *n, const struct fuse_handle *h, uint64_t at, void *to,
		     size_t count)
{
	struct fuse_transport *t = fuse_conn_of(&n->inode)->transport;
	int64_t done = 0, r = h->data < 0 ? -EAGAIN : 1;

	while (r > 0 && (size_t) done < count) {
		r = t->read(t, h->data, (char *) to + done, count - (size_t) done,
			    at + (uint64_t) done);
		if (r > 0)
			done += r;
	}
	return r < 0 ? (int) r : 0;
}

/* What was read while something was written may be of before: once more. */
static int read_pages(struct fuse_node *n, uint64_t index, void *to, uint64_t pages)
{
	uint64_t version;
	struct fuse_read_in in = { .offset = index << PAGE_SHIFT,
				   .size = (uint32_t) (pages << PAGE_SHIFT) };
	struct fuse_call q = { .op = FUSE_READ,
			       .node = n->by_id.key,
			       .in = { { &in, sizeof(in) } },
			       .out = to,
			       .room = in.size };
	struct fuse_handle *h;
	int r = fuse_handle(n, false, &h);

	if (r < 0)
		return r;
	r = read_data(n, h, index << PAGE_SHIFT, to, in.size);
	if (r != -EAGAIN) {
		fuse_handle_done(n, h);
		return r;
	}
	in.fh = h->fh;
	do {
		version = n->version;
		r = fuse_call(fuse_conn_of(&n->inode), &q);
		if (r == 0 && q.got < in.size)
			memset((char *) to + q.got, 0, in.size - q.got);
	} while (r == 0 && version != n->version);
	fuse_handle_done(n, h);
	return r;
}

static void give(struct fuse_node *n, uint64_t index, uint64_t frame)
{
	struct pager *p = &n->inode.pager;
	uint64_t before = p->resident;

	pager_give(p, index, frame);
	fuse_conn_of(&n->inode)->pages += p->resident - before;
}

/* A run of frames in a row, as the pages behind are to be read with it. */
static int fill_run(struct fuse_node *n, uint64_t index, void *page, uint64_t pages)
{
	unsigned int order = 0;
	uint64_t first;
	int r;

	while (pages >> (order + 1))
		order++;
	first = order ? frame_alloc(order) : FRAME_NONE;
	if (first == FRAME_NONE)
		return read_pages(n, index, page, 1);
	pages = (uint64_t) 1 << order;
	r = read_pages(n, index, frame_ptr(first), pages);
	if (r == 0)
		memcpy(page, frame_ptr(first), PAGE_SIZE);
	frame_unref(first);
	for (uint64_t at = 1; at < pages; at++) {
		if (r == 0)
			give(n, index + at, first + at);
		else
			frame_unref(first + at);
	}
	return r;
}

bool fuse_evict(struct fuse_conn *c)
{
	list_each_safe(l, &c->cached)
	{
		struct fuse_node *n = list_entry(l, struct fuse_node, cached);

		if (n->filling || n->dirty_n || n->inode.pager.owners)
			continue;
		list_remove(&n->cached);
		list_init(&n->cached);
		if (n->inode.pager.resident == 0)
			continue;
		pager_drop(&n->inode.pager, 0, UINT64_MAX);
		return true;
	}
	return false;
}

/* Room for more: others' pages go, and where that is not enough its own, also out of mappings. */
static void bound_pages(struct fuse_conn *c, struct fuse_node *n, uint64_t index)
{
	uint64_t most = min_of(CACHED_MOST, frame_budget() / CACHED_SHARE);

	while (c->pages > most && fuse_evict(c))
		;
	if (c->pages <= most || (n->dirty_n && fuse_write_back(n) < 0))
		return;
	pager_drop(&n->inode.pager, 0, index);
	pager_drop(&n->inode.pager, index + 1, UINT64_MAX);
}

static void dropped(struct pager *p, uint64_t pages)
{
	fuse_conn_of(container_of(p, struct inode, pager))->pages -= pages;
}

/* What the host has in its memory is near. */
static int fill_ahead(struct pager *p, uint64_t first, uint64_t count, void *pages,
		      enum pager_ahead how)
{
	struct fuse_node *n = fuse_of(container_of(p, struct inode, pager));
	struct fuse_conn *c = fuse_conn_of(&n->inode);
	uint64_t most = min_of(CACHED_MOST, frame_budget() / CACHED_SHARE);
	struct fuse_handle *h;
	int r = 0;

	if (how == PAGER_ANYHOW && count << PAGE_SHIFT > c->transport->most)
		how = PAGER_NEAR;
	/* What the last that writes leaves to be done parks, too. */
	if (how == PAGER_AT_HAND && (n->write.open || !n->read.open))
		return -EAGAIN;
	list_remove(&n->cached);
	list_push(&c->cached, &n->cached);
	n->filling++;
	while (c->pages + count > most && fuse_evict(c))
		;
	if (c->pages + count > most)
		r = -EAGAIN;
	if (r == 0 && how == PAGER_ANYHOW) {
		r = read_pages(n, first, pages, count);
	} else if (r == 0) {
		r = fuse_handle(n, false, &h);
		if (r == 0) {
			r = read_data(n, h, first << PAGE_SHIFT, pages, count << PAGE_SHIFT);
			fuse_handle_done(n, h);
		}
	}
	n->filling--;
	if (r < 0)
		return r;
	c->pages += count;
	n->ahead = first + count;
	return 0;
}

static int fill(struct pager *p, uint64_t index, void *page)
{
	struct fuse_node *n = fuse_of(container_of(p, struct inode, pager));
	struct fuse_conn *c = fuse_conn_of(&n->inode);
	int r;

	list_remove(&n->cached);
	list_push(&c->cached, &n->cached);
	n->filling++;
	bound_pages(c, n, index);
	r = fill_run(n, index, page, window(n, index));
	n->filling--;
	if (r == 0)
		c->pages++; /* or it is told by dropped() */
	return r == -ENOMEM ? r : r < 0 ? -EIO : 0;
}

static void hold(struct pager *p)
{
	inode_ref(container_of(p, struct inode, pager));
}

/* The last mapping is gone. */
static void let_go(struct pager *p)
{
	struct fuse_node *n = fuse_of(container_of(p, struct inode, pager));

	if (n->dirty_n)
		fuse_write_soon(n);
	else
		fuse_writers_gone(n);
	inode_unref(&n->inode);
}

const struct pager_ops fuse_pager_ops = {
	.fill = fill,
	.ahead = true,
	.fill_ahead = fill_ahead,
	.touch = fuse_touch,
	.sync = fuse_sync_pager,
	.dropped = dropped,
	.hold = hold,
	.release = let_go,
};

/* ---- files ---- */

static int64_t read(struct file *f, struct uio *to, uint64_t *pos)
{
	int r = fuse_expired(f->inode);

	return r < 0 ? r : file_regular_ops()->read(f, to, pos);
}

static int map(struct file *f, struct pager **ret)
{
	int r = fuse_expired(f->inode);

	*ret = &f->inode->pager;
	return r;
}

static int64_t seek(struct file *f, int64_t offset, int whence)
{
	struct fuse_node *n = fuse_of(f->inode);
	struct fuse_lseek_in in = { .offset = (uint64_t) offset, .whence = (uint32_t) whence };
	struct fuse_lseek_out out;
	struct fuse_call q = { .op = FUSE_LSEEK,
			       .node = n->by_id.key,
			       .in = { { &in, sizeof(in) } },
			       .out = &out,
			       .least = sizeof(out),
			       .room = sizeof(out) };
	int r = whence == SEEK_SET || whence == SEEK_CUR ? 0 : fuse_expired(f->inode);

	if (r < 0)
		return r;
	if (whence != SEEK_DATA && whence != SEEK_HOLE)
		return file_regular_ops()->seek(f, offset, whence);
	if (offset < 0 || (uint64_t) offset >= f->inode->pager.size)
		return -ENXIO;
	r = fuse_call_file(n, false, &q, &in.fh);
	return r < 0 ? r : out.offset > INT64_MAX ? -EIO : (int64_t) out.offset;
}

static void flush(struct file *f, const void *owner)
{
	struct fuse_node *n = fuse_of(f->inode);

	(void) owner;
	if (file_can_write(f) && n->dirty_n)
		fuse_write_soon(n);
}

static void release(struct file *f)
{
	if (file_can_write(f))
		fuse_writers_gone(fuse_of(f->inode));
}

static const struct file_ops file_ops = {
	.read = read,
	.write = fuse_write,
	.seek = seek,
	.mmap = map,
	.sync = fuse_sync_file,
	.allocate = fuse_allocate,
	.flush = flush,
	.release = release,
};

int fuse_open(struct inode *i, struct file *f)
{
	struct fuse_handle *h;
	int r;

	if (inode_is(i, S_IFDIR)) {
		f->ops = &fuse_dir_ops;
		return 0;
	}
	f->ops = &file_ops;
	r = fuse_expired(i);
	if (r == 0)
		r = fuse_handle(fuse_of(i), file_can_write(f), &h);
	if (r == 0)
		h->users--; /* the file is counted as a writer next */
	return r;
}
