/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/types.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/file.h"

/*
 * Directories nest as deep as somebody hostile made them: each level holds one descriptor and one
 * small frame, so the walks give up past this many (and say so) instead of running out of either.
 * Deeper trees are removed in several passes: tree_unlink() moves what is too deep up.
 */
#define DEPTH_MAX 200
/* Somebody else's last words came into a directory between the look at it and its removal. */
#define LATE_MAX 16

static int unlink_level(int dirfd, const char *name, int top_fd, unsigned depth, unsigned *moved);

static int unlink_content(int fd, int top_fd, unsigned depth, unsigned *moved)
{
	int first = 0;
	auto_dir DIR *d = dir_open(fd, ".");

	if (!d)
		return -errno;
	for (;;) {
		struct dirent *de = dir_next(d);

		if (!de)
			return first ? first : -errno;
		int r = 0;
		if (de->d_type != DT_DIR && de->d_type != DT_UNKNOWN) {
			if (unlinkat(fd, de->d_name, 0) < 0 && errno != ENOENT)
				r = -errno;
		} else {
			r = unlink_level(fd, de->d_name, top_fd, depth + 1, moved);
		}
		if (r < 0 && !first)
			first = r;
		errno = 0;
	}
}

static int unlink_level(int dirfd, const char *name, int top_fd, unsigned depth, unsigned *moved)
{
	if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	/* Most directories of a workload's overlay are empty by the time they are reached. */
	if (unlinkat(dirfd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	if (errno != ENOTEMPTY && errno != EEXIST)
		return -errno;
	if (depth >= DEPTH_MAX) {
		char up[32];

		(void) snprintf(up, sizeof(up), ".deep.%u", (*moved)++);
		return renameat(dirfd, name, top_fd, up) < 0 ? -errno : 0;
	}
	auto_fd int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	int r = unlink_content(fd, depth == 0 ? fd : top_fd, depth, moved);
	if (unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT && r == 0)
		r = -errno;
	return r;
}

int tree_unlink(int dirfd, const char *name)
{
	unsigned late = 0;

	for (unsigned moved = 0, before = 0;; before = moved) {
		int r = unlink_level(dirfd, name, FD_NONE, 0, &moved);

		/* What was moved up is removed by the next pass, which moves further parts up. */
		if (moved == before && (r != -ENOTEMPTY || late++ == LATE_MAX))
			return r;
	}
}

static int size_level(int fd, unsigned depth, uint64_t *sum)
{
	auto_dir DIR *d = dir_open(fd, ".");

	if (!d)
		return -errno;
	for (struct dirent *de; (de = dir_next(d));) {
		struct stat st;

		if (fstatat(fd, de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue; /* gone meanwhile: the tree may be in use */
		*sum += S_ISDIR(st.st_mode) ? 0 : (uint64_t) st.st_blocks * 512;
		if (!S_ISDIR(st.st_mode) || depth >= DEPTH_MAX)
			continue;
		auto_fd int sub = openat(fd, de->d_name,
					 O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (sub >= 0)
			(void) size_level(sub, depth + 1, sum); /* vanished: counts nothing */
	}
	return 0;
}

int tree_size(int dirfd, const char *name, uint64_t *ret_bytes)
{
	uint64_t sum = 0;
	auto_fd int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	int r = size_level(fd, 0, &sum);
	if (r < 0)
		return r;
	*ret_bytes = sum;
	return 0;
}

/* Where a file with several links was copied to, so that its other names become links to it. */
struct seen {
	dev_t dev;
	ino_t ino;
	char *path; /* below the copy's top */
};

struct copy {
	int top_fd; /* borrowed: the copy's top */
	struct seen *seen;
	size_t seen_n;
	char path[4096];
	size_t path_n;
};

/* The overlay's own marks mean something only where they are, but those that hide what is below. */
static bool is_mark_of_place(const char *name)
{
	static const char *const prefixes[] = { "trusted.overlay.", "user.overlay." };

	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
		size_t n = strlen(prefixes[i]);

		if (strncmp(name, prefixes[i], n) == 0)
			return !streq(name + n, "opaque") && !streq(name + n, "redirect");
	}
	return false;
}

static int copy_xattrs(int from, int to)
{
	char names[4096], value[8192];
	ssize_t n = flistxattr(from, names, sizeof(names));

	if (n < 0)
		return errno == ENOTSUP ? 0 : -errno;
	for (char *z = names; z < names + n; z += strlen(z) + 1) {
		if (is_mark_of_place(z))
			continue;
		ssize_t m = fgetxattr(from, z, value, sizeof(value));
		if (m < 0 || fsetxattr(to, z, value, (size_t) m, 0) < 0) {
			if (errno != ENOTSUP && errno != ENODATA)
				return -errno;
		}
	}
	return 0;
}

/* One piece; copy_file_range() shares blocks where it can, and refuses between file systems. */
static ssize_t copy_piece(int from, int to, size_t n)
{
	ssize_t r = copy_file_range(from, NULL, to, NULL, n, 0);

	if (r < 0 && (errno == EXDEV || errno == EINVAL || errno == EOPNOTSUPP || errno == ENOSYS))
		r = sendfile(to, from, NULL, n);
	return r < 0 ? -errno : r;
}

int tree_copy_data(int from, int to, uint64_t size)
{
	for (off_t at = 0; (uint64_t) at < size;) {
		off_t data = lseek(from, at, SEEK_DATA);
		if (data < 0)
			break; /* ENXIO: a hole to the end */
		off_t end = lseek(from, data, SEEK_HOLE);
		if (end < 0)
			return -errno;
		if (lseek(to, data, SEEK_SET) < 0 || lseek(from, data, SEEK_SET) < 0)
			return -errno;
		while (data < end) {
			ssize_t n = copy_piece(from, to, (size_t) (end - data));
			if (n < 0)
				return (int) n;
			if (n == 0)
				return -EIO; /* it shrinks while it is copied */
			data += n;
		}
		at = end;
	}
	return ftruncate(to, (off_t) size) < 0 ? -errno : 0;
}

static int copy_attributes(int to, const struct stat *st)
{
	const struct timespec times[2] = { st->st_atim, st->st_mtim };

	if (fchown(to, st->st_uid, st->st_gid) < 0 || fchmod(to, st->st_mode & 07777) < 0 ||
	    futimens(to, times) < 0)
		return -errno;
	return 0;
}

static int copy_file(int from_dir, const char *name, int to_dir, const char *to_name,
		     const struct stat *st)
{
	auto_fd int from = openat(from_dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (from < 0)
		return -errno;
	auto_fd int to = openat(to_dir, to_name,
				O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (to < 0)
		return -errno;
	int r = tree_copy_data(from, to, (uint64_t) st->st_size);
	if (r >= 0)
		r = copy_attributes(to, st);
	/* After the owner: chown takes file capabilities away. */
	return r < 0 ? r : copy_xattrs(from, to);
}

static int copy_link(int from_dir, const char *name, int to_dir, const char *to_name,
		     const struct stat *st)
{
	const struct timespec times[2] = { st->st_atim, st->st_mtim };
	char target[4096];
	ssize_t n = readlinkat(from_dir, name, target, sizeof(target) - 1);

	if (n < 0)
		return -errno;
	target[n] = '\0';
	if (symlinkat(target, to_dir, to_name) < 0 ||
	    fchownat(to_dir, to_name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0 ||
	    utimensat(to_dir, to_name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return 0;
}

static int copy_node(int to_dir, const char *name, const struct stat *st)
{
	if (mknodat(to_dir, name, st->st_mode, st->st_rdev) < 0 ||
	    fchownat(to_dir, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0 ||
	    fchmodat(to_dir, name, st->st_mode & 07777, 0) < 0)
		return -errno;
	return 0;
}

/* 1: linked to an earlier copy, 0: the first of its links (remembered), or -errno. */
static int copy_again(struct copy *c, int to_dir, const char *name, const struct stat *st)
{
	for (size_t i = 0; i < c->seen_n; i++) {
		if (c->seen[i].dev == st->st_dev && c->seen[i].ino == st->st_ino)
			return linkat(c->top_fd, c->seen[i].path, to_dir, name, 0) < 0 ? -errno : 1;
	}
	struct seen *more = reallocarray(c->seen, c->seen_n + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	c->seen = more;
	char *path = strdup(c->path);
	if (!path)
		return -ENOMEM;
	c->seen[c->seen_n++] = (struct seen){ st->st_dev, st->st_ino, path };
	return 0;
}

int tree_copy_node(int from_dir, const char *name, int to_dir, const char *to_name,
		   const struct stat *st)
{
	if (S_ISREG(st->st_mode))
		return copy_file(from_dir, name, to_dir, to_name, st);
	if (S_ISLNK(st->st_mode))
		return copy_link(from_dir, name, to_dir, to_name, st);
	return S_ISSOCK(st->st_mode) ? 0 : copy_node(to_dir, to_name, st);
}

static int copy_level(struct copy *c, int from, int to, unsigned depth);

static int copy_dir(struct copy *c, int from_dir, int to_dir, const char *name,
		    const struct stat *st, unsigned depth)
{
	if (depth >= DEPTH_MAX)
		return -ELOOP;
	if (mkdirat(to_dir, name, 0700) < 0)
		return -errno;
	auto_fd int from = openat(from_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	auto_fd int to = openat(to_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (from < 0 || to < 0)
		return -errno;
	int r = copy_level(c, from, to, depth + 1);
	if (r >= 0)
		r = copy_xattrs(from, to);
	return r < 0 ? r : copy_attributes(to, st);
}

static int copy_entry(struct copy *c, int from, int to, const char *name, unsigned depth)
{
	struct stat st;

	if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return copy_dir(c, from, to, name, &st, depth);
	if (st.st_nlink > 1) {
		int r = copy_again(c, to, name, &st);
		if (r != 0)
			return r;
	}
	return tree_copy_node(from, name, to, name, &st);
}

static int copy_level(struct copy *c, int from, int to, unsigned depth)
{
	auto_dir DIR *d = dir_open(from, ".");

	if (!d)
		return -errno;
	for (;;) {
		struct dirent *de = dir_next(d);

		if (!de)
			return -errno;
		size_t n = strlen(de->d_name), before = c->path_n;
		if (before + 1 + n + 1 > sizeof(c->path))
			return -ENAMETOOLONG;
		if (before)
			c->path[c->path_n++] = '/';
		memcpy(c->path + c->path_n, de->d_name, n + 1);
		c->path_n += n;
		int r = copy_entry(c, from, to, de->d_name, depth);
		c->path_n = before;
		c->path[before] = '\0';
		if (r < 0)
			return r;
		errno = 0;
	}
}

int tree_copy(int from_fd, int to_fd)
{
	struct copy *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->top_fd = to_fd;
	int r = copy_level(c, from_fd, to_fd, 0);
	for (size_t i = 0; i < c->seen_n; i++)
		free(c->seen[i].path);
	free(c->seen);
	free(c);
	return r;
}
