/* SPDX-License-Identifier: Apache-2.0 */
/* The FUSE client before a small server of one directory: what it asks, keeps, and believes. */
#include <asm/fcntl.h>
#include <linux/fuse.h>

#include "kernel/fs/fuse_node.h"
#include "kernel/mm/frame.h"
#include "kernel/platform/sim/test_run.h"
#include "kernel/task/cred.h"
#include "kernel/vfs/file.h"
#include "kernel/vfs/names.h"

#define FILES	8
#define BYTES	40000
#define MOST	16384
#define ROOT_ID 2 /* of the share; files follow */

static struct cred root_cred = { .effective = UINT64_MAX };

struct request {
	size_t n;
	char bytes[MOST + FUSE_HEADS];
};

static struct peer {
	struct fuse_transport transport;
	struct fuse_conn *conn;
	struct fiber *fiber;
	struct request queue[4];
	size_t queued;
	bool ends, silent, full;
	int error;		/* of all but FORGET */
	unsigned int asked[64]; /* by operation */
	unsigned int cut;	/* bytes that answers are too short */
	uint64_t forgotten, handles;
	bool lends; /* files themselves: numbers of their places */
	unsigned int lent, looked;
	uint32_t makes; /* another mode than what is asked for */
	struct {
		char name[32];
		uint64_t size, mtime;
		uint32_t mode, uid, links;
		char bytes[BYTES];
	} files[FILES];
} peer;

static int peer_send(struct fuse_transport *t, const struct fuse_part *parts, size_t n)
{
	struct request *q = &peer.queue[peer.queued];
	struct fuse_in_header h;

	(void) t;
	if (peer.full)
		return -EAGAIN;
	CHECK(peer.queued < countof(peer.queue));
	q->n = 0;
	for (size_t i = 0; i < n; i++) {
		memcpy(q->bytes + q->n, parts[i].at, parts[i].n);
		q->n += parts[i].n;
	}
	memcpy(&h, q->bytes, sizeof(h));
	CHECK(h.len == q->n);
	if (h.opcode == FUSE_BATCH_FORGET) {
		struct fuse_batch_forget_in in;

		memcpy(&in, q->bytes + sizeof(h), sizeof(in));
		CHECK(h.len == sizeof(h) + sizeof(in) + in.count * sizeof(struct fuse_forget_one));
		CHECK(h.unique == 0);
		peer.asked[h.opcode]++;
		peer.forgotten += in.count;
		return 0;
	}
	if (h.opcode == FUSE_RELEASE || h.opcode == FUSE_RELEASEDIR) {
		CHECK(h.unique == 0);
		peer.handles--;
		return 0;
	}
	peer.queued++;
	fiber_wake(peer.fiber);
	return 0;
}

static size_t find(const char *name)
{
	size_t n = 0;

	while (n < FILES && strcmp(peer.files[n].name, name) != 0)
		n++;
	return n;
}

static struct fuse_attr attr_of(uint64_t id)
{
	uint64_t n = id - ROOT_ID - 1;

	if (id == ROOT_ID)
		return (struct fuse_attr){ .ino = 1, .mode = S_IFDIR | 0755, .nlink = 2 };
	return (struct fuse_attr){ .ino = id,
				   .mode = peer.files[n].mode,
				   .uid = peer.files[n].uid,
				   .size = peer.files[n].size,
				   .mtime = peer.files[n].mtime,
				   .nlink = peer.files[n].links };
}

static size_t put(char *to, const void *from, size_t n)
{
	memcpy(to, from, n);
	return n;
}

static size_t put_entry(char *to, uint64_t id)
{
	struct fuse_entry_out e = { .nodeid = id, .attr = attr_of(id) };

	return put(to, &e, sizeof(e));
}

static int set(uint64_t id, const char *body)
{
	size_t n = id - ROOT_ID - 1;
	struct fuse_setattr_in in;

	memcpy(&in, body, sizeof(in));
	if (in.valid & FATTR_SIZE)
		peer.files[n].size = in.size;
	if (in.valid & FATTR_MODE)
		peer.files[n].mode = S_IFREG | in.mode;
	peer.files[n].mtime++;
	return 0;
}

