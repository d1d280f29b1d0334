/* SPDX-License-Identifier: Apache-2.0 */
/*
 * COPY and ADD. What is copied is found and listed first: its names and bytes are the step's key,
 * and only what no earlier build has copied is copied. Both trees are somebody else's: names are
 * looked up inside them, and nothing is followed out.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"
#include "base/num.h"
#include "fmt/reference.h"
#include "fmt/shown.h"
#include "image/worker.h"
#include "svc/build_parts.h"
#include "svc/overlay.h"
#include "svc/tree_end.h"
#include "sys/accounts.h"
#include "sys/path.h"
#include "sys/tree.h"

#define LINKS_MAX   40
#define DEPTH_MAX   512
#define PIECE_BYTES ((size_t) 256 << 10)

struct entry {
	const char *path; /* in the source; NULL: a here-document */
	const char *to;	  /* below the destination; "": the destination */
	struct stat st;
	struct str text; /* of the here-document */
	bool archive;	 /* ADD: it is unpacked */
};

struct copier {
	struct builder *b;
	const char *name; /* "COPY" */
	int root_fd;	  /* of the source; borrowed */
	bool context;	  /* it is the context: names are ignored, owners are not kept */
	struct entry *v;
	size_t n;
	size_t sources_n;
	bool has_dir;	  /* one of the sources is one */
	const char *dest; /* absolute */
	bool dest_dir;	  /* as it was written */
	const char *chown;
	bool chmod_set;
	uint32_t mode;
};

static int no_source(const struct copier *c, const char *path, const char *why, struct err *e)
{
	return err_set(e, ERR_NOT_FOUND, ENOENT, "%s: '%s': %s", c->name, shown_of(str_of(path)).z,
		       why);
}

static const char *join(struct builder *b, const char *dir, const char *name)
{
	return !*dir ? name : !*name ? dir : arena_printf(&b->arena, "%s/%s", dir, name);
}

static int open_at(const struct copier *c, const char *path, int flags)
{
	return path_open_in(c->root_fd, *path ? path : ".", flags | O_CLOEXEC, 0);
}

/* ---- the sources ---- */

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *) a, *(const char *const *) b);
}

/* The names in a directory, sorted. */
static int names_in(struct builder *b, int fd, const char ***ret, size_t *ret_n, struct err *e)
{
	auto_dir DIR *d = dir_open(fd, ".");
	const char **names = NULL;
	size_t n = 0;

	if (!d)
		return err_sys(e, errno, "list a directory");
	for (struct dirent *de; (de = dir_next(d));) {
		const char **to = arena_push(&b->arena, &names, &n, sizeof(*to));

		if (!to || !(*to = arena_strdup(&b->arena, de->d_name)))
			return build_no_memory(e);
	}
	if (n)
		qsort(names, n, sizeof(*names), by_name);
	*ret = names;
	*ret_n = n;
	return 0;
}

/* A directory on the way; it becomes an entry with the first that is kept in it. */
struct level {
	const struct level *above;
	const char *path, *to;
	struct stat st;
	bool *listed;
};

static int add_entry(struct copier *c, const struct entry *what, struct err *e)
{
	struct entry *to = arena_push(&c->b->arena, &c->v, &c->n, sizeof(*to));

	if (!to)
		return build_no_memory(e);
	*to = *what;
	return 0;
}

static int list_level(struct copier *c, const struct level *l, struct err *e)
{
	const struct entry what = { .path = l->path, .to = l->to, .st = l->st };
	int r = l->above ? list_level(c, l->above, e) : 0;

	if (r < 0 || *l->listed)
		return r;
	*l->listed = true;
	return add_entry(c, &what, e);
}

static int walk(struct copier *c, int fd, const struct level *l, unsigned int depth, struct err *e);

