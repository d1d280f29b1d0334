/* SPDX-License-Identifier: Apache-2.0 */
#include "image/place.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "fmt/shown.h"
#include "image/help.h"

#define LINKS_MAX 40 /* what the kernel follows in one path */
#define OPEN_DIR  (O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

void place_init(struct place *p, int root, const int *lower, size_t lower_n, int help_sock)
{
	*p = (struct place){ .root = root,
			     .lower = lower,
			     .lower_n = lower_n,
			     .help_sock = help_sock,
			     .cached = BUF_INIT(PLACE_PATH_MAX),
			     .cached_real = BUF_INIT(PLACE_PATH_MAX),
			     .cached_fd = FD_NONE };
}

void place_fini(struct place *p)
{
	buf_fini(&p->cached);
	buf_fini(&p->cached_real);
	close_fd(&p->cached_fd);
}

void place_forget(struct place *p)
{
	close_fd(&p->cached_fd);
}

/* Open a link-free path component by component; "" is root itself. A new descriptor or -errno. */
static int open_real(int root, struct str real, int last_flags)
{
	auto_fd int at = openat(root, ".", real.n ? OPEN_DIR : last_flags);

	while (real.n && at >= 0) {
		struct str rest = {}, part = str_cut(real, '/', &rest);
		char name[NAME_MAX + 1];
		int next;

		if (part.n > NAME_MAX)
			return -ENAMETOOLONG;
		memcpy(name, part.p, part.n);
		name[part.n] = '\0';
		next = openat(at, name, rest.n ? OPEN_DIR : last_flags);
		if (next < 0)
			return -errno;
		close_fd(&at);
		at = next;
		real = rest;
	}
	return at < 0 ? -errno : take_fd(&at);
}

int place_parent(int root, const char *real, const char **ret_name)
{
	const char *slash = strrchr(real, '/');

	*ret_name = slash ? slash + 1 : real;
	return open_real(root, (struct str){ real, slash ? (size_t) (slash - real) : 0 }, OPEN_DIR);
}

/*
 * What the layers beneath show at a link-free path: the topmost that has it, unless a layer above
 * hides it by a whiteout, a file in place of a parent, or an opaque parent.
 */
static int lower_find(struct place *p, const char *real, int *ret_layer, struct stat *ret_st)
{
	for (size_t i = 0; i < p->lower_n; i++) {
		auto_fd int at = openat(p->lower[i], ".", OPEN_DIR);
		struct str rest = str_of(real);
		bool opaque = false;

		while (at >= 0) {
			struct str part = str_cut(rest, '/', &rest);
			char name[NAME_MAX + 1];
			int next;

			if (part.n > NAME_MAX)
				return -ENAMETOOLONG;
			memcpy(name, part.p, part.n);
			name[part.n] = '\0';
			if (fstatat(at, name, ret_st, AT_SYMLINK_NOFOLLOW) < 0)
				break;
			if (!rest.n) {
				if (place_is_whiteout(ret_st))
					return -ENOENT;
				*ret_layer = (int) i;
				return 0;
			}
			if (!S_ISDIR(ret_st->st_mode))
				return -ENOENT; /* hides what lies below there */
			next = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			if (next < 0)
				return -errno;
			close_fd(&at);
			at = next;
			if (help_opaque_get(p->help_sock, at) == 1)
				opaque = true;
		}
		if (opaque)
			return -ENOENT;
	}
	return -ENOENT;
}

/* One walk through the merged tree. */
struct walk {
	struct place *p;
	bool make;
	int at;		    /* owned; the directory in the tree, FD_NONE when only beneath */
	struct buf real;    /* its path */
	struct buf pending; /* what is still to be walked */
	size_t pos;	    /* in pending */
	unsigned links;
};

static int no_memory(struct err *e)
{
	return err_set(e, ERR_INVALID, ENAMETOOLONG, "a path is longer than %d bytes",
		       PLACE_PATH_MAX);
}

static int bad_walk(struct walk *w, int sys, struct err *e)
{
	if (sys == ELOOP)
		return err_set(
			e, ERR_INVALID, ELOOP, "too many symbolic links on the way to '%s'",
			shown_of((struct str){ w->pending.p + w->pos, w->pending.n - w->pos }).z);
	return err_sys(e, sys, "'%s'", shown_of(buf_str(&w->real)).z);
}

