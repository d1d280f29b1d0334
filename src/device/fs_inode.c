/* SPDX-License-Identifier: Apache-2.0 */
#include "device/fs_inode.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/str.h"
#include "device/fs_crew.h"
#include "device/fs_handle.h"
#include "device/fs_session.h"

#define INODES_MAX    (1u << 24)
#define BUCKETS_FIRST 256
#define CLIMB_MAX     4096 /* directories without a descriptor in a row */
#define EVICT_TRIES   32
#define SPARE_FDS     64

/* --- the two tables --- */

/* murmur3's finalizer: every bit of the input moves half of the output's. */
static uint64_t mix(uint64_t x)
{
	x ^= x >> 33;
	x *= UINT64_C(0xff51afd7ed558ccd);
	x ^= x >> 33;
	x *= UINT64_C(0xc4ceb9fe1a85ec53);
	return x ^ x >> 33;
}

static size_t identity_bucket(const struct fs_inodes *t, const struct fs_identity *is)
{
	uint64_t h = mix(is->ino ^ t->seed) + is->dev;

	return (size_t) (mix(h + is->mnt * 31 + is->share) & (t->buckets_n - 1));
}

static size_t place_bucket(const struct fs_inodes *t, const struct fs_inode *dir, const char *name)
{
	uint64_t h = t->seed ^ dir->nodeid;

	for (const char *p = name; *p; p++)
		h = (h ^ (uint8_t) *p) * UINT64_C(0x100000001b3);
	return (size_t) (mix(h) & (t->buckets_n - 1));
}

/*
 * While a descriptor holds a file its number is not used again. Without one the birth time tells
 * another file that got the number; it is no use before that, for overlayfs changes it at copy-up.
 */
static bool is_same(const struct fs_inode *i, const struct fs_identity *is)
{
	return i->is.ino == is->ino && i->is.dev == is->dev && i->is.mnt == is->mnt &&
	       i->is.share == is->share && (i->fd >= 0 || i->handles || i->is.born == is->born);
}

static struct fs_identity identity_of(const struct statx *st, uint32_t share)
{
	struct fs_identity is = {
		.dev = (uint64_t) st->stx_dev_major << 32 | st->stx_dev_minor,
		.ino = st->stx_ino,
		.share = share,
	};

	if (st->stx_mask & STATX_MNT_ID)
		is.mnt = st->stx_mnt_id;
	if (st->stx_mask & STATX_BTIME)
		is.born = (int64_t) ((uint64_t) st->stx_btime.tv_sec * 1000000000u +
				     st->stx_btime.tv_nsec);
	return is;
}

static struct fs_inode *find_identity(const struct fs_inodes *t, const struct fs_identity *is)
{
	struct fs_inode *i = t->by_identity[identity_bucket(t, is)];

	while (i && !is_same(i, is))
		i = i->same_identity;
	if (i)
		i->is.born = is->born;
	return i;
}

struct fs_inode *fs_inode_named(const struct fs_inodes *t, const struct fs_inode *dir,
				const char *name)
{
	struct fs_inode *i = t->by_place[place_bucket(t, dir, name)];

	while (i && (i->parent != dir || !streq(i->name, name)))
		i = i->same_place;
	return i;
}

static void enter_identity(struct fs_inodes *t, struct fs_inode *i)
{
	struct fs_inode **b = &t->by_identity[identity_bucket(t, &i->is)];

	i->same_identity = *b;
	*b = i;
}

static void enter_place(struct fs_inodes *t, struct fs_inode *i)
{
	struct fs_inode **b = &t->by_place[place_bucket(t, i->parent, i->name)];

	i->same_place = *b;
	*b = i;
}

static void leave_identity(struct fs_inodes *t, struct fs_inode *i)
{
	struct fs_inode **at = &t->by_identity[identity_bucket(t, &i->is)];

	while (*at != i)
		at = &(*at)->same_identity;
	*at = i->same_identity;
}

