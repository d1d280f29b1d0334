/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's FUSE client before a server that answers what the bytes say: lengths, errors, modes,
 * sizes, numbers of nodes and names of entries; in any order, twice, to nobody, late or never; and
 * files that come with answers say what the bytes say, too.
 */
#include <asm/fcntl.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <string.h>

#include "kernel/fs/fuse.h"
#include "kernel/vfs/file.h"
#include "kernel_run.h"

#define WAITING 64
#define MOST	8192
#define LENT	7

struct peer {
	struct fuse_transport transport;
	struct kernel_run *k;
	struct fuse_conn *conn;
	struct fiber *fiber;
	struct {
		uint64_t unique;
		uint32_t op;
	} waiting[WAITING];
	size_t waiting_n;
	unsigned int lent; /* files that came with answers */
	bool ends;
};

static void fuzz_attr(struct kernel_run *k, struct fuse_attr *a)
{
	static const uint32_t types[] = { 0100000, 0040000, 0120000, 0010000 };
	unsigned int b = kernel_byte(k);

	a->ino = b;
	a->size = (uint64_t) kernel_byte(k) << (b >> 6) * 8;
	a->mode = types[b & 3] | 0777;
	a->nlink = 1;
	if ((b & 0x3c) == 0x3c)
		a->mode = kernel_byte(k) << 12;
	if ((b & 0x3c) == 0x38)
		a->size = UINT64_MAX - kernel_byte(k);
	a->mtime = a->mtimensec = kernel_byte(k);
}

/* ---- files that came with answers ---- */

static int64_t lent_bytes(struct fuse_transport *t, size_t n)
{
	struct kernel_run *k = container_of(t, struct peer, transport)->k;
	unsigned int b = kernel_byte(k);

	if ((b & 7) == 1)
		return -EAGAIN;
	if ((b & 7) == 2)
		return -5; /* EIO */
	return (int64_t) ((b & 7) == 3 ? n / 2 : n);
}

static int64_t lent_read(struct fuse_transport *t, int data, void *to, size_t n, uint64_t at)
{
	int64_t r = lent_bytes(t, n);

	if (data != LENT || at > INT64_MAX)
		abort();
	if (r > 0)
		memset(to, 'r', (size_t) r);
	return at > MOST * 4 ? 0 : r;
}

static int64_t lent_write(struct fuse_transport *t, int data, const void *from, size_t n,
			  uint64_t at)
{
	(void) from;
	if (data != LENT || at > INT64_MAX)
		abort();
	return lent_bytes(t, n);
}

static int lent_look(struct fuse_transport *t, int data, struct fuse_look *ret)
{
	struct peer *p = container_of(t, struct peer, transport);
	struct fuse_attr a = {};

	if (data != LENT)
		abort();
	fuzz_attr(p->k, &a);
	*ret = (struct fuse_look){ .mode = a.mode,
				   .links = kernel_byte(p->k),
				   .size = a.size,
				   .modify = (nsec_t) (a.mtime << (a.mtime & 63)) };
	return kernel_byte(p->k) & 1 ? -5 : 0;
}

static void lent_close(struct fuse_transport *t, int data)
{
	struct peer *p = container_of(t, struct peer, transport);

	if (data != LENT || p->lent-- == 0)
		abort();
}

/* ---- the server ---- */

static int peer_send(struct fuse_transport *t, const struct fuse_part *parts, size_t n)
{
	struct peer *p = container_of(t, struct peer, transport);
	struct fuse_in_header h;
	size_t bytes = 0;

	for (size_t i = 0; i < n; i++)
		bytes += parts[i].n;
	memcpy(&h, parts[0].at, sizeof(h));
	if (n == 0 || parts[0].n != sizeof(h) || h.len != bytes || bytes > MOST + FUSE_HEADS)
		abort();
	if (h.opcode == FUSE_BATCH_FORGET || h.opcode == FUSE_RELEASE ||
	    h.opcode == FUSE_RELEASEDIR)
		return 0;
	if (p->waiting_n == WAITING)
		return -EIO;
	p->waiting[p->waiting_n].unique = h.unique;
	p->waiting[p->waiting_n++].op = h.opcode;
	fiber_wake(p->fiber);
	return 0;
}