/* Begin again at the root with what is pending. */
static int to_root(struct walk *w, struct err *e)
{
	close_fd(&w->at);
	buf_clear(&w->real);
	w->at = openat(w->p->root, ".", OPEN_DIR);
	return w->at < 0 ? bad_walk(w, errno, e) : 0;
}

static int up(struct walk *w, struct err *e)
{
	const char *slash = w->real.n ? memrchr(w->real.p, '/', w->real.n) : NULL;
	int fd;

	w->real.n = slash ? (size_t) (slash - w->real.p) : 0;
	if (w->real.p)
		w->real.p[w->real.n] = '\0';
	close_fd(&w->at);
	fd = open_real(w->p->root, buf_str(&w->real), OPEN_DIR);
	if (fd < 0 && fd != -ENOENT)
		return bad_walk(w, -fd, e);
	w->at = fd < 0 ? FD_NONE : fd;
	return 0;
}

/* A link's text takes the place of its name in what is pending. */
static int follow(struct walk *w, const char *target, size_t n, struct err *e)
{
	struct buf next = BUF_INIT(PLACE_PATH_MAX);
	bool absolute = n && target[0] == '/';

	if (++w->links > LINKS_MAX)
		return bad_walk(w, ELOOP, e);
	buf_add(&next, target, n);
	buf_addc(&next, '/');
	buf_add(&next, w->pending.p + w->pos, w->pending.n - w->pos);
	buf_fini(&w->pending);
	w->pending = next;
	w->pos = 0;
	if (!buf_ok(&w->pending))
		return no_memory(e);
	return absolute ? to_root(w, e) : 0;
}

static int follow_at(struct walk *w, int dir, const char *name, struct err *e)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(dir, name, target, sizeof(target));

	if (n < 0)
		return bad_walk(w, errno, e);
	return follow(w, target, (size_t) n, e);
}

static int enter(struct walk *w, const char *name, int fd, struct err *e)
{
	if (w->real.n)
		buf_addc(&w->real, '/');
	buf_adds(&w->real, name);
	close_fd(&w->at);
	w->at = fd;
	return buf_ok(&w->real) ? 0 : no_memory(e);
}

