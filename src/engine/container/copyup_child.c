/* SPDX-License-Identifier: Apache-2.0 */
/* tmpcopyup: what the image has in a directory appears on the tmpfs mounted over it. */
#include <errno.h>
#include <fcntl.h>
#include <stdalign.h>
#include <stdint.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/str.h"
#include "engine/container/child.h"

#define DEPTH_MAX 64 /* directories below each other; the stack holds one frame each */

struct entry64 { /* struct linux_dirent64, of getdents64(2) */
	uint64_t ino;
	int64_t off;
	unsigned short len;
	unsigned char type;
	char name[];
};

static int copy_dir(int from, int to, int depth);

static int copy_xattrs(int from, int to)
{
	char names[2048], value[4096];
	ssize_t n = flistxattr(from, names, sizeof(names));

	for (ssize_t at = 0; n > 0 && at < n; at += (ssize_t) strlen(names + at) + 1) {
		ssize_t size = fgetxattr(from, names + at, value, sizeof(value));

		/* tmpfs takes few namespaces of names: what it refuses is left behind. */
		if (size >= 0 && fsetxattr(to, names + at, value, (size_t) size, 0) < 0 &&
		    errno != EOPNOTSUPP && errno != EPERM && errno != EINVAL)
			return -errno;
	}
	return 0;
}

static int copy_file(int from_dir, int to_dir, const char *name, const struct stat *st)
{
	auto_fd int from = openat(from_dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	auto_fd int to = openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
				0600);
	off_t left = st->st_size;

	if (from < 0 || to < 0)
		return -errno;
	while (left > 0) {
		ssize_t n = sendfile(to, from, NULL, left > (1 << 30) ? 1 << 30 : (size_t) left);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			break;
		left -= n > 0 ? n : 0;
	}
	if (fchown(to, st->st_uid, st->st_gid) < 0 || fchmod(to, st->st_mode & 07777) < 0)
		return -errno;
	return copy_xattrs(from, to);
}

static int copy_link(int from_dir, int to_dir, const char *name, const struct stat *st)
{
	char target[4096];
	ssize_t n = readlinkat(from_dir, name, target, sizeof(target) - 1);

	if (n < 0)
		return -errno;
	target[n] = '\0';
	if (symlinkat(target, to_dir, name) < 0)
		return -errno;
	return fchownat(to_dir, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

static int copy_sub(int from_dir, int to_dir, const char *name, const struct stat *st, int depth)
{
	auto_fd int from = openat(from_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	auto_fd int to = FD_NONE;

	if (from < 0 || mkdirat(to_dir, name, 0700) < 0)
		return -errno;
	to = openat(to_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (to < 0 || fchown(to, st->st_uid, st->st_gid) < 0 || fchmod(to, st->st_mode & 07777) < 0)
		return -errno;
	return copy_dir(from, to, depth + 1);
}

static int copy_one(int from_dir, int to_dir, const char *name, int depth)
{
	struct stat st;

	if (fstatat(from_dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	switch (st.st_mode & S_IFMT) {
	case S_IFREG:
		return copy_file(from_dir, to_dir, name, &st);
	case S_IFDIR:
		return copy_sub(from_dir, to_dir, name, &st, depth);
	case S_IFLNK:
		return copy_link(from_dir, to_dir, name, &st);
	default: /* devices, pipes: the node itself, where that is allowed */
		if (mknodat(to_dir, name, st.st_mode, st.st_rdev) < 0)
			return errno == EPERM ? 0 : -errno;
		return fchownat(to_dir, name, st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) < 0
			       ? -errno
			       : 0;
	}
}

static int copy_dir(int from, int to, int depth)
{
	alignas(struct entry64) char entries[2048];

	if (depth > DEPTH_MAX)
		return -ELOOP;
	for (;;) {
		long n = syscall(SYS_getdents64, from, entries, sizeof(entries));

		if (n <= 0)
			return n < 0 ? -errno : copy_xattrs(from, to);
		for (long at = 0; at < n;) {
			const struct entry64 *d = (const void *) (entries + at);
			int r = streq(d->name, ".") || streq(d->name, "..")
					? 0
					: copy_one(from, to, d->name, depth);

			if (r < 0)
				return r;
			at += d->len;
		}
	}
}

int copy_up(int from_fd, int to_fd)
{
	struct stat st;
	int r = copy_dir(from_fd, to_fd, 0);

	if (r < 0)
		return r;
	if (fstat(from_fd, &st) < 0 || fchown(to_fd, st.st_uid, st.st_gid) < 0)
		return -errno;
	return 0;
}