static int move(uint64_t id, uint32_t op, const char *body, char *to, size_t *ret)
{
	size_t n = id - ROOT_ID - 1;
	struct fuse_write_in w;
	struct fuse_read_in r;

	if (op == FUSE_WRITE) {
		memcpy(&w, body, sizeof(w));
		if (w.offset + w.size > BYTES)
			return -ENOSPC;
		memcpy(peer.files[n].bytes + w.offset, body + sizeof(w), w.size);
		peer.files[n].size = max_of(peer.files[n].size, w.offset + w.size);
		peer.files[n].mtime++;
		*ret = put(to, &(struct fuse_write_out){ .size = w.size },
			   sizeof(struct fuse_write_out));
		return 0;
	}
	memcpy(&r, body, sizeof(r));
	if (r.offset < peer.files[n].size)
		*ret = put(to, peer.files[n].bytes + r.offset,
			   min_of((size_t) r.size, (size_t) (peer.files[n].size - r.offset)));
	return 0;
}

static int make(const struct fuse_in_header *h, const char *body, char *to, size_t *ret)
{
	size_t n = find("");
	struct fuse_create_in in;

	memcpy(&in, body, sizeof(in));
	CHECK(n < FILES);
	memcpy(peer.files[n].name, body + sizeof(in), strlen(body + sizeof(in)));
	peer.files[n].mode = peer.makes ? peer.makes : in.mode;
	peer.files[n].uid = h->uid;
	peer.files[n].links = 1;
	peer.files[n].size = peer.files[n].mtime = 0;
	peer.handles++;
	*ret = put_entry(to, ROOT_ID + 1 + n);
	*ret += put(to + *ret, &(struct fuse_open_out){ .fh = 9 }, sizeof(struct fuse_open_out));
	return 0;
}

/* The listing's position: 0 and 1 are dots, files follow. */
static size_t put_listing(char *to, uint64_t at, bool plus)
{
	size_t n = 0;

	for (; at < 2 + FILES; at++) {
		const char *name = at == 0 ? "." : at == 1 ? ".." : peer.files[at - 2].name;
		struct fuse_dirent d = { .ino = 1, .off = at + 1, .type = at < 2 ? 4 : 8 };
		struct fuse_entry_out e = {};
		size_t head = n;

		if (!*name)
			continue;
		if (at >= 2)
			e = (struct fuse_entry_out){ .nodeid = ROOT_ID - 1 + at,
						     .attr = attr_of(ROOT_ID - 1 + at) };
		d.namelen = (uint32_t) strlen(name);
		if (plus)
			n += put(to + n, &e, sizeof(e));
		n += put(to + n, &d, FUSE_NAME_OFFSET);
		n += put(to + n, name, d.namelen);
		n = head + FUSE_REC_ALIGN(n - head);
	}
	return n;
}

static int do_one(const struct fuse_in_header *h, const char *body, char *to, size_t *ret)
{
	struct fuse_attr_out attr = {};
	size_t n;

	switch (h->opcode) {
	case FUSE_INIT:
		*ret = put(to,
			   &(struct fuse_init_out){ .major = 7, .minor = 38, .max_write = 1 << 20 },
			   sizeof(struct fuse_init_out));
		return 0;
	case FUSE_LOOKUP:
		n = h->nodeid == FUSE_ROOT_ID ? FILES : find(body);
		if (h->nodeid == FUSE_ROOT_ID ? strcmp(body, "share") != 0 : n == FILES)
			return -ENOENT;
		*ret = put_entry(to, n == FILES ? ROOT_ID : ROOT_ID + 1 + n);
		return 0;
	case FUSE_GETATTR:
	case FUSE_SETATTR:
		if (h->opcode == FUSE_SETATTR)
			(void) set(h->nodeid, body);
		attr.attr = attr_of(h->nodeid);
		*ret = put(to, &attr, sizeof(attr));
		return 0;
	case FUSE_CREATE:
		return make(h, body, to, ret);
	case FUSE_OPEN:
		peer.handles++;
		*ret = put(to, &(struct fuse_open_out){ .fh = 8 }, sizeof(struct fuse_open_out));
		return 0;
	case FUSE_READ:
	case FUSE_WRITE:
		return move(h->nodeid, h->opcode, body, to, ret);
	case FUSE_OPENDIR:
		peer.handles++;
		*ret = put(to, &(struct fuse_open_out){ .fh = 7 }, sizeof(struct fuse_open_out));
		return 0;
	case FUSE_READDIR:
	case FUSE_READDIRPLUS: {
		struct fuse_read_in in;

		memcpy(&in, body, sizeof(in));
		*ret = put_listing(to, in.offset, h->opcode == FUSE_READDIRPLUS);
		return 0;
	}
	case FUSE_UNLINK:
		n = find(body);
		peer.files[n].name[0] = '\0';
		memset(peer.files[n].name, 0, sizeof(peer.files[n].name));
		peer.files[n].links = 0;
		return 0;
	case FUSE_FSYNC:
		return 0;
	default:
		return -ENOSYS;
	}
}