/* Twice the buckets, with all that is in the table. */
static bool grow(struct fs_inodes *t)
{
	size_t n = t->buckets_n ? t->buckets_n * 2 : BUCKETS_FIRST, at = 0;
	struct fs_inode **a = (struct fs_inode **) calloc(n, sizeof(struct fs_inode *));
	struct fs_inode **b = (struct fs_inode **) calloc(n, sizeof(struct fs_inode *));
	struct fs_inode *i;

	if (!a || !b) {
		free((void *) a);
		free((void *) b);
		return false;
	}
	free((void *) t->by_identity);
	free((void *) t->by_place);
	t->by_identity = a;
	t->by_place = b;
	t->buckets_n = n;
	while ((i = fs_ids_next(&t->ids, at, &at))) {
		enter_identity(t, i);
		if (i->name)
			enter_place(t, i);
	}
	return true;
}

/* --- places --- */

static void place_clear(struct fs_inodes *t, struct fs_inode *i)
{
	struct fs_inode **at, *parent = i->parent;

	if (!i->name)
		return;
	at = &t->by_place[place_bucket(t, parent, i->name)];
	while (*at != i)
		at = &(*at)->same_place;
	*at = i->same_place;
	free(TAKE(i->name));
	i->parent = NULL;
	parent->children--;
	fs_inode_settle(t, parent);
}

/* The host may have moved a directory into one that was below it: no ring of places may close. */
static void break_ring(struct fs_inodes *t, const struct fs_inode *i, struct fs_inode *dir)
{
	for (struct fs_inode *up = dir; up; up = up->parent)
		if (up->parent == i) {
			place_clear(t, up);
			return;
		}
}

static void place_set(struct fs_inodes *t, struct fs_inode *i, struct fs_inode *dir,
		      const char *name)
{
	struct fs_inode *other;
	char *copy;

	if (i->pinned || i == dir || (i->parent == dir && i->name && streq(i->name, name)))
		return;
	copy = strdup(name);
	dir->children++; /* neither goes while places change */
	i->children++;
	if (S_ISDIR(i->type) && i->parent != dir)
		break_ring(t, i, dir);
	other = fs_inode_named(t, dir, name);
	if (other)
		place_clear(t, other);
	place_clear(t, i);
	i->children--;
	if (!copy) {
		dir->children--;
		return; /* nowhere, as if unlinked: the descriptor leads to it */
	}
	i->parent = dir;
	i->name = copy;
	enter_place(t, i);
}

/* --- descriptors --- */

static struct fs_lru *lru_of(struct fs_inodes *t, const struct fs_inode *i)
{
	return S_ISDIR(i->type) ? &t->directories : &t->files;
}

static void lru_remove(struct fs_lru *l, struct fs_inode *i)
{
	*(i->newer ? &i->newer->older : &l->newest) = i->older;
	*(i->older ? &i->older->newer : &l->oldest) = i->newer;
	i->newer = i->older = NULL;
	l->n--;
}

static void lru_add(struct fs_lru *l, struct fs_inode *i)
{
	i->newer = NULL;
	i->older = l->newest;
	*(l->newest ? &l->newest->newer : &l->oldest) = i;
	l->newest = i;
	l->n++;
}

static void fd_drop(struct fs_inodes *t, struct fs_inode *i)
{
	if (i->fd < 0)
		return;
	if (!i->pinned)
		lru_remove(lru_of(t, i), i);
	fs_inodes_close(t, take_fd(&i->fd));
}

void fs_inodes_close(struct fs_inodes *t, int fd)
{
	struct fs_work *w = t->now;

	if (w && w->closing_n < ARRAY_SIZE(w->closing) && fd >= 0)
		w->closing[w->closing_n++] = fd;
	else
		close_fd(&fd);
}

bool fs_inode_keep(struct fs_inodes *t, struct fs_inode *inode)
{
	struct fs_work *w = t->now;

	if (!w)
		return true; /* nobody else comes in between */
	for (size_t i = 0; i < w->kept_n; i++)
		if (w->kept[i] == inode)
			return true;
	if (w->kept_n == ARRAY_SIZE(w->kept))
		return false;
	w->kept[w->kept_n++] = inode;
	inode->pins++;
	return true;
}

void fs_inode_let_go(struct fs_inodes *t, struct fs_inode *inode)
{
	struct fs_work *w = t->now;

	for (size_t i = 0; w && i < w->kept_n; i++)
		if (w->kept[i] == inode) {
			w->kept[i] = w->kept[--w->kept_n];
			inode->pins--;
			fs_inode_settle(t, inode);
			return;
		}
}