/* The component is not in the tree: follow or copy what lies beneath, or make a plain directory. */
static int missing(struct walk *w, const char *name, bool hidden, struct err *e)
{
	auto_buf struct buf path = BUF_INIT(PLACE_PATH_MAX);
	struct stat st = { .st_mode = S_IFDIR | 0755 };
	int layer = -1, fd, r = -ENOENT;

	buf_addstr(&path, buf_str(&w->real));
	if (path.n)
		buf_addc(&path, '/');
	buf_adds(&path, name);
	if (!buf_ok(&path))
		return no_memory(e);
	if (!hidden)
		r = lower_find(w->p, buf_z(&path), &layer, &st);
	if (r < 0 && r != -ENOENT)
		return bad_walk(w, -r, e);
	if (r == 0 && S_ISLNK(st.st_mode)) {
		const char *last;
		auto_fd int dir = place_parent(w->p->lower[layer], buf_z(&path), &last);

		return dir < 0 ? bad_walk(w, -dir, e) : follow_at(w, dir, last, e);
	}
	if (!w->make)
		return r == 0 && S_ISDIR(st.st_mode) ? enter(w, name, FD_NONE, e) : -ENOENT;
	if (r < 0 || !S_ISDIR(st.st_mode))
		st = (struct stat){ .st_mode = S_IFDIR | 0755 };
	if (mkdirat(w->at, name, st.st_mode & 0777) < 0)
		return bad_walk(w, errno, e);
	fd = openat(w->at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return bad_walk(w, errno, e);
	r = 0;
	if (((st.st_uid || st.st_gid) && fchown(fd, st.st_uid, st.st_gid) < 0) ||
	    (st.st_mode & 07000 && fchmod(fd, st.st_mode & 07777) < 0))
		r = -errno;
	else if (hidden)
		r = help_opaque_set(w->p->help_sock, fd);
	if (r < 0) {
		(void) close(fd);
		return bad_walk(w, -r, e);
	}
	return enter(w, name, fd, e);
}

static int step(struct walk *w, const char *name, struct err *e)
{
	struct stat st;
	int fd = w->at >= 0 ? openat(w->at, name, OPEN_DIR) : -1;

	if (fd >= 0)
		return enter(w, name, fd, e);
	if (w->at < 0 || errno == ENOENT)
		return missing(w, name, false, e);
	if (errno != ENOTDIR && errno != ELOOP)
		return bad_walk(w, errno, e);
	if (fstatat(w->at, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return bad_walk(w, errno, e);
	if (S_ISLNK(st.st_mode))
		return follow_at(w, w->at, name, e);
	if (!w->make)
		return -ENOENT;
	if (!place_is_whiteout(&st))
		return err_set(e, ERR_INVALID, ENOTDIR,
			       "'%s' in '%s' is a file, and another entry lies below it",
			       shown_of(str_of(name)).z, shown_of(buf_str(&w->real)).z);
	/* Deleted in this very layer, then made again: nothing from beneath may show through. */
	if (unlinkat(w->at, name, 0) < 0)
		return bad_walk(w, errno, e);
	return missing(w, name, true, e);
}

/* -ENOENT with *e untouched when it does not exist and is not to be made. */
static int walk_dir(struct walk *w, struct str path, struct err *e)
{
	int r = to_root(w, e);

	buf_addstr(&w->pending, path);
	if (r == 0 && !buf_ok(&w->pending))
		return no_memory(e);
	while (r == 0 && w->pos < w->pending.n) {
		char name[NAME_MAX + 1];
		const char *p = w->pending.p + w->pos;
		size_t n = strcspn(p, "/");

		if (n > NAME_MAX)
			return bad_walk(w, ENAMETOOLONG, e);
		memcpy(name, p, n);
		name[n] = '\0';
		w->pos += n;
		w->pos += strspn(w->pending.p + w->pos, "/");
		if (n == 0 || streq(name, "."))
			continue;
		r = streq(name, "..") ? up(w, e) : step(w, name, e);
	}
	return r;
}

static void walk_fini(struct walk *w)
{
	close_fd(&w->at);
	buf_fini(&w->real);
	buf_fini(&w->pending);
}

#define WALK(place, make_)                                                                         \
	((struct walk){ .p = (place),                                                              \
			.make = (make_),                                                           \
			.at = FD_NONE,                                                             \
			.real = BUF_INIT(PLACE_PATH_MAX),                                          \
			.pending = BUF_INIT(PLACE_PATH_MAX) })

int place_dir(struct place *p, struct str path, int *ret_fd, const char **ret_real, struct err *e)
{
	struct walk w;
	int r;

	if (p->cached_fd >= 0 && str_eq(buf_str(&p->cached), path)) {
		*ret_fd = p->cached_fd;
		if (ret_real)
			*ret_real = buf_z(&p->cached_real);
		return 0;
	}
	place_forget(p);
	w = WALK(p, true);
	r = walk_dir(&w, path, e);
	if (r == 0) {
		buf_clear(&p->cached);
		buf_addstr(&p->cached, path);
		buf_clear(&p->cached_real);
		buf_addstr(&p->cached_real, buf_str(&w.real));
		if (!buf_ok(&p->cached) || !buf_ok(&p->cached_real))
			r = no_memory(e);
	}
	if (r == 0) {
		p->cached_fd = take_fd(&w.at);
		*ret_fd = p->cached_fd;
		if (ret_real)
			*ret_real = buf_z(&p->cached_real);
	}
	walk_fini(&w);
	return r;
}

int place_find(struct place *p, struct str path, struct buf *ret_real, int *ret_lower,
	       struct stat *ret_st, bool *ret_found, struct err *e)
{
	const char *slash = path.n ? memrchr(path.p, '/', path.n) : NULL;
	struct str dir = { path.p, slash ? (size_t) (slash - path.p) : 0 };
	struct str base = slash ? (struct str){ slash + 1, path.n - dir.n - 1 } : path;
	struct walk w = WALK(p, false);
	int r = walk_dir(&w, dir, e);

	*ret_found = false;
	if (r == 0) {
		buf_addstr(ret_real, buf_str(&w.real));
		if (ret_real->n)
			buf_addc(ret_real, '/');
		buf_addstr(ret_real, base);
		if (!buf_ok(ret_real))
			r = no_memory(e);
	} else if (r == -ENOENT) {
		r = 0;
		goto out;
	}
	if (r < 0)
		goto out;
	if (w.at >= 0 &&
	    fstatat(w.at, ret_real->p + ret_real->n - base.n, ret_st, AT_SYMLINK_NOFOLLOW) == 0) {
		*ret_found = !place_is_whiteout(ret_st);
		*ret_lower = -1;
	} else if (lower_find(p, buf_z(ret_real), ret_lower, ret_st) == 0) {
		*ret_found = true;
	}
out:
	walk_fini(&w);
	return r;
}
