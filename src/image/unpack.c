/* SPDX-License-Identifier: Apache-2.0 */
#include "image/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "fmt/shown.h"
#include "fmt/tar.h"
#include "image/feed.h"
#include "image/help.h"
#include "image/place.h"
#include "image/source.h"
#include "image/wire.h"
#include "sys/tree.h"

#define WHITEOUT      ".wh."
#define WHITEOUT_META ".wh..wh."
#define WHITEOUT_OPQ  ".wh..wh..opq"

#define WRITEBACK_BYTES ((uint64_t) 1 << 20)

/* Bytes of directory names kept until the end, when their times are set. */
#define LATER_BYTES_MAX ((size_t) 256 << 20)

/* A directory's times are set last: writing into it changes them. */
struct later {
	char *real; /* owned; free of links when it was made */
	int64_t mtime;
	uint32_t mtime_ns;
};

struct unpack {
	const struct unpack_request *req;
	struct place place;
	int help_sock;
	struct feed *feed; /* borrowed */
	struct tar tar;
	uint64_t entries, entries_max, file_bytes;
	struct later *later; /* owned */
	size_t later_n, later_cap, later_bytes;
	/* The regular file being written. */
	int fd; /* owned */
	bool in_file;
	struct tar_entry file; /* numbers only: its pointers are borrowed from the tar's entry */
};

static int fail(const struct tar_entry *n, int sys, const char *what, struct err *e)
{
	return err_sys(e, sys, "entry '%s': %s", shown_of(n->name).z, what);
}

static int refuse(const struct tar_entry *n, const char *why, struct err *e)
{
	return err_set(e, ERR_INVALID, EBADMSG, "hostile archive: entry '%s' %s",
		       shown_of(n->name).z, why);
}

/* A name as components without "", "." and leading slashes. False where it has "..". */
static bool clean(struct str name, struct buf *ret_path)
{
	while (name.p) {
		struct str part = str_cut(name, '/', &name);

		if (part.n == 0 || str_is(part, "."))
			continue;
		if (str_is(part, ".."))
			return false;
		if (ret_path->n)
			buf_addc(ret_path, '/');
		buf_addstr(ret_path, part);
	}
	return true;
}