static int walk_one(struct copier *c, int fd, const struct level *l, const char *name,
		    unsigned int depth, struct err *e)
{
	struct entry what = { .path = join(c->b, l->path, name), .to = join(c->b, l->to, name) };
	bool ignored;
	int r;

	if (!what.path || !what.to)
		return build_no_memory(e);
	if (fstatat(fd, name, &what.st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_sys(e, errno, "look at '%s'", what.path);
	ignored = c->context && ignorefile_has(&c->b->ignore, what.path);
	if (S_ISDIR(what.st.st_mode) && (!ignored || c->b->ignore.has_exceptions)) {
		auto_fd int dir = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		bool listed = false;
		const struct level in = { l, what.path, what.to, what.st, &listed };

		if (dir < 0)
			return err_sys(e, errno, "open '%s'", what.path);
		r = ignored ? 0 : list_level(c, &in, e);
		return r < 0 ? r : walk(c, dir, &in, depth + 1, e);
	}
	if (ignored || S_ISDIR(what.st.st_mode))
		return 0;
	r = list_level(c, l, e);
	return r < 0 ? r : add_entry(c, &what, e);
}

static int walk(struct copier *c, int fd, const struct level *l, unsigned int depth, struct err *e)
{
	const char **names;
	size_t n;
	int r = depth > DEPTH_MAX ? err_set(e, ERR_EXHAUSTED, ELOOP, "'%s' is too deep", l->path)
				  : names_in(c->b, fd, &names, &n, e);

	for (size_t i = 0; r == 0 && i < n; i++)
		r = walk_one(c, fd, l, names[i], depth, e);
	return r;
}

/* What a link at the end of a path leads to, inside the tree. */
static int resolve_end(const struct copier *c, const char *path, const char **ret, struct err *e)
{
	for (unsigned int i = 0; i < LINKS_MAX; i++) {
		const char *name, *slash;
		auto_fd int dir = *path ? path_parent(c->root_fd, path, false, 0, &name) : -EINVAL;
		char target[4096];
		ssize_t n = dir < 0 ? -1 : readlinkat(dir, name, target, sizeof(target) - 1);

		if (n < 0) {
			*ret = path;
			return 0;
		}
		target[n] = '\0';
		slash = strrchr(path, '/');
		path = target[0] == '/' || !slash
			       ? arena_printf(&c->b->arena, "%s", target)
			       : arena_printf(&c->b->arena, "%.*s/%s", (int) (slash - path), path,
					      target);
		if (!path)
			return build_no_memory(e);
	}
	return no_source(c, path, "too many links", e);
}

static bool has_suffix(const char *name)
{
	static const char *const suffixes[] = { ".tar", ".tar.gz", ".tgz", ".tar.zst", ".tzst" };

	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++)
		if (str_ends(str_of(name), suffixes[i]))
			return true;
	return false;
}

static int check_packing(const struct copier *c, const char *name, struct err *e)
{
	static const char *const suffixes[] = { ".tar.xz", ".txz", ".tar.bz2", ".tbz2", ".tar.lz" };

	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++)
		if (str_ends(str_of(name), suffixes[i]))
			return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
				       "ADD '%s': archives are unpacked of tar, gzip and zstd: use "
				       "COPY, and unpack it in RUN",
				       shown_of(str_of(name)).z);
	(void) c;
	return 0;
}

/* One source whose name is whole. */
static int add_source(struct copier *c, const char *path, bool must, struct err *e)
{
	const char *last = strrchr(path, '/'), *end;
	struct entry what = { .to = last ? last + 1 : path };
	int r = resolve_end(c, path, &end, e);

	if (r < 0)
		return r;
	what.path = end;
	auto_fd int fd = open_at(c, end, O_PATH);

	if (fd < 0 && !must)
		return 0;
	if (fd < 0 || fstat(fd, &what.st) < 0)
		return no_source(c, path,
				 c->context ? "there is no such file in the context"
					    : "there is no such file",
				 e);
	if (c->context && *path && ignorefile_has(&c->b->ignore, path) &&
	    !(S_ISDIR(what.st.st_mode) && c->b->ignore.has_exceptions))
		return must ? no_source(c, path, "it is left out by the ignore file", e) : 0;
	c->sources_n++;
	if (!S_ISDIR(what.st.st_mode)) {
		bool add = streq(c->name, "ADD");

		what.archive = add && S_ISREG(what.st.st_mode) && has_suffix(path);
		c->has_dir = c->has_dir || what.archive;
		r = add ? check_packing(c, path, e) : 0;
		return r < 0 ? r : add_entry(c, &what, e);
	}
	auto_fd int dir = open_at(c, end, O_RDONLY | O_DIRECTORY);
	bool listed = true; /* the destination, which is there already by then */
	const struct level top = { NULL, end, "", what.st, &listed };

	c->has_dir = true;
	return dir < 0 ? err_sys(e, -dir, "open '%s'", path) : walk(c, dir, &top, 0, e);
}

