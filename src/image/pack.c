/* SPDX-License-Identifier: Apache-2.0 */
#include "image/pack.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/auto.h"
#include "base/buf.h"
#include "base/file.h"
#include "fmt/shown.h"
#include "fmt/tar_write.h"
#include "image/hash.h"
#include "image/help.h"

#define CHUNK (256u << 10)

/* Where a file of several links was packed first. */
struct first_link {
	dev_t dev;
	ino_t ino;
	char *name; /* in the arena; NULL: the slot is free */
};

struct pack {
	const struct pack_request *req;
	int help_sock;
	struct hash hash;
	uint64_t bytes, file_bytes, left_out;
	struct buf out;	 /* written when it is full enough */
	struct buf name; /* of the entry, as in the archive */
	char *chunk;	 /* owned, CHUNK bytes */
	struct arena arena;
	struct first_link *links; /* owned: open addressing, a power of two, at most half full */
	size_t links_n, links_cap;
};

static int fail(struct pack *k, int sys, const char *what, struct err *e)
{
	return err_sys(e, sys, "'%s': %s", shown_of(buf_str(&k->name)).z, what);
}

static int flush(struct pack *k, struct err *e)
{
	int r;

	if (!buf_ok(&k->out))
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left to pack");
	hash_add(&k->hash, buf_z(&k->out), k->out.n);
	r = fd_write_all(k->req->out_fd, buf_z(&k->out), k->out.n);
	if (r < 0)
		return err_sys(e, -r, "write the archive");
	k->bytes += k->out.n;
	buf_clear(&k->out);
	return 0;
}

static size_t slot_of(const struct pack *k, dev_t dev, ino_t ino)
{
	uint64_t h = ((uint64_t) ino ^ (uint64_t) dev << 40) * 0x9e3779b97f4a7c15u;
	size_t i = (size_t) (h >> 32) & (k->links_cap - 1);

	while (k->links[i].name && (k->links[i].ino != ino || k->links[i].dev != dev))
		i = (i + 1) & (k->links_cap - 1);
	return i;
}

static int grow_links(struct pack *k, struct err *e)
{
	struct first_link *old = k->links;
	size_t n = k->links_cap;

	k->links_cap = n ? 2 * n : 1024;
	k->links = calloc(k->links_cap, sizeof(*k->links));
	if (!k->links) {
		k->links = old;
		k->links_cap = n;
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left to pack");
	}
	for (size_t i = 0; i < n; i++)
		if (old[i].name)
			k->links[slot_of(k, old[i].dev, old[i].ino)] = old[i];
	free(old);
	return 0;
}

/* The name the file was packed under before, or NULL, and this name is remembered. */
static int first_name(struct pack *k, const struct stat *st, const char **ret_name, struct err *e)
{
	size_t i;

	*ret_name = NULL;
	if (st->st_nlink < 2 || S_ISDIR(st->st_mode))
		return 0;
	if (2 * k->links_n >= k->links_cap) {
		int r = grow_links(k, e);

		if (r < 0)
			return r;
	}
	i = slot_of(k, st->st_dev, st->st_ino);
	if (k->links[i].name) {
		*ret_name = k->links[i].name;
		return 0;
	}
	k->links[i] = (struct first_link){ st->st_dev, st->st_ino,
					   arena_dup(&k->arena, buf_str(&k->name)) };
	if (!k->links[i].name)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left to pack");
	k->links_n++;
	return 0;
}