/* Whether it can be had again by name, as far as can be told. */
static bool evictable(const struct fs_inodes *t, struct fs_inode *i)
{
	struct statx st = {};
	struct fs_identity is;

	if (i->pins || i->used_in == t->request || !i->name || i->parent->fd < 0)
		return false;
	if (i->handles)
		return true;
	if (statx(i->parent->fd, i->name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, FS_STATX_MASK,
		  &st) < 0)
		return false;
	is = identity_of(&st, i->is.share);
	if (!is_same(i, &is))
		return false;
	i->is.born = is.born;
	return true;
}

static bool evict_one(struct fs_inodes *t, struct fs_lru *l)
{
	for (int n = 0; n < EVICT_TRIES && l->oldest; n++) {
		struct fs_inode *i = l->oldest;

		if (evictable(t, i)) {
			fd_drop(t, i);
			return true;
		}
		lru_remove(l, i);
		lru_add(l, i);
	}
	return false;
}

bool fs_inodes_spare(struct fs_inodes *t)
{
	size_t done = 0;

	while (done < SPARE_FDS && (evict_one(t, &t->files) || evict_one(t, &t->directories)))
		done++;
	return done > 0;
}

static bool make_room(struct fs_inodes *t)
{
	while (t->files.n + t->directories.n + t->fds_others > t->fds_max)
		if (!evict_one(t, &t->files) && !evict_one(t, &t->directories))
			return false;
	return true;
}

void fs_inode_adopt(struct fs_inodes *t, struct fs_inode *inode, int fd)
{
	inode->fd = fd;
	lru_add(lru_of(t, inode), inode);
	inode->used_in = t->request;
	(void) make_room(t); /* one more than there should be, rather than a failure */
}

bool fs_inodes_handle_opens(struct fs_inodes *t)
{
	t->fds_others++;
	if (make_room(t))
		return true;
	t->fds_others--;
	return false;
}

void fs_inodes_handle_closed(struct fs_inodes *t)
{
	t->fds_others--;
}

/* An O_PATH descriptor of one component, and what it is. */
static int open_path(struct fs_inodes *t, int dir_fd, const char *name, uint32_t share,
		     struct fs_identity *ret_is, struct statx *ret_stat)
{
	static const int flags = O_PATH | O_NOFOLLOW | O_CLOEXEC;
	auto_fd int fd = FS_AWAY_OF(t, openat(dir_fd, name, flags));

	if (fd < 0 && (errno == EMFILE || errno == ENFILE) && fs_inodes_spare(t))
		fd = FS_AWAY_OF(t, openat(dir_fd, name, flags));
	if (fd < 0)
		return -errno;
	if (FS_AWAY_OF(t, statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, FS_STATX_MASK, ret_stat)) <
	    0)
		return -errno;
	*ret_is = identity_of(ret_stat, share);
	return take_fd(&fd);
}

static int own_fd(struct fs_inodes *t, struct fs_inode *i)
{
	i->used_in = t->request;
	if (i->fd >= 0) {
		if (!i->pinned && lru_of(t, i)->newest != i) {
			lru_remove(lru_of(t, i), i);
			lru_add(lru_of(t, i), i);
		}
		return i->fd;
	}
	return i->handles ? i->handles->fd : FD_NONE;
}

/* Open it by its place; its directory has a descriptor. */
static int reopen(struct fs_inodes *t, struct fs_inode *i)
{
	struct fs_inode *dir = i->parent;
	char name[NAME_MAX + 1];
	struct fs_identity is;
	struct statx st = {};
	int fd;

	(void) snprintf(name, sizeof(name), "%s", i->name);
	i->pins++;
	dir->pins++;
	fd = open_path(t, own_fd(t, dir), name, i->is.share, &is, &st);
	i->pins--;
	if (fd == -ENOENT || fd == -ENOTDIR || (fd >= 0 && !is_same(i, &is))) {
		bool moved = i->parent != dir || !i->name || !streq(i->name, name);

		if (fd >= 0)
			(void) close(fd);
		if (!moved)
			place_clear(t, i);
		fd = moved ? 0 : -ESTALE; /* meanwhile: once more */
	} else if (fd >= 0 && i->fd >= 0) {
		(void) close(fd); /* another request was faster */
	} else if (fd >= 0) {
		fs_inode_adopt(t, i, fd);
	}
	dir->pins--;
	fs_inode_settle(t, dir);
	return fd;
}

