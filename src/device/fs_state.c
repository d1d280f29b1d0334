/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All numbers are little-endian; texts have their length, two bytes, before them.
 *
 *   magic
 *   u32 minor, u8 started, u8 setxattr_ext                   INIT
 *   u32 n, then: u64 dev                                     devices, in order
 *   u32 n, then: text name, u8 read_only, identity           shares, in order
 *   u64 n, then: u64 nodeid, lookups, parent (0: nowhere),   inodes, each after its parent;
 *                u32 type, share, identity, text name        parent and name: of those not pinned
 *   u64 n, then: u64 fh, nodeid, u32 flags, u8 directory     handles
 *
 * identity: u64 dev, ino, i64 born
 */
#include "device/fs_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/pack.h"

#define MAGIC "atollfs1"
/* Of open(), what a handle goes on with. */
#define KEPT_FLAGS (O_ACCMODE | O_DSYNC | O_SYNC | O_NOATIME)
/* The shortest records: what bounds a number of them by the bytes that are there. */
#define INODE_MIN  (3 * 8 + 2 * 4 + 3 * 8 + 2)
#define HANDLE_MIN (2 * 8 + 4 + 1)

/* --- bytes --- */

static void put_text(struct buf *b, const char *text) /* a component's name: it is short */
{
	pack_u16(b, (uint16_t) strlen(text));
	buf_adds(b, text);
}

static void put_identity(struct buf *b, const struct fs_identity *is)
{
	pack_u64(b, is->dev);
	pack_u64(b, is->ino);
	pack_u64(b, (uint64_t) is->born);
}

static struct str get_text(struct unpack *u)
{
	size_t n = unpack_u16(u);
	const char *p = unpack_raw(u, n);

	return (struct str){ p, p ? n : 0 };
}

static struct fs_identity get_identity(struct unpack *u)
{
	struct fs_identity is = { .dev = unpack_u64(u) };

	is.ino = unpack_u64(u);
	is.born = (int64_t) unpack_u64(u);
	return is;
}

/* --- to bytes --- */

/* Files that are open, and that nothing leads to but this server's descriptor. */
static int check_handles(struct fs_session *s, struct err *e)
{
	const struct fs_inode *first = NULL;
	const struct fs_handle *h;
	size_t at = 0, n = 0;

	while ((h = fs_ids_next(&s->handles, at, &at))) {
		const struct fs_inode *i = h->inode;
		struct stat st;

		/* An empty directory has nothing to lose. */
		if (i->pinned || h->directory ||
		    (i->name && fstat(h->fd, &st) == 0 && st.st_nlink > 0))
			continue;
		first = first ? first : i;
		n += i->is.share == first->is.share;
	}
	if (!first)
		return 0;
	return err_set(e, ERR_UNSUPPORTED, ENOTSUP,
		       "the share '%s': %zu open file%s no name any more (unlinked) and could not "
		       "be found again; save when the guest has closed %s",
		       s->shares[first->is.share].inode->name, n, n == 1 ? " has" : "s have",
		       n == 1 ? "it" : "them");
}

/* The numbers of the shares' tops are those that another server gives to as many of them. */
static int check_shares(const struct fs_session *s, struct err *e)
{
	for (size_t i = 0; i < s->shares_n; i++)
		if (!s->shares[i].inode || s->shares[i].inode->nodeid != FUSE_ROOT_ID + 1 + i)
			return err_set(e, ERR_UNSUPPORTED, ENOTSUP,
				       "shares have come and gone while the guest ran: their state "
				       "cannot be saved");
	return 0;
}

static void save_inode(const struct fs_inode *i, struct buf *to)
{
	pack_u64(to, i->nodeid);
	pack_u64(to, i->lookups);
	pack_u64(to, i->parent && !i->pinned ? i->parent->nodeid : 0);
	pack_u32(to, i->type);
	pack_u32(to, i->is.share);
	put_identity(to, &i->is);
	put_text(to, i->name && !i->pinned ? i->name : "");
}