/* File capabilities and what users set; sorted by name. */
static int get_xattrs(struct pack *k, int fd, struct arena *a, struct tar_xattr *ret_x,
		      size_t *ret_n, struct err *e)
{
	char list[8192];
	ssize_t n = flistxattr(fd, list, sizeof(list));
	size_t found = 0;

	*ret_n = 0;
	if (n < 0)
		return errno == EOPNOTSUPP ? 0 : fail(k, errno, "list its extended attributes", e);
	for (const char *p = list; p < list + n; p += strlen(p) + 1) {
		ssize_t len;
		char *value;
		size_t at = found;

		k->left_out += strncmp(p, "system.", 7) == 0;
		if (!streq(p, "security.capability") &&
		    (strncmp(p, "user.", 5) != 0 || strncmp(p, "user.overlay.", 13) == 0))
			continue;
		len = fgetxattr(fd, p, NULL, 0);
		value = len < 0 ? NULL : arena_alloc(a, (size_t) len + 1);
		if (found == TAR_XATTRS_MAX || !value ||
		    fgetxattr(fd, p, value, (size_t) len) != len)
			return fail(k, len < 0 ? errno : E2BIG, "read an extended attribute", e);
		for (; at > 0 && strcmp(ret_x[at - 1].name, p) > 0; at--)
			ret_x[at] = ret_x[at - 1];
		ret_x[at] = (struct tar_xattr){ arena_strdup(a, p), { value, (size_t) len } };
		if (!ret_x[at].name)
			return fail(k, ENOMEM, "read an extended attribute", e);
		found++;
	}
	*ret_n = found;
	return 0;
}