int fs_inode_fd(struct fs_inodes *t, struct fs_inode *inode)
{
	int fd = fs_inode_keep(t, inode) ? own_fd(t, inode) : -ENFILE;

	if (fd == -ENFILE)
		return fd;
	for (unsigned climbs = 0; fd < 0 && climbs < CLIMB_MAX; climbs++) {
		struct fs_inode *i = inode;
		int r;

		while (i->name && own_fd(t, i->parent) < 0)
			i = i->parent;
		if (!i->name)
			return -ESTALE;
		r = reopen(t, i);
		if (r < 0)
			return r;
		fd = own_fd(t, inode);
	}
	return fd < 0 ? -ESTALE : fd;
}

/* --- inodes --- */

/* `id` is its number, or 0: a new one. */
static int inode_make(struct fs_inodes *t, uint64_t id, const struct fs_identity *is, mode_t mode,
		      struct fs_inode **ret_inode)
{
	auto_free struct fs_inode *i = calloc(1, sizeof(*i));
	int r = !i ? -ENOMEM : id ? fs_ids_put(&t->ids, id, i) : fs_ids_add(&t->ids, i, &id);

	if (r < 0)
		return r;
	i->nodeid = id;
	i->is = *is;
	i->type = mode & S_IFMT;
	i->fd = FD_NONE;
	if (t->ids.used <= t->buckets_n || !grow(t))
		enter_identity(t, i); /* without memory the chains grow longer */
	*ret_inode = TAKE(i);
	return 0;
}

static struct fs_inode *inode_new(struct fs_inodes *t, const struct fs_identity *is, mode_t mode)
{
	struct fs_inode *i;

	return inode_make(t, 0, is, mode, &i) < 0 ? NULL : i;
}

static void inode_free(struct fs_inodes *t, struct fs_inode *i)
{
	leave_identity(t, i);
	fs_ids_drop(&t->ids, i->nodeid);
	if (i->pinned)
		close_fd(&i->fd);
	else
		fd_drop(t, i);
	free(i->name);
	free(i);
}

void fs_inode_settle(struct fs_inodes *t, struct fs_inode *inode)
{
	while (inode && !inode->lookups && !inode->children && !inode->handles && !inode->pinned &&
	       !inode->pins) {
		struct fs_inode *parent = inode->parent;

		if (parent) {
			parent->children++; /* settled here, not within */
			place_clear(t, inode);
			parent->children--;
		}
		inode_free(t, inode);
		inode = parent;
	}
}

void fs_inode_forget(struct fs_inodes *t, struct fs_inode *inode, uint64_t lookups)
{
	inode->lookups -= lookups < inode->lookups ? lookups : inode->lookups;
	fs_inode_settle(t, inode);
}

struct fs_inode *fs_inode_get(const struct fs_inodes *t, uint64_t nodeid)
{
	struct fs_inode *i = fs_ids_get(&t->ids, nodeid);

	/* One that stays for its children alone is none that the guest was given. */
	return i && (i->lookups > 0 || i->pinned) ? i : NULL;
}

static bool has_fd(const struct fs_inode *i)
{
	return i && (i->fd >= 0 || i->handles);
}

int fs_inode_lookup(struct fs_inodes *t, struct fs_inode *dir, const char *name, bool lazy,
		    struct fs_inode **ret_inode, struct statx *ret_stat)
{
	auto_fd int fd = FD_NONE;
	int dir_fd = fs_inode_fd(t, dir);
	struct fs_inode *i = fs_inode_named(t, dir, name);
	struct fs_identity is;
	struct statx st = {};

	if (dir_fd < 0)
		return dir_fd;
	/* What is likely to need no descriptor is seen by its name; all else is opened at once. */
	if (lazy || has_fd(i)) {
		if (FS_AWAY_OF(t, statx(dir_fd, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
					FS_STATX_MASK, &st)) < 0)
			return -errno;
		is = identity_of(&st, dir->is.share);
		i = find_identity(t, &is);
	}
	if (!lazy && !has_fd(i)) {
		fd = open_path(t, dir_fd, name, dir->is.share, &is, &st);
		if (fd < 0)
			return fd;
		i = find_identity(t, &is); /* it may be another one by now */
	}
	if (!i)
		i = inode_new(t, &is, st.stx_mode);
	if (!i)
		return -ENFILE;
	if (fd >= 0 && i->fd < 0)
		fs_inode_adopt(t, i, take_fd(&fd));
	else if (fd >= 0) /* known by another name */
		fs_inodes_close(t, take_fd(&fd));
	place_set(t, i, dir, name);
	*ret_inode = i;
	*ret_stat = st;
	return 0;
}