static size_t fuzz_entries(struct kernel_run *k, char *to, bool plus)
{
	size_t at = 0;

	for (unsigned int n = kernel_byte(k) & 7; n > 0; n--) {
		struct fuse_dirent d = { .ino = 5, .off = at + 1, .type = 4 };
		unsigned int of = kernel_byte(k);
		size_t head = plus ? sizeof(struct fuse_entry_out) : 0;

		memset(to + at, 0, 800);
		if (plus) {
			struct fuse_entry_out e = { .nodeid = of & 15 };

			fuzz_attr(k, &e.attr);
			memcpy(to + at, &e, sizeof(e));
		}
		/* Names that are looked up, and such as are none. */
		d.namelen = of & 16 ? kernel_byte(k) : 1;
		memcpy(to + at + head, &d, FUSE_NAME_OFFSET);
		memset(to + at + head + FUSE_NAME_OFFSET,
		       of & 32 ? (int) kernel_byte(k) : 'a' + (int) (of >> 7), d.namelen & 255);
		at += FUSE_REC_ALIGN(head + FUSE_NAME_OFFSET + d.namelen);
	}
	return at;
}

/* The body that the operation has, with the bytes' own contents. */
static size_t fuzz_body(struct kernel_run *k, uint32_t op, char *to)
{
	struct fuse_entry_out entry = { .nodeid = kernel_byte(k) & 15 };
	struct fuse_open_out open = { .fh = 1 };
	struct fuse_attr_out attr = {};
	size_t n;

	switch (op) {
	case FUSE_INIT:
		memcpy(to, &(struct fuse_init_out){ .major = 7, .minor = 31, .max_write = 1 << 20 },
		       sizeof(struct fuse_init_out));
		return sizeof(struct fuse_init_out);
	case FUSE_LOOKUP:
	case FUSE_MKDIR:
	case FUSE_MKNOD:
	case FUSE_SYMLINK:
	case FUSE_LINK:
	case FUSE_CREATE:
	case FUSE_TMPFILE:
		fuzz_attr(k, &entry.attr);
		memcpy(to, &entry, sizeof(entry));
		memcpy(to + sizeof(entry), &open, sizeof(open));
		return sizeof(entry) + (op == FUSE_CREATE || op == FUSE_TMPFILE ? sizeof(open) : 0);
	case FUSE_GETATTR:
	case FUSE_SETATTR:
		fuzz_attr(k, &attr.attr);
		memcpy(to, &attr, sizeof(attr));
		return sizeof(attr);
	case FUSE_OPEN:
	case FUSE_OPENDIR:
		memcpy(to, &open, sizeof(open));
		return sizeof(open);
	case FUSE_READDIR:
	case FUSE_READDIRPLUS:
		return fuzz_entries(k, to, op == FUSE_READDIRPLUS);
	default:
		n = kernel_byte(k);
		memset(to, (int) kernel_byte(k), n);
		return op == FUSE_WRITE || op == FUSE_LSEEK || op == FUSE_STATFS ? n & 0x58 : n;
	}
}

static void say(struct peer *p, char *message, struct fuse_out_header *h, uint64_t unique, size_t n,
		bool lends)
{
	h->unique = unique;
	memcpy(message, h, sizeof(*h));
	p->lent += lends;
	/* Without an answer it would wait for ever. */
	if (fuse_received(p->conn, message, n, lends ? LENT : FUSE_NO_DATA) < 0)
		fuse_lost(p->conn);
}

static void answer(struct peer *p, uint64_t unique, uint32_t op)
{
	static char message[MOST + FUSE_HEADS];
	struct kernel_run *k = p->k;
	struct fuse_out_header h = { .unique = unique };
	unsigned int how = op == FUSE_INIT ? 0 : kernel_byte(k);
	size_t n = sizeof(h);

	if ((how & 15) == 1)
		h.error = -(int) kernel_byte(k);
	else
		n += fuzz_body(k, op, message + sizeof(h));
	if ((how & 15) == 2)
		n = sizeof(h) + kernel_byte(k);
	h.len = (uint32_t) n + ((how & 31) == 4);
	if ((how & 15) == 3) /* to nobody, or to another's question */
		say(p, message, &h, unique + kernel_byte(k) - 128, n, false);
	say(p, message, &h, unique, (how & 31) == 5 ? 3 : n, how & 32);
	if ((how & 15) == 6) /* once more */
		say(p, message, &h, unique, n, how & 64);
}

static void serve(void *arg)
{
	struct peer *p = arg;

	while (!p->ends) {
		while (p->waiting_n > 0) {
			size_t which = p->waiting_n > 1 ? kernel_byte(p->k) % p->waiting_n : 0;
			uint64_t unique = p->waiting[which].unique;
			uint32_t op = p->waiting[which].op;

			p->waiting_n--;
			memmove(p->waiting + which, p->waiting + which + 1,
				(p->waiting_n - which) * sizeof(p->waiting[0]));
			answer(p, unique, op);
		}
		if (!p->ends)
			fiber_park();
	}
	fiber_exit();
}