static bool has_wildcard(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (strchr("*?[\\", s.p[i]))
			return true;
	return false;
}

static int glob(struct copier *c, const char *dir, struct str pattern, bool must, struct err *e)
{
	struct str rest, part = str_cut(pattern, '/', &rest);
	const char *text = arena_dup(&c->b->arena, part), **names = NULL;
	size_t n = 0;
	int r;

	if (!text)
		return build_no_memory(e);
	if (streq(text, ".."))
		return err_set(e, ERR_INVALID, EINVAL,
			       "%s: '..' leads out of what can be copied from", c->name);
	if (!*text || streq(text, "."))
		return rest.p ? glob(c, dir, rest, must, e) : add_source(c, dir, must, e);
	if (!has_wildcard(part)) {
		const char *path = join(c->b, dir, text);

		if (!path)
			return build_no_memory(e);
		return rest.p && rest.n ? glob(c, path, rest, must, e)
					: add_source(c, path, must, e);
	}
	if (ignore_check(text) < 0)
		return err_set(e, ERR_INVALID, EINVAL, "%s: '%s' is no pattern", c->name,
			       shown_of(part).z);
	auto_fd int fd = open_at(c, dir, O_RDONLY | O_DIRECTORY);

	r = fd < 0 ? 0 : names_in(c->b, fd, &names, &n, e);
	for (size_t i = 0; r == 0 && i < n; i++) {
		const char *path = join(c->b, dir, names[i]);

		if (!path)
			return build_no_memory(e);
		if (ignore_fits(text, names[i]))
			r = rest.p && rest.n ? glob(c, path, rest, false, e)
					     : add_source(c, path, false, e);
	}
	return r;
}

static bool is_remote(const char *source)
{
	return str_starts(str_of(source), "http://") || str_starts(str_of(source), "https://") ||
	       str_starts(str_of(source), "git@") || str_starts(str_of(source), "ssh://");
}

static int find_source(struct copier *c, const char *source, struct err *e)
{
	size_t before = c->sources_n;
	int r;

	if (streq(c->name, "ADD") && is_remote(source))
		return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP,
			       "ADD '%s': of what is elsewhere is unsupported: fetch it in RUN",
			       shown_of(str_of(source)).z);
	if (c->root_fd < 0)
		return err_set(e, ERR_INVALID, EINVAL, "%s: there is no context to copy '%s' from",
			       c->name, shown_of(str_of(source)).z);
	r = glob(c, "", str_of(source), true, e);
	if (r == 0 && c->sources_n == before)
		return no_source(c, source, "nothing fits", e);
	return r;
}

/* ---- their key ---- */

static int hash_file(const struct copier *c, const struct entry *en, struct hash *h, struct err *e)
{
	auto_fd int fd = open_at(c, en->path, O_RDONLY | O_NONBLOCK);
	char *piece = fd < 0 ? NULL : malloc(PIECE_BYTES);
	ssize_t n = -1;

	if (fd < 0)
		return err_sys(e, -fd, "open '%s'", en->path);
	if (!piece)
		return build_no_memory(e);
	while ((n = read(fd, piece, PIECE_BYTES)) > 0 || (n < 0 && errno == EINTR))
		if (n > 0)
			hash_add(h, piece, (size_t) n);
	free(piece);
	return n < 0 ? err_sys(e, errno, "read '%s'", en->path) : 0;
}