int fs_inode_of_fd(struct fs_inodes *t, struct fs_inode *dir, const char *name, int fd,
		   struct fs_inode **ret_inode, struct statx *ret_stat)
{
	struct fs_identity is;
	struct statx st = {};
	struct fs_inode *i;

	if (FS_AWAY_OF(t, statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, FS_STATX_MASK, &st)) < 0)
		return -errno;
	is = identity_of(&st, dir->is.share);
	i = find_identity(t, &is);
	if (!i)
		i = inode_new(t, &is, st.stx_mode);
	if (!i)
		return -ENFILE;
	if (name)
		place_set(t, i, dir, name);
	*ret_inode = i;
	*ret_stat = st;
	return 0;
}

void fs_inode_hold_named(struct fs_inodes *t, struct fs_inode *dir, const char *name)
{
	struct fs_inode *i = fs_inode_named(t, dir, name);

	if (i)
		(void) fs_inode_fd(t, i); /* that it is stale already changes nothing */
}

void fs_inode_unnamed(struct fs_inodes *t, struct fs_inode *dir, const char *name)
{
	struct fs_inode *i = fs_inode_named(t, dir, name);

	if (i)
		place_clear(t, i);
}

void fs_inode_moved(struct fs_inodes *t, struct fs_inode *from, const char *name,
		    struct fs_inode *to, const char *new_name, bool exchange)
{
	struct fs_inode *a = fs_inode_named(t, from, name), *b = fs_inode_named(t, to, new_name);

	if (a == b)
		return;
	/* Neither may go while the places change. */
	from->children++;
	to->children++;
	if (b)
		place_clear(t, b);
	if (a)
		place_set(t, a, to, new_name);
	if (b && exchange)
		place_set(t, b, from, name);
	from->children--;
	to->children--;
}

void fs_inodes_tick(struct fs_inodes *t)
{
	t->request++;
}

/* --- of a saved state --- */

int fs_inode_put(struct fs_inodes *t, uint64_t nodeid, uint32_t share, mode_t type,
		 uint64_t lookups, struct fs_inode **ret_inode)
{
	/* Of no file: nothing that is looked up is taken for it. */
	const struct fs_identity nobody = { .dev = UINT64_MAX, .ino = nodeid, .share = share };
	int r = inode_make(t, nodeid, &nobody, type, ret_inode);

	if (r == 0)
		(*ret_inode)->lookups = lookups;
	return r;
}

int fs_inode_put_at(struct fs_inodes *t, struct fs_inode *inode, struct fs_inode *dir,
		    const char *name)
{
	if (inode->name || inode->pinned || dir == inode || dir == t->root || !S_ISDIR(dir->type) ||
	    dir->is.share != inode->is.share || fs_inode_named(t, dir, name))
		return -EINVAL;
	inode->name = strdup(name);
	if (!inode->name)
		return -ENOMEM;
	inode->parent = dir;
	dir->children++;
	enter_place(t, inode);
	return 0;
}

int fs_inode_see(struct fs_inodes *t, struct fs_inode *inode, struct fs_identity *ret_is)
{
	int fd = inode->name ? fs_inode_fd(t, inode->parent) : -ESTALE;
	struct statx st = {};

	if (fd < 0)
		return fd;
	if (statx(fd, inode->name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, FS_STATX_MASK, &st) < 0)
		return -errno;
	if ((st.stx_mode & S_IFMT) != inode->type)
		return -ESTALE;
	*ret_is = identity_of(&st, inode->is.share);
	return 0;
}

void fs_inode_found(struct fs_inodes *t, struct fs_inode *inode, const struct fs_identity *is)
{
	leave_identity(t, inode);
	inode->is = *is;
	enter_identity(t, inode);
}

void fs_inode_lost(struct fs_inodes *t, struct fs_inode *inode)
{
	inode->lost = true;
	place_clear(t, inode);
}