/* Each after its parent: those above it that are not saved yet go first. used_in is the mark. */
static int save_inodes(struct fs_session *s, struct buf *to)
{
	struct fs_inodes *t = &s->inodes;
	auto_free struct fs_inode **above = NULL;
	size_t at = 0, n, room = 0;
	struct fs_inode *i;

	fs_inodes_tick(t);
	pack_u64(to, t->ids.used);
	while ((i = fs_ids_next(&t->ids, at, &at))) {
		n = 0;
		for (; i && i->used_in != t->request; i = i->parent) {
			if (n == room) {
				struct fs_inode **more;

				room = room ? room * 2 : 64;
				more = (struct fs_inode **) reallocarray((void *) above, room,
									 sizeof(*above));
				if (!more)
					return -ENOMEM;
				above = more;
			}
			above[n++] = i;
		}
		while (n-- > 0) {
			save_inode(above[n], to);
			above[n]->used_in = t->request;
		}
	}
	return 0;
}

static void save_handles(struct fs_session *s, struct buf *to)
{
	const struct fs_handle *h;
	size_t at = 0;

	pack_u64(to, s->handles.used);
	while ((h = fs_ids_next(&s->handles, at, &at))) {
		int flags = h->fd >= 0 ? fcntl(h->fd, F_GETFL) : 0;

		pack_u64(to, h->fh);
		pack_u64(to, h->inode->nodeid);
		pack_u32(to, flags < 0 ? 0 : (uint32_t) flags & KEPT_FLAGS);
		pack_u8(to, h->directory);
	}
}

int fs_state_save(struct fs_session *s, struct buf *to, struct err *e)
{
	int r;

	if (check_shares(s, e) < 0 || check_handles(s, e) < 0)
		return -ENOTSUP;
	buf_adds(to, MAGIC);
	pack_u32(to, s->minor);
	pack_u8(to, s->started);
	pack_u8(to, s->setxattr_ext);
	pack_u32(to, (uint32_t) s->devices_n);
	for (size_t i = 0; i < s->devices_n; i++)
		pack_u64(to, s->devices[i].dev);
	pack_u32(to, (uint32_t) s->shares_n);
	for (size_t i = 0; i < s->shares_n; i++) {
		put_text(to, s->shares[i].inode->name);
		pack_u8(to, s->shares[i].read_only);
		put_identity(to, &s->shares[i].inode->is);
	}
	r = save_inodes(s, to);
	if (r == 0)
		save_handles(s, to);
	r = r < 0 ? r : buf_error(to);
	return r < 0 ? err_set(e, ERR_EXHAUSTED, -r,
			       "what the guest knows of the shares: %zu files", s->inodes.ids.used)
		     : 0;
}

/* --- and back --- */

struct loading {
	struct fs_session *s;
	struct unpack r;
	/* Of each device of the state that was met: what it is now, by share. */
	struct met {
		uint32_t share;
		uint64_t was, is;
	} * met;
	size_t met_n;
	uint64_t *devices; /* as they were, in the order of the session's */
	size_t devices_n;
	struct record {
		struct fs_inode *inode;
		struct fs_identity was;
	} * inodes;
	size_t inodes_n;
};

static int no_state(struct err *e, const char *what)
{
	return err_set(e, ERR_INVALID, EINVAL, "no state of shares: %s", what);
}

/* Numbers of inodes are told apart by the place of their device, which stays. */
static void place_device(struct loading *l, uint64_t was, uint64_t is)
{
	for (size_t i = 0; i < l->s->devices_n; i++)
		if (l->s->devices[i].dev == is)
			return;
	for (size_t i = 0; i < l->devices_n; i++)
		if (l->devices[i] == was) {
			l->s->devices[i].dev = is;
			return;
		}
}

/* Whether a device of the state can be this one: always the same one, in each share. */
static bool same_device(struct loading *l, uint32_t share, uint64_t was, uint64_t is)
{
	for (size_t i = l->met_n; i-- > 0;)
		if (l->met[i].share == share && (l->met[i].was == was || l->met[i].is == is))
			return l->met[i].was == was && l->met[i].is == is;
	if (l->met_n == FS_DEVICES_MAX)
		return false;
	l->met[l->met_n++] = (struct met){ share, was, is };
	place_device(l, was, is);
	return true;
}

static bool same_file(struct loading *l, const struct fs_identity *was,
		      const struct fs_identity *is)
{
	if (l->s->shares[is->share].copied) {
		place_device(l, was->dev, is->dev);
		return true;
	}
	return was->ino == is->ino && (!was->born || !is->born || was->born == is->born) &&
	       same_device(l, is->share, was->dev, is->dev);
}