/* Just `size` bytes, whatever happens to the file meanwhile: zeros where it got shorter. */
static int put_bytes(struct pack *k, int fd, uint64_t size, struct err *e)
{
	uint64_t left = size;

	while (left) {
		size_t want = left < CHUNK ? (size_t) left : CHUNK;
		ssize_t n = read(fd, k->chunk, want);
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail(k, errno, "read it", e);
		if (n == 0) {
			memset(k->chunk, 0, want);
			n = (ssize_t) want;
		}
		buf_add(&k->out, k->chunk, (size_t) n);
		left -= (uint64_t) n;
		if (k->out.n >= CHUNK) {
			r = flush(k, e);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

static void put_padding(struct pack *k, uint64_t size)
{
	memset(k->chunk, 0, TAR_BLOCK);
	buf_add(&k->out, k->chunk, tar_padding(size));
}

static int put_data(struct pack *k, int fd, uint64_t size, struct err *e)
{
	int r = put_bytes(k, fd, size, e);

	if (r == 0)
		put_padding(k, size);
	return r;
}

/* Where its data are; shorter holes than gap_max count as data. -ENOSPC: more than *n pieces. */
static int find_data(int fd, uint64_t size, uint64_t gap_max, struct tar_segment *s, size_t *n)
{
	size_t max = *n, got = 0;
	uint64_t at = 0;

	while (at < size) {
		off_t from = lseek(fd, (off_t) at, SEEK_DATA);
		off_t to = from < 0 ? from : lseek(fd, from, SEEK_HOLE);

		if (to < 0) {
			if (errno != ENXIO)
				return -errno;
			break; /* a hole to the end */
		}
		if ((uint64_t) from >= size)
			break;
		at = (uint64_t) to < size ? (uint64_t) to : size;
		if (got && (uint64_t) from - (s[got - 1].off + s[got - 1].len) < gap_max) {
			s[got - 1].len = at - s[got - 1].off;
			continue;
		}
		if (got == max)
			return -ENOSPC;
		s[got++] = (struct tar_segment){ (uint64_t) from, at - (uint64_t) from };
	}
	*n = got;
	return 0;
}

#define GAP_MIN (64u << 10)

static int put_sparse(struct pack *k, int fd, const struct tar_entry *entry, struct err *e)
{
	auto_free struct tar_segment *s = calloc(TAR_SEGMENTS_MAX - 1, sizeof(*s));
	uint64_t stored = 0;
	size_t n = 0;
	int r = s ? -ENOSPC : -ENOMEM;

	for (uint64_t gap = GAP_MIN; r == -ENOSPC; gap *= 2) {
		n = TAR_SEGMENTS_MAX - 1;
		r = find_data(fd, entry->size, gap, s, &n);
	}
	if (r < 0)
		return fail(k, -r, "find its data", e);
	tar_write_sparse(&k->out, entry, s, n);
	for (size_t i = 0; r == 0 && i < n; i++) {
		r = lseek(fd, (off_t) s[i].off, SEEK_SET) < 0 ? fail(k, errno, "read it", e)
							      : put_bytes(k, fd, s[i].len, e);
		stored += s[i].len;
	}
	if (r == 0)
		put_padding(k, stored);
	return r;
}

static struct tar_entry entry_of(struct pack *k, const struct stat *st)
{
	int64_t mtime = st->st_mtim.tv_sec;

	return (struct tar_entry){
		.name = buf_str(&k->name),
		.mode = st->st_mode & 07777,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.mtime = mtime > k->req->mtime_max ? k->req->mtime_max : mtime,
	};
}

static int put_marker(struct pack *k, const struct stat *st, const char *name, struct err *e)
{
	size_t n = k->name.n;
	struct tar_entry x;

	buf_adds(&k->name, name);
	x = entry_of(k, st);
	x.type = TAR_FILE;
	x.mode = 0;
	tar_write_header(&k->out, &x);
	k->name.n = n;
	k->name.p[n] = '\0';
	return buf_ok(&k->name) ? flush(k, e) : fail(k, ENAMETOOLONG, "its name is too long", e);
}

static int pack_dir(struct pack *k, int fd, const struct stat *st, struct err *e);

static int put_file(struct pack *k, int dir, const char *base, const struct stat *st, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(4u << 20);
	struct tar_xattr xattrs[TAR_XATTRS_MAX];
	auto_fd int fd = openat(dir, base, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	struct tar_entry n = entry_of(k, st);
	int r;

	if (fd < 0)
		return errno == ENOENT ? 0 : fail(k, errno, "open it", e);
	n.type = TAR_FILE;
	n.size = (uint64_t) st->st_size;
	n.xattrs = xattrs;
	r = get_xattrs(k, fd, &a, xattrs, &n.xattrs_n, e);
	if (r < 0)
		return r;
	if (k->req->sparse && (uint64_t) st->st_blocks * 512 < n.size)
		return put_sparse(k, fd, &n, e);
	k->file_bytes += n.size;
	tar_write_header(&k->out, &n);
	return put_data(k, fd, n.size, e);
}

static int put_other(struct pack *k, int dir, const char *base, const struct stat *st,
		     struct err *e)
{
	char target[PATH_MAX];
	struct tar_entry n = entry_of(k, st);
	ssize_t len;

	if (S_ISLNK(st->st_mode)) {
		len = readlinkat(dir, base, target, sizeof(target) - 1);
		if (len < 0)
			return fail(k, errno, "read the link", e);
		target[len] = '\0';
		n.type = TAR_SYMLINK;
		n.link = (struct str){ target, (size_t) len };
	} else if (S_ISFIFO(st->st_mode)) {
		n.type = TAR_FIFO;
	} else {
		n.type = S_ISCHR(st->st_mode) ? TAR_CHAR : TAR_BLOCKDEV;
		n.major = major(st->st_rdev);
		n.minor = minor(st->st_rdev);
	}
	tar_write_header(&k->out, &n);
	return 0;
}

/* k->name holds the whole name of dir/base. */
static int pack_one(struct pack *k, int dir, const char *base, struct err *e)
{
	struct stat st;
	const char *first;
	int r;

	if (fstatat(dir, base, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : fail(k, errno, "look at it", e);
	if (S_ISSOCK(st.st_mode)) {
		k->left_out++; /* tar has no sockets; they mean nothing without their process */
		return 0;
	}
	if (S_ISDIR(st.st_mode)) {
		auto_fd int fd = openat(dir, base, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

		if (fd < 0)
			return errno == ENOENT ? 0 : fail(k, errno, "open the directory", e);
		return pack_dir(k, fd, &st, e);
	}
	if (k->req->overlay_upper) {
		if (S_ISCHR(st.st_mode) && st.st_rdev == 0) {
			size_t n = k->name.n - strlen(base);
			auto_buf struct buf marker = BUF_INIT(NAME_MAX + 8);

			buf_adds(&marker, ".wh.");
			buf_adds(&marker, base);
			k->name.n = n;
			r = put_marker(k, &st, buf_z(&marker), e);
			buf_adds(&k->name, base);
			return r;
		}
		if (strncmp(base, ".wh.", 4) == 0)
			return fail(k, EINVAL, "a layer cannot hold a file named .wh.*: rename it",
				    e);
	}
	r = first_name(k, &st, &first, e);
	if (r < 0)
		return r;
	if (first) {
		struct tar_entry n = entry_of(k, &st);

		n.type = TAR_HARDLINK;
		n.link = str_of(first);
		tar_write_header(&k->out, &n);
		return 0;
	}
	return S_ISREG(st.st_mode) ? put_file(k, dir, base, &st, e)
				   : put_other(k, dir, base, &st, e);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

static int pack_content(struct pack *k, int fd, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT((size_t) 256 << 20);
	char **names = NULL;
	size_t n = 0, len = k->name.n;
	int r = 0;
	{
		auto_dir DIR *d = dir_open(fd, ".");
		struct dirent *de;

		if (!d)
			return fail(k, errno, "read the directory", e);
		while ((de = dir_next(d))) {
			char **slot = arena_push(&a, &names, &n, sizeof(*names));

			if (slot)
				*slot = arena_strdup(&a, de->d_name);
			if (!slot || !*slot)
				return fail(k, ENOMEM, "read the directory", e);
		}
		if (errno)
			return fail(k, errno, "read the directory", e);
	}
	if (n)
		qsort(names, n, sizeof(*names), by_name);
	for (size_t i = 0; i < n && r == 0; i++) {
		buf_adds(&k->name, names[i]);
		if (!buf_ok(&k->name))
			return err_set(e, ERR_INVALID, ENAMETOOLONG,
				       "a path below '%s' is too long",
				       shown_of(buf_str(&k->name)).z);
		r = pack_one(k, fd, names[i], e);
		if (r == 0 && k->out.n >= CHUNK)
			r = flush(k, e);
		k->name.n = len;
		k->name.p[len] = '\0';
	}
	return r;
}

static int pack_dir(struct pack *k, int fd, const struct stat *st, struct err *e)
{
	auto_arena struct arena a = ARENA_INIT(4u << 20);
	struct tar_xattr xattrs[TAR_XATTRS_MAX];
	struct tar_entry n;
	int r;

	if (k->name.n)
		buf_addc(&k->name, '/');
	if (k->name.n) {
		n = entry_of(k, st);
		n.type = TAR_DIR;
		n.xattrs = xattrs;
		r = get_xattrs(k, fd, &a, xattrs, &n.xattrs_n, e);
		if (r < 0)
			return r;
		tar_write_header(&k->out, &n);
	}
	if (k->req->overlay_upper && help_opaque_get(k->help_sock, fd) == 1) {
		r = put_marker(k, st, ".wh..wh..opq", e);
		if (r < 0)
			return r;
	}
	return pack_content(k, fd, e);
}

int pack_run(const struct pack_request *req, int help_sock, struct unpack_result *ret_result,
	     struct err *e)
{
	struct pack k = { .req = req,
			  .help_sock = help_sock,
			  .out = BUF_INIT(64u << 20),
			  .name = BUF_INIT(TAR_NAME_MAX),
			  .arena = ARENA_INIT((size_t) 1 << 30) };
	struct stat st;
	int r = 0;

	hash_init(&k.hash);
	k.chunk = malloc(CHUNK);
	if (!k.chunk)
		return err_set(e, ERR_EXHAUSTED, ENOMEM, "no memory left to pack");
	buf_adds(&k.name, req->prefix ? req->prefix : req->only ? req->only : "");
	if (req->only) {
		r = pack_one(&k, req->dir_fd, req->only, e);
	} else if (fstat(req->dir_fd, &st) < 0) {
		r = err_sys(e, errno, "look at the directory");
	} else {
		auto_fd int fd = openat(req->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		r = fd < 0 ? err_sys(e, errno, "open the directory") : pack_dir(&k, fd, &st, e);
	}
	if (r == 0) {
		tar_write_end(&k.out);
		r = flush(&k, e);
	}
	if (r == 0) {
		*ret_result = (struct unpack_result){ .tar_bytes = k.bytes,
						      .file_bytes = k.file_bytes,
						      .left_out = k.left_out };
		hash_end(&k.hash, &ret_result->diff);
	}
	buf_fini(&k.out);
	buf_fini(&k.name);
	arena_fini(&k.arena);
	free(k.chunk);
	free(k.links);
	return r;
}