/* A file that goes with an answer: its place. */
static int lend(const struct fuse_in_header *h, const struct request *q)
{
	if (!peer.lends || (h->opcode != FUSE_CREATE && h->opcode != FUSE_OPEN))
		return FUSE_NO_DATA;
	peer.lent++;
	return h->opcode == FUSE_OPEN
		       ? (int) (h->nodeid - ROOT_ID - 1)
		       : (int) find(q->bytes + sizeof(*h) + sizeof(struct fuse_create_in));
}

static int64_t lent_read(struct fuse_transport *t, int data, void *to, size_t n, uint64_t at)
{
	uint64_t size = peer.files[data].size;

	(void) t;
	n = at < size ? min_of(n, (size_t) (size - at)) : 0;
	memcpy(to, peer.files[data].bytes + at, n);
	return (int64_t) n;
}

static int64_t lent_write(struct fuse_transport *t, int data, const void *from, size_t n,
			  uint64_t at)
{
	(void) t;
	CHECK(at + n <= BYTES);
	memcpy(peer.files[data].bytes + at, from, n);
	peer.files[data].size = max_of(peer.files[data].size, at + n);
	peer.files[data].mtime++;
	return (int64_t) n;
}

static int lent_look(struct fuse_transport *t, int data, struct fuse_look *ret)
{
	(void) t;
	peer.looked++;
	*ret = (struct fuse_look){ .mode = peer.files[data].mode,
				   .links = peer.files[data].links,
				   .size = peer.files[data].size,
				   .modify = (nsec_t) peer.files[data].mtime * NSEC_PER_SEC };
	return 0;
}

static void lent_close(struct fuse_transport *t, int data)
{
	(void) t;
	(void) data;
	peer.lent--;
}

static void serve_one(void)
{
	static char reply[MOST + FUSE_HEADS];
	static struct request q;
	struct fuse_out_header out = {};
	struct fuse_in_header h;
	size_t n = 0;

	q = peer.queue[0];
	memmove(peer.queue, peer.queue + 1, sizeof(peer.queue) - sizeof(q));
	peer.queued--;
	memcpy(&h, q.bytes, sizeof(h));
	peer.asked[h.opcode]++;
	out.unique = h.unique;
	out.error = peer.error ? peer.error
			       : do_one(&h, q.bytes + sizeof(h), reply + sizeof(out), &n);
	n = out.error ? 0 : n - min_of(n, (size_t) peer.cut);
	out.len = (uint32_t) (sizeof(out) + n);
	memcpy(reply, &out, sizeof(out));
	CHECK(fuse_received(peer.conn, reply, sizeof(out) + n, lend(&h, &q)) == 0);
}

static void serve(void *arg)
{
	(void) arg;
	while (!peer.ends) {
		while (peer.queued > 0 && !peer.silent)
			serve_one();
		fiber_park();
	}
	fiber_exit();
}

/* How often it was asked since the last time. */
static unsigned int asked(uint32_t op)
{
	unsigned int n = peer.asked[op];

	peer.asked[op] = 0;
	return n;
}