static int set_owner(int dir, const char *base, const struct tar_entry *n, bool no_owner,
		     struct err *e)
{
	if (no_owner || (n->uid == 0 && n->gid == 0))
		return 0; /* what is made here belongs to root as it is */
	if (fchownat(dir, base, n->uid, n->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return fail(n, errno, "set its owner", e);
	return 0;
}

static void set_times(int dir, const char *base, const struct tar_entry *n)
{
	const struct timespec t[2] = { { .tv_sec = n->mtime, .tv_nsec = n->mtime_ns },
				       { .tv_sec = n->mtime, .tv_nsec = n->mtime_ns } };

	/* A time the file system cannot hold is clamped by the kernel; nothing else can fail. */
	(void) utimensat(dir, base, t, AT_SYMLINK_NOFOLLOW);
}

/*
 * Kept: file capabilities and what users set. Dropped: trusted.* (overlayfs's own marks are made
 * here, not taken from archives), labels of other machines, user.overlay.* for the same reason.
 */
static bool xattr_kept(const char *name)
{
	if (streq(name, "security.capability"))
		return true;
	return strncmp(name, "user.", 5) == 0 && strncmp(name, "user.overlay.", 13) != 0;
}

static int set_xattrs(int fd, const struct tar_entry *n, struct err *e)
{
	for (size_t i = 0; i < n->xattrs_n; i++) {
		const struct tar_xattr *x = &n->xattrs[i];

		if (!xattr_kept(x->name))
			continue;
		if (fsetxattr(fd, x->name, x->value.p, x->value.n, 0) < 0 && errno != EOPNOTSUPP)
			return fail(n, errno, "set an extended attribute", e);
	}
	return 0;
}

/* Take away what stands at dir/base. *ret_st tells what it was; false in *ret_was: nothing. */
static int clear_way(struct unpack *u, int dir, const char *base, const struct tar_entry *n,
		     struct stat *ret_st, bool *ret_was, struct err *e)
{
	int r;

	*ret_was = false;
	if (fstatat(dir, base, ret_st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : fail(n, errno, "look at its place", e);
	*ret_was = true;
	if (S_ISDIR(ret_st->st_mode)) {
		if (u->req->plain_tree)
			return err_set(
				e, ERR_CONFLICT, EISDIR,
				"entry '%s' is no directory, and a directory is in its place",
				shown_of(n->name).z);
		/* `dir` is the cached descriptor: the caller forgets it after its last use. */
		r = tree_unlink(dir, base);
		return r < 0 ? fail(n, -r, "replace the directory there", e) : 0;
	}
	return unlinkat(dir, base, 0) < 0 ? fail(n, errno, "replace what is there", e) : 0;
}

static int keep_for_later(struct unpack *u, const char *dir_real, const char *base,
			  const struct tar_entry *n, struct err *e)
{
	size_t bytes = strlen(dir_real) + strlen(base) + 2;
	struct later *l;

	if (u->later_bytes + bytes > LATER_BYTES_MAX)
		return err_set(e, ERR_EXHAUSTED, E2BIG,
			       "the archive's directory names take more than %zu bytes",
			       LATER_BYTES_MAX);
	if (u->later_n == u->later_cap) {
		size_t cap = u->later_cap ? 2 * u->later_cap : 256;

		l = reallocarray(u->later, cap, sizeof(*l));
		if (!l)
			return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left to unpack");
		u->later = l;
		u->later_cap = cap;
	}
	l = &u->later[u->later_n];
	if (asprintf(&l->real, "%s%s%s", dir_real, *dir_real && *base ? "/" : "", base) < 0)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left to unpack");
	l->mtime = n->mtime;
	l->mtime_ns = n->mtime_ns;
	u->later_n++;
	u->later_bytes += bytes;
	return 0;
}

static int dir_attributes(struct unpack *u, int fd, const char *dir_real, const char *base,
			  const struct tar_entry *n, struct err *e)
{
	int r;

	if (!u->req->no_owner && fchown(fd, n->uid, n->gid) < 0)
		return fail(n, errno, "set its owner", e);
	if (fchmod(fd, n->mode) < 0)
		return fail(n, errno, "set its mode", e);
	r = set_xattrs(fd, n, e);
	return r < 0 ? r : keep_for_later(u, dir_real, base, n, e);
}

static int make_dir(struct unpack *u, int dir, const char *dir_real, const char *base,
		    const struct tar_entry *n, struct err *e)
{
	auto_fd int fd = FD_NONE;
	struct stat st;
	bool hides = false, was = false;
	int r = 0;

	if (mkdirat(dir, base, 0700) < 0) {
		if (errno != EEXIST)
			return fail(n, errno, "make the directory", e);
		if (fstatat(dir, base, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return fail(n, errno, "look at its place", e);
		if (!S_ISDIR(st.st_mode)) {
			/* What was deleted or a file in this layer hides what lies beneath. */
			hides = !u->req->plain_tree;
			r = clear_way(u, dir, base, n, &st, &was, e);
			if (r < 0)
				return r;
			if (mkdirat(dir, base, 0700) < 0)
				return fail(n, errno, "make the directory", e);
		}
	}
	fd = openat(dir, base, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return fail(n, errno, "open the directory", e);
	if (hides)
		r = help_opaque_set(u->help_sock, fd);
	if (r < 0)
		return fail(n, -r, "mark the directory opaque", e);
	r = dir_attributes(u, fd, dir_real, base, n, e);
	if (was)
		place_forget(&u->place);
	return r;
}

static int begin_file(struct unpack *u, int dir, const char *base, const struct tar_entry *n,
		      struct err *e)
{
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	struct stat st;
	bool was;
	int r;

	u->fd = openat(dir, base, flags, n->mode & 0777);
	if (u->fd < 0 && errno == EEXIST) {
		r = clear_way(u, dir, base, n, &st, &was, e);
		if (r < 0)
			return r;
		u->fd = openat(dir, base, flags, n->mode & 0777);
		place_forget(&u->place);
	}
	if (u->fd < 0)
		return fail(n, errno, "create the file", e);
	u->in_file = true;
	u->file = *n;
	if (!u->req->no_owner && (n->uid || n->gid) && fchown(u->fd, n->uid, n->gid) < 0)
		return fail(n, errno, "set its owner", e);
	return 0;
}

static int end_file(struct unpack *u, struct err *e)
{
	const struct tar_entry *n = &u->file;
	const struct timespec t[2] = { { .tv_sec = n->mtime, .tv_nsec = n->mtime_ns },
				       { .tv_sec = n->mtime, .tv_nsec = n->mtime_ns } };
	struct stat st;
	int r;

	u->in_file = false;
	if (n->size && fstat(u->fd, &st) == 0 && (uint64_t) st.st_size < n->size &&
	    ftruncate(u->fd, (off_t) n->size) < 0) /* a sparse file that ends in a hole */
		return fail(n, errno, "set its size", e);
	/* After owner and data: both clear set-user-id bits and capabilities. */
	if (n->mode & 07000 && fchmod(u->fd, n->mode) < 0)
		return fail(n, errno, "set its mode", e);
	r = set_xattrs(u->fd, n, e);
	if (r < 0)
		return r;
	(void) futimens(u->fd, t); /* as in set_times */
	/* Larger files go to the disk while the next ones come, not all in the sync at the end. */
	if (n->size >= WRITEBACK_BYTES)
		(void) sync_file_range(u->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	u->file_bytes += n->size;
	close_fd(&u->fd);
	return 0;
}

static int write_data(struct unpack *u, const struct tar_event *ev, struct err *e)
{
	const char *p = ev->data.p;
	size_t left = ev->data.n;
	off_t off = (off_t) ev->off;

	while (left) {
		ssize_t n = pwrite(u->fd, p, left, off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail(&u->file, errno, "write its data", e);
		p += n;
		left -= (size_t) n;
		off += n;
	}
	return 0;
}

/* Bring a file of a layer beneath up into the tree, for a hard link to it. */
static int copy_up(struct unpack *u, const char *real, int layer, const struct stat *st,
		   const struct tar_entry *n, struct err *e)
{
	const char *slash = strrchr(real, '/'), *base, *to_real;
	auto_fd int from_dir = place_parent(u->place.lower[layer], real, &base);
	auto_fd int to = FD_NONE;
	const struct timespec t[2] = { st->st_mtim, st->st_mtim };
	char name[NAME_MAX + 1], caps[64];
	ssize_t caps_n = 0;
	int to_dir, r;

	if (from_dir < 0)
		return fail(n, -from_dir, "open the file it links to", e);
	(void) snprintf(name, sizeof(name), "%s", base); /* a component: it fits */
	r = place_dir(&u->place, (struct str){ real, slash ? (size_t) (slash - real) : 0 }, &to_dir,
		      &to_real, e);
	if (r < 0)
		return r;
	if (S_ISLNK(st->st_mode)) {
		char target[PATH_MAX];
		ssize_t k = readlinkat(from_dir, name, target, sizeof(target) - 1);

		if (k < 0)
			return fail(n, errno, "read the link it links to", e);
		target[k] = '\0';
		if (symlinkat(target, to_dir, name) < 0)
			return fail(n, errno, "copy the link it links to", e);
	} else if (S_ISREG(st->st_mode)) {
		auto_fd int from = openat(from_dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
		off_t off = 0;

		to = openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
			    st->st_mode & 0777);
		if (from < 0 || to < 0)
			return fail(n, errno, "copy the file it links to", e);
		while (off < st->st_size) {
			ssize_t k = copy_file_range(from, &off, to, NULL,
						    (size_t) (st->st_size - off), 0);

			if (k < 0)
				return fail(n, errno, "copy the file it links to", e);
			if (k == 0)
				break;
		}
		caps_n = fgetxattr(from, "security.capability", caps, sizeof(caps));
	} else {
		return refuse(n, "is a hard link to something that is no file", e);
	}
	if (fchownat(to_dir, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0)
		return fail(n, errno, "copy the file it links to", e);
	if (to >= 0 &&
	    (fchmod(to, st->st_mode & 07777) < 0 ||
	     (caps_n > 0 && fsetxattr(to, "security.capability", caps, (size_t) caps_n, 0) < 0)))
		return fail(n, errno, "copy the file it links to", e);
	(void) utimensat(to_dir, name, t, AT_SYMLINK_NOFOLLOW); /* as in set_times */
	return 0;
}

static int make_hardlink(struct unpack *u, struct str dir_path, const char *base,
			 const struct tar_entry *n, struct err *e)
{
	auto_buf struct buf target = BUF_INIT(TAR_NAME_MAX), real = BUF_INIT(PLACE_PATH_MAX);
	auto_fd int from = FD_NONE;
	const char *from_base;
	struct stat st, old;
	int layer = -1, dir, r;
	bool found, was;

	if (!clean(n->link, &target))
		return refuse(n, "is a hard link out of the tree", e);
	r = place_find(&u->place, buf_str(&target), &real, &layer, &st, &found, e);
	if (r < 0)
		return r;
	if (!found)
		return err_set(e, ERR_INVALID, ENOENT,
			       "entry '%s' is a hard link to '%s', which does not exist",
			       shown_of(n->name).z, shown_of(n->link).z);
	if (S_ISDIR(st.st_mode))
		return refuse(n, "is a hard link to a directory", e);
	if (layer >= 0) {
		r = copy_up(u, buf_z(&real), layer, &st, n, e);
		if (r < 0)
			return r;
	}
	r = place_dir(&u->place, dir_path, &dir, NULL, e);
	if (r < 0)
		return r;
	from = place_parent(u->place.root, buf_z(&real), &from_base);
	if (from < 0 || fstatat(from, from_base, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return fail(n, from < 0 ? -from : errno, "open what it links to", e);
	if (fstatat(dir, base, &old, AT_SYMLINK_NOFOLLOW) == 0 && old.st_ino == st.st_ino &&
	    old.st_dev == st.st_dev)
		return 0; /* to itself, or made before */
	r = clear_way(u, dir, base, n, &old, &was, e);
	if (r < 0)
		return r;
	if (linkat(from, from_base, dir, base, 0) < 0)
		return fail(n, errno, "make the hard link", e);
	if (was)
		place_forget(&u->place);
	return 0;
}

static int make_other(struct unpack *u, int dir, const char *base, const struct tar_entry *n,
		      struct err *e)
{
	struct stat st;
	bool was;
	int r = clear_way(u, dir, base, n, &st, &was, e);

	if (r < 0)
		return r;
	switch (n->type) {
	case TAR_SYMLINK:
		r = symlinkat(n->link.p, dir, base) < 0 ? -errno : 0;
		break;
	case TAR_FIFO:
		r = mkfifoat(dir, base, n->mode & 0777) < 0 ? -errno : 0;
		break;
	case TAR_CHAR:
	case TAR_BLOCKDEV:
		if (n->type == TAR_CHAR && n->major == 0 && n->minor == 0)
			return refuse(n, "is a device 0:0, which would hide a file", e);
		r = help_node(u->help_sock, dir, base,
			      (n->type == TAR_CHAR ? S_IFCHR : S_IFBLK) | n->mode, n->major,
			      n->minor);
		break;
	case TAR_FILE:
	case TAR_HARDLINK:
	case TAR_DIR:
		return err_set(e, ERR_INTERNAL, 0, "a file, link or directory in make_other");
	}
	if (r < 0)
		return fail(n, -r, "make it", e);
	r = set_owner(dir, base, n, u->req->no_owner, e);
	if (r == 0 && n->type == TAR_FIFO && n->mode & 07000 && fchmodat(dir, base, n->mode, 0) < 0)
		r = fail(n, errno, "set its mode", e);
	set_times(dir, base, n);
	if (was)
		place_forget(&u->place);
	return r;
}

/* ".wh.NAME" and its kin. Siblings of the same layer are never touched. */
static int whiteout(struct unpack *u, struct str dir_path, const char *base,
		    const struct tar_entry *n, struct err *e)
{
	const char *name = base + sizeof(WHITEOUT) - 1;
	auto_fd int fd = FD_NONE;
	struct stat st;
	int dir, r;

	if (strncmp(base, WHITEOUT_META, sizeof(WHITEOUT_META) - 1) == 0 &&
	    !streq(base, WHITEOUT_OPQ))
		return 0; /* aufs's own bookkeeping */
	if (!*name || streq(name, ".") || streq(name, ".."))
		return refuse(n, "deletes a file without a name", e);
	r = place_dir(&u->place, dir_path, &dir, NULL, e);
	if (r < 0)
		return r;
	if (streq(base, WHITEOUT_OPQ)) {
		fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = fd < 0 ? -errno : help_opaque_set(u->help_sock, fd);
		return r < 0 ? fail(n, -r, "mark the directory opaque", e) : 0;
	}
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		if (errno != ENOENT)
			return fail(n, errno, "look at what it deletes", e);
		if (mknodat(dir, name, S_IFCHR, 0) < 0)
			return fail(n, errno, "make the whiteout", e);
		return 0;
	}
	if (!S_ISDIR(st.st_mode))
		return 0; /* of this layer: it hides the one beneath anyway */
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	r = fd < 0 ? -errno : help_opaque_set(u->help_sock, fd);
	return r < 0 ? fail(n, -r, "mark the directory opaque", e) : 0;
}

static int root_entry(struct unpack *u, const struct tar_entry *n, struct err *e)
{
	auto_fd int fd = FD_NONE;

	if (n->type != TAR_DIR)
		return refuse(n, "would replace the root directory", e);
	fd = openat(u->place.root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return fail(n, errno, "open the root directory", e);
	return u->req->plain_tree ? 0 : dir_attributes(u, fd, "", "", n, e);
}

static int on_entry(struct unpack *u, const struct tar_entry *n, struct err *e)
{
	auto_buf struct buf path = BUF_INIT(TAR_NAME_MAX);
	struct str dir_path;
	const char *slash, *base, *real;
	int dir, r;

	if (++u->entries > u->entries_max)
		return err_set(e, ERR_EXHAUSTED, E2BIG,
			       "the archive has more than %llu entries, which is the limit",
			       (unsigned long long) u->entries_max);
	if (!clean(n->name, &path))
		return refuse(n, "has '..' in its name", e);
	if (!buf_ok(&path))
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left to unpack");
	if (path.n == 0)
		return root_entry(u, n, e);
	slash = memrchr(path.p, '/', path.n);
	base = slash ? slash + 1 : path.p;
	dir_path = (struct str){ path.p, slash ? (size_t) (slash - path.p) : 0 };
	if (strlen(base) > NAME_MAX)
		return refuse(n, "has a component longer than 255 bytes", e);
	if (!u->req->plain_tree && strncmp(base, WHITEOUT, sizeof(WHITEOUT) - 1) == 0)
		return whiteout(u, dir_path, base, n, e);
	if (n->type == TAR_HARDLINK)
		return make_hardlink(u, dir_path, base, n, e);
	r = place_dir(&u->place, dir_path, &dir, &real, e);
	if (r < 0)
		return err_ctx(e, "entry '%s'", shown_of(n->name).z);
	if (n->type == TAR_FILE)
		return begin_file(u, dir, base, n, e);
	if (n->type == TAR_DIR)
		return make_dir(u, dir, real, base, n, e);
	return make_other(u, dir, base, n, e);
}

static int on_event(struct unpack *u, const struct tar_event *ev, struct err *e)
{
	switch (ev->kind) {
	case TAR_ENTRY:
		return on_entry(u, ev->entry, e);
	case TAR_DATA:
		return u->in_file ? write_data(u, ev, e) : 0;
	case TAR_ENTRY_END:
		return u->in_file ? end_file(u, e) : 0;
	case TAR_MORE:
	case TAR_EOF:
		return 0;
	}
	return 0;
}

static int pump(struct unpack *u, struct err *e)
{
	for (;;) {
		struct str in;
		struct tar_event ev;
		int r = feed_next(u->feed, &in, e);

		if (r < 0)
			return r;
		if (in.n == 0)
			return tar_finish(&u->tar, e);
		do {
			r = tar_step(&u->tar, &in, &ev, e);
			if (r == 0)
				r = on_event(u, &ev, e);
			if (r < 0)
				return r;
		} while (ev.kind != TAR_MORE);
	}
}

/* What became of the directory meanwhile does not matter: a link or file in its place is left. */
static void set_late_times(struct unpack *u)
{
	for (size_t i = u->later_n; i-- > 0;) {
		const struct later *l = &u->later[i];
		const struct timespec t[2] = { { .tv_sec = l->mtime, .tv_nsec = l->mtime_ns },
					       { .tv_sec = l->mtime, .tv_nsec = l->mtime_ns } };
		const char *base;
		auto_fd int dir = place_parent(u->place.root, l->real, &base);
		auto_fd int fd = dir < 0 ? FD_NONE
					 : openat(dir, *base ? base : ".",
						  O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

		if (fd >= 0)
			(void) futimens(fd, t); /* as in set_times */
	}
}

static void unpack_fini(struct unpack *u)
{
	close_fd(&u->fd);
	place_fini(&u->place);
	tar_fini(&u->tar);
	for (size_t i = 0; i < u->later_n; i++)
		free(u->later[i].real);
	free(u->later);
}

int unpack_run(const struct unpack_request *req, struct feed *feed, int help_sock,
	       struct unpack_result *ret_result, struct err *e)
{
	struct unpack u = { .req = req, .feed = feed, .help_sock = help_sock, .fd = FD_NONE };
	int r;

	u.entries_max = req->entries_max ? req->entries_max : UNPACK_ENTRIES_MAX;
	place_init(&u.place, req->dir_fd, req->lower_fds, req->lower_n, help_sock);
	tar_init(&u.tar);
	r = pump(&u, e);
	if (r == 0) {
		set_late_times(&u);
		*ret_result = (struct unpack_result){ .file_bytes = u.file_bytes,
						      .entries = u.entries };
		feed_result(feed, ret_result);
	}
	unpack_fini(&u);
	return r;
}

int unpack_expand(const struct unpack_request *req, int out_fd, struct unpack_result *ret_result,
		  struct err *e)
{
	struct source s;
	int r = source_init(&s, req, e);

	while (r == 0) {
		struct str data;

		r = source_next(&s, &data, e);
		if (r < 0 || data.n == 0)
			break;
		r = fd_write_all(out_fd, data.p, data.n);
		if (r < 0)
			r = err_sys(e, -r, "write what was unpacked");
	}
	if (r == 0) {
		*ret_result = (struct unpack_result){};
		source_result(&s, ret_result);
	}
	source_fini(&s);
	return r;
}

int unpack_index(int in_fd, uint64_t entries_max,
		 int (*told)(void *user, const struct wire_member *m, const char *name,
			     const char *link, struct err *e),
		 void *user, struct err *e)
{
	auto_tar struct tar t;
	unsigned char block[16 * TAR_BLOCK];
	uint64_t at = 0, entries = 0;
	struct stat st;

	tar_init(&t);
	if (fstat(in_fd, &st) < 0)
		return err_sys(e, errno, "look at the archive");
	for (;;) {
		ssize_t n = pread(in_fd, block, sizeof(block), (off_t) at);
		struct str in = { (const char *) block, n > 0 ? (size_t) n : 0 };
		struct tar_event ev;

		if (n < 0)
			return err_sys(e, errno, "read the archive");
		if (n == 0)
			return tar_finish(&t, e);
		at += (uint64_t) n;
		do {
			int r = tar_step(&t, &in, &ev, e);

			if (r < 0)
				return r;
			if (ev.kind == TAR_ENTRY) {
				const struct wire_member m = {
					.magic = WIRE_MAGIC,
					.name_n = (uint32_t) ev.entry->name.n,
					.link_n = (uint32_t) ev.entry->link.n,
					.dir = ev.entry->type == TAR_DIR,
					.off = t.in_off,
					.size = ev.entry->size,
				};

				if (++entries > entries_max)
					return err_set(e, ERR_EXHAUSTED, E2BIG,
						       "the archive has more than %llu members",
						       (unsigned long long) entries_max);
				if (t.sparse)
					return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
						       "a member of the archive is sparse");
				r = told(user, &m, ev.entry->name.p, ev.entry->link.p, e);
				if (r < 0)
					return r;
			}
			/* Data is not read but stepped over, in the reader as in the file. */
			if (ev.kind == TAR_DATA && t.left && !t.sparse) {
				if (t.left > (uint64_t) st.st_size ||
				    t.in_off > (uint64_t) st.st_size - t.left)
					return err_set(e, ERR_INVALID, EBADMSG,
						       "the archive is cut short");
				t.in_off += t.left;
				t.left = 0;
				at = t.in_off;
				in.n = 0;
			}
		} while (ev.kind != TAR_MORE);
	}
}