static int hash_entry(const struct copier *c, const struct entry *en, struct hash *h, struct err *e)
{
	const uint64_t numbers[] = { en->st.st_mode, c->context ? 0 : en->st.st_uid,
				     c->context ? 0 : en->st.st_gid, (uint64_t) en->st.st_size,
				     en->st.st_rdev };
	char target[4096];

	hash_add(h, en->to, strlen(en->to) + 1);
	if (!en->path) {
		hash_add(h, en->text.p, en->text.n);
		return 0;
	}
	if (S_ISREG(en->st.st_mode)) {
		hash_add(h, numbers, sizeof(numbers));
		return hash_file(c, en, h, e);
	}
	hash_add(h, numbers, 3 * sizeof(*numbers)); /* sizes of others differ where they lie */
	if (S_ISLNK(en->st.st_mode)) {
		const char *name;
		auto_fd int dir = path_parent(c->root_fd, en->path, false, 0, &name);
		ssize_t n = dir < 0 ? -1 : readlinkat(dir, name, target, sizeof(target));

		if (n < 0)
			return err_sys(e, errno, "read the link '%s'", en->path);
		hash_add(h, target, (size_t) n);
	} else if (S_ISCHR(en->st.st_mode) || S_ISBLK(en->st.st_mode)) {
		hash_add(h, &numbers[4], sizeof(numbers[4]));
	}
	return 0;
}

int build_hash_tree(struct builder *b, int root_fd, const char *path, bool context, struct hash *h,
		    struct err *e)
{
	struct copier c = { .b = b, .name = "RUN --mount", .root_fd = root_fd, .context = context };
	int r = glob(&c, "", str_of(path), true, e);

	for (size_t i = 0; r == 0 && i < c.n; i++)
		r = hash_entry(&c, &c.v[i], h, e);
	return r;
}

/* ---- the copy ---- */

struct target {
	int root_fd; /* borrowed */
	uint32_t uid, gid;
	bool owner_set;
	/* The directory that was used last. */
	char dir[4096];
	int dir_fd; /* owned */
};

static int target_dir(struct target *t, const char *path, int *ret_fd, struct err *e)
{
	if (t->dir_fd < 0 || !streq(t->dir, path)) {
		close_fd(&t->dir_fd);
		if (snprintf(t->dir, sizeof(t->dir), "%s", path) >= (int) sizeof(t->dir))
			return err_set(e, ERR_INVALID, ENAMETOOLONG, "'%.60s...' is too long",
				       path);
		t->dir_fd = path_make_dir(t->root_fd, path, 0755);
		if (t->dir_fd < 0)
			return err_sys(e, -t->dir_fd, "make the directory '%s'",
				       shown_of(str_of(path)).z);
	}
	*ret_fd = t->dir_fd;
	return 0;
}

static void as_wanted(const struct copier *c, const struct target *t, struct stat *st)
{
	if (t->owner_set || c->context) {
		st->st_uid = t->owner_set ? t->uid : 0;
		st->st_gid = t->owner_set ? t->gid : 0;
	}
	if (c->chmod_set && !S_ISLNK(st->st_mode))
		st->st_mode = (st->st_mode & S_IFMT) | c->mode;
}