static void later(nsec_t t)
{
	(void) fiber_park_until(plat_now(PLAT_MONOTONIC) + t);
}

static struct path top;

static struct walk from_top(void)
{
	return (struct walk){ .root = &top, .start = &top, .who = &root_cred };
}

static int open_at(const char *name, unsigned int flags, struct file **ret)
{
	struct walk w = from_top();

	return names_open(&w, name, flags, 0644, ret);
}

static int64_t put_bytes(struct file *f, uint64_t at, const char *text)
{
	struct uio u;

	uio_kernel(&u, (void *) (uintptr_t) text, strlen(text));
	return file_write(f, &u, &at, UINT64_MAX);
}

static int64_t get_bytes(struct file *f, uint64_t at, char *to, size_t n)
{
	struct uio u;

	uio_kernel(&u, to, n);
	return vfs_read(f, &u, &at);
}

static int look(const char *name)
{
	struct walk w = from_top();
	struct path p;
	int r = walk(&w, name, 0, &p);

	if (r == 0)
		path_unref(&p);
	return r;
}

static void names_are_known(void)
{
	CHECK(look("a") == -ENOENT && asked(FUSE_LOOKUP) == 1);
	CHECK(look("a") == -ENOENT && asked(FUSE_LOOKUP) == 0);
	later(FUSE_ABSENT);
	memcpy(peer.files[0].name, "a", 2);
	peer.files[0].mode = S_IFREG | 0644;
	peer.files[0].links = 1;
	CHECK(look("a") == 0 && look("a") == 0 && asked(FUSE_LOOKUP) == 1);
	later(2 * NSEC_PER_SEC);
	CHECK(look("a") == 0 && asked(FUSE_LOOKUP) == 1);
	/* Another file of that name, seen when the name is no longer valid. */
	memcpy(peer.files[0].name, "x", 2);
	CHECK(look("a") == 0);
	later(2 * NSEC_PER_SEC);
	CHECK(look("a") == -ENOENT && look("x") == 0);
	memcpy(peer.files[0].name, "a", 2);
	later(2 * NSEC_PER_SEC);
}

static void bytes_go_through(void)
{
	struct file *f;
	char text[8] = {};

	CHECK(open_at("new", O_CREAT | O_RDWR, &f) == 0);
	CHECK(asked(FUSE_CREATE) == 1 && asked(FUSE_OPEN) == 0 && peer.handles == 1);
	CHECK(put_bytes(f, 0, "hello") == 5);
	CHECK(memcmp(peer.files[1].bytes, "hello", 5) == 0 && peer.files[1].size == 5);
	CHECK(get_bytes(f, 1, text, 7) == 4 && memcmp(text, "ello", 4) == 0);
	CHECK(put_bytes(f, 4, "p!") == 2 && asked(FUSE_READ) == 1);
	CHECK(get_bytes(f, 0, text, 8) == 6 && memcmp(text, "hellp!", 6) == 0);
	CHECK(asked(FUSE_READ) == 0); /* the page is here, and what was written is in it */
	CHECK(put_bytes(f, BYTES - 1, "yz") == -ENOSPC);
	CHECK(put_bytes(f, BYTES - 1, "y") == 1 && f->inode->pager.size == BYTES);
	file_unref(f);
	CHECK(peer.handles == 0); /* to write by: nobody does */
}

/* What others write is seen when attributes are no longer valid. */
static void others_write(void)
{
	struct file *f;
	char text[4] = {};

	CHECK(open_at("new", O_RDONLY, &f) == 0);
	CHECK(get_bytes(f, 0, text, 4) == 4 && memcmp(text, "hell", 4) == 0);
	later(2 * NSEC_PER_SEC);
	memcpy(peer.files[1].bytes, "HELL", 4);
	peer.files[1].mtime++;
	CHECK(get_bytes(f, 0, text, 4) == 4);
	later(2 * NSEC_PER_SEC);
	CHECK(get_bytes(f, 0, text, 4) == 4 && memcmp(text, "HELL", 4) == 0);
	file_unref(f);
}