static bool name(struct dir_sink *to, const char *bytes, size_t len, uint64_t ino, uint32_t mode,
		 uint64_t next)
{
	(void) to;
	(void) ino;
	(void) mode;
	if (len == 0 || len > NAME_LONGEST || memchr(bytes, '/', len) || next > INT64_MAX)
		abort();
	return true;
}

static void use_file(struct kernel_run *k, struct file *f)
{
	char bytes[600] = {};
	struct dir_sink sink = { .entry = name };
	uint64_t pos = (uint64_t) kernel_byte(k) << 4;
	struct pager *p;
	struct uio u;

	uio_kernel(&u, bytes, kernel_byte(k) * 2);
	if (kernel_byte(k) & 1)
		(void) !vfs_read(f, &u, &pos);
	else
		(void) !file_write(f, &u, &pos, UINT64_MAX);
	if (f->ops->iterate)
		(void) !f->ops->iterate(f, 0, &sink);
	if (f->ops->mmap && f->ops->mmap(f, &p) == 0 && file_can_write(f))
		(void) !pager_write(p, kernel_byte(k), bytes, sizeof(bytes));
	if (f->ops->allocate)
		(void) !f->ops->allocate(f, 3, kernel_byte(k), 4096);
	(void) !file_seek(f, kernel_byte(k), kernel_byte(k) & 7);
	if (f->ops->sync && kernel_byte(k) & 1)
		(void) !f->ops->sync(f, false);
}

static void step(struct kernel_run *k, const struct walk *w)
{
	static const char *const paths[] = { "a", "b", "a/b", "a/b/a", "b/.." };
	unsigned int what = kernel_byte(k);
	const char *one = paths[what % 5], *two = paths[(what >> 4) % 5];
	static char text[5000];
	struct vfs_change c = { .what = kernel_byte(k) & 63, .size = kernel_byte(k) };
	struct file *f;
	struct path p;

	switch (kernel_byte(k) & 7) {
	case 0:
	case 1:
		/* A pipe is not waited for. */
		if (names_open(w, one, O_NONBLOCK | (what & 7) << 6 | (what >> 6), 0644, &f) == 0) {
			use_file(k, f);
			file_unref(f);
		}
		break;
	case 2:
		(void) !names_create(w, one, what & 1 ? 0040755u : 0120777u, 0, "a");
		break;
	case 3:
		(void) !names_remove(w, one, what & 1 ? 0x200 : 0);
		break;
	case 4:
		(void) !names_rename(w, one, w, two, what & 3);
		break;
	default:
		if (walk(w, one, what & 1 ? WALK_FOLLOW : 0, &p) < 0)
			break;
		if (p.dentry->inode->ops->refresh)
			(void) !p.dentry->inode->ops->refresh(p.dentry->inode);
		(void) !inode_change(p.dentry->inode, &kernel_root, &c);
		if (p.dentry->inode->ops->xattr_list(p.dentry->inode, text, sizeof(text)) >
			    (int64_t) sizeof(text) ||
		    p.dentry->inode->ops->xattr_get(p.dentry->inode, "user.a", text, what & 127) >
			    (what & 127 ? what & 127 : 65536))
			abort();
		(void) !names_link(&p, w, two);
		path_unref(&p);
		break;
	}
	if (what > 250)
		(void) fiber_park_until(plat_now(PLAT_MONOTONIC) + 5 * NSEC_PER_SEC);
}

static void client(struct kernel_run *k)
{
	struct peer p = { .transport = { .send = peer_send,
					 .most = MOST,
					 .read = lent_read,
					 .write = lent_write,
					 .look = lent_look,
					 .close = lent_close },
			  .k = k };
	struct mount_space *mounts;
	struct super *s;
	struct path top;

	if (sched_spawn(serve, &p, &p.fiber) < 0 || fuse_connect(&p.transport, &p.conn) < 0)
		abort();
	if (fuse_new(p.conn,
		     &(struct fuse_share){
			     .name = "s", .valid = NSEC_PER_SEC, .own = kernel_byte(k) & 1 },
		     &s) == 0) {
		mounts = mount_space_new(s, 0, "fuse");
		super_leave(s);
		top = (struct path){ mounts->root, mounts->root->root };
		path_ref(&top);
		for (unsigned int n = 0; n < 200 && k->left > 0; n++) {
			const struct walk w = { .root = &top, .start = &top, .who = &kernel_root };

			step(k, &w);
		}
		(void) !fuse_sync();
		path_unref(&top);
		mount_space_unref(mounts);
	}
	p.ends = true;
	fiber_wake(p.fiber);
	fuse_disconnect(p.conn);
	fiber_yield();
	fiber_yield();
	if (p.lent > 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	kernel_run(data, size < 100000 ? size : 100000, client);
	return 0;
}