static int put_dir(int dir_fd, const char *name, const struct stat *st, struct err *e)
{
	struct stat there;

	if (fstatat(dir_fd, name, &there, 0) == 0 && S_ISDIR(there.st_mode))
		return 0; /* it keeps what it has */
	if (unlinkat(dir_fd, name, 0) < 0 && errno != ENOENT)
		return err_sys(e, errno, "replace '%s' by a directory", name);
	if (mkdirat(dir_fd, name, 0700) < 0 ||
	    fchownat(dir_fd, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0 ||
	    fchmodat(dir_fd, name, st->st_mode & 07777, 0) < 0)
		return err_sys(e, errno, "make the directory '%s'", name);
	return 0;
}

static int put_text(int dir_fd, const char *name, const struct entry *en, const struct stat *st,
		    struct err *e)
{
	auto_fd int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int r = fd < 0 ? -errno : fd_write_all(fd, en->text.p, en->text.n);

	if (r == 0 &&
	    (fchown(fd, st->st_uid, st->st_gid) < 0 || fchmod(fd, st->st_mode & 07777) < 0))
		r = -errno;
	return r < 0 ? err_sys(e, -r, "write '%s'", name) : 0;
}

static int unpack(const struct copier *c, const struct entry *en, const struct target *t,
		  const char *dest, struct err *e)
{
	const struct tree_root root = { .fd = t->root_fd,
					.mnt_fd = FD_NONE,
					.inside = INSIDE_INIT };
	auto_tree_end struct tree_end end = TREE_END_INIT;
	auto_fd int in = open_at(c, en->path, O_RDONLY | O_NONBLOCK), dir = FD_NONE;
	struct unpack_request q = { .in_fd = in, .copy_fd = FD_NONE, .plain_tree = true };
	struct unpack_result done;
	int r = in < 0 ? err_sys(e, -in, "open '%s'", en->path)
		       : tree_end_find(t->root_fd, dest, true, &c->b->arena, &end, e);

	r = r < 0 ? r : tree_end_open_dir(&end, false, &root, &dir, e);
	q.dir_fd = dir;
	r = r < 0 ? r : worker_unpack(&q, &done, e);
	return r < 0 ? err_ctx(e, "ADD '%s'", shown_of(str_of(en->path)).z) : 0;
}

static int put(const struct copier *c, const struct entry *en, struct target *t, const char *path,
	       struct err *e)
{
	const char *slash = strrchr(path, '/'), *name = slash + 1, *from_name;
	const char *parent = slash == path
				     ? "/"
				     : arena_dup(&c->b->arena,
						 (struct str){ path, (size_t) (slash - path) });
	struct stat st = en->st, there;
	int dir_fd, r;

	if (!parent)
		return build_no_memory(e);
	as_wanted(c, t, &st);
	r = target_dir(t, parent, &dir_fd, e);
	if (r < 0)
		return r;
	if (S_ISDIR(st.st_mode))
		return put_dir(dir_fd, name, &st, e);
	if (fstatat(dir_fd, name, &there, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(there.st_mode))
		return err_set(e, ERR_INVALID, EISDIR, "%s: '%s' is a directory, '%s' is none",
			       c->name, shown_of(str_of(path)).z, en->path ? en->path : name);
	if (unlinkat(dir_fd, name, 0) < 0 && errno != ENOENT)
		return err_sys(e, errno, "replace '%s'", path);
	if (!en->path)
		return put_text(dir_fd, name, en, &st, e);
	auto_fd int from = path_parent(c->root_fd, en->path, false, 0, &from_name);

	r = from < 0 ? from : tree_copy_node(from, from_name, dir_fd, name, &st);
	return r < 0 ? err_sys(e, -r, "copy '%s'", shown_of(str_of(en->path)).z) : 0;
}

/* Of directories that were made: when all is in them. */
static void set_times(const struct copier *c, struct target *t, const char *dest)
{
	for (size_t i = c->n; i > 0; i--) {
		const struct entry *en = &c->v[i - 1];
		const struct timespec times[2] = { en->st.st_atim, en->st.st_mtim };
		const char *path = join(c->b, dest, en->to);

		if (!S_ISDIR(en->st.st_mode) || !path)
			continue;
		auto_fd int fd = path_open_in(t->root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC,
					      0);

		if (fd >= 0)
			(void) futimens(fd, times); /* it is there all the same */
	}
}

static int find_owner(const struct copier *c, struct target *t, struct err *e)
{
	struct account who;
	int r = c->chown ? accounts_find(t->root_fd, c->chown, NULL, 0, &c->b->arena, &who, e) : 0;

	if (r < 0 || !c->chown)
		return r;
	t->owner_set = true;
	t->uid = who.uid;
	/* A number alone is both. */
	t->gid = strchr(c->chown, ':') ||
				 num_parse_u32(str_of(c->chown), 0, UINT32_MAX, &t->gid) < 0
			 ? who.gid
			 : who.uid;
	return 0;
}

static int copy_all(struct builder *b, struct build_state *st, void *user, int root_fd,
		    struct err *e)
{
	struct copier *c = user;
	struct target t = { .root_fd = root_fd, .dir_fd = FD_NONE };
	auto_fd int there = path_open_in(root_fd, c->dest, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	bool into = there >= 0 || c->dest_dir || c->has_dir || c->sources_n > 1;
	const char *base = streq(c->dest, "/") ? "" : c->dest;
	int fd, r = find_owner(c, &t, e);

	(void) st;
	if (r == 0 && into)
		r = target_dir(&t, c->dest, &fd, e);
	for (size_t i = 0; r == 0 && i < c->n; i++) {
		const struct entry *en = &c->v[i];
		const char *path = into ? arena_printf(&b->arena, "%s/%s", base, en->to) : c->dest;

		if (!path)
			r = build_no_memory(e);
		else if (en->archive)
			r = unpack(c, en, &t, c->dest, e);
		else
			r = put(c, en, &t, path, e);
	}
	close_fd(&t.dir_fd);
	if (r == 0)
		set_times(c, &t, base);
	return r;
}

/* ---- the instruction ---- */

/* An overlay that is only read wants two layers. */
static int empty_layer(struct builder *b, int *ret_fd, struct err *e)
{
	if (!b->empty[0]) {
		content_tmp_name(&b->content, "empty", b->empty);
		if (mkdirat(b->content.tmp_fd, b->empty, 0755) < 0) {
			b->empty[0] = '\0';
			return err_sys(e, errno, "make an empty directory");
		}
	}
	*ret_fd = openat(b->content.tmp_fd, b->empty,
			 O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return *ret_fd < 0 ? err_sys(e, errno, "open an empty directory") : 0;
}

static int mount_image(struct builder *b, const struct image *im, int *ret_fd, struct err *e)
{
	int layers[OCI_LAYERS_MAX];
	size_t n = 0;
	int r = image_layer_fds(b->svc->store, im, layers, &n, e);

	if (r < 0)
		return r;
	while (r == 0 && n < 2) {
		r = empty_layer(b, &layers[n], e);
		n += r == 0;
	}
	r = r < 0 ? r : overlay_mount(layers, n, FD_NONE, FD_NONE, false, ret_fd, e);
	for (size_t i = 0; i < n; i++)
		(void) close(layers[i]);
	return r;
}

int build_from(struct builder *b, const char *name, int *ret_root_fd, struct image **ret_image,
	       struct err *e)
{
	size_t which = build_find_stage(b, name, b->stage);
	struct image *im = NULL;
	int r = 0;

	if (which != BUILD_NO_STAGE && b->stages[which].needed) {
		r = build_await(b, which, e);
		im = b->stages[which].image;
	}
	if (r == 0 && !im) {
		r = b->req->need(b->req->user, name, e);
		r = r < 0 ? r : build_image(b, name, &im, e);
	}
	r = r < 0 ? r : mount_image(b, im, ret_root_fd, e);
	if (r == 0)
		*ret_image = im;
	return r;
}

static int take_flags(struct copier *c, struct build_state *st, const struct containerfile_step *s,
		      const char **ret_from, struct err *e)
{
	*ret_from = NULL;
	for (size_t i = 0; i < s->flags_n; i++) {
		const char *key = s->flags[i].key, *value;
		int r = build_word(c->b, st, str_of(s->flags[i].value), &value, e);

		if (r < 0)
			return r;
		if (streq(key, "from") && *value && s->kind == CONTAINERFILE_COPY) {
			*ret_from = value;
		} else if (streq(key, "chown") && *value) {
			c->chown = value;
		} else if (streq(key, "chmod") && *value) {
			if (num_parse_octal(str_of(value), 07777, &c->mode) < 0)
				return err_set(e, ERR_INVALID, EINVAL,
					       "--chmod='%.40s' is no octal number of a mode",
					       value);
			c->chmod_set = true;
		} else if (streq(key, "link") &&
			   (!*value || streq(value, "true") || streq(value, "false"))) {
			/* A layer of its own is what it is here anyway. */
		} else {
			return err_set(e, ERR_UNSUPPORTED, EOPNOTSUPP, "%s --%.60s is unsupported",
				       c->name, key);
		}
	}
	return 0;
}

static int add_heredoc(struct copier *c, struct build_state *st,
		       const struct containerfile_heredoc *h, struct err *e)
{
	struct entry what = { .to = h->name, .text = h->text };
	const char *text;
	int r = h->expand ? build_word(c->b, st, h->text, &text, e) : 0;

	if (h->expand && r == 0)
		what.text = str_of(text);
	what.st.st_mode = S_IFREG | 0644;
	what.st.st_size = (off_t) what.text.n;
	c->sources_n++;
	return r < 0 ? r : add_entry(c, &what, e);
}

/* The key's words, and what history tells. */
static const char *step_text(struct copier *c, const char *from, const char *const *words, size_t n)
{
	auto_buf struct buf b = BUF_INIT((size_t) 1 << 20);

	buf_adds(&b, c->name);
	if (from)
		buf_addf(&b, " --from=%s", from);
	if (c->chown)
		buf_addf(&b, " --chown=%s", c->chown);
	if (c->chmod_set)
		buf_addf(&b, " --chmod=%o", c->mode);
	for (size_t i = 0; i + 1 < n; i++)
		buf_addf(&b, " %s", words[i]);
	buf_addf(&b, " %s%s", c->dest, c->dest_dir && !streq(c->dest, "/") ? "/" : "");
	return buf_ok(&b) ? arena_strdup(&c->b->arena, buf_z(&b)) : NULL;
}

static int take_words(struct copier *c, struct build_state *st, const struct containerfile_step *s,
		      const char ***ret, size_t *ret_n, struct err *e)
{
	int r = 0;

	*ret = s->words;
	*ret_n = s->words_n;
	if (!s->words)
		r = build_words(c->b, st, s->rest, ret, ret_n, e);
	for (size_t i = 0; r == 0 && s->words && i < *ret_n; i++)
		r = build_word(c->b, st, str_of((*ret)[i]), &(*ret)[i], e);
	if (r == 0 && *ret_n < 2)
		return err_set(e, ERR_INVALID, EINVAL, "%s wants SOURCE... DESTINATION", c->name);
	return r;
}

int build_copy(struct builder *b, struct build_state *st, const struct containerfile_step *s,
	       struct err *e)
{
	struct copier c = { .b = b,
			    .name = containerfile_name(s->kind),
			    .root_fd = b->context_fd,
			    .context = true };
	struct build_layer_work w = { .make = copy_all, .user = &c };
	const char **words = NULL, *from, *last, *text;
	auto_fd int from_fd = FD_NONE;
	struct image *im = NULL;
	size_t n = 0;
	int r = take_flags(&c, st, s, &from, e);

	r = r < 0 ? r : take_words(&c, st, s, &words, &n, e);
	if (r == 0 && from)
		r = build_from(b, from, &from_fd, &im, e);
	if (r < 0)
		return r;
	if (from) {
		c.root_fd = from_fd;
		c.context = false;
	}
	last = words[n - 1];
	c.dest = build_path(b, st, last);
	c.dest_dir = !*last || last[strlen(last) - 1] == '/' || streq(last, ".");
	hash_init(&w.extra);
	for (size_t i = 0, h = 0; r == 0 && i + 1 < n; i++) {
		bool heredoc = !s->words && str_starts(str_of(words[i]), "<<") && h < s->heredocs_n;

		r = heredoc ? add_heredoc(&c, st, &s->heredocs[h++], e)
			    : find_source(&c, words[i], e);
	}
	for (size_t i = 0; r == 0 && i < c.n; i++)
		r = hash_entry(&c, &c.v[i], &w.extra, e);
	if (r < 0)
		return r;
	if (c.sources_n > 1 && !c.dest_dir)
		return err_set(
			e, ERR_INVALID, EINVAL,
			"%s: of several sources the destination is a directory, and must end "
			"in '/'",
			c.name);
	text = c.dest ? step_text(&c, from, words, n) : NULL;
	return text ? build_layer_step(b, st, text, &w, e) : build_no_memory(e);
}