static struct inode *inode_at(const char *name)
{
	struct walk w = from_top();
	struct inode *i;
	struct path p;

	CHECK(walk(&w, name, 0, &p) == 0);
	i = p.dentry->inode;
	inode_ref(i);
	path_unref(&p);
	return i;
}

/* What this client has written itself it knows of the file, which it has. */
static void own_writes_are_known(void)
{
	struct inode *i;
	struct file *f;

	peer.lends = true;
	CHECK(open_at("lent", O_CREAT | O_RDWR, &f) == 0 && peer.lent == 1);
	i = f->inode;
	inode_ref(i);
	(void) asked(FUSE_GETATTR);
	(void) asked(FUSE_WRITE);
	CHECK(put_bytes(f, 0, "hello") == 5 && asked(FUSE_WRITE) == 0);
	CHECK(fuse_refresh(i) == 0 && peer.looked == 1 && i->pager.size == 5);
	CHECK(fuse_refresh(i) == 0 && peer.looked == 1); /* nothing has changed since */
	CHECK(put_bytes(f, 5, "!") == 1);
	file_unref(f); /* the last look, as the file goes */
	CHECK(peer.looked == 2 && peer.lent == 0 && fuse_refresh(i) == 0);
	CHECK(asked(FUSE_GETATTR) == 0 && i->times.modify == 2 * NSEC_PER_SEC);
	/* Who owns it is the server's to tell, as soon as ever. */
	CHECK(open_at("lent", O_RDWR, &f) == 0);
	later(NSEC_PER_SEC / 2);
	peer.files[find("lent")].uid = 5;
	CHECK(put_bytes(f, 0, "j") == 1 && fuse_refresh(i) == 0 && i->uid == 0);
	later(NSEC_PER_SEC);
	CHECK(put_bytes(f, 0, "k") == 1 && fuse_refresh(i) == 0);
	CHECK(i->uid == 5 && asked(FUSE_GETATTR) == 1);
	file_unref(f);
	inode_unref(i);
	peer.lends = false;
}

static unsigned int listed;

static bool one_listed(struct dir_sink *to, const char *name, size_t len, uint64_t ino,
		       uint32_t mode, uint64_t next)
{
	(void) to;
	(void) name;
	(void) len;
	(void) ino;
	(void) mode;
	(void) next;
	listed++;
	return true;
}

static unsigned int list(uint64_t at)
{
	struct dir_sink sink = { .entry = one_listed };
	struct file *f;

	listed = 0;
	CHECK(open_at(".", O_RDONLY | O_DIRECTORY, &f) == 0);
	CHECK(f->ops->iterate(f, at, &sink) == 0);
	file_unref(f);
	return listed;
}

/* Names that are listed are looked up with it; behind the beginning where somebody looks. */
static void listed_names_are_known(void)
{
	struct inode *i;

	later(2 * NSEC_PER_SEC);
	(void) asked(FUSE_LOOKUP);
	(void) asked(FUSE_GETATTR);
	CHECK(list(0) == 5 && asked(FUSE_READDIRPLUS) == 1);
	i = inode_at("lent");
	CHECK(look("a") == 0 && look("new") == 0 && fuse_refresh(i) == 0);
	CHECK(asked(FUSE_LOOKUP) == 0 && asked(FUSE_GETATTR) == 0);
	inode_unref(i);
	CHECK(list(3) == 2 && asked(FUSE_READDIRPLUS) == 1);
	CHECK(list(3) == 2 && asked(FUSE_READDIRPLUS) == 0 && asked(FUSE_READDIR) == 1);
	CHECK(peer.handles <= 3);
}