/* --- all of them --- */

static struct fs_inode *pinned_new(struct fs_inodes *t, const struct fs_identity *is, mode_t mode,
				   int fd)
{
	struct fs_inode *i = inode_new(t, is, mode);

	if (i) {
		i->pinned = true;
		i->fd = fd;
	}
	return i;
}

int fs_inodes_init(struct fs_inodes *t, size_t fds_max)
{
	const struct fs_identity root = { .share = FS_ROOT_SHARE };

	*t = (struct fs_inodes){ .fds_max = fds_max, .request = 1 };
	/* Without randomness a host's user could choose names of one bucket: slow, not wrong. */
	(void) !getrandom(&t->seed, sizeof(t->seed), GRND_NONBLOCK);
	fs_ids_init(&t->ids, INODES_MAX);
	if (!grow(t))
		return -ENOMEM;
	t->root = pinned_new(t, &root, S_IFDIR, FD_NONE);
	if (!t->root) {
		fs_inodes_fini(t);
		return -ENOMEM;
	}
	return 0;
}

int fs_inodes_share(struct fs_inodes *t, uint32_t share, const char *name, int fd,
		    struct fs_inode **ret_inode)
{
	auto_fd int owned = fd;
	struct fs_identity is;
	struct statx st = {};
	struct fs_inode *i;

	if (statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, FS_STATX_MASK, &st) < 0)
		return -errno;
	is = identity_of(&st, share);
	i = pinned_new(t, &is, st.stx_mode, fd);
	if (!i)
		return -ENOMEM;
	(void) take_fd(&owned);
	i->name = strdup(name);
	if (!i->name)
		return -ENOMEM; /* the table frees it */
	i->parent = t->root;
	t->root->children++;
	enter_place(t, i);
	*ret_inode = i;
	return 0;
}

void fs_inodes_clear(struct fs_inodes *t)
{
	struct fs_inode *i;
	size_t at = 0;

	/* All places first: what stays for its children then stays for none. */
	while ((i = fs_ids_next(&t->ids, at, &at))) {
		i->lookups = 0;
		if (!i->pinned && i->name) {
			i->parent->children--;
			free(TAKE(i->name));
			i->parent = NULL;
		}
	}
	at = 0;
	while ((i = fs_ids_next(&t->ids, at, &at)))
		if (!i->pinned)
			inode_free(t, i);
	memset((void *) t->by_place, 0, t->buckets_n * sizeof(struct fs_inode *));
	at = 0;
	while ((i = fs_ids_next(&t->ids, at, &at)))
		if (i->name)
			enter_place(t, i);
}

bool fs_inodes_share_used(const struct fs_inodes *t, uint32_t share)
{
	const struct fs_inode *i;
	size_t at = 0;

	while ((i = fs_ids_next(&t->ids, at, &at))) {
		if (i->is.share != share)
			continue;
		if (i->pins)
			return true;
		for (const struct fs_handle *h = i->handles; h; h = h->next)
			if (h->pins)
				return true;
	}
	return false;
}

void fs_inodes_unshare(struct fs_inodes *t, uint32_t share)
{
	struct fs_inode *i;
	size_t at = 0;

	/* All places first, as above: none of them stays for its children. */
	while ((i = fs_ids_next(&t->ids, at, &at))) {
		if (i->is.share != share)
			continue;
		i->lookups++; /* until the second round */
		place_clear(t, i);
	}
	at = 0;
	while ((i = fs_ids_next(&t->ids, at, &at))) {
		if (i->is.share != share)
			continue;
		if (!i->pins) {
			inode_free(t, i);
			continue;
		}
		/* Requests use it: it goes when they are through. */
		i->lost = true;
		i->lookups = 0;
		if (i->pinned) {
			i->pinned = false;
			if (i->fd >= 0)
				lru_add(lru_of(t, i), i);
		}
	}
}

void fs_inodes_fini(struct fs_inodes *t)
{
	struct fs_inode *i;
	size_t at = 0;

	if (!t->buckets_n)
		return;
	fs_inodes_clear(t);
	while ((i = fs_ids_next(&t->ids, at, &at)))
		inode_free(t, i);
	fs_ids_fini(&t->ids);
	free((void *) t->by_identity);
	free((void *) t->by_place);
	*t = (struct fs_inodes){};
}