static int load_shares(struct loading *l, struct err *e)
{
	const struct fs_session *s = l->s;

	if (unpack_u32(&l->r) != s->shares_n)
		return err_set(e, ERR_INVALID, EINVAL,
			       "the state is of another number of shares than %zu", s->shares_n);
	for (uint32_t i = 0; i < s->shares_n; i++) {
		const struct fs_top *top = &s->shares[i];
		struct str name = get_text(&l->r);
		bool read_only = unpack_u8(&l->r);
		struct fs_identity was = get_identity(&l->r);

		if (l->r.failed)
			return no_state(e, "it ends within the shares");
		if (!str_is(name, top->inode->name))
			return err_set(e, ERR_INVALID, EINVAL,
				       "share %u is '%s', and was another one when the state was "
				       "saved",
				       i, top->inode->name);
		if (read_only != top->read_only)
			return err_set(e, ERR_INVALID, EINVAL,
				       "the share '%s' was %s when the state was saved",
				       top->inode->name, read_only ? "read-only" : "not read-only");
		if (!same_file(l, &was, &top->inode->is))
			return err_set(e, ERR_INVALID, ESTALE,
				       "the share '%s' is not the directory it was when the state "
				       "was saved (,copy says that it is a copy)",
				       top->inode->name);
	}
	return 0;
}

static int load_devices(struct loading *l, struct err *e)
{
	uint32_t n = unpack_u32(&l->r);

	if (n > FS_DEVICES_MAX || n > l->r.rest.n / 8)
		return no_state(e, "too many devices");
	l->devices = calloc((size_t) n + 1, sizeof(*l->devices));
	l->met = calloc(FS_DEVICES_MAX, sizeof(*l->met));
	if (!l->devices || !l->met)
		return err_sys(e, ENOMEM, "the state of shares");
	for (uint32_t i = 0; i < n; i++) {
		l->devices[i] = unpack_u64(&l->r);
		/* None of the host's, until it is met. */
		l->s->devices[i] = (struct fs_device){ .dev = UINT64_MAX - i };
	}
	l->devices_n = l->s->devices_n = n;
	return 0;
}

static bool name_good(struct str name)
{
	return name.n > 0 && name.n <= NAME_MAX && !memchr(name.p, '/', name.n) &&
	       !memchr(name.p, 0, name.n) && !str_is(name, ".") && !str_is(name, "..");
}

static bool type_good(uint32_t type)
{
	return type == S_IFREG || type == S_IFDIR || type == S_IFLNK || type == S_IFCHR ||
	       type == S_IFBLK || type == S_IFIFO || type == S_IFSOCK;
}

/* 0, -EINVAL or -ENOMEM */
static int load_inode(struct loading *l)
{
	struct fs_inodes *t = &l->s->inodes;
	struct record *to = &l->inodes[l->inodes_n];
	uint64_t nodeid = unpack_u64(&l->r), lookups = unpack_u64(&l->r),
		 parent_id = unpack_u64(&l->r);
	uint32_t type = unpack_u32(&l->r), share = unpack_u32(&l->r);
	struct fs_inode *parent = parent_id ? fs_ids_get(&t->ids, parent_id) : NULL;
	struct fs_inode *known = fs_ids_get(&t->ids, nodeid);
	char name[NAME_MAX + 1];
	struct str text;
	int r;

	to->was = get_identity(&l->r);
	text = get_text(&l->r);
	if (l->r.failed || !type_good(type))
		return -EINVAL;
	if (known) { /* by itself: the root, or a share's top */
		if (!known->pinned || known->lookups || parent_id || known->type != type)
			return -EINVAL;
		known->lookups = lookups;
		return 0;
	}
	if (share >= l->s->shares_n || (parent_id && (!parent || !name_good(text))) ||
	    (!parent_id && text.n))
		return -EINVAL;
	r = fs_inode_put(t, nodeid, share, type, lookups, &to->inode);
	if (r < 0)
		return r;
	l->inodes_n++;
	if (!parent)
		return 0;
	memcpy(name, text.p, text.n);
	name[text.n] = 0;
	return fs_inode_put_at(t, to->inode, parent, name);
}