/* What is forgotten is said together, some time later; of a large file that is gone, at once. */
static void forgets_wait(void)
{
	struct walk w = from_top();
	struct file *f;
	uint64_t before;

	later(2 * NSEC_PER_SEC); /* what there was is said */
	before = peer.forgotten;
	(void) asked(FUSE_BATCH_FORGET);
	for (unsigned int n = 0; n < 5; n++) {
		CHECK(open_at("gone", O_CREAT | O_RDWR, &f) == 0);
		file_unref(f);
		CHECK(names_remove(&w, "gone", 0) == 0);
	}
	CHECK(peer.forgotten == before);
	later(2 * NSEC_PER_SEC);
	CHECK(peer.forgotten == before + 5 && asked(FUSE_BATCH_FORGET) == 1);
	CHECK(open_at("gone", O_CREAT | O_RDWR, &f) == 0);
	peer.files[find("gone")].size = 1 << 20;
	later(2 * NSEC_PER_SEC);
	CHECK(fuse_refresh(f->inode) == 0 && names_remove(&w, "gone", 0) == 0);
	file_unref(f);
	CHECK(peer.forgotten == before + 6);
}

static void mappings_are_written_back(void)
{
	struct pager *p = NULL;
	struct file *f;

	CHECK(open_at("new", O_RDWR, &f) == 0 && f->ops->mmap(f, &p) == 0);
	pager_ref(p);
	CHECK(pager_write(p, 3, "map", 3) == 3);
	CHECK(memcmp(peer.files[1].bytes, "HELLp!", 6) == 0);
	CHECK(f->ops->sync(f, false) == 0 && asked(FUSE_FSYNC) == 1);
	CHECK(memcmp(peer.files[1].bytes, "HELmap", 6) == 0);
	CHECK(pager_write(p, 0, "later", 5) == 5);
	file_unref(f);
	later(5 * NSEC_PER_SEC);
	CHECK(memcmp(peer.files[1].bytes, "laterp", 6) == 0);
	/* Not wanted by the host: told to who syncs. */
	peer.error = 0;
	CHECK(pager_write(p, 0, "LATER", 5) == 5);
	peer.error = -EDQUOT;
	CHECK(fuse_sync() == -EDQUOT);
	peer.error = 0;
	pager_unref(p);
	later(2 * NSEC_PER_SEC);
	CHECK(peer.handles <= 1);
}

/* The pages around one come with it, in frames in a row: by what is lent without a question, for a
 * mapping with one. */
static void pages_come_together(void)
{
	struct walk w = from_top();
	struct pager *p = NULL;
	struct file *f;
	uint64_t first = 0, next = 0;
	char c;

	peer.lends = true;
	CHECK(open_at("around", O_CREAT | O_RDWR, &f) == 0);
	size_t n = find("around");

	memset(peer.files[n].bytes, 'x', BYTES);
	peer.files[n].size = BYTES;
	later(2 * NSEC_PER_SEC);
	(void) asked(FUSE_READ);
	CHECK(fuse_refresh(f->inode) == 0 && get_bytes(f, 3 * PAGE_SIZE, &c, 1) == 1 && c == 'x');
	CHECK(f->ops->mmap(f, &p) == 0 && p->resident == (BYTES + PAGE_SIZE - 1) / PAGE_SIZE &&
	      asked(FUSE_READ) == 0);
	CHECK(pager_cached(p, 3, &first) && pager_cached(p, 7, &next) && next == first + 4);
	CHECK(*((char *) frame_ptr(next) + 1) == 'x');
	frame_unref(first);
	frame_unref(next);
	file_unref(f);
	CHECK(names_remove(&w, "around", 0) == 0);
	peer.lends = false;
	CHECK(open_at("asked", O_CREAT | O_RDWR, &f) == 0);
	n = find("asked");
	memset(peer.files[n].bytes, 'y', 3 * PAGE_SIZE);
	peer.files[n].size = 3 * PAGE_SIZE;
	later(2 * NSEC_PER_SEC);
	CHECK(fuse_refresh(f->inode) == 0 && f->ops->mmap(f, &p) == 0);
	pager_around(p, 2);
	CHECK(p->resident == 3 && asked(FUSE_READ) == 1);
	CHECK(pager_read(p, 2 * PAGE_SIZE, &c, 1) == 1 && c == 'y' && asked(FUSE_READ) == 0);
	pager_drop(p, 0, UINT64_MAX);
	/* Nothing of what failed is there. */
	peer.error = -EIO;
	pager_around(p, 0);
	CHECK(p->resident == 0 && pager_read(p, 0, &c, 1) == -EIO);
	peer.error = 0;
	file_unref(f);
	CHECK(names_remove(&w, "asked", 0) == 0);
}

static void answers_are_checked(void)
{
	struct file *f = NULL;
	char text[4];

	later(5 * NSEC_PER_SEC);
	peer.cut = 1;
	CHECK(look("a") == -EIO);
	peer.cut = 0;
	peer.error = -512; /* a number of this kernel's own */
	CHECK(look("a") == -EIO);
	peer.error = 5;
	CHECK(look("a") == -EIO);
	peer.error = 0;
	peer.files[0].mode = 0644;
	CHECK(look("a") == -EIO);
	peer.files[0].mode = S_IFREG | 0644;
	peer.files[0].size = UINT64_MAX;
	CHECK(look("a") == -EIO);
	peer.files[0].size = 10;
	CHECK(look("a") == 0 && open_at("a", O_RDONLY, &f) == 0);
	peer.error = -EIO;
	CHECK(get_bytes(f, 0, text, 4) == -EIO);
	peer.error = 0;
	CHECK(get_bytes(f, 0, text, 4) == 4);
	file_unref(f);
	peer.makes = S_IFIFO | 0644; /* which would be waited for */
	CHECK(open_at("pipe", O_CREAT | O_RDONLY, &f) == -EIO);
	peer.makes = 0;
}

static void until_sendable(void *arg)
{
	(void) arg;
	later(NSEC_PER_SEC);
	peer.full = false;
	fuse_sendable(peer.conn);
	fiber_exit();
}

static void it_waits_to_send(void)
{
	struct fiber *f;

	later(5 * NSEC_PER_SEC);
	peer.full = true;
	CHECK(sched_spawn(until_sendable, NULL, &f) == 0);
	CHECK(look("a") == 0 && !peer.full);
}

static void until_lost(void *arg)
{
	(void) arg;
	later(NSEC_PER_SEC);
	fuse_lost(peer.conn);
	fiber_exit();
}

static void it_is_lost(void)
{
	struct file *f;
	struct fiber *fiber;
	char text[4];

	CHECK(open_at("a", O_RDWR, &f) == 0);
	later(5 * NSEC_PER_SEC);
	peer.silent = true;
	CHECK(sched_spawn(until_lost, NULL, &fiber) == 0);
	CHECK(look("a") == -EIO); /* while it waited */
	CHECK(look("b") == -EIO && get_bytes(f, 0, text, 4) == -EIO &&
	      put_bytes(f, 0, "x") == -EIO);
	file_unref(f);
}

static void body(void *arg)
{
	struct mount_space *mounts;
	struct super *s;

	(void) arg;
	peer.transport = (struct fuse_transport){ .send = peer_send,
						  .most = MOST,
						  .read = lent_read,
						  .write = lent_write,
						  .look = lent_look,
						  .close = lent_close };
	CHECK(sched_spawn(serve, NULL, &peer.fiber) == 0);
	CHECK(fuse_connect(&peer.transport, &peer.conn) == 0);
	CHECK(fuse_new(peer.conn, &(struct fuse_share){ .name = "other" }, &s) == -ENOENT);
	CHECK(fuse_new(peer.conn, &(struct fuse_share){ .name = "share", .valid = NSEC_PER_SEC },
		       &s) == 0);
	mounts = mount_space_new(s, 0, "share");
	super_leave(s);
	top = (struct path){ mounts->root, mounts->root->root };
	path_ref(&top);
	(void) asked(FUSE_LOOKUP);
	names_are_known();
	bytes_go_through();
	others_write();
	own_writes_are_known();
	listed_names_are_known();
	forgets_wait();
	mappings_are_written_back();
	pages_come_together();
	answers_are_checked();
	it_waits_to_send();
	it_is_lost();
	path_unref(&top);
	mount_space_unref(mounts);
	fuse_disconnect(peer.conn);
	peer.ends = true;
	fiber_wake(peer.fiber);
	fiber_yield();
	CHECK(frame_used() <= 1);
}

int main(void)
{
	return test_run(256, body);
}