static int load_inodes(struct loading *l, struct err *e)
{
	uint64_t n = unpack_u64(&l->r);

	if (n > l->r.rest.n / INODE_MIN)
		return no_state(e, "too many files");
	l->inodes = calloc((size_t) n + 1, sizeof(*l->inodes));
	if (!l->inodes)
		return err_sys(e, ENOMEM, "the state of shares");
	for (uint64_t i = 0; i < n; i++) {
		int r = load_inode(l);

		if (r == -ENOMEM)
			return err_sys(e, ENOMEM, "the state of shares");
		if (r < 0)
			return no_state(e, "a file that cannot be");
	}
	/* Parents come first: the way to each file is known when it is looked for. */
	for (size_t i = 0; i < l->inodes_n; i++) {
		struct record *of = &l->inodes[i];
		struct fs_identity is;

		fs_inodes_tick(&l->s->inodes);
		if (fs_inode_see(&l->s->inodes, of->inode, &is) == 0 && same_file(l, &of->was, &is))
			fs_inode_found(&l->s->inodes, of->inode, &is);
		else
			fs_inode_lost(&l->s->inodes, of->inode);
	}
	return 0;
}

/* 0: it goes on, or is lost; -EINVAL: it cannot be. */
static int load_handle(struct loading *l)
{
	struct fs_session *s = l->s;
	uint64_t fh = unpack_u64(&l->r), nodeid = unpack_u64(&l->r);
	uint32_t flags = unpack_u32(&l->r);
	bool directory = unpack_u8(&l->r);
	struct fs_inode *i = fs_ids_get(&s->inodes.ids, nodeid);
	struct fs_handle *h;
	int r, fd = FD_NONE;

	if (l->r.failed || !i || i->type != (directory ? S_IFDIR : S_IFREG) || fh == 0 ||
	    (flags & ~(uint32_t) KEPT_FLAGS) || (flags & O_ACCMODE) == O_ACCMODE ||
	    fs_ids_get(&s->handles, fh))
		return -EINVAL;
	if ((flags & O_ACCMODE) != O_RDONLY && (directory || fs_read_only(s, i)))
		return -EINVAL;
	if (i->lost)
		return 0;
	fs_inodes_tick(&s->inodes);
	if (i != s->inodes.root) {
		if (directory)
			flags = O_RDONLY | O_DIRECTORY;
		fd = fs_open_inode(s, i, (int) flags);
		if (fd == -EPERM && (flags & O_NOATIME))
			fd = fs_open_inode(s, i, (int) flags & ~O_NOATIME);
		if (fd < 0)
			return 0; /* it is as if it were not open */
	}
	r = fs_handle_put(&s->handles, &s->inodes, i, fd, directory, fh, &h);
	if (r == 0)
		h->moved = directory && fd >= 0 && s->shares[i->is.share].copied;
	return r == -EINVAL || r == -ENOMEM ? r : 0;
}

static int load_handles(struct loading *l, struct err *e)
{
	uint64_t n = unpack_u64(&l->r);

	if (n > l->r.rest.n / HANDLE_MIN)
		return no_state(e, "too many open files");
	for (uint64_t i = 0; i < n; i++) {
		int r = load_handle(l);

		if (r == -ENOMEM)
			return err_sys(e, ENOMEM, "the state of shares");
		if (r < 0)
			return no_state(e, "an open file that cannot be");
	}
	return unpack_done(&l->r) ? 0 : no_state(e, "it has another length");
}

static int load(struct loading *l, struct err *e)
{
	struct fs_session *s = l->s;
	const char *magic = unpack_raw(&l->r, strlen(MAGIC));
	uint32_t minor = unpack_u32(&l->r);
	bool started = unpack_u8(&l->r), setxattr_ext = unpack_u8(&l->r);

	if (!magic || memcmp(magic, MAGIC, strlen(MAGIC)) != 0)
		return no_state(e, "it begins with something else");
	if (load_devices(l, e) < 0 || load_shares(l, e) < 0 || load_inodes(l, e) < 0 ||
	    load_handles(l, e) < 0)
		return -EINVAL;
	s->minor = minor;
	s->started = started;
	s->setxattr_ext = setxattr_ext;
	return 0;
}

int fs_state_restore(struct fs_session *s, struct str state, struct err *e)
{
	struct loading l = { .s = s, .r = unpack_of(state) };
	int r;

	fs_session_reset(s);
	r = load(&l, e);
	fs_ids_mend(&s->inodes.ids);
	fs_ids_mend(&s->handles);
	if (r < 0) {
		fs_session_reset(s);
		s->devices_n = 0;
	}
	free(l.met);
	free(l.devices);
	free(l.inodes);
	return r;
}
